//! Changes to the baggage, by the table that holds Kong's bridge to the same.

#[cfg(target_arch = "wasm32")]
use super::support::test;
use super::support::*;
use serde_json::{Value, json};
use tse_route::effect::Effects;
use tse_route::engine::Rewritten;

#[test]
fn the_table_of_changes_holds() {
    let table: Vec<Value> = serde_json::from_str(include_str!("../baggage.json")).unwrap();
    assert!(table.len() > 20);
    for row in table {
        let headers = json!({ "baggage": { "set": row["set"], "remove": row["remove"] } });
        let loaded =
            loaded(&json!({ "rules": [{ "upstream": [{ "request_headers": headers }] }] }));
        let effects = Effects::new(&loaded.config, &loaded.table, None);
        let change = effects.all().next().and_then(|effect| effect.baggage()).unwrap();
        assert_eq!(json!(change.set()), row["members"]);
        assert_eq!(json!(change.keys()), row["keys"]);
        let sent = row["sent"].as_array().unwrap();
        let request = sent.iter().fold(MemoryRequest::get("/"), |request, value| {
            request.header("baggage", value.as_str().unwrap())
        });
        let sent = tse_route::engine::Request::baggage(&request);
        let becomes = match change.apply(sent.as_deref()) {
            Rewritten::Untouched => json!(false),
            Rewritten::Removed => json!(null),
            Rewritten::To(baggage) => json!(String::from_utf8(baggage).unwrap()),
        };
        assert_eq!(becomes, row["becomes"], "{row}");
    }
}
