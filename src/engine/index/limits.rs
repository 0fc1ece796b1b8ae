//! When an index pays.

/// Up to where something is asked one by one, and from where it is filed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Fewer rules are asked one by one.
    pub(super) loop_below: usize,
    /// Fewer rules with one attribute are asked one by one.
    pub(super) group_from: usize,
    /// Larger lists are looked up whole instead of value by value: they would be in memory twice.
    pub(super) list: usize,
    /// How many values of lists an index takes apart in all, each counted for every rule that has it.
    pub(super) lists: usize,
    /// Sets of more address blocks are looked up whole.
    pub(super) blocks: usize,
}

impl Limits {
    /// Measured with `benches/engine.rs`.
    pub(super) const MEASURED: Self =
        Self { loop_below: 8, group_from: 4, list: 1_024, lists: 1 << 17, blocks: 64 };

    /// Whether so many rules are filed rather than asked one by one.
    pub(super) fn pays(&self, rules: usize) -> bool {
        rules >= self.loop_below
    }
}
