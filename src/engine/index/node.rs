//! How rules are filed: by the attribute of an item, then by what the item asks of its value.

use super::by_value::{ByValue, Filing};
use super::limits::Limits;
use super::member::{Member, positions};
use crate::engine::attribute::{Attribute, Attributes};
use crate::engine::rule::{Item, Rule};
use crate::engine::sorted::sort_by_key;
use std::cell::Cell;
use std::rc::Rc;

/// Levels of nesting, so that building an index takes little stack. A level narrows the
/// candidates down by one more item; what is left at the last is asked one by one.
const MAX_DEPTH: usize = 8;

/// Rules that are filed in one place, by their positions in the table.
#[derive(Clone, Debug)]
pub(super) enum Node {
    One(u32),
    /// In ascending order.
    Many(Box<[u32]>),
    /// So many that they are filed by another item.
    Branch(Box<Branch>),
}

/// Rules that are filed by their items.
#[derive(Clone, Debug)]
pub(super) struct Branch {
    /// Rules that cannot be filed: they are always asked.
    residual: Box<[u32]>,
    /// In the order of their first rules.
    groups: Box<[Group]>,
}

impl Branch {
    pub(super) fn residual(&self) -> &[u32] {
        &self.residual
    }

    pub(super) fn groups(&self) -> &[Group] {
        &self.groups
    }
}

/// Rules with an item that looks at the same attribute.
#[derive(Clone, Debug)]
pub(super) struct Group {
    attribute: usize,
    rules: Box<[u32]>,
    by_value: ByValue<Node>,
}

impl Group {
    pub(super) fn attribute(&self) -> usize {
        self.attribute
    }

    pub(super) fn rules(&self) -> &[u32] {
        &self.rules
    }

    pub(super) fn first(&self) -> Option<u32> {
        self.rules.first().copied()
    }

    /// What is filed here, by the value of the attribute.
    pub(super) fn by_value(&self) -> &ByValue<Node> {
        &self.by_value
    }
}

/// Files rules.
pub(super) struct Builder<'t> {
    rules: &'t [Rule],
    attributes: &'t Attributes,
    limits: Limits,
    depth: usize,
    /// How many values of lists have been taken apart.
    listed: Rc<Cell<usize>>,
}

impl<'t> Builder<'t> {
    pub(super) fn new(rules: &'t [Rule], attributes: &'t Attributes, limits: Limits) -> Self {
        Self { rules, attributes, limits, depth: 0, listed: Rc::default() }
    }

    /// All rules.
    pub(super) fn root(mut self) -> Node {
        let members = (0..).zip(self.rules).map(|(position, _)| Member { position, next: 0 });
        self.node(members.collect())
    }

    /// Files rules in one place.
    fn node(&mut self, mut members: Vec<Member>) -> Node {
        // A rule with several items under one value is one candidate.
        sort_by_key(&mut members, |member| member.position);
        members.dedup_by_key(|member| member.position);
        if self.limits.pays(members.len()) && self.depth < MAX_DEPTH {
            self.depth += 1;
            let branch = self.branch(&members);
            self.depth -= 1;
            if !branch.groups.is_empty() {
                return Node::Branch(Box::new(branch));
            }
        }
        match &*members {
            [one] => Node::One(one.position),
            _ => Node::Many(positions(&members)),
        }
    }

    fn branch(&mut self, members: &[Member]) -> Branch {
        let mut residual = Vec::new();
        let mut by_attribute: Vec<(&'t Item, Member)> = Vec::new();
        for member in members {
            let filed = self.items(*member);
            if filed.is_empty() {
                residual.push(*member);
            }
            by_attribute.extend(filed);
        }
        sort_by_key(&mut by_attribute, |(item, _)| item.attribute);
        let mut groups = Vec::new();
        for filed in
            by_attribute.chunk_by(|(left, _), (right, _)| left.attribute == right.attribute)
        {
            let rules = positions(filed.iter().map(|(_, member)| member));
            if rules.len() < self.limits.group_from {
                residual.extend(filed.iter().map(|(_, member)| *member));
                continue;
            }
            let attribute = filed.first().map_or(0, |(item, _)| item.attribute);
            let mut filing = Filing::default();
            for (item, member) in filed {
                filing.file(&item.test, *member);
            }
            let listed = Rc::clone(&self.listed);
            let by_value = filing.finish(self.limits, &listed, |members| self.node(members));
            groups.push(Group { attribute, rules, by_value });
        }
        sort_by_key(&mut groups, Group::first);
        Branch { residual: positions(&residual), groups: groups.into() }
    }

    /// The items that a rule is to be filed under, so that it cannot hold unless one of them does.
    fn items(&self, member: Member) -> Vec<(&'t Item, Member)> {
        let Some(rule) = self.rules.get(member.position as usize) else { return Vec::new() };
        let left = rule.items.get(member.next..).unwrap_or_default();
        if rule.any {
            let can_be_filed = left.iter().all(|item| !item.negated);
            // It may hold by another item than the one that it is found under: it is filed once only.
            let filed = Member { next: rule.items.len(), ..member };
            return left.iter().filter(|_| can_be_filed).map(|item| (item, filed)).collect();
        }
        let first = left
            .iter()
            .enumerate()
            // The loop asks for a body parameter only if all items before it hold, and so must the index.
            .take_while(|(_, item)| !(item.negated && self.is_body(item)))
            .find(|(_, item)| !item.negated);
        first
            .map(|(offset, item)| (item, Member { next: member.next + offset + 1, ..member }))
            .into_iter()
            .collect()
    }

    fn is_body(&self, item: &Item) -> bool {
        self.attributes.get(item.attribute).is_some_and(Attribute::is_body)
    }
}
