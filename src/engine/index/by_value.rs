//! From the value of an attribute to the rules that are filed under it.

use super::addresses::AddressTree;
use super::affixes::{Prefixes, Suffixes};
use super::frontier::Frontier;
use super::node::{Builder, Member, Node};
use super::ordered::Bounds;
use super::patterns::Patterns;
use crate::engine::matches::{Addresses, Bound, Test, ValueList, literal_pattern};
use hashbrown::HashMap;
use std::sync::Arc;

/// The rules of a group, by what they ask of the value.
#[derive(Clone, Debug, Default)]
pub(super) struct ByValue {
    /// Those that only ask for a value to be there.
    present: Option<Node>,
    equal: HashMap<Box<[u8]>, Node>,
    prefixes: Prefixes,
    suffixes: Suffixes,
    patterns: Patterns,
    bounds: Bounds,
    addresses: AddressTree,
    /// What is asked once for all rules that share it.
    tests: Box<[(Test, Node)]>,
}

impl ByValue {
    /// Adds the rules that can hold when the attribute has this value.
    pub(super) fn visit<'i>(&'i self, value: &[u8], frontier: &mut Frontier<'i>) {
        if let Some(present) = &self.present {
            frontier.add(present);
        }
        if let Some(node) = self.equal.get(value) {
            frontier.add(node);
        }
        self.prefixes.visit(value, |node| frontier.add(node));
        self.suffixes.visit(value, |node| frontier.add(node));
        self.patterns.visit(value, |node| frontier.add(node));
        self.bounds.visit(value, |rules| frontier.add_rules(rules));
        self.addresses.visit(value, |rules| frontier.add_rules(rules));
        for (test, node) in &self.tests {
            if test.holds(value) {
                frontier.add(node);
            }
        }
    }
}

/// The rules of a group on their way into the index.
#[derive(Default)]
pub(super) struct Filing<'t> {
    present: Vec<Member>,
    equal: HashMap<&'t [u8], Vec<Member>>,
    lists: Vec<(&'t Arc<ValueList>, Vec<Member>)>,
    list_by_address: HashMap<*const ValueList, usize>,
    prefixes: HashMap<&'t [u8], Vec<Member>>,
    suffixes: HashMap<&'t [u8], Vec<Member>>,
    patterns: HashMap<String, Vec<Member>>,
    bounds: HashMap<&'t Bound, Vec<Member>>,
    addresses: HashMap<&'t Addresses, Vec<Member>>,
}

impl<'t> Filing<'t> {
    /// Files a rule under what one of its items asks.
    pub(super) fn file(&mut self, test: &'t Test, member: Member) {
        match test {
            Test::Exists => self.present.push(member),
            Test::Equal(value) => self.equal.entry(value).or_default().push(member),
            Test::In(list) => {
                let next = self.lists.len();
                let at = *self.list_by_address.entry(Arc::as_ptr(list)).or_insert(next);
                match self.lists.get_mut(at) {
                    Some((_, members)) => members.push(member),
                    None => self.lists.push((list, vec![member])),
                }
            }
            // The prefix by segments is one by bytes, and then one thing more that the rule asks itself.
            Test::PathPrefix(prefix) => {
                self.prefixes.entry(prefix.as_bytes()).or_default().push(member);
            }
            Test::Prefix(prefix) => self.prefixes.entry(prefix).or_default().push(member),
            Test::Suffix(suffix) => self.suffixes.entry(suffix).or_default().push(member),
            Test::Contains(finder) => {
                self.patterns.entry(literal_pattern(finder.needle())).or_default().push(member);
            }
            Test::Pattern(pattern) => {
                self.patterns.entry(pattern.text().to_owned()).or_default().push(member);
            }
            Test::Ordered(bound) => self.bounds.entry(bound).or_default().push(member),
            Test::Address(set) => self.addresses.entry(set).or_default().push(member),
        }
    }

    pub(super) fn finish(mut self, builder: &mut Builder<'_>) -> ByValue {
        let limits = builder.limits();
        let mut tests = Vec::new();
        let mut listed = 0;
        for (list, members) in self.lists {
            if list.len() > limits.list || listed + list.len() > limits.lists {
                tests.push((Test::In(Arc::clone(list)), builder.node(members)));
                continue;
            }
            listed += list.len();
            for value in list.values() {
                self.equal.entry(value).or_default().extend(&members);
            }
        }
        // Bounds and blocks lead to lists of rules, which cannot be filed further. Where many
        // rules share one, it is asked by itself, and those rules are filed by their other items.
        let (shared, bounds) = split(self.bounds, |_, rules| builder.pays(rules));
        for (bound, members) in shared {
            tests.push((Test::Ordered(bound.clone()), builder.node(members)));
        }
        let (shared, addresses) = split(self.addresses, |set, rules| {
            set.ranges().len() > limits.blocks || builder.pays(rules)
        });
        for (set, members) in shared {
            tests.push((Test::Address(Arc::new(set.clone())), builder.node(members)));
        }
        let mut nodes = |filed: HashMap<&[u8], Vec<Member>>| -> Vec<(Box<[u8]>, Node)> {
            filed.into_iter().map(|(key, members)| (key.into(), builder.node(members))).collect()
        };
        let equal = nodes(self.equal).into_iter().collect();
        let prefixes = Prefixes::new(nodes(self.prefixes));
        let suffixes = Suffixes::new(nodes(self.suffixes));
        let filed = self.patterns.into_iter();
        let (patterns, unfiled) = Patterns::new(
            filed.map(|(pattern, members)| (pattern, builder.node(members))).collect(),
        );
        tests.extend(unfiled.into_iter().map(|node| (Test::Exists, node)));
        let present = (!self.present.is_empty()).then(|| builder.node(self.present));
        ByValue {
            present,
            equal,
            prefixes,
            suffixes,
            patterns,
            bounds: Bounds::new(bounds),
            addresses: AddressTree::new(addresses),
            tests: tests.into(),
        }
    }
}

/// What was filed under a key.
type Filed<K> = Vec<(K, Vec<Member>)>;

/// Those that are chosen by their key and the number of their rules, and the others.
fn split<K>(
    filed: HashMap<K, Vec<Member>>,
    chosen: impl Fn(&K, usize) -> bool,
) -> (Filed<K>, Filed<K>) {
    filed.into_iter().partition(|(key, members)| chosen(key, members.len()))
}
