//! The filter in Envoy, which can hold a request back until its body is there.

use crate::asserts::{INTERNAL, assert_untouched};
use crate::configs::{eq, rule, rules};
use crate::harness::{Builder, Envoy, Host, OWN, Start};
use serde_json::{Value, json};
use std::time::Duration;

/// A rule on a body that sends what meets it to the canary.
fn on_body(item: Value) -> Value {
    rules([rule(10, json!({ "body": item }), "canary")])
}

#[test]
fn a_forged_header_waits_for_the_body_in_vain() {
    let mut host = Envoy::new().with(&on_body(json!({ "operator": "contains", "value": "yes" })));
    let request = |host: &mut Host, body: &str| {
        host.request().method("POST").header(INTERNAL, "blue").body(body).send()
    };
    assert_untouched(&request(&mut host, "no"));
    assert_eq!(request(&mut host, "yes").upstream, "canary");
}

/// Sends a body in two pieces, cut at every place, and returns where the requests went.
fn cut_everywhere(host: &mut Host, content_type: &str, body: &[u8]) -> Vec<String> {
    let cuts = 0..=body.len();
    let upstreams = cuts.map(|cut| {
        let request = host.request().method("POST").header("content-type", content_type);
        request.body(&body[..cut]).body(&body[cut..]).send().upstream
    });
    let mut upstreams: Vec<String> = upstreams.collect();
    upstreams.dedup();
    upstreams
}

#[test]
fn a_body_is_looked_at_as_a_whole() {
    let json_item = json!({ "key": "user.id", "operator": "eq", "value": 42 });
    let form_item = json!({ "key": "uid", "operator": "eq", "value": "a b" });
    let text_item = json!({ "operator": "regex", "value": "^<order .*/>$" });
    let form = "application/x-www-form-urlencoded";
    let table: &[(&Value, &str, &[u8], &str)] = &[
        (&json_item, "application/json", br#"{"user":{"id":42}}"#, "canary"),
        (&json_item, "application/json", br#"{"user":{"id":41}}"#, OWN),
        (&json_item, "text/plain", br#"{"user":{"id":42}}"#, "canary"),
        (&json_item, "application/json", br#"{"user":{"id":42}"#, OWN), // cut off
        (&form_item, form, b"x=1&uid=a+b", "canary"),
        (&form_item, form, b"uid=a%20b", "canary"),
        (&form_item, form, b"uid=b&uid=a+b", OWN), // the first one counts
        (&form_item, "text/plain", b"uid=a+b", OWN),
        (&text_item, "application/xml", b"<order id=\"\xff\"/>", "canary"),
        (&text_item, "application/xml", b"<order id=\"\xff\">", OWN),
    ];
    for (item, content_type, body, upstream) in table {
        let mut host = Envoy::new().with(&on_body((*item).clone()));
        let found = cut_everywhere(&mut host, content_type, body);
        assert_eq!(found, [*upstream], "{item} in {:?}", body.escape_ascii().to_string());
    }
}

#[test]
fn a_body_may_come_in_many_pieces_and_end_in_many_ways() {
    let configuration = on_body(json!({ "operator": "eq", "value": "abc" }));
    type Sent = fn(Builder<'_>) -> Builder<'_>;
    let table: &[(Sent, &str)] = &[
        (|request| request.body("a").body("b").body("c"), "canary"),
        (|request| request.body("abc").body(""), "canary"), // the end comes alone
        (|request| request.body("").body("").body("abc"), "canary"),
        (|request| request.body("ab").body("c").trailers(), "canary"),
        (|request| request.trailers(), OWN), // no body, but trailers
        (|request| request.body(""), OWN),
        (|request| request.body("abcd"), OWN),
        (|request| request, OWN), // ends with the headers
    ];
    let mut host = Envoy::new().with(&configuration);
    for (index, (request, upstream)) in table.iter().enumerate() {
        let outcome = request(host.request().method("POST")).send();
        assert_eq!(outcome.upstream, *upstream, "line {index}");
        assert_eq!(outcome.status, Some(200));
    }
}

#[test]
fn a_request_without_body_has_no_parameters() {
    let mut host = Envoy::new().with(&on_body(json!({ "key": "uid", "operator": "not exists" })));
    assert_eq!(host.request().send().upstream, "canary");
    assert_eq!(host.request().method("POST").body(r#"{"uid":1}"#).send().upstream, OWN);
    assert_eq!(host.request().method("POST").body(r#"{"id":1}"#).send().upstream, "canary");
}

#[test]
fn a_body_over_the_limit_has_no_parameters() {
    let mut configuration = rules([
        rule(20, json!({ "body": { "operator": "contains", "value": "x" } }), "canary"),
        rule(10, json!({ "body": { "operator": "not exists" } }), "blue"),
    ]);
    configuration["body_max_bytes"] = json!(100);
    let mut host = Envoy::new().with(&configuration);
    let errors = "tse_route_errors_total;reason=body-unreadable";
    let mut send = |pieces: &[usize]| {
        let request = host.request().method("POST");
        let request = pieces.iter().fold(request, |request, size| request.body(vec![b'x'; *size]));
        let upstream = request.send().upstream;
        (upstream, host.metric(errors))
    };
    assert_eq!(send(&[100]), ("canary".to_owned(), Some(0)));
    assert_eq!(send(&[50, 50]), ("canary".to_owned(), Some(0)));
    assert_eq!(send(&[101]), ("blue".to_owned(), Some(1)));
    // It is let go as soon as it is too large, and not looked at again.
    assert_eq!(send(&[60, 60, 60, 60]), ("blue".to_owned(), Some(2)));
}

#[test]
fn a_body_that_cannot_be_parsed_is_counted() {
    let item = json!({ "key": "uid", "operator": "eq", "value": 1 });
    let mut host = Envoy::new().with(&on_body(item));
    for body in ["{", "uid=1", "\u{feff}{}"] {
        assert_eq!(host.request().method("POST").body(body).send().upstream, OWN);
    }
    assert_eq!(host.metric("tse_route_errors_total;reason=body-unparsable"), Some(3));
}

#[test]
fn without_stop_iteration_the_operator_is_told_why_bodies_hang() {
    let configuration = on_body(json!({ "operator": "eq", "value": "abc" }));
    let mut host = Envoy::new().without_stop_iteration().with(&configuration);
    host.take_log();
    let mut hang = || {
        let outcome = host.request().method("POST").body("abc").send();
        assert_eq!(outcome.status, None, "the stream times out");
        let errors = host.take_errors();
        host.advance(Duration::from_secs(20));
        errors
    };
    let errors = hang();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].contains("allow_on_headers_stop_iteration: true"), "{errors:?}");
    assert!(hang().is_empty(), "at most once a minute");
    assert!(hang().is_empty());
    assert_eq!(hang().len(), 1);

    // What needs no body is not concerned.
    assert_eq!(host.request().send().upstream, OWN);
}

#[test]
fn requests_that_wait_do_not_disturb_others() {
    let configuration = rules([
        rule(20, json!({ "body": { "operator": "eq", "value": "abc" } }), "canary"),
        rule(10, eq("header", "version", "1"), "blue"),
    ]);
    let mut host = Envoy::new().with(&configuration);
    let waiting = host.request().method("POST").body("ab").body("c").send_around(|host| {
        let other = host.request().method("POST").header("version", "1").body("x");
        let other = other.send_around(|host| assert_untouched(&host.request().send()));
        assert_eq!(other.upstream, "blue");
    });
    assert_eq!(waiting.upstream, "canary");
}
