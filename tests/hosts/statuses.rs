//! Hosts that do not answer as they should: whatever they say, the filter lives on.

use crate::configs::{canary, everything};
use crate::harness::{
    Answers, Envoy, Faults, Gateway, Host, Kong, Phase, SharedMemory, Start, imported,
};
use serde_json::{Value, json};
use std::time::Duration;

/// Every status of the ABI, the first one behind them, and some that are nonsense.
const STATUSES: [u32; 17] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 255, 1 << 31, u32::MAX];

const PHASES: [Phase; 6] = [
    Phase::Root,
    Phase::RequestHeaders,
    Phase::RequestBody,
    Phase::RequestTrailers,
    Phase::ResponseHeaders,
    Phase::Log,
];

/// Headers that are not what they say: too many, too long, cut off.
fn garbage() -> Vec<Vec<u8>> {
    let words =
        |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
    vec![
        b"\0".to_vec(),
        words(&[1]),
        words(&[1, 6]),
        words(&[1, 6, 1]),
        words(&[u32::MAX, 6, 1]),
        words(&[2, u32::MAX, u32::MAX, 6, 1]),
        words(&[1, u32::MAX - 3, 1, 0]),
        [words(&[1, 6, 300]), b"cookie\0group=beta\0".to_vec()].concat(),
        [words(&[9, 6, 10]), b"cookie\0group=beta\0".to_vec()].concat(),
        vec![0xff; 4096],
    ]
}

/// Refusals, and successes that are none.
fn wrong_answers() -> impl Iterator<Item = Answers> {
    let sizes = [0, 1, u32::MAX].map(|size| Answers::NoMemory { size });
    let bytes = garbage().into_iter().map(Answers::Bytes);
    STATUSES.map(Answers::Status).into_iter().chain(sizes).chain(bytes)
}

fn refusals() -> impl Iterator<Item = Answers> {
    STATUSES.into_iter().filter(|status| *status != 0).map(Answers::Status)
}

/// Faults of one import after the other, and of all at once.
fn faults(answers: impl Iterator<Item = Answers>) -> impl Iterator<Item = Faults> {
    answers.flat_map(|answers| {
        let everywhere = Faults::everywhere(answers.clone());
        imported().map(move |import| Faults::of(import, answers.clone())).chain([everywhere])
    })
}

