//! Metrics, on gateways that count.
//!
//! proxy-wasm metrics have no labels: they stand in the name as `;key=value`, where Envoy's
//! `stats_tags` find them. Whatever can be counted of a configuration is defined when it is loaded,
//! so that a series starts at 0 and a request neither formats nor allocates. Counting is a call to
//! Envoy of some 60 ns, less than keeping the counts here until a timer fetches them would be worth.

use crate::engine::{Admission, Choice, Policy, Rule, Table, World};
use crate::host::Host;
use crate::host::abi::{self, MetricKind};
use hashbrown::{HashMap, HashSet};
use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

/// How many pairs of a rule and an upstream a worker counts one by one.
pub const MAX_PAIRS: usize = 3_000;

pub use crate::config::OWN;

/// Both labels of all pairs beyond [`MAX_PAIRS`].
const OTHER: &str = "(other)";

/// The longest label, in bytes: a rule's name may be any text.
const MAX_LABEL: usize = 128;

/// The classes of responses by the first digit of their status; at 0 those that never came.
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Those that every series starts with; the others are defined when one of them comes.
const USUAL: std::ops::RangeInclusive<usize> = 2..=5;

/// The number of a metric; none where the gateway refused to define it.
type Id = Option<u32>;

/// What `tse_route_errors_total` may be counted for from the start.
const REASONS: [&str; 6] = [
    "body-unparsable",
    "body-unreadable",
    "host-failure",
    "invalid-config",
    "regex-budget",
    "shared-memory",
];

/// What is counted of a rule and one of its upstreams.
///
/// Pairs belong to the worker, since several configurations may have the same.
pub struct Pair {
    requests: Id,
    responses: [OnceCell<Id>; CLASSES.len()],
    latency: Id,
    weight: Id,
    /// Defined for pairs with a circuit breaker only.
    breaker: OnceCell<Id>,
    labels: Box<str>,
    /// The configuration whose weights are told: of several with this pair the newest.
    owner: Cell<Option<u32>>,
    /// The weight that is being added up.
    sum: Cell<u64>,
}

impl Pair {
    fn new(rule: &str, upstream: &str) -> Self {
        let labels: Box<str> = format!(";rule={rule};upstream={upstream}").into();
        let pair = Self {
            requests: define(MetricKind::Counter, "tse_route_requests_total", &labels),
            responses: [const { OnceCell::new() }; CLASSES.len()],
            latency: define(MetricKind::Histogram, "tse_route_upstream_latency_ms", &labels),
            weight: define(MetricKind::Gauge, "tse_route_configured_weight", &labels),
            breaker: OnceCell::new(),
            labels,
            owner: Cell::new(None),
            sum: Cell::new(0),
        };
        for class in USUAL {
            pair.responses(class);
        }
        pair
    }

    /// The counter of the responses of a class.
    fn responses(&self, class: usize) -> Id {
        let name = CLASSES.get(class)?;
        let define = || {
            let name = format!("tse_route_responses_total;class={name}");
            define(MetricKind::Counter, &name, &self.labels)
        };
        *self.responses.get(class)?.get_or_init(define)
    }

    /// Shows what the pair's circuit breaker lets through: 0 all, 1 probes, 2 nothing.
    pub fn show_breaker(&self, admission: Admission) {
        let define = || define(MetricKind::Gauge, "tse_route_breaker_state", &self.labels);
        let state = match admission {
            Admission::Closed => 0,
            Admission::HalfOpen => 1,
            Admission::Open => 2,
        };
        record(*self.breaker.get_or_init(define), state);
    }
}

/// The labels of a rule and an upstream.
type Labels = (Box<str>, Box<str>);

thread_local! {
    /// The pairs of this worker, by their labels.
    static PAIRS: RefCell<HashMap<Labels, Rc<Pair>>> = RefCell::default();
    /// The counters by the start of their name and a word of a fixed set.
    static COUNTERS: RefCell<HashMap<(&'static str, &'static str), Id>> = RefCell::default();
}

