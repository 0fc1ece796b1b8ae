//! `tse-route release …`, command by command.

use super::document::Orders;
use super::document::{Environment, Moment, Release};
use super::forecast::{Course, End, Stream, course};
use super::gateway;
use super::http;
use super::lease::Held;
use super::phase::Phase;
use super::plan::{self, Analysis, Plan, Step};
use super::real::Real;
use super::report;
use super::runner::{Outcome, run};
use super::show::{Show, status, status_json};
use super::store::{Store, document_id, release_id};
use super::trouble::Trouble;
use crate::Failure;
use crate::args::{ReleaseCommand, RunArgs, WeightsArgs};
use crate::output::{self, Format};
use crate::source::Source;
use crate::weights::Wanted;
use crate::world;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// The exit code of what could not be begun, or not be gone on with.
const REFUSED: u8 = 5;

pub(crate) fn run_command(command: &ReleaseCommand) -> Result<(), Failure> {
    let runtime = runtime()?;
    runtime.block_on(async {
        match command {
            ReleaseCommand::Run(args) => release(args).await,
            ReleaseCommand::Status(args) => {
                show_status(&load(&args.plan)?, args.output.format).await
            }
            ReleaseCommand::Approve(args) => approve(&load(&args.plan)?).await,
            ReleaseCommand::Pause(args) => {
                order(&load(&args.plan)?, "pause", |o| o.paused = true).await
            }
            ReleaseCommand::Resume(args) => {
                order(&load(&args.plan)?, "resume", |orders| orders.paused = false).await
            }
            ReleaseCommand::Promote(args) => {
                order(&load(&args.plan)?, "promote", |orders| orders.promote = true).await
            }
            ReleaseCommand::Abort(args) => {
                order(&load(&args.plan)?, "abort", |o| o.abort = true).await
            }
            ReleaseCommand::History(args) => history(&load(&args.plan)?, args.output.format).await,
            ReleaseCommand::Plan { plan, rps, errors, output } => {
                foresee(&load(plan)?, *rps, errors / 100.0, output.format)
            }
            ReleaseCommand::Report { plan, html } => {
                let plan = load(plan)?;
                let found = latest(&open(&plan).await?, &plan).await?;
                let release = &found.ok_or_else(|| nothing(&plan))?;
                let text = if *html { report::html(release) } else { report::markdown(release) };
                output::text(text.as_bytes())
            }
        }
    })
}

/// Reads a plan; what is wrong with it is shown.
fn load(name: &str) -> Result<Plan, Failure> {
    let source = Source::read(name).map_err(Failure::Usage)?;
    plan::read(&source, &|name| std::env::var(name).ok()).map_err(|faults| {
        for fault in &faults {
            output::note(&fault.human(&source));
        }
        Failure::Faults
    })
}

async fn open(plan: &Plan) -> Result<Store, Failure> {
    Store::open(&plan.record).await.map_err(failed)
}

fn failed(trouble: Trouble) -> Failure {
    match trouble {
        Trouble::Lost(text) => refused(&text),
        Trouble::Away(text) | Trouble::Wrong(text) => Failure::Usage(text),
    }
}

fn refused(text: &str) -> Failure {
    output::note(&format!("{}: {text}\n", output::error_word()));
    Failure::Ended(REFUSED)
}

fn nothing(plan: &Plan) -> Failure {
    Failure::Usage(format!("the record has no release {}", plan.release))
}

/// The last attempt of a plan's release.
async fn latest(store: &Store, plan: &Plan) -> Result<Option<Release>, Failure> {
    let releases = store.releases().await.map_err(failed)?;
    Ok(releases.into_iter().find(|release| release.release == plan.release))
}

async fn release(args: &RunArgs) -> Result<(), Failure> {
    let plan = load(&args.plan)?;
    let store = open(&plan).await?;
    let client = http::client().map_err(Failure::Usage)?;
    // One runner for a rule, whatever its releases are called.
    let lease = Held::take(&store, &document_id(&[&plan.rule])).await.map_err(failed)?;
    let (mut release, revision) = match begin(&store, &plan, args.again).await {
        Ok(begun) => begun,
        Err(failure) => {
            lease.give_back().await;
            return Err(failure);
        }
    };
    let mut show = Show::new(args.output.format);
    show.skip(&release);
    let mut outcome = Outcome::Ended;
    if release.phase.is_end() {
        lease.give_back().await;
    } else {
        let attempt = release.attempt;
        let mut world = Real::new(&plan, &client, (store, lease), (attempt, revision), show);
        outcome = run(&mut world, &plan, &mut release, args.exit_at_approval).await;
        world.leave().await.end();
    }
    if let Some(file) = &args.report {
        let html = file.ends_with(".html");
        let text = if html { report::html(&release) } else { report::markdown(&release) };
        std::fs::write(file, text).map_err(|error| Failure::Usage(format!("{file}: {error}")))?;
    }
    if let Outcome::Lost(why) = outcome {
        return Err(refused(&format!("{}: {why}", release.release)));
    }
    let (text, code) = report::conclusion(&release);
    match args.output.format {
        Format::Human => output::human(&format!("{text}\n"))?,
        Format::Json => output::text(format!("{}\n", status_json(&release)).as_bytes())?,
    }
    if code == 0 { Ok(()) } else { Err(Failure::Ended(code)) }
}

