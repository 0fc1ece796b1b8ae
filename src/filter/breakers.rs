//! Where the states of circuit breakers are kept: in the worker, or in the gateway for all workers.

use crate::Loaded;
use crate::config::json_value;
use crate::engine::{Admission, Answers, Breaker, Choice, Policy, Table};
use crate::host::Host;
use crate::host::abi::{self, Status};
use crate::observe::log as output;
use crate::observe::metrics::{self, Metrics, Pair};
use std::cell::RefCell;
use std::rc::Rc;
use twox_hash::XxHash64;

/// How long a worker goes by what it has read of the shared memory, in milliseconds.
const FRESH: u64 = 100;

/// How often a change is tried anew after another worker was faster.
const TRIES: usize = 8;

/// The circuit breakers of a configuration, by their numbers in its table.
pub struct Breakers {
    breakers: RefCell<Box<[Entry]>>,
    shared: bool,
}

struct Entry {
    /// The key in the shared memory.
    key: Box<str>,
    /// The rule and the upstream, for log lines.
    label: Box<str>,
    choice: Choice,
    /// Where the state is shown; none while or where nothing is counted.
    pair: Option<Rc<Pair>>,
    state: Breaker,
    /// When the state was read from the shared memory.
    read: u64,
    /// What was last told of it.
    told: Admission,
}

impl Breakers {
    /// Breakers that let everything through; `json` is the configuration that they belong to.
    pub fn new(loaded: &Loaded, json: &[u8]) -> Self {
        let shared = loaded.config.shared_memory;
        // Another configuration is another set of breakers, also in the shared memory.
        let configuration = if shared { fingerprint(json) } else { 0 };
        let mut entries = Vec::with_capacity(loaded.table.breakers());
        let rules = loaded.table.rules().iter().enumerate();
        for (position, rule) in rules.filter(|(_, rule)| rule.has_breakers()) {
            let rule_name = metrics::rule_label(rule);
            for (target, upstream) in rule.targets().iter().enumerate() {
                let choice = Choice { rule: position, target };
                let upstream = upstream.name().unwrap_or(metrics::OWN);
                entries.push(Entry {
                    key: format!("tse_route.breaker.{configuration:016x}.{}", entries.len()).into(),
                    label: format!("rule={rule_name:?} upstream={upstream}").into(),
                    choice,
                    pair: None,
                    state: Breaker::default(),
                    read: 0,
                    told: Admission::Closed,
                });
            }
        }
        Self { breakers: RefCell::new(entries.into()), shared }
    }

    /// Shows the states in these metrics from now on.
    pub fn show_in(&self, metrics: &Metrics) {
        for entry in &mut *self.breakers.borrow_mut() {
            entry.pair = metrics.pair(entry.choice).cloned();
        }
    }

    /// What a breaker lets through.
    pub fn admission(
        &self,
        host: &dyn Host,
        number: usize,
        policy: &Policy,
        now: u64,
    ) -> Admission {
        let mut breakers = self.breakers.borrow_mut();
        let Some(entry) = breakers.get_mut(number) else { return Admission::Closed };
        if self.shared && !(entry.read..entry.read.saturating_add(FRESH)).contains(&now) {
            // What cannot be read is what was last known.
            if let Ok((bytes, _)) = abi::shared_data(entry.key.as_bytes()) {
                entry.state = Breaker::from_bytes(&bytes).unwrap_or_default();
            }
            entry.read = now;
        }
        let admission = entry.state.admission(policy, now);
        entry.tell(host, admission);
        admission
    }

    /// Counts answers to requests that were sent at `sent`.
    pub fn record(
        &self,
        host: &dyn Host,
        (number, policy): (usize, &Policy),
        (sent, now): (u64, u64),
        answers: Answers,
    ) {
        let mut breakers = self.breakers.borrow_mut();
        let Some(entry) = breakers.get_mut(number) else { return };
        if !self.shared {
            entry.state.record(policy, sent, now, answers);
        } else if !entry.record_shared(policy, sent, now, answers) {
            output::error_once_a_minute(
                "shared-memory",
                "an answer could not be counted in the gateway's shared memory",
            );
            metrics::count_error(host, "shared-memory");
        }
        let admission = entry.state.admission(policy, now);
        entry.tell(host, admission);
    }

    /// Shows what is not closed once more: workers count for themselves, and one whose breaker is
    /// closed again must not hide that another's is not.
    pub fn show(&self, table: &Table, now: u64) {
        let mut breakers = self.breakers.borrow_mut();
        for (number, entry) in breakers.iter_mut().enumerate() {
            if entry.told == Admission::Closed {
                continue;
            }
            if let (Some(pair), Some(policy)) = (&entry.pair, table.policy(number)) {
                pair.show_breaker(entry.state.admission(policy, now));
            }
        }
    }
}

impl Entry {
    fn record_shared(&mut self, policy: &Policy, sent: u64, now: u64, answers: Answers) -> bool {
        for _ in 0..TRIES {
            let (mut state, cas) = match abi::shared_data(self.key.as_bytes()) {
                Ok((bytes, cas)) => (Breaker::from_bytes(&bytes).unwrap_or_default(), cas),
                Err(Status::NOT_FOUND) => (Breaker::default(), 0),
                Err(_) => return false,
            };
            let before = state;
            state.record(policy, sent, now, answers);
            self.state = state;
            self.read = now;
            if state == before {
                return true;
            }
            match abi::set_shared_data(self.key.as_bytes(), &state.to_bytes(), cas) {
                Ok(()) => return true,
                Err(Status::CAS_MISMATCH) => {}
                Err(_) => return false,
            }
        }
        false
    }

    /// Logs a change of what the breaker lets through.
    fn tell(&mut self, host: &dyn Host, admission: Admission) {
        if self.told != admission {
            log::warn!("circuit breaker: {} state={}", self.label, admission.word());
            metrics::count_breaker_change(host, admission);
            if let Some(pair) = &self.pair {
                pair.show_breaker(admission);
            }
            self.told = admission;
        }
    }
}

/// The same for the same configuration in every worker: Kong hands each worker the fields in another
/// order, and parsed they are sorted.
fn fingerprint(json: &[u8]) -> u64 {
    let sorted = json_value(json).unwrap_or_default().to_string();
    XxHash64::oneshot(0, sorted.as_bytes())
}