/// The metrics of a configuration.
pub struct Metrics {
    /// The number of the configuration; later ones have larger numbers.
    id: u32,
    by_choice: Box<[Box<[Rc<Pair>]>]>,
    /// The rules whose weights are told: of those with the same label the first.
    told: Box<[usize]>,
    unmatched: Id,
}

impl Metrics {
    /// Defines all that can be counted of a configuration.
    pub fn define(table: &Table, id: u32) -> Self {
        let mut left_out = 0;
        let mut told = Vec::new();
        let mut labels = HashSet::new();
        let pairs_of = |(position, rule): (usize, &Rule)| {
            let rule_label = rule_label(rule);
            let mut all_told = true;
            let pairs = rule.targets().iter().map(|target| {
                let (pair, is_own) = pair(&rule_label, &upstream_label(target.name()));
                if is_own {
                    pair.owner.set(Some(id));
                } else {
                    left_out += 1;
                    all_told = false;
                }
                pair
            });
            let pairs = pairs.collect();
            if labels.insert(rule_label) && all_told {
                told.push(position);
            }
            pairs
        };
        let by_choice = table.rules().iter().enumerate().map(pairs_of).collect();
        if left_out > 0 {
            log::warn!(
                "metrics: {left_out} pairs of rule and upstream are counted together as \
                 rule=\"{OTHER}\" upstream=\"{OTHER}\": a worker counts {MAX_PAIRS} one by one"
            );
        }
        let unmatched = define(MetricKind::Counter, "tse_route_unmatched_total", "");
        let told = told.into();
        for reason in REASONS {
            count(ERRORS, reason, 0);
        }
        let metrics = Self { id, by_choice, told, unmatched };
        if table.breakers() > 0 {
            for state in [Admission::Closed, Admission::Open, Admission::HalfOpen] {
                count(CHANGES, state.word(), 0);
            }
        }
        for (choice, pair) in metrics.choices() {
            if table.breaker(choice).is_some() {
                pair.show_breaker(Admission::Closed);
            }
        }
        metrics
    }

    /// Shows the weights of this moment, in milliseconds since the epoch.
    pub fn show_weights(&self, table: &Table, now: u64) {
        for position in &self.told {
            let (Some(rule), Some(pairs)) =
                (table.rules().get(*position), self.by_choice.get(*position))
            else {
                continue;
            };
            for pair in pairs {
                pair.sum.set(0);
            }
            // An upstream may be listed twice.
            for (pair, share) in pairs.iter().zip(rule.shares(&mut At(now))) {
                pair.sum.set(pair.sum.get().saturating_add(share.in_hundredths()));
            }
            for pair in pairs {
                if pair.owner.get().is_none() {
                    pair.owner.set(Some(self.id));
                }
                if pair.owner.get() == Some(self.id) {
                    record(pair.weight, pair.sum.get());
                }
            }
        }
    }

    /// What is counted of a choice.
    pub fn pair(&self, choice: Choice) -> Option<&Rc<Pair>> {
        self.by_choice.get(choice.rule)?.get(choice.target)
    }

    /// Counts a request that goes where a rule has decided.
    pub fn count_request(&self, choice: Choice) {
        if let Some(pair) = self.pair(choice) {
            increment(pair.requests, 1);
        }
    }

    /// Counts a request that no rule has matched.
    pub fn count_unmatched(&self) {
        increment(self.unmatched, 1);
    }

    /// Counts an answer by its status, 0 for one that never came.
    pub fn count_response(&self, choice: Choice, status: u16) {
        if let Some(pair) = self.pair(choice) {
            increment(pair.responses(usize::from(status / 100)), 1);
        }
    }

    /// Counts the time that an upstream took, in milliseconds.
    pub fn count_latency(&self, choice: Choice, latency: u64) {
        if let Some(pair) = self.pair(choice) {
            record(pair.latency, latency);
        }
    }

