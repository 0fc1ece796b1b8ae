//! Progressive delivery: stickiness, rollouts and circuit breakers as decisions.

use super::chance::bounds;
#[cfg(target_arch = "wasm32")]
use super::support::test;
use super::support::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use tse_route::Loaded;
use tse_route::engine::{Admission, Outcome, Policy, World, format_id};

const KEYS: usize = 20_000;
const CASES: u32 = if cfg!(target_arch = "wasm32") { 2 } else { 24 };

/// A world with everything under control.
struct Controlled {
    now: u64,
    random: u64,
    open: Vec<(usize, Admission)>,
}

impl Controlled {
    fn at(seconds: u64) -> Self {
        Self { now: seconds * 1_000, random: 0, open: Vec::new() }
    }
}

impl World for Controlled {
    fn now(&self) -> u64 {
        self.now
    }

    fn random(&mut self) -> u64 {
        self.random
    }

    fn admission(&mut self, breaker: usize, _: &Policy) -> Admission {
        let found = self.open.iter().find(|(number, _)| *number == breaker);
        found.map_or(Admission::Closed, |(_, admission)| *admission)
    }
}

fn target(loaded: &Loaded, request: &MemoryRequest, world: &mut impl World) -> usize {
    match loaded.table.decide(request, world).outcome {
        Outcome::Routed(choice) => choice.target,
        other => panic!("{other:?}"),
    }
}

/// A rule that is sticky by the header `user`, with these weights in hundredths.
fn sticky(weights: &[u64]) -> Loaded {
    let upstreams: Vec<_> = weights
        .iter()
        .enumerate()
        .map(|(index, weight)| json!({ "name": format!("u{index}"), "weight": *weight as f64 / 100.0 }))
        .collect();
    loaded(&json!({ "rules": [{
        "name": "sticky", "hash_on": "header", "hash_on_header": "user", "upstream": upstreams,
        "weight_total": weights.iter().sum::<u64>().div_ceil(100).max(1),
    }] }))
}

fn assign(loaded: &Loaded, salt: u64) -> Vec<usize> {
    let mut world = Controlled::at(0);
    (0..KEYS)
        .map(|key| {
            let request = MemoryRequest::get("/").header("user", format!("{salt}-{key}"));
            target(loaded, &request, &mut world)
        })
        .collect()
}

fn moved(before: &[usize], after: &[usize]) -> f64 {
    let moved = before.iter().zip(after).filter(|(before, after)| before != after).count();
    moved as f64 / before.len() as f64
}

fn shares(weights: &[u64]) -> Vec<f64> {
    let total: u64 = weights.iter().sum();
    weights.iter().map(|weight| *weight as f64 / total as f64).collect()
}

fn run<S: Strategy>(strategy: S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    TestRunner::new_with_rng(config, random).run(&strategy, test).unwrap();
}

/// Weights that add up to a whole number of units, so that nothing stays with the own upstream.
fn weights() -> impl Strategy<Value = Vec<u64>> {
    proptest::collection::vec(1u64..100, 2..6)
        .prop_map(|weights| weights.into_iter().map(|weight| weight * 100).collect())
}

#[test]
fn the_share_of_keys_equals_the_weights() {
    run((weights(), any::<u64>()), |(weights, salt)| {
        let assigned = assign(&sticky(&weights), salt);
        for (index, share) in shares(&weights).iter().enumerate() {
            let found = assigned.iter().filter(|target| **target == index).count();
            // Up to five upstreams in each of the cases.
            let bounds = bounds(KEYS, *share, 5 * CASES as usize);
            prop_assert!(
                bounds.contains(&found),
                "{index}: {found}, not {bounds:?} in {weights:?}"
            );
        }
        Ok(())
    });
}

/// One weight grows, the others keep their proportions: the least that can move is the growth.
#[test]
fn a_growing_upstream_takes_only_its_growth_and_loses_nobody() {
    run((weights(), 1u64..60, any::<u64>()), |(before, growth, salt)| {
        let mut after = before.clone();
        after[0] += growth * 100;
        let (old, new) = (assign(&sticky(&before), salt), assign(&sticky(&after), salt));
        let grown = shares(&after)[0] - shares(&before)[0];
        let moved = moved(&old, &new);
        prop_assert!(moved <= grown + 0.005, "{moved} for {grown}");
        for (old, new) in old.iter().zip(&new) {
            prop_assert!(*old != 0 || *new == 0, "a key left the growing upstream");
            prop_assert!(old == new || *new == 0, "a key moved between others");
        }
        Ok(())
    });
}

