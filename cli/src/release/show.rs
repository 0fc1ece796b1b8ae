//! What is seen of a release while it runs: a view on a terminal, lines elsewhere, JSON for programs.

use super::document::{Entry, Moment, Release};
use super::evidence::mean_worse;
use super::phase::Phase;
use super::plan::{Plan, Step};
use crate::output::{BAD, BOLD, DIM, DOUBTFUL, Format, GOOD, styled};
use crate::world;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use std::io::{IsTerminal as _, Write as _};
use tse_route::config::Share;

/// Where it is shown, and what was shown already.
pub(crate) struct Show {
    format: Format,
    view: Option<ProgressBar>,
    entries: usize,
    said: String,
}

impl Show {
    pub(crate) fn new(format: Format) -> Self {
        let is_live = format == Format::Human && std::io::stderr().is_terminal();
        let view = is_live.then(|| {
            let view = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            view.set_style(
                ProgressStyle::with_template("{spinner} {msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            view.enable_steady_tick(std::time::Duration::from_millis(120));
            view
        });
        Self { format, view, entries: 0, said: String::new() }
    }

    /// What was before this run is not shown again.
    pub(crate) fn skip(&mut self, release: &Release) {
        self.entries = release.history.len();
    }

    /// Shows what is new.
    pub(crate) fn show(&mut self, plan: &Plan, release: &Release, trouble: Option<&str>) {
        let new: Vec<&Entry> = release.history.iter().skip(self.entries).collect();
        self.entries = release.history.len();
        for entry in new {
            match self.format {
                Format::Json => self.line(
                    &json!({
                        "at": entry.at,
                        "release": release.release,
                        "from": entry.from,
                        "event": entry.event,
                        "to": entry.to,
                        "step": entry.step,
                        "share": entry.share as f64 / 100.0,
                        "why": entry.why,
                    })
                    .to_string(),
                ),
                Format::Human => self.line(&transition(release, entry)),
            }
        }
        let trouble = trouble.unwrap_or_default();
        if self.said != trouble {
            trouble.clone_into(&mut self.said);
            if !trouble.is_empty() {
                match self.format {
                    Format::Json => {
                        let line = json!({"at": Moment(world::now().0), "waits_for": trouble});
                        self.line(&line.to_string());
                    }
                    Format::Human => {
                        let at = clock(Moment(world::now().0));
                        self.line(&format!("{at}  {} {trouble}", styled(DOUBTFUL, "waits")));
                    }
                }
            }
        }
        if let Some(view) = &self.view {
            view.set_message(status(plan, release));
        }
    }

    fn line(&self, text: &str) {
        match &self.view {
            Some(view) => view.suspend(|| write(text)),
            None => write(text),
        }
    }

    /// Takes the view away.
    pub(crate) fn end(self) {
        if let Some(view) = self.view {
            view.finish_and_clear();
        }
    }
}

fn write(text: &str) {
    // Whoever does not listen any more does not stop a release.
    let _ = writeln!(anstream::stdout(), "{text}");
}

/// The time of day.
fn clock(at: Moment) -> String {
    at.to_string().get(11..19).unwrap_or_default().to_owned()
}

fn transition(release: &Release, entry: &Entry) -> String {
    let word = match entry.to {
        Phase::Promoted => styled(GOOD, entry.to),
        Phase::RolledBack | Phase::RollingBack | Phase::Refused | Phase::Stopped => {
            styled(BAD, entry.to)
        }
        to => styled(BOLD, to),
    };
    let why = if entry.why.is_empty() { String::new() } else { format!(": {}", entry.why) };
    format!(
        "{}  {word} · {} gets {} %{why}",
        clock(entry.at),
        release.canary,
        Share::hundredths(entry.share)
    )
}

/// Where a release is, in a few lines.
pub(crate) fn status(plan: &Plan, release: &Release) -> String {
    let mut lines = vec![format!(
        "{} {} · step {} of {} · {} {} %, {} {} %{}",
        styled(BOLD, &release.release),
        release.phase,
        release.step + 1,
        plan.steps.len(),
        release.stable,
        Share::hundredths(10_000 - release.share.min(10_000)),
        release.canary,
        Share::hundredths(release.share),
        if release.paused { styled(DOUBTFUL, " · paused") } else { String::new() },
    )];
    if let Some(doing) = &release.doing {
        lines.push(format!(
            "  {} {} %",
            styled(DOUBTFUL, "setting"),
            Share::hundredths(doing.share)
        ));
    }
    if let (Phase::Watching, Some(Step::Weight { watch, .. })) =
        (release.phase, plan.step(release.step))
    {
        let left = watch.0.saturating_sub(release.watch.watched) / 1_000 * 1_000;
        let left = super::plan::Millis(left);
        lines.push(format!("  time left in this step: {left}"));
    }
    lines.extend(measures(plan, release).into_iter().map(|line| format!("  {line}")));
    if release.phase == Phase::Approval {
        lines.push(format!("  {} `tse-route release approve` goes on", styled(DOUBTFUL, "waits:")));
    }
    if !release.why.is_empty() {
        lines.push(format!("  {}", styled(DIM, &release.why)));
    }
    lines.join("\n")
}

/// What was seen of each measure, with the evidence.
fn measures(plan: &Plan, release: &Release) -> Vec<String> {
    let Some(analysis) = &plan.analysis else { return Vec::new() };
    let percent = |rate: f64| format!("{:.2} %", rate * 100.0);
    let mut lines = Vec::new();
    for (name, measure) in &release.watch.measures {
        let (stable, canary) = (measure.total.stable, measure.total.canary);
        lines.push(format!(
            "{name}: {} {} of {:.0}, {} {} of {:.0}",
            release.stable,
            percent(stable.rate()),
            stable.requests,
            release.canary,
            percent(canary.rate()),
            canary.requests,
        ));
    }
    let logs: Vec<(f64, f64)> = release.watch.measures.values().map(|one| one.logs()).collect();
    let not_worse = logs.iter().map(|(_, log)| *log).fold(f64::MAX, f64::min);
    // Evidence of 1/alpha is enough: as a part of the way, on a scale of logarithms.
    let enough = -analysis.alpha.ln();
    let part = |log: f64| format!("{:.0} %", (log / enough * 100.0).clamp(0.0, 100.0));
    lines.push(format!(
        "evidence: worse {}, not worse {}",
        part(mean_worse(&logs)),
        part(not_worse)
    ));
    lines
}

/// Where a release is, for programs.
pub(crate) fn status_json(release: &Release) -> Value {
    let mut value = serde_json::to_value(release).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("plan");
        if let Some(watch) = fields.get_mut("watch").and_then(Value::as_object_mut) {
            watch.remove("counters");
            watch.remove("points");
        }
    }
    value
}