    fn choices(&self) -> impl Iterator<Item = (Choice, &Rc<Pair>)> {
        self.by_choice.iter().enumerate().flat_map(|(rule, pairs)| {
            let choice = move |target| Choice { rule, target };
            pairs.iter().enumerate().map(move |(target, pair)| (choice(target), pair))
        })
    }
}

/// What is gone has no weight and no open circuit breaker.
impl Drop for Metrics {
    fn drop(&mut self) {
        for (_, pair) in self.choices().filter(|(_, pair)| pair.owner.get() == Some(self.id)) {
            pair.owner.set(None);
            record(pair.weight, 0);
            record(pair.breaker.get().copied().flatten(), 0);
        }
    }
}

/// The label of a rule: its name, or else its weight.
pub fn rule_label(rule: &Rule) -> String {
    match rule.name().map(label) {
        Some(name) if !name.is_empty() => name,
        _ => rule.weight().to_string(),
    }
}

/// The label of an upstream.
pub fn upstream_label(name: Option<&str>) -> String {
    name.map_or_else(|| OWN.to_owned(), label)
}

/// Text as it may stand in the name of a metric.
fn label(text: &str) -> String {
    let mut label = String::with_capacity(text.len());
    for c in text.trim().chars() {
        if label.len() + c.len_utf8() > MAX_LABEL {
            break;
        }
        label.push(match c {
            // The next label would begin here.
            ';' => ',',
            c if c.is_control() => ' ',
            c => c,
        });
    }
    label
}

/// The pair with these labels, and whether it is theirs alone.
fn pair(rule: &str, upstream: &str) -> (Rc<Pair>, bool) {
    PAIRS.with_borrow_mut(|pairs| {
        if let Some(pair) = pairs.get(&(rule.into(), upstream.into())) {
            return (Rc::clone(pair), true);
        }
        let is_own = pairs.len() < MAX_PAIRS;
        let (rule, upstream) = if is_own { (rule, upstream) } else { (OTHER, OTHER) };
        let pair = pairs
            .entry((rule.into(), upstream.into()))
            .or_insert_with(|| Rc::new(Pair::new(rule, upstream)));
        (Rc::clone(pair), is_own)
    })
}

/// A world in which time stands still and nothing fails.
struct At(u64);

impl World for At {
    fn now(&self) -> u64 {
        self.0
    }

    fn random(&mut self) -> u64 {
        0
    }

    fn admission(&mut self, _: usize, _: &Policy) -> Admission {
        Admission::Closed
    }
}

/// Counts an error in `tse_route_errors_total{reason}`, where the gateway counts.
pub fn count_error(host: &dyn Host, reason: &'static str) {
    if host.counts() {
        count(ERRORS, reason, 1);
    }
}

/// Counts a configuration that Envoy is told to refuse.
pub fn count_refusal() {
    count(ERRORS, "invalid-config", 1);
}

/// Counts a change of a circuit breaker in `tse_route_breaker_changes_total{state}`.
pub fn count_breaker_change(host: &dyn Host, state: Admission) {
    if host.counts() {
        count(CHANGES, state.word(), 1);
    }
}

const ERRORS: &str = "tse_route_errors_total;reason=";
const CHANGES: &str = "tse_route_breaker_changes_total;state=";

fn count(prefix: &'static str, word: &'static str, by: i64) {
    let id = COUNTERS.with_borrow_mut(|counters| {
        let define = || define(MetricKind::Counter, prefix, word);
        *counters.entry((prefix, word)).or_insert_with(define)
    });
    increment(id, by);
}

fn define(kind: MetricKind, name: &str, labels: &str) -> Id {
    abi::define_metric(kind, &format!("{name}{labels}")).ok()
}

fn increment(counter: Id, by: i64) {
    if let Some(id) = counter {
        // A counter that does not count must not disturb the request.
        let _ = abi::increment_metric(id, by);
    }
}

fn record(metric: Id, value: u64) {
    if let Some(id) = metric {
        let _ = abi::record_metric(id, value);
    }
}
