//! Headers that the filter writes: not all may be.

use super::read::{Field, mismatch};
use super::report::Cursor;
use super::values::HeaderName;
use serde_json::Value;

/// The name of the request header that carries the chosen upstream, unless configured.
pub const DEFAULT_UPSTREAM_HEADER: &str = "x-tse-route-upstream";

/// The most headers that an upstream may set, add or remove.
pub(super) const MAX_HEADERS: usize = 256;

/// Headers that say where a message ends: a gateway that is told otherwise takes a client's body
/// for another request (RFC 9112, section 11.2).
const FRAMING: [&str; 2] = ["content-length", "transfer-encoding"];

/// Headers of one connection, which a gateway writes itself (RFC 9110, section 7.6.1), besides those
/// that begin with [`OF_PROXIES`].
const OF_CONNECTIONS: [&str; 5] = ["connection", "keep-alive", "te", "trailer", "upgrade"];

const OF_PROXIES: &str = "proxy-";

/// The request header that carries a decision to Kong's bridge.
pub const DECISION_HEADER: &str = "x-tse-route-decision";

/// The request header that tells of requests that failed without the filter being called.
pub const FAILURES_HEADER: &str = "x-tse-route-failures";

/// The response header that tells that a decision was not followed, where a circuit breaker would
/// otherwise count the answer of another upstream.
pub const UNFOLLOWED_HEADER: &str = "x-tse-route-unfollowed";

/// Headers between the filter and Kong's bridge.
const OF_THE_BRIDGE: [&str; 3] = [DECISION_HEADER, FAILURES_HEADER, UNFOLLOWED_HEADER];

/// Headers that a request needs on its way, so that none of them can carry the decision.
const NEEDED: [&str; 2] = ["host", "cookie"];

/// Why a header must not be written by anyone but the gateway.
fn why_reserved(name: &str) -> Option<&'static str> {
    if FRAMING.contains(&name) {
        Some(
            "which says where the message ends: changed, a part of it would pass as another message",
        )
    } else if OF_CONNECTIONS.contains(&name) || name.starts_with(OF_PROXIES) {
        Some("which belongs to a single connection: the gateway writes its own")
    } else if OF_THE_BRIDGE.contains(&name) {
        Some("by which the filter and Kong's plugin tse-route-bridge speak to each other")
    } else {
        None
    }
}

/// Reads a header's name that `refused` has nothing against.
fn read_name<'v>(
    value: &'v Value,
    refused: fn(&str) -> Option<&'static str>,
    at: &mut Cursor<'v>,
) -> HeaderName {
    let name = HeaderName::read(value, at);
    if let Some(reason) = refused(name.as_str()) {
        at.error(format!("found `{}`, {reason}; accepted is any other header", name.as_str()));
    }
    name
}

/// The names of headers without [`why_reserved`] ones and without `more`.
#[cfg(feature = "schema")]
fn schema_without(more: &[&str]) -> Value {
    // Any case: draft 4 knows no flags for patterns.
    let any_case = |word: &str| -> String {
        let both = |c: char| match c.is_ascii_alphabetic() {
            true => format!("[{}{}]", c.to_ascii_lowercase(), c.to_ascii_uppercase()),
            false => c.to_string(),
        };
        word.chars().map(both).collect()
    };
    let words = FRAMING
        .iter()
        .chain(&OF_CONNECTIONS)
        .chain(&OF_THE_BRIDGE)
        .chain(more)
        .map(|word| any_case(word));
    let mut alternatives: Vec<String> = words.map(|word| format!("{word}$")).collect();
    alternatives.push(any_case(OF_PROXIES));
    super::schema_parts::merged(
        HeaderName::schema(),
        serde_json::json!({
            "not": { "type": "string", "pattern": format!("^({})", alternatives.join("|")) },
        }),
    )
}

/// The name of a header of a message that is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangedHeader(HeaderName);

impl ChangedHeader {
    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl Field for ChangedHeader {
    const MOST: usize = MAX_HEADERS;

    fn read<'v>(value: &'v Value, at: &mut Cursor<'v>) -> Self {
        Self(read_name(value, why_reserved, at))
    }

