//! Counters, on gateways that count.

use crate::host::Host;
use crate::host::abi::{self, MetricKind};
use hashbrown::HashMap;
use std::cell::RefCell;

thread_local! {
    /// The counters of errors by reason; reasons are a fixed set of words.
    static ERRORS: RefCell<HashMap<&'static str, Option<u32>>> = RefCell::default();
}

/// Counts an error in `tse_route_errors_total{reason}`, where the gateway counts.
///
/// proxy-wasm metrics have no labels: they stand in the name, where Envoy's `stats_tags` find them.
pub fn count_error(host: &dyn Host, reason: &'static str) {
    if !host.counts() {
        return;
    }
    let id = ERRORS.with_borrow_mut(|errors| {
        *errors.entry(reason).or_insert_with(|| {
            let name = format!("tse_route_errors_total;reason={reason}");
            abi::define_metric(MetricKind::Counter, &name).ok()
        })
    });
    if let Some(id) = id {
        // A counter that does not count must not disturb the request.
        let _ = abi::increment_metric(id, 1);
    }
}
