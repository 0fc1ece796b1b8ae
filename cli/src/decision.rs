//! The engine as the commands ask it: the one place that knows what a decision depends on.

use super::Failure;
use super::args::ConfigArgs;
use super::files::{Checked, File};
use super::output::{self, DOUBTFUL, styled};
use super::world;
use tse_route::Loaded;
use tse_route::config::Timestamp;
use tse_route::engine::{Choice, Outcome, Request, Rule, World};

/// What stands for the service's own upstream among the names of upstreams.
pub(crate) const OWN: &str = "(service)";

/// A usable configuration.
pub(crate) struct Engine {
    pub loaded: Loaded,
    /// The time of all requests.
    pub at: Timestamp,
}

impl Engine {
    /// Loads the configuration that the flags name; what is wrong with it is shown.
    pub(crate) fn load(args: &ConfigArgs, at: Option<Timestamp>) -> Result<Self, Failure> {
        let file = File::read(&args.config).map_err(Failure::Usage)?;
        let errors: Vec<_> = file.diagnostics.iter().filter(|fault| fault.is_error()).collect();
        for fault in &errors {
            output::note(&fault.human(&file.source));
        }
        if !errors.is_empty() && file.subjects.is_empty() {
            return Err(Failure::Faults);
        }
        let named = |wanted: &str| {
            let label = |index: usize| {
                file.subjects
                    .get(index)
                    .and_then(|subject| subject.label.as_deref())
                    .unwrap_or_default()
            };
            let all = 0..file.subjects.len();
            let exact: Vec<usize> = all.clone().filter(|index| label(*index) == wanted).collect();
            if exact.is_empty() {
                all.filter(|index| label(*index).contains(wanted)).collect()
            } else {
                exact
            }
        };
        let chosen: Vec<usize> = match &args.plugin {
            Some(wanted) => named(wanted),
            None => (0..file.subjects.len()).collect(),
        };
        let [index] = *chosen else {
            let labels: Vec<String> = file
                .subjects
                .iter()
                .map(|subject| {
                    format!("\n  {}", subject.label.as_deref().unwrap_or("configuration"))
                })
                .collect();
            return Err(Failure::Usage(format!(
                "{}: {} of its configurations are meant; --plugin names one of{}",
                args.config,
                chosen.len(),
                labels.concat()
            )));
        };
        let Some(subject) = file.subjects.get(index) else { return Err(Failure::Faults) };
        let checked: Checked = subject.check();
        if !checked.is_usable() {
            for fault in checked.diagnostics.iter().filter(|fault| fault.is_error()) {
                output::note(&fault.human(&file.source));
            }
            return Err(Failure::Faults);
        }
        let warnings = checked.diagnostics.len();
        if warnings > 0 {
            output::note(&format!(
                "{}: {}: {warnings} of them; `tse-route check` shows them\n",
                styled(DOUBTFUL, "warnings"),
                args.config
            ));
        }
        Ok(Self { loaded: checked.loaded, at: at.unwrap_or_else(world::now) })
    }

    /// Decides a request.
    pub(crate) fn decide(&self, request: &impl Request, world: &mut impl World) -> Option<Choice> {
        match self.loaded.table.decide(request, world).outcome {
            Outcome::Routed(choice) => Some(choice),
            // No request here has a body that is still to come.
            Outcome::Unmatched | Outcome::NeedsBody => None,
        }
    }

    pub(crate) fn rule(&self, choice: Choice) -> Option<&Rule> {
        self.loaded.table.rule(choice)
    }

    /// The name of the chosen upstream; none for the service's own.
    pub(crate) fn upstream(&self, choice: Choice) -> Option<&str> {
        self.loaded.table.target(choice)?.name()
    }
}

/// The share of a rule's requests that each upstream gets at this moment, each name once.
pub(crate) fn probabilities(rule: &Rule, world: &mut impl World) -> Vec<(String, f64)> {
    let weights = rule.shares(world);
    let total: u64 = weights.iter().map(|weight| weight.in_hundredths()).sum();
    let mut shares: Vec<(String, f64)> = Vec::new();
    for (target, weight) in rule.targets().iter().zip(weights) {
        // Where every weight is 0 the service's own upstream serves.
        let share = match total {
            0 => f64::from(u8::from(target.name().is_none())),
            total => weight.in_hundredths() as f64 / total as f64,
        };
        // What stands there only for rollouts and circuit breakers is not worth a line.
        if target.name().is_none() && share == 0.0 {
            continue;
        }
        let name = target.name().unwrap_or(OWN);
        match shares.iter_mut().find(|(found, _)| found == name) {
            Some((_, sum)) => *sum += share,
            None => shares.push((name.to_owned(), share)),
        }
    }
    shares
}