/// The same seen from the other side, which is what a ramp of two upstreams does.
#[test]
fn two_upstreams_move_the_least_for_any_change() {
    run((0u64..=10_000, 0u64..=10_000, any::<u64>()), |(p, q, salt)| {
        let (old, new) =
            (assign(&sticky(&[p, 10_000 - p]), salt), assign(&sticky(&[q, 10_000 - q]), salt));
        let least = p.abs_diff(q) as f64 / 10_000.0;
        prop_assert!(moved(&old, &new) <= least + 0.005);
        let growing = if q >= p { 0 } else { 1 };
        prop_assert!(old.iter().zip(&new).all(|(old, new)| *old != growing || *new == growing));
        Ok(())
    });
}

/// Several weights change at once. No scheme without a memory reaches |p − q| for every such
/// change; the bound is that of maximally consistent sampling (Moulton and Jiang, 2018), and the
/// upstream that has grown most loses nobody.
#[test]
fn any_change_moves_as_little_as_a_memoryless_scheme_can() {
    let pair = (2usize..6).prop_flat_map(|count| {
        let weights = || proptest::collection::vec(1u64..100, count);
        (weights(), weights())
    });
    run((pair, any::<u64>()), |((before, after), salt)| {
        let scaled =
            |weights: &[u64]| weights.iter().map(|weight| weight * 100).collect::<Vec<_>>();
        let (old, new) =
            (assign(&sticky(&scaled(&before)), salt), assign(&sticky(&scaled(&after)), salt));
        let (p, q) = (shares(&before), shares(&after));
        let kept: f64 = (0..p.len())
            .map(|i| 1.0 / (0..p.len()).map(|j| (p[j] / p[i]).max(q[j] / q[i])).sum::<f64>())
            .sum();
        let moved = moved(&old, &new);
        prop_assert!(moved <= 1.0 - kept + 0.01, "{moved} where {} would do", 1.0 - kept);
        let growth = |index: usize| q[index] / p[index];
        let most = (0..p.len()).max_by(|a, b| growth(*a).total_cmp(&growth(*b))).unwrap();
        prop_assert!(old.iter().zip(&new).all(|(old, new)| *old != most || *new == most));
        Ok(())
    });
}

#[test]
fn an_upstream_without_weight_moves_nothing() {
    run((weights(), any::<u64>()), |(before, salt)| {
        let after: Vec<u64> = before.iter().copied().chain([0]).collect();
        prop_assert_eq!(assign(&sticky(&before), salt), assign(&sticky(&after), salt));
        Ok(())
    });
}

fn canary(more: Value) -> Loaded {
    let mut rule = json!({
        "name": "checkout",
        "upstream": [{ "name": "stable", "weight": 90 }, { "name": "canary", "weight": 10 }],
    });
    rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    loaded(&json!({ "rules": [rule] }))
}

/// Users of the golden vectors: 5 belongs to the canary, 6 to stable.
#[test]
fn every_source_of_a_key() {
    let get = MemoryRequest::get;
    let with_ip = |ip: &str| MemoryRequest { client: Some(ip.into()), ..get("/") };
    let cases: Vec<(Value, MemoryRequest, MemoryRequest)> = vec![
        (
            json!({ "hash_on": "header", "hash_on_header": "X-User" }),
            get("/").header("x-user", "user-5"),
            get("/").header("x-user", "user-6"),
        ),
        (
            json!({ "hash_on": "cookie", "hash_on_cookie": "uid" }),
            get("/").header("cookie", "uid=user-5"),
            get("/").header("cookie", "uid=user-6"),
        ),
        (
            json!({ "hash_on": "query_arg", "hash_on_query_arg": "uid" }),
            get("/?uid=user-5"),
            get("/?uid=user-6"),
        ),
        (
            json!({ "hash_on": "consumer" }),
            get("/").header("x-consumer-id", "user-5"),
            get("/").header("x-consumer-id", "user-6"),
        ),
        (json!({ "hash_on": "path" }), get("user-5?x=1"), get("user-6?x=5")),
        (json!({ "hash_on": "ip", "hash_fallback": "path" }), with_ip("user-5"), with_ip("user-6")),
        (
            json!({ "hash_on": "header", "hash_on_header": "x", "hash_fallback": "query_arg", "hash_fallback_query_arg": "u" }),
            get("/?u=user-5").header("x", ""),
            get("/?u=user-6"),
        ),
    ];
    for (fields, to_canary, to_stable) in cases {
        let loaded = canary(fields.clone());
        for random in [0, u64::MAX] {
            let mut world = Controlled { random, ..Controlled::at(0) };
            assert_eq!(target(&loaded, &to_canary, &mut world), 1, "{fields}");
            assert_eq!(target(&loaded, &to_stable, &mut world), 0, "{fields}");
        }
    }
}

