//! The filter in Envoy.

use crate::asserts::{INTERNAL, assert_refused, assert_routed, assert_untouched, shown};
use crate::chance::bounds;
use crate::configs::{canary, eq, rule, rules};
use crate::harness::{Builder, Envoy, OWN, Start};
use serde_json::{Value, json};

#[test]
fn a_matched_request_goes_where_the_rule_says() {
    let mut host = Envoy::new().with(&canary());
    let outcome = host.request().header("Version", "1").send();
    assert_routed(&outcome, "10", "canary");
    assert_eq!(outcome.status, Some(200));
    assert_untouched(&host.request().header("version", "2").send());
    assert_untouched(&host.request().send());
}

#[test]
fn the_share_of_the_own_upstream_is_shown_as_the_rules() {
    let mut host = Envoy::new().with(&json!({ "rules": [
        { "weight": 7, "upstream": [{ "name": null }] },
    ] }));
    let outcome = host.request().header(INTERNAL, "blue").send();
    assert_eq!(outcome.upstream, OWN);
    assert_eq!(outcome.request_header(INTERNAL), [""; 0]);
    assert_eq!(outcome.shown(), (Some("7".to_owned()), None));
    assert_eq!(outcome.published("tse_route_rule").as_deref(), Some("7"));
    assert_eq!(outcome.published("tse_route_upstream"), None);
}

#[test]
fn a_forged_internal_header_has_no_effect() {
    // Envoy has already picked the cluster by it when the filter sees the request.
    for route_by in ["auto", "header"] {
        let mut configuration = canary();
        configuration["route_by"] = route_by.into();
        let mut host = Envoy::new().with(&configuration);
        for forged in ["blue", "no-such-cluster", "canary", ""] {
            let outcome = host.request().header("X-TSE-Route-Upstream", forged).send();
            assert_untouched(&outcome);
            assert_eq!(outcome.status, Some(200), "{forged}");

            let outcome = host.request().header(INTERNAL, forged).header("version", "1").send();
            assert_eq!(outcome.upstream, "canary", "{forged}, route_by {route_by}");
            assert_eq!(outcome.request_header(INTERNAL), ["canary"]);
        }
        let twice = host.request().header(INTERNAL, "blue").header(INTERNAL, "green").send();
        assert_untouched(&twice);
    }
}

#[test]
fn the_internal_header_can_have_another_name() {
    let mut configuration = canary();
    configuration["upstream_header"] = "X-Cluster".into();
    let mut host = Envoy::new().header("x-cluster").with(&configuration);
    let outcome = host.request().header("version", "1").header("x-cluster", "blue").send();
    assert_eq!(outcome.upstream, "canary");
    let outcome = host.request().header("x-cluster", "blue").header(INTERNAL, "as sent").send();
    assert_eq!(outcome.upstream, OWN);
    assert_eq!(outcome.request_header("x-cluster"), [""; 0]);
    assert_eq!(outcome.request_header(INTERNAL), ["as sent"], "that name is nobody's now");
}

#[test]
fn route_by_header_leaves_the_routing_to_a_tier_behind() {
    let mut configuration = canary();
    configuration["route_by"] = "header".into();
    configuration["upstream_header"] = "x-target-version".into();
    // This Envoy does not read the header.
    let mut host = Envoy::new().with(&configuration);
    let outcome = host.request().header("version", "1").send();
    assert_eq!(outcome.upstream, OWN);
    assert_eq!(outcome.request_header("x-target-version"), ["canary"]);
    assert_eq!(outcome.shown(), shown("10", "canary"));
    let outcome = host.request().header("x-target-version", "canary").send();
    assert_eq!(outcome.request_header("x-target-version"), [""; 0]);
}

#[test]
fn an_unknown_upstream_is_the_route_tables_business() {
    let mut host = Envoy::new().with(&rules([rule(10, json!({}), "nowhere")]));
    let outcome = host.request().send();
    assert_eq!(outcome.status, Some(503));
    assert_eq!(outcome.shown(), shown("10", "nowhere"));
}

#[test]
fn envoys_own_answers_show_the_decision_too() {
    let mut host = Envoy::new().with(&canary());
    let outcome = host.request().header("version", "1").refused().send();
    assert_eq!(outcome.status, Some(503));
    assert_eq!(outcome.shown(), shown("10", "canary"));
}

