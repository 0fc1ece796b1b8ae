//! The filter in Kong.

use crate::asserts::{
    INTERNAL, assert_broken, assert_refused, assert_refused_by_bridge, assert_routed,
    assert_untouched,
};
use crate::configs::{canary, eq, rule, rules};
use crate::harness::{Builder, Host, Kong, OWN, Start};
use serde_json::{Value, json};
use std::time::Duration;

/// All of the traffic to one upstream, with a changed header.
fn all_to(upstream: Value) -> Value {
    json!({ "rules": [{ "weight": 7, "upstream": [{
        "name": upstream,
        "request_headers": { "set": [{ "name": "x-lane", "value": "new" }] },
    }] }] })
}

#[test]
fn the_bridge_switches_on_every_kong_that_can_have_it() {
    for version in ["3.6.1", "3.7.1", "3.8.1", "3.9.0", "3.9.3", "3.10.0.0"] {
        let mut host = Kong::version(version).bridge().with(&canary());
        assert_routed(&host.request().header("VERSION", "1").send(), "10", "canary");
        assert_untouched(&host.request().send());
    }
}

#[test]
fn the_bridge_shows_the_decision_even_when_nginx_answers() {
    let mut configuration = canary();
    configuration["rules"][0]["name"] = "try this".into();
    configuration["response_headers"] = json!({ "name": "X-Name", "rule": "X-Rule" });
    let mut host = Kong::bridged().with(&configuration);
    let outcome = host.request().header("version", "1").refused().send();
    assert_eq!(outcome.status, Some(502));
    assert_eq!(outcome.response("x-name").as_deref(), Some("try this"));
    assert_eq!(outcome.response("x-rule").as_deref(), Some("10"));
    assert_eq!(outcome.response("x-kong-route-upstream").as_deref(), Some("canary"));
    // The filter never hears of the end of that request.
    assert_eq!(host.request().header("version", "1").send().upstream, "canary");
}

#[test]
fn the_bridge_is_told_which_headers_are_wanted() {
    let mut configuration = canary();
    configuration["response_headers"] = json!(false);
    let mut host = Kong::bridged().with(&configuration);
    let outcome = host.request().header("version", "1").send();
    assert_eq!(outcome.upstream, "canary");
    assert_eq!(outcome.shown(), (None, None));
    assert_eq!(outcome.published("tse_route_rule").as_deref(), Some("10"));
}

#[test]
fn the_own_upstream_can_be_the_choice_of_a_rule() {
    for kong in [Kong::bridged(), Kong::version("3.9.3"), Kong::version("3.7.1")] {
        let name = format!("{kong:?}");
        let mut host = kong.with(&all_to(Value::Null));
        let outcome = host.request().send();
        assert_eq!(outcome.upstream, OWN, "{name}");
        assert_eq!(outcome.shown(), (Some("7".to_owned()), None), "{name}");
        assert_eq!(outcome.error(), None, "{name}");
        assert_eq!(outcome.published("tse_route_rule").as_deref(), Some("7"), "{name}");
        assert_eq!(outcome.request_header("x-lane"), ["new"], "{name}");
    }
}

#[test]
fn an_upstream_that_cannot_serve_leaves_the_original_in_place() {
    for (upstream, reason) in [("nowhere", "unknown-upstream"), ("dead", "no-healthy-target")] {
        let mut host = Kong::bridged().dead_upstream("dead").with(&all_to(upstream.into()));
        let outcome = host.request().header("x-lane", "as sent").send();
        assert_refused_by_bridge(&outcome, "7", reason);
        assert_eq!(outcome.status, Some(200));
        assert_eq!(outcome.request_header("x-lane"), ["as sent"], "it has not left");
    }
}

#[test]
fn without_the_bridge_the_original_serves_and_the_response_says_so() {
    for version in ["3.4.2", "3.5.0", "3.8.1", "3.9.3"] {
        let mut host = Kong::version(version).with(&all_to("canary".into()));
        let outcome = host.request().header("x-lane", "as sent").send();
        assert_refused(&outcome, "bridge-missing");
        assert_eq!(outcome.request_header("x-lane"), ["as sent"]);
        assert_eq!(outcome.request_header(INTERNAL), [""; 0]);
        assert_refused(&host.request().send(), "bridge-missing");
    }
}