#[test]
fn without_a_key_the_choice_is_random() {
    let loaded = canary(json!({ "hash_on": "header", "hash_on_header": "x-user" }));
    for (random, expected) in [(0, 0), (u64::MAX, 1)] {
        let mut world = Controlled { random, ..Controlled::at(0) };
        assert_eq!(target(&loaded, &MemoryRequest::get("/"), &mut world), expected);
    }
}

#[test]
fn a_missing_cookie_is_issued_and_leads_to_the_same_upstream() {
    let loaded = canary(
        json!({ "hash_on": "cookie", "hash_on_cookie": "uid", "hash_on_cookie_path": "/shop" }),
    );
    let cookie = loaded.table.rules()[0].cookie().expect("a cookie");
    assert_eq!((&*cookie.name, &*cookie.path), ("uid", "/shop"));
    let mut seen = [false; 2];
    for random in 0..200 {
        let mut world = Controlled { random, ..Controlled::at(0) };
        let request = MemoryRequest::get("/").header("cookie", "other=1; uid=");
        let verdict = loaded.table.decide(&request, &mut world);
        let id = verdict.issued.expect("a cookie is issued");
        assert_eq!(id, u128::from(random) << 64 | u128::from(random));
        let again = MemoryRequest::get("/").header("cookie", format!("uid={}", format_id(id)));
        let second = loaded.table.decide(&again, &mut Controlled::at(0));
        assert_eq!(verdict.outcome, second.outcome);
        assert_eq!(second.issued, None);
        if let Outcome::Routed(choice) = second.outcome {
            seen[choice.target] = true;
        }
    }
    assert_eq!(seen, [true; 2]);
    assert_eq!(canary(json!({})).table.rules()[0].cookie(), None);
}

#[test]
fn a_ramp_sends_no_user_back() {
    let loaded = canary(json!({
        "hash_on": "header", "hash_on_header": "user",
        "upstream": [{ "name": "stable", "weight": 95 }, { "name": "canary", "weight": 5 }],
        "rollout": { "start": 1_000, "duration": "100s", "steps": 20, "to": { "canary": 50 } },
    }));
    let users: Vec<_> =
        (0..2_000).map(|user| MemoryRequest::get("/").header("user", user.to_string())).collect();
    let mut on_canary = vec![false; users.len()];
    let mut previous = 0;
    for seconds in [0, 999, 1_000, 1_025, 1_050, 1_075, 1_100, 99_999] {
        let mut world = Controlled::at(seconds);
        for (user, was) in users.iter().zip(&mut on_canary) {
            let is = target(&loaded, user, &mut world) == 1;
            assert!(is || !*was, "sent back at {seconds}");
            *was = is;
        }
        let count = on_canary.iter().filter(|on| **on).count();
        assert!(count >= previous);
        previous = count;
    }
    assert!(bounds(users.len(), 0.5, 1).contains(&previous), "{previous}");
}

