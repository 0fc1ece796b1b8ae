//! Who judges a configuration says the same of it: the JSON Schema, by which Kong's Admin API judges,
//! and the filter.
//!
//! A sound configuration is changed at random places, thousands of times, always the same. What the
//! filter accepts the schema must accept. What the filter refuses the schema must refuse too, unless
//! it is for one of the reasons that no schema of draft 4 can see, which are listed here.

#![cfg(not(target_family = "wasm"))]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use regex::Regex;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// What the filter alone can know.
const UNSEEN: &[&str] = &[
    // Sums, references, and what depends on another field.
    "add up to",
    "a second time",
    "bytes in all",
    "an entry of `global_configs`",
    "needs it",
    "found without `hash_on`",
    "a missing cookie is issued",
    "either `stages`",
    "found beside `stages`",
    "the upstreams of this rule",
    "no upstream of this rule has a name",
    "lists once",
    "the order of time",
    "found no limit",
    "carries the chosen upstream",
    "hash_on_cookie_secure",
    "for `/` only",
    // What is inside of a text.
    "not a regular expression",
    "is no address",
    "a decimal number",
    "RFC 3339",
    "from 1970",
    "at most 3660d",
    // What depends on the elements beside it.
    "only strings, or only items",
    // What floats make of decimals and of zero.
    "at most two decimals",
    "found 0; accepted is a longer duration",
    "a list of 0; accepted is a list of 1 to 1000 stages",
    "less than 100ms",
];

/// A configuration with everything in it.
fn sound() -> Value {
    json!({
        "description": "everything",
        "rules": [
            {
                "name": "all", "enabled": true, "weight": 22, "match_type": "OR", "weight_total": 200,
                "condition": {
                    "header": [
                        { "key": "version", "operator": "ge", "value": "1.2.0", "delimiter": null },
                        { "key": "tag", "operator": "regex", "value": "^b[0-9]+$" },
                    ],
                    "query": { "key": "age", "operator": "lt", "value": 30, "global_config_id": null },
                    "cookie": { "key": "group", "operator": "in", "global_config_id": "groups" },
                    "baggage": [{ "key": "lane", "operator": "eq", "value": "green" }],
                    "body": [{ "operator": "contains", "value": "x" }, { "key": null, "operator": "exists" }],
                    "system": { "key": "clientIP", "operator": "in", "value": "10.0.0.0/8;::1", "delimiter": ";" },
                    "path": ["/a", "/b"],
                    "method": "GET",
                },
                "upstream": [
                    { "name": "canary", "weight": 12.5, "request_headers": {
                        "set": [{ "name": "x-lane", "value": "canary" }],
                        "add": [{ "name": "x-seen", "value": 7 }],
                        "remove": ["x-secret"],
                        "baggage": { "set": [{ "key": "lane", "value": "{upstream}" }], "remove": ["old"] },
                    } },
                    { "name": null, "weight": 20, "request_headers": null },
                    { "weight": 30 },
                ],
                "hash_on": "cookie", "hash_on_cookie": "lane", "hash_on_cookie_path": "/shop",
                "hash_on_cookie_secure": true,
                "rollout": { "start": "2026-03-01T09:00:00+01:00", "duration": "1h30m", "steps": 10, "to": { "canary": 100 } },
                "circuit_breaker": {
                    "window": "10s", "min_requests": 20, "max_error_rate": 0.05, "max_latency": 1.5,
                    "max_slow_rate": 1, "cooldown": 30, "fallback": "stable",
                },
            },
            {
                "condition": null, "upstream": [{ "name": "a" }],
                "hash_on": "header", "hash_on_header": "x-user", "hash_fallback": "query_arg",
                "hash_fallback_query_arg": "uid", "hash_on_query_arg": null,
                "rollout": { "start": 1_700_000_000, "stages": [
                    { "after": 0, "weights": { "a": 10 } }, { "after": "1d", "weights": { "a": 99.75 } },
                ] },
            },
        ],
        "global_configs": [{ "id": "groups", "name": "Groups", "value": "beta;staff", "delimiter": ";" }],
        "body_max_bytes": 65536, "upstream_header": "X-Target",
        "response_headers": { "rule": "X-Rule", "upstream": true, "name": false },
        "host": "auto", "route_by": "auto", "access_log": true, "shared_memory": false, "metrics": true,
        "log_decisions": false,
    })
}

