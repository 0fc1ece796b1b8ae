//! Configurations that several tests use.

use serde_json::{Value, json};

/// A rule that sends all that meets the condition to one upstream.
pub fn rule(weight: u32, condition: Value, upstream: &str) -> Value {
    json!({ "weight": weight, "condition": condition, "upstream": [{ "name": upstream }] })
}

/// A condition with one item `eq`.
pub fn eq(location: &str, key: &str, value: &str) -> Value {
    json!({ location: { "key": key, "operator": "eq", "value": value } })
}

/// A configuration of nothing but rules.
pub fn rules(rules: impl Into<Vec<Value>>) -> Value {
    json!({ "rules": rules.into() })
}

/// `version: 1` goes to the canary.
pub fn canary() -> Value {
    rules([rule(10, eq("header", "version", "1"), "canary")])
}

/// A rule of everything that progressive delivery has, recognising clients in one of all ways.
fn delivered(number: usize) -> Value {
    let ways = [
        json!({ "hash_on": "cookie", "hash_on_cookie": "lane" }),
        json!({ "hash_on": "header", "hash_on_header": "version", "hash_fallback": "ip" }),
        json!({ "hash_on": "query_arg", "hash_on_query_arg": "age", "hash_fallback": "path" }),
        json!({ "hash_on": "consumer" }),
    ];
    let mut rule = ways[number % ways.len()].clone();
    rule["rollout"] =
        json!({ "start": 1_700_000_000, "duration": "1m", "to": { "canary": 50, "blue": 50 } });
    // It opens at the first failure.
    rule["circuit_breaker"] = json!({
        "min_requests": 1, "max_error_rate": 0, "max_latency": "1s", "max_slow_rate": 0,
        "cooldown": "1s",
    });
    rule["circuit_breaker"]["fallback"] = [Value::Null, "green".into()][number / 4 % 2].clone();
    rule
}

/// Every location, every kind of operator, and everything that a decision can do.
pub fn everything() -> Value {
    let all = [
        ("header", json!({ "key": "version", "operator": "ge", "value": "1.2.0" })),
        ("header", json!({ "key": "tag", "operator": "regex", "value": "^(beta|b[0-9]+)x?$" })),
        ("query", json!({ "key": "age", "operator": "lt", "value": 30 })),
        ("cookie", json!({ "key": "group", "operator": "in", "global_config_id": "groups" })),
        ("baggage", json!({ "key": "lane", "operator": "prefix", "value": "b" })),
        ("system", json!({ "key": "domain", "operator": "suffix", "value": ".example" })),
        (
            "system",
            json!({ "key": "clientIP", "operator": "in", "value": "10.0.0.0/8,2001:db8::/32" }),
        ),
        ("system", json!({ "key": "httpScheme", "operator": "ne", "value": "https" })),
        ("system", json!({ "key": "clientUa", "operator": "contains", "value": "curl" })),
        ("path", json!({ "operator": "path_prefix", "value": "/v2" })),
        ("method", json!({ "operator": "not in", "value": "GET,HEAD" })),
        ("body", json!({ "key": "user.id", "operator": "eq", "value": 42 })),
        ("body", json!({ "operator": "contains", "value": "needle" })),
    ];
    let shares = json!([
        { "name": "canary", "weight": 12.5, "request_headers": {
            "set": [{ "name": "x-lane", "value": "canary" }],
            "add": [{ "name": "x-seen", "value": "tse-route" }],
            "remove": ["x-secret"],
            "baggage": { "set": [{ "key": "lane", "value": "{rule}" }], "remove": ["x"] },
        } },
        { "name": "blue", "weight": 30 },
        { "name": null, "weight": 20, "request_headers": { "set": [{ "name": "x-lane", "value": "own" }] } },
    ]);
    let mut rules: Vec<Value> = (10..)
        .zip(&all)
        .map(|(weight, (location, item))| {
            let mut rule = delivered(weight);
            rule["name"] = format!("rule {weight}").into();
            rule["weight"] = weight.into();
            rule["condition"] = json!({ *location: item });
            rule["upstream"] = shares.clone();
            rule
        })
        .collect();
    let mut any = serde_json::Map::new();
    for (location, item) in all {
        any.entry(location).or_insert_with(|| json!([])).as_array_mut().unwrap().push(item);
    }
    rules.push(json!({ "weight": 9, "match_type": "OR", "condition": any, "upstream": shares }));
    let mut last = delivered(0);
    last["weight"] = 1.into();
    last["upstream"] = shares;
    rules.push(last);
    json!({
        "rules": rules,
        "shared_memory": true,
        "global_configs": [{ "id": "groups", "value": "beta;staff", "delimiter": ";" }],
        "response_headers": { "name": "X-Kong-Route-Name" },
        "body_max_bytes": 1024,
    })
}
