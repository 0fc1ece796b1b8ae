//! `regex`: a pattern found anywhere in the value, in linear time.
//!
//! Only one of the engines of the `regex` project is in the filter, the lazy DFA: it answers what
//! is asked here, whether and which patterns are found, and nothing that is not, where they begin
//! or what their groups hold. The others and their literal searches would double the size of the
//! filter, and on texts as short as headers and paths they gain little.

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_automata::util::pool::Pool;
use regex_automata::util::syntax;
use regex_automata::{Input, MatchKind, PatternSet};
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

/// The largest compiled pattern, in bytes.
pub(crate) const MAX_PATTERN_BYTES: usize = 1 << 20;
/// The largest compiled set of patterns, in bytes.
const MAX_SET_BYTES: usize = 8 << 20;
/// How much memory the states of one pattern may take; they are made as values lead to them, and
/// made anew when they take more.
const PATTERN_CACHE: usize = 256 << 10;
/// The same for a set of patterns.
const SET_CACHE: usize = 4 << 20;

/// A compiled pattern.
#[derive(Clone)]
pub(crate) struct Pattern {
    text: Box<str>,
    automaton: Automaton,
}

impl Pattern {
    /// Compiles a pattern over bytes.
    ///
    /// Patterns know nothing of Unicode: `.` is any byte but a newline, `\w`, `\d` and `(?i)` are
    /// ASCII's. Values are bytes that a client chose, and the tables of Unicode are larger than the
    /// rest of the filter.
    pub(crate) fn compile(text: &str) -> Result<Self, String> {
        let nfa =
            compile(&[text], MAX_PATTERN_BYTES).map_err(|error| match error.size_limit() {
                Some(limit) => format!("the pattern is larger than {limit} bytes when compiled"),
                None => format!("not a regular expression: {}", reason(text, &error)),
            })?;
        let automaton = Automaton::new(nfa, MatchKind::LeftmostFirst, PATTERN_CACHE)
            .ok_or("not a regular expression that can be searched for in bytes")?;
        Ok(Self { text: text.into(), automaton })
    }

    /// The pattern as it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether the pattern is found in a value.
    pub(crate) fn is_found_in(&self, value: &[u8]) -> bool {
        self.automaton.is_found_in(value)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.text).finish()
    }
}

/// Many patterns, compiled into one automaton that finds them all in one pass.
#[derive(Clone)]
pub(crate) struct Patterns {
    automaton: Automaton,
}

impl Patterns {
    /// None if they do not compile, or not into an automaton of bounded size.
    pub(crate) fn compile(texts: &[&str]) -> Option<Self> {
        let nfa = compile(texts, MAX_SET_BYTES).ok()?;
        Some(Self { automaton: Automaton::new(nfa, MatchKind::All, SET_CACHE)? })
    }

    /// Visits the patterns that are found in a value, by their positions.
    pub(crate) fn visit(&self, value: &[u8], found: impl FnMut(usize)) {
        let Automaton { dfa, scratch } = &self.automaton;
        let scratch = &mut *scratch.get();
        scratch.found.clear();
        // It fails on bytes at which an automaton is told to stop; these are told of none.
        let _ = dfa.try_which_overlapping_matches(
            &mut scratch.cache,
            &Input::new(value),
            &mut scratch.found,
        );
        scratch.found.iter().map(|pattern| pattern.as_usize()).for_each(found);
    }
}

impl fmt::Debug for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Patterns").field(&self.automaton.dfa.pattern_len()).finish()
    }
}

/// The pattern that finds exactly this text.
pub(crate) fn literal(text: &[u8]) -> String {
    text.iter().map(|byte| format!("\\x{byte:02x}")).collect()
}

/// An automaton with the memory that its searches need, which no search allocates anew.
#[derive(Clone)]
struct Automaton {
    dfa: Arc<DFA>,
    scratch: Arc<Pool<Scratch, MakeScratch>>,
}

struct Scratch {
    cache: Cache,
    found: PatternSet,
}

type MakeScratch = Box<dyn Fn() -> Scratch + Send + Sync + UnwindSafe + RefUnwindSafe>;

impl Automaton {
    fn new(nfa: NFA, kind: MatchKind, cache: usize) -> Option<Self> {
        let config = DFA::config()
            .match_kind(kind)
            .cache_capacity(cache)
            // An automaton that needs more gets it.
            .skip_cache_capacity_check(true);
        let dfa = Arc::new(DFA::builder().configure(config).build_from_nfa(nfa).ok()?);
        let for_scratch = Arc::clone(&dfa);
        let make: MakeScratch = Box::new(move || Scratch {
            cache: for_scratch.create_cache(),
            found: PatternSet::new(for_scratch.pattern_len()),
        });
        Some(Self { dfa, scratch: Arc::new(Pool::new(make)) })
    }

    fn is_found_in(&self, value: &[u8]) -> bool {
        let input = Input::new(value).earliest(true);
        let found = self.dfa.try_search_fwd(&mut self.scratch.get().cache, &input);
        found.is_ok_and(|found| found.is_some())
    }
}

fn compile(texts: &[&str], limit: usize) -> Result<NFA, Box<thompson::BuildError>> {
    let config =
        NFA::config().utf8(false).nfa_size_limit(Some(limit)).which_captures(WhichCaptures::None);
    NFA::compiler().configure(config).syntax(bytewise()).build_many(texts).map_err(Box::new)
}

fn bytewise() -> syntax::Config {
    syntax::Config::new().unicode(false).utf8(false)
}

/// What is wrong, in a line: the library's message draws the pattern over several, and the last
/// one says it.
fn reason(text: &str, error: &thompson::BuildError) -> String {
    let text = match syntax::parse_with(text, &bytewise()) {
        Err(error) => error.to_string(),
        Ok(_) => error.to_string(),
    };
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
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
            let found = Pattern::compile(pattern).map(|pattern| pattern.is_found_in(value));
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
            let error = Pattern::compile(pattern).expect_err(pattern);
            assert!(error.contains(reason) && !error.contains('\n'), "{pattern}: {error}");
        }
    }

    #[test]
    fn a_set_finds_what_its_patterns_find() {
        let texts =
            ["b+", "^b", "^abc$", "a.c", "", r"\bc\b", "c$", "(?m)^c", "(?i)ABC", &literal(b"a.c")];
        let set = Patterns::compile(&texts).expect("a set");
        for value in [&b"abc"[..], b"", b"a c", b"a.c", b"x\nc", b"b\xff", b"\xc3\xa9"] {
            let mut found = Vec::new();
            set.visit(value, |position| found.push(position));
            let alone: Vec<usize> = texts
                .iter()
                .enumerate()
                .filter(|(_, text)| Pattern::compile(text).is_ok_and(|p| p.is_found_in(value)))
                .map(|(position, _)| position)
                .collect();
            assert_eq!(found, alone, "{value:?}");
        }
    }
}
