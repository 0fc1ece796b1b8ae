//! The tables of fields in the book are what the types say.
//!
//! A page has a table between `<!-- fields of PATH -->` and `<!-- end of fields -->`. `make schema`
//! writes them; without it a stale one fails here.
// A test fails by it.
#![allow(clippy::panic)]

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tse_route::config::{
    self, BaggageChanges, CircuitBreaker, Config, GlobalConfig, Header, Item, Member,
    RequestHeaders, ResponseHeaderNames, Rollout, Rule, Stage, Upstream,
};

/// The page with the tables.
const PAGE: &str = "docs/src/reference/configuration.md";
const END: &str = "<!-- end of fields -->";

/// What holds where a field is left out. The schema does not say so, because a gateway that fills
/// in what its schema says would hide from the filter what was written; a test below tries each.
fn defaults() -> BTreeMap<&'static str, Value> {
    [
        ("rules", json!([])),
        ("global_configs", json!([])),
        ("body_max_bytes", json!(65_536)),
        ("upstream_header", json!("x-tse-route-upstream")),
        ("response_headers", json!(true)),
        ("response_headers.rule", json!(true)),
        ("response_headers.upstream", json!(true)),
        ("response_headers.name", json!(false)),
        ("host", json!("auto")),
        ("route_by", json!("auto")),
        ("access_log", json!(true)),
        ("shared_memory", json!(false)),
        ("metrics", json!(true)),
        ("log_decisions", json!(false)),
        ("rules[].enabled", json!(true)),
        ("rules[].weight", json!(0)),
        ("rules[].match_type", json!("AND")),
        ("rules[].weight_total", json!(100)),
        ("rules[].hash_on", json!("none")),
        ("rules[].hash_on_cookie_path", json!("/")),
        ("rules[].hash_on_cookie_secure", json!(false)),
        ("rules[].hash_fallback", json!("none")),
        ("rules[].upstream[].weight", json!(100)),
        ("rules[].upstream[].request_headers.set", json!([])),
        ("rules[].upstream[].request_headers.add", json!([])),
        ("rules[].upstream[].request_headers.remove", json!([])),
        ("rules[].upstream[].request_headers.baggage.set", json!([])),
        ("rules[].upstream[].request_headers.baggage.remove", json!([])),
        ("rules[].circuit_breaker.window", json!("10s")),
        ("rules[].circuit_breaker.min_requests", json!(20)),
        ("rules[].circuit_breaker.cooldown", json!("30s")),
    ]
    .into()
}

/// A configuration in which every object of the schema stands once, with no more than it needs.
fn smallest() -> Value {
    json!({
        "response_headers": {},
        "global_configs": [{ "id": "1", "value": "a" }],
        "rules": [{
            "condition": { "header": [{ "key": "a", "operator": "exists" }] },
            "upstream": [{ "name": "a", "request_headers": { "baggage": {} } }],
            "rollout": { "start": 0, "stages": [{ "after": 0, "weights": { "a": 1 } }] },
            "circuit_breaker": { "max_error_rate": 0.5 },
        }],
    })
}

/// Where a field is described further, as seen from the page with the tables.
const MORE: &[(&str, &str)] = &[
    ("response_headers", "[observe](../observe.md#response-headers)"),
    ("route_by", "[two tiers](../install/kong.md#two-tiers)"),
    ("access_log", "[access logs](../observe.md#access-logs)"),
    ("shared_memory", "[shared memory](../delivery.md#shared-memory)"),
    ("metrics", "[metrics](../observe.md#metrics)"),
    ("log_decisions", "[log lines](../observe.md#log-lines)"),
    ("rules[].name", "[metrics](../observe.md#metrics), [stick](../delivery.md#stick)"),
    ("rules[].condition", "[conditions](#conditions)"),
    ("rules[].upstream[].request_headers.add", "[request header](#request-header)"),
    ("rules[].hash_on", "[stick](../delivery.md#stick)"),
    ("rules[].rollout", "[ramp](../delivery.md#ramp)"),
    ("rules[].circuit_breaker", "[fall back](../delivery.md#fall-back)"),
    ("rules[].condition.query[].operator", "[operators](operators.md)"),
    ("rules[].rollout.stages[].after", "[durations](#durations)"),
    ("rules[].rollout.duration", "[durations](#durations)"),
    ("rules[].circuit_breaker.window", "[durations](#durations)"),
    ("rules[].circuit_breaker.max_latency", "[durations](#durations)"),
    ("rules[].circuit_breaker.cooldown", "[durations](#durations)"),
];

