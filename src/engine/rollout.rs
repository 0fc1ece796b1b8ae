//! Weights as a function of the clock.

use super::weighted::Shares;
use crate::config;

/// The course of a rollout, in hundredths of weight by upstream.
#[derive(Clone, Debug)]
pub(crate) struct Rollout {
    /// Milliseconds since the epoch.
    start: u64,
    course: Course,
}

#[derive(Clone, Debug)]
enum Course {
    /// The weights from so many milliseconds after the start on, in the order of time.
    Stages(Box<[(u64, Box<[u64]>)]>),
    /// From the configured weights to others, in equal steps.
    Linear { duration: u64, steps: u64, to: Box<[u64]> },
}

/// The number of steps of the shorthand, unless configured: as in Kong's canary plugin.
const DEFAULT_STEPS: u64 = 1_000;

impl Rollout {
    /// Compiles a sound rollout of upstreams with these names and configured weights.
    pub(crate) fn compile(
        rollout: &config::Rollout,
        names: &[Option<&str>],
        configured: &[u64],
        total: u64,
    ) -> Self {
        let resolve = |weights: &config::NamedWeights| resolve(weights, names, configured, total);
        let course = match (&rollout.stages, &rollout.to) {
            (Some(stages), _) => Course::Stages(
                stages.iter().map(|stage| (stage.after.0, resolve(&stage.weights))).collect(),
            ),
            (None, to) => Course::Linear {
                duration: rollout.duration.unwrap_or_default().0.max(1),
                steps: rollout.steps.map_or(DEFAULT_STEPS, config::Whole::get),
                to: to.as_ref().map_or_else(|| configured.into(), resolve),
            },
        };
        Self { start: rollout.start.0, course }
    }

    /// The weights at a moment, in milliseconds since the epoch.
    pub(crate) fn weights_at(&self, now: u64, configured: &Shares) -> Shares {
        let Some(elapsed) = now.checked_sub(self.start) else { return configured.clone() };
        match &self.course {
            Course::Stages(stages) => {
                // The last stage that has begun: of several at the same instant the last counts.
                let begun = stages.partition_point(|(after, _)| *after <= elapsed);
                match begun.checked_sub(1).and_then(|index| stages.get(index)) {
                    Some((_, weights)) => Shares::from_slice(weights),
                    None => configured.clone(),
                }
            }
            Course::Linear { duration, steps, to } => {
                let step =
                    u128::from(elapsed.min(*duration)) * u128::from(*steps) / u128::from(*duration);
                configured
                    .iter()
                    .zip(to)
                    .map(|(from, to)| interpolate(*from, *to, step, u128::from(*steps)))
                    .collect()
            }
        }
    }

    /// When the weights change for the last time, in milliseconds since the epoch.
    pub(crate) fn end(&self) -> u64 {
        let length = match &self.course {
            Course::Stages(stages) => stages.last().map_or(0, |(after, _)| *after),
            Course::Linear { duration, .. } => *duration,
        };
        self.start.saturating_add(length)
    }
}

/// What lies `step` of `steps` on the way between two weights.
fn interpolate(from: u64, to: u64, step: u128, steps: u128) -> u64 {
    let distance = u128::from(from.abs_diff(to)) * step / steps;
    let distance = u64::try_from(distance).unwrap_or(u64::MAX);
    if to >= from { from.saturating_add(distance) } else { from.saturating_sub(distance) }
}

