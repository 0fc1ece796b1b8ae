//! JSON with places.

use super::node::{Entry, Kind, Node, Style};
use super::{Span, SyntaxFault};
use jsonc_parser::ast::{self, ObjectPropName};
use serde_json::Value;
use tse_route::config::MAX_FAULTS;

/// Reads JSON. serde_json judges the text, because it is what the filter reads with; the other
/// parser, which accepts more, only tells the places.
pub(crate) fn parse(text: &str) -> Result<(Node, Vec<SyntaxFault>), SyntaxFault> {
    if let Err(error) = serde_json::from_str::<Value>(text) {
        let line_start: usize =
            text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
        // Columns are counted in bytes there, and point behind the offending one.
        let at = (line_start + error.column().saturating_sub(1)).min(text.len());
        let at = (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let told = error.to_string();
        let message = told.split(" at line ").next().unwrap_or(&told);
        return Err(SyntaxFault { span: at..at, message: format!("not JSON: {message}") });
    }
    let parsed = jsonc_parser::parse_to_ast(text, &Default::default(), &Default::default());
    let mut faults = Vec::new();
    match parsed {
        Ok(parsed) => {
            let node = parsed
                .value
                .map(|value| convert(value, &mut faults))
                .unwrap_or_else(|| Node::null(0..0));
            Ok((node, faults))
        }
        Err(error) => {
            let range = error.range();
            Err(SyntaxFault {
                span: range.start..range.end,
                message: format!("not JSON: {}", error.kind()),
            })
        }
    }
}

fn convert(value: ast::Value<'_>, faults: &mut Vec<SyntaxFault>) -> Node {
    let scalar = |value: Value, range: jsonc_parser::common::Range| Node {
        span: span(range),
        kind: Kind::Scalar(value, Style::Other),
    };
    match value {
        ast::Value::StringLit(literal) => scalar(Value::from(&*literal.value), literal.range),
        ast::Value::NumberLit(literal) => {
            // Sound, as serde_json has found, which would spell `1e5` in another way.
            let number = serde_json::Number::from_string_unchecked(literal.value.to_owned());
            scalar(Value::Number(number), literal.range)
        }
        ast::Value::BooleanLit(literal) => scalar(Value::Bool(literal.value), literal.range),
        ast::Value::NullKeyword(keyword) => scalar(Value::Null, keyword.range),
        ast::Value::Array(array) => Node {
            span: span(array.range),
            kind: Kind::List(array.elements.into_iter().map(|e| convert(e, faults)).collect()),
        },
        ast::Value::Object(object) => {
            let mut entries: Vec<Entry> = Vec::with_capacity(object.properties.len());
            let mut seen = hashbrown::HashSet::new();
            for property in object.properties {
                let key_span = span(match &property.name {
                    ObjectPropName::String(name) => name.range,
                    ObjectPropName::Word(name) => name.range,
                });
                let key = property.name.into_string();
                let value = convert(property.value, faults);
                if seen.insert(key.clone()) {
                    entries.push(Entry { key, key_span, value });
                } else if faults.len() < MAX_FAULTS {
                    faults.push(super::yaml::duplicate(&key, key_span));
                }
            }
            Node { span: span(object.range), kind: Kind::Map(entries) }
        }
    }
}

fn span(range: jsonc_parser::common::Range) -> Span {
    range.start..range.end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_serde_json() {
        let text = r#"{"a": [1.10, -2e3, "x\u00e9\ud83d\ude00\n", true, null], "b": {"c": {}}}"#;
        let (node, faults) = parse(text).expect("JSON");
        let value = node.value();
        assert_eq!(value["a"][1].to_string(), "-2e3");
        let theirs = serde_json::from_str::<Value>(&text.replace("-2e3", "-2000")).expect("JSON");
        assert_eq!(value["b"], theirs["b"]);
        for index in [0, 2, 3, 4] {
            assert_eq!(value["a"][index], theirs["a"][index]);
        }
        assert_eq!(faults, []);
        let number = &node.list("a")[0];
        assert_eq!(&text[number.span.clone()], "1.10");
    }

    #[test]
    fn what_is_no_json_is_told_with_its_place() {
        for (text, at) in [("{\"a\": 1,}", 8), ("{\n  a: 1}", 4), ("{} x", 3), ("[1, 2", 4)] {
            let fault = parse(text).expect_err(text);
            assert_eq!((fault.span.start, fault.message.contains("line")), (at, false), "{text}");
        }
        let (_, faults) = parse(r#"{"a": 1, "a": 2}"#).expect("JSON");
        assert_eq!(faults.first().map(|fault| fault.span.clone()), Some(9..12));
    }
}
