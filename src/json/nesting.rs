//! What a place in a text stands in: one bit a level.

/// The containers around a place, the innermost on top.
#[derive(Debug, Default)]
pub(super) struct Nesting {
    depth: usize,
    /// Whether a level is an object: the innermost in the lowest bit.
    bits: u64,
    /// The bits of the levels further out, 64 in each.
    outer: Vec<u64>,
}

impl Nesting {
    pub(super) fn push(&mut self, is_object: bool) {
        if self.depth.is_multiple_of(64) && self.depth > 0 {
            self.outer.push(self.bits);
        }
        self.bits = self.bits << 1 | u64::from(is_object);
        self.depth += 1;
    }

    /// Leaves the innermost; whether it was the last.
    pub(super) fn pop(&mut self) -> bool {
        self.bits >>= 1;
        self.depth = self.depth.saturating_sub(1);
        if self.depth.is_multiple_of(64) {
            match self.outer.pop() {
                Some(bits) => self.bits = bits,
                None => return true,
            }
        }
        false
    }

    /// Whether the innermost is an object.
    pub(super) fn is_object(&self) -> bool {
        self.bits & 1 == 1
    }
}
