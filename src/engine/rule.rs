//! The compiled form of a rule.

use super::breaker::Policy;
use super::matches::Test;
use super::rollout::Rollout;
use super::weighted::Shares;
use crate::config::{RequestHeaders, Share};

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
    /// Whether it is for encrypted connections only.
    pub is_secure: bool,
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
