//! A plan for `tse-route release` in the making: what a controller's steps are for people and machines
//! that can wait for more than the clock.

use super::draft::{Draft, resource_name};
use super::reading::Import;
use super::tree::Tree;
use crate::source::Span;
use serde_json::{Value, json};

/// Where a plan looks for Prometheus as long as nobody has said it.
const PROMETHEUS: &str = "http://prometheus:9090";

/// Percentage points by which errors may be more where the source does not say it: the plan's default.
pub(super) const ERRORS: f64 = 0.5;

/// What a controller does, one thing after the other.
#[derive(Clone, Debug)]
pub(super) enum Move {
    /// Gives the canary so much, in whatever the weights are shares of.
    Weight(u64, Span),
    /// Waits so many seconds.
    Wait(f64, Span),
    /// Waits for a person.
    Approval(Span),
}

/// A release that has yet to get its name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Plan {
    pub stable: String,
    pub canary: String,
    /// Seconds that are waited before the canary gets anything.
    pub before: f64,
    /// Without any, the canary gets everything at once.
    pub steps: Vec<Step>,
    /// Seconds for which a canary is watched that got everything at once; none for the plan's own.
    pub watch: Option<f64>,
    /// None where the source looks at nothing but the clock.
    pub analysis: Option<Analysis>,
    pub hooks: Vec<Hook>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// Hundredths of a per cent, and for how many seconds.
    Weight(u64, f64),
    Approval,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Analysis {
    pub prometheus: Option<String>,
    /// Percentage points by which the canary may have more errors.
    pub errors: f64,
    /// What is slow, in milliseconds, and by how many percentage points more answers may be.
    pub slow: Option<(u64, f64)>,
}

impl Default for Analysis {
    fn default() -> Self {
        Self { prometheus: None, errors: ERRORS, slow: None }
    }
}

/// A call at one of the plan's places.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Hook {
    pub place: &'static str,
    pub name: Option<String>,
    pub url: String,
    pub body: Value,
    /// Seconds; none for the plan's own.
    pub within: Option<f64>,
}

impl Plan {
    /// Takes steps over; weights are shares of `most`.
    pub(super) fn take(&mut self, moves: Vec<Move>, most: u64, import: &mut Import) {
        let mut last = 0;
        for next in moves {
            match next {
                Move::Weight(weight, _) if weight == last => {}
                Move::Weight(weight, span) if weight < last => {
                    let message = format!(
                        "the canary's weight goes from {last} back to {weight}, which cannot be \
                         carried over: the weights of a plan only grow"
                    );
                    import.lost(span, message);
                }
                Move::Weight(weight, span) => {
                    last = weight;
                    let hundredths = weight.min(most) * 10_000;
                    if hundredths % most == 0 {
                        self.steps.push(Step::Weight(hundredths / most, 0.0));
                    } else {
                        let message = format!(
                            "{weight} of {most} is no percentage with two decimals and cannot be \
                             carried over"
                        );
                        import.lost(span, message);
                    }
                }
                Move::Wait(seconds, span) => {
                    if self.steps.last() == Some(&Step::Approval) {
                        let message = "a pause after an approval counts before it: a plan waits in \
                                       steps that have a weight";
                        import.warning(span, message);
                    }
                    let weight = self.steps.iter_mut().rev().find_map(|step| match step {
                        Step::Weight(_, time) => Some(time),
                        Step::Approval => None,
                    });
                    *weight.unwrap_or(&mut self.before) += seconds;
                }
                Move::Approval(span) if self.steps.is_empty() => import.warning(span, BY_HAND),
                Move::Approval(_) => self.steps.push(Step::Approval),
            }
        }
    }

    /// The plan for the rule of this name in a configuration.
    pub(super) fn tree(&self, draft: &Draft, rule: &str) -> Tree {
        let name = resource_name(&draft.name);
        let mut plugin = vec![("kind", Tree::text("KongPlugin"))];
        plugin.extend(draft.namespace.as_ref().map(|space| ("namespace", Tree::text(space))));
        plugin.push(("name", Tree::text(&name)));
        let gateway = Tree::map(vec![("kubernetes", Tree::map(plugin))]);
        let mut fields = vec![
            ("description", Tree::text(&draft.description)),
            ("release", Tree::text(format!("{}-1", name.chars().take(90).collect::<String>()))),
            ("rule", Tree::text(rule)),
            ("stable", Tree::text(&self.stable)),
            ("canary", Tree::text(&self.canary)),
            ("gateways", Tree::List(vec![gateway])),
        ];
        if self.steps.is_empty() {
            let watch = self.watch.map(|seconds| Tree::map(vec![("for", duration(seconds))]));
            fields.push(("blue_green", watch.unwrap_or(Tree::Scalar(json!(true)))));
        } else {
            fields.push(("steps", Tree::List(self.steps.iter().map(Step::tree).collect())));
        }
        fields.push((
            "analysis",
            match &self.analysis {
                Some(analysis) => analysis.tree(),
                None => Tree::text("none"),
            },
        ));
        let hooks = self.hooks();
        if !hooks.is_empty() {
            fields.push(("hooks", Tree::map(hooks)));
        }
        Tree::map(fields)
    }

