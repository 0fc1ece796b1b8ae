//! Which patterns were found.

use smallvec::SmallVec;

/// A set of patterns by their numbers; up to 512 of them are kept in place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// The first 64, which most attributes have no more than.
    first: u64,
    /// The others.
    rest: SmallVec<[u64; 7]>,
    count: usize,
    /// Whether the search ended early, so that what was not found may be there.
    is_cut: bool,
}

impl Found {
    pub(super) fn new(patterns: usize) -> Self {
        let mut found = Self::default();
        if patterns > 64 {
            found.rest.resize(patterns.div_ceil(64) - 1, 0);
        }
        found
    }

    fn word(&self, index: usize) -> u64 {
        match index.checked_sub(1) {
            None => self.first,
            Some(index) => self.rest.get(index).copied().unwrap_or(0),
        }
    }

    pub(super) fn insert(&mut self, pattern: usize) {
        let bits = match (pattern / 64).checked_sub(1) {
            None => Some(&mut self.first),
            Some(index) => self.rest.get_mut(index),
        };
        if let Some(bits) = bits {
            let bit = 1 << (pattern % 64);
            self.count += usize::from(*bits & bit == 0);
            *bits |= bit;
        }
    }

    pub(super) fn cut(&mut self) {
        self.is_cut = true;
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Whether a pattern is in the value; none where the search ended before it could know.
    pub(crate) fn holds(&self, pattern: usize) -> Option<bool> {
        let is_found = self.word(pattern / 64) >> (pattern % 64) & 1 == 1;
        if self.is_cut && !is_found { None } else { Some(is_found) }
    }

    /// Whether the search ended early.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The patterns that were found, in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        (0..=self.rest.len()).flat_map(|word| {
            let mut left = self.word(word);
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                left &= left.wrapping_sub(1);
                (bit < 64).then_some(word * 64 + bit as usize)
            })
        })
    }
}