#[test]
fn a_missing_bridge_is_logged_once_a_minute() {
    let mut host = Kong::version("3.9.3").with(&canary());
    host.take_log();
    let mut errors_after = |seconds: u64, requests: usize| {
        host.advance(Duration::from_secs(seconds));
        for _ in 0..requests {
            host.request().header("version", "1").send();
        }
        host.take_errors()
    };
    assert_eq!(errors_after(0, 0), [""; 0]);
    let first = errors_after(0, 3);
    assert_eq!(first.len(), 1, "{first:?}");
    assert!(first[0].contains("bridge-missing") && first[0].contains("KONG_PLUGINS"), "{first:?}");
    assert_eq!(errors_after(59, 5), [""; 0]);
    let second = errors_after(1, 5);
    assert_eq!(second.len(), 1);
    assert!(second[0].contains("7 more"), "{second:?}");

    let mut silent = canary();
    silent["response_headers"] = json!(false);
    let mut host = Kong::version("3.9.3").with(&silent);
    host.take_log();
    let outcome = host.request().header("version", "1").send();
    assert_eq!((outcome.upstream.as_str(), outcome.error()), (OWN, None));
    assert_eq!(host.take_errors().len(), 1, "switched-off headers don't silence the log");
}

#[test]
fn the_property_switches_where_the_filter_runs_before_the_balancer() {
    for version in ["3.6.1", "3.7.1"] {
        let mut host = Kong::version(version).with(&canary());
        assert_routed(&host.request().header("version", "1").send(), "10", "canary");
        assert_untouched(&host.request().send());
        assert_eq!(host.take_errors(), [""; 0]);
    }
}

#[test]
fn an_unknown_upstream_traps_where_only_the_property_switches() {
    // Kong leaves no choice there: the request fails, and with it the instance. The next one serves.
    let mut host = Kong::version("3.7.1").with(&rules([
        rule(20, eq("header", "version", "0"), "nowhere"),
        rule(10, eq("header", "version", "1"), "canary"),
    ]));
    let failure = host.request().header("version", "0").try_send().unwrap_err();
    assert!(failure.contains("kong.service.upstream"), "{failure}");
    assert_routed(&host.request().header("version", "1").send(), "10", "canary");
}

#[test]
fn an_invalid_configuration_lets_the_original_serve_and_says_so() {
    let mut host = Kong::bridged().start();
    let broken = json!({ "rules": [{ "weigth": 1, "upstream": [] }] }).to_string();
    assert_eq!(host.configure(broken), Ok(true), "a refusal freezes the filters of every service");
    let errors = host.take_errors();
    for path in ["rules[0].weigth: ", "rules[0].upstream: "] {
        assert!(errors.iter().any(|error| error.starts_with(path)), "{path} in {errors:?}");
    }

    let outcome = host.request().method("POST").body("x").send();
    assert_broken(&outcome);
    assert_eq!(outcome.status, Some(200));
    assert_eq!(outcome.calls_of("set_property"), ["set_property kong.tse_route.route"]);
    assert_eq!(host.take_errors().len(), 1);
    let mut errors_after = |seconds: u64| {
        host.advance(Duration::from_secs(seconds));
        host.request().send();
        host.take_errors().len()
    };
    assert_eq!([errors_after(1), errors_after(58), errors_after(1), errors_after(1)], [0, 0, 1, 0]);
}

#[test]
fn an_invalid_configuration_is_no_way_to_choose_an_upstream() {
    let mut host = Kong::bridged().start();
    host.add(json!({ "upstream_header": "x-target-version", "rules": 1 }).to_string());
    host.add(json!({ "rules": 1 }).to_string());
    let forged = host.request_through(1).header(INTERNAL, "blue").send();
    assert_eq!(forged.request_header(INTERNAL), [""; 0]);
    let forged = host.request_through(0).header("x-target-version", "blue").send();
    assert_eq!(forged.request_header("x-target-version"), [""; 0]);
}

#[test]
fn the_configurations_of_a_worker_do_not_disturb_each_other() {
    let mut host = Kong::version("3.7.1").start();
    let first = host.add(canary().to_string());
    let broken = host.add("{");
    let second = host.add(
        rules([rule(30, json!({}), "blue"), rule(40, json!({ "path": "/x" }), "nowhere")])
            .to_string(),
    );
    let all = |host: &mut Host| {
        let request = host.request_through(first).header("version", "1");
        let outcome = request.send_around(|host| {
            assert_refused(&host.request_through(broken).send(), "invalid-config");
            assert_routed(&host.request_through(second).send(), "30", "blue");
        });
        assert_routed(&outcome, "10", "canary");
        assert_untouched(&host.request_through(first).send());
    };
    all(&mut host);
    // A trap takes the instance from all of them, and they are configured anew.
    assert!(host.request_through(second).path("/x").try_send().is_err());
    all(&mut host);
}

