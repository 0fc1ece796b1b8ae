//! A configuration in force, shared by all requests that it decides.

use super::breakers::Breakers;
use super::clock::Clock;
use crate::Loaded;
use crate::config::{Config, HostChoice};
use crate::effect::Effects;
use crate::engine::Answers;
use crate::host::{self, Host};
use crate::observe::metrics::Metrics;

/// A loaded configuration with all that can be prepared for it.
pub struct Plugin {
    pub loaded: Loaded,
    pub effects: Effects,
    pub breakers: Breakers,
    /// None where nothing is counted.
    pub metrics: Option<Metrics>,
    /// The number of the root context; Kong's bridge tells configurations apart by it.
    pub id: u32,
}

impl Plugin {
    /// Prepares a configuration that was read from `json`.
    pub fn new(loaded: Loaded, json: &[u8], id: u32) -> Self {
        let effects = Effects::new(&loaded.config, &loaded.table, id);
        let metrics = counts(&loaded.config).then(|| Metrics::define(&loaded.table, id));
        let breakers = Breakers::new(&loaded, json, metrics.as_ref());
        Self { loaded, effects, breakers, metrics, id }
    }

    pub fn host(&self) -> &'static dyn Host {
        host::current(self.loaded.config.host)
    }

    /// Shows circuit breakers that are not closed, and the weights of this moment.
    pub fn show_state(&self) {
        if let Some(metrics) = &self.metrics {
            let now = Clock::default().now();
            self.breakers.show(&self.loaded.table, now);
            metrics.show_weights(&self.loaded.table, now);
        }
    }

    /// Counts what failed without the filter being called.
    pub fn count_failures(&self, host: &dyn Host, clock: &Clock) {
        for (number, count) in host.failures(self.id) {
            if let Some(policy) = self.loaded.table.policy(number) {
                let now = clock.now();
                self.breakers.record(host, (number, policy), (now, now), Answers::refused(count));
            }
        }
    }
}

/// Whether the filter may count: on Kong a metric of its own would break `/metrics`.
fn counts(config: &Config) -> bool {
    config.metrics && config.host != HostChoice::Kong && host::is_certainly_envoy()
}
