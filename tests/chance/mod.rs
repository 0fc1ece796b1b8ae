//! What chance allows: the bounds of every test whose outcome is drawn.
//!
//! A test that counts draws fails by accident at most once in a million runs, or, where its draws
//! are seeded, for at most one in a million seeds. The bounds follow from the number of draws by
//! the binomial distribution itself; `tests/envoy/chance.py` is the same for Python.

#[cfg(target_arch = "wasm32")]
use crate::support::test;
use std::ops::RangeInclusive;

const ACCIDENT: f64 = 1e-6;

/// How many of so many draws go to a share of 0 to 1.
///
/// A right count lies outside with a probability of at most one in a million, divided by the number
/// of `counts` that one test looks at, so that the test as a whole keeps to it.
pub fn bounds(draws: usize, share: f64, counts: usize) -> RangeInclusive<usize> {
    if share <= 0.0 {
        return 0..=0;
    }
    if share >= 1.0 {
        return draws..=draws;
    }
    let log = |number: usize| (number as f64).ln();
    // The logarithm of each count's probability, from the one before it.
    let mut next = draws as f64 * (-share).ln_1p();
    let mut logs = vec![next];
    for hits in 1..=draws {
        next += log(draws + 1 - hits) - log(hits) + share.ln() - (-share).ln_1p();
        logs.push(next);
    }
    // The first count whose tail is not too unlikely, from either end.
    let within = |tail: &mut f64, log: &f64| {
        *tail += log.exp();
        Some(*tail <= ACCIDENT / counts as f64 / 2.0)
    };
    let unlikely = |found: &mut dyn Iterator<Item = bool>| found.take_while(|one| *one).count();
    let low = unlikely(&mut logs.iter().scan(0.0, within));
    let high = unlikely(&mut logs.iter().rev().scan(0.0, within));
    low..=draws - high
}

#[test]
fn the_bounds_are_those_of_the_binomial_distribution() {
    // From `tests/envoy/chance.py`, which is tested against the distribution in whole numbers.
    for (draws, share, counts, expected) in [
        (10, 0.5, 1, 0..=10),
        (100, 0.2, 1, 3..=41),
        (400, 0.01, 3, 0..=18),
        (1_000, 0.5, 1, 423..=577),
        (10_000, 0.0067, 3, 30..=113),
        (100_000, 0.3, 5, 29248..=30755),
    ] {
        assert_eq!(bounds(draws, share, counts), expected, "{draws} {share} {counts}");
    }
}
