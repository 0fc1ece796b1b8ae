//! The JSON Schema of the configuration, put together from what the types say of themselves.

use super::model::Config;
use super::read::Field;
use super::schema_parts::{merged, nullable};
use serde_json::{Value, json};

/// The schema of a configuration.
pub fn schema() -> Value {
    Config::schema()
}

/// The content of `tse-route.meta.json`, which Kong reads beside the filter.
pub fn kong_meta() -> Value {
    let draft = json!({ "$schema": "http://json-schema.org/draft-04/schema#" });
    // Kong hands a plugin without a configuration `null`.
    json!({ "config_schema": merged(nullable(schema()), draft) })
}
