//! Progressive delivery: the filter sticks, ramps up and falls back, in both gateways.

use crate::chance::bounds;
use crate::configs::{eq, rule};
use crate::harness::{Builder, Envoy, Host, Kong, OWN, Outcome, SharedMemory, Start};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// A worker of each gateway.
fn both(configuration: &Value) -> [Host; 2] {
    [Envoy::new().with(configuration), Kong::bridged().with(configuration)]
}

/// One rule with these fields besides its name and its upstreams, a canary and a blue one.
fn split(canary: u32, blue: u32, fields: Value) -> Value {
    let mut rule = fields;
    rule["name"] = "split".into();
    rule["weight"] = 10.into();
    rule["upstream"] =
        json!([{ "name": "canary", "weight": canary }, { "name": "blue", "weight": blue }]);
    json!({ "rules": [rule] })
}

/// The upstreams of so many users who are told apart by a header.
fn upstreams_of_users(host: &mut Host, users: u32) -> Vec<String> {
    let send = |user| host.request().header("X-User", format!("user-{user}")).send().upstream;
    (0..users).map(send).collect()
}

fn cookies_set(outcome: &Outcome) -> Vec<String> {
    let values = outcome.response.all("set-cookie");
    values.map(|value| value.escape_ascii().to_string()).collect()
}

#[test]
fn a_header_sticks_in_every_worker_of_every_gateway() {
    let configuration = split(30, 70, json!({ "hash_on": "header", "hash_on_header": "x-user" }));
    let mut workers = both(&configuration).into_iter().chain(both(&configuration));
    let expected = upstreams_of_users(&mut workers.next().unwrap(), 40);
    let distinct: BTreeSet<_> = expected.iter().map(String::as_str).collect();
    assert_eq!(distinct, BTreeSet::from(["blue", "canary"]));
    for (seed, mut worker) in (2..).zip(workers) {
        worker.seed(seed);
        assert_eq!(upstreams_of_users(&mut worker, 40), expected, "seed {seed}");
    }
}

fn by_cookie() -> Value {
    let cookie =
        json!({ "hash_on": "cookie", "hash_on_cookie": "lane", "hash_on_cookie_path": "/shop" });
    split(50, 50, cookie)
}

/// The id that the first random bits of a worker come to.
const FIRST_ID: &str = "e408307c6540ee0516131e16502ae820";

#[test]
fn a_cookie_is_issued_once_and_recognised() {
    for mut host in both(&by_cookie()) {
        let mut seen = BTreeSet::new();
        for round in 0..20 {
            let first = host.request().answered_with("set-cookie", "a=1").send();
            let issued = cookies_set(&first);
            let [own, cookie] = &issued[..] else { panic!("one more: {issued:?}") };
            assert_eq!(own, "a=1", "the upstream's own cookie stays");
            let (pair, attributes) = cookie.split_once(';').unwrap();
            assert_eq!(attributes, " Path=/shop; HttpOnly; SameSite=Lax");
            let id = pair.strip_prefix("lane=").unwrap();
            if round == 0 {
                assert_eq!(id, FIRST_ID, "of the worker's own random bits");
            }
            let again = host.request().header("cookie", format!("x=1; {pair}")).send();
            assert_eq!(again.upstream, first.upstream);
            assert_eq!(cookies_set(&again), [""; 0]);
            assert!(seen.insert(id.to_owned()), "an id of its own for every client");
        }
    }
    let mut other = Envoy::new().with(&by_cookie());
    other.seed(2);
    assert!(!cookies_set(&other.request().send())[0].contains(FIRST_ID));
}

