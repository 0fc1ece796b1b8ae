//! The stand-ins themselves: a test is worth what they do not forgive. Measured on Kong 3.9.3 and
//! Envoy 1.40.0 where not marked as read in the source.

use crate::configs::{canary, rule, rules};
use crate::harness::{
    Answer, Change, Envoy, Exchange, Gateway, INTERNAL_FAILURE, Kong, Map, NOT_FOUND, OWN, Phase,
    Refused, Request, SharedMemory, Start, imported,
};
use serde_json::json;

fn path(dotted: &str) -> Vec<u8> {
    dotted.replace('.', "\0").into_bytes()
}

fn get(gateway: &dyn Gateway, exchange: &mut Exchange, name: &str) -> Answer<String> {
    let value = gateway.property(Some(exchange), &path(name))?;
    Ok(value.escape_ascii().to_string())
}

fn set(gateway: &dyn Gateway, exchange: &mut Exchange, name: &str, value: &str) -> Answer<()> {
    gateway.set_property(Some(exchange), &path(name), value.as_bytes())
}

fn is_trap<T>(answer: &Answer<T>) -> bool {
    matches!(answer, Err(Refused::Trap(_)))
}

fn exchange(gateway: &dyn Gateway, phase: Phase) -> Exchange {
    let mut exchange = gateway.open(Request::default());
    exchange.phase = phase;
    exchange
}

#[test]
fn kongs_root_context_is_deadly() {
    let kong = Kong::bridged();
    let root = |name: &str| kong.property(None, &path(name));
    for name in ["plugin_name", "upstream.address", "connection.id", "request.headers.host"] {
        assert!(is_trap(&root(name)), "{name} kills the worker");
    }
    for name in ["kong.version", "ngx.hostname", "source.address"] {
        assert_eq!(root(name), Err(Refused::Status(INTERNAL_FAILURE)), "{name}");
    }
}

#[test]
fn kong_traps_on_some_properties() {
    let kong = Kong::bridged();
    for phase in [Phase::RequestHeaders, Phase::RequestBody, Phase::ResponseHeaders, Phase::Log] {
        let exchange = &mut exchange(&kong, phase);
        assert!(is_trap(&get(&kong, exchange, "kong.response.source")));
        let status = get(&kong, exchange, "kong.service.response.status");
        assert_eq!(is_trap(&status), phase != Phase::ResponseHeaders);
        assert_eq!(get(&kong, exchange, "upstream.port"), Err(Refused::Status(INTERNAL_FAILURE)));
        assert_eq!(get(&kong, exchange, "kong.nobody"), Err(Refused::NOT_FOUND));
        assert!(is_trap(&set(&kong, exchange, "kong.nobody", "x")), "it has no setter");
        assert!(is_trap(&kong.foreign_function(Some(exchange), b"clear_route_cache")));
        let route = get(&kong, exchange, "kong.route_name");
        assert_eq!(route.is_ok(), phase != Phase::Log);
    }
}

#[test]
fn kong_has_no_use_for_some_functions() {
    let mut kong = Kong::bridged();
    for import in ["proxy_done", "proxy_get_log_level"] {
        assert!(matches!(kong.unmodelled(import), Refused::Trap(_)), "{import}");
    }
    assert!(is_trap(&kong.define_metric(0, "x")), "it would break /metrics");
    assert!(is_trap(&kong.increment_metric(7, 1)), "unknown");
    assert!(is_trap(&kong.record_metric(7, 1)), "unknown");
    assert!(is_trap(&kong.set_tick()), "it does more harm than good");
    // The source says so: a filter that imports it with the ABI's one parameter is not loaded.
    assert_eq!(kong.signature("proxy_get_log_level"), Some("ii"));
    assert_eq!(Envoy::new().signature("proxy_get_log_level"), Some("i"));
    assert_eq!(kong.signature("proxy_no_such_function"), None);
}

