//! Parameters of a body: JSON by dotted keys, form fields by name.

use super::parse::query::{Found, find_in_form};
use super::request::{Body, Bytes};
use serde_json::Value;

/// Why a body that a rule asked for has no parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// It is larger than `body_max_bytes`, or the gateway did not hand it over.
    Unreadable,
    /// It is neither JSON nor a form.
    Unparsable,
}

/// A body, parsed when a parameter is first asked for.
pub(crate) struct Parsed<'r> {
    raw: Body<'r>,
    content: Option<Content>,
}

enum Content {
    Json(Value),
    Form,
    Unparsable,
}

impl<'r> Parsed<'r> {
    pub(crate) fn new(raw: Body<'r>) -> Self {
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

    /// The parameter with this key.
    pub(crate) fn parameter<'c>(
        &mut self,
        key: &str,
        content_type: impl FnOnce() -> Option<Bytes<'c>>,
    ) -> Option<Vec<u8>> {
        let Body::Whole(bytes) = &self.raw else { return None };
        let content = self.content.get_or_insert_with(|| Content::of(bytes, content_type()));
        match content {
            Content::Json(value) => json_parameter(value, key),
            Content::Form => match find_in_form(bytes, key.as_bytes())? {
                Found::AsSent(range) => bytes.get(range).map(<[u8]>::to_vec),
                Found::Decoded(value) => Some(value),
            },
            Content::Unparsable => None,
        }
    }
}

impl Content {
    /// A form where the content type says so; anything else is taken for JSON, because clients
    /// send JSON under many names.
    fn of(bytes: &[u8], content_type: Option<Bytes<'_>>) -> Self {
        const FORM: &[u8] = b"application/x-www-form-urlencoded";
        let content_type = content_type.unwrap_or_default();
        let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
        if media_type.trim_ascii().eq_ignore_ascii_case(FORM) {
            return Self::Form;
        }
        serde_json::from_slice(bytes).map_or(Self::Unparsable, Self::Json)
    }
}

/// The value at a dotted key: names of fields and indexes of lists. A field whose own name has
/// the dots wins.
fn json_parameter(value: &Value, key: &str) -> Option<Vec<u8>> {
    let found = value.get(key).or_else(|| {
        key.split('.').try_fold(value, |value, step| match value {
            Value::Object(fields) => fields.get(step),
            Value::Array(elements) => {
                let canonical = step == "0" || !step.starts_with(['0', '+']);
                elements.get(step.parse::<usize>().ok().filter(|_| canonical)?)
            }
            _ => None,
        })
    })?;
    Some(match found {
        Value::String(text) => text.clone().into_bytes(),
        other => other.to_string().into_bytes(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;

    fn parameter(content_type: Option<&str>, body: &[u8], key: &str) -> Option<String> {
        let mut parsed = Parsed::new(Body::Whole(Cow::Borrowed(body)));
        let found = parsed.parameter(key, || content_type.map(|t| Cow::Borrowed(t.as_bytes())));
        found.map(|value| String::from_utf8_lossy(&value).into_owned())
    }

    #[test]
    fn json_is_read_by_dotted_keys() {
        let body =
            br#"{"user":{"id":42,"tags":["a","b"],"vip":true,"none":null,"n":1.10},"x.y":"dots"}"#;
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
    fn junk_has_no_parameters() {
        for body in [&b"{"[..], b"", b"\xff\xfe", b"a=1", &b"[".repeat(10_000)] {
            let mut parsed = Parsed::new(Body::Whole(Cow::Borrowed(body)));
            assert_eq!(parsed.parameter("a", || None), None);
            assert_eq!(parsed.fault(), Some(BodyFault::Unparsable));
        }
    }
}