#[test]
fn an_invalid_configuration_is_refused_with_every_fault() {
    let configuration = json!({
        "rules": [
            {
                "weight": 101,
                "condition": { "header": [{ "key": "v", "operator": "equals", "value": "1" }] },
                "upstream": [{ "name": "canary", "weigth": 1 }],
            },
            { "upstream": [{ "name": "a", "weight": 60 }, { "name": "b", "weight": 60 }] },
            {
                "condition": { "path": { "operator": "regex", "value": "(" } },
                "upstream": [{ "name": "a" }],
            },
        ],
    });
    let mut host = Envoy::new().start();
    assert_eq!(host.configure(configuration.to_string()), Ok(false));
    let errors = host.take_errors();
    let table = [
        ("rules[0].weight: ", "101"),
        ("rules[0].condition.header[0].operator: ", "`eq`"),
        ("rules[0].upstream[0].weigth: ", "did you mean `weight`?"),
        ("rules[1].upstream: ", "120"),
        ("rules[2].condition.path.value: ", "\"(\""),
    ];
    for (path, piece) in table {
        let says = |error: &&String| error.starts_with(path) && error.contains(piece);
        assert!(errors.iter().any(|error| says(&error)), "{path} {piece} in {errors:#?}");
    }
    assert_eq!(errors.len(), table.len() + 1, "and a line that counts them: {errors:#?}");
}

#[test]
fn what_is_no_configuration_at_all_is_refused() {
    for text in ["{", "[]", "1", "\"x\"", "{}{}", "\u{feff}{}", "\0", "rules: []"] {
        let mut host = Envoy::new().start();
        assert_eq!(host.configure(text), Ok(false), "{text:?}");
        assert!(!host.take_errors().is_empty(), "{text:?}");
    }
    assert_eq!(Envoy::new().start().configure([0xff, 0xfe]), Ok(false));
    for text in ["", " ", "null", "{}", "{\"rules\":[]}"] {
        let mut host = Envoy::new().start();
        assert_eq!(host.configure(text), Ok(true), "{text:?}");
        assert_untouched(&host.request().send());
    }
}

#[test]
fn a_new_configuration_takes_over_and_a_refused_one_does_not() {
    let mut host = Envoy::new().with(&canary());
    let second = host.add(rules([rule(20, json!({}), "blue")]).to_string());
    assert_eq!(host.configure("{"), Ok(false));
    assert_eq!(host.request().header("version", "1").send().upstream, "canary");
    assert_eq!(host.request_through(second).send().upstream, "blue");
}

#[test]
fn request_headers_change_with_the_upstream() {
    let changes = json!({
        "remove": ["X-Secret", "x-gone"],
        "set": [{ "name": "X-Lane", "value": "canary" }, { "name": "x-gone", "value": "back" }],
        "add": [{ "name": "x-seen", "value": 1.50 }, { "name": "x-lane", "value": "second" }],
    });
    let configuration = json!({ "rules": [
        {
            "weight": 20,
            "condition": eq("header", "version", "1"),
            "upstream": [{ "name": "canary", "request_headers": changes }],
        },
        {
            "weight": 10,
            "condition": eq("header", "version", "2"),
            "upstream": [{ "name": null, "request_headers": { "remove": ["x-secret"] } }],
        },
    ] });
    let mut host = Envoy::new().with(&configuration);
    let mut send = |version: &str| {
        let request = host.request().header("version", version);
        let request =
            request.header("x-lane", "a").header("x-lane", "b").header("x-seen", "before");
        request.header("x-secret", "1").header("x-secret", "2").header("x-gone", "0").send()
    };
    let changed = send("1");
    assert_eq!(changed.request_header("x-secret"), [""; 0]);
    assert_eq!(changed.request_header("x-gone"), ["back"], "remove comes first");
    assert_eq!(changed.request_header("x-lane"), ["canary", "second"]);
    assert_eq!(changed.request_header("x-seen"), ["before", "1.5"]);

    let own = send("2");
    assert_eq!(own.request_header("x-secret"), [""; 0]);
    assert_eq!(own.request_header("x-lane"), ["a", "b"]);

    let unmatched = send("3");
    assert_eq!(unmatched.request_header("x-secret"), ["1", "2"]);
    assert_eq!(unmatched.request_header("x-lane"), ["a", "b"]);
}

