//! Prefixes and suffixes: all that a value has, found by one binary search.
//!
//! What is filed under them, an `N`, is the business of whoever files it.

use crate::engine::sorted::sort_by;
use smallvec::SmallVec;

/// Prefixes in ascending order, each linked to the longest other that it begins with.
///
/// A prefix of a value stands before the value, and whatever stands between the two begins with
/// it too. So the last entry that is not after the value leads to all its prefixes by the links.
#[derive(Clone, Debug)]
pub(super) struct Prefixes<N> {
    entries: Box<[Entry<N>]>,
}

#[derive(Clone, Debug)]
struct Entry<N> {
    prefix: Box<[u8]>,
    /// The longest other prefix that this one begins with.
    shorter: Option<usize>,
    node: N,
}

impl<N> Prefixes<N> {
    /// From different prefixes, in any order.
    pub(super) fn new(mut filed: Vec<(Box<[u8]>, N)>) -> Self {
        sort_by(&mut filed, |(left, _), (right, _)| left.cmp(right));
        let mut entries: Vec<Entry<N>> = Vec::with_capacity(filed.len());
        for (prefix, node) in filed {
            let shorter = first_prefix(&entries, entries.len().checked_sub(1), &prefix);
            entries.push(Entry { prefix, shorter, node });
        }
        Self { entries: entries.into() }
    }

    /// Visits what is filed under the prefixes of a value.
    pub(super) fn visit<'i>(&'i self, value: &[u8], mut found: impl FnMut(&'i N)) {
        if self.entries.is_empty() {
            return;
        }
        let after = self.entries.partition_point(|entry| *entry.prefix <= *value);
        let mut next = first_prefix(&self.entries, after.checked_sub(1), value);
        while let Some(entry) = next.and_then(|at| self.entries.get(at)) {
            found(&entry.node);
            next = entry.shorter;
        }
    }
}

/// The first entry that the text begins with, from this one along the links.
fn first_prefix<N>(entries: &[Entry<N>], from: Option<usize>, text: &[u8]) -> Option<usize> {
    let mut next = from;
    loop {
        let at = next?;
        let entry = entries.get(at)?;
        if text.starts_with(&entry.prefix) {
            return Some(at);
        }
        next = entry.shorter;
    }
}

/// Suffixes: prefixes of the value read backwards.
#[derive(Clone, Debug)]
pub(super) struct Suffixes<N> {
    backwards: Prefixes<N>,
    longest: usize,
}

impl<N> Suffixes<N> {
    /// From different suffixes, in any order.
    pub(super) fn new(mut filed: Vec<(Box<[u8]>, N)>) -> Self {
        for (suffix, _) in &mut filed {
            suffix.reverse();
        }
        let longest = filed.iter().map(|(suffix, _)| suffix.len()).max().unwrap_or(0);
        Self { backwards: Prefixes::new(filed), longest }
    }

    /// Visits what is filed under the suffixes of a value.
    pub(super) fn visit<'i>(&'i self, value: &[u8], found: impl FnMut(&'i N)) {
        if self.backwards.entries.is_empty() {
            return;
        }
        // A name of a host is no longer than this.
        let end: SmallVec<[u8; 256]> = value.iter().rev().take(self.longest).copied().collect();
        self.backwards.visit(&end, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 9] = ["", "/a", "/a/b", "/a/b/c", "/ab", "/b", "/a/", "a", "/a/bc"];
    const VALUES: [&str; 11] =
        ["", "/", "/a", "/a/b/x", "/a/b/c", "/abc", "/b/a", "/c", "a", "/a/bcd", "\u{ff}"];

    fn filed() -> Vec<(Box<[u8]>, u32)> {
        (0..).zip(TEXTS).map(|(at, text)| (text.as_bytes().into(), at)).collect()
    }

    fn holding(holds: impl Fn(&str) -> bool) -> Vec<u32> {
        (0..).zip(TEXTS).filter(|(_, text)| holds(text)).map(|(at, _)| at).collect()
    }

    fn positions(visit: impl FnOnce(&mut dyn FnMut(&u32))) -> Vec<u32> {
        let mut seen = Vec::new();
        visit(&mut |position| seen.push(*position));
        seen.sort_unstable();
        seen
    }

    #[test]
    fn all_prefixes_are_found() {
        let prefixes = Prefixes::new(filed());
        for value in VALUES {
            let seen = positions(|found| prefixes.visit(value.as_bytes(), found));
            assert_eq!(seen, holding(|text| value.starts_with(text)), "{value}");
        }
    }

    #[test]
    fn all_suffixes_are_found() {
        let suffixes = Suffixes::new(filed());
        for value in VALUES {
            let seen = positions(|found| suffixes.visit(value.as_bytes(), found));
            assert_eq!(seen, holding(|text| value.ends_with(text)), "{value}");
        }
    }

    #[test]
    fn nothing_filed_is_nothing_found() {
        assert!(positions(|found| Prefixes::new(Vec::new()).visit(b"a", found)).is_empty());
        assert!(positions(|found| Suffixes::new(Vec::new()).visit(b"a", found)).is_empty());
    }
}
