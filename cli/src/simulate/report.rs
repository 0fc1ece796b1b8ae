//! What a simulation found.

use super::statistics::Test;
use super::traffic::{Kind, Traffic};
use super::{Moves, Tally};
use crate::decision::{Engine, OWN};
use crate::output::{BAD, BOLD, DIM, GOOD, percent, styled};
use crate::world::Moment;
use serde_json::{Value, json};
use std::fmt::Write as _;
use tse_route::config::HashOn;

/// Below this p-value a deviation is hardly chance.
const SUSPICIOUS: f64 = 0.001;

/// What a simulation found.
pub(crate) struct Report {
    requests: u64,
    unmatched: u64,
    kind: Kind,
    rules: Vec<RuleReport>,
    moves: Option<MoveReport>,
}

struct RuleReport {
    index: usize,
    name: Option<String>,
    weight: u8,
    requests: u64,
    upstreams: Vec<UpstreamReport>,
    test: Option<Test>,
}

struct UpstreamReport {
    name: String,
    configured: f64,
    requests: u64,
}

struct MoveReport {
    moved: u64,
    necessary: u64,
    ways: Vec<(String, String, u64)>,
    /// Whether some rule draws anew for each request.
    some_do_not_stick: bool,
}

impl Report {
    pub(super) fn of(engine: &Engine, traffic: &Traffic, tally: &Tally) -> Self {
        let mut world = Moment::new(engine.at, 0);
        let config = &engine.loaded.config;
        let rules = engine.loaded.table.rules();
        let sticks =
            |index: usize| config.rules.get(index).is_some_and(|rule| rule.hash_on != HashOn::None);
        let reports = rules.iter().zip(&tally.chosen).map(|(rule, counts)| {
            let shares = rule.shares(&mut world);
            let total: u64 = shares.iter().map(|share| share.in_hundredths()).sum();
            let mut upstreams: Vec<UpstreamReport> = Vec::new();
            for ((target, share), count) in rule.targets().iter().zip(shares).zip(counts) {
                // Where every weight is 0 the service's own upstream serves.
                let configured = match total {
                    0 => f64::from(u8::from(target.name().is_none())),
                    total => share.in_hundredths() as f64 / total as f64,
                };
                if target.name().is_none() && configured == 0.0 && *count == 0 {
                    continue;
                }
                let name = target.name().unwrap_or(OWN);
                match upstreams.iter_mut().find(|upstream| upstream.name == name) {
                    Some(same) => {
                        same.configured += configured;
                        same.requests += count;
                    }
                    None => upstreams.push(UpstreamReport {
                        name: name.to_owned(),
                        configured,
                        requests: *count,
                    }),
                }
            }
            let requests: u64 = counts.iter().sum();
            let test = tested(requests, &upstreams, sticks(rule.index()), traffic, tally.requests);
            RuleReport {
                index: rule.index(),
                name: rule.name().map(str::to_owned),
                weight: rule.weight(),
                requests,
                upstreams,
                test,
            }
        });
        let reports: Vec<RuleReport> = reports.collect();
        let some_do_not_stick = reports.iter().any(|rule| {
            let divided =
                rule.upstreams.iter().filter(|upstream| upstream.configured > 0.0).count() > 1;
            divided && rule.requests > 0 && !sticks(rule.index)
        });
        Self {
            requests: tally.requests,
            unmatched: tally.unmatched,
            kind: traffic.kind,
            rules: reports,
            moves: tally.moves.as_ref().map(|moves| MoveReport::of(moves, some_do_not_stick)),
        }
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "requests": self.requests,
            "unmatched": self.unmatched,
            "rules": self.rules.iter().map(RuleReport::json).collect::<Vec<_>>(),
            "moves": self.moves.as_ref().map(|moves| moves.json(self.requests)),
        })
    }

    pub(crate) fn human(&self) -> String {
        let kind = match self.kind {
            Kind::MadeUp => "made up for each rule in turn",
            Kind::Given => "as given",
            Kind::Log => "from the log",
        };
        // Writing to a string cannot fail.
        let mut text = format!("{} requests, {kind}\n", thousands(self.requests));
        let width = self.rules.iter().flat_map(|rule| &rule.upstreams);
        let width = width.map(|upstream| upstream.name.chars().count()).max().unwrap_or(0).max(8);
        for rule in &self.rules {
            text.push_str(&rule.human(width));
        }
        if self.unmatched > 0 {
            let share = self.unmatched as f64 / self.requests.max(1) as f64;
            let _ = writeln!(
                text,
                "\nno rule: {} requests, {}",
                thousands(self.unmatched),
                percent(share)
            );
        }
        if let Some(moves) = &self.moves {
            text.push_str(&moves.human(self.requests));
        }
        text
    }
}

