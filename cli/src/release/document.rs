//! What is written down of a release.

use super::evidence::{Measure, Verdict, verdict};
use super::phase::{Event, Phase};
use super::plan::{Analysis, Plan};
use crate::weights::Weights;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::collections::BTreeMap;
use std::fmt;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tse_route::config::{Share, Timestamp};

/// A moment, in milliseconds since 1970; written as RFC 3339.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub u64);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanoseconds = i128::from(self.0) * 1_000_000;
        let text = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds)
            .ok()
            .and_then(|time| time.format(&Rfc3339).ok());
        f.write_str(&text.unwrap_or_default())
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = Timestamp::parse(&text).ok_or_else(|| D::Error::custom("not a time"))?;
        Ok(Self(time.0))
    }
}

/// The weights of a rule's upstreams in one gateway, in hundredths.
pub(crate) type Table = BTreeMap<String, u64>;

/// A release, as far as it has come. Everything in it has happened, but for `doing`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Release {
    pub release: String,
    /// How many times it was begun anew.
    pub attempt: u32,
    pub rule: String,
    pub stable: String,
    pub canary: String,
    pub labels: BTreeMap<String, String>,
    pub phase: Phase,
    /// The step that it is in, from 0.
    pub step: usize,
    /// The share of the canary that was last read back from all gateways, in hundredths of a per cent.
    pub share: u64,
    /// What was begun, and is not known to be done.
    pub doing: Option<Doing>,
    pub paused: bool,
    pub began: Moment,
    pub since: Moment,
    pub ended: Option<Moment>,
    /// Why it ended, or what it waits for.
    pub why: String,
    /// The weights that each gateway had before, in the order of the plan.
    pub found: Vec<Table>,
    pub watch: Watch,
    pub history: Vec<Entry>,
    /// The plan, without the values that it takes from the environment.
    pub plan: String,
}

/// A change of weights that has begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Doing {
    pub event: Event,
    /// The share that the canary is to have.
    pub share: u64,
    pub why: String,
}

/// What was seen of the canary.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Watch {
    /// For how long this step was watched, by the times of what was measured.
    pub watched: u64,
    /// How many answers of the canary were seen in this step.
    pub answers: f64,
    /// When the newest sample was taken.
    pub newest: Option<Moment>,
    pub measures: BTreeMap<String, Measure>,
    /// The last value of each counter, by its labels.
    pub counters: BTreeMap<String, f64>,
    /// Points of the plot.
    pub points: Vec<Point>,
}

/// One look, for the report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    pub at: Moment,
    pub share: u64,
    /// Shares of bad answers by measure: stable, canary.
    pub rates: BTreeMap<String, (f64, f64)>,
    /// The logarithms of the evidence: worse in anything; not worse, the least of all measures.
    pub evidence: (f64, f64),
}

/// One transition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub at: Moment,
    pub from: Phase,
    pub event: Event,
    pub to: Phase,
    pub step: usize,
    pub share: u64,
    pub why: String,
}

impl Release {
    pub(crate) fn new(plan: &Plan, attempt: u32, now: Moment) -> Self {
        Self {
            release: plan.release.clone(),
            attempt,
            rule: plan.rule.clone(),
            stable: plan.stable.clone(),
            canary: plan.canary.clone(),
            labels: plan.labels.iter().cloned().collect(),
            phase: Phase::Created,
            step: 0,
            share: 0,
            doing: None,
            paused: false,
            began: now,
            since: now,
            ended: None,
            why: String::new(),
            found: Vec::new(),
            watch: Watch::new(plan.analysis.as_ref()),
            history: Vec::new(),
            plan: plan.text.clone(),
        }
    }

    /// The weights that a gateway has when the canary has a share, from what it had before: stable
    /// and canary share what they had together, the rule's other upstreams keep theirs.
    pub(crate) fn table_at(&self, found: &Table, share: u64) -> Table {
        let of = |name: &str| found.get(name).copied().unwrap_or_default();
        let both = of(&self.stable) + of(&self.canary);
        // Rounded down: the canary never has more than its step.
        let canary = both * share / 10_000;
        let mut table = found.clone();
        table.insert(self.stable.clone(), both - canary);
        table.insert(self.canary.clone(), canary);
        table
    }
}

