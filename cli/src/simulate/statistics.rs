//! Whether an observed split may be chance.

use statrs::function::gamma::checked_gamma_ur;

/// Pearson's chi-square test of counts against weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Test {
    pub chi_square: f64,
    pub degrees_of_freedom: u32,
    /// The probability of a deviation at least as large, where the weights are kept.
    pub p_value: f64,
}

impl Test {
    /// None where there is nothing to choose, or nothing was counted.
    pub(super) fn of(counts: &[u64], shares: &[f64]) -> Option<Self> {
        let total = counts.iter().sum::<u64>() as f64;
        let possible = shares.iter().filter(|share| **share > 0.0).count();
        let degrees_of_freedom = u32::try_from(possible.checked_sub(1)?).ok()?;
        let pairs = || counts.iter().zip(shares);
        if pairs().any(|(count, share)| *count > 0 && *share == 0.0) {
            // What has no weight was chosen: no chance explains it.
            return Some(Self { chi_square: f64::INFINITY, degrees_of_freedom, p_value: 0.0 });
        }
        if total == 0.0 || degrees_of_freedom == 0 {
            return None;
        }
        let chi_square: f64 = pairs()
            .filter(|(_, share)| **share > 0.0)
            .map(|(count, share)| {
                let expected = total * share;
                (*count as f64 - expected).powi(2) / expected
            })
            .sum();
        // The library's function is not defined at 0.
        let p_value = match chi_square > 0.0 {
            true => checked_gamma_ur(f64::from(degrees_of_freedom) / 2.0, chi_square / 2.0).ok()?,
            false => 1.0,
        };
        Some(Self { chi_square, degrees_of_freedom, p_value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_values_are_those_of_the_tables() {
        // Critical values from any table of the chi-square distribution.
        for (counts, shares, p) in [
            (&[50, 50][..], &[0.5, 0.5][..], 1.0),
            (&[60, 40], &[0.5, 0.5], 0.0455),
            (&[70, 30], &[0.5, 0.5], 0.000_063),
            (&[20, 30, 50], &[0.2, 0.3, 0.5], 1.0),
            (&[30, 30, 40], &[0.2, 0.3, 0.5], 0.0302),
        ] {
            let test = Test::of(counts, shares).expect("a test");
            assert!((test.p_value - p).abs() < 0.0001, "{counts:?}: {test:?}");
        }
        assert_eq!(Test::of(&[1, 99], &[0.0, 1.0]).map(|test| test.p_value), Some(0.0));
        assert_eq!(Test::of(&[0, 99], &[0.0, 1.0]), None);
        assert_eq!(Test::of(&[0, 0], &[0.5, 0.5]), None);
        assert_eq!(Test::of(&[], &[]), None);
    }
}
