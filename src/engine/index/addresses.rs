//! Client addresses: the blocks that an address lies in, found by one binary search.

use super::member::{Member, positions};
use crate::engine::matches::{Addresses, parse_address};
use crate::engine::sorted::sort_by;

/// A segment tree over the ends of all blocks: a block is filed in the few nodes that make it up,
/// and an address lies in those on the way from its leaf to the root, however blocks are nested.
#[derive(Clone, Debug, Default)]
pub(super) struct AddressTree {
    /// The first addresses of the leaves, ascending.
    leaves: Box<[u128]>,
    /// The children of node n are 2n and 2n + 1; the leaves come last.
    nodes: Box<[Box<[u32]>]>,
}

impl AddressTree {
    pub(super) fn new(filed: Vec<(&Addresses, Vec<Member>)>) -> Self {
        let ranges = filed.iter().flat_map(|(set, _)| set.ranges());
        let mut leaves: Vec<u128> = ranges
            .flat_map(|(first, last)| [Some(*first), last.checked_add(1)])
            .flatten()
            .collect();
        sort_by(&mut leaves, Ord::cmp);
        leaves.dedup();
        let mut nodes: Vec<Vec<Member>> = vec![Vec::new(); 2 * leaves.len()];
        for (set, members) in &filed {
            for (first, last) in set.ranges() {
                let mut left = leaves.partition_point(|leaf| leaf < first) + leaves.len();
                let mut right = leaves.partition_point(|leaf| leaf <= last) + leaves.len();
                while left < right {
                    if left % 2 == 1 {
                        nodes.get_mut(left).into_iter().for_each(|node| node.extend(members));
                        left += 1;
                    }
                    if right % 2 == 1 {
                        right -= 1;
                        nodes.get_mut(right).into_iter().for_each(|node| node.extend(members));
                    }
                    left /= 2;
                    right /= 2;
                }
            }
        }
        Self { leaves: leaves.into(), nodes: nodes.iter().map(positions).collect() }
    }

    /// Visits the rules that are filed under the blocks of an address, list by list.
    pub(super) fn visit<'i>(&'i self, value: &[u8], mut found: impl FnMut(&'i [u32])) {
        if self.leaves.is_empty() {
            return;
        }
        let Some(address) = parse_address(value).map(Addresses::number) else { return };
        let after = self.leaves.partition_point(|leaf| *leaf <= address);
        let Some(leaf) = after.checked_sub(1) else { return };
        let mut node = leaf + self.leaves.len();
        while node > 0 {
            if let Some(rules) = self.nodes.get(node) {
                found(rules);
            }
            node /= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_blocks_of_an_address_are_found() {
        let blocks = [
            "0.0.0.0/0",
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.2.0/24",
            "10.1.2.3",
            "10.2.0.0/16",
            "::/0",
            "2001:db8::/32",
            "ffff::/16",
            "255.255.255.255",
        ];
        let sets: Vec<Addresses> = blocks
            .iter()
            .map(|block| Addresses::compile([block.as_bytes()].into_iter()))
            .collect::<Result<_, _>>()
            .expect("sets");
        let tree = AddressTree::new(
            (0..).zip(&sets).map(|(at, set)| (set, vec![Member::at(at)])).collect(),
        );
        for address in [
            "10.1.2.3",
            "10.1.2.4",
            "10.1.3.0",
            "10.255.255.255",
            "11.0.0.0",
            "0.0.0.0",
            "255.255.255.255",
            "::",
            "2001:db8::1",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "junk",
        ] {
            let mut seen: Vec<u32> = Vec::new();
            tree.visit(address.as_bytes(), |rules| seen.extend(rules));
            seen.sort_unstable();
            let parsed = parse_address(address.as_bytes());
            let holding: Vec<u32> = (0..)
                .zip(&sets)
                .filter(|(_, set)| parsed.is_some_and(|address| set.contains(address)))
                .map(|(at, _)| at)
                .collect();
            assert_eq!(seen, holding, "{address}");
        }
    }
}
