//! Rules on their way into the index.

use crate::engine::sorted::sort_by;

/// A rule on its way into the index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) position: u32,
    /// The first of its items that it has not been filed by.
    pub(super) next: usize,
}

#[cfg(test)]
impl Member {
    pub(super) fn at(position: u32) -> Self {
        Self { position, next: 0 }
    }
}

/// The positions of rules in ascending order, each once.
pub(super) fn positions<'m>(members: impl IntoIterator<Item = &'m Member>) -> Box<[u32]> {
    let mut positions: Vec<u32> = members.into_iter().map(|member| member.position).collect();
    sort_by(&mut positions, Ord::cmp);
    positions.dedup();
    positions.into()
}
