//! The published schema is the one that the types yield.

use std::path::Path;

const PATH: &str = "kong/filters/tse-route.meta.json";

/// `make schema` writes the file; without it a stale one fails here.
#[test]
fn the_committed_schema_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(PATH);
    let meta = tse_route::config::kong_meta();
    let current = format!("{}\n", serde_json::to_string_pretty(&meta).expect("JSON"));
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
        std::fs::write(&file, current).expect("the file is written");
        return;
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == current, "{PATH} is not what the types yield; run `make schema`");
}
