//! Configurations as data: what must be refused is in `tests/examples/broken.json`, what must load
//! is in the examples.

use serde_json::Value;
use std::path::Path;

/// Every entry is refused, and one of its errors has the path and the words.
#[test]
fn broken_configurations_are_refused_where_they_are_broken() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/examples/broken.json");
    let table = std::fs::read(file).expect("the table is there");
    let table: Vec<Value> = serde_json::from_slice(&table).expect("the table is JSON");
    for entry in &table {
        let report = tse_route::load(entry["config"].to_string().as_bytes())
            .expect_err(&format!("{} is accepted", entry["fault"]));
        let path = entry["filter"][0].as_str().expect("a path");
        let words = entry["filter"][1].as_str().expect("words");
        let found =
            report.errors().any(|error| error.path == path && error.message.contains(words));
        assert!(found, "{}: expected `{words}` at `{path}`\n{report}", entry["fault"]);
    }
}

/// Loads the configurations that `tests/examples/test_examples.py` has found in the examples and
/// in the documentation: a JSON object from the place where each stands to what stands there.
#[test]
fn example_configurations_load() {
    let Some(file) = std::env::var_os("TSE_ROUTE_EXAMPLES") else { return };
    let examples = std::fs::read(file).expect("the examples are there");
    let examples: Value = serde_json::from_slice(&examples).expect("the examples are JSON");
    let examples = examples.as_object().expect("an object");
    let faults: Vec<String> = examples
        .iter()
        .filter_map(|(place, config)| {
            let report = tse_route::load(config.to_string().as_bytes()).err()?;
            Some(format!("{place}: {report}"))
        })
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    println!("{} loaded", examples.len());
}