#[test]
fn what_kong_knows_of_the_client() {
    let cidr = json!({ "system": {
        "key": "clientIP", "operator": "in", "value": "10.0.0.0/8,2001:db8::/32",
    } });
    let https = eq("system", "httpScheme", "https");
    type Sent = fn(Builder<'_>) -> Builder<'_>;
    let table: &[(Value, Sent, bool)] = &[
        (cidr.clone(), |request| request.client("10.1.2.3"), true),
        (cidr.clone(), |request| request.client("11.1.2.3"), false),
        (cidr.clone(), |request| request.client("2001:db8::1"), true),
        (eq("system", "domain", "Shop.Example"), |request| request.host("SHOP.example:8443"), true),
        (eq("system", "domain", "kong"), |request| request, false), // :authority is the machine's
        (eq("system", "domain", "x"), |request| request.changed(|r| r.host = None), false),
        (https.clone(), |request| request.scheme("https"), true),
        (https.clone(), |request| request.header("X-Forwarded-Proto", "https"), false),
        (https.clone(), |request| request.header("X-Forwarded-Proto", "https").trusted(), true),
        (https.clone(), |r| r.scheme("https").header("X-Forwarded-Proto", "http").trusted(), false),
        (eq("system", "clientUa", "curl/8"), |r| r.header("User-Agent", "curl/8"), true),
        (eq("header", "version", "1"), |r| r.header("version", "1").header("version", "2"), true),
        (eq("header", "version", "2"), |r| r.header("version", "1").header("version", "2"), false),
        (eq("cookie", "b", "2"), |r| r.header("Cookie", "a=1").header("cookie", "b=2"), true),
        (eq("cookie", "a", "2"), |r| r.header("cookie", "a=1").header("cookie", "a=2"), false),
        (eq("query", "q", "a b"), |request| request.path("/x?q=a+b"), true),
        (json!({ "path": "/x%20y" }), |request| request.path("/x%20y?q"), true),
        (json!({ "method": "post" }), |request| request.method("POST"), true),
    ];
    for (index, (condition, request, holds)) in table.iter().enumerate() {
        let mut host = Kong::bridged().with(&rules([rule(10, condition.clone(), "canary")]));
        let outcome = request(host.request()).send();
        assert_eq!(outcome.upstream == "canary", *holds, "line {index}: {condition}");
    }
}

#[test]
fn the_scheme_is_known_to_a_kong_without_lua_properties_as_well() {
    let condition = eq("system", "httpScheme", "https");
    let mut host = Kong::version("3.5.0").with(&rules([rule(10, condition, "canary")]));
    assert_refused(&host.request().scheme("https").send(), "bridge-missing");
    assert_untouched(&host.request().send());
}

#[test]
fn a_clients_internal_header_is_removed() {
    for kong in [Kong::bridged(), Kong::version("3.9.3"), Kong::version("3.7.1")] {
        let mut host = kong.with(&canary());
        for version in ["1", "2"] {
            let request = host.request().header("version", version);
            let request = request.header("X-Tse-Route-Upstream", "blue").header(INTERNAL, "green");
            assert_eq!(request.send().request_header(INTERNAL), [""; 0]);
        }
    }
}

#[test]
fn the_configured_gateway_is_taken_for_the_real_one() {
    let mut configuration = canary();
    configuration["host"] = "kong".into();
    let mut host = Kong::bridged().with(&configuration);
    assert_routed(&host.request().header("version", "1").send(), "10", "canary");
    let mut host = Kong::version("3.5.0").with(&configuration);
    assert_refused(&host.request().header("version", "1").send(), "bridge-missing");

    // A Kong that is taken for an Envoy traps on what only Envoy has: the operator's mistake.
    configuration["host"] = "envoy".into();
    let mut host = Kong::bridged().with(&configuration);
    assert_untouched(&host.request().send());
    assert!(host.request().header("version", "1").try_send().is_err());
}
