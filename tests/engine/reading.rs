//! How a request is read: bytes, repetitions, laziness.

#[cfg(target_arch = "wasm32")]
use super::support::test;
use super::support::*;
use serde_json::json;
use std::borrow::Cow;
use tse_route::engine::{Body, BodyFault, Outcome};

fn eq(location: &str, key: &str, value: &str) -> serde_json::Value {
    json!({ location: { "key": key, "operator": "eq", "value": value } })
}

#[test]
fn the_first_of_repeated_parameters_counts() {
    let request = MemoryRequest::get("/?p=1&p=2").header("P", "1").header("p", "2");
    for location in ["header", "query"] {
        assert!(holds(&eq(location, "p", "1"), &request), "{location}");
        assert!(!holds(&eq(location, "p", "2"), &request), "{location}");
    }
}

#[test]
fn all_cookie_headers_count() {
    let request =
        MemoryRequest::get("/").header("cookie", "a=1; b=2").header("Cookie", "c=\"3\"; a=4");
    for (name, value, expected) in
        [("a", "1", true), ("a", "4", false), ("b", "2", true), ("c", "3", true), ("C", "3", false)]
    {
        assert_eq!(holds(&eq("cookie", name, value), &request), expected, "{name}={value}");
    }
}

#[test]
fn members_of_all_baggage_headers_count() {
    let request = MemoryRequest::get("/")
        .header("baggage", "lane=gr%65en;ttl=1, b = 2 ")
        .header("Baggage", "c=a%2Cb+c,lane=blue");
    for (key, value, expected) in [
        ("lane", "green", true),
        ("lane", "blue", false),
        ("b", "2", true),
        ("c", "a,b+c", true),
        ("C", "a,b+c", false),
        ("ttl", "1", false),
    ] {
        assert_eq!(holds(&eq("baggage", key, value), &request), expected, "{key}={value}");
    }
    let absent = json!({ "baggage": { "key": "none", "operator": "not exists" } });
    assert!(holds(&absent, &request) && holds(&absent, &MemoryRequest::get("/")));
}

#[test]
fn header_names_have_no_case() {
    let request = MemoryRequest::get("/").header("X-Version", "2");
    assert!(holds(&eq("header", "x-VERSION", "2"), &request));
}

#[test]
fn values_are_bytes() {
    let junk = b"\xff\xfe\x80";
    let request = MemoryRequest::get(b"/\xff?p=\xff%fe\x80")
        .header("p", junk)
        .header("cookie", b"p=\xff\xfe\x80")
        .header("baggage", b"p=\xff%fe\x80;\xff");
    for location in ["header", "query", "cookie", "baggage"] {
        for (operator, value, expected) in [
            ("exists", "", true),
            ("ne", "x", true),
            ("regex", r"^\xff\xfe.$", true),
            ("gt", "0", false),
            ("contains", "x", false),
        ] {
            let condition =
                json!({ location: { "key": "p", "operator": operator, "value": value } });
            assert_eq!(holds(&condition, &request), expected, "{location} {operator}");
        }
    }
    assert!(holds(&json!({ "path": { "operator": "regex", "value": r"^/\xff$" } }), &request));
}

#[test]
fn an_empty_request_is_no_error() {
    let nothing = MemoryRequest::default();
    for location in ["header", "query", "cookie", "baggage", "body"] {
        assert!(!holds(&eq(location, "p", ""), &nothing), "{location}");
    }
    for location in ["path", "method"] {
        assert!(!holds(&json!({ location: { "operator": "exists" } }), &nothing), "{location}");
    }
}

