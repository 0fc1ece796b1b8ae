//! The compiled form of a configuration.

use super::attribute::Attribute;
use super::breaker::Policy;
use super::decide::Choice;
use super::index::Index;
use super::matches::Test;
use super::request::World;
use super::rollout::Rollout;
use crate::config::{RequestHeaders, Share};

/// The weights of a rule's upstreams, in hundredths.
pub(super) type Shares = smallvec::SmallVec<[u64; 8]>;

/// A configuration, compiled once and asked many times.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The enabled rules, in the order in which they are tried.
    pub(super) rules: Vec<Rule>,
    /// The parts of a request that the rules look at, each once.
    pub(super) attributes: Vec<Attribute>,
    /// How many circuit breakers the rules have.
    pub(super) breakers: usize,
    /// The way to the rules that can hold.
    pub(super) index: Index,
}

impl Table {
    /// The enabled rules, in the order in which they are tried.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule of a choice.
    pub fn rule(&self, choice: Choice) -> Option<&Rule> {
        self.rules.get(choice.rule)
    }

    /// How many circuit breakers the rules have: one for each upstream of a rule that has any.
    pub fn breakers(&self) -> usize {
        self.breakers
    }

    /// The circuit breaker of a choice: its number and what it goes by. A fallback has none: it is
    /// never taken out.
    pub fn breaker(&self, choice: Choice) -> Option<(usize, &Policy)> {
        let breaker = self.rule(choice)?.breaker.as_ref();
        let breaker = breaker.filter(|breaker| breaker.fallback != Some(choice.target))?;
        Some((breaker.first + choice.target, &breaker.policy))
    }

    /// What the circuit breaker with this number goes by.
    pub fn policy(&self, breaker: usize) -> Option<&Policy> {
        let mut owners = self.rules.iter().filter_map(|rule| rule.breaker.as_ref());
        owners.rfind(|owner| owner.first <= breaker).map(|owner| &owner.policy)
    }

    /// The upstream of a choice.
    pub fn target(&self, choice: Choice) -> Option<&Target> {
        self.rule(choice)?.targets.get(choice.target)
    }
}

/// One enabled rule.
#[derive(Clone, Debug)]
pub struct Rule {
    pub(super) index: usize,
    pub(super) name: Option<Box<str>>,
    pub(super) weight: u8,
    /// Whether one item is enough.
    pub(super) any: bool,
    /// Items that look at the body come last: often the others decide without it.
    pub(super) items: Box<[Item]>,
    pub(super) targets: Box<[Target]>,
    /// The configured weights of the targets.
    pub(super) shares: Shares,
    pub(super) sticky: Option<Sticky>,
    pub(super) rollout: Option<Rollout>,
    pub(super) breaker: Option<RuleBreaker>,
}

/// How clients are recognised.
#[derive(Clone, Debug)]
pub(super) struct Sticky {
    pub(super) seed: u64,
    /// The positions of the attributes that are the key, the preferred one first.
    pub(super) sources: smallvec::SmallVec<[usize; 2]>,
    /// The cookie that is issued where there is no key.
    pub(super) cookie: Option<StickyCookie>,
}

/// The cookie of `hash_on: cookie`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StickyCookie {
    /// Its name.
    pub name: Box<str>,
    /// The path that it is sent for.
    pub path: Box<str>,
}

/// The circuit breakers of a rule's upstreams.
#[derive(Clone, Debug)]
pub(super) struct RuleBreaker {
    pub(super) policy: Policy,
    /// The number of the first upstream's; the others follow.
    pub(super) first: usize,
    /// The position of the upstream that takes the share of one that is out.
    pub(super) fallback: Option<usize>,
}

impl Rule {
    /// The rule's position in the configuration.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The rule's label.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The rule's priority, 0 to 100.
    pub fn weight(&self) -> u8 {
        self.weight
    }

    /// The rule's upstreams with their shares; what no upstream got is one more, the service's own.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Whether the rule's upstreams have circuit breakers.
    pub fn has_breakers(&self) -> bool {
        self.breaker.is_some()
    }

    /// When the rule's weights change for the last time, in milliseconds since the epoch.
    pub fn rollout_end(&self) -> Option<u64> {
        self.rollout.as_ref().map(Rollout::end)
    }

    /// The weights of the rule's upstreams at this moment.
    pub fn shares(&self, world: &mut impl World) -> Vec<Share> {
        let weights = self.weights(world).unwrap_or_else(|| self.shares.clone());
        weights.into_iter().map(Share::hundredths).collect()
    }

    /// The cookie that the rule issues to clients that have none.
    pub fn cookie(&self) -> Option<&StickyCookie> {
        self.sticky.as_ref()?.cookie.as_ref()
    }
}

/// One of a rule's upstreams.
#[derive(Clone, Debug)]
pub struct Target {
    pub(super) name: Option<Box<str>>,
    /// What the upstream is called in the hash.
    pub(super) hash_name: Box<[u8]>,
    pub(super) share: Share,
    pub(super) request_headers: RequestHeaders,
}

impl Target {
    /// The name of the upstream; none for the service's own.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The share of the rule's traffic.
    pub fn share(&self) -> Share {
        self.share
    }

    /// Changes to the requests that go there.
    pub fn request_headers(&self) -> &RequestHeaders {
        &self.request_headers
    }
}

/// One item of a condition.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// The position of the attribute in the table.
    pub(super) attribute: usize,
    pub(super) negated: bool,
    /// The item's position among all items of its rule, in the order of the configuration.
    pub(super) origin: u32,
    pub(super) test: Test,
}
