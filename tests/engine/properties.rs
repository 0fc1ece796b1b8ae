//! What always holds.

use super::chance::bounds;
#[cfg(target_arch = "wasm32")]
use super::support::test;
use super::support::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use std::cmp::Ordering;
use tse_route::engine::Outcome;

/// Fewer cases where every one of them crosses into Node.
fn runner() -> TestRunner {
    let cases = if cfg!(target_arch = "wasm32") { 64 } else { 1_024 };
    TestRunner::new_with_rng(
        Config { cases, failure_persistence: None, ..Config::default() },
        proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        ),
    )
}

fn asks(operator: &str, value: &str, found: Option<&[u8]>) -> bool {
    let condition = json!({ "header": { "key": "p", "operator": operator, "value": value } });
    let request = found.into_iter().fold(MemoryRequest::get("/"), |r, value| r.header("p", value));
    holds(&condition, &request)
}

#[test]
fn negative_operators_are_exact_negations_on_any_bytes() {
    let found = proptest::option::of(prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..12),
        "[abc,]{0,4}".prop_map(String::into_bytes),
    ]);
    runner()
        .run(&("[abc,]{0,4}", found), |(value, found)| {
            let found = found.as_deref();
            for (positive, negative) in [
                ("eq", "ne"),
                ("in", "not in"),
                ("regex", "not regex"),
                ("contains", "not contains"),
                ("exists", "not exists"),
            ] {
                let both =
                    asks(positive, &value, found) as u8 + asks(negative, &value, found) as u8;
                prop_assert_eq!(both, 1, "{} {} on {:?}", positive, value, found);
            }
            Ok(())
        })
        .unwrap();
}

/// The order of two values, as the four operators tell it; none where they are not comparable.
fn order(left: &str, right: &str) -> Option<Ordering> {
    let ask = |operator| asks(operator, right, Some(left.as_bytes()));
    match (ask("lt"), ask("le"), ask("ge"), ask("gt")) {
        (true, true, false, false) => Some(Ordering::Less),
        (false, true, true, false) => Some(Ordering::Equal),
        (false, false, true, true) => Some(Ordering::Greater),
        (false, false, false, false) => None,
        contradiction => panic!("{left} against {right}: {contradiction:?}"),
    }
}

fn is_total_order(a: &str, b: &str, c: &str) -> Result<(), TestCaseError> {
    let of = |left, right| {
        order(left, right).ok_or_else(|| TestCaseError::fail(format!("{left} and {right}")))
    };
    prop_assert_eq!(of(a, a)?, Ordering::Equal);
    prop_assert_eq!(of(a, b)?, of(b, a)?.reverse());
    if of(a, b)?.is_le() && of(b, c)?.is_le() {
        prop_assert!(of(a, c)?.is_le(), "{} <= {} <= {}", a, b, c);
    }
    if of(a, b)?.is_eq() {
        prop_assert_eq!(of(a, c)?, of(b, c)?);
    }
    Ok(())
}

#[test]
fn decimals_are_totally_ordered() {
    let decimal = || "[+-]?(0{0,2}[0-9]{1,22}([.][0-9]{0,5})?|[.][0-9]{1,3})";
    runner()
        .run(&(decimal(), decimal(), decimal()), |(a, b, c)| is_total_order(&a, &b, &c))
        .unwrap();
    let small = || "-?[01]([.][01]0?)?";
    runner().run(&(small(), small(), small()), |(a, b, c)| is_total_order(&a, &b, &c)).unwrap();
}

#[test]
fn versions_are_totally_ordered() {
    let version = || "v[0-2]([.](0|1|02|10)){0,3}(-(a|1|10|rc[.]1|a-b))?([+]b1)?";
    runner()
        .run(&(version(), version(), version()), |(a, b, c)| is_total_order(&a, &b, &c))
        .unwrap();
}

#[test]
fn integers_are_ordered_as_integers() {
    runner()
        .run(&(any::<i64>(), any::<i64>()), |(a, b)| {
            prop_assert_eq!(order(&a.to_string(), &b.to_string()), Some(a.cmp(&b)));
            Ok(())
        })
        .unwrap();
}

#[test]
fn any_bytes_anywhere_are_answered() {
    let names = ["header", "query", "cookie", "baggage", "body"];
    let mut conditions: Vec<_> = ["eq", "gt", "regex", "in", "contains", "path_prefix"]
        .iter()
        .flat_map(|operator| {
            names
                .iter()
                .map(move |l| json!({ *l: { "key": "p", "operator": operator, "value": "1" } }))
        })
        .collect();
    conditions.push(json!({ "system": [
        { "key": "domain", "operator": "eq", "value": "a" },
        { "key": "clientIP", "operator": "eq", "value": "::1" },
        { "key": "httpScheme", "operator": "eq", "value": "a" },
    ] }));
    conditions.push(json!({ "path": "/a", "method": "GET" }));
    let rules: Vec<_> = conditions
        .iter()
        .map(|condition| json!({ "match_type": "OR", "condition": condition, "upstream": [{ "name": "c" }] }))
        .collect();
    let loaded = loaded(&json!({ "rules": rules }));
    let bytes = || {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40),
            "[/?&=%;+p\"{}:, ]{0,20}".prop_map(String::into_bytes),
        ]
    };
    runner()
        .run(&(bytes(), bytes(), bytes(), bytes()), |(a, b, c, d)| {
            let request = MemoryRequest {
                host: Some(a.clone()),
                scheme: Some(b.clone()),
                client: Some(c.clone()),
                method: Some(d.clone()),
                ..MemoryRequest::get(&a)
            };
            let request = request
                .header("p", &b)
                .header("cookie", &c)
                .header("baggage", &c)
                .header("content-type", &a)
                .body(&d);
            decide(&loaded, &request);
            Ok(())
        })
        .unwrap();
}

#[test]
fn the_choice_meets_its_weights() {
    const DRAWS: usize = 100_000;
    let splits = [
        (1, vec![20.0, 30.0, 50.0]),
        (2, vec![0.5, 99.5]),
        (3, vec![33.33, 33.33, 33.34]),
        (4, vec![1.0, 2.0, 3.0, 4.0, 90.0]),
        (5, vec![25.0, 0.0, 75.0]),
    ];
    let shares = splits.iter().map(|(_, weights)| weights.len()).sum();
    for (seed, weights) in splits {
        let upstreams: Vec<_> = weights
            .iter()
            .enumerate()
            .map(|(index, weight)| json!({ "name": format!("u{index}"), "weight": weight }))
            .collect();
        let loaded = loaded(&json!({ "rules": [{ "upstream": upstreams }] }));
        let mut random = fastrand::Rng::with_seed(seed);
        let mut counts = vec![0; weights.len()];
        for _ in 0..DRAWS {
            match loaded.table.decide(&MemoryRequest::default(), &mut || random.u64(..)).outcome {
                Outcome::Routed(choice) => counts[choice.target] += 1,
                other => panic!("{other:?}"),
            }
        }
        for (weight, count) in weights.iter().zip(&counts) {
            let bounds = bounds(DRAWS, weight / 100.0, shares);
            assert!(bounds.contains(count), "{weights:?} {counts:?}: not {bounds:?}");
        }
    }
}