/// What a place is changed to.
fn values() -> Vec<Value> {
    let mut values = vec![
        json!(null),
        json!(true),
        json!(false),
        json!({}),
        json!([]),
        json!([null]),
        json!([{}]),
        json!([[]]),
        json!({ "name": "a" }),
        json!({ "a": 1 }),
        json!({ "key": "a", "operator": "exists" }),
        json!([{ "key": "a", "operator": "exists" }, "x"]),
    ];
    let texts = [
        "",
        " ",
        "a",
        "a b",
        "+5",
        "5",
        "10.0",
        "/",
        "/a",
        "x\n",
        "\u{e9}",
        "exists",
        "not exists",
        "eq",
        "AND",
        "and",
        "none",
        "cookie",
        "ip",
        "auto",
        "header",
        "kong",
        "Content-Length",
        "host",
        "TE",
        "Cookie",
        "Proxy-X",
        "clientip",
        "DOMAIN",
        "30s",
        "1h30m",
        "3661d",
        "1 s",
        "0s",
        ",",
        ";",
        "2026-01-01T00:00:00Z",
        "1969-12-31T00:00:00Z",
        "2026-01-01 00:00:00z",
        "2026-02-30T00:00:00Z",
        "10.0.0.0/33",
        "(",
        "__Host-a",
        "canary",
        "groups",
        "1.2.3",
        "x:y",
        "$serde_json::private::Number",
    ];
    values.extend(texts.map(Value::from));
    let numbers = [
        "0",
        "-0",
        "0.0",
        "1",
        "-1",
        "10.0",
        "1e1",
        "1.5",
        "0.001",
        "99.99",
        "100",
        "101",
        "1e9",
        "1000000001",
        "1e10",
        "1e300",
        "-1e300",
        "16777216",
        "16777217",
        "253402300799",
        "253402300800",
        "316224000",
        "316224001",
        "9007199254740993",
        "18446744073709551616",
        "0.05",
        "1.0000001",
    ];
    values.extend(numbers.map(|number| serde_json::from_str::<Value>(number).expect("a number")));
    values
}

/// The places of a tree: every value in it.
fn places(value: &Value, path: &str, found: &mut Vec<String>) {
    found.push(path.to_owned());
    match value {
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                places(element, &format!("{path}/{index}"), found);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                places(field, &format!("{path}/{name}"), found);
            }
        }
        _ => {}
    }
}

fn pick<T>(random: &mut fastrand::Rng, from: &[T]) -> usize {
    random.usize(..from.len())
}

/// Changes one place: its value, or what its object or list holds.
fn mutate(config: &mut Value, values: &[Value], random: &mut fastrand::Rng) {
    let mut found = Vec::new();
    places(config, "", &mut found);
    let place = found[pick(random, &found)].clone();
    let value = values[pick(random, values)].clone();
    let at = config.pointer_mut(&place).expect("a place");
    match (random.u8(..4), at) {
        (0, Value::Object(fields)) => {
            let names: Vec<String> = fields.keys().cloned().collect();
            if !names.is_empty() {
                fields.remove(&names[pick(random, &names)]);
            }
        }
        (0, Value::Array(elements)) if !elements.is_empty() => {
            elements.remove(pick(random, elements));
        }
        (1, Value::Object(fields)) => {
            let names = [
                "key",
                "value",
                "weight",
                "weights",
                "Weight",
                "name",
                "start",
                "hash_fallback",
                "header",
            ];
            fields.insert(names[pick(random, &names)].to_owned(), value);
        }
        (1, Value::Array(elements)) => elements.push(value),
        (_, at) => *at = value,
    }
}

/// As much of JSON Schema, draft 4, as the schema is written in.
#[derive(Default)]
struct Validator {
    patterns: HashMap<String, Regex>,
}

impl Validator {
    fn accepts(&mut self, schema: &Value, value: &Value) -> bool {
        let schema = schema.as_object().expect("a schema");
        schema.iter().all(|(keyword, wanted)| self.keyword(schema, keyword, wanted, value))
    }