#[test]
fn kong_tells_only_some_things_right() {
    let kong = Kong::bridged();
    let exchange = &mut exchange(&kong, Phase::RequestHeaders);
    exchange.request.add("Cookie", "a=1");
    exchange.request.add("cookie", "b=2");
    let header = |name: &[u8]| kong.header(exchange, Map::Request, name).unwrap();
    assert_eq!(header(b":authority"), b"kong:8000");
    assert_eq!(header(b"HOST"), b"shop.example");
    assert_eq!(header(b"cookie"), b"a=1", "only the first");
    assert_ne!(get(&kong, exchange, "request.host").unwrap(), "shop.example");
    assert_eq!(get(&kong, exchange, "ngx.http_cookie").unwrap(), "a=1; b=2");
    assert_eq!(get(&kong, exchange, "source.address").unwrap(), "192.0.2.7");
    assert_eq!(get(&kong, exchange, "kong.version").unwrap(), "3.9.3");
    assert_eq!(get(&kong, exchange, "kong.tse_route.bridge").unwrap(), "1");
    assert_eq!(get(&kong, exchange, "kong.ctx.shared.x"), Err(Refused::Status(NOT_FOUND)));
    set(&kong, exchange, "kong.ctx.shared.x", "y").unwrap();
    assert_eq!(get(&kong, exchange, "kong.ctx.shared.x").unwrap(), "y");
}

#[test]
fn kongs_differ_in_what_switches() {
    // (version, is the choice followed, what becomes of an unknown one)
    let table = [("3.6.1", true), ("3.7.1", true), ("3.8.1", false), ("3.9.3", false)];
    for (version, is_followed) in table {
        let kong = Kong::version(version);
        let exchange = &mut exchange(&kong, Phase::RequestHeaders);
        assert_eq!(set(&kong, exchange, "kong.service.upstream", "canary"), Ok(()), "{version}");
        assert_eq!(exchange.upstream, if is_followed { "canary" } else { OWN }, "{version}");
        assert!(is_trap(&set(&kong, exchange, "kong.service.upstream", "nowhere")), "{version}");
        assert_eq!(get(&kong, exchange, "kong.tse_route.bridge"), Err(Refused::NOT_FOUND));
        assert!(is_trap(&set(&kong, exchange, "kong.tse_route.route", "{}")), "{version}");
    }
    for version in ["3.4.2", "3.5.0"] {
        let kong = Kong::version(version);
        let exchange = &mut exchange(&kong, Phase::RequestHeaders);
        assert_eq!(get(&kong, exchange, "kong.version"), Err(Refused::NOT_FOUND)); // (source)
        assert!(is_trap(&set(&kong, exchange, "kong.service.upstream", "canary")), "{version}");
    }
}

#[test]
fn kong_tells_the_status_of_every_try_once_there_is_one() {
    let kong = Kong::bridged();
    let tries = Request { statuses: vec![502, 200], ..Request::default() };
    let exchange = &mut kong.open(tries);
    assert_eq!(get(&kong, exchange, "ngx.upstream_status"), Err(Refused::NOT_FOUND));
    exchange.phase = Phase::ResponseHeaders;
    assert_eq!(get(&kong, exchange, "ngx.upstream_status").unwrap(), "502, 200");
}

#[test]
fn shared_memory_is_there_or_not() {
    assert!(Kong::bridged().memory().is_none());
    assert!(Kong::bridged().shared_memory(&SharedMemory::default()).memory().is_some());
    assert!(Envoy::new().memory().is_some());
}

#[test]
fn shared_values_change_by_their_numbers() {
    const MISMATCH: Answer<()> = Err(Refused::Status(8));
    for zero_forces in [false, true] {
        let memory = SharedMemory::default();
        let set = |value: &[u8], cas: u32| memory.set(b"key", value, cas, zero_forces);
        assert_eq!(memory.get(b"key"), Err(Refused::NOT_FOUND));
        assert_eq!(set(b"a", 7), MISMATCH, "there is no such change");
        assert_eq!(set(b"a", 0), Ok(()));
        let (value, first) = memory.get(b"key").unwrap();
        assert_eq!((value.as_slice(), first != 0), (&b"a"[..], true));
        assert_eq!(set(b"b", first), Ok(()));
        assert_eq!(set(b"c", first), MISMATCH);
        assert_eq!(set(b"d", 0).is_ok(), zero_forces, "(source)");

        let (_, current) = memory.get(b"key").unwrap();
        memory.contend(1);
        assert_eq!(set(b"e", current), MISMATCH, "another worker was faster");
        let (_, current) = memory.get(b"key").unwrap();
        assert_eq!(set(b"e", current), Ok(()));
    }
}

