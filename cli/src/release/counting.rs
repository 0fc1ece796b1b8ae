//! From the counters of gateways to blocks of requests.

use super::document::{Moment, Watch};
use super::evidence::{Block, Counts};
use std::collections::BTreeMap;

/// Whose requests a series counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Stable,
    Canary,
}

/// What a series says of a measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Answers, of which none is bad.
    Good,
    /// Answers that are bad.
    Bad,
    /// Answers, some of which may be bad; those that are not are counted by a series of `Fast`.
    All,
    /// Of these, the good ones.
    Fast,
}

/// A counter with its samples, oldest first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series {
    /// All labels: what the series is known by.
    pub key: String,
    pub measure: &'static str,
    pub side: Side,
    pub part: Part,
    pub samples: Vec<(Moment, f64)>,
}

/// What was measured at a look.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Measured {
    pub series: Vec<Series>,
    /// The configured weights of stable and canary that each gateway shows.
    pub shown: Vec<(f64, f64)>,
}

/// What a look has brought.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Look {
    /// Whether there were new samples.
    pub is_fresh: bool,
    /// The milliseconds between the newest samples of this look and of the one before.
    pub time: u64,
    /// How many answers of the canary are new.
    pub canary: f64,
    /// The newest samples of the look before, and of this one.
    pub between: Option<(Moment, Moment)>,
}

/// Takes the new counts in. A time without samples, as while Prometheus was away, counts only as
/// `longest`: nobody knows what happened in it. Before the canary was given anything (`is_given`),
/// what is counted of it is not this release's.
pub(crate) fn take(watch: &mut Watch, measured: &Measured, longest: u64, is_given: bool) -> Look {
    let newest = measured.series.iter().filter_map(|series| Some(series.samples.last()?.0)).max();
    let Some(newest) = newest else { return Look::default() };
    let before = watch.newest;
    if before.is_some_and(|before| newest <= before) {
        return Look::default();
    }
    let mut blocks: BTreeMap<&str, Block> = BTreeMap::new();
    for series in &measured.series {
        let Some((_, last)) = series.samples.last() else { continue };
        let grown = match watch.counters.get(&series.key) {
            Some(known) => increase(*known, *last),
            // A new series: what it counted before it was first seen is not ours.
            None => growth(&series.samples),
        };
        watch.counters.insert(series.key.clone(), *last);
        let block = blocks.entry(series.measure).or_default();
        let side = match series.side {
            Side::Stable => &mut block.stable,
            Side::Canary => &mut block.canary,
        };
        let counts = match series.part {
            Part::Good => Counts { requests: grown, bad: 0.0 },
            Part::Bad => Counts { requests: grown, bad: grown },
            Part::All => Counts { requests: grown, bad: grown },
            Part::Fast => Counts { requests: 0.0, bad: -grown },
        };
        *side = side.plus(counts);
    }
    let mut canary: f64 = 0.0;
    for (name, block) in blocks {
        let Some(measure) = watch.measures.get_mut(name) else { continue };
        let block = Block { stable: sound(block.stable), canary: sound(block.canary) };
        if before.is_none() || !is_given {
            // What was before the release is no part of it, but tells what stable is like.
            measure.learn(block.stable);
        } else {
            canary = canary.max(block.canary.requests);
            measure.look(&block);
        }
    }
    watch.newest = Some(newest);
    let time = before.map_or(0, |before| newest.0 - before.0).min(longest);
    Look { is_fresh: true, time, canary, between: before.map(|before| (before, newest)) }
}

/// How much a counter has grown: one that is smaller than before has begun anew.
fn increase(before: f64, now: f64) -> f64 {
    if now >= before { now - before } else { now }
}

fn growth(samples: &[(Moment, f64)]) -> f64 {
    let pairs = samples.iter().zip(samples.iter().skip(1));
    pairs.map(|((_, before), (_, now))| increase(*before, *now)).sum()
}

