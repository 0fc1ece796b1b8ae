//! `regex`: a pattern found anywhere in the value, in linear time.

use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

/// The largest compiled pattern, in bytes.
pub(crate) const MAX_PATTERN_BYTES: usize = 1 << 20;

/// The largest automaton of many patterns, and the largest cache of its states, in bytes.
const MAX_SET_BYTES: usize = 8 << 20;

/// Compiles a pattern over bytes.
///
/// Patterns know nothing of Unicode: `.` is any byte but a newline, `\w`, `\d` and `(?i)` are
/// ASCII's. Values are bytes that a client chose, and the tables of Unicode are larger than the
/// rest of the filter.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern).unicode(false).size_limit(MAX_PATTERN_BYTES).build().map_err(
        |error| match error {
            regex::Error::CompiledTooBig(limit) => {
                format!("the pattern is larger than {limit} bytes when compiled")
            }
            other => {
                // The library's message draws the pattern over several lines; the last one says what is wrong.
                let text = other.to_string();
                let last = text.lines().last().unwrap_or_default();
                let reason = last.strip_prefix("error: ").unwrap_or(last);
                format!("not a regular expression: {reason}")
            }
        },
    )
}

/// Compiles patterns into one automaton that finds them all in one pass; none if it is too large.
pub(crate) fn compile_all<'p>(patterns: impl Iterator<Item = &'p str>) -> Option<RegexSet> {
    RegexSetBuilder::new(patterns)
        .unicode(false)
        .size_limit(MAX_SET_BYTES)
        .dfa_size_limit(MAX_SET_BYTES)
        .build()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_found_anywhere_in_bytes() {
        let table: &[(&str, &[u8], bool)] = &[
            ("b+", b"abc", true),
            ("^b", b"abc", false),
            ("^abc$", b"abc", true),
            ("a.c", b"a\xffc", true),
            ("a.c", b"a\nc", false),
            ("(?i)ABC", b"xabcx", true),
            (r"^\d{3}$", b"123", true),
            (r"^\d{3}$", "१२३".as_bytes(), false),
            ("é", "café".as_bytes(), true),
            ("", b"", true),
        ];
        for (pattern, value, holds) in table {
            let found = compile(pattern).map(|regex| regex.is_match(value));
            assert_eq!(found, Ok(*holds), "{pattern} in {value:?}");
        }
    }

    #[test]
    fn faults_are_told_in_a_line() {
        for (pattern, reason) in [
            ("(", "unclosed group"),
            ("a{999999999}", "larger than"),
            ("a{2,1}", "not a regular expression"),
            ("(?:a{1000}){1000}", "larger than"),
            (r"(a)\1", "backreferences are not supported"),
            ("(?=a)", "look-around"),
        ] {
            let error = compile(pattern).expect_err(pattern);
            assert!(error.contains(reason) && !error.contains('\n'), "{pattern}: {error}");
        }
    }
}