#[test]
fn the_bridge_tells_once_of_failures_that_no_filter_saw() {
    const FAILURES: &str = "kong.tse_route.failures.7";
    let kong = Kong::bridged();
    let fail = |breaker: &str, upstream: &str| {
        let exchange = &mut kong.open(Request { refused: true, ..Request::default() });
        let message = json!({ "rule": "1", "upstream": upstream, "breaker": breaker });
        set(&kong, exchange, "kong.tse_route.route", &message.to_string()).unwrap();
        assert!(!kong.respond(exchange).is_filtered);
    };
    fail("7.1", "canary");
    fail("7.10", "blue");
    fail("7.1", "canary");
    fail("8.0", "canary");
    fail("7.2", "nowhere"); // another upstream's failure
    let exchange = &mut exchange(&kong, Phase::RequestHeaders);
    assert_eq!(get(&kong, exchange, FAILURES).unwrap(), "1=2,10=1");
    assert_eq!(get(&kong, exchange, FAILURES), Err(Refused::NOT_FOUND));
    assert_eq!(get(&kong, exchange, "kong.tse_route.failures.8").unwrap(), "0=1");
    let plain = Kong::version("3.9.3");
    assert_eq!(get(&plain, exchange, "kong.tse_route.failures.8"), Err(Refused::NOT_FOUND));
}

#[test]
fn kongs_headers_change_in_time_or_not_at_all() {
    let kong = Kong::bridged();
    let change = |phase: Phase, map: Map| {
        kong.change(&mut exchange(&kong, phase), map, b"x", Change::Set(b"y"))
    };
    for (phase, request, response) in [
        (Phase::RequestHeaders, true, true),
        (Phase::RequestBody, true, true),
        (Phase::ResponseHeaders, false, true),
        (Phase::Log, false, false),
    ] {
        assert_eq!(!is_trap(&change(phase, Map::Request)), request, "{phase:?}");
        assert_eq!(!is_trap(&change(phase, Map::Response)), response, "{phase:?}");
    }
}

#[test]
fn kongs_body_is_read_in_its_own_step() {
    let kong = Kong::bridged().buffer_size(3);
    let body = |phase: Phase, size: usize| {
        let mut exchange = exchange(&kong, phase);
        exchange.buffer = vec![b'x'; size];
        kong.body(&exchange)
    };
    assert_eq!(body(Phase::RequestHeaders, 3), Err(Refused::NOT_FOUND));
    assert_eq!(body(Phase::RequestBody, 3), Ok(b"xxx".to_vec()));
    assert_eq!(body(Phase::RequestBody, 4), Err(Refused::NOT_FOUND), "it is in a file");
    assert!(is_trap(&body(Phase::ResponseHeaders, 3)));
}