#[test]
fn a_member_of_the_baggage_changes_and_the_labels_are_filled_in() {
    let changes = json!({
        "set": [{ "name": "X-Lane", "value": "{rule}/{upstream}/{other}" }],
        "add": [{ "name": "x-seen", "value": "{upstream}" }],
        "baggage": { "set": [{ "key": "lane", "value": "{upstream}, {rule}" }], "remove": ["old"] },
    });
    let configuration = json!({ "rules": [
        {
            "name": "try\nthis", "weight": 20, "condition": eq("header", "version", "1"),
            "upstream": [{ "name": "canary", "request_headers": changes }],
        },
        { "weight": 10, "upstream": [{ "request_headers": changes }] },
    ] });
    let mut host = Envoy::new().with(&configuration);
    let mut send = |version: &str| {
        let request = host.request().header("version", version).header("x-lane", "forged");
        let request = request.header("baggage", "a=1;p=%20, lane=x;p");
        request.header("Baggage", b"old=2,lane=y , b=\xe9").send()
    };
    let routed = send("1");
    assert_eq!(routed.request_header("x-lane"), ["try this/canary/{other}"]);
    assert_eq!(routed.request_header("x-seen"), ["canary"]);
    let expected = r"lane=canary%2C%20try%20this,a=1;p=%20,b=\xe9";
    assert_eq!(routed.request_header("baggage"), [expected]);

    let own = send("2");
    assert_eq!(own.request_header("x-lane"), ["10/(own)/{other}"]);
    assert_eq!(own.request_header("baggage"), [r"lane=(own)%2C%2010,a=1;p=%20,b=\xe9"]);

    let none = host.request().header("version", "1").send();
    assert_eq!(none.request_header("baggage"), ["lane=canary%2C%20try%20this"]);
}

#[test]
fn response_headers_are_as_configured() {
    let send = |response_headers: Value| {
        let mut configuration = canary();
        configuration["rules"][0]["name"] = "try\nthis \u{e9}".into();
        configuration["response_headers"] = response_headers;
        let mut host = Envoy::new().with(&configuration);
        host.request().header("version", "1").send().response
    };
    let usual = send(json!(true));
    assert_eq!(usual.text("x-kong-route-rule").as_deref(), Some("10"));
    assert_eq!(usual.text("x-kong-route-upstream").as_deref(), Some("canary"));
    assert_eq!(usual.text("x-kong-route-name"), None);

    let off = send(json!(false));
    assert!(off.iter().all(|(name, _)| !name.starts_with(b"x-kong")), "{off:?}");

    let named = send(json!({ "rule": "X-Rule", "upstream": false, "name": "X-Name" }));
    assert_eq!(named.text("x-rule").as_deref(), Some("10"));
    assert_eq!(named.get("x-name"), Some("try this \u{e9}".as_bytes()), "no line break");
    assert_eq!(named.text("x-kong-route-rule"), None);
    assert_eq!(named.text("x-kong-route-upstream"), None);
}

#[test]
fn an_upstream_cannot_show_another_decision() {
    let mut host = Envoy::new().with(&canary());
    let request = host.request().header("version", "1");
    let request = request.answered_with("X-Kong-Route-Upstream", "blue");
    let outcome = request.answered_with("X-Kong-Route-Upstream", "green").send();
    let values: Vec<_> = outcome.response.all("x-kong-route-upstream").collect();
    assert_eq!(values, [b"canary"]);
}

/// Where some requests went, by a rule that gives half of them to the canary.
fn sequence(seed: u64) -> Vec<String> {
    let half = json!({ "rules": [{ "upstream": [
        { "name": "canary", "weight": 50 }, { "name": "blue", "weight": 50 },
    ] }] });
    let mut host = Envoy::new().with(&half);
    host.seed(seed);
    (0..64).map(|_| host.request().send().upstream).collect()
}

#[test]
fn every_worker_draws_for_itself() {
    let first = sequence(1);
    assert_eq!(first, sequence(1), "the draw depends on the gateway's random bits");
    assert_ne!(first, sequence(2));
    assert_ne!(sequence(2), sequence(3));
    assert!(first.contains(&"canary".to_owned()) && first.contains(&"blue".to_owned()));
}

