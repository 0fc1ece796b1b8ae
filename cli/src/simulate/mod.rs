//! `tse-route simulate`: many requests through the engine, and what became of them.

mod access_log;
mod outage;
mod report;
mod statistics;
mod traffic;

use super::Failure;
use super::args::{ConfigArgs, SimulateArgs};
use super::decision::{Engine, OWN};
use super::output::{self, Format};
use super::world::Moment;
use hashbrown::HashMap;
use indicatif::{ProgressBar, ProgressStyle};
pub(crate) use outage::Outage;
pub(crate) use report::Report;
pub(crate) use traffic::Traffic;
use tse_route::engine::{Choice, World as _};

/// How many requests are sent unless the operator says otherwise.
const USUAL: u64 = 100_000;
/// How many requests are sent between two looks at the progress.
const PORTION: u64 = 65_536;
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
    let traffic = Traffic::of(args, &engine)?;
    let requests = args.requests.unwrap_or_else(|| traffic.natural_length().unwrap_or(USUAL));
    let mut simulation = Simulation::new(engine, next, traffic, requests, args.seed);
    let progress = progress(requests);
    while simulation.advance(PORTION) < requests {
        progress.set_position(simulation.done);
    }
    progress.finish_and_clear();
    let report = simulation.report();
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

/// A simulation on its way.
pub(crate) struct Simulation {
    engine: Engine,
    next: Option<Engine>,
    traffic: Traffic,
    world: Moment,
    tally: Tally,
    ways: Ways,
    requests: u64,
    done: u64,
}

impl Simulation {
    /// A simulation of so many requests, which `next` is asked to decide too.
    pub(crate) fn new(
        engine: Engine,
        next: Option<Engine>,
        traffic: Traffic,
        requests: u64,
        seed: u64,
    ) -> Self {
        let rules = engine.loaded.table.rules();
        let tally = Tally {
            requests: 0,
            unmatched: 0,
            chosen: rules.iter().map(|rule| vec![0; rule.targets().len()]).collect(),
            moves: None,
        };
        let world = Moment::new(engine.at, seed);
        Self { engine, next, traffic, world, tally, ways: Ways::new(), requests, done: 0 }
    }

    /// Sends at most so many requests more; returns how many have been sent.
    pub(crate) fn advance(&mut self, portion: u64) -> u64 {
        let end = self.requests.min(self.done.saturating_add(portion));
        for number in self.done..end {
            let request = self.traffic.request(number);
            // Both configurations see the same draw, so that only the weights make a difference.
            let same = self.next.as_ref().map(|next| (next, self.world.clone()));
            let choice = self.engine.decide(request, &mut self.world);
            match choice {
                Some(choice) => {
                    let count = self.tally.chosen.get_mut(choice.rule);
                    if let Some(count) = count.and_then(|counts| counts.get_mut(choice.target)) {
                        *count += 1;
                    }
                }
                None => self.tally.unmatched += 1,
            }
            if let Some((next, mut same)) = same {
                let then = next.decide(request, &mut same);
                let way = [choice, then].map(|choice| choice.map(|c| (c.rule, c.target)));
                *self.ways.entry(way).or_default() += 1;
                // The next request's draw must not depend on how many this one took.
                self.world.random();
            }
        }
        self.done = end;
        self.tally.requests = end;
        end
    }

    /// What has been found so far.
    pub(crate) fn report(&mut self) -> Report {
        let moves = |next| Moves::of(&self.engine, next, &self.ways);
        self.tally.moves = self.next.as_ref().map(moves);
        Report::of(&self.engine, &self.traffic, &self.tally)
    }
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
