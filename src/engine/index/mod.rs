//! Which rule decides, found without asking each: a request touches only rules that can hold.
//!
//! Every rule is filed under one of its items: under the value that a header must equal, the
//! pattern that a path must show, the block that an address must lie in. The value that a request
//! has then leads to the few rules that are filed there ([`by_value`]), and those are asked in
//! full, in the order of the table. What is filed is a hint; whether a rule holds is decided by
//! the rule alone, so that the index can only ever leave out rules that do not hold.
//!
//! An attribute is read, which costs a call to the gateway, only when the plain loop would read
//! it: until then the rules filed under it are asked one by one ([`frontier`]), and the first of
//! them that reads the attribute opens the shortcut for the rest.
//!
//! A few rules are asked one by one: that is as fast, and it is what the index is tested against.

mod addresses;
mod affixes;
#[cfg(test)]
mod agreement;
mod by_value;
mod frontier;
mod node;
mod ordered;
mod patterns;

use super::attribute::{Attribute, Facts};
use super::condition::Holds;
use super::request::Request;
use super::rule::Rule;
use frontier::Frontier;
use node::{Builder, Node};

/// The way to the rules of one table.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// None where asking every rule is as fast.
    root: Option<Node>,
}

/// The rule that decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The rule at this position.
    Rule(usize),
    /// It depends on the body, which has not arrived yet.
    NeedsBody,
    Nothing,
}

/// When an index pays.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Fewer rules are asked one by one.
    loop_below: usize,
    /// Fewer rules with one attribute are asked one by one.
    group_from: usize,
    /// Larger lists are looked up whole instead of value by value: they would be in memory twice.
    list: usize,
    /// How many values of lists a group takes apart in all.
    lists: usize,
    /// Sets of more address blocks are looked up whole.
    blocks: usize,
}

impl Limits {
    /// Measured with `benches/engine.rs`.
    const MEASURED: Self =
        Self { loop_below: 8, group_from: 4, list: 1_024, lists: 1 << 17, blocks: 64 };
}

impl Index {
    pub(super) fn new(rules: &[Rule], attributes: &[Attribute]) -> Self {
        Self::with_limits(rules, attributes, Limits::MEASURED)
    }

    fn with_limits(rules: &[Rule], attributes: &[Attribute], limits: Limits) -> Self {
        let root = Builder::new(rules, attributes, limits).root();
        Self { root: matches!(root, Node::Branch(_)).then_some(root) }
    }

    /// The first rule that holds, in the order of the table.
    pub(super) fn find<R: Request>(&self, rules: &[Rule], facts: &mut Facts<'_, '_, R>) -> Found {
        match &self.root {
            None => ask_each(rules, facts),
            Some(root) => Frontier::new(root).find(rules, facts),
        }
    }
}

/// The plain loop.
fn ask_each<R: Request>(rules: &[Rule], facts: &mut Facts<'_, '_, R>) -> Found {
    rules
        .iter()
        .enumerate()
        .find_map(|(position, rule)| ask(rule, position, facts))
        .unwrap_or(Found::Nothing)
}

/// What one rule makes of the request; none if it does not hold.
fn ask<R: Request>(rule: &Rule, position: usize, facts: &mut Facts<'_, '_, R>) -> Option<Found> {
    match rule.holds(facts) {
        Holds::Yes => Some(Found::Rule(position)),
        Holds::No => None,
        Holds::NeedsBody => Some(Found::NeedsBody),
    }
}
