//! An upstream that fails for a while, and what the circuit breakers of its rule make of it.

use super::traffic::Traffic;
use crate::decision::{Engine, OWN};
use serde_json::{Value, json};
use tse_route::engine::{Admission, Breaker, Choice, Policy, World};

/// Into how many parts the time is divided.
const PARTS: u64 = 120;
/// How many requests are sent at most.
const MOST: u64 = 400_000;
/// How many requests a second are sent, where that is enough for the breaker to judge by.
const USUAL_RATE: u64 = 50;

/// One of a rule's upstreams, of whose answers a part fails from the second sixth of the time to the
/// fourth.
pub(crate) struct Outage<'n> {
    /// The position of the rule in the table.
    pub rule: usize,
    pub upstream: &'n str,
    /// From 0 to 1.
    pub error_rate: f64,
}

impl Outage<'_> {
    /// The shares of the rule's upstreams over the time, and the state of the breaker; none where the
    /// rule has no circuit breakers, or no request could be made up that it matches.
    pub(crate) fn run(&self, engine: &Engine) -> Option<Value> {
        let table = &engine.loaded.table;
        let rule = table.rules().get(self.rule)?;
        let mut traffic = Traffic::of_rule(engine, self.rule)?;
        let target =
            rule.targets().iter().position(|t| t.name().unwrap_or(OWN) == self.upstream)?;
        let failing = Choice { rule: self.rule, target };
        let (number, policy) = table.breaker(failing)?;
        let configured = engine.loaded.config.rules.get(rule.index())?.circuit_breaker.as_ref()?;
        let (window, cooldown) = (configured.window.0, configured.cooldown.0);
        // A sixth of it is enough for a window to fill, and the outage lasts for a cooldown and more.
        let time = (6 * window.max(1_000)).max(3 * cooldown).max(60_000);
        // Where the upstream gets little of the traffic, it takes more of it to be judged.
        let rate = (USUAL_RATE * time / 1_000).clamp(PARTS, MOST);
        let mut world = Watched {
            now: engine.at.0,
            random: fastrand::Rng::with_seed(1),
            breakers: vec![Breaker::default(); table.breakers()],
        };
        let mut counts = vec![vec![0_u32; usize::try_from(PARTS).ok()?]; rule.targets().len()];
        let mut states = Vec::new();
        for request in 0..rate {
            let elapsed = request * time / rate;
            world.now = engine.at.0.saturating_add(elapsed);
            let part = elapsed * PARTS / time;
            let state = world.admission(number, policy);
            if u64::try_from(states.len()).is_ok_and(|known| known <= part) {
                states.push(state.word());
            }
            let Some(choice) = engine.decide(traffic.request(request), &mut world) else {
                continue;
            };
            let counted = counts.get_mut(choice.target).filter(|_| choice.rule == self.rule);
            let position = usize::try_from(part).ok()?;
            if let Some(count) = counted.and_then(|counts| counts.get_mut(position)) {
                *count += 1;
            }
            if let Some((breaker, policy)) = table.breaker(choice) {
                let is_out = (time / 6..time * 4 / 6).contains(&elapsed);
                let failed = choice == failing && is_out && world.random.f64() < self.error_rate;
                let answer = policy.answer(failed, 0);
                if let Some(breaker) = world.breakers.get_mut(breaker) {
                    breaker.record(policy, world.now, world.now, answer);
                }
            }
        }
        let seconds: Vec<f64> =
            (0..PARTS).map(|part| (part * time / PARTS) as f64 / 1_000.0).collect();
        let names: Vec<&str> = rule.targets().iter().map(|t| t.name().unwrap_or(OWN)).collect();
        let sums: Vec<u32> = (0..seconds.len())
            .map(|part| counts.iter().filter_map(|counts| counts.get(part)).sum())
            .collect();
        let shares = counts.iter().map(|counts| {
            let shares = counts.iter().zip(&sums);
            shares.map(|(count, sum)| f64::from(*count) / f64::from((*sum).max(1))).collect()
        });
        let outage = [time / 6, time * 4 / 6].map(|at| at as f64 / 1_000.0);
        Some(json!({
            "seconds": seconds,
            "upstreams": names,
            "shares": shares.collect::<Vec<Vec<f64>>>(),
            "states": states,
            "outage": outage,
            "requests": rate,
        }))
    }
}

/// A world in which answers are counted.
struct Watched {
    now: u64,
    random: fastrand::Rng,
    breakers: Vec<Breaker>,
}

impl World for Watched {
    fn now(&self) -> u64 {
        self.now
    }

    fn random(&mut self) -> u64 {
        self.random.u64(..)
    }

    fn admission(&mut self, number: usize, policy: &Policy) -> Admission {
        let breaker = self.breakers.get(number);
        breaker.map_or(Admission::Closed, |breaker| breaker.admission(policy, self.now))
    }
}
