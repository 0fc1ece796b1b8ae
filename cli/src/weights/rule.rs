//! A rule in a file, found by the name under which metrics know it.

use crate::diagnostic::Diagnostic;
use crate::files::{File, Subject};
use crate::source::Node;
use hashbrown::HashSet;
use std::fmt::Write as _;
use tse_route::config::{self, Rule, Share, quote};

/// What stands for the service's own upstream, in plans and in metrics.
const OWN: &str = "(own)";

/// Which rule is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted<'a> {
    /// The rule's name, or the weight of a rule without a name: what its metrics are labelled with.
    pub rule: &'a str,
    /// The configuration that has it, where several have one: its name, or a part of it.
    pub plugin: Option<&'a str>,
}

/// The upstreams of a rule with their weights, in the rule's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Weights {
    /// What the weights are shares of.
    pub total: Share,
    /// The name of each upstream, [`OWN`] for the service's own, and its weight.
    pub upstreams: Vec<(String, Share)>,
}

impl Weights {
    fn of(rule: &Rule) -> Self {
        let name = |upstream: &config::Upstream| {
            upstream.name.as_ref().map_or_else(|| OWN.to_owned(), |name| name.0.clone())
        };
        Self {
            total: Share::whole(rule.weight_total.get()),
            upstreams: rule.upstream.0.iter().map(|one| (name(one), one.weight)).collect(),
        }
    }

    /// The weight of an upstream. What a rule leaves over stays with the service's own.
    pub(crate) fn get(&self, upstream: &str) -> Option<Share> {
        let listed = self.upstreams.iter().find(|(name, _)| name == upstream);
        match listed {
            Some((_, weight)) => Some(*weight),
            None if upstream == OWN => {
                let spent: u64 = self.upstreams.iter().map(|(_, w)| w.in_hundredths()).sum();
                let rest = self.total.in_hundredths().saturating_sub(spent);
                Some(Share::hundredths(rest))
            }
            None => None,
        }
    }

    /// These weights with some changed.
    ///
    /// # Errors
    /// An upstream that the rule does not have, and weights that add up to more than their total.
    pub(crate) fn with(&self, changes: &[(String, Share)]) -> Result<Self, String> {
        let mut changed = self.clone();
        for (name, weight) in changes {
            let place = changed.upstreams.iter_mut().find(|(known, _)| known == name);
            match place {
                Some(place) => place.1 = *weight,
                // It gets what is left over, and that is looked at below.
                None if name == OWN => {}
                None => {
                    let names = self.upstreams.iter().map(|(name, _)| name.as_str());
                    let hint = config::nearest(name, names.clone())
                        .map(|near| format!("; did you mean {}?", quote(near)))
                        .unwrap_or_default();
                    return Err(format!(
                        "found the upstream {}; accepted is one that the rule has: {}{hint}",
                        quote(name),
                        names.collect::<Vec<_>>().join(", ")
                    ));
                }
            }
        }
        let sum: u64 = changed.upstreams.iter().map(|(_, weight)| weight.in_hundredths()).sum();
        if sum > changed.total.in_hundredths() {
            return Err(format!(
                "the weights {} add up to {}; accepted is at most the rule's weight_total {}",
                changed.told(),
                Share::hundredths(sum),
                changed.total
            ));
        }
        for (name, weight) in changes {
            if let Some(has) = changed.get(name).filter(|has| has != weight) {
                return Err(format!(
                    "found {name}={weight}, but the other weights leave {has} to the service's own upstream"
                ));
            }
        }
        Ok(changed)
    }

    fn has_twice(&self) -> bool {
        let names: HashSet<&String> = self.upstreams.iter().map(|(name, _)| name).collect();
        names.len() < self.upstreams.len()
    }

    /// For people: `blue 95, green 5`.
    pub(crate) fn told(&self) -> String {
        let mut text = String::new();
        for (name, weight) in &self.upstreams {
            let comma = if text.is_empty() { "" } else { ", " };
            // Writing to a string cannot fail.
            let _ = write!(text, "{comma}{name} {weight}");
        }
        text
    }
}

/// A rule and where it stands.
#[derive(Debug)]
pub(crate) struct Found<'f> {
    pub subject: &'f Subject,
    /// Its place among the configurations of the file.
    pub subject_index: usize,
    /// Its place among the rules of the configuration.
    pub rule_index: usize,
    pub weights: Weights,
}

