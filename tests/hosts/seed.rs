//! The three scenarios that the filter was made for, written as they always were: nulls, empty
//! locations and quoted numbers included.

use crate::chance::bounds;
use crate::harness::{Envoy, Host, Kong, OWN, Outcome, Start};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const UPSTREAMS: [&str; 3] =
    ["demo1.default.80.svc", "demo2.default.80.svc", "nginx.default.80.svc"];

/// A configuration with one rule, whose condition has this in one of its locations.
fn scenario(location: &str, item: Value, weight: u32, upstream: Value) -> Value {
    let mut condition = json!({
        "cookie": null, "system": null, "path": null, "body": null, "method": null,
        "header": null, "query": null,
    });
    condition[location] = item;
    let rule = json!({
        "enabled": true, "condition": condition, "weight": weight, "upstream": upstream,
    });
    json!({ "description": "test", "rules": [rule] })
}

/// Both gateways with this configuration.
fn both(configuration: &Value) -> [Host; 2] {
    let envoy = UPSTREAMS.iter().fold(Envoy::new(), |envoy, name| envoy.cluster(name));
    let kong = UPSTREAMS.iter().fold(Kong::bridged(), |kong, name| kong.upstream(name));
    [envoy.with(configuration), kong.with(configuration)]
}

fn demo1() -> Value {
    json!([{ "weight": 100, "name": "demo1.default.80.svc" }])
}

fn assert_demo1(outcome: &Outcome) {
    assert_eq!(outcome.upstream, "demo1.default.80.svc");
    assert_eq!(outcome.status, Some(200));
    let (rule, upstream) = outcome.shown();
    assert_eq!(rule.as_deref(), Some("22"));
    assert_eq!(upstream.as_deref(), Some("demo1.default.80.svc"));
}

#[test]
fn by_header() {
    let item = json!([{
        "global_config_id": null, "key": "version", "value": "1", "delimiter": null, "operator": "eq",
    }]);
    for mut host in both(&scenario("header", item, 22, demo1())) {
        assert_demo1(&host.request().header("version", "1").send());
        assert_eq!(host.request().header("version", "10").send().upstream, OWN);
        assert_eq!(host.request().header("version", "\u{ff}").send().upstream, OWN);
        assert_eq!(host.request().send().upstream, OWN);
    }
}

#[test]
fn by_query() {
    let item = json!([{
        "global_config_id": null, "key": "age", "value": "30", "delimiter": null, "operator": "lt",
    }]);
    for mut host in both(&scenario("query", item, 22, demo1())) {
        assert_demo1(&host.request().path("/x?age=9").send());
        assert_demo1(&host.request().path("/x?name=a&age=29.5&age=40").send());
        for path in
            ["/x?age=30", "/x?age=", "/x?age=young", "/x?ages=1", "/x", "/age=1", "/x?age=%zz"]
        {
            assert_eq!(host.request().path(path).send().upstream, OWN, "{path}");
        }
    }
}

#[test]
fn by_weight() {
    let shares: Vec<Value> = UPSTREAMS
        .iter()
        .zip([20, 30, 50])
        .map(|(name, weight)| json!({ "weight": weight, "name": name }))
        .collect();
    for mut host in both(&scenario("header", Value::Null, 10, shares.into())) {
        const REQUESTS: usize = 10_000;
        let mut counts = BTreeMap::new();
        for _ in 0..REQUESTS {
            *counts.entry(host.request().send().upstream).or_insert(0) += 1;
        }
        for (name, percent) in UPSTREAMS.into_iter().zip([20.0, 30.0, 50.0]) {
            // Three upstreams in each of two gateways.
            let bounds = bounds(REQUESTS, percent / 100.0, 6);
            assert!(bounds.contains(&counts[name]), "{name}: {}, not {bounds:?}", counts[name]);
        }
        assert_eq!(counts.values().sum::<usize>(), REQUESTS);
        assert_eq!(counts.len(), 3, "nothing stays with the service's own: {counts:?}");
    }
}
