//! What several tests say of the end of a request.

use crate::harness::{OWN, Outcome};

/// The request header that carries the chosen upstream, unless configured.
pub const INTERNAL: &str = "x-tse-route-upstream";

/// The response headers of a decision.
pub fn shown(rule: &str, upstream: &str) -> (Option<String>, Option<String>) {
    (Some(rule.to_owned()), Some(upstream.to_owned()))
}

/// Nothing was done to the request, and nothing says otherwise.
pub fn assert_untouched(outcome: &Outcome) {
    assert_eq!(outcome.upstream, OWN);
    assert_eq!(outcome.request_header(INTERNAL), [""; 0]);
    assert_eq!(outcome.shown(), (None, None));
    assert_eq!(outcome.error(), None);
    assert!(outcome.published.is_empty(), "{:?}", outcome.published);
}

/// The request stayed with the service's own upstream, and the response says only why.
pub fn assert_refused(outcome: &Outcome, reason: &str) {
    assert_eq!(outcome.error().as_deref(), Some(reason));
    assert_eq!(outcome.upstream, OWN);
    assert_eq!(outcome.shown(), (None, None), "never a header that claims a route not taken");
    assert!(outcome.published.is_empty(), "{:?}", outcome.published);
}

/// The request stayed with the service's own upstream; the bridge says why, and which rule it was.
pub fn assert_refused_by_bridge(outcome: &Outcome, rule: &str, reason: &str) {
    assert_eq!(outcome.error().as_deref(), Some(reason));
    assert_eq!(outcome.upstream, OWN);
    let no_route = (Some(rule.to_owned()), None);
    assert_eq!(outcome.shown(), no_route, "never a header that claims a route not taken");
    assert_eq!(outcome.published("tse_route_error").as_deref(), Some(reason));
    assert_eq!(outcome.published("tse_route_upstream"), None);
}

/// A configuration cannot be used; the bridge says so.
pub fn assert_broken(outcome: &Outcome) {
    const REASON: Option<&str> = Some("invalid-config");
    assert_eq!(outcome.error().as_deref(), REASON);
    assert_eq!(outcome.upstream, OWN);
    assert_eq!(outcome.shown(), (None, None));
    assert_eq!(outcome.published("tse_route_error").as_deref(), REASON);
}

/// The request went where the rule says, and everything says so.
pub fn assert_routed(outcome: &Outcome, rule: &str, upstream: &str) {
    assert_eq!(outcome.upstream, upstream);
    assert_eq!(outcome.shown(), shown(rule, upstream));
    assert_eq!(outcome.error(), None);
    assert_eq!(outcome.published("tse_route_rule").as_deref(), Some(rule));
    // On Envoy an access log finds the upstream in the request.
    let internal = outcome.request_header(INTERNAL).first().map(ToString::to_string);
    let for_log = outcome.published("tse_route_upstream").or(internal);
    assert_eq!(for_log.as_deref(), Some(upstream));
}
