//! What a place in a text stands in: one bit a level.

use smallvec::SmallVec;

/// What holds other values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    List,
    Object,
}

/// The containers around a place, the innermost on top.
#[derive(Debug, Default)]
pub(super) struct Nesting {
    depth: usize,
    /// Whether a level is an object.
    bits: SmallVec<[u64; 2]>,
}

impl Nesting {
    pub(super) fn push(&mut self, container: Container) {
        let (word, bit) = place(self.depth);
        if word == self.bits.len() {
            self.bits.push(0);
        }
        if let Some(bits) = self.bits.get_mut(word) {
            *bits = *bits & !bit | if container == Container::Object { bit } else { 0 };
        }
        self.depth += 1;
    }

    pub(super) fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    pub(super) fn top(&self) -> Option<Container> {
        let (word, bit) = place(self.depth.checked_sub(1)?);
        let is_object = self.bits.get(word)? & bit != 0;
        Some(if is_object { Container::Object } else { Container::List })
    }
}

/// The word of a level and its bit there.
fn place(level: usize) -> (usize, u64) {
    (level / 64, 1 << (level % 64))
}
