//! The original configurations, as a gateway hands them over: as JSON with their nulls.

#[cfg(target_arch = "wasm32")]
use super::support::test;
use super::support::*;
use serde_json::{Value, json};

/// A rule as the original writes it: every location is there, most are null.
fn seed(condition: &Value, weight: u64, upstream: &Value) -> Value {
    let mut all = json!({
        "cookie": null, "system": null, "path": null, "body": null, "method": null, "header": null, "query": null,
    });
    all.as_object_mut().unwrap().extend(condition.as_object().unwrap().clone());
    json!({
        "description": "test",
        "rules": [{ "enabled": true, "condition": all, "weight": weight, "upstream": upstream }],
    })
}

#[test]
fn header_scenario() {
    let item = json!({ "global_config_id": null, "key": "version", "value": "1", "delimiter": null, "operator": "eq" });
    let upstreams = json!([{ "weight": 100, "name": "demo1.default.80.svc" }]);
    let loaded = loaded(&seed(&json!({ "header": [item] }), 22, &upstreams));
    assert_eq!(loaded.report.faults(), []);
    let request = MemoryRequest::get("/").header("version", "1");
    assert_eq!(upstream(&loaded, &request).as_deref(), Some("demo1.default.80.svc"));
    assert_eq!(upstream(&loaded, &MemoryRequest::get("/").header("version", "2")), None);
}

#[test]
fn query_scenario() {
    let item = json!({ "global_config_id": null, "key": "age", "value": "30", "delimiter": null, "operator": "lt" });
    let upstreams = json!([{ "weight": 100, "name": "demo1.default.80.svc" }]);
    let loaded = loaded(&seed(&json!({ "query": [item] }), 22, &upstreams));
    assert!(upstream(&loaded, &MemoryRequest::get("/?age=29.5")).is_some());
    for target in ["/?age=30", "/?age=old", "/"] {
        assert_eq!(upstream(&loaded, &MemoryRequest::get(target)), None, "{target}");
    }
}

#[test]
fn operators_in_their_original_spelling() {
    for item in [
        json!({ "value": "1", "operator": "gt", "key": "version", "global_config_id": null, "delimiter": null }),
        json!({ "value": "1", "operator": "lt", "key": "version", "global_config_id": null, "delimiter": null }),
        json!({ "value": "1", "operator": "eq", "key": "version", "global_config_id": null, "delimiter": null }),
        json!({ "value": "1", "operator": "ne", "key": "version", "global_config_id": null, "delimiter": null }),
        json!({ "value": "1", "operator": "ge", "key": "version", "global_config_id": null, "delimiter": null }),
        json!({ "value": "1", "operator": "le", "key": "version", "global_config_id": null, "delimiter": null }),
        json!({ "operator": "exists", "key": "version", "global_config_id": null, "delimiter": null }),
        json!({ "value": "1", "operator": "regex", "key": "version", "global_config_id": null, "delimiter": null }),
        json!({ "value": "a,b", "operator": "in", "key": "version", "global_config_id": null, "delimiter": "," }),
        json!({ "value": "a;b", "operator": "not in", "key": "version", "global_config_id": null, "delimiter": ";" }),
    ] {
        for location in ["header", "query", "cookie", "body"] {
            loaded(&seed(
                &json!({ location: [item] }),
                22,
                &json!([{ "weight": 100, "name": "a" }]),
            ));
        }
    }
    for operator in ["prefix", "exact"] {
        let item = json!({ "value": "/api", "operator": operator });
        let loaded = loaded(&seed(&json!({ "path": [item] }), 22, &json!([{ "name": "a" }])));
        assert!(upstream(&loaded, &MemoryRequest::get("/api?x")).is_some(), "{operator}");
    }
}