/// The fields of an object in the order of their declaration: JSON has none.
fn fields_of(object: &str) -> &'static [&'static str] {
    match object {
        "" => Config::FIELDS,
        "response_headers" => ResponseHeaderNames::FIELDS,
        "global_configs[]" => GlobalConfig::FIELDS,
        "rules[]" => Rule::FIELDS,
        "rules[].upstream[]" => Upstream::FIELDS,
        "rules[].upstream[].request_headers" => RequestHeaders::FIELDS,
        "rules[].upstream[].request_headers.set[]" => Header::FIELDS,
        "rules[].upstream[].request_headers.baggage" => BaggageChanges::FIELDS,
        "rules[].upstream[].request_headers.baggage.set[]" => Member::FIELDS,
        "rules[].condition.query[]" => Item::FIELDS,
        "rules[].rollout" => Rollout::FIELDS,
        "rules[].rollout.stages[]" => Stage::FIELDS,
        "rules[].circuit_breaker" => CircuitBreaker::FIELDS,
        other => panic!("say here which type {other} is"),
    }
}

/// What a pattern of the schema is called.
fn name_of_pattern(pattern: &str) -> &'static str {
    match pattern {
        "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$" => "name",
        "^[!-~]+$" => "visible ASCII characters, no spaces",
        "^[^\\r\\n\\x00]*$" => "text without line breaks",
        "^/[ -:<-~]*$" => "path that starts with `/`, without `;`",
        "^([0-9]+(ms|s|m|h|d))+$" => "duration",
        time if time.contains("[0-9]{4}-[0-9]{2}") => "RFC 3339, or seconds since the epoch",
        other => panic!("give the pattern {other} a name here"),
    }
}

/// The words of a keyword as a list.
fn words<'v>(schema: &'v Value, keyword: &str) -> Vec<&'v str> {
    match schema.get(keyword) {
        Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(word)) => vec![word],
        _ => Vec::new(),
    }
}

/// What may stand there, in words.
fn type_of(path: &str, schema: &Value) -> String {
    let types = words(schema, "type");
    let nullable = if types.contains(&"null") { "; nullable" } else { "" };
    let bounds = |least: &str, most: &str| match (schema.get(least), schema.get(most)) {
        (Some(least), Some(most)) => format!(" {least} to {most}"),
        (Some(least), None) => format!(" at least {least}"),
        (None, Some(most)) => format!(" at most {most}"),
        (None, None) => String::new(),
    };
    let numbers = || match bounds("minimum", "maximum") {
        none if none.is_empty() => none,
        some => format!(",{some}"),
    };
    let choices = words(schema, "enum");
    let pattern = schema.get("pattern").and_then(Value::as_str).map(name_of_pattern);
    let pattern = pattern.map(|name| match name {
        "name" if path.contains("cookie") => "cookie name",
        "name" if path.contains("baggage") => "key",
        "name" => "header name",
        name => name,
    });
    let elements = || match schema.get("items") {
        Some(items) if items.get("properties").is_none() => {
            format!(" of {}s", type_of(path, items))
        }
        _ => bounds("minItems", "maxItems").replacen(' ', " of ", 1),
    };
    let text = if choices.len() > 10 {
        "a word".to_owned()
    } else if !choices.is_empty() {
        let named = choices.iter().map(|word| match *word {
            " " => "space".to_owned(),
            "\n" => "newline".to_owned(),
            word => format!("`{word}`"),
        });
        named.collect::<Vec<_>>().join(", ")
    } else {
        let one = |kind: &str| match (kind, pattern) {
            ("number", None) if schema.get("multipleOf").is_some() => {
                format!("integer{}", numbers())
            }
            ("array", _) => format!("list{}", elements()),
            ("object", _) if schema.get("properties").is_none() => "numbers by name".to_owned(),
            ("string", Some(name)) => name.to_owned(),
            ("number", Some("duration")) => "seconds".to_owned(),
            ("number", None) => format!("number{}", numbers()),
            (kind, _) => kind.to_owned(),
        };
        // A time that says what it may be says so for the number too.
        let said = |kind: &&str| {
            *kind != "null"
                // What an empty list is on its way through Lua.
                && !(*kind == "object" && schema.get("maxProperties").is_some())
                && !(*kind == "number" && pattern.is_some_and(|p| p.contains("seconds")))
        };
        let parts: Vec<String> =
            types.iter().filter(|kind| said(kind)).map(|kind| one(kind)).collect();
        parts.join(" or ")
    };
    format!("{text}{nullable}")
}

/// Every object of the schema by its path.
fn objects(schema: &Value) -> BTreeMap<String, Value> {
    fn walk(path: &str, schema: &Value, found: &mut BTreeMap<String, Value>) {
        if let Some(Value::Object(properties)) = schema.get("properties") {
            found.insert(path.to_owned(), schema.clone());
            for (name, property) in properties {
                let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                walk(&inner, property, found);
            }
        }
        if let Some(items) = schema.get("items") {
            // A list beside a single object, as in conditions, has the same fields.
            found.remove(path);
            walk(&format!("{path}[]"), items, found);
        }
    }
    let mut found = BTreeMap::new();
    walk("", schema, &mut found);
    found
}

/// The field of an object, as a path.
fn path_of(object: &str, field: &str) -> String {
    if object.is_empty() { field.to_owned() } else { format!("{object}.{field}") }
}

