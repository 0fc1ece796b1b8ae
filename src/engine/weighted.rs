//! The choice among weighted upstreams.

/// The weights of a rule's upstreams, in hundredths.
pub(super) type Shares = smallvec::SmallVec<[u64; 8]>;

/// The position of the share that `random` falls into, for shares in the order of `weights`.
///
/// `random` is spread over the sum of all shares, so that each gets its exact part of the 64 bits.
/// None where every weight is 0.
pub(crate) fn choose(weights: impl Iterator<Item = u64> + Clone, random: u64) -> Option<usize> {
    let total: u64 = weights.clone().sum();
    // The high half of the product is evenly distributed over 0..total (Lemire, 2019); what is
    // uneven in it is less than total / 2^64.
    let point = u64::try_from((u128::from(random) * u128::from(total)) >> 64).ok()?;
    let mut end = 0;
    for (index, weight) in weights.enumerate() {
        end += weight;
        if point < end {
            return Some(index);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::choose;

    #[test]
    fn every_share_has_its_ends() {
        let weights = [20, 0, 30, 50];
        let at = |share: f64| choose(weights.into_iter(), (share * 2f64.powi(64)) as u64);
        for (share, index) in
            [(0.0, 0), (0.1999, 0), (0.2001, 2), (0.4999, 2), (0.5001, 3), (1.0, 3)]
        {
            assert_eq!(at(share), Some(index), "{share}");
        }
        assert_eq!(choose([0, 0].into_iter(), 7), None);
        assert_eq!(choose(std::iter::empty(), 7), None);
        assert_eq!(choose([0, 1].into_iter(), 0), Some(1));
    }
}
