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
mod ask;
mod by_value;
mod frontier;
mod limits;
mod member;
mod node;
mod ordered;
mod patterns;

pub(super) use ask::Found;

use super::attribute::{Attributes, Facts};
use super::request::Request;
use super::rule::Rule;
use ask::ask_each;
use frontier::Frontier;
use limits::Limits;
use node::{Builder, Node};

/// The way to the rules of one table.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// None where asking every rule is as fast.
    root: Option<Node>,
}

impl Index {
    pub(super) fn new(rules: &[Rule], attributes: &Attributes) -> Self {
        Self::with_limits(rules, attributes, Limits::MEASURED)
    }

    fn with_limits(rules: &[Rule], attributes: &Attributes, limits: Limits) -> Self {
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
