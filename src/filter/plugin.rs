//! A configuration in force, shared by all requests that it decides.

use super::breakers::Breakers;
use super::request::Clock;
use crate::Loaded;
use crate::engine::Answers;
use crate::host::{self, Host};
use crate::observe::effect::Effects;

/// A loaded configuration with all that can be prepared for it.
pub struct Plugin {
    pub loaded: Loaded,
    pub effects: Effects,
    pub breakers: Breakers,
    /// The number of the root context; Kong's bridge tells configurations apart by it.
    pub id: u32,
}

impl Plugin {
    /// Prepares a configuration that was read from `json`.
    pub fn new(loaded: Loaded, json: &[u8], id: u32) -> Self {
        let effects = Effects::new(&loaded.config, &loaded.table, id);
        let breakers = Breakers::new(&loaded, json);
        Self { loaded, effects, breakers, id }
    }

    pub fn host(&self) -> &'static dyn Host {
        host::current(self.loaded.config.host)
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
