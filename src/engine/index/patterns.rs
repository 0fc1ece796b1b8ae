//! Patterns: one pass over the value has found all that are in it.

use crate::engine::patterns::Found;
use crate::engine::sorted::sort_by_key;

/// What is filed under patterns, by their numbers among those of the attribute.
#[derive(Clone, Debug)]
pub(super) struct Patterns<N> {
    filed: Box<[(usize, N)]>,
}

impl<N> Patterns<N> {
    /// From different patterns, in any order.
    pub(super) fn new(mut filed: Vec<(usize, N)>) -> Self {
        sort_by_key(&mut filed, |(pattern, _)| *pattern);
        Self { filed: filed.into() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.filed.is_empty()
    }

    /// Visits what is filed under the patterns that were found, or may be there.
    pub(super) fn visit<'i>(&'i self, searched: Option<&Found>, mut found: impl FnMut(&'i N)) {
        let Some(searched) = searched else { return };
        if searched.is_cut() {
            let possible =
                self.filed.iter().filter(|(pattern, _)| searched.holds(*pattern) != Some(false));
            return possible.for_each(|(_, node)| found(node));
        }
        for pattern in searched.iter() {
            let at = self.filed.binary_search_by(|(number, _)| number.cmp(&pattern));
            if let Some((_, node)) = at.ok().and_then(|at| self.filed.get(at)) {
                found(node);
            }
        }
    }
}
