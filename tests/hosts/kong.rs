//! The filter in Kong.

use crate::asserts::{
    INTERNAL, assert_broken, assert_refused, assert_refused_by_bridge, assert_routed,
    assert_untouched, shown,
};
use crate::configs::{canary, eq, rule, rules};
use crate::harness::{Builder, Kong, NOBODY, OWN, Outcome, Start};
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
fn the_bridge_switches() {
    let mut host = Kong::bridged().with(&canary());
    assert_routed(&host.request().header("VERSION", "1").send(), "10", "canary");
    assert_untouched(&host.request().send());
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

    let mut configuration = canary();
    configuration["access_log"] = json!(false);
    let mut host = Kong::bridged().with(&configuration);
    let outcome = host.request().header("version", "1").send();
    assert_eq!(outcome.shown(), shown("10", "canary"));
    assert!(outcome.published.is_empty(), "{:?}", outcome.published);
}

#[test]
fn the_own_upstream_can_be_the_choice_of_a_rule() {
    let mut host = Kong::bridged().with(&all_to(Value::Null));
    let outcome = host.request().send();
    assert_eq!((outcome.upstream.as_str(), outcome.error()), (OWN, None));
    assert_eq!(outcome.shown(), (Some("7".to_owned()), None));
    assert_eq!(outcome.published("tse_route_rule").as_deref(), Some("7"));
    assert_eq!(outcome.request_header("x-lane"), ["new"]);

    // A Kong without the bridge can do it, too, as long as no header is to change.
    let mut host = Kong::alone().with(&rules([rule(7, json!({}), "x")]));
    assert_refused(&host.request().send(), "bridge-missing");
    let mut own = rules([rule(7, json!({}), "x")]);
    own["rules"][0]["upstream"][0]["name"] = Value::Null;
    let mut host = Kong::alone().with(&own);
    let outcome = host.request().send();
    assert_eq!((outcome.upstream.as_str(), outcome.error()), (OWN, None));
    assert_eq!(outcome.shown(), (Some("7".to_owned()), None));
}