impl<'f> Found<'f> {
    /// Finds the one rule that is meant.
    ///
    /// # Errors
    /// No such rule in a configuration without faults, or several, and a rule whose weights the clock
    /// decides.
    pub(crate) fn find(file: &'f File, wanted: Wanted<'_>) -> Result<Self, String> {
        let name = &file.source.name;
        let shown =
            |fault: &Diagnostic| format!("{name}: {}; `tse-route check` shows where", fault.text());
        // Others have their configurations in the same gateway. A fault of theirs must keep nobody from
        // going back, so that it counts only where the rule is not found without it.
        let mut fault = file.diagnostics.iter().find(|fault| fault.is_error()).map(shown);
        let chosen =
            chosen(file, wanted.plugin).map_err(|unknown| fault.clone().unwrap_or(unknown))?;
        let mut found = Vec::new();
        let mut labels = Vec::new();
        for (subject_index, subject) in chosen {
            let checked = subject.check();
            if let Some(error) = checked.diagnostics.iter().find(|fault| fault.is_error()) {
                fault.get_or_insert_with(|| shown(error));
                continue;
            }
            let rules = checked.loaded.config.rules;
            labels.extend(rules.iter().map(label));
            for (rule_index, rule) in rules.iter().enumerate() {
                if label(rule) == wanted.rule {
                    let weights = Weights::of(rule);
                    found.push((
                        Found { subject, subject_index, rule_index, weights },
                        rule.rollout.is_some(),
                    ));
                }
            }
        }
        match <[_; 1]>::try_from(found) {
            Ok([(found, false)]) => {
                if found.weights.has_twice() {
                    return Err(format!(
                        "{name}: the rule {} has an upstream twice ({}); accepted is each once",
                        quote(wanted.rule),
                        found.weights.told()
                    ));
                }
                Ok(found)
            }
            Ok([(_, true)]) => Err(format!(
                "{name}: the rule {} has a `rollout`, so that the clock decides its weights; \
                 accepted is a rule without one",
                quote(wanted.rule)
            )),
            Err(found) if found.is_empty() => {
                if let Some(fault) = fault {
                    return Err(fault);
                }
                let hint = config::nearest(wanted.rule, labels.iter().map(String::as_str))
                    .map(|near| format!("; did you mean {}?", quote(near)))
                    .unwrap_or_default();
                Err(format!(
                    "{name}: found no rule {}; accepted is the name of a rule, or the weight of one \
                     without a name{hint}",
                    quote(wanted.rule)
                ))
            }
            Err(found) => {
                let places: Vec<&str> = found
                    .iter()
                    .map(|(found, _)| found.subject.label.as_deref().unwrap_or("configuration"))
                    .collect();
                Err(format!(
                    "{name}: {} rules are called {} (in {}); accepted is a name that one rule has, \
                     or the configuration's name with it",
                    found.len(),
                    quote(wanted.rule),
                    places.join(", ")
                ))
            }
        }
    }

    /// The rule's upstream with this name, as it is written.
    pub(crate) fn upstream<'n>(&self, config: &'n Node, name: &str) -> Option<&'n Node> {
        let rule = config.list("rules").get(self.rule_index)?;
        let named = |node: &&Node| node.text_of("name").unwrap_or(OWN) == name;
        rule.list("upstream").iter().find(named)
    }
}

/// What metrics call a rule.
fn label(rule: &Rule) -> String {
    rule.name.clone().unwrap_or_else(|| rule.weight.get().to_string())
}

/// The configurations that a name means: exactly, or by a part of it.
fn chosen<'f>(file: &'f File, plugin: Option<&str>) -> Result<Vec<(usize, &'f Subject)>, String> {
    let all = || file.subjects.iter().enumerate();
    let Some(plugin) = plugin else { return Ok(all().collect()) };
    let label = |subject: &Subject| subject.label.clone().unwrap_or_default();
    let exact: Vec<_> = all().filter(|(_, subject)| label(subject) == plugin).collect();
    if !exact.is_empty() {
        return Ok(exact);
    }
    let similar: Vec<_> = all().filter(|(_, subject)| label(subject).contains(plugin)).collect();
    if similar.is_empty() {
        let labels: Vec<String> = file.subjects.iter().map(label).collect();
        return Err(format!(
            "{}: found no configuration {}; accepted is one of: {}",
            file.source.name,
            quote(plugin),
            labels.join("; ")
        ));
    }
    Ok(similar)
}