/// Two counters that are not read at the same instant may be off by a little.
fn sound(counts: Counts) -> Counts {
    let requests = counts.requests.max(0.0);
    Counts { requests, bad: counts.bad.clamp(0.0, requests) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::evidence::Measure;

    fn series(key: &str, side: Side, part: Part, samples: &[(u64, f64)]) -> Series {
        let samples = samples.iter().map(|(at, value)| (Moment(*at), *value)).collect();
        Series { key: key.to_owned(), measure: "errors", side, part, samples }
    }

    fn watch() -> Watch {
        let measures = BTreeMap::from([("errors".to_owned(), Measure::new(0.01))]);
        Watch { measures, ..Watch::default() }
    }

    #[test]
    fn only_what_is_new_counts() {
        let mut watch = watch();
        let look = |watch: &mut Watch, at: u64, good: f64, bad: f64| {
            let series = vec![
                series("a", Side::Canary, Part::Good, &[(at - 500, good - 1.0), (at, good)]),
                series("b", Side::Canary, Part::Bad, &[(at, bad)]),
                series("c", Side::Stable, Part::Good, &[(at, 0.0)]),
            ];
            take(watch, &Measured { series, shown: Vec::new() }, 10_000, true)
        };
        let fresh = |time, canary, between: Option<(u64, u64)>| {
            let between = between.map(|(one, other)| (Moment(one), Moment(other)));
            Look { is_fresh: true, time, canary, between }
        };
        assert_eq!(look(&mut watch, 1_000, 100.0, 5.0), fresh(0, 0.0, None));
        assert_eq!(look(&mut watch, 1_000, 100.0, 5.0), Look::default(), "nothing new");
        let second = look(&mut watch, 3_000, 110.0, 7.0);
        assert_eq!(second, fresh(2_000, 12.0, Some((1_000, 3_000))));
        // A gateway has begun anew, after a long time.
        let third = look(&mut watch, 90_000, 4.0, 0.0);
        assert_eq!(third, fresh(10_000, 4.0, Some((3_000, 90_000))));
        let total = watch.measures["errors"].total.canary;
        assert_eq!(total, Counts { requests: 16.0, bad: 2.0 });
        assert_eq!(take(&mut watch, &Measured::default(), 1, true), Look::default(), "no data");
    }

    #[test]
    fn what_the_canary_did_before_is_not_judged() {
        let mut watch = watch();
        for (at, bad, is_given) in [(1_000, 0.0, false), (2_000, 50.0, false), (3_000, 51.0, true)]
        {
            let series = vec![
                series("bad", Side::Canary, Part::Bad, &[(at, bad)]),
                series("good", Side::Stable, Part::Good, &[(at, bad)]),
            ];
            take(&mut watch, &Measured { series, shown: Vec::new() }, 10_000, is_given);
        }
        let total = watch.measures["errors"].total;
        assert_eq!((total.canary.bad, total.stable.requests), (1.0, 1.0));
    }

    #[test]
    fn slow_is_what_is_not_fast() {
        let mut watch = watch();
        for (at, all, fast) in [(1_000, 0.0, 0.0), (2_000, 10.0, 7.0)] {
            let series = vec![
                series("all", Side::Stable, Part::All, &[(at, all)]),
                series("fast", Side::Stable, Part::Fast, &[(at, fast)]),
            ];
            take(&mut watch, &Measured { series, shown: Vec::new() }, 10_000, true);
        }
        let total = watch.measures["errors"].total.stable;
        assert_eq!(total, Counts { requests: 10.0, bad: 3.0 });
    }

    #[test]
    fn a_new_gateway_counts_from_when_it_is_seen() {
        let mut watch = watch();
        let first = series("a", Side::Canary, Part::Good, &[(1_000, 5.0)]);
        take(&mut watch, &Measured { series: vec![first], shown: Vec::new() }, 10_000, true);
        let later = series("new", Side::Canary, Part::Good, &[(1_500, 1_000.0), (2_000, 1_003.0)]);
        let look =
            take(&mut watch, &Measured { series: vec![later], shown: Vec::new() }, 10_000, true);
        assert_eq!(look.canary, 3.0);
    }
}
