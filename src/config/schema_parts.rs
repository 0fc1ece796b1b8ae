//! What the types put their JSON Schemas together from.
//!
//! Written for draft 4, which Kong's `.meta.json` uses, in words that mean the same in every later
//! draft. Alternatives are lists of types where that is possible: Kong reports a violation inside
//! `anyOf` as a list of alternatives, and one of a type list as a sentence.

use serde_json::{Map, Value, json};

/// An object: its fields by name, schema, doc comment and whether they must be there.
pub(super) fn object(fields: Vec<(&str, Value, &str, bool)>) -> Value {
    // Draft 4 forbids an empty `required`.
    let required: Vec<&str> = fields.iter().filter(|field| field.3).map(|field| field.0).collect();
    let mut properties = Map::new();
    for (name, mut schema, doc, _) in fields {
        let doc = doc.trim();
        // The first paragraph is for whoever writes a configuration; the rest is for the code.
        let paragraph: Vec<&str> =
            doc.lines().map(str::trim).take_while(|l| !l.is_empty()).collect();
        insert(&mut schema, "description", json!(paragraph.join(" ")));
        properties.insert(name.to_owned(), schema);
    }
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        insert(&mut schema, "required", json!(required));
    }
    schema
}

/// The same schema, with `null` allowed.
pub(super) fn nullable(mut schema: Value) -> Value {
    if let Some(types) = schema.get_mut("type") {
        match types {
            Value::Array(types) => types.push(json!("null")),
            single => *single = json!([single.take(), "null"]),
        }
    }
    if let Some(Value::Array(words)) = schema.get_mut("enum") {
        words.push(Value::Null);
    }
    schema
}

/// Merges the keywords of `more` into `schema`.
pub(super) fn merged(mut schema: Value, more: Value) -> Value {
    if let (Some(into), Value::Object(more)) = (schema.as_object_mut(), more) {
        into.extend(more);
    }
    schema
}

fn insert(schema: &mut Value, keyword: &str, value: Value) {
    if let Some(schema) = schema.as_object_mut() {
        schema.insert(keyword.to_owned(), value);
    }
}
