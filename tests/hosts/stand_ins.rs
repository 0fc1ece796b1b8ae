//! The stand-ins themselves: a test is worth what they do not forgive. Measured on Kong 3.9.3 and
//! Envoy 1.40.0 where not marked as read in the source.

use crate::configs::{canary, rules};
use crate::harness::{
    Answer, Change, Envoy, Exchange, Gateway, Headers, Host, INTERNAL_FAILURE, Kong, Local, Map,
    NOBODY, NOT_FOUND, OWN, Phase, Refused, Request, SharedMemory, Start, imported,
};
use serde_json::{Value, json};

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
fn kong_dies_of_lua_inside_a_call() {
    let kong = Kong::bridged();
    for phase in [Phase::RequestHeaders, Phase::RequestBody, Phase::ResponseHeaders, Phase::Log] {
        let exchange = &mut exchange(&kong, phase);
        for name in ["kong.version", "kong.ctx.shared.x", "kong.service.upstream", "kong.nobody"] {
            assert!(is_trap(&get(&kong, exchange, name)), "{name}");
            assert!(is_trap(&set(&kong, exchange, name, "x")), "{name}");
        }
        assert_eq!(get(&kong, exchange, "upstream.port"), Err(Refused::Status(INTERNAL_FAILURE)));
        assert!(is_trap(&kong.foreign_function(Some(exchange), b"clear_route_cache")));
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
    exchange.request.add("X_Target-Version", "green");
    exchange.request.add("x-target_version", "blue");
    let any_spelling = get(&kong, exchange, "ngx.http_x_target_version");
    assert_eq!(any_spelling.unwrap(), "green, blue");
    assert_eq!(get(&kong, exchange, "ngx.http_x_target"), Err(Refused::Status(NOT_FOUND)));
}

#[test]
fn kong_hides_a_removed_header_and_leaves_it_to_the_upstream() {
    let kong = Kong::alone();
    let mut request = Request::default();
    for (name, value) in [("x-gone", "1"), ("X-Gone", "2"), ("x-twice", "1"), ("X-Twice", "2")] {
        request.headers.add(name, value);
    }
    let exchange = &mut kong.open(request);
    kong.change(exchange, Map::Request, b"X-Gone", Change::Remove).unwrap();
    kong.change(exchange, Map::Request, b"x-twice", Change::Set(b"3")).unwrap();
    kong.change(exchange, Map::Request, b"x-new", Change::Set(b"4")).unwrap();
    assert_eq!(kong.header(exchange, Map::Request, b"x-gone"), Err(Refused::NOT_FOUND));
    assert_eq!(get(&kong, exchange, "ngx.http_x_gone"), Err(Refused::NOT_FOUND));
    assert_eq!(get(&kong, exchange, "ngx.http_x_twice").unwrap(), "3");

    exchange.steps.clear();
    kong.forward(exchange);
    let (_, sent) = exchange.sent.as_ref().unwrap();
    let all = |name: &'static str| sent.all(name).collect::<Vec<_>>();
    assert_eq!(all("x-gone"), [b"1", b"2"]);
    assert_eq!(all("x-twice"), [b"3", b"2"]);
    assert_eq!(all("x-new"), [b"4"]);
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

/// A Kong with the bridge and two routes, and how the bridge calls their configurations.
fn bridged() -> (Kong, [u64; 2]) {
    let kong = Kong::bridged();
    let configurations = [canary(), rules([])];
    let ids = configurations.iter().enumerate().map(|(route, configuration)| {
        let text = kong.configuration(route, configuration.to_string().as_bytes());
        let text: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(text["$bridge"]["protocol"], 2);
        assert_eq!(text["rules"], configuration["rules"]);
        text["$bridge"]["id"].as_u64().unwrap()
    });
    let ids: Vec<u64> = ids.collect();
    (kong, [ids[0], ids[1]])
}

/// A request of a route for which the filter has decided so.
fn decided(kong: &Kong, route: usize, decision: &Value, request: Request) -> Exchange {
    let mut exchange = kong.open(request);
    exchange.route = route;
    exchange.steps.clear();
    exchange.request.set("x-tse-route-decision", decision.to_string());
    kong.forward(&mut exchange);
    exchange
}

#[test]
fn the_bridge_tells_once_of_failures_that_no_filter_saw() {
    let (kong, [first, second]) = bridged();
    assert_ne!(first, second);
    let fail = |route: usize, breaker: u32, upstream: &str| {
        let id = [first, second][route];
        let breaker = format!("{id}.{breaker}");
        let decision = json!({ "id": id, "rule": "1", "upstream": upstream, "breaker": breaker });
        let refused = Request { refused: true, ..Request::default() };
        let exchange = &mut decided(&kong, route, &decision, refused);
        assert!(!kong.respond(exchange).is_filtered);
    };
    let told = |route: usize| {
        let exchange = &mut kong.open(Request::default());
        kong.enter(exchange, route);
        exchange.request.text("x-tse-route-failures")
    };
    assert_eq!(told(0), None);
    fail(0, 1, "canary");
    assert_eq!(told(0).unwrap(), format!("{first}.1=1"));
    fail(0, 1, "canary");
    fail(1, 10, "blue");
    fail(1, 1, "blue");
    fail(1, 10, "blue");
    fail(0, 2, "nowhere"); // another upstream's failure
    assert_eq!(told(0).unwrap(), format!("{first}.1=1"));
    assert_eq!(told(0), None);
    assert_eq!(told(1).unwrap(), format!("{second}.1=1,{second}.10=2"));
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
fn kong_answers_in_the_place_of_an_upstream() {
    let kong = Kong::alone();
    let answer = || {
        let mut headers = Headers::default();
        headers.add("x-why", "so");
        Local { status: 400, headers, body: b"no".to_vec() }
    };
    let exchange = &mut exchange(&kong, Phase::RequestHeaders);
    kong.answer(exchange, answer()).unwrap();
    assert!(is_trap(&kong.answer(exchange, answer())), "already stashed");
    kong.forward(exchange);
    assert_eq!(exchange.sent.as_ref().unwrap().0, NOBODY);
    let response = kong.respond(exchange);
    assert_eq!((response.status, response.is_filtered), (400, true));
    assert_eq!(exchange.response.text("x-why").as_deref(), Some("so"));
    exchange.phase = Phase::ResponseHeaders;
    assert!(is_trap(&kong.answer(exchange, answer())), "too late");
}

#[test]
fn the_bridge_follows_its_contract() {
    let (kong, [id, _]) = bridged();
    let kong = kong.dead_upstream("dead");
    let of = |upstream: &str| {
        json!({
            "id": id, "rule": "10", "name": "try", "upstream": upstream, "breaker": format!("{id}.0"),
            "headers": { "rule": "X-Rule", "upstream": "X-Upstream", "error": "X-Error" },
            "request_headers": { "set": [["x-lane", "new"]], "add": [["x-lane", "more"]], "remove": ["x-lane"] },
        })
    };
    let own = json!({ "id": id, "rule": "9", "headers": { "rule": "X-Rule" } });
    let by_header = json!({
        "id": id, "rule": "8", "upstream": "blue", "headers": { "upstream": "X-Upstream" },
        "route_by": { "header": "x-lane", "value": "blue" },
    });
    let invalid = json!({ "id": id, "error": "invalid-config", "headers": { "error": "X-Error" } });
    let table = [
        (of("canary"), "canary", [Some("10"), Some("canary"), None], &["new", "more"][..]),
        (of("nowhere"), OWN, [Some("10"), None, Some("unknown-upstream")], &["a", "b"]),
        (of("dead"), OWN, [Some("10"), None, Some("no-healthy-target")], &["a", "b"]),
        (own, OWN, [Some("9"), None, None], &["a", "b"]),
        (by_header, OWN, [None, Some("blue"), None], &["blue"]),
        (json!({ "id": id }), OWN, [None, None, None], &["a", "b"]),
        (invalid, OWN, [None, None, Some("invalid-config")], &["a", "b"]),
    ];
    for (decision, upstream, headers, lane) in table {
        let mut request = Request::default();
        request.headers.add("X-Lane", "a");
        request.headers.add("x-lane", "b");
        let exchange = &mut decided(&kong, 0, &decision, request);
        let (went, sent) = exchange.sent.as_ref().unwrap();
        assert_eq!(went, upstream, "{decision}");
        assert_eq!(
            sent.all("x-lane").collect::<Vec<_>>(),
            lane.iter().map(|v| v.as_bytes()).collect::<Vec<_>>()
        );
        assert_eq!(sent.get("x-tse-route-decision"), None);
        exchange.client.answer.add("X-Tse-Route-Unfollowed", "from the upstream");
        kong.respond(exchange);
        let shown = ["X-Rule", "X-Upstream", "X-Error"].map(|name| exchange.response.text(name));
        assert_eq!(shown, headers.map(|value| value.map(str::to_owned)), "{decision}");
        let unfollowed = exchange.response.text("x-tse-route-unfollowed");
        let [_, _, error] = headers;
        let is_guarded = decision["breaker"].is_string();
        let expected = if is_guarded { error } else { Some("from the upstream") };
        assert_eq!(unfollowed.as_deref(), expected, "{decision}");
        if is_guarded && error.is_none() {
            // What Lua has cleared is still in nginx's list.
            let found = kong.header(exchange, Map::Response, b"x-tse-route-unfollowed");
            assert_eq!(found, Ok(Vec::new()));
        }
        let shared = exchange.published.contains_key("tse_route_error");
        assert_eq!(shared, error.is_some(), "{decision}");
    }
}

#[test]
fn envoy_picks_the_route_anew_when_headers_change() {
    let envoy = Envoy::new();
    let mut request = Request::default();
    request.headers.add("X-TSE-Route-Upstream", "blue");
    let exchange = &mut envoy.open(request);
    assert_eq!(exchange.upstream, "blue", "it is picked before the filter runs");
    envoy.change(exchange, Map::Request, b"x-tse-route-upstream", Change::Remove).unwrap();
    assert_eq!(exchange.upstream, OWN);
    assert_eq!(envoy.foreign_function(Some(exchange), b"no_such"), Err(Refused::NOT_FOUND));

    assert_eq!(set(&envoy, exchange, "kong.service.upstream", "x"), Ok(()), "any name will do");
    assert_eq!(get(&envoy, exchange, "kong.version"), Err(Refused::NOT_FOUND));
    assert_eq!(get(&envoy, exchange, "source.address").unwrap(), "192.0.2.7:51234");
    exchange.client.client = "2001:db8::1".to_owned();
    assert_eq!(get(&envoy, exchange, "source.address").unwrap(), "[2001:db8::1]:51234");
}

#[test]
fn a_trap_is_the_end_of_the_instance_and_of_what_it_was_doing() {
    let half = json!({ "rules": [{ "upstream": [{ "name": "canary", "weight": 50 }] }] });
    let mut traps = canary();
    traps["host"] = "envoy".into(); // which Kong is not
    let mut host = Kong::bridged().start();
    let sound = host.add(half.to_string());
    let wrong = host.add(traps.to_string());
    let draws = |host: &mut Host| host.request_through(sound).send().calls_of("random").len();
    assert_eq!([draws(&mut host), draws(&mut host)], [1, 0]);
    assert!(host.request_through(wrong).header("version", "1").try_send().is_err());
    assert_eq!(draws(&mut host), 1, "the new instance knows nothing yet");
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