/// The release to go on with, or a new one, with the revision of its document.
async fn begin(store: &Store, plan: &Plan, again: bool) -> Result<(Release, u64), Failure> {
    let releases = store.releases().await.map_err(failed)?;
    let other = releases.iter().find(|release| {
        release.rule == plan.rule && release.release != plan.release && !release.phase.is_end()
    });
    if let Some(other) = other {
        return Err(refused(&format!(
            "the release {} of the rule {} is not at its end ({}); accepted is one release of a rule at \
             a time: `release abort` and `release run` with its plan end it",
            other.release, other.rule, other.phase
        )));
    }
    let now = Moment(world::now().0);
    let known = releases.into_iter().find(|release| release.release == plan.release);
    let Some(known) = known else { return Ok((Release::new(plan, 1, now), 0)) };
    if known.phase.is_end() && again {
        return Ok((Release::new(plan, known.attempt + 1, now), 0));
    }
    if !known.phase.is_end() && known.plan != plan.text {
        return Err(refused(&format!(
            "the plan was changed since {} began; accepted is the plan that it began with, which the \
             record has",
            known.release
        )));
    }
    let id = release_id(&known.release, known.attempt);
    let kept = store.get(super::store::Collection::Releases, &id).await.map_err(failed)?;
    kept.ok_or_else(|| nothing(plan))
}

async fn show_status(plan: &Plan, format: Format) -> Result<(), Failure> {
    let release = latest(&open(plan).await?, plan).await?.ok_or_else(|| nothing(plan))?;
    match format {
        Format::Human => output::human(&format!("{}\n", status(plan, &release))),
        Format::Json => output::json(&status_json(&release)),
    }
}

async fn approve(plan: &Plan) -> Result<(), Failure> {
    let store = open(plan).await?;
    let release = latest(&store, plan).await?.ok_or_else(|| nothing(plan))?;
    if release.phase != Phase::Approval {
        return Err(refused(&format!(
            "{} is {}; accepted is a release that waits for approval",
            release.release, release.phase
        )));
    }
    let step = release.step;
    order(plan, "approve", move |orders| {
        if !orders.approved.contains(&step) {
            orders.approved.push(step);
        }
    })
    .await
}

async fn order(plan: &Plan, word: &str, change: impl Fn(&mut Orders)) -> Result<(), Failure> {
    let store = open(plan).await?;
    let release = latest(&store, plan).await?.ok_or_else(|| nothing(plan))?;
    if release.phase.is_end() {
        return Err(refused(&format!("{} is {} already", release.release, release.phase)));
    }
    let id = release_id(&release.release, release.attempt);
    store.order(&id, change).await.map_err(failed)?;
    output::human(&format!(
        "{}: {word} is written down; whoever runs the release does it, or the next `release run`\n",
        release.release
    ))
}

/// `tse-route weights` where the rule is behind Kong's Admin API.
pub(crate) fn weights_behind(args: &WeightsArgs) -> Result<(), Failure> {
    let runtime = runtime()?;
    let client = http::client().map_err(Failure::Usage)?;
    let headers = args.headers.iter().filter_map(|header| {
        let (name, value) = header.split_once(':')?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    });
    let kong = gateway::behind_kong(&client, &args.file, headers.collect());
    let wanted = Wanted { rule: &args.rule, plugin: args.plugin.as_deref() };
    let weights =
        runtime.block_on(kong.change(wanted, &args.changes)).map_err(|why| match why {
            Trouble::Wrong(text) => {
                output::note(&format!("{}: {text}\n", output::error_word()));
                Failure::Faults
            }
            Trouble::Away(text) | Trouble::Lost(text) => Failure::Usage(text),
        })?;
    crate::weights::show(args, &weights)
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Usage(error.to_string()))
}