#[test]
fn rollouts_at_the_edges_of_the_clock() {
    let stages = json!([
        { "after": 0, "weights": { "canary": 20 } },
        { "after": "1m", "weights": { "canary": 40 } },
        { "after": "1m", "weights": { "canary": 60 } },
    ]);
    let at = |start: Value, seconds: u64| {
        let loaded = canary(json!({ "rollout": { "start": start, "stages": stages } }));
        let shares = loaded.table.rules()[0].shares(&mut Controlled::at(seconds));
        shares[1].to_string()
    };
    let start = 1_767_225_600;
    for text in [
        json!(start),
        json!("1767225600"),
        json!("2026-01-01T00:00:00Z"),
        json!("2026-01-01T02:00:00+02:00"),
    ] {
        assert_eq!(at(text.clone(), start - 1), "10", "in the future: as configured");
        assert_eq!(at(text.clone(), start), "20");
        assert_eq!(at(text.clone(), start + 59), "20");
        assert_eq!(
            at(text.clone(), start + 60),
            "60",
            "the last of two stages at the same instant"
        );
        assert_eq!(at(text.clone(), start + 999_999), "60", "in the past: the last stage");
        assert_eq!(at(text, start + 1), "20", "a clock that jumps back is believed");
    }
}

fn with_breaker(fallback: Value) -> Loaded {
    let mut breaker = json!({ "max_error_rate": 0.5 });
    if !fallback.is_null() {
        breaker["fallback"] = fallback;
    }
    canary(json!({
        "upstream": [{ "name": "a", "weight": 60 }, { "name": "b", "weight": 20 }, { "name": "c", "weight": 20 }],
        "circuit_breaker": breaker,
    }))
}

#[test]
fn an_open_breaker_gives_its_share_away() {
    use Admission::{HalfOpen, Open};
    let shares = |fallback: Value, open: &[(usize, Admission)]| {
        let loaded = with_breaker(fallback);
        let mut world = Controlled { open: open.to_vec(), ..Controlled::at(0) };
        let rule = &loaded.table.rules()[0];
        let shares = rule.shares(&mut world);
        let named = rule.targets().iter().zip(shares);
        named
            .filter(|(_, share)| share.in_hundredths() > 0)
            .map(|(target, share)| format!("{}={share}", target.name().unwrap_or("own")))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(shares(json!(null), &[]), "a=60 b=20 c=20");
    // In proportion: weights are relative to their sum.
    assert_eq!(shares(json!(null), &[(1, Open)]), "a=60 c=20");
    assert_eq!(shares(json!(null), &[(1, HalfOpen)]), "a=60 b=2 c=20");
    assert_eq!(shares(json!("a"), &[(1, Open)]), "a=80 c=20");
    assert_eq!(shares(json!("a"), &[(1, HalfOpen)]), "a=78 b=2 c=20");
    assert_eq!(shares(json!("elsewhere"), &[(1, Open)]), "a=60 c=20 elsewhere=20");
    // The fallback itself is never taken out.
    assert_eq!(shares(json!("a"), &[(0, Open), (1, Open), (2, Open)]), "a=100");
    assert_eq!(shares(json!(null), &[(0, Open), (1, Open), (2, Open)]), "own=100");
    // Nor does a probe get everything because no other is left.
    assert_eq!(shares(json!(null), &[(0, HalfOpen), (1, Open), (2, Open)]), "a=6 own=94");
}

#[test]
fn breakers_have_numbers_of_their_own() {
    let rule = |weight: u64| {
        json!({
            "weight": weight,
            "circuit_breaker": { "max_error_rate": 0.1, "min_requests": weight },
            "upstream": [{ "name": "a", "weight": 50 }, { "name": "b", "weight": 50 }],
        })
    };
    let loaded = loaded(&json!({ "rules": [rule(1), rule(3), rule(2)] }));
    let table = &loaded.table;
    assert_eq!(table.breakers(), 9); // a, b and the own upstream
    for (position, rule) in table.rules().iter().enumerate() {
        for target in 0..rule.targets().len() {
            let choice = tse_route::engine::Choice { rule: position, target };
            let (number, policy) = table.breaker(choice).expect("a breaker");
            assert_eq!(number, position * 3 + target);
            assert_eq!(table.policy(number), Some(policy));
        }
    }
}

#[test]
fn a_fallback_has_no_breaker() {
    let loaded = with_breaker(json!("b"));
    let of = |target| loaded.table.breaker(tse_route::engine::Choice { rule: 0, target }).is_some();
    assert_eq!([of(0), of(1), of(2)], [true, false, true]);
}