    fn keyword(
        &mut self,
        schema: &Map<String, Value>,
        keyword: &str,
        wanted: &Value,
        value: &Value,
    ) -> bool {
        let limit = || wanted.as_u64().expect("a limit") as usize;
        match (keyword, value) {
            ("$schema" | "description", _) => true,
            ("type", _) => match wanted {
                Value::Array(types) => types.iter().any(|name| is_of(name, value)),
                name => is_of(name, value),
            },
            ("enum", _) => wanted.as_array().expect("words").contains(value),
            ("anyOf", _) => {
                wanted.as_array().expect("schemas").iter().any(|one| self.accepts(one, value))
            }
            ("not", _) => !self.accepts(wanted, value),
            ("properties", Value::Object(fields)) => fields.iter().all(|(name, field)| {
                wanted.get(name).is_none_or(|schema| self.accepts(schema, field))
            }),
            ("additionalProperties", Value::Object(fields)) => {
                let known = schema.get("properties").and_then(Value::as_object);
                fields
                    .iter()
                    .filter(|(name, _)| !known.is_some_and(|known| known.contains_key(*name)))
                    .all(|(_, field)| {
                        wanted.as_bool().unwrap_or_else(|| self.accepts(wanted, field))
                    })
            }
            ("required", Value::Object(fields)) => {
                let names = wanted.as_array().expect("names");
                names.iter().all(|name| fields.contains_key(name.as_str().expect("a name")))
            }
            ("minProperties", Value::Object(fields)) => fields.len() >= limit(),
            ("maxProperties", Value::Object(fields)) => fields.len() <= limit(),
            ("items", Value::Array(elements)) => {
                elements.iter().all(|one| self.accepts(wanted, one))
            }
            ("minItems", Value::Array(elements)) => elements.len() >= limit(),
            ("maxItems", Value::Array(elements)) => elements.len() <= limit(),
            ("minLength", Value::String(text)) => text.chars().count() >= limit(),
            ("pattern", Value::String(text)) => {
                let pattern = wanted.as_str().expect("a pattern");
                let compile = || Regex::new(pattern).expect(pattern);
                self.patterns.entry(pattern.to_owned()).or_insert_with(compile).is_match(text)
            }
            ("minimum", Value::Number(_)) => value.as_f64() >= wanted.as_f64(),
            ("maximum", Value::Number(_)) => value.as_f64() <= wanted.as_f64(),
            ("multipleOf", Value::Number(_)) => {
                assert_eq!(*wanted, json!(1));
                value.as_f64().is_some_and(|number| number.fract() == 0.0)
            }
            (
                "properties"
                | "additionalProperties"
                | "required"
                | "minProperties"
                | "maxProperties"
                | "items"
                | "minItems"
                | "maxItems"
                | "minLength"
                | "pattern"
                | "minimum"
                | "maximum"
                | "multipleOf",
                _,
            ) => true,
            (other, _) => panic!("the schema has the keyword {other}"),
        }
    }
}

fn is_of(name: &Value, value: &Value) -> bool {
    match name.as_str().expect("the name of a type") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the schema has the type {other}"),
    }
}

#[test]
fn the_judges_agree() {
    const MUTANTS: usize = 4_000;
    let schema = tse_route::config::schema();
    let mut validator = Validator::default();
    let (sound, values) = (sound(), values());
    let report = tse_route::load(sound.to_string().as_bytes()).map(|loaded| loaded.report);
    assert!(report.is_ok(), "{}", report.expect_err("faults"));
    assert!(validator.accepts(&schema, &sound));
    let mut random = fastrand::Rng::with_seed(15);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..MUTANTS {
        let mut config = sound.clone();
        for _ in 0..=random.u8(..2) {
            mutate(&mut config, &values, &mut random);
        }
        let by_schema = validator.accepts(&schema, &config);
        match tse_route::load(config.to_string().as_bytes()) {
            Ok(_) => {
                assert!(by_schema, "only the schema refuses {config:#}");
                accepted += 1;
            }
            Err(report) if by_schema => {
                let error = report
                    .errors()
                    .find(|error| !UNSEEN.iter().any(|reason| error.message.contains(reason)));
                assert_eq!(error, None, "only the filter refuses {config:#}");
            }
            Err(_) => refused += 1,
        }
    }
    assert!(accepted > MUTANTS / 10 && refused > MUTANTS / 10, "{accepted} {refused}");
}