#[test]
fn a_cookie_is_issued_once_where_the_request_is_decided_twice() {
    let mut configuration = by_cookie();
    let on_body = rule(20, eq("body", "uid", "1"), "green");
    configuration["rules"].as_array_mut().unwrap().push(on_body);
    let mut host = Kong::bridged().with(&configuration);
    for _ in 0..20 {
        let first = host.request().method("POST").body(r#"{"uid":2}"#).send();
        let issued = cookies_set(&first);
        assert_eq!(issued.len(), 1, "{issued:?}");
        let (pair, _) = issued[0].split_once(';').unwrap();
        let again = host.request().header("cookie", pair).send();
        assert_eq!(again.upstream, first.upstream);

        let overruled = host.request().method("POST").body(r#"{"uid":1}"#).send();
        assert_eq!(overruled.upstream, "green");
        assert_eq!(cookies_set(&overruled), [""; 0], "that rule needs none");
    }
}

#[test]
fn a_rollout_goes_by_the_clock() {
    const START: u64 = 1_800_000_000;
    const USERS: u32 = 400;
    let configuration = split(
        0,
        100,
        json!({
            "hash_on": "header", "hash_on_header": "x-user",
            "rollout": { "start": START, "duration": "100s", "steps": 4, "to": { "canary": 100 } },
        }),
    );
    for mut host in both(&configuration) {
        let mut at = |seconds: i64| -> BTreeSet<usize> {
            host.set_clock(Duration::from_secs(START.checked_add_signed(seconds).unwrap()));
            let upstreams = upstreams_of_users(&mut host, USERS).into_iter().enumerate();
            upstreams.filter(|(_, upstream)| upstream == "canary").map(|(user, _)| user).collect()
        };
        assert_eq!(at(-1).len(), 0);
        assert_eq!(at(24).len(), 0, "the first step is not yet taken");
        let (quarter, half) = (at(25), at(50));
        assert!(bounds(USERS as usize, 0.25, 4).contains(&quarter.len()), "{quarter:?}");
        assert!(bounds(USERS as usize, 0.5, 4).contains(&half.len()), "{half:?}");
        assert!(half.is_superset(&quarter), "nobody is sent back");
        assert_eq!(at(100).len(), USERS as usize);
        assert_eq!(at(1_000_000).len(), USERS as usize);
        // The clock jumps back.
        assert_eq!(at(25), quarter);
        assert_eq!(at(-1_000_000).len(), 0);
    }
}

/// All of the traffic to the canary, as long as fewer than half of at least four answers fail.
fn guarded() -> Value {
    json!({ "rules": [{
        "name": "guarded", "weight": 10, "upstream": [{ "name": "canary" }],
        "circuit_breaker": {
            "window": "10s", "min_requests": 4, "max_error_rate": 0.5, "cooldown": "30s",
        },
    }] })
}

/// The upstreams of so many requests like this one.
fn upstreams(
    host: &mut Host,
    count: usize,
    request: impl Fn(Builder<'_>) -> Builder<'_>,
) -> Vec<String> {
    (0..count).map(|_| request(host.request()).send().upstream).collect()
}

fn plain(request: Builder<'_>) -> Builder<'_> {
    request
}

fn failing(request: Builder<'_>) -> Builder<'_> {
    request.status(500)
}

fn refused(request: Builder<'_>) -> Builder<'_> {
    request.refused()
}

fn warnings(host: &mut Host) -> Vec<String> {
    let lines = host.take_log().into_iter().filter(|line| line.level == 3);
    lines.map(|line| line.text).collect()
}

fn change(state: &str) -> String {
    format!("circuit breaker: rule=\"guarded\" upstream=canary state={state}")
}

#[test]
fn an_upstream_that_fails_is_out_until_a_probe_succeeds() {
    for mut host in both(&guarded()) {
        warnings(&mut host);
        assert_eq!(upstreams(&mut host, 4, failing), ["canary"; 4]);
        assert_eq!(upstreams(&mut host, 50, plain), [OWN; 50]);
        host.advance(Duration::from_millis(29_999));
        assert_eq!(upstreams(&mut host, 50, plain), [OWN; 50]);
        assert_eq!(warnings(&mut host), [change("open")]);

        // A tenth of the traffic probes; one probe is enough here, and it fails.
        let probe = |host: &mut Host, request: fn(Builder<'_>) -> Builder<'_>| {
            // Of a tenth none is among 140 less often than once in a million times.
            let sent = (1..=140).find(|_| request(host.request()).send().upstream == "canary");
            assert!(sent.is_some(), "never probed");
        };
        host.advance(Duration::from_millis(1));
        probe(&mut host, failing);
        assert_eq!(upstreams(&mut host, 50, plain), [OWN; 50]);
        assert_eq!(warnings(&mut host), [change("half-open"), change("open")]);

        host.advance(Duration::from_secs(30));
        probe(&mut host, plain);
        assert_eq!(upstreams(&mut host, 50, plain), ["canary"; 50]);
        assert_eq!(warnings(&mut host), [change("half-open"), change("closed")]);
    }
}

#[test]
fn a_tenth_of_the_traffic_probes() {
    let mut configuration = guarded();
    // So many that the probes of this test are not judged yet.
    configuration["rules"][0]["circuit_breaker"]["min_requests"] = 3_000.into();
    for mut host in both(&configuration) {
        upstreams(&mut host, 3_000, failing);
        host.advance(Duration::from_secs(30));
        let probes = upstreams(&mut host, 1_000, plain);
        let count = probes.iter().filter(|upstream| *upstream == "canary").count();
        let bounds = bounds(1_000, 0.1, 2);
        assert!(bounds.contains(&count), "{count}, not {bounds:?}");
    }
}

#[test]
fn changes_of_a_breaker_are_counted() {
    let mut host = Envoy::new().with(&guarded());
    upstreams(&mut host, 6, failing);
    assert_eq!(host.metric("tse_route_breaker_changes_total;state=open"), Some(1));
}

/// Whether an upstream that answers like this is taken out.
fn opens(host: &mut Host, request: impl Fn(Builder<'_>) -> Builder<'_>) -> bool {
    assert_eq!(upstreams(host, 4, request), ["canary"; 4]);
    host.request().send().upstream != "canary"
}

#[test]
fn what_counts_as_a_failure() {
    for (statuses, expected) in [
        (&[200][..], false),
        (&[404], false),
        (&[499], false),
        (&[500], true),
        (&[503], true),
        (&[502, 200], false), // the last try counts
        (&[502, 504], true),
    ] {
        for mut host in both(&guarded()) {
            let opened = opens(&mut host, |request| request.tries(statuses));
            assert_eq!(opened, expected, "{statuses:?}");
        }
    }
}

#[test]
fn a_refused_connection_is_a_failure_even_where_the_filter_is_not_called() {
    let mut envoy = Envoy::new().with(&guarded());
    assert!(opens(&mut envoy, refused));
    assert!(opens(&mut Kong::bridged().with(&guarded()), refused));
}

#[test]
fn the_bridge_tells_each_configuration_of_its_own_failures() {
    let mut host = Kong::bridged().start();
    let (sick, sound) = (host.add(guarded().to_string()), host.add(guarded().to_string()));
    for _ in 0..4 {
        host.request_through(sick).refused().send();
    }
    assert_eq!(host.request_through(sound).send().upstream, "canary");
    assert_eq!(host.request_through(sick).send().upstream, OWN);
}

#[test]
fn slow_answers_count() {
    let mut configuration = guarded();
    configuration["rules"][0]["circuit_breaker"] =
        json!({ "min_requests": 4, "max_latency": "100ms", "max_slow_rate": 0.5 });
    for (milliseconds, expected) in [(100, false), (101, true)] {
        for mut host in both(&configuration) {
            let latency = Duration::from_millis(milliseconds);
            let opened = opens(&mut host, |request| request.latency(latency));
            assert_eq!(opened, expected, "{milliseconds} ms");
        }
    }
}

#[test]
fn failures_leave_the_window() {
    for mut host in both(&guarded()) {
        assert_eq!(upstreams(&mut host, 3, failing), ["canary"; 3]);
        host.advance(Duration::from_secs(11));
        assert_eq!(upstreams(&mut host, 1, failing), ["canary"; 1]);
        assert_eq!(upstreams(&mut host, 1, plain), ["canary"; 1]);
    }
}

#[test]
fn the_fallback_takes_over_and_is_never_taken_out() {
    let mut configuration = guarded();
    let rule = &mut configuration["rules"][0];
    rule["upstream"] = json!([
        { "name": "canary", "weight": 100 }, { "name": "blue", "weight": 0 },
        { "name": "green", "weight": 0 },
    ]);
    rule["circuit_breaker"]["fallback"] = "green".into();
    for mut host in both(&configuration) {
        assert!(opens(&mut host, failing));
        assert_eq!(upstreams(&mut host, 20, failing), ["green"; 20]);
        assert_eq!(upstreams(&mut host, 20, refused), ["green"; 20]);
        assert_eq!(upstreams(&mut host, 1, plain), ["green"]);
    }
}

#[test]
fn without_a_fallback_the_others_take_over() {
    let breaker = guarded()["rules"][0]["circuit_breaker"].clone();
    let configuration = split(50, 50, json!({ "circuit_breaker": breaker }));
    for mut host in both(&configuration) {
        let seen = upstreams(&mut host, 40, |request| request.failing_upstream("canary"));
        let failed = seen.iter().filter(|upstream| *upstream == "canary").count();
        assert_eq!(failed, 4, "{seen:?}");
        assert_eq!(upstreams(&mut host, 20, plain), ["blue"; 20]);
    }
}

#[test]
fn an_answer_of_another_upstream_is_not_booked() {
    let on_body = rule(20, eq("body", "uid", "1"), "green");
    for (upstream, reason) in [("nowhere", "unknown-upstream"), ("dead", "no-healthy-target")] {
        let mut configuration = guarded();
        configuration["rules"][0]["upstream"][0]["name"] = upstream.into();
        configuration["rules"].as_array_mut().unwrap().push(on_body.clone());
        let requests: [fn(Builder<'_>) -> Builder<'_>; 3] = [
            failing,
            refused,
            // The body confirms what was decided without it.
            |request| request.method("POST").body(r#"{"uid":2}"#).status(500),
        ];
        for request in requests {
            let mut host = Kong::bridged().dead_upstream("dead").with(&configuration);
            for _ in 0..10 {
                let outcome = request(host.request()).send();
                // With the breaker open the service's own upstream would be the choice.
                assert_eq!(outcome.error().as_deref(), Some(reason));
            }
        }
    }
}

fn shared() -> Value {
    let mut configuration = guarded();
    configuration["shared_memory"] = true.into();
    configuration
}

/// Longer than a worker goes by what it has read.
const STALE: Duration = Duration::from_millis(100);

/// Two workers of each gateway, with the memory that they have in common.
fn pairs(configuration: &Value) -> [(SharedMemory, [Host; 2]); 2] {
    let (envoy, kong) = (SharedMemory::default(), SharedMemory::default());
    let envoys = [0, 1].map(|_| Envoy::new().shared_memory(&envoy).with(configuration));
    let kongs = [0, 1].map(|_| Kong::bridged().shared_memory(&kong).with(configuration));
    [(envoy, envoys), (kong, kongs)]
}

#[test]
fn workers_that_share_memory_act_as_one() {
    for (memory, [mut one, mut two]) in pairs(&shared()) {
        assert_eq!(upstreams(&mut one, 2, failing), ["canary"; 2]);
        assert_eq!(upstreams(&mut two, 2, failing), ["canary"; 2]);
        assert_eq!(memory.keys().len(), 1, "one breaker, one key: {:?}", memory.keys());
        assert_eq!(upstreams(&mut two, 20, plain), [OWN; 20]);
        one.advance(STALE);
        assert_eq!(upstreams(&mut one, 20, plain), [OWN; 20]);
        // What is not a state is none.
        memory.overwrite(b"junk");
        one.advance(STALE);
        assert_eq!(upstreams(&mut one, 1, plain), ["canary"]);
    }
}

#[test]
fn workers_that_do_not_share_act_alone() {
    for (memory, [mut one, mut two]) in pairs(&guarded()) {
        assert!(opens(&mut one, failing));
        two.advance(STALE);
        assert_eq!(upstreams(&mut two, 1, plain), ["canary"]);
        assert_eq!(memory.keys(), [""; 0]);
    }
}

#[test]
fn a_change_that_comes_too_late_is_tried_eight_times() {
    const ERRORS: &str = "tse_route_errors_total;reason=shared-memory";
    let lost_answers = [Some(2), None]; // Kong's metrics are the bridge's
    for ((memory, [mut host, _]), counted) in pairs(&shared()).into_iter().zip(lost_answers) {
        host.request().send();
        host.take_log();
        for (rivals, tries, lost) in [(0, 1, 0), (1, 2, 0), (7, 8, 0), (8, 8, 1), (100, 8, 1)] {
            memory.contend(rivals);
            let outcome = host.request().send();
            assert_eq!(outcome.upstream, "canary");
            assert_eq!(outcome.calls_of("set_shared").len(), tries, "{rivals} rivals");
            let errors = host.take_errors();
            assert_eq!(errors.len(), lost, "{errors:?}");
            assert!(errors.iter().all(|error| error.contains("shared-memory")), "{errors:?}");
            host.advance(Duration::from_secs(60)); // an error is logged once a minute
        }
        assert_eq!(host.metric(ERRORS), counted);
    }
}

#[test]
fn a_kong_without_a_zone_has_no_shared_memory() {
    let mut host = Kong::bridged().with(&shared());
    for _ in 0..2 {
        let trap = host.request().try_send().unwrap_err();
        assert!(trap.contains("could not resolve namespace"), "{trap}");
    }
    let mut host = Kong::bridged().with(&guarded());
    assert_eq!(host.request().send().upstream, "canary");
}
