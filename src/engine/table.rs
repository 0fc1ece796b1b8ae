//! The compiled form of a configuration.

use super::attribute::{Attributes, HeadParts};
use super::breaker::Policy;
use super::index::Index;
use super::rule::{Rule, Target};

/// A configuration, compiled once and asked many times.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The enabled rules, in the order in which they are tried.
    pub(super) rules: Vec<Rule>,
    /// The parts of a request that the rules look at, each once.
    pub(super) attributes: Attributes,
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

    /// What the rules look at of the heads of requests.
    pub fn head(&self) -> HeadParts {
        self.attributes.head()
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

/// The rule that decides and its upstream, by their positions in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The position among [`Table::rules`].
    pub rule: usize,
    /// The position among [`Rule::targets`].
    pub target: usize,
}
