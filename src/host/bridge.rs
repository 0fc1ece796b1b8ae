//! What Kong's plugin `tse-route-bridge` and the filter tell each other.
//!
//! The bridge writes itself into the configuration before the filter reads it, as the first member
//! of its text: `{"$bridge":{"protocol":3,"id":17}, …`. The filter answers each request with one
//! request header, [`DECISION`], which the bridge follows and takes away. Neither ever runs inside
//! a call of the other: Lua that runs while a filter does has killed workers.

use super::gateway::parse_number;
use crate::config::first_json_value;
pub use crate::config::{
    DECISION_HEADER as DECISION, FAILURES_HEADER as FAILURES, UNFOLLOWED_HEADER as UNFOLLOWED,
};
use serde_json::Value;
use std::borrow::Cow;

/// The version of the protocol that this filter speaks.
const PROTOCOL: u64 = 3;

/// What a configuration says of the bridge.
#[derive(Clone, Debug, PartialEq)]
pub enum Greeting {
    /// Nothing: there is no bridge.
    Absent,
    /// There is one that speaks otherwise; with what was found.
    Foreign(String),
    /// There is one.
    Bridge(Bridge),
}

/// A bridge that speaks the protocol of this filter.
#[derive(Clone, Debug, PartialEq)]
pub struct Bridge {
    /// The configuration, as the bridge calls it.
    pub id: Value,
    /// The same as text, as it stands before the number of a circuit breaker.
    pub label: Box<str>,
    /// Whether the request passes other filters of this kind, too.
    pub has_others: bool,
}

impl Bridge {
    /// The failures that [`FAILURES`] tells of this configuration, by the number of their circuit
    /// breaker: `17.3=2,18.0=1` are two of the third of configuration 17, and one of another's.
    pub fn failures(&self, told: &[u8]) -> Vec<(usize, u32)> {
        let pair = |pair: &[u8]| {
            let equals = pair.iter().rposition(|byte| *byte == b'=')?;
            let (breaker, count) = pair.split_at_checked(equals)?;
            let number = breaker.strip_prefix(self.label.as_bytes())?.strip_prefix(b".")?;
            Some((parse_number(number)?, parse_number(count.strip_prefix(b"=")?)?))
        };
        told.split(|byte| *byte == b',').filter_map(pair).collect()
    }
}

/// Takes what the bridge says out of a configuration, and returns both.
pub fn greeting(json: &[u8]) -> (Greeting, Cow<'_, [u8]>) {
    match split(json) {
        Some((value, rest)) => (read(&value), Cow::Owned(rest)),
        None => (Greeting::Absent, Cow::Borrowed(json)),
    }
}

/// The value of the first member, if that is the bridge's, and the object without it.
fn split(json: &[u8]) -> Option<(Value, Vec<u8>)> {
    let text = json.trim_ascii_start().strip_prefix(br#"{"$bridge":"#)?;
    let (value, length) = first_json_value(text)?;
    let rest = text.get(length..)?.trim_ascii_start();
    let rest = rest.strip_prefix(b",").unwrap_or(rest);
    Some((value, [b"{", rest].concat()))
}

fn read(value: &Value) -> Greeting {
    if value["protocol"].as_u64() != Some(PROTOCOL) {
        return Greeting::Foreign(format!("found protocol {}", value["protocol"]));
    }
    let id = &value["id"];
    match id.as_str().map(str::to_owned).or_else(|| id.as_u64().map(|id| id.to_string())) {
        Some(label) if is_label(&label) => Greeting::Bridge(Bridge {
            id: id.clone(),
            label: label.into(),
            has_others: value["others"].as_u64().is_some_and(|others| others > 0),
        }),
        _ => Greeting::Foreign(format!("found the id {id}")),
    }
}

/// Whether it can be told apart from what stands around it.
fn is_label(label: &str) -> bool {
    !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
