//! A configuration in force, shared by all requests that it decides.

use super::breakers::Breakers;
use super::clock::Clock;
use crate::Loaded;
use crate::config::{Condition, Config, Location};
use crate::effect::{Effect, Effects};
use crate::engine::{Answers, Choice, HeadParts};
use crate::host::{self, Bodies, Greeting, Head, Host};
use crate::observe::metrics::Metrics;
use std::cell::OnceCell;

/// A loaded configuration with all that can be prepared for it.
pub struct Plugin {
    pub loaded: Loaded,
    pub host: Box<dyn Host>,
    pub effects: Effects,
    pub breakers: Breakers,
    /// Whether all headers of a request are read at once.
    reads_at_once: bool,
    /// None where nothing is counted; filled when the first request or tick comes.
    metrics: Option<OnceCell<Metrics>>,
    /// The number of the root context.
    root: u32,
}

impl Plugin {
    /// Prepares a configuration that was read from `json`; `root` is the number of its context.
    pub fn new(
        loaded: Loaded,
        json: &[u8],
        root: u32,
        (is_envoy, greeting): (bool, &Greeting),
    ) -> Self {
        let host = host::of(&loaded.config, is_envoy, greeting);
        let bridge = match greeting {
            Greeting::Bridge(bridge) => Some((&bridge.id, &*bridge.label)),
            Greeting::Absent | Greeting::Foreign(_) => None,
        };
        let effects = Effects::new(&loaded.config, &loaded.table, bridge);
        let counts = loaded.config.metrics && host.counts();
        let breakers = Breakers::new(&loaded, json);
        let reads_at_once = host.has_whole_head() && reads_much(loaded.table.head());
        let metrics = counts.then(OnceCell::new);
        Self { loaded, host, effects, breakers, reads_at_once, metrics, root }
    }

    /// The head of the request at hand.
    pub fn head(&self) -> Head {
        Head::new(self.reads_at_once)
    }

    /// Whether anything is counted.
    pub fn counts(&self) -> bool {
        self.metrics.is_some()
    }

    /// What is counted of the configuration; none where nothing is.
    ///
    /// Defined when it is first needed and not when the configuration is loaded: Envoy loads each
    /// configuration in a VM of its own first, only to see whether it can be, and what is defined
    /// there is never undone. A gateway whose rules get new names at each change would gather them.
    pub fn metrics(&self) -> Option<&Metrics> {
        let define = || {
            let metrics = Metrics::define(&self.loaded.table, self.root);
            self.breakers.show_in(&metrics);
            metrics
        };
        self.metrics.as_ref().map(|metrics| metrics.get_or_init(define))
    }

    /// Says in the log what the gateway lacks of what the configuration needs.
    pub fn report_lacks(&self) {
        let Bodies::Never(refusal) = self.host.bodies() else { return };
        let is_refused = |effect: &Effect| self.host.refuses(effect).is_some();
        if reads_bodies(&self.loaded.config) || self.effects.all().any(is_refused) {
            log::error!("{}: {}", refusal.word(), refusal.sentence());
        } else {
            log::warn!(
                "without the plugin tse-route-bridge a request that carries `{}` itself is \
                 answered with 400, since Kong keeps a filter from taking it away",
                self.loaded.config.upstream_header.as_str(),
            );
        }
    }

    /// Shows circuit breakers that are not closed, and the weights of this moment.
    pub fn show_state(&self) {
        if let Some(metrics) = self.metrics() {
            let now = Clock::default().now();
            self.breakers.show(&self.loaded.table, now);
            metrics.show_weights(&self.loaded.table, now);
        }
    }

    /// Tells the circuit breaker of a choice how a request went that was decided and answered at
    /// these times; latencies are milliseconds.
    pub fn count_judged(&self, choice: Choice, times: (u64, u64), failed: bool, latency: u64) {
        if let Some(breaker) = self.loaded.table.breaker(choice) {
            let answer = breaker.1.answer(failed, latency);
            self.breakers.record(self.host.as_ref(), breaker, times, answer);
        }
    }

    /// Counts what failed without the filter being called.
    pub fn count_failures(&self, clock: &Clock) {
        if self.loaded.table.breakers() == 0 {
            return;
        }
        let host = self.host.as_ref();
        for (number, count) in host.failures() {
            if let Some(policy) = self.loaded.table.policy(number) {
                let now = clock.now();
                self.breakers.record(host, (number, policy), (now, now), Answers::refused(count));
            }
        }
    }
}

/// Whether so many parts of requests may be looked at that all headers at once cost less.
///
/// On Envoy all of them cost about as much as one and a half, but some of the parts may be absent,
/// which costs little to find out, or not be asked for. Cookies and baggage take all headers anyway.
fn reads_much(parts: HeadParts) -> bool {
    parts.count >= if parts.has_repeated { 2 } else { 3 }
}

/// Whether a decision can depend on the body of a request.
fn reads_bodies(config: &Config) -> bool {
    let reads = |condition: &Condition| {
        condition.locations.iter().any(|(location, _)| *location == Location::Body)
    };
    config.rules.iter().any(|rule| rule.enabled && rule.condition.as_ref().is_some_and(reads))
}