#[test]
fn the_bridge_follows_its_contract() {
    let kong = Kong::bridged().dead_upstream("dead");
    let exchange = &mut exchange(&kong, Phase::RequestHeaders);
    let message = |upstream: &str| {
        json!({
            "rule": "10", "name": "try", "upstream": upstream,
            "headers": { "rule": "X-Rule", "upstream": "X-Upstream", "error": "X-Error" },
        })
    };
    let own = json!({ "rule": "9", "headers": { "rule": "X-Rule" } });
    let table = [
        (message("canary"), "routed", "canary", [Some("10"), Some("canary"), None]),
        (message("nowhere"), "unknown-upstream", OWN, [Some("10"), None, Some("unknown-upstream")]),
        (message("dead"), "no-healthy-target", OWN, [Some("10"), None, Some("no-healthy-target")]),
        (own, "own", OWN, [Some("9"), None, None]),
        (message("blue"), "routed", "blue", [Some("10"), Some("blue"), None]),
        (json!({}), "none", OWN, [None, None, None]),
        (
            json!({ "error": "invalid-config", "headers": { "error": "X-Error" } }),
            "none",
            OWN,
            [None, None, Some("invalid-config")],
        ),
    ];
    assert_eq!(get(&kong, exchange, "kong.tse_route.result").unwrap(), "none");
    for (message, result, upstream, headers) in table {
        set(&kong, exchange, "kong.tse_route.route", &message.to_string()).unwrap();
        assert_eq!(get(&kong, exchange, "kong.tse_route.result").unwrap(), result);
        assert_eq!(exchange.upstream, upstream, "{message}");
        let shown = ["X-Rule", "X-Upstream", "X-Error"].map(|name| exchange.imposed.text(name));
        assert_eq!(shown, headers.map(|value| value.map(str::to_owned)), "{message}");
        let shared = exchange.published.get("tse_route_upstream");
        assert_eq!(shared.is_some(), upstream != OWN, "{message}");
    }
    assert!(is_trap(&set(&kong, exchange, "kong.tse_route.route", "canary")), "not JSON");
    exchange.phase = Phase::ResponseHeaders;
    assert!(is_trap(&set(&kong, exchange, "kong.tse_route.route", "{}")), "too late");
}

#[test]
fn envoy_keeps_the_route_until_it_is_told_to_look_again() {
    let envoy = Envoy::new();
    let mut request = Request::default();
    request.headers.add("X-TSE-Route-Upstream", "blue");
    let exchange = &mut envoy.open(request);
    assert_eq!(exchange.upstream, "blue", "it is picked before the filter runs");
    envoy.change(exchange, Map::Request, b"x-tse-route-upstream", Change::Remove).unwrap();
    assert_eq!(exchange.upstream, "blue");
    assert_eq!(envoy.foreign_function(Some(exchange), b"no_such"), Err(Refused::NOT_FOUND));
    envoy.foreign_function(Some(exchange), b"clear_route_cache").unwrap();
    assert_eq!(exchange.upstream, OWN);

    assert_eq!(set(&envoy, exchange, "kong.service.upstream", "x"), Ok(()), "any name will do");
    assert_eq!(get(&envoy, exchange, "kong.version"), Err(Refused::NOT_FOUND));
    assert_eq!(get(&envoy, exchange, "source.address").unwrap(), "192.0.2.7:51234");
    exchange.client.client = "2001:db8::1".to_owned();
    assert_eq!(get(&envoy, exchange, "source.address").unwrap(), "[2001:db8::1]:51234");
}

#[test]
fn a_trap_is_the_end_of_the_instance_and_of_what_it_was_doing() {
    let traps = rules([
        rule(20, json!({ "path": "/trap" }), "nowhere"),
        rule(10, json!({ "body": { "operator": "exists" } }), "canary"),
    ]);
    let mut host = Kong::version("3.7.1").with(&traps);
    assert!(host.request().path("/trap").try_send().is_err());
    let outcome = host.request().method("POST").body("x").send();
    assert_eq!(outcome.upstream, "canary");
    assert_eq!(outcome.calls_of("kong.version").len(), 1, "the new instance knows nothing yet");
}

#[test]
#[should_panic(expected = "the configuration was refused")]
fn a_refused_configuration_fails_a_test_that_needs_it() {
    Envoy::new().with(&json!({ "rules": 1 }));
}

#[test]
fn every_import_of_the_filter_can_be_answered_wrongly() {
    let mut host = Envoy::new().with(&canary());
    let imported: Vec<_> = imported().collect();
    for import in ["proxy_log", "proxy_get_property", "proxy_get_header_map_pairs", "random_get"] {
        assert!(imported.contains(&import), "{import} in {imported:?}");
    }
    assert_eq!(host.request().header("version", "1").send().upstream, "canary");
}
