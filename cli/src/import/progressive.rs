//! Progressive delivery that a controller drives: its steps as a ramp by the clock.
//!
//! What a controller waits for besides time, such as pods, analyses and people, a clock cannot wait for.

use super::reading::{Import, head};
use crate::source::Node;
use serde_json::{Map, Value, json};

/// When a ramp starts that a new version would start; none, and an error, where nobody says it.
pub(super) fn start(at: &Node, import: &mut Import) -> Option<Value> {
    match &import.options.start {
        Some(text) => Some(match text.parse::<u64>() {
            Ok(seconds) => json!(seconds),
            Err(_) => json!(text),
        }),
        None => {
            let message = "it starts when there is a new version, which is not written here; accepted \
                           is `--start`";
            import.error(head(at), message);
            None
        }
    }
}

/// The weights of one upstream over time, in seconds from the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Stages(Vec<(f64, u64)>);

impl Stages {
    /// From this time on, the weight.
    pub(super) fn set(&mut self, after: f64, weight: u64) {
        // Of stages at one time the last counts.
        self.0.retain(|(at, _)| *at < after);
        if self.0.last().is_none_or(|(_, last)| *last != weight) {
            self.0.push((after, weight));
        }
    }

    /// Whether nothing is set.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The weight at a time.
    pub(super) fn at(&self, time: f64) -> u64 {
        self.0.iter().rev().find(|(after, _)| *after <= time).map_or(0, |(_, weight)| *weight)
    }

    /// The same, with all of `most` for a while; none for good.
    pub(super) fn with_all(&self, from: f64, to: Option<f64>, most: u64) -> Self {
        let mut stages = Self::default();
        for (after, weight) in self.0.iter().filter(|(after, _)| *after < from) {
            stages.set(*after, *weight);
        }
        stages.set(from, most);
        if let Some(to) = to {
            stages.set(to, self.at(to));
            for (after, weight) in self.0.iter().filter(|(after, _)| *after > to) {
                stages.set(*after, *weight);
            }
        }
        stages
    }

    /// The `rollout` of a rule for an upstream of this name.
    pub(super) fn rollout(&self, start: &Value, name: &str) -> Value {
        let stages: Vec<Value> = self
            .0
            .iter()
            .map(|(after, weight)| {
                let after = if after.fract() == 0.0 { json!(*after as u64) } else { json!(after) };
                let weights: Map<String, Value> =
                    [(name.to_owned(), json!(weight))].into_iter().collect();
                json!({ "after": after, "weights": weights })
            })
            .collect();
        json!({ "start": start, "stages": stages })
    }
}

/// A duration as Go writes it, in seconds; a text without a unit is seconds too.
pub(super) fn duration(text: &str) -> Option<f64> {
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(f64::from(seconds));
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(digits);
        let letters = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(letters);
        let unit = match unit {
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * unit;
        rest = behind;
    }
    (!text.is_empty()).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        let table = [
            ("30", Some(30.0)),
            ("10s", Some(10.0)),
            ("1h30m", Some(5_400.0)),
            ("1.5h", Some(5_400.0)),
            ("500ms", Some(0.5)),
            ("", None),
            ("soon", None),
            ("1d", None),
            ("1h30", None),
        ];
        for (text, seconds) in table {
            assert_eq!(duration(text), seconds, "{text}");
        }
    }

    #[test]
    fn stages_can_have_all_for_a_while() {
        let mut stages = Stages::default();
        for (after, weight) in [(0.0, 10), (60.0, 20), (120.0, 50), (180.0, 100)] {
            stages.set(after, weight);
        }
        let expected = [(0.0, 10), (60.0, 100), (150.0, 50), (180.0, 100)];
        assert_eq!(stages.with_all(60.0, Some(150.0), 100), Stages(expected.to_vec()));
        assert_eq!(stages.with_all(0.0, None, 100), Stages(vec![(0.0, 100)]));
        assert_eq!((stages.at(59.0), stages.at(60.0), stages.at(1e9)), (10, 20, 100));
    }
}