impl Watch {
    fn new(analysis: Option<&Analysis>) -> Self {
        let mut measures = BTreeMap::new();
        if let Some(analysis) = analysis {
            measures.insert("errors".to_owned(), Measure::new(analysis.errors));
            if let Some((_, margin)) = analysis.slow {
                measures.insert("slow".to_owned(), Measure::new(margin));
            }
        }
        Self { measures, ..Self::default() }
    }

    pub(crate) fn verdict(&self, alpha: f64) -> Verdict {
        verdict(self.measures.values(), alpha)
    }
}

/// The weights of a rule with all that matters for a release: stable and canary even where one of
/// them is only what the rule leaves over.
pub(crate) fn table(weights: &Weights, stable: &str, canary: &str) -> Result<Table, String> {
    let mut table: Table = weights
        .upstreams
        .iter()
        .map(|(name, weight)| (name.clone(), weight.in_hundredths()))
        .collect();
    for (what, name) in [("stable", stable), ("canary", canary)] {
        let Some(weight) = weights.get(name) else {
            return Err(format!(
                "the rule has no upstream {name:?} for `{what}`; accepted is one of: {}",
                weights.told()
            ));
        };
        table.insert(name.to_owned(), weight.in_hundredths());
    }
    Ok(table)
}

/// For people: `blue 95, green 5`.
pub(crate) fn told(table: &Table) -> String {
    let parts = table.iter().map(|(name, weight)| format!("{name} {}", Share::hundredths(*weight)));
    parts.collect::<Vec<_>>().join(", ")
}

/// What someone wants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Orders {
    /// The steps that were approved, from 0.
    pub approved: Vec<usize>,
    pub paused: bool,
    pub abort: bool,
    pub promote: bool,
}

/// What became of an environment: an upstream of a rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Environment {
    pub rule: String,
    pub upstream: String,
    pub status: Status,
    /// The release that last touched it.
    pub release: String,
    /// What runs there: the labels of the release that put it there.
    pub labels: BTreeMap<String, String>,
    /// Its share of the rule's traffic, in hundredths of a per cent, as read back.
    pub share: u64,
    pub since: Moment,
    /// What was seen there of requests and of bad answers, by measure.
    pub seen: BTreeMap<String, (f64, f64)>,
}

/// What an environment is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Status {
    Deploying,
    Verifying,
    Active,
    Idle,
    Failed,
}

impl Release {
    /// What the release makes of its two environments: stable's, canary's. The labels of stable are
    /// those of the release that put it there.
    pub(crate) fn environments(&self, before: Option<&Environment>) -> [Environment; 2] {
        let canary = match self.phase {
            Phase::Created | Phase::Confirming => Status::Deploying,
            Phase::Verifying => Status::Verifying,
            Phase::RolledBack | Phase::Refused => Status::Failed,
            Phase::Stopped if self.share == 0 => Status::Failed,
            _ if self.share == 0 => Status::Verifying,
            _ => Status::Active,
        };
        let stable = if self.share < 10_000 { Status::Active } else { Status::Idle };
        let seen = |of_canary: bool| {
            let counts = self.watch.measures.iter().map(|(name, measure)| {
                let side = if of_canary { measure.total.canary } else { measure.total.stable };
                (name.clone(), (side.requests, side.bad))
            });
            counts.collect()
        };
        let of = |upstream: &String, status, labels, share, of_canary| Environment {
            rule: self.rule.clone(),
            upstream: upstream.clone(),
            status,
            release: self.release.clone(),
            labels,
            share,
            since: self.since,
            seen: seen(of_canary),
        };
        let stable_labels = before.map(|before| before.labels.clone()).unwrap_or_default();
        [
            of(&self.stable, stable, stable_labels, 10_000 - self.share.min(10_000), false),
            of(&self.canary, canary, self.labels.clone(), self.share, true),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_for_people() {
        let moment = Moment(1_792_000_000_123);
        let text = serde_json::to_string(&moment).expect("JSON");
        assert_eq!(text, "\"2026-10-14T17:46:40.123Z\"");
        assert_eq!(serde_json::from_str::<Moment>(&text).expect("a moment"), moment);
    }
}
