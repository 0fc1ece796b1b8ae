//! What an operator writes: the configuration, its defaults and its faults.
//!
//! [`parse`] reads JSON strictly and reports every fault with its place. What a value *means* to a
//! request is the business of [`crate::engine`], which adds its own faults to the same report.

mod check;
mod check_delivery;
mod condition;
mod delivery;
mod model;
mod read;
mod repeated;
mod report;
#[cfg(feature = "schema")]
mod schema;
#[cfg(feature = "schema")]
mod schema_parts;
mod values;

pub use condition::{Condition, Delimiter, Item, Items, Location, MAX_ITEMS, Operator, SystemKey};
pub use delivery::{
    CircuitBreaker, CookieName, CookiePath, HashOn, NamedWeights, Rate, Rollout, Span, Stage,
    Timestamp,
};
pub use model::{
    Config, DEFAULT_UPSTREAM_HEADER, GlobalConfig, Header, HostChoice, MAX_RULES, MAX_UPSTREAMS,
    MatchType, RequestHeaders, ResponseHeaderNames, ResponseHeaders, RouteBy, Rule, Upstream,
    Upstreams,
};
pub use read::Whole;
pub use read::{nearest, quote};
pub(crate) use report::Cursor;
pub use report::{Fault, Report, Severity};
#[cfg(feature = "schema")]
pub use schema::{kong_meta, schema};
pub use values::{HeaderName, HeaderSwitch, HeaderValue, Share, Text, UpstreamName};

use read::Field;
use serde_json::Value;

/// Reads a configuration. Nothing at all, or `null`, is the configuration without rules.
///
/// What could not be read stands as its default in the result: it is of use only if the report
/// says so, or for finding more faults.
pub fn parse(json: &[u8]) -> (Config, Report) {
    if json.trim_ascii().is_empty() {
        return (Config::default(), Report::default());
    }
    match serde_json::from_slice(json) {
        Ok(value) => {
            let (config, mut report) = read(&value);
            for path in repeated::repeated_fields(json) {
                report.add_error(path, "found a second time; accepted is each field once");
            }
            (config, report)
        }
        Err(error) => (Config::default(), Report::of_whole(not_json(json, &error))),
    }
}

fn not_json(text: &[u8], error: &serde_json::Error) -> String {
    // Envoy hands a Struct over as protobuf: the tag of a field, and in it that of a value.
    let is_protobuf = text.starts_with(b"\n") && text.contains(&0x12);
    let hint = if is_protobuf {
        "; in Envoy the configuration must be a google.protobuf.StringValue"
    } else {
        ""
    };
    format!("not JSON: {error}{hint}")
}

/// [`parse`] for JSON that has been read already.
pub fn read(value: &Value) -> (Config, Report) {
    let mut at = Cursor::new(Report::default());
    let config = Option::<Config>::read(value, &mut at).unwrap_or_default();
    let report = check::check(&config, at.finish());
    (config, report)
}
