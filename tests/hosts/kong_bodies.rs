//! The filter in Kong, where the body comes after the request has been decided once.

use crate::asserts::{
    assert_refused, assert_refused_by_bridge, assert_routed, assert_untouched, shown,
};
use crate::configs::{canary, eq, rule, rules};
use crate::harness::{Builder, Host, Kong, OWN, Outcome, Start};
use serde_json::{Value, json};

/// What is decided with a body, and what without.
fn by_body() -> Value {
    json!({ "rules": [
        {
            "weight": 20,
            "condition": { "body": { "key": "uid", "operator": "eq", "value": 1 } },
            "upstream": [{ "name": "canary", "request_headers": {
                "set": [{ "name": "x-lane", "value": "canary" }],
            } }],
        },
        {
            "weight": 10,
            "condition": eq("header", "version", "1"),
            "upstream": [{ "name": "blue", "request_headers": {
                "set": [{ "name": "x-lane", "value": "blue" }, { "name": "x-new", "value": "1" }],
                "add": [{ "name": "x-more", "value": "3" }],
                "remove": ["x-secret"],
            } }],
        },
        {
            "weight": 15,
            "match_type": "OR",
            "condition": {
                "header": { "key": "version", "operator": "eq", "value": "2" },
                "body": { "key": "uid", "operator": "eq", "value": 2 },
            },
            "upstream": [{ "name": null }],
        },
    ] })
}

/// A request that carries all headers that [`by_body`] changes.
fn post<'h>(host: &'h mut Host, version: &str, body: &str) -> Builder<'h> {
    let request = host.request().method("POST").header("version", version).body(body);
    let request = request.header("X-Lane", "a").header("x-lane", "b");
    request.header("x-more", "1").header("x-more", "2").header("x-secret", "s")
}

fn assert_headers_as_sent(outcome: &Outcome) {
    assert_eq!(outcome.request_header("x-lane"), ["a", "b"]);
    assert_eq!(outcome.request_header("x-more"), ["1", "2"]);
    assert_eq!(outcome.request_header("x-secret"), ["s"]);
    assert_eq!(outcome.request_header("x-new"), [""; 0]);
}

