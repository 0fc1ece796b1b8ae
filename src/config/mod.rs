//! What an operator writes: the configuration, its defaults and its faults.
//!
//! [`parse`] reads JSON strictly and reports every fault with its place. What a value *means* to a
//! request is the business of [`crate::engine`], which adds its own faults to the same report.

mod baggage;
mod check;
mod check_delivery;
mod condition;
mod delivery;
mod model;
mod placeholders;
mod read;
mod report;
#[cfg(feature = "schema")]
mod schema;
#[cfg(feature = "schema")]
mod schema_parts;
mod tree;
mod values;
mod written;

pub use baggage::{BAGGAGE_BYTES, BaggageChanges, BaggageKey, Member};
pub use condition::{Condition, Delimiter, Item, Items, Location, MAX_ITEMS, Operator, SystemKey};
pub use delivery::{
    CircuitBreaker, CookieName, CookiePath, HashOn, NamedWeights, Rate, Rollout, Span, Stage,
    Timestamp,
};
pub use model::{
    Config, GlobalConfig, Header, HostChoice, MAX_RULES, MAX_UPSTREAMS, MatchType, RequestHeaders,
    ResponseHeaderNames, ResponseHeaders, RouteBy, Rule, Upstream, Upstreams,
};
pub(crate) use placeholders::printable;
pub use placeholders::{OWN, Placeholders};
pub use read::Whole;
pub use read::{nearest, quote};
pub(crate) use report::Cursor;
pub use report::{Fault, MAX_FAULTS, Report, Severity};
#[cfg(feature = "schema")]
pub use schema::{kong_meta, schema};
pub use tree::{MAX_BYTES, first_json_value, json_value};
pub use values::{HeaderName, HeaderValue, Share, Text, UpstreamName};
pub use written::{
    ChangedHeader, DECISION_HEADER, DEFAULT_UPSTREAM_HEADER, FAILURES_HEADER, HeaderSwitch,
    InternalHeader, UNFOLLOWED_HEADER,
};

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
    match tree::read(json) {
        Ok(tree) => {
            let (config, mut report) = read(&tree.value);
            for path in tree.repeated {
                report.add_error(path, "found a second time; accepted is each field once");
            }
            (config, report)
        }
        Err(reason) => (Config::default(), Report::of_whole(reason)),
    }
}

/// [`parse`] for JSON that has been read already.
pub fn read(value: &Value) -> (Config, Report) {
    let mut at = Cursor::new(Report::default());
    let config = Option::<Config>::read(value, &mut at).unwrap_or_default();
    let report = check::check(&config, at.finish());
    (config, report)
}
