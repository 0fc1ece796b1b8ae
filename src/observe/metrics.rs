//! Counters, on gateways that count.

use crate::engine::Admission;
use crate::host::Host;
use crate::host::abi::{self, MetricKind};
use hashbrown::HashMap;
use std::cell::RefCell;

thread_local! {
    /// The counters by the start of their name and a word of a fixed set.
    static COUNTERS: RefCell<HashMap<(&'static str, &'static str), Option<u32>>> =
        RefCell::default();
}

/// Counts an error in `tse_route_errors_total{reason}`, where the gateway counts.
///
/// proxy-wasm metrics have no labels: they stand in the name, where Envoy's `stats_tags` find them.
pub fn count_error(host: &dyn Host, reason: &'static str) {
    count(host, "tse_route_errors_total;reason=", reason);
}

/// Counts a change of a circuit breaker in `tse_route_breaker_changes_total{state}`.
pub fn count_breaker_change(host: &dyn Host, state: Admission) {
    count(host, "tse_route_breaker_changes_total;state=", state.word());
}

fn count(host: &dyn Host, prefix: &'static str, word: &'static str) {
    if !host.counts() {
        return;
    }
    let id = COUNTERS.with_borrow_mut(|counters| {
        *counters.entry((prefix, word)).or_insert_with(|| {
            abi::define_metric(MetricKind::Counter, &format!("{prefix}{word}")).ok()
        })
    });
    if let Some(id) = id {
        // A counter that does not count must not disturb the request.
        let _ = abi::increment_metric(id, 1);
    }
}
