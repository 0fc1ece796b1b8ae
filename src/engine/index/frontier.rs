//! The walk through the index: candidates from many places, in the order of the table.

use super::ask::{Found, ask};
use super::by_value::Place;
use super::node::{Group, Node};
use crate::engine::attribute::{Facts, Value};
use crate::engine::request::Request;
use crate::engine::rule::Rule;
use smallvec::SmallVec;

/// Where the next candidates come from: a heap, the lowest position on top.
///
/// Kept in place up to eight sources, which is more than most requests need, so that the walk
/// takes no memory from the allocator.
pub(super) struct Frontier<'i> {
    heap: SmallVec<[(u32, Source<'i>); 8]>,
}

/// Candidates in ascending order.
#[derive(Clone, Copy)]
enum Source<'i> {
    /// Rules to ask.
    Rules(&'i [u32]),
    /// Groups that the walk has not reached, in the order of their first rules.
    Groups(&'i [Group]),
    /// A group whose attribute has not been read: all its rules are to be asked until one reads it.
    Unread(&'i Group, &'i [u32]),
}

impl Source<'_> {
    /// The position of the next candidate.
    fn next(&self) -> Option<u32> {
        match self {
            Self::Rules(positions) | Self::Unread(_, positions) => positions.first().copied(),
            Self::Groups(groups) => groups.first().and_then(Group::first),
        }
    }
}

impl<'i> Frontier<'i> {
    pub(super) fn new(root: &'i Node) -> Self {
        let mut frontier = Self { heap: SmallVec::new() };
        frontier.add(root);
        frontier
    }

    /// The first rule that holds.
    pub(super) fn find<R: Request>(
        mut self,
        rules: &[Rule],
        facts: &mut Facts<'_, '_, R>,
    ) -> Found {
        // All positions before this one have been asked, or cannot hold.
        let mut from = 0;
        while let Some((position, source)) = self.pop() {
            match source {
                Source::Groups(groups) => {
                    if let Some((first, rest)) = groups.split_first() {
                        self.push(Source::Unread(first, first.rules()));
                        self.push(Source::Groups(rest));
                    }
                }
                Source::Unread(group, positions) if facts.is_read(group.attribute()) => {
                    if group.by_value().needs_search() {
                        facts.search(group.attribute());
                    }
                    match facts.known(group.attribute()) {
                        Value::Present(value) => {
                            let searched = facts.found(group.attribute());
                            group.by_value().visit(value, searched, |place| match place {
                                Place::Node(node) => self.add(node),
                                Place::Rules(positions) => self.add_rules(positions),
                            })
                        }
                        // What is filed here holds on no absent value.
                        Value::Absent => {}
                        // A rule that waits for the body has ended the walk; if not, each is asked.
                        Value::Pending => self.push(Source::Rules(positions)),
                    }
                }
                Source::Rules(positions) | Source::Unread(_, positions) if position < from => {
                    let asked = positions.partition_point(|position| *position < from);
                    self.push(source.with(positions.get(asked..).unwrap_or_default()));
                }
                Source::Rules(positions) | Source::Unread(_, positions) => {
                    let found = rules
                        .get(position as usize)
                        .and_then(|rule| ask(rule, position as usize, facts));
                    if let Some(found) = found {
                        return found;
                    }
                    from = position + 1;
                    self.push(source.with(positions.get(1..).unwrap_or_default()));
                }
            }
        }
        Found::Nothing
    }

    /// Adds what is filed in one place.
    fn add(&mut self, node: &'i Node) {
        match node {
            Node::One(position) => self.add_rules(std::slice::from_ref(position)),
            Node::Many(positions) => self.add_rules(positions),
            Node::Branch(branch) => {
                self.add_rules(branch.residual());
                self.push(Source::Groups(branch.groups()));
            }
        }
    }

    /// Adds rules, in ascending order.
    fn add_rules(&mut self, positions: &'i [u32]) {
        self.push(Source::Rules(positions));
    }

    fn push(&mut self, source: Source<'i>) {
        let Some(position) = source.next() else { return };
        self.heap.push((position, source));
        let mut child = self.heap.len() - 1;
        while child > 0 {
            let parent = (child - 1) / 2;
            if self.position(parent) <= Some(position) {
                break;
            }
            self.heap.swap(parent, child);
            child = parent;
        }
    }

    fn pop(&mut self) -> Option<(u32, Source<'i>)> {
        if self.heap.is_empty() {
            return None;
        }
        let top = self.heap.swap_remove(0);
        let mut parent = 0;
        loop {
            let (left, right) = (2 * parent + 1, 2 * parent + 2);
            let Some(of_left) = self.position(left) else { break };
            let child = match self.position(right) {
                Some(of_right) if of_right < of_left => right,
                _ => left,
            };
            if self.position(parent) <= self.position(child) {
                break;
            }
            self.heap.swap(parent, child);
            parent = child;
        }
        Some(top)
    }

    fn position(&self, at: usize) -> Option<u32> {
        self.heap.get(at).map(|(position, _)| *position)
    }
}

impl<'i> Source<'i> {
    /// The same source with these rules left.
    fn with(self, left: &'i [u32]) -> Self {
        match self {
            Self::Rules(_) => Self::Rules(left),
            Self::Unread(group, _) => Self::Unread(group, left),
            Self::Groups(groups) => Self::Groups(groups),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_come_in_ascending_order() {
        let lists: [&[u32]; 5] = [&[3, 9], &[], &[1, 4, 7], &[2], &[0, 8]];
        let mut frontier = Frontier { heap: SmallVec::new() };
        for list in lists {
            frontier.add_rules(list);
        }
        let mut seen = Vec::new();
        while let Some((position, Source::Rules(list))) = frontier.pop() {
            seen.push(position);
            frontier.add_rules(&list[1..]);
        }
        assert_eq!(seen, [0, 1, 2, 3, 4, 7, 8, 9]);
    }
}
