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
/// What moves in the heap are numbers, a position above the place of its source. Both are kept in
/// place up to sixteen sources, which is more than most requests need, so that the walk takes no
/// memory from the allocator.
pub(super) struct Frontier<'i> {
    heap: SmallVec<[u64; 16]>,
    sources: SmallVec<[Source<'i>; 16]>,
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

impl<'i> Frontier<'i> {
    pub(super) fn new(root: &'i Node) -> Self {
        let mut frontier = Self { heap: SmallVec::new(), sources: SmallVec::new() };
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
        while let Some((position, place)) = self.top() {
            let Some(source) = self.sources.get(place).copied() else { break };
            match source {
                Source::Groups(groups) => {
                    let Some((group, rest)) = groups.split_first() else { break };
                    match rest.first().and_then(Group::first) {
                        Some(next) => self.replace_top(next, Source::Groups(rest)),
                        None => self.pop(),
                    }
                    let positions = group.rules();
                    if facts.is_read(group.attribute()) {
                        self.open(group, positions, facts);
                    } else if position < from {
                        self.push(Source::Unread(group, not_before(from, positions)));
                    } else {
                        if let Some(found) = ask_at(rules, position, facts) {
                            return found;
                        }
                        from = position + 1;
                        self.push(Source::Unread(group, positions.get(1..).unwrap_or_default()));
                    }
                }
                Source::Unread(group, positions) if facts.is_read(group.attribute()) => {
                    self.pop();
                    self.open(group, positions, facts);
                }
                Source::Rules(positions) | Source::Unread(_, positions) if position < from => {
                    self.advance(source, not_before(from, positions));
                }
                Source::Rules(positions) | Source::Unread(_, positions) => {
                    if let Some(found) = ask_at(rules, position, facts) {
                        return found;
                    }
                    from = position + 1;
                    self.advance(source, positions.get(1..).unwrap_or_default());
                }
            }
        }
        Found::Nothing
    }

    /// Adds what is filed under the value of a group's attribute, which was read.
    fn open<R: Request>(
        &mut self,
        group: &'i Group,
        positions: &'i [u32],
        facts: &mut Facts<'_, '_, R>,
    ) {
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
            Value::Pending => self.add_rules(positions),
        }
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

    /// The position of the next candidate, and the place of its source.
    fn top(&self) -> Option<(u32, usize)> {
        self.heap.first().map(|top| ((top >> 32) as u32, *top as u32 as usize))
    }

    fn push(&mut self, source: Source<'i>) {
        let Some(position) = source.next() else { return };
        let entry = u64::from(position) << 32 | self.sources.len() as u64;
        self.sources.push(source);
        self.heap.push(entry);
        let heap = &mut *self.heap;
        let mut child = heap.len() - 1;
        while child > 0 {
            let parent = (child - 1) / 2;
            match heap.get(parent) {
                Some(above) if *above > entry => heap.swap(parent, child),
                _ => break,
            }
            child = parent;
        }
    }

    /// Goes on with what is left of the source on top.
    fn advance(&mut self, source: Source<'i>, left: &'i [u32]) {
        let source = match source {
            Source::Unread(group, _) => Source::Unread(group, left),
            Source::Rules(_) | Source::Groups(_) => Source::Rules(left),
        };
        match left.first() {
            Some(next) => self.replace_top(*next, source),
            None => self.pop(),
        }
    }

    /// Puts another source in the place of the one on top.
    fn replace_top(&mut self, position: u32, source: Source<'i>) {
        let Some(top) = self.heap.first_mut() else { return };
        let place = *top as u32;
        *top = u64::from(position) << 32 | u64::from(place);
        if let Some(kept) = self.sources.get_mut(place as usize) {
            *kept = source;
        }
        self.sink();
    }

    fn pop(&mut self) {
        if !self.heap.is_empty() {
            self.heap.swap_remove(0);
            self.sink();
        }
    }

    /// Moves the top to where it belongs.
    #[inline(always)]
    fn sink(&mut self) {
        let heap = &mut *self.heap;
        let Some(entry) = heap.first().copied() else { return };
        let mut parent = 0;
        loop {
            let left = 2 * parent + 1;
            let Some(mut least) = heap.get(left).copied() else { return };
            let mut child = left;
            if let Some(right) = heap.get(left + 1).filter(|right| **right < least) {
                (least, child) = (*right, left + 1);
            }
            if entry <= least {
                return;
            }
            heap.swap(parent, child);
            parent = child;
        }
    }
}

/// What the rule at this position makes of the request.
fn ask_at<R: Request>(
    rules: &[Rule],
    position: u32,
    facts: &mut Facts<'_, '_, R>,
) -> Option<Found> {
    ask(rules.get(position as usize)?, position as usize, facts)
}

/// Those of ascending positions that are not before this one.
fn not_before(from: u32, positions: &[u32]) -> &[u32] {
    let asked = positions.partition_point(|position| *position < from);
    positions.get(asked..).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_come_in_ascending_order() {
        let lists: [&[u32]; 5] = [&[3, 9], &[], &[1, 4, 7], &[2], &[0, 8]];
        let mut frontier = Frontier { heap: SmallVec::new(), sources: SmallVec::new() };
        for list in lists {
            frontier.add_rules(list);
        }
        let mut seen = Vec::new();
        while let Some((position, place)) = frontier.top() {
            seen.push(position);
            let source = frontier.sources[place];
            let Source::Rules(list) = source else { panic!("rules") };
            frontier.advance(source, &list[1..]);
        }
        assert_eq!(seen, [0, 1, 2, 3, 4, 7, 8, 9]);
    }
}
