//! Which patterns were found.

use smallvec::SmallVec;

/// A set of patterns by their numbers; up to 512 of them are kept in place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    bits: SmallVec<[u64; 8]>,
    count: usize,
    /// Whether the search ended early, so that what was not found may be there.
    is_cut: bool,
}

impl Found {
    pub(super) fn new(patterns: usize) -> Self {
        Self { bits: smallvec::smallvec![0; patterns.div_ceil(64)], count: 0, is_cut: false }
    }

    pub(super) fn insert(&mut self, pattern: usize) {
        if let Some(bits) = self.bits.get_mut(pattern / 64) {
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
        let is_found =
            self.bits.get(pattern / 64).is_some_and(|bits| bits >> (pattern % 64) & 1 == 1);
        if self.is_cut && !is_found { None } else { Some(is_found) }
    }

    /// Whether the search ended early.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The patterns that were found, in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        self.bits.iter().enumerate().flat_map(|(word, bits)| {
            let mut left = *bits;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                left &= left.wrapping_sub(1);
                (bit < 64).then_some(word * 64 + bit as usize)
            })
        })
    }
}
