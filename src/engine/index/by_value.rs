//! From the value of an attribute to the rules that are filed under it.

use super::addresses::AddressTree;
use super::affixes::{Prefixes, Suffixes};
use super::limits::Limits;
use super::member::Member;
use super::ordered::Bounds;
use super::patterns::Patterns;
use crate::engine::matches::Test;
use crate::engine::patterns::Found;
use crate::engine::sorted::sort_by_key;
use hashbrown::HashMap;
use std::cell::Cell;
use std::sync::Arc;

/// The rules of a group, by what they ask of the value.
///
/// Rules that can be filed further, by another item, are an `N`.
#[derive(Clone, Debug)]
pub(super) struct ByValue<N> {
    /// Those that only ask for a value to be there.
    present: Option<N>,
    equal: HashMap<Box<[u8]>, N>,
    prefixes: Prefixes<N>,
    suffixes: Suffixes<N>,
    patterns: Patterns<N>,
    bounds: Bounds,
    addresses: AddressTree,
    /// What is asked once for all rules that share it.
    tests: Box<[(Test, N)]>,
}

/// What is filed in one place.
pub(super) enum Place<'i, N> {
    Node(&'i N),
    /// Rules by their positions, in ascending order.
    Rules(&'i [u32]),
}

impl<N> ByValue<N> {
    /// Whether the attribute is to be searched for patterns.
    pub(super) fn needs_search(&self) -> bool {
        !self.patterns.is_empty()
    }

    /// Visits the rules that can hold when the attribute has this value, in which these patterns
    /// were found.
    pub(super) fn visit<'i>(
        &'i self,
        value: &[u8],
        searched: Option<&Found>,
        mut found: impl FnMut(Place<'i, N>),
    ) {
        if let Some(present) = &self.present {
            found(Place::Node(present));
        }
        if let Some(node) = self.equal.get(value) {
            found(Place::Node(node));
        }
        self.prefixes.visit(value, |node| found(Place::Node(node)));
        self.suffixes.visit(value, |node| found(Place::Node(node)));
        self.patterns.visit(searched, |node| found(Place::Node(node)));
        self.bounds.visit(value, |rules| found(Place::Rules(rules)));
        self.addresses.visit(value, |rules| found(Place::Rules(rules)));
        for (test, node) in &self.tests {
            if test.holds(value) {
                found(Place::Node(node));
            }
        }
    }
}

/// What is filed under a key, with one of the tests that ask for it.
type Filed<'t> = HashMap<Box<[u8]>, (&'t Test, Vec<Member>)>;

/// The rules of a group on their way into the index. All maps are of one type, because every type
/// of map is some KiB of the module.
#[derive(Default)]
pub(super) struct Filing<'t> {
    present: Vec<Member>,
    equal: Filed<'t>,
    /// By where they are in memory: lists that are shared are one.
    lists: Filed<'t>,
    prefixes: Filed<'t>,
    suffixes: Filed<'t>,
    /// By the number of the pattern.
    patterns: Filed<'t>,
    /// By the text.
    contained: Filed<'t>,
    /// By relation and text.
    bounds: Filed<'t>,
    /// By their ranges.
    addresses: Filed<'t>,
}

impl<'t> Filing<'t> {
    /// Files a rule under what one of its items asks.
    pub(super) fn file(&mut self, test: &'t Test, member: Member) {
        let (filed, key): (&mut Filed<'t>, Box<[u8]>) = match test {
            Test::Exists => return self.present.push(member),
            Test::Equal(value) => (&mut self.equal, value.clone()),
            Test::In(list) => (&mut self.lists, Arc::as_ptr(list).addr().to_ne_bytes().into()),
            // The prefix by segments is one by bytes, and then one thing more that the rule asks itself.
            Test::PathPrefix(prefix) => (&mut self.prefixes, prefix.as_bytes().into()),
            Test::Prefix(prefix) => (&mut self.prefixes, prefix.clone()),
            Test::Suffix(suffix) => (&mut self.suffixes, suffix.clone()),
            Test::Contains(finder) => (&mut self.contained, finder.needle().into()),
            Test::Search(pattern) => (&mut self.patterns, pattern.number().to_ne_bytes().into()),
            Test::Ordered(bound) => (&mut self.bounds, bound.key()),
            Test::Address(set) => (&mut self.addresses, set.key()),
        };
        filed.entry(key).or_insert_with(|| (test, Vec::new())).1.push(member);
    }

    /// The finished group; `node` files the rules of one place further, `listed` counts the values
    /// that were taken out of lists: each is a place of its own, so that they multiply from level
    /// to level.
    pub(super) fn finish<N>(
        mut self,
        limits: Limits,
        listed: &Cell<usize>,
        mut node: impl FnMut(Vec<Member>) -> N,
    ) -> ByValue<N> {
        let mut tests = Vec::new();
        for (test, members) in in_order(self.lists) {
            let Test::In(list) = test else { continue };
            let places = listed.get().saturating_add(list.len().saturating_mul(members.len()));
            if list.len() > limits.list || places > limits.lists {
                tests.push((test.clone(), node(members)));
                continue;
            }
            listed.set(places);
            for value in list.values() {
                let (_, filed) = self.equal.entry(value.into()).or_insert((test, Vec::new()));
                filed.extend(&members);
            }
        }
        // Bounds and blocks lead to lists of rules, which cannot be filed further. Where many
        // rules share one, it is asked by itself, and those rules are filed by their other items.
        let mut bounds = Vec::new();
        for (test, members) in in_order(self.bounds) {
            match test {
                Test::Ordered(bound) if !limits.pays(members.len()) => {
                    bounds.push((bound, members))
                }
                shared => tests.push((shared.clone(), node(members))),
            }
        }
        let mut addresses = Vec::new();
        for (test, members) in in_order(self.addresses) {
            match test {
                Test::Address(set)
                    if !limits.pays(members.len()) && set.ranges().len() <= limits.blocks =>
                {
                    addresses.push((&**set, members));
                }
                shared => tests.push((shared.clone(), node(members))),
            }
        }
        for (test, members) in in_order(self.contained) {
            tests.push((test.clone(), node(members)));
        }
        let mut patterns = Vec::new();
        for (test, members) in in_order(self.patterns) {
            if let Test::Search(pattern) = test {
                patterns.push((pattern.number(), node(members)));
            }
        }
        let mut nodes = |filed: Filed<'_>| -> Vec<(Box<[u8]>, N)> {
            filed.into_iter().map(|(key, (_, members))| (key, node(members))).collect()
        };
        let equal = nodes(self.equal).into_iter().collect();
        let prefixes = Prefixes::new(nodes(self.prefixes));
        let suffixes = Suffixes::new(nodes(self.suffixes));
        let present = (!self.present.is_empty()).then(|| node(self.present));
        ByValue {
            present,
            equal,
            prefixes,
            suffixes,
            patterns: Patterns::new(patterns),
            bounds: Bounds::new(bounds),
            addresses: AddressTree::new(addresses),
            tests: tests.into(),
        }
    }
}

/// What was filed, in the order of its first rules: that of a map differs from run to run.
fn in_order(filed: Filed<'_>) -> Vec<(&Test, Vec<Member>)> {
    let mut filed: Vec<_> = filed.into_values().collect();
    sort_by_key(&mut filed, |(_, members)| members.first().map(|member| member.position));
    filed
}