/// Requests that read everything and do everything.
fn exercise(host: &mut Host) -> Result<(), String> {
    let plain = host.request().path("/v2/x?age=29&x=%zz").header("version", "1.10.0").try_send();
    plain?;
    let forged =
        host.request().header("X-Tse-Route-Upstream", "blue").client("10.1.2.3").try_send();
    forged?;
    let with_body = host
        .request()
        .method("POST")
        .header("cookie", "a=1")
        .header("cookie", "group=staff")
        .header("user-agent", "curl/8")
        .header("tag", "b7")
        .header("baggage", "x=1,lane=b2")
        .body(r#"{"user":{"#)
        .body(r#""id":42}}"#)
        .trailers()
        .try_send();
    with_body?;
    let large = host.request().method("PUT").body([b'x'; 9000]).tries(&[502, 500]).try_send();
    large?;
    host.request().refused().try_send()?;
    host.advance(Duration::from_secs(1)); // an upstream that was taken out is probed
    Ok(())
}

fn bridged_with_zone() -> Kong {
    Kong::bridged().shared_memory(&SharedMemory::default())
}

fn alone_with_zone() -> Kong {
    Kong::alone().shared_memory(&SharedMemory::default())
}

#[test]
fn what_is_exercised_opens_breakers_in_shared_memory() {
    let memory = SharedMemory::default();
    let mut host = Kong::bridged().shared_memory(&memory).with(&everything());
    exercise(&mut host).unwrap();
    assert!(!memory.keys().is_empty());
    assert!(host.take_log().iter().any(|line| line.text.contains("state=open")));
}

/// Configurations that differ in what the filter asks of its host.
fn configurations() -> [Value; 4] {
    let with = |field: &str, value: Value| {
        let mut configuration = everything();
        configuration[field] = value;
        configuration
    };
    [
        everything(),
        with("route_by", json!("header")),
        with("response_headers", json!(false)),
        json!({ "rules": "none" }), // invalid
    ]
}

/// A worker that is sound when it is configured and at its first requests, and faulty after that.
fn survives_late_faults<G: Gateway + 'static>(gateway: impl Fn() -> G) {
    for configuration in configurations() {
        let mut host = gateway().start();
        if !host.configure(configuration.to_string()).unwrap() {
            continue; // Envoy does not take the invalid one
        }
        exercise(&mut host).unwrap();
        let phases = PHASES.map(|phase| Faults::everywhere(Answers::Status(10)).during(phase));
        for faults in faults(wrong_answers()).chain(phases) {
            host.set_faults(faults.clone());
            exercise(&mut host).unwrap_or_else(|failure| panic!("{faults:?}: {failure}"));
        }
        host.set_faults(Faults::none());
        exercise(&mut host).unwrap();
    }
}

/// A worker that is faulty from its start on, and sound later.
fn survives_early_faults<G: Gateway + 'static>(
    gateway: impl Fn() -> G,
    answers: impl Iterator<Item = Answers>,
) {
    for faults in faults(answers) {
        let survive = || {
            let mut host = gateway().start_with_faults(faults.clone())?;
            if host.configure(everything().to_string())? {
                exercise(&mut host)?;
            }
            host.set_faults(Faults::none());
            host.add(canary().to_string());
            exercise(&mut host)
        };
        survive().unwrap_or_else(|failure: String| panic!("{faults:?}: {failure}"));
    }
}

#[test]
fn envoy_may_answer_anything() {
    survives_late_faults(Envoy::new);
}

#[test]
fn kong_may_answer_anything() {
    survives_late_faults(bridged_with_zone);
}

#[test]
fn kong_without_bridge_may_answer_anything() {
    survives_late_faults(alone_with_zone);
}

#[test]
fn envoy_may_answer_anything_from_the_start() {
    survives_early_faults(Envoy::new, wrong_answers());
}

#[test]
fn kong_may_answer_anything_from_the_start() {
    survives_early_faults(bridged_with_zone, wrong_answers());
    survives_early_faults(alone_with_zone, refusals());
}

#[test]
fn a_worker_that_was_refused_everything_works_when_it_no_longer_is() {
    for status in STATUSES {
        let mut host = Kong::bridged().with(&canary());
        host.set_faults(Faults::everywhere(Answers::Status(status)));
        host.request().header("version", "1").send();
        host.set_faults(Faults::none());
        let outcome = host.request().header("version", "1").send();
        if ![0, 1].contains(&status) {
            assert_eq!(outcome.upstream, "canary", "after status {status}");
        }
    }
}

#[test]
fn a_configuration_that_is_withheld_is_no_empty_one() {
    let withheld = Faults::of("proxy_get_buffer_bytes", Answers::Status(10));
    let mut host = Envoy::new().start_with_faults(withheld.clone()).unwrap();
    assert_eq!(host.configure(canary().to_string()), Ok(false));
    assert!(host.take_errors()[1].contains("withheld"));
    let mut host = Kong::bridged().start_with_faults(withheld).unwrap();
    assert_eq!(host.configure(canary().to_string()), Ok(true));
    assert_eq!(host.request().send().error().as_deref(), Some("invalid-config"));
}

#[test]
fn gateways_may_answer_by_chance() {
    for seed in 0..100 {
        let survive = |mut host: Host| {
            exercise(&mut host)?; // it knows its gateway
            host.set_faults(Faults::random(seed));
            (0..5).try_for_each(|_| exercise(&mut host))
        };
        let gateways = [Envoy::new().with(&everything()), bridged_with_zone().with(&everything())];
        for host in gateways {
            survive(host).unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
        }
    }
}