#[test]
fn repeated_headers_and_cookies() {
    let table = [
        (eq("header", "version", "1"), "version", ["1", "2"], true),
        (eq("header", "version", "2"), "version", ["1", "2"], false), // the first value counts
        (eq("cookie", "a", "1"), "cookie", ["x=0; a=1", "b=2"], true),
        (eq("cookie", "b", "2"), "Cookie", ["a=1", "b=\"2\""], true),
        (eq("cookie", "a", "2"), "cookie", ["a=1", "a=2"], false),
        (eq("baggage", "a", "1"), "baggage", ["x=0;a=2 , a=%31", "b=2"], true),
        (eq("baggage", "b", "2"), "Baggage", ["a=1", "b = 2;p"], true),
        (eq("baggage", "a", "2"), "baggage", ["a=1", "a=2"], false),
    ];
    for (condition, name, values, holds) in table {
        let mut host = Envoy::new().with(&rules([rule(10, condition.clone(), "canary")]));
        let outcome = host.request().header(name, values[0]).header(name, values[1]).send();
        assert_eq!(outcome.upstream == "canary", holds, "{condition} {values:?}");
    }
}

#[test]
fn what_envoy_knows_of_the_client() {
    let cidr = json!({ "system": {
        "key": "clientIP", "operator": "in", "value": "10.0.0.0/8,2001:db8::/32",
    } });
    type Sent = fn(Builder<'_>) -> Builder<'_>;
    let table: &[(Value, Sent, bool)] = &[
        (cidr.clone(), |request| request.client("10.1.2.3"), true),
        (cidr.clone(), |request| request.client("11.1.2.3"), false),
        (cidr.clone(), |request| request.client("2001:db8::1"), true),
        (cidr.clone(), |request| request.client("2001:db9::1"), false),
        (eq("system", "domain", "Shop.Example"), |request| request.host("SHOP.example:8443"), true),
        (eq("system", "domain", "[::1]"), |request| request.host("[::1]:80"), true),
        (eq("system", "domain", "x"), |request| request.changed(|r| r.host = None), false),
        (eq("system", "httpScheme", "https"), |request| request.scheme("https"), true),
        (eq("system", "httpScheme", "https"), |r| r.header("x-forwarded-proto", "https"), false),
        (
            eq("system", "httpScheme", "https"),
            |request| request.header("x-forwarded-proto", "HTTPS").trusted(),
            true,
        ),
        (eq("system", "clientUA", "curl/8"), |r| r.header("user-agent", "curl/8"), true),
    ];
    for (index, (condition, request, holds)) in table.iter().enumerate() {
        let mut host = Envoy::new().with(&rules([rule(10, condition.clone(), "canary")]));
        let outcome = request(host.request()).send();
        assert_eq!(outcome.upstream == "canary", *holds, "line {index}: {condition}");
    }
}

#[test]
fn the_configured_gateway_is_taken_for_the_real_one() {
    let mut configuration = canary();
    configuration["host"] = "envoy".into();
    let mut host = Envoy::new().with(&configuration);
    let outcome = host.request().header("version", "1").send();
    assert_eq!(outcome.upstream, "canary");
    assert!(outcome.calls_of("kong").is_empty());

    // An Envoy that is taken for a Kong has no bridge, and says so.
    configuration["host"] = "kong".into();
    let plugin = host.add(configuration.to_string());
    let outcome = host.request_through(plugin).header("version", "1").send();
    assert_refused(&outcome, "bridge-missing");
    assert_eq!(host.request().header("version", "1").send().upstream, "canary");
}

#[test]
fn what_the_weights_leave_over_stays() {
    let configuration = json!({ "rules": [{
        "weight_total": 1000,
        "upstream": [{ "name": "canary", "weight": 12.5 }, { "name": "blue", "weight": 0 }],
    }] });
    let mut host = Envoy::new().with(&configuration);
    let upstreams: Vec<String> = (0..10_000).map(|_| host.request().send().upstream).collect();
    let count = |name: &str| upstreams.iter().filter(|upstream| *upstream == name).count();
    let bounds = bounds(10_000, 0.0125, 1);
    assert!(bounds.contains(&count("canary")), "{}, not {bounds:?}", count("canary"));
    assert_eq!(count("blue"), 0);
    assert_eq!(count("canary") + count(OWN), 10_000);
}