#[test]
fn every_copy_of_a_header_is_changed() {
    for (upstream, expected) in [(json!("canary"), "canary"), (Value::Null, OWN)] {
        let mut configuration = all_to(upstream);
        configuration["rules"][0]["upstream"][0]["request_headers"] = json!({
            "set": [{ "name": "x-lane", "value": "new" }, { "name": "X-Odd", "value": "ä\"\\" }],
            "add": [{ "name": "x-more", "value": "3" }],
            "remove": ["x-secret"],
        });
        let mut host = Kong::bridged().with(&configuration);
        let request = host.request().header("X-Lane", "a").header("x-lane", "b");
        let request = request.header("x-more", "1").header("X-More", "2");
        let outcome = request.header("x-secret", "s").header("X-Secret", "t").send();
        assert_eq!(outcome.upstream, expected);
        assert_eq!(outcome.request_header("x-lane"), ["new"]);
        assert_eq!(outcome.request_header("x-more"), ["1", "2", "3"]);
        assert_eq!(outcome.request_header("x-secret"), [""; 0]);
        assert_eq!(outcome.request_header("x-odd"), [r#"\xc3\xa4\"\\"#]);
    }
}

#[test]
fn a_member_of_the_baggage_is_read_and_changed() {
    let change = json!({ "set": [{ "key": "lane", "value": "{upstream}" }], "remove": ["old"] });
    let mut configuration = rules([rule(7, eq("baggage", "group", "b 1"), "canary")]);
    configuration["rules"][0]["upstream"][0]["request_headers"] = json!({ "baggage": change });
    let mut host = Kong::bridged().with(&configuration);
    let mut send = |group: &str| {
        let request = host.request().header("baggage", "a=1;p,lane=x;q , old=2");
        request.header("Baggage", format!("lane=y, group={group}")).send()
    };
    let outcome = send("b%201;p");
    assert_eq!(outcome.upstream, "canary");
    assert_eq!(outcome.request_header("baggage"), ["lane=canary,a=1;p,group=b%201;p"]);
    let unmatched = send("c");
    assert_eq!(unmatched.request_header("baggage"), ["a=1;p,lane=x;q , old=2", "lane=y, group=c"]);

    // Alone it can read, and not change.
    let mut host = Kong::alone().with(&configuration);
    let outcome = host.request().header("baggage", "group=b%201,lane=x").send();
    assert_refused(&outcome, "bridge-missing");
    assert_eq!(outcome.request_header("baggage"), ["group=b%201,lane=x"]);
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
    let on_body = rules([rule(10, eq("body", "uid", "1"), "canary")]);
    for configuration in [all_to("canary".into()), all_to(Value::Null), canary(), on_body] {
        let mut host = Kong::alone().with(&configuration);
        for _ in 0..2 {
            let request = host.request().header("version", "1").header("x-lane", "as sent");
            let outcome = request.method("POST").body(r#"{"uid":1}"#).send();
            assert_refused(&outcome, "bridge-missing");
            assert_eq!(outcome.status, Some(200));
            assert_eq!(outcome.request_header("x-lane"), ["as sent"]);
        }
    }
}

#[test]
fn a_missing_bridge_is_logged_at_load_and_once_a_minute() {
    let mut host = Kong::alone().with(&canary());
    let at_load = host.take_errors();
    assert_eq!(at_load.len(), 1, "{at_load:?}");
    assert!(at_load[0].contains("bridge-missing") && at_load[0].contains("KONG_PLUGINS"));
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
    let mut host = Kong::alone().with(&silent);
    host.take_log();
    let outcome = host.request().header("version", "1").send();
    assert_eq!((outcome.upstream.as_str(), outcome.error()), (OWN, None));
    assert_eq!(host.take_errors().len(), 1, "switched-off headers don't silence the log");
}

#[test]
fn what_needs_no_bridge_only_warns_of_its_absence() {
    let mut by_header = canary();
    by_header["route_by"] = "header".into();
    for configuration in [by_header, rules([])] {
        let mut host = Kong::alone().with(&configuration);
        let lines = host.take_log();
        let loud: Vec<_> = lines.iter().filter(|line| line.level >= 3).collect();
        assert_eq!(loud.len(), 1, "{lines:?}");
        assert_eq!(loud[0].level, 3);
        assert!(loud[0].text.contains("answered with 400"), "{loud:?}");
    }
}

#[test]
fn a_bridge_of_another_release_is_none() {
    let table = [
        (json!({ "protocol": 1 }), "found protocol 1"),
        (json!({ "protocol": 4, "id": 1 }), "found protocol 4"),
        (json!({}), "found protocol null"),
        (json!({ "protocol": 3, "id": null }), "found the id null"),
        (json!({ "protocol": 3, "id": "1.2" }), "found the id \"1.2\""),
        (json!({ "protocol": 3, "id": "" }), "found the id \"\""),
    ];
    for (greeting, found) in table {
        let mut host = Kong::greeting(greeting).with(&canary());
        let errors = host.take_errors();
        assert!(errors[0].contains(found), "{found}: {errors:?}");
        assert!(errors[1].contains("of the same release"), "{errors:?}");
        assert_refused(&host.request().header("version", "1").send(), "bridge-missing");
        assert!(host.take_errors()[0].contains("of the same release"));
    }
}

#[test]
fn the_bridge_may_call_a_configuration_as_it_likes() {
    for id in [json!(0), json!(u64::MAX), json!("17-9f3c0a")] {
        let greeting = json!({ "protocol": 3, "id": id, "news": [1] });
        let mut host = Kong::greeting(greeting).with(&canary());
        assert_eq!(host.take_errors(), [""; 0]);
        assert_routed(&host.request().header("version", "1").send(), "10", "canary");
    }
}

#[test]
fn an_empty_configuration_may_be_written_in_any_way() {
    for text in ["", "null", " {} ", "{}", "{ }", "{\"rules\":[]}"] {
        let mut host = Kong::bridged().start();
        host.add(text);
        assert_eq!(host.take_errors(), [""; 0], "{text:?}");
        assert_untouched(&host.request().send());
    }
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
    assert_eq!(outcome.calls_of("set_").len(), 1, "the bridge shows it");
    assert_eq!(host.take_errors().len(), 1);
    let mut errors_after = |seconds: u64| {
        host.advance(Duration::from_secs(seconds));
        host.request().send();
        host.take_errors().len()
    };
    assert_eq!([errors_after(1), errors_after(58), errors_after(1), errors_after(1)], [0, 0, 1, 0]);
}

#[test]
fn an_invalid_configuration_without_bridge_says_so_itself() {
    let mut host = Kong::alone().with(&json!({ "rules": 1 }));
    assert_refused(&host.request().send(), "invalid-config");
}

#[test]
fn an_invalid_configuration_is_no_way_to_choose_an_upstream() {
    let broken =
        [json!({ "upstream_header": "x-target-version", "rules": 1 }), json!({ "rules": 1 })];
    for (configuration, header) in broken.iter().zip(["x-target-version", INTERNAL]) {
        let mut host = Kong::bridged().with(configuration);
        let forged = host.request().header(header, "blue").send();
        assert_eq!(forged.request_header(header), [""; 0]);
        let mut host = Kong::alone().with(configuration);
        assert_forged(&host.request().header(header, "blue").send());
    }
}

#[test]
fn the_configurations_of_a_worker_do_not_disturb_each_other() {
    let mut host = Kong::bridged().start();
    let first = host.add(canary().to_string());
    let broken = host.add("{");
    let second = host.add(rules([rule(30, json!({}), "blue")]).to_string());
    let request = host.request_through(first).header("version", "1");
    let outcome = request.send_around(|host| {
        assert_broken(&host.request_through(broken).send());
        assert_routed(&host.request_through(second).send(), "30", "blue");
    });
    assert_routed(&outcome, "10", "canary");
    assert_untouched(&host.request_through(first).send());
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

/// How a client may spell the internal headers, so that nginx or Kong takes one of them for it.
const FORGED: [&str; 5] = [
    "x-tse-route-upstream",
    "X-TSE-Route-Upstream",
    "x_tse_route_upstream",
    "X-Tse_Route-Upstream",
    "x-tse-route-decision",
];

#[test]
fn a_clients_internal_headers_are_taken_away() {
    let decision = json!({ "id": 17, "rule": "1", "upstream": "green" }).to_string();
    let mut host = Kong::bridged().with(&canary());
    for version in ["1", "2"] {
        let mut request = host.request().header("version", version);
        for name in FORGED {
            request = request.header(name, &decision).header(name, "blue");
        }
        request = request.header("X_Tse_Route-Decision", &decision);
        let outcome = request.header("x-tse-route-failures", "17.0=9").send();
        for name in FORGED.into_iter().chain(["x_tse_route-decision", "x-tse-route-failures"]) {
            assert_eq!(outcome.request_header(name), [""; 0], "{name}");
        }
        let expected = if version == "1" { "canary" } else { OWN };
        assert_eq!(outcome.upstream, expected);
    }
}

/// The filter has answered, and says why.
fn assert_forged(outcome: &Outcome) {
    assert_eq!((outcome.upstream.as_str(), outcome.status), (NOBODY, Some(400)));
    assert_eq!(outcome.error().as_deref(), Some("forged-header"));
    assert!(outcome.body.as_ref().is_some_and(|body| body.contains("internal routing header")));
    assert_eq!(outcome.shown(), (None, None));
}

#[test]
fn without_the_bridge_a_clients_internal_header_is_refused() {
    let mut by_header = canary();
    by_header["route_by"] = "header".into();
    for configuration in [canary(), by_header, rules([])] {
        let mut host = Kong::alone().with(&configuration);
        host.take_log();
        for name in FORGED {
            for value in ["blue", ""] {
                let request = host.request().header("version", "1").header(name, value);
                assert_forged(&request.header(name, "green").method("POST").body("x").send());
            }
        }
        let errors = host.take_errors();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].starts_with("forged-header: "), "{errors:?}");
        assert_eq!(host.request().header("version", "2").send().status, Some(200));
    }

    let mut silent = canary();
    silent["response_headers"] = json!(false);
    let outcome = Kong::alone().with(&silent).request().header(INTERNAL, "x").send();
    assert_eq!((outcome.status, outcome.error()), (Some(400), None));
}

#[test]
fn the_configured_gateway_is_taken_for_the_real_one() {
    let mut configuration = canary();
    configuration["host"] = "kong".into();
    let mut host = Kong::bridged().with(&configuration);
    assert_routed(&host.request().header("version", "1").send(), "10", "canary");
    let mut host = Kong::alone().with(&configuration);
    assert_refused(&host.request().header("version", "1").send(), "bridge-missing");

    // A Kong that is taken for an Envoy traps on what only Envoy has: the operator's mistake.
    configuration["host"] = "envoy".into();
    let mut host = Kong::bridged().with(&configuration);
    assert_untouched(&host.request().send());
    assert!(host.request().header("version", "1").try_send().is_err());
}
