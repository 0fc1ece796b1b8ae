//! The commands as functions, as a page in a browser calls them.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use serde_json::{Value, json};
use tse_route_cli::api::Document;

const STICKY: &str = "
rules:
- name: checkout
  weight: 5
  hash_on: ip
  upstream: [{name: stable, weight: 90}, {name: canary, weight: 10}]
- name: ramp
  condition: {path: /ramp}
  rollout: {start: 1000, duration: 100, steps: 2, to: {b: 50}}
  weight: 9
  upstream: [{name: a}, {name: b, weight: 0}]
- name: guarded
  condition: {path: /guarded}
  circuit_breaker: {window: 10s, min_requests: 20, max_error_rate: 0.2, cooldown: 10s}
  weight: 8
  upstream: [{name: stable, weight: 50}, {name: canary, weight: 50}]
";

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().filter_map(Value::as_f64).collect()
}

#[test]
fn places_are_counted_in_utf_16() {
    let document = Document::read("description: '𝄞 é'\nrule: []\n");
    let checked = document.check();
    let fault = &checked["faults"][0];
    // The clef takes two units, four bytes and one column.
    assert_eq!((&fault["from"], &fault["to"]), (&json!(20), &json!(24)), "{fault}");
    assert_eq!((&fault["line"], &fault["column"]), (&json!(2), &json!(1)));
    assert_eq!(checked["configurations"][0]["usable"], json!(false));
}

#[test]
fn a_request_is_explained_at_a_time() {
    let mut document = Document::read(STICKY);
    for (at, share) in [(999_000, 0.0), (1_050_000, 0.25), (1_100_000, 0.5)] {
        let found = document.explain(0, r#"{"request": "GET /ramp"}"#, at).expect("a decision");
        let found = found["answer"]["probabilities"]["b"].as_f64().unwrap_or_default();
        assert!((found - share).abs() < 1e-9, "{at}: {found}");
    }
    // The case has a time of its own.
    let case = r#"{"request": "GET /ramp", "at": 1050, "expect": {"rule": {"weight": 8}}}"#;
    let found = document.explain(0, case, 0).expect("a decision");
    assert_eq!(found["differences"], json!(["rule.weight: found 9; expected 8"]));
    assert!(document.explain(0, r#"{"request": "GET"}"#, 0).is_err());
    assert!(document.explain(1, r#"{"request": "GET /"}"#, 0).is_err());
}

#[test]
fn a_simulation_is_sent_in_portions() {
    let document = Document::read(STICKY);
    let mut running = document.simulation(0, None, 30_000, 0).expect("a simulation");
    assert_eq!(running.advance(10_000), 10_000);
    assert_eq!(running.report()["requests"], json!(10_000));
    assert_eq!(running.advance(u64::MAX), 30_000);
    let report = running.report();
    // Rules in the order in which they are tried, each with a third of the requests.
    let of_checkout = &report["rules"][2];
    assert_eq!(of_checkout["requests"], json!(10_000));
    assert_eq!(report["without"], json!([]));
}

#[test]
fn shares_follow_the_clock() {
    let document = Document::read(STICKY);
    let shares = document.shares(0, 1, (1_000_000, 1_100_000), 5).expect("shares");
    assert_eq!(shares["upstreams"], json!(["a", "b", "(service)"]), "{shares}");
    assert_eq!(numbers(&shares["shares"][1]), [0.0, 0.0, 0.25, 0.25, 0.5]);
}

#[test]
fn only_as_many_clients_move_as_must() {
    let document = Document::read(STICKY);
    let moves = document.moves(0, 0, &[7_000, 3_000], 20_000, 0).expect("moves");
    let (moved, necessary) = (&moves["moves"]["moved"], &moves["moves"]["necessary"]);
    assert_eq!(moved, necessary, "{moves}");
    assert!(moved.as_u64().is_some_and(|moved| moved > 0));
    for way in moves["moves"]["ways"].as_array().expect("ways") {
        assert_eq!((&way["from"], &way["to"]), (&json!("stable"), &json!("canary")));
    }
    assert_eq!(moves["clients"].as_array().map(Vec::len), Some(240));
    let refused = document.moves(0, 0, &[9_000, 3_000], 10, 0).expect_err("too much");
    assert!(refused.contains("rules[0]"), "{refused}");
}

#[test]
fn a_failing_upstream_is_taken_out_and_comes_back() {
    let document = Document::read(STICKY);
    let outage = document.outage(0, 2, "canary", 0.9, 0).expect("an outage");
    let canary = numbers(&outage["shares"][1]);
    let states = outage["states"].as_array().expect("states");
    assert_eq!((canary.len(), states.len()), (120, 120));
    assert!(canary[..20].iter().all(|share| *share > 0.0), "{canary:?}");
    assert!(canary[25..75].contains(&0.0), "{canary:?}");
    assert_eq!(states.last(), Some(&json!("closed")), "{states:?}");
    // An upstream without faults stays in.
    let well = document.outage(0, 2, "canary", 0.0, 0).expect("no outage");
    assert!(well["states"].as_array().is_some_and(|all| all.iter().all(|s| s == "closed")));
    assert!(document.outage(0, 0, "canary", 0.5, 0).is_err());
}