/// The heading that a table stands under, as an anchor.
fn anchors(page: &str) -> BTreeMap<String, String> {
    let mut heading = String::new();
    let mut found = BTreeMap::new();
    for line in page.lines() {
        if line.starts_with('#') {
            heading = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        } else if let Some(path) = table_of(line) {
            found.insert(path.to_owned(), heading.clone());
        }
    }
    found
}

/// The path of the table that starts in this line.
fn table_of(line: &str) -> Option<&str> {
    let path = line.strip_prefix("<!-- fields of ")?.strip_suffix(" -->")?;
    Some(if path == "the configuration" { "" } else { path })
}

/// The rows of an object's table.
fn table(object: &str, schema: &Value, anchors: &BTreeMap<String, String>) -> String {
    let required = words(schema, "required");
    let defaults = defaults();
    let mut text = "| field | type | default | meaning |\n|---|---|---|---|\n".to_owned();
    let Some(Value::Object(properties)) = schema.get("properties") else {
        panic!("{object}: no object")
    };
    let fields = fields_of(object);
    assert_eq!(fields.len(), properties.len(), "{object}");
    for &name in fields {
        let property = properties.get(name).unwrap_or_else(|| panic!("{object} has no {name}"));
        let path = path_of(object, name);
        let default = if required.contains(&name) {
            "required".to_owned()
        } else {
            defaults.get(path.as_str()).map(|value| format!("`{value}`")).unwrap_or_default()
        };
        let default = default.replace('"', "");
        let kind = type_of(&path, property).replace('|', "\\|");
        let kind = match anchors.get(&path).or_else(|| anchors.get(&format!("{path}[]"))) {
            Some(anchor) => format!("[{kind}](#{anchor})"),
            None => kind,
        };
        let meaning = property.get("description").and_then(Value::as_str).unwrap_or_default();
        assert!(!meaning.is_empty(), "{path} has no doc comment");
        let more = MORE.iter().find(|(field, _)| *field == path).map(|(_, more)| *more);
        let more = more.map(|more| format!(" See {more}.")).unwrap_or_default();
        text +=
            &format!("| `{name}` | {kind} | {default} | {}{more} |\n", meaning.replace('|', "\\|"));
    }
    text
}

/// A page with its tables written anew.
fn with_tables(page: &str, objects: &BTreeMap<String, Value>) -> String {
    let anchors = anchors(page);
    let mut written = String::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        written += line;
        written += "\n";
        if let Some(path) = table_of(line) {
            let schema =
                objects.get(path).unwrap_or_else(|| panic!("the schema has no object {path}"));
            written += &format!("\n{}\n{END}\n", table(path, schema, &anchors));
            assert!(lines.any(|line| line == END), "{path}: `{END}` is missing");
        }
    }
    written
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE)
}

#[test]
fn the_tables_are_current() {
    let page = std::fs::read_to_string(file()).expect("the page is there");
    let current = with_tables(&page, &objects(&config::schema()));
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(file(), current).expect("the page is written");
        return;
    }
    assert!(page == current, "{PAGE} is not what the types say; run `make schema`");
}

#[test]
fn every_object_has_a_table() {
    let page = std::fs::read_to_string(file()).expect("the page is there");
    let with_table = anchors(&page);
    for path in objects(&config::schema()).keys() {
        // The items of all locations have the same fields, and the page a table of locations by hand.
        let by_hand = path.starts_with("rules[].condition") && !path.contains(".query[]");
        let like_set = path == "rules[].upstream[].request_headers.add[]";
        assert!(
            by_hand || like_set || with_table.contains_key(path),
            "{path} has no table in {PAGE}"
        );
    }
}

/// What stands in `defaults` is what holds, and nothing that has a default is left out there.
#[test]
fn the_defaults_are_those() {
    let defaults = defaults();
    let (left_out, report) = config::read(&smallest());
    assert!(report.is_usable(), "{report}");
    for (object, schema) in objects(&config::schema()) {
        if object.starts_with("rules[].condition") {
            continue;
        }
        let required = words(&schema, "required");
        let Some(Value::Object(properties)) = schema.get("properties") else { continue };
        for (name, property) in properties {
            let path = path_of(&object, name);
            if required.contains(&name.as_str()) || words(property, "type").contains(&"null") {
                assert!(!defaults.contains_key(path.as_str()), "{path} has no default");
                continue;
            }
            let default =
                defaults.get(path.as_str()).unwrap_or_else(|| panic!("{path} has a default"));
            let mut written = if object.is_empty() { json!({}) } else { smallest() };
            let expected = if object.is_empty() { Config::default() } else { left_out.clone() };
            let pointer = format!("/{}", object.replace("[]", ".0").replace('.', "/"));
            let place =
                if object.is_empty() { Some(&mut written) } else { written.pointer_mut(&pointer) };
            let Some(Value::Object(fields)) = place else { panic!("`smallest` has no {object}") };
            fields.insert(name.clone(), default.clone());
            let (read, report) = config::read(&written);
            assert!(report.is_usable(), "{path}: {report}");
            // `response_headers: {}` is another way to write the default.
            assert_eq!(read, expected, "{path}");
        }
    }
}
