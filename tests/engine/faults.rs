//! What is wrong with a configuration: the place, what was found, what is accepted, all at once.

#[cfg(target_arch = "wasm32")]
use super::support::test;
use serde_json::{Value, json};

fn errors(config: &Value) -> Vec<String> {
    let report = tse_route::load(config.to_string().as_bytes()).expect_err("faults");
    report.errors().map(ToString::to_string).collect()
}

/// A configuration with one rule that has this condition.
fn rule(condition: &Value) -> Value {
    json!({ "rules": [{ "condition": condition, "upstream": [{ "name": "a" }] }] })
}

#[test]
fn every_fault_has_its_place() {
    let upstream = json!([{ "name": "a" }]);
    let table: &[(Value, &str, &str)] = &[
        (json!([]), "configuration", "a list; accepted is an object"),
        (json!({ "rule": [] }), "rule", "did you mean `rules`?"),
        (json!({ "rules": { "a": 1 } }), "rules", "an object; accepted is a list"),
        (json!({ "rules": [7] }), "rules[0]", "the number 7"),
        (json!({ "rules": [{}] }), "rules[0].upstream", "missing"),
        (json!({ "rules": [{ "upstream": [] }] }), "rules[0].upstream", "a list of 0"),
        (
            json!({ "rules": [{ "upstream": upstream, "weight": 101 }] }),
            "rules[0].weight",
            "from 0 to 100",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "weight": -1 }] }),
            "rules[0].weight",
            "the number -1",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "weight": "22" }] }),
            "rules[0].weight",
            "the string \"22\"",
        ),
        (json!({ "rules": [{ "upstream": upstream, "weight": 1.5 }] }), "rules[0].weight", "1.5"),
        (
            json!({ "rules": [{ "upstream": upstream, "enabled": "yes" }] }),
            "rules[0].enabled",
            "`true` or `false`",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "enabled": null }] }),
            "rules[0].enabled",
            "null",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "match_type": "and" }] }),
            "rules[0].match_type",
            "`AND`",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "upstreams": [] }] }),
            "rules[0].upstreams",
            "did you mean `upstream`?",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "weight_total": 0 }] }),
            "rules[0].weight_total",
            "from 1",
        ),
        (
            json!({ "rules": [{ "upstream": [{ "name": "" }] }] }),
            "rules[0].upstream[0].name",
            "visible ASCII",
        ),
        (
            json!({ "rules": [{ "upstream": [{ "name": "a b" }] }] }),
            "rules[0].upstream[0].name",
            "without spaces",
        ),
        (
            json!({ "rules": [{ "upstream": [{ "name": "a", "weight": 0.001 }] }] }),
            "rules[0].upstream[0].weight",
            "two decimals",
        ),
        (
            json!({ "rules": [{ "upstream": [{ "name": "a", "weight": -1 }] }] }),
            "rules[0].upstream[0].weight",
            "0 or more",
        ),
        (
            json!({ "rules": [{ "upstream": [{ "name": "a", "weight": 1e10 }] }] }),
            "rules[0].upstream[0].weight",
            "at most 1000000000",
        ),
        (
            json!({ "rules": [{ "upstream": [{ "name": "a", "request_headers": { "remove": ["Content-Length"] } }] }] }),
            "rules[0].upstream[0].request_headers.remove[0]",
            "where the message ends",
        ),
        (
            json!({ "rules": [{ "upstream": [{ "name": "a", "request_headers": { "add": [{ "name": "TE", "value": "x" }] } }] }] }),
            "rules[0].upstream[0].request_headers.add[0].name",
            "belongs to a single connection",
        ),
        (json!({ "upstream_header": "Cookie" }), "upstream_header", "the request needs itself"),
        (
            json!({ "response_headers": { "name": "Transfer-Encoding" } }),
            "response_headers.name",
            "where the message ends",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "hash_on": "cookie", "hash_on_cookie": "__Secure-a" }] }),
            "rules[0].hash_on_cookie",
            "`hash_on_cookie_secure: true`",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "hash_on": "cookie", "hash_on_cookie": "__HOST-a", "hash_on_cookie_secure": true, "hash_on_cookie_path": "/a" }] }),
            "rules[0].hash_on_cookie_path",
            "for `/` only",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "rollout": { "start": "1969-12-31T23:59:59Z", "duration": 1, "to": { "a": 1 } } }] }),
            "rules[0].rollout.start",
            "from 1970-01-01T00:00:00Z",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "rollout": { "start": "+5", "duration": 1, "to": { "a": 1 } } }] }),
            "rules[0].rollout.start",
            "RFC 3339",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "rollout": { "start": 5, "duration": "3661d", "to": { "a": 1 } } }] }),
            "rules[0].rollout.duration",
            "at most 3660d",
        ),
        (json!({ "body_max_bytes": 1e300 }), "body_max_bytes", "from 1 to 16777216"),
        (
            json!({ "rules": [{ "upstream": [{ "name": "a", "weight": 60 }, { "name": "b", "weight": 40.01 }] }] }),
            "rules[0].upstream",
            "add up to 100.01; accepted is at most 100",
        ),
        (
            json!({ "rules": [{ "enabled": false, "upstream": [{ "name": "a", "weight": 101 }] }] }),
            "rules[0].upstream",
            "add up to 101",
        ),
        (
            json!({ "rules": [{ "upstream": [{ "name": "a", "request_headers": { "set": [{ "name": "a b", "value": "" }] } }] }] }),
            "rules[0].upstream[0].request_headers.set[0].name",
            "the name of a header",
        ),
        (
            json!({ "rules": [{ "upstream": [{ "name": "a", "request_headers": { "add": [{ "name": "a" }] } }] }] }),
            "rules[0].upstream[0].request_headers.add[0].value",
            "missing",
        ),
        (
            json!({ "rules": [{ "upstream": [{ "name": "a", "request_headers": { "set": [{ "name": "a", "value": "x\r\ny: z" }] } }] }] }),
            "rules[0].upstream[0].request_headers.set[0].value",
            "without line breaks",
        ),
        (
            json!({ "rules": [{ "upstream": [{ "name": "a", "request_headers": { "baggage": {
                "set": [{ "key": "a", "value": "%".repeat(3_000) }],
            } } }] }] }),
            "rules[0].upstream[0].request_headers.baggage.set",
            "members of 9002 bytes in all; accepted are at most 8192",
        ),
        (
            json!({ "rules": [{ "upstream": [{ "name": "a", "request_headers": { "remove": ["X-Tse-Route-Upstream"] } }] }] }),
            "rules[0].upstream[0].request_headers.remove[0]",
            "carries the chosen upstream",
        ),
        (rule(&json!({ "headers": [] })), "rules[0].condition.headers", "did you mean `header`?"),
        (rule(&json!({ "header": "v" })), "rules[0].condition.header", "the string \"v\""),
        // Neither an item nor, after Kong's Lua had it, certainly an empty list.
        (rule(&json!({ "header": {} })), "rules[0].condition.header", "or null for none"),
        (rule(&json!({ "path": {} })), "rules[0].condition.path", "an empty object"),
        (rule(&json!({ "path": [{}] })), "rules[0].condition.path[0].operator", "missing"),
        (
            rule(&json!({ "header": { "operator": "exists" } })),
            "rules[0].condition.header.key",
            "needs the name",
        ),
        (
            rule(&json!({ "header": { "key": "a b", "operator": "exists" } })),
            "rules[0].condition.header.key",
            "name of a header",
        ),
        (
            rule(&json!({ "header": { "key": ":path", "operator": "exists" } })),
            "rules[0].condition.header.key",
            "`path` looks at the path",
        ),
        (
            rule(&json!({ "header": { "key": "a", "operator": "exists", "operater": "eq" } })),
            "rules[0].condition.header.operater",
            "did you mean `operator`?",
        ),
        (
            rule(&json!({ "header": [{ "key": "a", "operator": "equals", "value": "" }] })),
            "rules[0].condition.header[0].operator",
            "\"equals\"",
        ),
        (
            rule(&json!({ "header": [{ "key": "a", "operator": "not-in", "value": "" }] })),
            "rules[0].condition.header[0].operator",
            "did you mean `not in`?",
        ),
        (
            rule(&json!({ "query": { "key": "a", "operator": "eq" } })),
            "rules[0].condition.query.value",
            "needs a `value`",
        ),
        (
            rule(&json!({ "query": { "key": "a", "operator": "eq", "value": [] } })),
            "rules[0].condition.query.value",
            "a list",
        ),
        (
            rule(
                &json!({ "query": { "key": "a", "operator": "in", "value": "x", "delimiter": "|" } }),
            ),
            "rules[0].condition.query.delimiter",
            "\"|\"",
        ),
        (
            rule(&json!({ "query": { "key": "a", "operator": "lt", "value": "abc" } })),
            "rules[0].condition.query.value",
            "a decimal number",
        ),
        (
            rule(&json!({ "query": { "key": "a", "operator": "regex", "value": "(" } })),
            "rules[0].condition.query.value",
            "unclosed group",
        ),
        (
            rule(&json!({ "query": { "key": "a", "operator": "in", "global_config_id": "x" } })),
            "rules[0].condition.query.global_config_id",
            "an entry of `global_configs`",
        ),
        (
            rule(&json!({ "system": { "key": "clientIp4", "operator": "exists" } })),
            "rules[0].condition.system.key",
            "did you mean `clientIP`?",
        ),
        (
            rule(
                &json!({ "system": { "key": "clientIP", "operator": "in", "value": "10.0.0.0/8,host" } }),
            ),
            "rules[0].condition.system.value",
            "\"host\" is no address",
        ),
        (
            rule(&json!({ "path": ["/a", { "operator": "eq", "value": "/b" }] })),
            "rules[0].condition.path[1]",
            "only strings",
        ),
        (
            json!({ "global_configs": [{ "id": "a", "value": "" }, { "id": "a", "value": "" }] }),
            "global_configs[1].id",
            "a second time",
        ),
        (json!({ "global_configs": [{ "id": "a" }] }), "global_configs[0].value", "missing"),
        (json!({ "body_max_bytes": 0 }), "body_max_bytes", "from 1"),
        (json!({ "upstream_header": "a:b" }), "upstream_header", "the name of a header"),
        (
            json!({ "response_headers": { "rules": "a" } }),
            "response_headers.rules",
            "did you mean `rule`?",
        ),
        (json!({ "response_headers": 7 }), "response_headers", "the number 7"),
        (json!({ "host": "nginx" }), "host", "`auto`, `kong` and `envoy`"),
        (json!({ "route_by": "cookie" }), "route_by", "`auto` and `header`"),
        (
            json!({ "rules": [{ "upstream": upstream, "hash_on": "session" }] }),
            "rules[0].hash_on",
            "`query_arg`",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "hash_on": "header" }] }),
            "rules[0].hash_on_header",
            "`hash_on: header` needs it",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "hash_on": "cookie" }] }),
            "rules[0].hash_on_cookie",
            "needs it",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "hash_on": "query_arg" }] }),
            "rules[0].hash_on_query_arg",
            "needs it",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "hash_on": "cookie", "hash_on_cookie": "a b" }] }),
            "rules[0].hash_on_cookie",
            "the name of a cookie",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "hash_on": "cookie", "hash_on_cookie": "a", "hash_on_cookie_path": "x;y" }] }),
            "rules[0].hash_on_cookie_path",
            "starts with `/`",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "hash_on": "ip", "hash_fallback": "header" }] }),
            "rules[0].hash_fallback_header",
            "`hash_fallback: header` needs it",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "hash_fallback": "ip" }] }),
            "rules[0].hash_fallback",
            "without `hash_on`",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "hash_on": "cookie", "hash_on_cookie": "a", "hash_fallback": "ip" }] }),
            "rules[0].hash_fallback",
            "a missing cookie is issued",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "rollout": { "stages": [{ "after": 0, "weights": { "a": 1 } }] } }] }),
            "rules[0].rollout.start",
            "missing",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "rollout": { "start": "soon", "stages": [{ "after": 0, "weights": { "a": 1 } }] } }] }),
            "rules[0].rollout.start",
            "RFC 3339",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "rollout": { "start": 0, "stages": [] } }] }),
            "rules[0].rollout.stages",
            "1 to 1000 stages",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "rollout": { "start": 0, "stages": [{ "after": 5, "weights": { "a": 1 } }, { "after": 4, "weights": { "a": 1 } }] } }] }),
            "rules[0].rollout.stages[1].after",
            "before the stage above",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "rollout": { "start": 0, "stages": [{ "after": "5x", "weights": { "a": 1 } }] } }] }),
            "rules[0].rollout.stages[0].after",
            "`1h30m`",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "rollout": { "start": 0, "stages": [{ "after": 0, "weights": { "b": 1 } }] } }] }),
            "rules[0].rollout.stages[0].weights.b",
            "the upstreams of this rule: `a`",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "rollout": { "start": 0, "stages": [{ "after": 0, "weights": { "a": 101 } }] } }] }),
            "rules[0].rollout.stages[0].weights",
            "add up to 101",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "rollout": { "start": 0, "stages": [{ "after": 0, "weights": {} }] } }] }),
            "rules[0].rollout.stages[0].weights",
            "an object from names",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "rollout": { "start": 0, "steps": 5, "stages": [{ "after": 0, "weights": { "a": 1 } }] } }] }),
            "rules[0].rollout.steps",
            "one or the other",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "rollout": { "start": 0, "to": { "a": 1 } } }] }),
            "rules[0].rollout.duration",
            "missing",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "rollout": { "start": 0, "duration": 5 } }] }),
            "rules[0].rollout.to",
            "missing",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "rollout": { "start": 0, "duration": 0, "to": { "a": 1 } } }] }),
            "rules[0].rollout.duration",
            "longer",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "circuit_breaker": {} }] }),
            "rules[0].circuit_breaker",
            "no limit",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "circuit_breaker": { "max_error_rate": 5 } }] }),
            "rules[0].circuit_breaker.max_error_rate",
            "0.05 is 5 %",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "circuit_breaker": { "max_latency": "1s" } }] }),
            "rules[0].circuit_breaker.max_slow_rate",
            "missing",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "circuit_breaker": { "max_error_rate": 0.1, "max_slow_rate": 0.1 } }] }),
            "rules[0].circuit_breaker.max_latency",
            "missing",
        ),
        (
            json!({ "rules": [{ "upstream": upstream, "circuit_breaker": { "max_error_rate": 0.1, "window": "10ms" } }] }),
            "rules[0].circuit_breaker.window",
            "less than 100ms",
        ),
        (
            json!({ "rules": [{ "upstream": [{ "name": null }], "rollout": { "start": 0, "duration": 1, "to": { "a": 1 } } }] }),
            "rules[0].rollout.to.a",
            "no upstream of this rule has a name",
        ),
        (
            json!({ "rules": [{ "upstream": [{ "name": "a", "weight": 50 }, { "name": "a", "weight": 50 }], "rollout": { "start": 0, "duration": 1, "to": { "a": 1 } } }] }),
            "rules[0].rollout.to.a",
            "lists once",
        ),
    ];
    for (config, path, words) in table {
        let errors = errors(config);
        assert_eq!(errors.len(), 1, "{config} {errors:#?}");
        assert!(errors[0].starts_with(&format!("{path}: ")), "{} is not at {path}", errors[0]);
        assert!(errors[0].contains(words), "{} does not say {words}", errors[0]);
    }
}