/// The weight of every upstream where some are named: the others share the rest as configured.
fn resolve(
    weights: &config::NamedWeights,
    names: &[Option<&str>],
    configured: &[u64],
    total: u64,
) -> Box<[u64]> {
    let named = |name: &Option<&str>| {
        let name = (*name)?;
        weights.0.iter().find(|(known, _)| known == name).map(|(_, share)| share.in_hundredths())
    };
    let given: u64 = weights.0.iter().map(|(_, share)| share.in_hundredths()).sum();
    let rest = total.saturating_sub(given);
    let unnamed: u64 = names
        .iter()
        .zip(configured)
        .filter(|(name, _)| named(name).is_none())
        .map(|(_, weight)| weight)
        .sum();
    let mut left = rest;
    let mut resolved: Vec<u64> = names
        .iter()
        .zip(configured)
        .map(|(name, weight)| {
            named(name).unwrap_or_else(|| {
                let part = u128::from(rest) * u128::from(*weight) / u128::from(unnamed.max(1));
                let part = u64::try_from(part).unwrap_or(0);
                left = left.saturating_sub(part);
                part
            })
        })
        .collect();
    // What rounding left over, and the whole rest where nobody shares it, is the own upstream's,
    // which is the last.
    if let Some(own) = resolved.last_mut() {
        *own = own.saturating_add(left);
    }
    resolved.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{NamedWeights, Share, Span, Stage, Timestamp};

    const START: u64 = 1_000_000;
    const NAMES: [Option<&str>; 3] = [Some("stable"), Some("canary"), None];
    const CONFIGURED: [u64; 3] = [10_000, 0, 0];

    fn weights(canary: u64) -> NamedWeights {
        NamedWeights(vec![("canary".to_owned(), Share::whole(canary))])
    }

    fn compile(rollout: config::Rollout) -> Rollout {
        let rollout = config::Rollout { start: Timestamp(START), ..rollout };
        Rollout::compile(&rollout, &NAMES, &CONFIGURED, 10_000)
    }

    fn canary_at(rollout: &Rollout, now: u64) -> u64 {
        let weights = rollout.weights_at(now, &Shares::from_slice(&CONFIGURED));
        assert_eq!(weights.iter().sum::<u64>(), 10_000, "nothing is lost at {now}");
        weights[1]
    }

    fn stages(stages: &[(u64, u64)]) -> Rollout {
        let stages = stages
            .iter()
            .map(|(after, canary)| Stage { after: Span(*after), weights: weights(*canary) });
        compile(config::Rollout { stages: Some(stages.collect()), ..Default::default() })
    }

    #[test]
    fn stages_hold_from_their_time_on() {
        let rollout = stages(&[(0, 5), (1_000, 20), (2_000, 50)]);
        for (now, canary) in [
            (0, 0),
            (START - 1, 0),
            (START, 500),
            (START + 999, 500),
            (START + 1_000, 2_000),
            (START + 2_000, 5_000),
            (u64::MAX, 5_000),
        ] {
            assert_eq!(canary_at(&rollout, now), canary, "{now}");
        }
        assert_eq!(rollout.end(), START + 2_000);
    }

    #[test]
    fn before_the_first_stage_the_configured_weights_hold() {
        assert_eq!(canary_at(&stages(&[(1_000, 5)]), START + 999), 0);
    }

    #[test]
    fn of_stages_at_the_same_instant_the_last_counts() {
        assert_eq!(canary_at(&stages(&[(1_000, 5), (1_000, 7)]), START + 1_000), 700);
    }

    #[test]
    fn the_shorthand_takes_equal_steps() {
        let rollout = compile(config::Rollout {
            duration: Some(Span(1_000)),
            steps: Some(config::Whole::new(4)),
            to: Some(weights(50)),
            ..Default::default()
        });
        for (after, canary) in
            [(0, 0), (249, 0), (250, 1_250), (999, 3_750), (1_000, 5_000), (9_999, 5_000)]
        {
            assert_eq!(canary_at(&rollout, START + after), canary, "{after}");
        }
        assert_eq!(canary_at(&rollout, START - 1), 0);
    }

    #[test]
    fn unnamed_upstreams_share_the_rest_as_configured() {
        let names = [Some("a"), Some("b"), Some("c"), None];
        let named = NamedWeights(vec![("c".to_owned(), Share::whole(10))]);
        assert_eq!(
            *resolve(&named, &names, &[6_000, 3_000, 0, 1_000], 10_000),
            [5_400, 2_700, 1_000, 900]
        );
        // Nobody to share with: the service's own upstream takes the rest.
        assert_eq!(*resolve(&named, &names, &[0, 0, 10_000, 0], 10_000), [0, 0, 1_000, 9_000]);
        assert_eq!(*resolve(&named, &names, &[1, 1, 1, 0], 10_000), [4_500, 4_500, 1_000, 0]);
    }
}
