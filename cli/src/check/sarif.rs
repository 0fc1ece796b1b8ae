//! SARIF 2.1.0, which code scanners read.

use super::Checked;
use crate::diagnostic::Diagnostic;
use crate::source::Source;
use serde_json::{Value, json};
use tse_route::config::Severity;

/// What results are about: whether the filter or what surrounds it, and how bad it is.
const KINDS: &[(&str, &str, &str)] = &[
    ("refused", "error", "The filter refuses the configuration"),
    ("doubtful", "warning", "The configuration works, but probably not as it was meant"),
    ("gateway-refused", "error", "The gateway refuses the file, or leaves the filter out of it"),
    ("gateway-doubtful", "warning", "The gateway works, but probably not as it was meant"),
];

/// The log of one run.
pub(super) fn log(files: &[Checked]) -> Value {
    let rules = KINDS.iter().map(|(id, level, text)| {
        json!({
            "id": id,
            "shortDescription": { "text": text },
            "defaultConfiguration": { "level": level },
        })
    });
    let results = files
        .iter()
        .flat_map(|file| file.diagnostics.iter().map(|found| result(found, &file.source)));
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "tse-route",
                "rules": rules.collect::<Vec<_>>(),
            } },
            "columnKind": "unicodeCodePoints",
            "results": results.collect::<Vec<_>>(),
        }],
    })
}

fn result(found: &Diagnostic, source: &Source) -> Value {
    let level = match found.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let about_gateway = found.path.is_none();
    let is_kind = |(id, its_level, _): &&(&str, &str, &str)| {
        *its_level == level && id.starts_with("gateway-") == about_gateway
    };
    let rule = KINDS.iter().position(|kind| is_kind(&kind)).unwrap_or_default();
    let region = found.region(source);
    let mut location = json!({
        "physicalLocation": {
            "artifactLocation": { "uri": uri(&source.name) },
            "region": {
                "startLine": region.start.line,
                "startColumn": region.start.column,
                "endLine": region.end.line,
                "endColumn": region.end.column,
            },
        },
    });
    let path = found.path.as_deref().filter(|path| !path.is_empty());
    if let (Some(path), Some(fields)) = (path, location.as_object_mut()) {
        fields.insert("logicalLocations".to_owned(), json!([{ "fullyQualifiedName": path }]));
    }
    json!({
        "ruleId": KINDS.get(rule).map(|(id, _, _)| id),
        "ruleIndex": rule,
        "level": level,
        "message": { "text": found.text() },
        "locations": [location],
    })
}

/// A file's name as a reference (RFC 3986): relative to where the run was, or absolute.
fn uri(name: &str) -> String {
    let name = name.trim_start_matches("./");
    let mut uri = String::from(if name.starts_with('/') { "file://" } else { "" });
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn names_are_references() {
        for (name, reference) in [
            ("a/b.yaml", "a/b.yaml"),
            ("./a b.yaml", "a%20b.yaml"),
            ("/x/ü.yaml", "file:///x/%C3%BC.yaml"),
            ("<stdin>", "%3Cstdin%3E"),
            ("a:b.json", "a%3Ab.json"),
        ] {
            assert_eq!(uri(name), reference);
        }
    }
}
