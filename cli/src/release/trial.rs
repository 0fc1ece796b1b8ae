//! The verdict of a release on counts of one's own.

use super::evidence::{Block, Counts, Measure, Verdict, verdict};

/// Judges a canary by what it and stable did over the same time, as `tse-route release` does with the
/// errors that Prometheus has counted.
///
/// ```
/// use tse_route_cli::{Ruling, Trial};
///
/// // Half a percentage point is accepted; the ruling is to hold with 99 %.
/// let mut trial = Trial::new(0.005, 0.99);
/// // 950 requests of stable with 2 errors, 50 of the canary with 20.
/// assert_eq!(trial.look((950.0, 2.0), (50.0, 20.0)), Ruling::Worse);
/// ```
#[derive(Clone, Debug)]
pub struct Trial {
    measure: Measure,
    alpha: f64,
}

/// What the evidence so far says of a canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// Worse by more than the margin.
    Worse,
    /// Worse by less than the margin, or not at all.
    NotWorse,
    /// Neither, yet.
    Open,
}

impl Trial {
    /// A trial in which the canary may fail more often by `margin`, a share of one, and whose rulings
    /// are to hold with the probability `confidence`.
    pub fn new(margin: f64, confidence: f64) -> Self {
        Self { measure: Measure::new(margin), alpha: 1.0 - confidence }
    }

    /// Takes in what stable did before: so many requests, so many of them bad.
    pub fn learn(&mut self, requests: f64, bad: f64) {
        self.measure.learn(Counts { requests, bad });
    }

    /// Takes in what both did since the last look, as requests and how many of them were bad. There
    /// may be as many looks as one likes.
    pub fn look(&mut self, stable: (f64, f64), canary: (f64, f64)) -> Ruling {
        let counts = |(requests, bad)| Counts { requests, bad };
        self.measure.look(&Block { stable: counts(stable), canary: counts(canary) });
        match verdict([&self.measure], self.alpha) {
            Verdict::Worse => Ruling::Worse,
            Verdict::NotWorse => Ruling::NotWorse,
            Verdict::Open => Ruling::Open,
        }
    }
}
