//! A text that a regular expression matches.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

/// A short text that the pattern matches, as long as it does not look around.
pub(super) fn example(pattern: &str) -> Option<Vec<u8>> {
    let mut parser = ParserBuilder::new().unicode(false).utf8(false).build();
    let mut text = Vec::new();
    write(&parser.parse(pattern).ok()?, &mut text)?;
    Some(text)
}

fn write(hir: &Hir, text: &mut Vec<u8>) -> Option<()> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => text.extend_from_slice(&literal.0),
        HirKind::Class(class) => text.push(member(class)?),
        HirKind::Repetition(repetition) => {
            // One where none would do makes the better example, but only where it is needed.
            for _ in 0..repetition.min.min(10_000) {
                write(&repetition.sub, text)?;
            }
        }
        HirKind::Capture(capture) => write(&capture.sub, text)?,
        HirKind::Concat(parts) => parts.iter().try_for_each(|part| write(part, text))?,
        HirKind::Alternation(ways) => write(ways.first()?, text)?,
    }
    Some(())
}

/// A member of a class that reads well.
fn member(class: &Class) -> Option<u8> {
    let holds = |byte: u8| match class {
        Class::Bytes(class) => class.ranges().iter().any(|r| (r.start()..=r.end()).contains(&byte)),
        Class::Unicode(class) => {
            class.ranges().iter().any(|r| (r.start()..=r.end()).contains(&char::from(byte)))
        }
    };
    let first = b'a'..=b'z';
    first.chain(b'0'..=b'9').chain(b'!'..=b'~').chain(0..=u8::MAX).find(|byte| holds(*byte))
}

#[cfg(test)]
mod tests {
    use crate::request::Sample;
    use serde_json::json;
    use tse_route::config::{Report, read};

    #[test]
    fn examples_match() {
        for pattern in [r"^/api/v\d+$", "a|b", "(?i)Chrome/[0-9]{2,}", "^(?:x(y)*)+$", ".", r"\."] {
            let text = super::example(pattern).expect(pattern);
            let item = json!({ "key": "a", "operator": "regex", "value": pattern });
            let rule = json!({ "condition": { "header": item }, "upstream": [{ "name": "b" }] });
            let (config, _) = read(&json!({ "rules": [rule] }));
            let (table, report) = tse_route::engine::compile(&config, Report::default());
            assert!(report.is_usable(), "{report}");
            let mut sample = Sample::default();
            sample.add_header("a", &text);
            let holds = table.trace_rule(0, &sample).and_then(|trace| trace.holds);
            assert_eq!(holds, Some(true), "{pattern}: {text:?}");
        }
    }
}
