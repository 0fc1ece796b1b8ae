//! Which rule decides, and which of its upstreams.

#[cfg(target_arch = "wasm32")]
use super::support::test;
use super::support::*;
use serde_json::{Value, json};
use tse_route::engine::Outcome;

fn to(name: &str) -> Value {
    json!([{ "name": name }])
}

#[test]
fn the_larger_weight_is_tried_first() {
    let config = json!({ "rules": [
        { "weight": 1, "upstream": to("low") },
        { "weight": 50, "condition": { "header": { "key": "v", "operator": "exists" } }, "upstream": to("high") },
        { "weight": 99, "upstream": to("disabled"), "enabled": false },
        { "upstream": to("zero") },
    ] });
    let loaded = loaded(&config);
    assert_eq!(
        upstream(&loaded, &MemoryRequest::get("/").header("v", "")).as_deref(),
        Some("high")
    );
    assert_eq!(upstream(&loaded, &MemoryRequest::get("/")).as_deref(), Some("low"));
}

#[test]
fn equal_weights_keep_the_order_of_the_list_and_warn() {
    let config = json!({ "rules": [
        { "weight": 7, "upstream": to("first") },
        { "weight": 7, "upstream": to("second") },
    ] });
    let loaded = loaded(&config);
    assert_eq!(upstream(&loaded, &MemoryRequest::get("/")).as_deref(), Some("first"));
    let warnings: Vec<_> = loaded.report.warnings().map(|fault| fault.path.as_str()).collect();
    assert_eq!(warnings, ["rules[1].weight"]);
}

#[test]
fn all_items_or_one_of_them() {
    let items = json!({
        "header": [
            { "key": "a", "operator": "eq", "value": "1" },
            { "key": "b", "operator": "eq", "value": "1" },
        ],
        "query": { "key": "c", "operator": "eq", "value": "1" },
    });
    for (target, headers, all, any) in [
        ("/?c=1", &["a", "b"][..], true, true),
        ("/?c=1", &["a"][..], false, true),
        ("/?c=1", &[][..], false, true),
        ("/", &["b"][..], false, true),
        ("/", &[][..], false, false),
    ] {
        let request = headers.iter().fold(MemoryRequest::get(target), |r, h| r.header(h, "1"));
        for (match_type, expected) in [("AND", all), ("OR", any)] {
            let config = json!({ "rules": [
                { "match_type": match_type, "condition": items, "upstream": to("c") },
            ] });
            let matched = upstream(&loaded(&config), &request).is_some();
            assert_eq!(matched, expected, "{match_type} {target} {headers:?}");
        }
    }
}

#[test]
fn no_item_means_always() {
    let empty = json!({ "cookie": null, "system": [], "path": null, "body": null, "method": [], "header": null, "query": null });
    for condition in [json!(null), json!({}), empty] {
        for match_type in ["AND", "OR"] {
            let rule =
                json!({ "condition": condition, "match_type": match_type, "upstream": to("c") });
            let loaded = loaded(&json!({ "rules": [rule] }));
            assert!(
                upstream(&loaded, &MemoryRequest::default()).is_some(),
                "{condition} {match_type}"
            );
        }
    }
}

#[test]
fn without_rules_nothing_matches() {
    for config in ["", " \n", "null", "{}", r#"{"rules":{}}"#, r#"{"rules":[],"description":null}"#]
    {
        let loaded = tse_route::load(config.as_bytes()).expect(config);
        assert_eq!(
            decide(&loaded, &MemoryRequest::get("/")).outcome,
            Outcome::Unmatched,
            "{config:?}"
        );
    }
}

/// The upstream that is chosen at this point of the whole range of random numbers.
fn at(config: &Value, point: f64) -> Option<String> {
    let loaded = loaded(config);
    let random = (point * 2f64.powi(64)) as u64;
    match loaded.table.decide(&MemoryRequest::get("/"), &mut || random).outcome {
        Outcome::Routed(choice) => loaded.table.target(choice).unwrap().name().map(str::to_owned),
        other => panic!("{other:?}"),
    }
}

#[test]
fn weights_are_exact_to_two_decimals() {
    let config = json!({ "rules": [{ "upstream": [
        { "name": "a", "weight": 0.01 }, { "name": "b", "weight": 33.33 }, { "name": "c", "weight": 66.66 },
    ] }] });
    for (point, name) in [
        (0.0, "a"),
        (0.000_099, "a"),
        (0.000_101, "b"),
        (0.333_39, "b"),
        (0.333_41, "c"),
        (0.999_999, "c"),
    ] {
        assert_eq!(at(&config, point).as_deref(), Some(name), "{point}");
    }
    assert_eq!(loaded(&config).report.faults(), []);
}

#[test]
fn the_rest_stays_with_the_own_upstream() {
    let config = json!({ "rules": [{ "weight_total": 10, "upstream": [
        { "name": "a", "weight": 1 }, { "name": "never", "weight": 0 }, { "name": null, "weight": 2.5 },
    ] }] });
    for (point, name) in [(0.099, Some("a")), (0.101, None), (0.9, None)] {
        assert_eq!(at(&config, point).as_deref(), name, "{point}");
    }
    let warning = loaded(&config).report.warnings().next().map(ToString::to_string);
    assert_eq!(
        warning.as_deref(),
        Some(
            "rules[0].upstream: the weights add up to 3.5 of 10: \
              the remaining 6.5 stays with the service's own upstream"
        ),
    );
}

#[test]
fn a_single_upstream_draws_no_random_number() {
    let loaded = loaded(&json!({ "rules": [{ "upstream": to("c") }] }));
    let verdict = loaded.table.decide(&MemoryRequest::get("/"), &mut || panic!("drawn"));
    assert!(matches!(verdict.outcome, Outcome::Routed(_)));
}

#[test]
fn global_configs_are_shared_lists() {
    let config = json!({
        "global_configs": [
            { "id": "vip", "name": "our friends", "value": "u1; u2", "delimiter": ";" },
            { "id": 7, "value": "10.0.0.0/8,::1" },
        ],
        "rules": [
            { "weight": 2, "condition": { "header": { "key": "user", "operator": "in", "global_config_id": "vip" } }, "upstream": to("vip") },
            { "weight": 1, "condition": { "system": { "key": "clientIP", "operator": "in", "global_config_id": "7", "value": "", "delimiter": null } }, "upstream": to("internal") },
        ],
    });
    let loaded = loaded(&config);
    let request = MemoryRequest::get("/");
    assert_eq!(upstream(&loaded, &request.clone().header("user", "u2")).as_deref(), Some("vip"));
    assert_eq!(upstream(&loaded, &request.clone().header("user", "u3")), None);
    let inside = MemoryRequest { client: Some(b"10.1.1.1".to_vec()), ..request };
    assert_eq!(upstream(&loaded, &inside).as_deref(), Some("internal"));
}