#[test]
fn all_faults_are_told_at_once() {
    let config = json!({
        "rules": [
            { "weight": 200, "condition": { "header": { "key": "a", "operator": "regex", "value": "[" } }, "upstream": [{ "name": "a", "weight": 300 }] },
            { "condition": { "query": { "key": "b", "operator": "xx", "value": "1" } }, "upstream": [{ "nme": "a" }] },
        ],
        "hosts": "kong",
    });
    let paths: Vec<_> =
        errors(&config).iter().map(|e| e.split(": ").next().unwrap().to_owned()).collect();
    for path in [
        "hosts",
        "rules[0].weight",
        "rules[0].condition.header.value",
        "rules[0].upstream",
        "rules[1].condition.query.operator",
        "rules[1].upstream[0].nme",
    ] {
        assert!(paths.iter().any(|found| found == path), "{path} is not among {paths:?}");
    }
    assert_eq!(paths.len(), 6, "{paths:?}");
}

#[test]
fn text_that_is_no_json_is_told_with_its_line() {
    let report = tse_route::load(b"{\n  \"rules\": [,]\n}").expect_err("a fault");
    assert!(report.to_string().contains("line 2 column 13"), "{report}");
}

#[test]
fn protobuf_is_told_from_json() {
    // google.protobuf.Struct {fields: {"rules": …}}
    let report =
        tse_route::load(b"\x0a\x0d\x0a\x05rules\x12\x04\x32\x02\x0a\x00").expect_err("a fault");
    assert!(report.to_string().contains("google.protobuf.StringValue"), "{report}");
}

