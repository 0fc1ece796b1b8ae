//! Kong's bridge plugin, as far as the filter and the client can tell.

use super::exchange::{Exchange, Phase};
use super::gateway::{Answer, OWN, Refused};
use super::headers::Headers;
use serde_json::Value;
use std::collections::BTreeMap;

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
    let upstream = message["upstream"].as_str();
    exchange.bridge_result = match (message["rule"].as_str(), upstream.map(healthy)) {
        (None, _) => "none",
        (Some(_), None) => "own",
        (Some(_), Some(None)) => "unknown-upstream",
        (Some(_), Some(Some(false))) => "no-healthy-target",
        (Some(_), Some(Some(true))) => "routed",
    };
    if exchange.bridge_result == "routed" {
        exchange.upstream = upstream.unwrap_or(OWN).to_owned();
    }
    let follows = matches!(exchange.bridge_result, "own" | "routed");
    exchange.breaker = message["breaker"].as_str().filter(|_| follows).map(str::to_owned);
    // An error that the filter reports stands in place of a rule.
    let error = match exchange.bridge_result {
        "none" => message["error"].as_str(),
        "own" | "routed" => None,
        failed => Some(failed),
    };
    for (kind, value) in [
        ("rule", message["rule"].as_str()),
        ("upstream", upstream.filter(|_| exchange.bridge_result == "routed")),
        ("name", message["name"].as_str()),
        ("error", error),
    ] {
        let Some(value) = value else { continue };
        if let Some(header) = message["headers"][kind].as_str() {
            exchange.imposed.set(header, value);
        }
        exchange.published.insert(format!("tse_route_{kind}"), value.into());
    }
    Ok(())
}

/// Requests that failed without the filter being called, by configuration and circuit breaker.
#[derive(Clone, Debug, Default)]
pub struct Outages(BTreeMap<String, BTreeMap<u32, u32>>);

impl Outages {
    /// Notes a request under the number of its configuration and that of its breaker: `7.2`.
    pub fn note(&mut self, breaker: &str) {
        let (configuration, number) = breaker.split_once('.').expect("two numbers");
        let number = number.parse().expect("the number of a breaker");
        *self.0.entry(configuration.to_owned()).or_default().entry(number).or_default() += 1;
    }

    /// What has failed of a configuration, which is told once.
    pub fn take(&mut self, configuration: &str) -> Option<String> {
        let counts = self.0.remove(configuration)?;
        let pairs: Vec<_> =
            counts.into_iter().map(|(number, count)| format!("{number}={count}")).collect();
        Some(pairs.join(","))
    }
}
