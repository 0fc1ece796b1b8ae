//! `tse-route simulate`: many requests through the engine, and what became of them.

mod access_log;
mod pattern;
mod report;
mod statistics;
mod traffic;
mod witness;

use super::Failure;
use super::args::{ConfigArgs, SimulateArgs};
use super::decision::{Engine, OWN};
use super::output::{self, Format};
use super::world::Moment;
use hashbrown::HashMap;
use indicatif::{ProgressBar, ProgressStyle};
use traffic::Traffic;
use tse_route::engine::{Choice, World as _};

/// How many requests are sent unless the operator says otherwise.
const USUAL: u64 = 100_000;
/// From so many requests on a terminal shows how far they are.
const LONG: u64 = 2_000_000;

pub(crate) fn run(args: &SimulateArgs) -> Result<(), Failure> {
    let engine = Engine::load(&args.config, args.at)?;
    let next = match &args.weights_to {
        None => None,
        Some(file) => {
            let config = ConfigArgs { config: file.clone(), plugin: args.config.plugin.clone() };
            Some(Engine::load(&config, Some(engine.at))?)
        }
    };
    let mut traffic = Traffic::of(args, &engine)?;
    let requests = args.requests.unwrap_or_else(|| traffic.natural_length().unwrap_or(USUAL));
    let tally = simulate(&engine, next.as_ref(), &mut traffic, requests, args.seed);
    let report = report::Report::of(&engine, &traffic, &tally);
    match args.output.format {
        Format::Json => output::json(&report.json()),
        Format::Human => output::human(&report.human()),
    }
}

/// How often each choice was made.
struct Tally {
    requests: u64,
    unmatched: u64,
    /// By rule and target.
    chosen: Vec<Vec<u64>>,
    /// Where a second configuration was asked too.
    moves: Option<Moves>,
}

/// How the upstreams of two configurations differ; an unmatched request stays with the service.
#[derive(Default)]
struct Moves {
    moved: u64,
    /// By the upstream before and after.
    ways: HashMap<(String, String), u64>,
    before: HashMap<String, u64>,
    after: HashMap<String, u64>,
}

/// How often which choice became which other, by the positions of rule and target.
type Ways = HashMap<[Option<(usize, usize)>; 2], u64>;

fn simulate(
    engine: &Engine,
    next: Option<&Engine>,
    traffic: &mut Traffic,
    requests: u64,
    seed: u64,
) -> Tally {
    let rules = engine.loaded.table.rules();
    let mut tally = Tally {
        requests,
        unmatched: 0,
        chosen: rules.iter().map(|rule| vec![0; rule.targets().len()]).collect(),
        moves: None,
    };
    let mut ways = Ways::new();
    let mut world = Moment::new(engine.at, seed);
    let progress = progress(requests);
    for number in 0..requests {
        let request = traffic.request(number);
        // Both configurations see the same draw, so that only the weights make a difference.
        let same = next.map(|next| (next, world.clone()));
        let choice = engine.decide(request, &mut world);
        match choice {
            Some(choice) => {
                let count = tally.chosen.get_mut(choice.rule);
                if let Some(count) = count.and_then(|counts| counts.get_mut(choice.target)) {
                    *count += 1;
                }
            }
            None => tally.unmatched += 1,
        }
        if let Some((next, mut same)) = same {
            let then = next.decide(request, &mut same);
            let way = [choice, then].map(|choice| choice.map(|c| (c.rule, c.target)));
            *ways.entry(way).or_default() += 1;
            // The next request's draw must not depend on how many this one took.
            world.random();
        }
        if number % 65_536 == 0 {
            progress.set_position(number);
        }
    }
    progress.finish_and_clear();
    tally.moves = next.map(|next| Moves::of(engine, next, &ways));
    tally
}

impl Moves {
    fn of(engine: &Engine, next: &Engine, ways: &Ways) -> Self {
        let name = |engine: &Engine, choice: Option<(usize, usize)>| {
            let choice = choice.map(|(rule, target)| Choice { rule, target });
            choice.and_then(|choice| engine.upstream(choice)).unwrap_or(OWN).to_owned()
        };
        let mut moves = Self::default();
        for ([before, after], count) in ways {
            let (before, after) = (name(engine, *before), name(next, *after));
            *moves.before.entry(before.clone()).or_default() += count;
            *moves.after.entry(after.clone()).or_default() += count;
            if before != after {
                moves.moved += count;
                *moves.ways.entry((before, after)).or_default() += count;
            }
        }
        moves
    }

    /// The fewest that must move to get from the one split to the other.
    fn necessary(&self) -> u64 {
        let grown = self.after.iter().map(|(name, after)| {
            after.saturating_sub(self.before.get(name).copied().unwrap_or_default())
        });
        grown.sum()
    }
}

/// A bar on a terminal where it takes a while; otherwise nothing.
fn progress(requests: u64) -> ProgressBar {
    if requests < LONG {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(requests);
    match ProgressStyle::with_template("{wide_bar} {human_pos} of {human_len} requests, {eta} left")
    {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
