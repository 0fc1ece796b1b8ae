//! Kong's bridge plugin, as far as the filter and the client can tell.

use super::exchange::{Exchange, Phase};
use super::gateway::{Answer, OWN, Refused};
use super::headers::Headers;
use serde_json::Value;

/// Follows a decision of the filter; `{}` takes the last one back. `healthy` says of an Upstream
/// whether it has a target to go to, and nothing of one that there is not.
pub fn decide(
    exchange: &mut Exchange,
    message: &[u8],
    healthy: impl Fn(&str) -> Option<bool>,
) -> Answer<()> {
    if !matches!(exchange.phase, Phase::RequestHeaders | Phase::RequestBody) {
        return Err(Refused::trap("the balancer can run only before the request is sent"));
    }
    let message: Value = serde_json::from_slice(message)
        .map_err(|error| Refused::trap(format!("the bridge got no JSON: {error}")))?;
    exchange.upstream = OWN.to_owned();
    exchange.imposed = Headers::default();
    exchange.published.clear();
    exchange.bridge_result = "none";
    let Some(rule) = message["rule"].as_str() else { return Ok(()) };

    let upstream = message["upstream"].as_str();
    exchange.bridge_result = match upstream.map(healthy) {
        None => "own",
        Some(None) => "unknown-upstream",
        Some(Some(false)) => "no-healthy-target",
        Some(Some(true)) => "routed",
    };
    let mut show = |header: &str, value: Option<&str>| {
        if let (Some(header), Some(value)) = (message["headers"][header].as_str(), value) {
            exchange.imposed.set(header, value);
        }
    };
    if !matches!(exchange.bridge_result, "own" | "routed") {
        show("error", Some(exchange.bridge_result));
        return Ok(());
    }
    show("rule", Some(rule));
    show("upstream", upstream);
    show("name", message["name"].as_str());
    exchange.published.insert("tse_route_rule".to_owned(), rule.into());
    if let Some(upstream) = upstream {
        exchange.published.insert("tse_route_upstream".to_owned(), upstream.into());
        exchange.upstream = upstream.to_owned();
    }
    Ok(())
}