    #[cfg(feature = "schema")]
    fn schema() -> Value {
        schema_without(&[])
    }
}

/// The name of the request header that carries the chosen upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternalHeader(HeaderName);

impl InternalHeader {
    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl Default for InternalHeader {
    fn default() -> Self {
        Self(HeaderName::parse(DEFAULT_UPSTREAM_HEADER).unwrap_or_default())
    }
}

impl Field for InternalHeader {
    /// A name that cannot be used is no name to guard: the usual one stands in for it.
    fn read<'v>(value: &'v Value, at: &mut Cursor<'v>) -> Self {
        fn why_refused(name: &str) -> Option<&'static str> {
            let needed = "which the request needs itself: a client's own is taken away";
            NEEDED.contains(&name).then_some(needed).or_else(|| why_reserved(name))
        }
        let name = read_name(value, why_refused, at);
        let is_usable = !name.as_str().is_empty() && why_refused(name.as_str()).is_none();
        if is_usable { Self(name) } else { Self::default() }
    }

    #[cfg(feature = "schema")]
    fn schema() -> Value {
        schema_without(&NEEDED)
    }
}

/// The name of a response header, or `false` for none; `true` stands for the usual name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HeaderSwitch {
    /// The usual name, where the header has one.
    #[default]
    Usual,
    /// No such header.
    Off,
    /// This name, spelled as the operator wrote it.
    Named(String),
}

impl Field for HeaderSwitch {
    fn read<'v>(value: &'v Value, at: &mut Cursor<'v>) -> Self {
        match value {
            Value::Bool(true) => Self::Usual,
            Value::Bool(false) => Self::Off,
            Value::String(text) => {
                read_name(value, why_reserved, at);
                Self::Named(text.clone())
            }
            _ => {
                mismatch(value, "the name of a header, or `false` for none", at);
                Self::Off
            }
        }
    }

    #[cfg(feature = "schema")]
    fn schema() -> Value {
        super::schema_parts::merged(
            schema_without(&[]),
            serde_json::json!({ "type": ["string", "boolean"] }),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn errors<T: Field>(name: &str) -> Vec<String> {
        let value = json!(name);
        let mut at = Cursor::default();
        T::read(&value, &mut at);
        at.finish().errors().map(|error| error.message.clone()).collect()
    }

    #[test]
    fn headers_of_the_message_and_of_the_connection_are_refused() {
        for (name, reason) in [
            ("Content-Length", "where the message ends"),
            ("transfer-encoding", "where the message ends"),
            ("Connection", "a single connection"),
            ("Keep-Alive", "a single connection"),
            ("TE", "a single connection"),
            ("trailer", "a single connection"),
            ("Upgrade", "a single connection"),
            ("Proxy-Authorization", "a single connection"),
            ("proxy-connection", "a single connection"),
        ] {
            for told in [
                errors::<ChangedHeader>(name),
                errors::<InternalHeader>(name),
                errors::<HeaderSwitch>(name),
            ] {
                assert!(told.len() == 1 && told[0].contains(reason), "{name}: {told:?}");
            }
        }
        for name in ["x-tests", "content-type", "Authorization", "tea", "x-proxy-a", "trailers"] {
            assert_eq!(errors::<ChangedHeader>(name), [""; 0]);
            assert_eq!(errors::<InternalHeader>(name), [""; 0]);
        }
        for name in ["Host", "cookie"] {
            assert_eq!(errors::<ChangedHeader>(name), [""; 0]);
            assert!(errors::<InternalHeader>(name)[0].contains("needs itself"));
        }
    }

    #[test]
    fn an_internal_header_that_cannot_be_used_is_the_usual_one() {
        for name in ["cookie", "a b", ""] {
            let value = json!(name);
            let read = InternalHeader::read(&value, &mut Cursor::default());
            assert_eq!(read.as_str(), DEFAULT_UPSTREAM_HEADER);
        }
    }
}