#[test]
fn a_field_that_stands_twice_is_refused() {
    let json = br#"{"rules":[{"weight":1,"weight":2,"upstream":[{"name":"a"}]}]}"#;
    let report = tse_route::load(json).expect_err("a fault");
    let errors: Vec<_> = report.errors().map(ToString::to_string).collect();
    assert_eq!(errors, ["rules[0].weight: found a second time; accepted is each field once"]);
}

#[test]
fn limits_are_limits() {
    let one = json!({ "upstream": [{ "name": "a" }] });
    assert_eq!(errors(&json!({ "rules": vec![one; 10_001] })).len(), 1);
    let item = json!({ "key": "a", "operator": "exists" });
    let upstreams = vec![json!({ "name": "a", "weight": 0 }); 257];
    let too_many = json!({ "rules": [
        { "condition": { "header": vec![item; 1_001] }, "upstream": upstreams },
    ] });
    assert_eq!(errors(&too_many).len(), 2);
}

#[test]
fn a_hundred_errors_are_enough() {
    let report =
        tse_route::load(json!({ "rules": vec![json!({}); 10_000] }).to_string().as_bytes());
    let errors: Vec<_> = report.expect_err("faults").errors().map(ToString::to_string).collect();
    assert_eq!(errors.len(), 101);
    assert_eq!(errors[99], "rules[99].upstream: missing; this field is required");
    assert_eq!(errors[100], "configuration: more than 100 errors: the others are not told of");
}

#[test]
fn names_cannot_forge_log_lines() {
    let errors = errors(&json!({ "a\n[error] forged": 1 }));
    assert!(errors[0].starts_with("a\\n[error] forged: unknown field"), "{errors:?}");
}

#[test]
fn an_object_with_a_private_name_is_no_number() {
    let json = br#"{"body_max_bytes": {"$serde_json::private::Number": "5"}}"#;
    let report = tse_route::load(json).expect_err("a fault");
    assert!(report.to_string().contains("body_max_bytes: found an object"), "{report}");
}