/// The test of a rule's split; none where requests do not stand for clients.
fn tested(
    requests: u64,
    upstreams: &[UpstreamReport],
    sticks: bool,
    traffic: &Traffic,
    all: u64,
) -> Option<Test> {
    let shares: Vec<f64> = upstreams.iter().map(|upstream| upstream.configured).collect();
    let counts: Vec<u64> = upstreams.iter().map(|upstream| upstream.requests).collect();
    let clients = traffic.clients().filter(|_| sticks);
    match clients {
        // Every request is drawn for anew, or is a client of its own.
        None => Test::of(&counts, &shares),
        Some(0) => None,
        // The same clients came again and again: each counts once.
        Some(clients) if requests > 0 => {
            let rounds = (all as f64 / clients as f64).max(1.0);
            let counts: Vec<u64> =
                counts.iter().map(|count| (*count as f64 / rounds).round() as u64).collect();
            Test::of(&counts, &shares)
        }
        Some(_) => None,
    }
}

impl RuleReport {
    /// None where the rule got no request.
    fn observed(&self, upstream: &UpstreamReport) -> Option<f64> {
        (self.requests > 0).then(|| upstream.requests as f64 / self.requests as f64)
    }

    fn json(&self) -> Value {
        let upstreams = self.upstreams.iter().map(|upstream| {
            let observed = self.observed(upstream);
            json!({
                "name": upstream.name,
                "configured": upstream.configured,
                "observed": observed,
                "deviation": observed.map(|observed| observed - upstream.configured),
                "requests": upstream.requests,
            })
        });
        json!({
            "rule": { "index": self.index, "name": self.name, "weight": self.weight },
            "requests": self.requests,
            "upstreams": upstreams.collect::<Vec<_>>(),
            "chi_square": self.test.map(|test| test.chi_square),
            "degrees_of_freedom": self.test.map(|test| test.degrees_of_freedom),
            "p_value": self.test.map(|test| test.p_value),
        })
    }

    fn human(&self, width: usize) -> String {
        let name = self.name.as_ref().map(|name| format!(" {name:?}")).unwrap_or_default();
        let title = format!("rules[{}]{name} (weight {})", self.index, self.weight);
        let mut text = format!("\n{}: {} requests", styled(BOLD, title), thousands(self.requests));
        if self.requests == 0 {
            let _ = writeln!(text, ", {}", styled(DIM, "none got to it"));
            return text;
        }
        match self.test {
            Some(test) if test.p_value < SUSPICIOUS => {
                let _ = write!(
                    text,
                    ", {}",
                    styled(BAD, format!("p = {:.2e}: hardly chance", test.p_value))
                );
            }
            Some(test) => {
                let _ = write!(text, ", {}", styled(GOOD, format!("p = {:.3}", test.p_value)));
            }
            None => {}
        }
        text.push('\n');
        let _ = writeln!(
            text,
            "  {:width$}  {:>10}  {:>10}  {:>10}  {:>14}",
            "upstream", "configured", "observed", "deviation", "requests"
        );
        for upstream in &self.upstreams {
            let observed = self.observed(upstream).unwrap_or_default();
            let deviation = format!("{:+.2}", (observed - upstream.configured) * 100.0);
            let _ = writeln!(
                text,
                "  {:width$}  {:>10}  {:>10}  {:>10}  {:>14}",
                upstream.name,
                percent(upstream.configured),
                percent(observed),
                deviation,
                thousands(upstream.requests)
            );
        }
        text
    }
}

impl MoveReport {
    fn of(moves: &Moves, some_do_not_stick: bool) -> Self {
        let mut ways: Vec<(String, String, u64)> = moves
            .ways
            .iter()
            .map(|((before, after), count)| (before.clone(), after.clone(), *count))
            .collect();
        ways.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| a.cmp(b)));
        Self { moved: moves.moved, necessary: moves.necessary(), ways, some_do_not_stick }
    }

    fn json(&self, requests: u64) -> Value {
        let share = |count: u64| count as f64 / requests.max(1) as f64;
        let ways = self.ways.iter().map(|(from, to, count)| {
            json!({ "from": from, "to": to, "requests": count, "share": share(*count) })
        });
        json!({
            "moved": self.moved,
            "share": share(self.moved),
            "necessary": self.necessary,
            "sticky": !self.some_do_not_stick,
            "ways": ways.collect::<Vec<_>>(),
        })
    }

    fn human(&self, requests: u64) -> String {
        let share = |count: u64| percent(count as f64 / requests.max(1) as f64);
        let mut text = format!(
            "\n{}: {} of {} keys, {}; {} is the least that can\n",
            styled(BOLD, "moved"),
            thousands(self.moved),
            thousands(requests),
            share(self.moved),
            share(self.necessary)
        );
        for (from, to, count) in &self.ways {
            let _ = writeln!(text, "  {from} -> {to}: {}, {}", thousands(*count), share(*count));
        }
        if self.some_do_not_stick {
            text.push_str("  A rule without `hash_on` draws for every request: its clients move all the time.\n");
        }
        text
    }
}

/// A number with its thousands apart.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}