#[test]
fn each_part_is_read_at_most_once_and_only_when_needed() {
    let rules = |conditions: &[serde_json::Value]| {
        let rules: Vec<_> = conditions
            .iter()
            .enumerate()
            .map(|(index, condition)| {
                json!({ "weight": 100 - index, "condition": condition, "upstream": [{ "name": "c" }] })
            })
            .collect();
        loaded(&json!({ "rules": rules }))
    };
    let reads = |conditions: &[serde_json::Value], request: &MemoryRequest| {
        decide(&rules(conditions), request);
        request.reads.take()
    };
    let request = MemoryRequest::get("/x?a=1&b=2").header("cookie", "a=1").header("v", "2");
    let request = request.header("baggage", "a=1");

    assert_eq!(reads(&[], &request), [""; 0]);
    let same = [eq("header", "v", "1"), eq("header", "V", "3"), eq("header", "v", "4")];
    assert_eq!(reads(&same, &request), ["v"]);
    let of_target = [eq("query", "a", "0"), eq("query", "b", "0"), json!({ "path": "/y" })];
    assert_eq!(reads(&of_target, &request), ["target"]);
    let of_cookies = [eq("cookie", "a", "0"), eq("cookie", "b", "0")];
    assert_eq!(reads(&of_cookies, &request), ["cookies"]);
    let of_baggage = [eq("baggage", "a", "0"), eq("baggage", "b", "0")];
    assert_eq!(reads(&of_baggage, &request), ["baggage"]);
    let decided_early = [eq("header", "v", "2"), eq("header", "other", "1")];
    assert_eq!(reads(&decided_early, &request), ["v"]);
    let unmet = json!({
        "header": [{ "key": "v", "operator": "eq", "value": "1" }, { "key": "w", "operator": "exists" }],
    });
    assert_eq!(reads(&[unmet], &request), ["v"]);
    let body_last = json!({
        "body": { "key": "a", "operator": "exists" },
        "header": { "key": "v", "operator": "eq", "value": "1" },
    });
    assert_eq!(reads(&[body_last], &request), ["v"]);
}

#[test]
fn the_body_is_asked_for_only_when_it_decides() {
    let pending = MemoryRequest { body: Some(Body::Pending), ..MemoryRequest::get("/") };
    let body_rule = |match_type: &str, header: &str| {
        loaded(&json!({ "rules": [{
            "match_type": match_type,
            "condition": {
                "body": { "key": "a", "operator": "eq", "value": "1" },
                "header": { "key": "v", "operator": "eq", "value": header },
            },
            "upstream": [{ "name": "c" }],
        }] }))
    };
    let request = pending.header("v", "1");
    for (match_type, header, needs_body) in
        [("AND", "1", true), ("AND", "2", false), ("OR", "1", false), ("OR", "2", true)]
    {
        let verdict = decide(&body_rule(match_type, header), &request);
        assert_eq!(verdict.outcome == Outcome::NeedsBody, needs_body, "{match_type} {header}");
        assert_eq!(verdict.asked_for_body, needs_body, "{match_type} {header}");
    }
}

#[test]
fn bodies_that_cannot_be_used_have_no_parameters_and_say_why() {
    let rule = |key: &str| {
        loaded(&json!({ "rules": [{
            "condition": { "body": { "key": key, "operator": "not exists" } },
            "upstream": [{ "name": "c" }],
        }] }))
    };
    for (body, key, fault) in [
        (Body::Unreadable, "a", Some(BodyFault::Unreadable)),
        (Body::Unreadable, "", Some(BodyFault::Unreadable)),
        (Body::Whole(Cow::Borrowed(b"{")), "a", Some(BodyFault::Unparsable)),
        (Body::None, "a", None),
        (Body::None, "", None),
    ] {
        let request = MemoryRequest { body: Some(body.clone()), ..MemoryRequest::get("/") };
        let verdict = decide(&rule(key), &request);
        assert!(matches!(verdict.outcome, Outcome::Routed(_)), "{body:?} {key:?}");
        assert_eq!(verdict.body_fault, fault, "{body:?} {key:?}");
    }
}

#[test]
fn the_whole_body_is_text() {
    let request = MemoryRequest::get("/").body(b"hello \xff world");
    for key in [json!(null), json!("")] {
        let condition = json!({ "body": { "key": key, "operator": "suffix", "value": " world" } });
        assert!(holds(&condition, &request), "{key}");
    }
}
