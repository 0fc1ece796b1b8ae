//! The engine as the commands ask it: the one place that knows what a decision depends on.

use super::Failure;
use super::args::ConfigArgs;
use super::diagnostic::Diagnostic;
use super::files::{File, Subject};
use super::output::{self, DOUBTFUL, styled};
use super::world;
use std::cell::OnceCell;
use tse_route::Loaded;
use tse_route::config::Timestamp;
use tse_route::effect::{Effect, Effects};
use tse_route::engine::{Choice, Request, Rule, Verdict, World};

/// What stands for the service's own upstream among the names of upstreams.
pub(crate) const OWN: &str = "(service)";

/// A usable configuration.
pub(crate) struct Engine {
    pub loaded: Loaded,
    /// The time of all requests.
    pub at: Timestamp,
    effects: OnceCell<Effects>,
}

/// Why a file gives no engine.
pub(crate) enum Refusal {
    /// Its configuration has errors.
    Faulty(Vec<Diagnostic>),
    /// Not one of its configurations is meant, but none or several.
    Ambiguous(String),
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
        let at = at.unwrap_or_else(world::now);
        match Self::of(&file, args.plugin.as_deref(), at) {
            Ok((engine, 0)) => Ok(engine),
            Ok((engine, warnings)) => {
                output::note(&format!(
                    "{}: {}: {warnings} of them; `tse-route check` shows them\n",
                    styled(DOUBTFUL, "warnings"),
                    args.config
                ));
                Ok(engine)
            }
            Err(Refusal::Ambiguous(message)) => Err(Failure::Usage(message)),
            Err(Refusal::Faulty(faults)) => {
                for fault in &faults {
                    output::note(&fault.human(&file.source));
                }
                Err(Failure::Faults)
            }
        }
    }

    /// The engine of the file's configuration with this label, or a part of it, or of its only one;
    /// and how many warnings there are of it.
    pub(crate) fn of(
        file: &File,
        plugin: Option<&str>,
        at: Timestamp,
    ) -> Result<(Self, usize), Refusal> {
        let label = |subject: &Subject| subject.label.clone().unwrap_or_default();
        let all = || file.subjects.iter();
        let chosen: Vec<&Subject> = match plugin {
            None => all().collect(),
            Some(wanted) if all().any(|subject| label(subject) == wanted) => {
                all().filter(|subject| label(subject) == wanted).collect()
            }
            Some(wanted) => all().filter(|subject| label(subject).contains(wanted)).collect(),
        };
        let [subject] = *chosen else {
            let labels = all().map(|subject| {
                format!("\n  {}", subject.label.as_deref().unwrap_or("configuration"))
            });
            return Err(Refusal::Ambiguous(format!(
                "{}: {} of its configurations are meant; --plugin names one of{}",
                file.source.name,
                chosen.len(),
                labels.collect::<String>()
            )));
        };
        Self::of_subject(subject, at)
    }

    /// The engine of a configuration, and how many warnings there are of it.
    pub(crate) fn of_subject(subject: &Subject, at: Timestamp) -> Result<(Self, usize), Refusal> {
        let checked = subject.check();
        if !checked.is_usable() {
            let faults = checked.diagnostics.into_iter().filter(Diagnostic::is_error);
            return Err(Refusal::Faulty(faults.collect()));
        }
        Ok((Self::new(checked.loaded, at), checked.diagnostics.len()))
    }

    /// The engine of a usable configuration.
    pub(crate) fn new(loaded: Loaded, at: Timestamp) -> Self {
        Self { loaded, at, effects: OnceCell::new() }
    }

    /// What a choice writes.
    pub(crate) fn effect(&self, choice: Choice) -> Option<&Effect> {
        let all = || Effects::new(&self.loaded.config, &self.loaded.table, None);
        self.effects.get_or_init(all).of(choice)
    }

    /// Decides a request.
    pub(crate) fn decide(&self, request: &impl Request, world: &mut impl World) -> Option<Choice> {
        self.verdict(request, world).outcome.choice()
    }

    /// Decides a request, with what was seen on the way. No request here has a body that is still
    /// to come.
    pub(crate) fn verdict(&self, request: &impl Request, world: &mut impl World) -> Verdict {
        self.loaded.table.decide(request, world)
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
