//! What would happen: a plan's steps on a made-up stream of requests.

use super::evidence::{Block, Counts, Measure, Verdict, verdict};
use super::plan::{Analysis, Plan, Step, Undecided};

/// How a made-up release ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Course {
    pub end: End,
    /// After how many seconds.
    pub took: f64,
    /// Requests of the canary that would have been answered well by stable.
    pub hurt: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Promoted,
    RolledBack,
    /// No verdict in time, and the plan holds.
    Held,
}

/// A stream of requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    /// Requests a second.
    pub rate: f64,
    /// Stable's share of errors.
    pub errors: f64,
    /// How much more often the canary fails, as a share of one.
    pub damage: f64,
}

/// Runs the steps of a plan on a stream, judging errors only.
pub(crate) fn course(
    plan: &Plan,
    analysis: &Analysis,
    stream: Stream,
    random: &mut fastrand::Rng,
) -> Course {
    let mut measure = Measure::new(analysis.errors);
    let every = analysis.every.0 as f64 / 1_000.0;
    let requests = stream.rate * every;
    // What stable did in the ten minutes before.
    measure.learn(draw(random, stream.rate * 600.0, stream.errors));
    let (mut took, mut hurt) = (0.0, 0.0);
    let mut answers = false;
    for step in &plan.steps {
        let Step::Weight { share, watch } = *step else { continue };
        let share = share.in_hundredths() as f64 / 10_000.0;
        let mut watched = 0.0;
        loop {
            watched += every;
            took += every;
            let canary = draw(random, requests * share, stream.errors + stream.damage);
            let stable = draw(random, requests * (1.0 - share), stream.errors);
            hurt += canary.requests * stream.damage;
            answers |= canary.requests > 0.0;
            measure.look(&Block { stable, canary });
            let says = verdict([&measure], analysis.alpha);
            if says == Verdict::Worse {
                return Course { end: End::RolledBack, took, hurt };
            }
            let over = watched - watch.0 as f64 / 1_000.0;
            if over >= 0.0 && says == Verdict::NotWorse {
                break;
            }
            if over >= analysis.deadline.0 as f64 / 1_000.0 {
                match analysis.undecided {
                    Undecided::Continue if answers => break,
                    Undecided::Rollback => return Course { end: End::RolledBack, took, hurt },
                    _ => return Course { end: End::Held, took, hurt },
                }
            }
        }
    }
    Course { end: End::Promoted, took, hurt }
}

/// Requests of a time, and the bad ones among them. The expected number is kept on average.
fn draw(random: &mut fastrand::Rng, expected: f64, rate: f64) -> Counts {
    let requests = expected.floor() + f64::from(u8::from(random.f64() < expected.fract()));
    Counts { requests, bad: binomial(random, requests, rate.min(1.0)) }
}

/// How many of `n` happen: from one to the next is a geometric step.
pub(crate) fn binomial(random: &mut fastrand::Rng, n: f64, p: f64) -> f64 {
    if p <= 0.0 {
        return 0.0;
    }
    if p >= 1.0 {
        return n;
    }
    let mut count = 0.0;
    let mut at = 0.0;
    loop {
        at += ((1.0 - random.f64()).ln() / (1.0 - p).ln()).floor() + 1.0;
        if at > n {
            return count;
        }
        count += 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_their_mean() {
        let mut random = fastrand::Rng::with_seed(3);
        for (n, p) in [(10.0, 0.3), (1_000.0, 0.005), (7.0, 1.0), (7.0, 0.0)] {
            let rounds = 20_000;
            let mean: f64 =
                (0..rounds).map(|_| binomial(&mut random, n, p)).sum::<f64>() / f64::from(rounds);
            // Six standard deviations: less than one in a million on both sides.
            let off = 6.0 * (n * p * (1.0 - p) / f64::from(rounds)).sqrt();
            assert!((mean - n * p).abs() <= off + 1e-12, "{n} {p}: {mean}");
        }
    }
}
