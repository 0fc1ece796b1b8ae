//! Host calls are what a filter costs: about a microsecond each, and several on Kong for whatever
//! runs Lua. Each of them is asserted for here.

use crate::configs::{canary, eq, rule, rules};
use crate::harness::{Builder, Envoy, Gateway, Host, Kong, Outcome, SharedMemory, Start};
use serde_json::{Value, json};
use std::time::Duration;

/// The calls of a request in a worker that has served one before, without metrics.
fn calls<G: Gateway + 'static>(
    gateway: G,
    configuration: &Value,
    request: impl Fn(Builder<'_>) -> Builder<'_>,
) -> Vec<String> {
    let mut uncounted = configuration.clone();
    uncounted["metrics"] = json!(false);
    calls_with_metrics(gateway, &uncounted, request)
}

/// The calls of a request in a worker that has served one before.
fn calls_with_metrics<G: Gateway + 'static>(
    gateway: G,
    configuration: &Value,
    request: impl Fn(Builder<'_>) -> Builder<'_>,
) -> Vec<String> {
    let mut host = gateway.with(configuration);
    request(host.request()).send();
    request(host.request()).send().calls
}

/// A request that meets [`canary`]'s rule.
fn matching(request: Builder<'_>) -> Builder<'_> {
    request.header("version", "1")
}

/// A request whose client wants to choose its upstream itself.
fn forged(request: Builder<'_>) -> Builder<'_> {
    request.header("x-tse-route-upstream", "blue")
}

/// A request that meets no rule.
fn plain(request: Builder<'_>) -> Builder<'_> {
    request
}

/// Three rules that look at the same header, the last of which is met by `version: 1`.
fn three_rules() -> Value {
    rules([
        rule(30, eq("header", "version", "3"), "blue"),
        rule(20, eq("header", "version", "2"), "green"),
        rule(10, eq("header", "version", "1"), "canary"),
    ])
}

/// All of the traffic goes to the canary, with a header more.
fn with_request_header() -> Value {
    json!({ "rules": [{ "upstream": [{
        "name": "canary",
        "request_headers": { "set": [{ "name": "x-lane", "value": "canary" }] },
    }] }] })
}

/// All of the traffic goes to the canary, with a member of the baggage more.
fn with_baggage() -> Value {
    json!({ "rules": [{ "upstream": [{
        "name": "canary",
        "request_headers": { "baggage": { "set": [{ "key": "lane", "value": "{upstream}" }] } },
    }] }] })
}

/// How Envoy is told the upstream, and how the decision is shown.
const ENVOY_ROUTES: [&str; 5] = [
    "set_header x-tse-route-upstream", // its route reads this
    "call clear_route_cache",          // and has been picked before the filter ran
    "set_property tse_route_rule",     // for the access log; the upstream stands in the header
    "set_response_header X-Kong-Route-Rule",
    "set_response_header X-Kong-Route-Upstream",
];

/// An unmatched request may carry a forged internal header.
const UNMATCHED: &str = "get_header x-tse-route-upstream";

#[test]
fn envoy_without_rules() {
    assert_eq!(calls(Envoy::new(), &rules([]), plain), [UNMATCHED]);
}

#[test]
fn envoy_with_a_rule_on_a_header() {
    let matched = calls(Envoy::new(), &canary(), matching);
    assert_eq!(matched[..1], ["get_header version"]);
    assert_eq!(matched[1..], ENVOY_ROUTES);

    let unmatched = calls(Envoy::new(), &canary(), plain);
    assert_eq!(unmatched, ["get_header version", UNMATCHED]);
}

#[test]
fn envoy_with_three_rules_on_one_header() {
    // The header is read once, whichever rule it is that holds, or none.
    let matched = calls(Envoy::new(), &three_rules(), matching);
    assert_eq!(matched[..1], ["get_header version"]);
    assert_eq!(matched[1..], ENVOY_ROUTES);

    let unmatched = calls(Envoy::new(), &three_rules(), plain);
    assert_eq!(unmatched, ["get_header version", UNMATCHED]);
}

#[test]
fn envoy_with_rules_on_other_places() {
    let table = [
        (eq("query", "uid", "1"), "get_header :path"),
        (json!({ "path": "/elsewhere" }), "get_header :path"),
        (json!({ "method": "PATCH" }), "get_header :method"),
        (eq("cookie", "group", "beta"), "get_headers request"), // one value of several is not enough
        (eq("baggage", "lane", "beta"), "get_headers request"),
        (eq("system", "domain", "x"), "get_header :authority"),
        (eq("system", "httpScheme", "ftp"), "get_header x-forwarded-proto"),
        (eq("system", "clientIP", "10.0.0.1"), "get_property source.address"),
        (eq("system", "clientUa", "x"), "get_header user-agent"),
        (eq("body", "uid", "1"), ""), // a GET has none
    ];
    for (condition, call) in table {
        // Two rules: the second costs nothing more.
        let both =
            rules([rule(20, condition.clone(), "blue"), rule(10, condition.clone(), "canary")]);
        // With all headers it is known whether there is a forged one.
        let unmatched = if call == "get_headers request" { "" } else { UNMATCHED };
        let expected: Vec<_> =
            [call, unmatched].into_iter().filter(|call| !call.is_empty()).collect();
        assert_eq!(calls(Envoy::new(), &both, plain), expected, "{condition}");
    }
    // The path and the query are one header.
    let both = json!({ "path": "/x", "query": { "key": "uid", "operator": "eq", "value": "1" } });
    let read = calls(Envoy::new(), &rules([rule(1, both, "canary")]), |r| r.path("/x?uid=2"));
    assert_eq!(read, ["get_header :path", UNMATCHED]);
}

#[test]
fn envoy_with_a_forged_header() {
    let unmatched = calls(Envoy::new(), &canary(), forged);
    let expected = [
        "get_header version",
        UNMATCHED,
        "remove_header x-tse-route-upstream",
        "call clear_route_cache", // it was read when the route was picked
    ];
    assert_eq!(unmatched, expected);

    // A matched one costs nothing more: the decision takes its place.
    let matched = calls(Envoy::new(), &canary(), |request| matching(forged(request)));
    assert_eq!(matched, calls(Envoy::new(), &canary(), matching));
}

#[test]
fn envoy_with_a_body() {
    let on_body = rules([rule(10, eq("body", "uid", "1"), "canary")]);
    let read = calls(Envoy::new(), &on_body, |r| r.method("POST").body(r#"{"uid""#).body(":1}"));
    // Will there be one, and does it announce too much? All of it, once; is it a form?
    assert_eq!(read[..3], ["get_headers request", "get_body", "get_header content-type"]);
    assert_eq!(read[3..], ENVOY_ROUTES);

    // A rule that has decided without it leaves the body alone, and so does one that cannot hold.
    let with_header = rules([
        rule(20, eq("header", "version", "1"), "canary"),
        rule(10, json!({ "method": "PUT", "body": { "operator": "exists" } }), "blue"),
    ]);
    let matched = calls(Envoy::new(), &with_header, |r| matching(r).method("POST").body("x"));
    assert_eq!(matched[1..], ENVOY_ROUTES);
    let unmatched = calls(Envoy::new(), &with_header, |r| r.method("POST").body("x"));
    assert_eq!(unmatched, ["get_header version", "get_header :method", UNMATCHED]);
}

#[test]
fn envoy_without_access_log() {
    let mut quiet = canary();
    quiet["access_log"] = json!(false);
    let quiet = calls(Envoy::new(), &quiet, matching);
    assert_eq!(quiet[1..], [&ENVOY_ROUTES[..2], &ENVOY_ROUTES[3..]].concat());
}

#[test]
fn envoy_without_response_headers() {
    let mut silent = canary();
    silent["response_headers"] = json!(false);
    let silent = calls(Envoy::new(), &silent, matching);
    assert_eq!(silent[1..], ENVOY_ROUTES[..3]);
}

#[test]
fn envoy_reads_much_at_once() {
    let item = |location: &str| eq(location, "x", "no");
    let read = |conditions: &[Value]| {
        let rules: Vec<_> = (0..)
            .zip(conditions)
            .map(|(place, condition)| rule(100 - place, condition.clone(), "canary"))
            .collect();
        calls(Envoy::new(), &json!({ "rules": rules }), plain)
    };
    let header = |name: &str| eq("header", name, "no");
    let (a, b, c) = (header("a"), header("b"), header("c"));
    let path = json!({ "path": "/elsewhere" });

    let each = read(&[a.clone(), b.clone(), a.clone()]);
    assert_eq!(each, ["get_header a", "get_header b", UNMATCHED]);
    // Also whether there is a forged internal header.
    let at_once = ["get_headers request"];
    assert_eq!(read(&[a.clone(), b.clone(), c]), at_once);
    // The path and the query are one header, which is there in any case.
    assert_eq!(
        read(&[a.clone(), path.clone(), item("query")])[..2],
        ["get_header a", "get_header :path"]
    );
    assert_eq!(read(&[a.clone(), path, json!({ "method": "PATCH" })]), at_once);
    // Cookies take all headers, and with them all others are there.
    assert_eq!(read(&[item("cookie"), a.clone()]), at_once);
    assert_eq!(read(&[a, item("cookie")]), at_once);
}

#[test]
fn counting() {
    let matched = calls_with_metrics(Envoy::new(), &canary(), matching);
    let (request, response) = (&ENVOY_ROUTES[..3], &ENVOY_ROUTES[3..]);
    let expected = [
        &["get_header version", "get_time"],
        &request[..2],
        &["increment_metric"], // the request
        &request[2..],
        &["get_time", "get_response_header :status", "increment_metric", "record_metric"],
        response,
    ];
    assert_eq!(matched, expected.concat());

    let unmatched = calls_with_metrics(Envoy::new(), &canary(), plain);
    assert_eq!(unmatched, ["get_header version", UNMATCHED, "increment_metric"]);

    // Kong's bridge counts.
    let matched = calls_with_metrics(Kong::bridged(), &canary(), matching);
    assert_eq!(matched, calls(Kong::bridged(), &canary(), matching));
}

#[test]
fn routing_by_header_only() {
    let mut by_header = canary();
    by_header["route_by"] = json!("header");
    // On Envoy a forged one may have picked the route already, so that the cache has to go there, too.
    assert_eq!(calls(Envoy::new(), &by_header, matching)[1..], ENVOY_ROUTES);

    assert_eq!(calls(Kong::bridged(), &by_header, matching), ["get_header version", BRIDGE]);

    let expected = [
        &["get_header version"],
        &[][..],
        &["set_header x-tse-route-upstream"],
        &["set_response_header X-Kong-Route-Rule", "set_response_header X-Kong-Route-Upstream"],
    ];
    assert_eq!(
        calls(Kong::alone(), &by_header, matching),
        [&ALONE[..], &expected.concat()].concat()
    );
}

/// A routed request tells Kong's bridge everything in this one call.
const BRIDGE: &str = "set_header x-tse-route-decision";

/// Without the bridge nobody has taken away what a client must not send.
const ALONE: [&str; 2] =
    ["get_property ngx.http_x_tse_route_upstream", "get_property ngx.http_x_tse_route_decision"];

#[test]
fn kong_without_rules() {
    assert_eq!(calls(Kong::bridged(), &rules([]), plain), [""; 0]);
    assert_eq!(calls(Kong::alone(), &rules([]), plain), ALONE);
}

#[test]
fn kong_with_a_rule_on_a_header() {
    for configuration in [canary(), three_rules()] {
        // Nothing else: the bridge changes the request and shows the decision in the response.
        let matched = calls(Kong::bridged(), &configuration, matching);
        assert_eq!(matched, ["get_header version", BRIDGE]);
        let unmatched = calls(Kong::bridged(), &configuration, plain);
        assert_eq!(unmatched, ["get_header version"]);
    }
}

#[test]
fn kong_with_rules_on_other_places() {
    let table = [
        (eq("query", "uid", "1"), "get_property request.path"),
        (json!({ "path": "/elsewhere" }), "get_property request.path"),
        (json!({ "method": "PATCH" }), "get_property request.method"),
        (eq("cookie", "group", "beta"), "get_property ngx.http_cookie"), // all of them; no Lua
        (eq("baggage", "lane", "beta"), "get_property ngx.http_baggage"),
        (eq("system", "domain", "x"), "get_header host"),
        (eq("system", "httpScheme", "ftp"), "get_property ngx.upstream_x_forwarded_proto"),
        (eq("system", "clientIP", "10.0.0.1"), "get_property source.address"),
        (eq("system", "clientUa", "x"), "get_header user-agent"),
        (eq("body", "uid", "1"), ""), // there may come one
    ];
    for (condition, call) in table {
        let both =
            rules([rule(20, condition.clone(), "blue"), rule(10, condition.clone(), "canary")]);
        let expected: Vec<_> = [call].into_iter().filter(|call| !call.is_empty()).collect();
        assert_eq!(calls(Kong::bridged(), &both, plain), expected, "{condition}");
    }
}

#[test]
fn kong_with_a_body() {
    let on_body = rules([
        rule(20, eq("body", "uid", "1"), "canary"),
        rule(10, eq("header", "version", "1"), "blue"),
    ]);
    let with_body = |body: &'static str| {
        calls(Kong::bridged(), &on_body, move |request| matching(request).method("POST").body(body))
    };
    let provisionally = ["get_header version", BRIDGE];
    let read = ["get_body", "get_header content-type"];

    let overruled = with_body(r#"{"uid":1}"#);
    assert_eq!(overruled, [&provisionally[..], &read, &[BRIDGE]].concat());

    // A body that confirms what was decided without it is not told of.
    let confirmed = with_body(r#"{"uid":2}"#);
    assert_eq!(confirmed, [&provisionally[..], &read, &["get_header version"]].concat());

    // A body that no rule asks for is not read.
    let unread = calls(Kong::bridged(), &canary(), |request| request.method("POST").body("x"));
    assert_eq!(unread, ["get_header version"]);
}

#[test]
fn kong_with_request_headers() {
    assert_eq!(calls(Kong::bridged(), &with_request_header(), plain), [BRIDGE]);
    assert_eq!(calls(Kong::bridged(), &with_baggage(), plain), [BRIDGE]);
}

#[test]
fn envoy_with_a_change_of_the_baggage() {
    let [route, clear, shown @ ..] = ENVOY_ROUTES;
    let sets = calls(Envoy::new(), &with_baggage(), plain);
    let change = ["get_headers request", "set_header baggage"];
    assert_eq!(sets, [&[route, clear], &change[..], &shown].concat());

    let mut removes = with_baggage();
    removes["rules"][0]["upstream"][0]["request_headers"]["baggage"] =
        json!({ "remove": ["lane"] });
    // What is not there is not taken away.
    let without = calls(Envoy::new(), &removes, |request| request.header("baggage", "a=1"));
    assert_eq!(without, [&[route, clear, "get_headers request"], &shown[..]].concat());
    let with = calls(Envoy::new(), &removes, |request| request.header("baggage", "lane=1"));
    let change = ["get_headers request", "remove_header baggage"];
    assert_eq!(with, [&[route, clear], &change[..], &shown].concat());
}

#[test]
fn kong_that_cannot_switch() {
    let expected = [
        &ALONE[..],
        &["get_header version"],
        &["get_time"], // for the log line a minute
        &["set_response_header X-Kong-Route-Error"],
    ];
    assert_eq!(calls(Kong::alone(), &canary(), matching), expected.concat());
}

/// All of the traffic to the canary, with more fields of the rule.
fn with_field(field: &str, value: Value) -> Value {
    let mut rule = json!({ "upstream": [{ "name": "canary" }] });
    rule[field] = value;
    rules([rule])
}

fn with_rollout() -> Value {
    with_field(
        "rollout",
        json!({ "start": 0, "stages": [
        { "after": 0, "weights": { "canary": 100 } },
    ] }),
    )
}

fn with_breaker(shared: bool) -> Value {
    let mut configuration = with_field("circuit_breaker", json!({ "max_error_rate": 0.5 }));
    configuration["shared_memory"] = shared.into();
    configuration
}

/// One half of the traffic to the canary, by what a client is recognised by.
fn with_hash(hash: Value) -> Value {
    let mut rule = hash;
    rule["upstream"] =
        json!([{ "name": "canary", "weight": 50 }, { "name": "blue", "weight": 50 }]);
    rules([rule])
}

#[test]
fn delivery_in_envoy() {
    let before = |configuration: &Value, expected: &[&str]| {
        let calls = calls(Envoy::new(), configuration, matching);
        assert_eq!(calls, [expected, &ENVOY_ROUTES].concat(), "{configuration}");
    };
    before(
        &with_hash(json!({ "hash_on": "header", "hash_on_header": "version" })),
        &["get_header version"],
    );
    before(&with_hash(json!({ "hash_on": "path" })), &["get_header :path"]);
    before(&with_hash(json!({ "hash_on": "ip" })), &["get_property source.address"]);
    before(&with_rollout(), &["get_time"]);

    // How was the answer, and is it one of gRPC, which may have failed all the same?
    let answered = ["get_time", "get_response_header :status", "get_response_header content-type"];
    let counted = calls(Envoy::new(), &with_breaker(false), plain);
    assert_eq!(
        counted,
        [&["get_time"], &ENVOY_ROUTES[..3], &answered, &ENVOY_ROUTES[3..]].concat()
    );

    // What was read of the shared memory is believed for a while; an answer is always written.
    let shared = calls(Envoy::new(), &with_breaker(true), plain);
    let written = ["get_shared", "set_shared"];
    let expected =
        [&["get_time"], &ENVOY_ROUTES[..3], &answered, &written, &ENVOY_ROUTES[3..]].concat();
    assert_eq!(shared, expected);
    let mut host = Envoy::new().with(&with_breaker(true));
    host.request().send();
    host.advance(Duration::from_millis(100));
    assert_eq!(host.request().send().calls[..2], ["get_time", "get_shared"]);
}

#[test]
fn delivery_in_kong() {
    let by_cookie = with_hash(json!({ "hash_on": "cookie", "hash_on_cookie": "lane" }));
    let known = calls(Kong::bridged(), &by_cookie, |request| request.header("cookie", "lane=7"));
    assert_eq!(known, ["get_property ngx.http_cookie", BRIDGE]);
    let issued = calls(Kong::bridged(), &by_cookie, plain);
    let add = "add_response_header set-cookie";
    assert_eq!(issued, ["get_property ngx.http_cookie", BRIDGE, add]);
    assert_eq!(calls(Kong::bridged(), &with_rollout(), plain), ["get_time", BRIDGE]);

    // Did the bridge see any fail? How was the answer, and whose was it?
    let counted = [
        FAILURES,
        "get_time",
        BRIDGE,
        "get_time",
        "get_property ngx.upstream_status",
        "get_response_header x-tse-route-unfollowed",
        "get_response_header content-type",
    ];
    assert_eq!(calls(Kong::bridged(), &with_breaker(false), plain), counted);
    let zone = Kong::bridged().shared_memory(&SharedMemory::default());
    let shared = calls(zone, &with_breaker(true), plain);
    assert_eq!(shared, [&counted[..], &["get_shared", "set_shared"]].concat());
}

/// What the bridge tells is told once, so that a configuration with circuit breakers always listens.
const FAILURES: &str = "get_header x-tse-route-failures";

#[test]
fn a_rule_pays_only_for_itself() {
    // Of a configuration that has all of it, a request to another rule, or to none.
    let mut configuration = canary();
    let mut other = rule(1, eq("header", "version", "2"), "blue");
    other["hash_on"] = "ip".into();
    other["rollout"] = with_rollout()["rules"][0]["rollout"].clone();
    other["rollout"]["stages"][0]["weights"] = json!({ "blue": 50 });
    other["circuit_breaker"] = json!({ "max_error_rate": 0.5 });
    configuration["rules"].as_array_mut().unwrap().push(other);
    configuration["shared_memory"] = true.into();
    for request in [matching, plain] {
        let envoy = calls(Envoy::new(), &configuration, request);
        assert_eq!(envoy, calls(Envoy::new(), &canary(), request));
        let kong = calls(Kong::bridged(), &configuration, request);
        let alone = calls(Kong::bridged(), &canary(), request);
        assert_eq!(kong, [&[FAILURES.to_owned()], &alone[..]].concat());
    }
}

/// What only the first of some requests asks for, as calls that the second does not make.
fn only_first(host: &mut Host, plugin: usize) -> Vec<String> {
    let first = matching(host.request_through(plugin)).send();
    let second = matching(host.request_through(plugin)).send();
    let is_new = |call: &String| !second.calls.contains(call);
    first.calls.into_iter().filter(is_new).collect()
}

#[test]
fn what_is_constant_is_asked_once_per_worker() {
    let with = |field: &str, value: &str| {
        let mut configuration = canary();
        configuration[field] = value.into();
        configuration.to_string()
    };
    for host_field in ["auto", "kong"] {
        let mut host = Kong::bridged().start();
        let first = host.add(with("host", host_field));
        assert!(only_first(&mut host, first).is_empty(), "host: {host_field}");
    }
    for host_field in ["auto", "envoy"] {
        let mut host = Envoy::new().start();
        let first = host.add(with("host", host_field));
        assert!(only_first(&mut host, first).is_empty(), "host: {host_field}");
    }

    // The generator of random numbers is seeded once.
    let half = json!({ "rules": [{ "upstream": [{ "name": "canary", "weight": 50 }] }] });
    let mut host = Envoy::new().with(&half);
    let outcomes: Vec<Outcome> = (0..20).map(|_| host.request().send()).collect();
    assert_eq!(outcomes[0].calls_of("random").len(), 1);
    assert!(outcomes[1..].iter().all(|outcome| outcome.calls_of("random").is_empty()));
}

#[test]
fn nothing_is_asked_of_a_gateway_while_it_loads() {
    // On Kong the root context is deadly ground: several properties kill the worker there.
    for configuration in [canary(), json!({ "rules": 1 })] {
        let mut host = Kong::bridged().with(&configuration);
        let calls = host.root_calls();
        let is_harmless =
            |call: &String| ["get_configuration", "log", "fdstat 1"].contains(&call.as_str());
        assert!(calls.iter().all(is_harmless), "{calls:?}");
        assert!(calls.contains(&"get_configuration".to_owned()));
    }
}
