//! Parameters of a body: JSON by dotted keys, form fields by name.

mod keys;

pub(crate) use keys::Keys;

use super::parse::query;
use super::request::{Body, Bytes};
use crate::json::{self, Reader};
use keys::{Fields, Found};
use std::borrow::Cow;
use std::ops::Range;

/// Why a body that a rule asked for has no parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// It is larger than `body_max_bytes`, or the gateway did not hand it over.
    Unreadable,
    /// It is neither JSON nor a form.
    Unparsable,
}

/// A body, searched when a parameter is first asked for.
pub(crate) struct Parsed<'r> {
    raw: Body<'r>,
    content: Option<Content>,
}

enum Content {
    Json(Found),
    Form(Fields),
    Unparsable,
}

/// The value of a parameter.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parameter {
    /// This piece of the body.
    AsSent(Range<usize>),
    /// Decoded.
    Decoded(Vec<u8>),
}

impl<'r> Parsed<'r> {
    /// A body without a byte is none: over HTTP/1 it cannot be told from none at all.
    pub(crate) fn new(raw: Body<'r>) -> Self {
        let raw = match raw {
            Body::Whole(bytes) if bytes.is_empty() => Body::None,
            other => other,
        };
        Self { raw, content: None }
    }

    pub(crate) fn raw(&self) -> &Body<'r> {
        &self.raw
    }

    /// All of the body, where it is there.
    pub(crate) fn whole(&self) -> Option<&[u8]> {
        match &self.raw {
            Body::Whole(bytes) => Some(bytes),
            Body::Pending | Body::None | Body::Unreadable => None,
        }
    }

    pub(crate) fn fault(&self) -> Option<BodyFault> {
        match (&self.raw, &self.content) {
            (Body::Unreadable, _) => Some(BodyFault::Unreadable),
            (_, Some(Content::Unparsable)) => Some(BodyFault::Unparsable),
            _ => None,
        }
    }

    /// The parameter with this key, which has this number among all keys that are ever asked for.
    pub(crate) fn parameter<'c>(
        &mut self,
        keys: &Keys,
        number: usize,
        content_type: impl FnOnce() -> Option<Bytes<'c>>,
    ) -> Option<Parameter> {
        let Body::Whole(bytes) = &self.raw else { return None };
        let content = self.content.get_or_insert_with(|| Content::of(bytes, keys, content_type()));
        match content {
            Content::Json(found) => json_value(bytes, keys.value(found, number)?),
            Content::Form(fields) => {
                let range = keys.field(fields, number)?;
                Some(match query::found(bytes, range) {
                    query::Found::AsSent(range) => Parameter::AsSent(range),
                    query::Found::Decoded(value) => Parameter::Decoded(value),
                })
            }
            Content::Unparsable => None,
        }
    }
}

impl Content {
    /// A form where the content type says so; anything else is taken for JSON, because clients
    /// send JSON under many names.
    fn of(bytes: &[u8], keys: &Keys, content_type: Option<Bytes<'_>>) -> Self {
        const FORM: &[u8] = b"application/x-www-form-urlencoded";
        let content_type = content_type.unwrap_or_default();
        let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
        if media_type.trim_ascii().eq_ignore_ascii_case(FORM) {
            return Self::Form(keys.find_in_form(bytes));
        }
        keys.find(bytes).map_or(Self::Unparsable, Self::Json)
    }
}

