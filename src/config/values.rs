//! The small values of a configuration: text, shares, header names.

use super::read::{Field, mismatch, quote};
use super::report::Cursor;
use serde_json::Value;
use std::fmt;

/// A text to compare with; numbers and booleans are taken as their text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(pub String);

impl Text {
    /// The text that stands for a JSON scalar, if it is one.
    fn of(value: &Value) -> Option<String> {
        match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            _ => None,
        }
    }
}

impl Field for Text {
    fn read<'v>(value: &'v Value, at: &mut Cursor<'v>) -> Self {
        Self(Self::of(value).unwrap_or_else(|| {
            mismatch(value, "a string, a number or a boolean", at);
            String::new()
        }))
    }

    #[cfg(feature = "schema")]
    fn schema() -> Value {
        serde_json::json!({ "type": ["string", "number", "boolean"] })
    }
}

/// A share of a rule's traffic, kept exactly: the unit is a hundredth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u64);

impl Share {
    /// How many hundredths one whole unit of `weight` has.
    pub const SCALE: u64 = 100;

    /// The largest share: more than any `weight_total`.
    const LARGEST: f64 = 1e9;

    /// A share of so many whole units.
    pub const fn whole(units: u64) -> Self {
        Self(units.saturating_mul(Self::SCALE))
    }

    /// A share of so many hundredths.
    pub const fn hundredths(hundredths: u64) -> Self {
        Self(hundredths)
    }

    /// The share in hundredths.
    pub const fn in_hundredths(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (units, rest) = (self.0 / Self::SCALE, self.0 % Self::SCALE);
        match rest {
            0 => write!(f, "{units}"),
            rest if rest.is_multiple_of(10) => write!(f, "{units}.{}", rest / 10),
            rest => write!(f, "{units}.{rest:02}"),
        }
    }
}

impl Field for Share {
    fn read<'v>(value: &'v Value, at: &mut Cursor<'v>) -> Self {
        let hundredths = value
            .as_f64()
            .filter(|number| (0.0..=Self::LARGEST).contains(number))
            .map(|number| number * Self::SCALE as f64);
        match hundredths {
            // A hair's breadth is what is left of two decimals that went through a binary float.
            Some(exact) if (exact - exact.round()).abs() < 1e-6 * exact.max(1.0).sqrt() => {
                Self(exact.round() as u64)
            }
            _ => {
                let accepted = match value.as_f64() {
                    Some(number) if number > Self::LARGEST => "a number of at most 1000000000",
                    _ => "a number of 0 or more with at most two decimals",
                };
                mismatch(value, accepted, at);
                Self(0)
            }
        }
    }

    #[cfg(feature = "schema")]
    fn schema() -> Value {
        // `multipleOf: 0.01` would refuse 0.07 on hosts that divide floats; the filter checks the decimals.
        serde_json::json!({ "type": "number", "minimum": 0, "maximum": 1_000_000_000 })
    }
}

/// Whether this is a `token` (RFC 9110, section 5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_allowed)
}

/// The JSON Schema of a `token`.
#[cfg(feature = "schema")]
pub(super) fn token_schema() -> Value {
    serde_json::json!({ "type": "string", "pattern": "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$" })
}

/// The name of an HTTP header, kept in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderName(String);

impl HeaderName {
    /// A name in lower case, if it is a `token` (RFC 9110, section 5.6.2).
    pub fn parse(name: &str) -> Option<Self> {
        is_token(name).then(|| Self(name.to_ascii_lowercase()))
    }

    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Field for HeaderName {
    fn read<'v>(value: &'v Value, at: &mut Cursor<'v>) -> Self {
        let Some(text) = value.as_str() else {
            mismatch(value, "the name of a header", at);
            return Self::default();
        };
        Self::parse(text).unwrap_or_else(|| {
            at.error(format!(
                "found {}; accepted is the name of a header: letters, digits and !#$%&'*+-.^_`|~",
                quote(text)
            ));
            Self::default()
        })
    }

    #[cfg(feature = "schema")]
    fn schema() -> Value {
        token_schema()
    }
}

/// The value of an HTTP header that the filter sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderValue(pub String);

impl Field for HeaderValue {
    fn read<'v>(value: &'v Value, at: &mut Cursor<'v>) -> Self {
        let Some(text) = Text::of(value) else {
            mismatch(value, "a string, a number or a boolean", at);
            return Self::default();
        };
        // RFC 9110, section 5.5: a line break in a value would start another header.
        if text.contains(['\r', '\n', '\0']) {
            at.error(format!("found {}; accepted is text without line breaks", quote(&text)));
        }
        Self(text)
    }

    #[cfg(feature = "schema")]
    fn schema() -> Value {
        serde_json::json!({ "type": ["string", "number", "boolean"], "pattern": "^[^\\r\\n\\x00]*$" })
    }
}

/// The name of an upstream: it travels in headers and in log lines, so it has no spaces and no control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamName(pub String);

impl Field for UpstreamName {
    fn read<'v>(value: &'v Value, at: &mut Cursor<'v>) -> Self {
        let Some(name) = value.as_str() else {
            mismatch(value, "the name of an upstream, or null for the service's own", at);
            return Self::default();
        };
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            at.error(format!(
                "found {}; accepted is a name of visible ASCII characters without spaces, \
                 or null for the service's own upstream",
                quote(name)
            ));
        }
        Self(name.to_owned())
    }

    #[cfg(feature = "schema")]
    fn schema() -> Value {
        serde_json::json!({ "type": "string", "pattern": "^[!-~]+$" })
    }
}
