//! Simulated releases: the verdict of `tse-route release` beside the documented default analysis of
//! Flagger and of Argo Rollouts, on streams of the same kind and seeds.
//!
//! `make bench-release` runs it, or `cargo bench -p tse-route-cli --bench release -- 1000` for fewer releases.
//! Every release has an hour. What a canary that was promoted does then counts too.

#![allow(clippy::expect_used)]

use tse_route_cli::{Ruling, Trial};

/// Stable's share of errors.
const ERRORS: f64 = 0.005;
/// How much more often the canary fails.
const DAMAGES: [f64; 4] = [0.0, 0.005, 0.02, 0.10];
/// Requests a second.
const RATES: [f64; 3] = [5.0, 50.0, 500.0];
/// How long is looked at, in seconds.
const HOUR: u32 = 3_600;

fn main() {
    let releases: u64 =
        std::env::args().skip(1).find_map(|text| text.parse().ok()).unwrap_or(10_000);
    println!("{releases} releases each; stable has {} % of errors\n", ERRORS * 100.0);
    println!(
        "| requests/s | more errors | judge | rolled back | promoted | found after, median | requests hurt in the hour, mean |"
    );
    println!("|---|---|---|---|---|---|---|");
    for rate in RATES {
        for damage in DAMAGES {
            for judge in JUDGES {
                let row = Row::of(judge, rate, damage, releases);
                println!(
                    "| {rate} | +{} % | {} | {:.2} % | {:.2} % | {} | {:.0} |",
                    damage * 100.0,
                    judge.name,
                    row.rolled_back * 100.0,
                    row.promoted * 100.0,
                    row.median.map_or("–".to_owned(), |seconds| format!("{seconds} s")),
                    row.hurt
                );
            }
        }
    }
}

/// Who decides, and how he is set up.
#[derive(Clone, Copy)]
struct Judge {
    name: &'static str,
    run: fn(&mut Stream) -> End,
}

const JUDGES: [Judge; 4] = [
    Judge { name: "tse-route, margin 0.5, holds", run: |stream| ours(stream, 0.005, None) },
    Judge { name: "tse-route, margin 0.1, goes on", run: |stream| ours(stream, 0.001, Some(0)) },
    Judge { name: "Flagger", run: flagger },
    Judge { name: "Argo Rollouts", run: argo },
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Promoted,
    RolledBack(u32),
    /// Neither within the hour.
    Held,
}

/// Requests, second by second.
struct Stream {
    random: fastrand::Rng,
    rate: f64,
    damage: f64,
    second: u32,
    /// Requests that failed because they went to the canary.
    hurt: f64,
}

/// Requests, and bad ones among them.
type Counts = (f64, f64);

impl Stream {
    /// The next seconds, with a share of the requests on the canary: stable's, the canary's.
    fn pass(&mut self, seconds: u32, share: f64) -> (Counts, Counts) {
        let seconds = seconds.min(HOUR - self.second);
        self.second += seconds;
        let requests = self.rate * f64::from(seconds);
        // The share is kept; what is no whole request is one sometimes.
        let expected = requests * share;
        let one_more = f64::from(u8::from(self.random.f64() < expected.fract()));
        let canary = expected.floor() + one_more;
        let stable = requests - canary;
        let bad_canary = binomial(&mut self.random, canary, ERRORS + self.damage);
        self.hurt += canary * self.damage;
        let bad_stable = binomial(&mut self.random, stable, ERRORS);
        ((stable, bad_stable), (canary, bad_canary))
    }

    fn is_over(&self) -> bool {
        self.second >= HOUR
    }
}

/// Flagger's ramp of 5 % a minute to 50 %, judged as `tse-route release` does with a look every 5 s.
/// A step that is over goes on when the canary is not worse, or after `deadline` seconds.
fn ours(stream: &mut Stream, margin: f64, deadline: Option<u32>) -> End {
    let mut trial = Trial::new(margin, 0.99);
    let before = stream.rate * 600.0;
    trial.learn(before, binomial(&mut stream.random, before, ERRORS));
    for step in 1..=10 {
        let mut watched = 0;
        loop {
            let (stable, canary) = stream.pass(5, f64::from(step) * 0.05);
            watched += 5;
            let ruling = trial.look(stable, canary);
            if ruling == Ruling::Worse {
                return End::RolledBack(stream.second);
            }
            if stream.is_over() {
                return End::Held;
            }
            let over = watched >= 60;
            let waited = deadline.is_some_and(|deadline| watched >= 60 + deadline);
            if over && (ruling == Ruling::NotWorse || waited) {
                break;
            }
        }
    }
    End::Promoted
}

/// Flagger's documentation, "How it works": every minute the success rate of the last minute has to
/// be 99 %; then 5 % more, up to 50 %. At the tenth check that fails it goes back; failed checks of
/// all steps count together, and a minute without traffic is one.
fn flagger(stream: &mut Stream) -> End {
    let mut failed = 0;
    let mut weight = 0.05;
    loop {
        let (_, (requests, bad)) = stream.pass(60, weight);
        if stream.is_over() {
            return End::Held;
        }
        if requests == 0.0 || 1.0 - bad / requests < 0.99 {
            failed += 1;
            if failed >= 10 {
                return End::RolledBack(stream.second);
            }
        } else if weight >= 0.5 - 1e-9 {
            return End::Promoted;
        } else {
            weight += 0.05;
        }
    }
}

/// Argo Rollouts' documentation, "Background Analysis": 20 % more every ten minutes; from 40 % on the
/// success rate is asked for every five minutes, by `irate`: of the last scrape interval, here 15 s.
/// More than three measurements below 95 % end it.
fn argo(stream: &mut Stream) -> End {
    let mut failed = 0;
    stream.pass(600, 0.2);
    for weight in [0.4, 0.6, 0.8] {
        for _ in 0..2 {
            let (_, (requests, bad)) = stream.pass(15, weight);
            if requests > 0.0 && 1.0 - bad / requests < 0.95 {
                failed += 1;
                if failed > 3 {
                    return End::RolledBack(stream.second);
                }
            }
            stream.pass(285, weight);
        }
    }
    End::Promoted
}

struct Row {
    rolled_back: f64,
    promoted: f64,
    median: Option<u32>,
    hurt: f64,
}

impl Row {
    fn of(judge: Judge, rate: f64, damage: f64, releases: u64) -> Self {
        let mut found = Vec::new();
        let (mut promoted, mut hurt) = (0_u64, 0.0);
        for seed in 0..releases {
            let random = fastrand::Rng::with_seed(seed);
            let mut stream = Stream { random, rate, damage, second: 0, hurt: 0.0 };
            match (judge.run)(&mut stream) {
                End::RolledBack(at) => found.push(at),
                End::Held => {}
                End::Promoted => {
                    promoted += 1;
                    let rest = HOUR - stream.second;
                    stream.pass(rest, 1.0);
                }
            }
            hurt += stream.hurt;
        }
        found.sort_unstable();
        let share = |count: u64| count as f64 / releases as f64;
        Self {
            rolled_back: share(found.len() as u64),
            promoted: share(promoted),
            median: found.get(found.len() / 2).copied(),
            hurt: hurt / releases as f64,
        }
    }
}

/// How many of `n` happen: from one to the next is a geometric step.
fn binomial(random: &mut fastrand::Rng, n: f64, p: f64) -> f64 {
    let log = (1.0 - p).ln();
    let (mut count, mut at) = (0.0, 0.0);
    loop {
        at += ((1.0 - random.f64()).ln() / log).floor() + 1.0;
        if at > n {
            return count;
        }
        count += 1.0;
    }
}