/// The value of a piece of JSON: a string without its quotes and escapes, a list or an object
/// without blanks, anything else as it is written.
fn json_value(body: &[u8], range: Range<usize>) -> Option<Parameter> {
    let text = body.get(range.clone())?;
    Some(match text.first()? {
        b'"' => match Reader::new(text).text().ok()?.bytes() {
            Cow::Borrowed(inner) => {
                Parameter::AsSent(range.start + 1..range.start + 1 + inner.len())
            }
            Cow::Owned(decoded) => Parameter::Decoded(decoded),
        },
        b'{' | b'[' => match json::compact(text) {
            Cow::Borrowed(_) => Parameter::AsSent(range),
            Cow::Owned(compact) => Parameter::Decoded(compact),
        },
        _ => Parameter::AsSent(range),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn parameter(content_type: Option<&str>, body: &[u8], key: &str) -> Option<String> {
        let keys = Keys::new([(0, "user"), (3, key), (5, "user.id.x")].into_iter());
        let mut parsed = Parsed::new(Body::Whole(Cow::Borrowed(body)));
        let content_type = || content_type.map(|text| Cow::Borrowed(text.as_bytes()));
        let value = match parsed.parameter(&keys, 3, content_type)? {
            Parameter::AsSent(range) => body[range].to_vec(),
            Parameter::Decoded(value) => value,
        };
        Some(String::from_utf8_lossy(&value).into_owned())
    }

    #[test]
    fn json_is_read_by_dotted_keys() {
        let body =
            br#" {"user": {"id":42, "tags":["a", "b"],"vip":true,"none":null,"n":1.10,"e":1e5},"x":{"y":1},"x.y":"dots"} "#;
        let table = [
            ("user.id", Some("42")),
            ("user.tags.1", Some("b")),
            ("user.tags.2", None),
            ("user.tags.01", None),
            ("user.tags", Some(r#"["a","b"]"#)),
            ("user.vip", Some("true")),
            ("user.none", Some("null")),
            ("user.n", Some("1.10")), // a number's own text
            ("x.y", Some("dots")),
            ("user.id.x", None),
            ("user", Some(r#"{"id":42,"tags":["a","b"],"vip":true,"none":null,"n":1.10,"e":1e5}"#)),
            ("user.e", Some("1e5")),
            ("nobody", None),
        ];
        for content_type in [Some("application/json"), Some("text/plain"), None] {
            for (key, value) in table {
                assert_eq!(parameter(content_type, body, key).as_deref(), value, "{key}");
            }
        }
        assert_eq!(parameter(None, b"[[7]]", "0.0").as_deref(), Some("7"));
    }

    #[test]
    fn forms_are_read_by_name() {
        let form = Some("Application/X-WWW-Form-URLencoded; charset=utf-8");
        for (key, value) in [("a", Some("1 2")), ("b", Some("")), ("c", None)] {
            assert_eq!(parameter(form, b"a=1+2&b&a=3", key).as_deref(), value, "{key}");
        }
    }

    #[test]
    fn what_is_not_asked_for_spoils_nothing() {
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        for other in
            [r#"{"$serde_json::private::Number":"x"}"#, r#""\ud800""#, "\"\u{ff}\"", "1e999", &deep]
        {
            for body in [
                format!(r#"{{"other":{other},"role":"admin"}}"#),
                format!(r#"{{"role":"admin","other":{other}}}"#),
            ] {
                assert_eq!(
                    parameter(None, body.as_bytes(), "role").as_deref(),
                    Some("admin"),
                    "{body:.80}"
                );
            }
        }
        let number = br#"{"role":{"$serde_json::private::Number":"7"}}"#;
        let told = parameter(None, number, "role");
        assert_eq!(told.as_deref(), Some(r#"{"$serde_json::private::Number":"7"}"#));
    }

    #[test]
    fn the_last_of_repeated_fields_counts_with_all_in_it() {
        for (body, value) in [
            (r#"{"a":{"b":1},"a":{"b":2}}"#, Some("2")),
            (r#"{"a":{"b":1},"a":{"c":2}}"#, None),
            (r#"{"a":{"b":1},"a":7}"#, None),
            (r#"{"a":{"b":1,"b":{}}}"#, Some("{}")),
            (r#"{"a":[],"a":{"b":3}}"#, Some("3")),
            (r#"{"a":{"b":1},"a.b":4}"#, Some("4")),
            (r#"{"\u0061":{"b":5}}"#, Some("5")),
        ] {
            assert_eq!(parameter(None, body.as_bytes(), "a.b").as_deref(), value, "{body}");
        }
    }

    #[test]
    fn junk_has_no_parameters() {
        let keys = Keys::new([(0, "a")].into_iter());
        for body in [&b"{"[..], b" ", b"\xff\xfe", b"a=1", b"{\"a\":1}{", &b"[".repeat(10_000)] {
            let mut parsed = Parsed::new(Body::Whole(Cow::Borrowed(body)));
            assert_eq!(parsed.parameter(&keys, 0, || None), None);
            assert_eq!(parsed.fault(), Some(BodyFault::Unparsable));
        }
        let mut nothing = Parsed::new(Body::Whole(Cow::Borrowed(b"")));
        assert_eq!(nothing.parameter(&keys, 0, || None), None);
        assert_eq!((nothing.fault(), nothing.raw()), (None, &Body::None));
    }

    /// The same by a tree.
    fn by_tree(tree: &Value, key: &str) -> Option<Value> {
        let found = tree.get(key).or_else(|| {
            key.split('.').try_fold(tree, |value, step| match value {
                Value::Object(fields) => fields.get(step),
                Value::Array(elements) => {
                    let canonical = step == "0" || !step.starts_with(['0', '+']);
                    elements.get(step.parse::<usize>().ok().filter(|_| canonical)?)
                }
                _ => None,
            })
        });
        found.cloned()
    }

    fn tree() -> impl Strategy<Value = String> {
        let scalar = prop_oneof![
            Just("1".to_owned()),
            Just("true".to_owned()),
            Just("null".to_owned()),
            Just(r#""x y""#.to_owned()),
            Just(r#""\u0061\"""#.to_owned()),
        ];
        let name = prop::sample::select(vec!["a", "b", "a.b", "0", "1", "\\u0061", ""]);
        scalar.prop_recursive(5, 40, 4, move |inner| {
            let fields = prop::collection::vec((name.clone(), inner.clone()), 0..4);
            prop_oneof![
                prop::collection::vec(inner, 0..4)
                    .prop_map(|list| format!("[{}]", list.join(", "))),
                fields.prop_map(|fields| {
                    let fields = fields.iter().map(|(name, value)| format!("\"{name}\" :{value}"));
                    format!("{{ {} }}", fields.collect::<Vec<_>>().join(","))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_pass_finds_what_a_tree_has(
            body in tree(),
            asked in prop::collection::vec(r"[ab01]?(\.[ab01]){0,3}", 1..6),
        ) {
            let tree: Value = serde_json::from_str(&body).expect("JSON");
            let keys = Keys::new(asked.iter().map(String::as_str).enumerate());
            let mut parsed = Parsed::new(Body::Whole(Cow::Borrowed(body.as_bytes())));
            for (number, key) in asked.iter().enumerate() {
                let found = parsed.parameter(&keys, number, || None).map(|value| match value {
                    Parameter::AsSent(range) => body.as_bytes()[range].to_vec(),
                    Parameter::Decoded(value) => value,
                });
                match by_tree(&tree, key) {
                    Some(Value::String(text)) => prop_assert_eq!(found, Some(text.into_bytes())),
                    Some(value) => {
                        let found = found.and_then(|found| serde_json::from_slice::<Value>(&found).ok());
                        prop_assert_eq!(found, Some(value));
                    }
                    None => prop_assert_eq!(found, None),
                }
            }
        }
    }
}