    fn hooks(&self) -> Vec<(&'static str, Tree)> {
        let mut hooks: Vec<(&'static str, Vec<Tree>)> = Vec::new();
        let mut add = |place, call| match hooks.iter_mut().find(|(known, _)| *known == place) {
            Some((_, calls)) => calls.push(call),
            None => hooks.push((place, vec![call])),
        };
        for hook in &self.hooks {
            add(hook.place, hook.tree());
        }
        if self.before > 0.0 {
            // A hook that takes its time: a plan has no step without a weight.
            let seconds = Tree::text(self.before.to_string());
            let sleep = Tree::List(vec![Tree::text("sleep"), seconds]);
            let within = duration(self.before + 60.0);
            add("pre-rollout", Tree::map(vec![("command", sleep), ("within", within)]));
        }
        hooks.into_iter().map(|(place, calls)| (place, Tree::List(calls))).collect()
    }

    /// What has to be looked at before it is used.
    pub(super) fn edit(&self) -> Vec<String> {
        let mut edit = vec![
            "`release`, another name for each release".to_owned(),
            "`gateways`, where the rule lives that `tse-route import --release` prints".to_owned(),
        ];
        if let Some(analysis) = &self.analysis {
            if analysis.prometheus.is_none() {
                edit.push(
                    "`prometheus`, and `selector` where it has other gateways too".to_owned(),
                );
            }
            if analysis.slow.is_some() {
                edit.push("`slow`, whose bound must be one of the histogram's".to_owned());
            }
        }
        edit
    }
}

/// Said where a person is waited for before the canary gets anything.
pub(super) const BY_HAND: &str = "a person is waited for before the canary gets anything: that is whoever \
     runs the release, or the hook `confirm-rollout`";

/// Said where the source makes the old place the new version in the end.
pub(super) const STAYS: &str = "in the end the controller makes the stable Service the new version, which gets \
     everything; a release leaves everything on the canary";

impl Step {
    fn tree(&self) -> Tree {
        match self {
            Self::Weight(hundredths, seconds) => {
                let weight = match hundredths % 100 {
                    0 => json!(hundredths / 100),
                    _ => json!(*hundredths as f64 / 100.0),
                };
                Tree::map(vec![("weight", Tree::Scalar(weight)), ("for", duration(*seconds))])
            }
            Self::Approval => Tree::map(vec![("pause", Tree::text("approval"))]),
        }
    }
}

impl Analysis {
    fn tree(&self) -> Tree {
        let points = |points: f64| {
            let points = (points * 100.0).round() / 100.0;
            Tree::Scalar(if points.fract() == 0.0 { json!(points as u64) } else { json!(points) })
        };
        let prometheus = self.prometheus.as_deref().unwrap_or(PROMETHEUS);
        let mut fields = vec![
            ("prometheus", Tree::text(prometheus)),
            ("errors", Tree::map(vec![("margin", points(self.errors))])),
        ];
        if let Some((over, margin)) = self.slow {
            let over = Tree::text(format!("{over}ms"));
            fields.push(("slow", Tree::map(vec![("over", over), ("margin", points(margin))])));
        }
        Tree::map(fields)
    }
}

impl Hook {
    fn tree(&self) -> Tree {
        let mut fields = Vec::new();
        fields.extend(self.name.as_ref().map(|name| ("name", Tree::text(name))));
        fields.push(("url", Tree::text(&self.url)));
        let json = Tree::map(vec![("Content-Type", Tree::text("application/json"))]);
        fields.push(("headers", json));
        fields.push(("body", Tree::text(self.body.to_string())));
        fields.extend(self.within.map(|seconds| ("within", duration(seconds))));
        Tree::map(fields)
    }
}

/// Seconds as a plan has them.
fn duration(seconds: f64) -> Tree {
    let milliseconds = (seconds * 1_000.0).round() as u64;
    Tree::text(match milliseconds {
        0 => "0s".to_owned(),
        _ if milliseconds.is_multiple_of(3_600_000) => format!("{}h", milliseconds / 3_600_000),
        _ if milliseconds.is_multiple_of(60_000) => format!("{}m", milliseconds / 60_000),
        _ if milliseconds.is_multiple_of(1_000) => format!("{}s", milliseconds / 1_000),
        _ => format!("{milliseconds}ms"),
    })
}
