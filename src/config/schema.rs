//! The JSON Schema of the configuration, put together from what the types say of themselves.

use super::model::Config;
use super::read::Field;
use super::schema_parts::{merged, nullable};
use serde_json::{Value, json};

/// The schema of a configuration; none at all, or `null`, is the one without rules.
pub fn schema() -> Value {
    nullable(Config::schema())
}

/// The content of `tse-route.meta.json`, which Kong reads beside the filter.
pub fn kong_meta() -> Value {
    let draft = json!({ "$schema": "http://json-schema.org/draft-04/schema#" });
    json!({ "config_schema": merged(schema(), draft) })
}
