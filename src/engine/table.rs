//! The compiled form of a configuration.

use super::attribute::Attribute;
use super::decide::Choice;
use super::matches::Test;
use crate::config::{RequestHeaders, Share};

/// A configuration, compiled once and asked many times.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The enabled rules, in the order in which they are tried.
    pub(super) rules: Vec<Rule>,
    /// The parts of a request that the rules look at, each once.
    pub(super) attributes: Vec<Attribute>,
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
}

/// One of a rule's upstreams.
#[derive(Clone, Debug)]
pub struct Target {
    pub(super) name: Option<Box<str>>,
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
    pub(super) test: Test,
}