#[test]
fn a_body_overrules_what_was_decided_without_it() {
    let mut host = Kong::bridged().with(&by_body());
    // From one upstream to another: the first one's changes are undone.
    let outcome = post(&mut host, "1", r#"{"uid":1}"#).send();
    assert_routed(&outcome, "20", "canary");
    assert_eq!(outcome.request_header("x-lane"), ["canary"]);
    assert_eq!(outcome.request_header("x-more"), ["1", "2"]);
    assert_eq!(outcome.request_header("x-secret"), ["s"]);
    assert_eq!(outcome.request_header("x-new"), [""; 0]);

    // From nothing to an upstream.
    assert_routed(&post(&mut host, "0", r#"{"uid":1}"#).send(), "20", "canary");

    // From nothing, or from an upstream, to the service's own.
    for version in ["0", "1"] {
        let outcome = post(&mut host, version, r#"{"uid":2}"#).send();
        assert_eq!((outcome.upstream.as_str(), outcome.error()), (OWN, None));
        assert_eq!(outcome.shown(), (Some("15".to_owned()), None));
        assert_eq!(outcome.published("tse_route_upstream"), None);
        assert_headers_as_sent(&outcome);
    }
}

#[test]
fn a_body_confirms_what_was_decided_without_it() {
    let mut host = Kong::bridged().with(&by_body());
    let outcome = post(&mut host, "1", r#"{"uid":3}"#).send();
    assert_routed(&outcome, "10", "blue");
    assert_eq!(outcome.request_header("x-lane"), ["blue"]);
    assert_eq!(outcome.request_header("x-more"), ["1", "2", "3"], "once");
    assert_eq!(outcome.calls_of("set_").len(), 1);
    assert_untouched(&post(&mut host, "0", r#"{"uid":3}"#).send());
    assert_routed(&post(&mut host, "1", "not JSON").send(), "10", "blue");
}

#[test]
fn without_a_body_the_first_decision_stands() {
    let mut host = Kong::bridged().with(&by_body());
    assert_routed(&host.request().header("version", "1").send(), "10", "blue");
    assert_untouched(&host.request().send());
    // A POST of no bytes has no body step.
    let outcome = host.request().method("POST").header("version", "1").body("").send();
    assert_routed(&outcome, "10", "blue");
    assert!(outcome.calls_of("get_body").is_empty());
}

/// A rule that holds only as long as there is no body with the parameter.
fn without_parameter() -> Value {
    let mut configuration = by_body();
    let rules = configuration["rules"].as_array_mut().unwrap();
    rules[1]["condition"]["body"] = json!({ "key": "uid", "operator": "not exists" });
    configuration
}

#[test]
fn a_decision_is_taken_back_when_the_body_speaks_against_it() {
    let mut host = Kong::bridged().with(&without_parameter());
    assert_routed(&host.request().header("version", "1").send(), "10", "blue");
    assert_routed(&post(&mut host, "1", r#"{"id":3}"#).send(), "10", "blue");
    let outcome = post(&mut host, "1", r#"{"uid":3}"#).send();
    assert_untouched(&outcome);
    assert_headers_as_sent(&outcome);
}

/// Nothing can be counted on Kong, so the log has to say why a body rule does not match.
#[test]
fn a_body_that_cannot_be_looked_at_is_logged_once_a_minute() {
    let in_a_file = "x".repeat(9 * 1024);
    for (body, reason) in [(in_a_file.as_str(), "body-unreadable: "), ("{", "body-unparsable: ")] {
        let mut host = Kong::bridged().with(&by_body());
        post(&mut host, "0", body).send();
        post(&mut host, "0", body).send();
        let errors = host.take_errors();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].starts_with(reason), "{errors:?}");
    }
}

#[test]
fn what_was_not_followed_may_be_with_a_body() {
    let mut configuration = by_body();
    configuration["rules"][1]["upstream"][0]["name"] = "nowhere".into();
    let mut host = Kong::bridged().with(&configuration);
    let outcome = post(&mut host, "1", r#"{"uid":3}"#).send();
    assert_refused_by_bridge(&outcome, "10", "unknown-upstream");
    assert_headers_as_sent(&outcome);
    assert_routed(&post(&mut host, "1", r#"{"uid":1}"#).send(), "20", "canary");
}

#[test]
fn without_the_bridge_no_body_is_waited_for() {
    // A header that was set without the body could not be taken back with it.
    let mut configuration = without_parameter();
    configuration["route_by"] = "header".into();
    let mut host = Kong::alone().with(&configuration);
    for body in [r#"{"uid":3}"#, r#"{"id":3}"#] {
        assert_refused(&post(&mut host, "1", body).send(), "bridge-missing");
    }
    let outcome = post(&mut host, "2", "{}").send();
    assert!(outcome.calls_of("get_body").is_empty());
}

/// What another filter of the chain has decided.
fn of_another(upstream: &str) -> String {
    let headers = json!({ "rule": "X-Kong-Route-Rule", "upstream": "X-Kong-Route-Upstream" });
    json!({ "id": 17, "rule": "99", "upstream": upstream, "headers": headers }).to_string()
}

#[test]
fn a_later_filter_of_the_chain_has_the_last_word() {
    // (what the rules say without the body and with it, after another filter decided between)
    let chain = || Kong::greeting(json!({ "protocol": 3, "id": 17, "others": 1 }));
    let send = |version: &str, body: &str| {
        let mut host = chain().with(&without_parameter());
        let request = post(&mut host, version, body);
        request.decided_over("x-tse-route-decision", &of_another("green")).send()
    };
    // Its body step comes after that of the filter before it: what has decided, decides again.
    assert_routed(&send("1", r#"{"uid":1}"#), "20", "canary");
    assert_routed(&send("1", r#"{"id":3}"#), "10", "blue");
    // It takes back what is its own, and not the other's.
    assert_routed(&send("1", r#"{"uid":3}"#), "99", "green");
    assert_routed(&send("0", r#"{"uid":3}"#), "99", "green");
    let mut host = chain().with(&without_parameter());
    assert_untouched(&post(&mut host, "1", r#"{"uid":3}"#).send());

    // One that does not wait for the body, too.
    let mut host = chain().with(&canary());
    let request = post(&mut host, "1", "x");
    let outcome = request.decided_over("x-tse-route-decision", &of_another("green")).send();
    assert_routed(&outcome, "10", "canary");
}

#[test]
fn a_request_that_is_decided_twice_is_drawn_once() {
    let mut host = Kong::bridged().with(&json!({ "rules": [
        {
            "weight": 20,
            "condition": { "body": { "key": "uid", "operator": "eq", "value": 1 } },
            "upstream": [{ "name": "green" }],
        },
        { "weight": 10, "upstream": [
            { "name": "canary", "weight": 50 }, { "name": "blue", "weight": 50 },
        ] },
    ] }));
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..50 {
        let outcome = host.request().method("POST").body(r#"{"uid":2}"#).send();
        assert_eq!(outcome.calls_of("set_").len(), 1, "it must not change sides");
        seen.insert(outcome.upstream);
    }
    assert_eq!(seen.len(), 2);
}

#[test]
fn a_body_above_the_buffer_has_no_parameters() {
    let padded = |size: usize| {
        let body = r#"{"uid":1}"#;
        format!("{body}{}", " ".repeat(size - body.len()))
    };
    let send = |buffer_size: usize, max: u64, size: usize| {
        let mut configuration = by_body();
        configuration["body_max_bytes"] = max.into();
        let mut host = Kong::bridged().buffer_size(buffer_size).with(&configuration);
        host.request().method("POST").header("version", "1").body(padded(size)).send().upstream
    };
    assert_eq!(send(8192, 65536, 8192), "canary");
    assert_eq!(send(8192, 65536, 8193), "blue", "nginx has it in a file");
    assert_eq!(send(1 << 20, 65536, 65536), "canary");
    assert_eq!(send(1 << 20, 65536, 65537), "blue", "larger than body_max_bytes");
    assert_eq!(send(8192, 100, 101), "blue");
    assert_eq!(send(8192, 100, 100), "canary");
}

#[test]
fn forms_and_text_are_read_too() {
    let item = json!({ "key": "uid", "operator": "eq", "value": "a b" });
    let text = json!({ "operator": "suffix", "value": "/>" });
    let mut host = Kong::bridged().with(&rules([
        rule(20, json!({ "body": item }), "canary"),
        rule(10, json!({ "body": text }), "blue"),
    ]));
    let mut send = |content_type: &str, body: &[u8]| {
        let request = host.request().method("POST").header("Content-Type", content_type);
        request.body(body).send().upstream
    };
    assert_eq!(send("application/x-www-form-urlencoded", b"x=1&uid=a+b"), "canary");
    assert_eq!(send("application/xml", b"<a b=\"\xff\"/>"), "blue");
    assert_eq!(send("application/xml", b"<a>"), OWN);
}

#[test]
fn route_by_header_only_sets_the_header() {
    let mut configuration = by_body();
    configuration["route_by"] = "header".into();
    configuration["upstream_header"] = "X-Target-Version".into();
    let mut host = Kong::bridged().with(&configuration);
    let header = |outcome: &Outcome| outcome.request_header("x-target-version");

    let outcome = post(&mut host, "1", r#"{"uid":3}"#).send();
    assert_eq!((outcome.upstream.as_str(), outcome.error()), (OWN, None));
    assert_eq!(header(&outcome), ["blue"]);
    assert_eq!(outcome.shown(), shown("10", "blue"));
    assert_eq!(outcome.request_header("x-lane"), ["blue"]);
    assert_eq!(outcome.published("tse_route_upstream").as_deref(), Some("blue"));

    let overruled = post(&mut host, "1", r#"{"uid":1}"#).send();
    assert_eq!(header(&overruled), ["canary"]);
    assert_eq!(overruled.shown(), shown("20", "canary"));
    assert_eq!(overruled.published("tse_route_upstream").as_deref(), Some("canary"));

    let to_own = post(&mut host, "1", r#"{"uid":2}"#).send();
    assert_eq!(header(&to_own), [""; 0]);
    assert_eq!(to_own.published("tse_route_rule").as_deref(), Some("15"));
    assert_eq!(to_own.published("tse_route_upstream"), None);

    // In two tiers nobody else chooses.
    for name in ["x-target-version", "X_Target-Version"] {
        for (version, expected) in [("0", &[][..]), ("1", &["blue"]), ("2", &[])] {
            let request = post(&mut host, version, r#"{"uid":3}"#).header(name, "green");
            let outcome = request.header("X-Target-Version", "green").send();
            assert_eq!(header(&outcome), expected, "{version}");
            assert_eq!(outcome.request_header("x_target-version"), [""; 0]);
        }
    }
}

#[test]
fn route_by_header_needs_no_bridge() {
    let mut configuration = rules([
        rule(20, eq("header", "version", "1"), "canary"),
        rule(10, eq("header", "version", "2"), "blue"),
    ]);
    configuration["rules"][1]["upstream"][0]["name"] = Value::Null;
    configuration["route_by"] = "header".into();
    configuration["upstream_header"] = "X-Target-Version".into();
    let mut host = Kong::alone().with(&configuration);
    let header = |outcome: &Outcome| outcome.request_header("x-target-version");
    let outcome = post(&mut host, "1", "x").send();
    assert_eq!((outcome.upstream.as_str(), outcome.error()), (OWN, None));
    assert_eq!(header(&outcome), ["canary"]);
    assert_eq!(outcome.shown(), shown("20", "canary"));
    let own = host.request().header("version", "2").send();
    assert_eq!(header(&own), [""; 0]);
    assert_eq!(own.shown(), (Some("10".to_owned()), None));
    assert_untouched(&host.request().send());
}

#[test]
fn a_header_that_routes_is_taken_back_with_its_decision() {
    let mut configuration = without_parameter();
    configuration["route_by"] = "header".into();
    let mut host = Kong::bridged().with(&configuration);
    let outcome = post(&mut host, "1", r#"{"uid":3}"#).send();
    assert_untouched(&outcome);
    assert_headers_as_sent(&outcome);
}