async fn history(plan: &Plan, format: Format) -> Result<(), Failure> {
    let store = open(plan).await?;
    let releases = store.releases().await.map_err(failed)?;
    let environments = store.environments().await.map_err(failed)?;
    if format == Format::Json {
        return output::json(&json!({
            "releases": releases.iter().map(status_json).collect::<Vec<Value>>(),
            "environments": environments,
        }));
    }
    let mut text = String::new();
    for release in &releases {
        let _ = writeln!(
            text,
            "{}  {}  {} ({} → {}) {}",
            release.began,
            release.release,
            release.phase,
            release.stable,
            release.canary,
            release.why
        );
    }
    for Environment { rule, upstream, status, release, share, .. } in &environments {
        let share = tse_route::config::Share::hundredths(*share);
        let status = serde_json::to_value(status).unwrap_or_default();
        let status = status.as_str().unwrap_or_default();
        let _ = writeln!(text, "{rule}/{upstream}: {status}, {share} % (release {release})");
    }
    output::human(&text)
}

/// The damages that are looked at, in shares of one.
const DAMAGES: [f64; 5] = [0.0, 0.01, 0.02, 0.05, 0.2];
/// How many releases are made up for each.
const ROUNDS: usize = 200;

fn foresee(plan: &Plan, rate: f64, errors: f64, format: Format) -> Result<(), Failure> {
    let mut steps = Vec::new();
    for step in &plan.steps {
        steps.push(match step {
            Step::Weight { share, watch } => format!("{} gets {share} %, for {watch}", plan.canary),
            Step::Approval => "someone approves".to_owned(),
        });
    }
    let gateways: Vec<String> = plan.gateways.iter().map(ToString::to_string).collect();
    let rows: Vec<Row> = match &plan.analysis {
        Some(analysis) => DAMAGES
            .iter()
            .map(|damage| Row::of(plan, analysis, Stream { rate, errors, damage: *damage }))
            .collect(),
        None => Vec::new(),
    };
    if format == Format::Json {
        return output::json(&json!({
            "release": plan.release,
            "gateways": gateways,
            "steps": steps,
            "requests_per_second": rate,
            "stable_errors": errors,
            "damages": rows.iter().map(Row::json).collect::<Vec<Value>>(),
        }));
    }
    let mut text = format!("{}: {} in {}\n", plan.release, plan.rule, gateways.join(", "));
    if !plan.verify.checks.is_empty() || plan.verify.service.is_some() {
        let service = usize::from(plan.verify.service.is_some());
        let _ = writeln!(text, "  verify: {} checks", plan.verify.checks.len() + service);
    }
    for step in steps {
        let _ = writeln!(text, "  {step}");
    }
    let _ = writeln!(text, "  promoted: {} gets everything\n", plan.canary);
    if rows.is_empty() {
        text.push_str("Without an analysis nothing is found out.\n");
        return output::human(&text);
    }
    let _ = writeln!(
        text,
        "At {rate} requests a second, {} of them errors of {} ({ROUNDS} made-up releases each):",
        output::percent(errors),
        plan.stable
    );
    let _ = writeln!(
        text,
        "  more errors   promoted   rolled back   held   ends after   requests hurt"
    );
    for row in &rows {
        let _ = writeln!(
            text,
            "  {:>11}   {:>8}   {:>11}   {:>4}   {:>10}   {:>13.0}",
            format!("+{}", output::percent(row.damage)),
            output::percent(row.share(End::Promoted)),
            output::percent(row.share(End::RolledBack)),
            output::percent(row.share(End::Held)),
            plan::Millis((row.median(|course| course.took) * 1_000.0) as u64).to_string(),
            row.median(|course| course.hurt)
        );
    }
    text.push_str("Times and requests are medians.\n");
    output::human(&text)
}

/// What became of the releases with one damage.
struct Row {
    damage: f64,
    courses: Vec<Course>,
}

impl Row {
    fn of(plan: &Plan, analysis: &Analysis, stream: Stream) -> Self {
        let mut random = fastrand::Rng::with_seed(0);
        let courses = (0..ROUNDS).map(|_| course(plan, analysis, stream, &mut random)).collect();
        Self { damage: stream.damage, courses }
    }

    fn share(&self, end: End) -> f64 {
        let count = self.courses.iter().filter(|course| course.end == end).count();
        count as f64 / self.courses.len().max(1) as f64
    }

    fn median(&self, of: impl Fn(&Course) -> f64) -> f64 {
        let mut values: Vec<f64> = self.courses.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    }

    fn json(&self) -> Value {
        json!({
            "more_errors": self.damage,
            "promoted": self.share(End::Promoted),
            "rolled_back": self.share(End::RolledBack),
            "held": self.share(End::Held),
            "median_seconds": self.median(|course| course.took),
            "median_requests_hurt": self.median(|course| course.hurt),
        })
    }
}
