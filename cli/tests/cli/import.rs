//! Imported routes do what they did: tables of route, request and backend.
//!
//! Each `import/<name>.yaml` is imported, checked, and then decides the requests of
//! `import/<name>.requests.json`: `backend` is the name of the only possible upstream (null for the
//! service's own), `backends` the probabilities by name, `rule` whether a rule matches, `hash` what
//! the client is recognised by.

use super::process::{Run, place, run};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[test]
fn imported_routes_decide_as_before() {
    let mut tables = 0;
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(place("import")).expect("the folder") {
        let source = entry.expect("an entry").path();
        if source.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        tables += 1;
        let requests = std::fs::read_to_string(source.with_extension("requests.json"));
        let table: Value = serde_json::from_str(&requests.expect("requests")).expect("JSON");
        let imported = import(&source, &table);
        let file = keep(&source, &imported.stdout);
        let checked = run(&["check", text(&file)], "");
        assert_eq!(
            checked.code,
            0,
            "{}: {}\n{}",
            source.display(),
            checked.stderr,
            imported.stdout
        );
        for request in table["requests"].as_array().expect("a list") {
            if let Err(difference) = decide(&file, request) {
                wrong.push(format!("{}: {request}: {difference}\n", source.display()));
            }
        }
    }
    assert!(tables >= 7, "{tables} tables");
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a name")
}

fn import(source: &Path, table: &Value) -> Run {
    let more = table["args"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let arguments: Vec<&str> = ["import", text(source)].into_iter().chain(more).collect();
    let imported = run(&arguments, "");
    assert_eq!(imported.code, 0, "{}: {}", source.display(), imported.stderr);
    imported
}

fn keep(source: &Path, manifest: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("import");
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join(source.file_name().expect("a name"));
    std::fs::write(&file, manifest).expect("the file is written");
    file
}

fn decide(config: &Path, request: &Value) -> Result<(), String> {
    let mut arguments = vec!["explain", "--output", "json", "-c", text(config), "--request"];
    arguments.push(request["request"].as_str().expect("a request"));
    let headers = request["headers"].as_array().into_iter().flatten().filter_map(Value::as_str);
    arguments.extend(headers.flat_map(|header| ["-H", header]));
    for (field, flag) in [("cookie", "--cookie"), ("client_ip", "--client-ip"), ("at", "--at")] {
        arguments.extend(request[field].as_str().into_iter().flat_map(|value| [flag, value]));
    }
    let done = run(&arguments, "");
    let decision: Value = serde_json::from_str(&done.stdout).map_err(|_| done.stderr)?;
    let probabilities = decision["probabilities"].as_object().expect("an object");
    if let Some(expected) = request["backends"].as_object() {
        let same = expected.len() == probabilities.len()
            && expected.iter().all(|(name, share)| {
                let found = probabilities.get(name).and_then(Value::as_f64);
                found.is_some_and(|found| (found - share.as_f64().expect("a share")).abs() < 0.0001)
            });
        if !same {
            return Err(format!("{probabilities:?}"));
        }
    } else if decision["upstream"] != request["backend"] || decision["by_chance"] == json!(true) {
        return Err(format!("{}, {probabilities:?}", decision["upstream"]));
    }
    if request["rule"].as_bool().is_some_and(|rule| rule == decision["rule"].is_null()) {
        return Err(format!("the rule is {}", decision["rule"]));
    }
    if !request["hash"].is_null() && decision["hash"]["on"] != request["hash"] {
        return Err(format!("the hash is {}", decision["hash"]));
    }
    Ok(())
}

fn one_of(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    proptest::sample::select(words).prop_map(str::to_owned)
}

fn http_route() -> impl Strategy<Value = Value> {
    let path = (
        one_of(&["Exact", "PathPrefix", "RegularExpression"]),
        one_of(&["/", "/a", "/a/b", "/[a-z]+", "/(", "no slash", "/ä \"'"]),
    );
    let path = proptest::option::of(
        path.prop_map(|(kind, value)| json!({ "type": kind, "value": value })),
    );
    let named = (
        one_of(&["Exact", "RegularExpression"]),
        one_of(&["a", "b", "X-Header", "with space", ""]),
        one_of(&["1", "x,y", "on", "(?=x)", "", "ü\n"]),
    );
    let named =
        named.prop_map(|(kind, name, value)| json!({ "type": kind, "name": name, "value": value }));
    let list = proptest::collection::vec(named, 0..3).boxed();
    let matches = (path, list.clone(), list, proptest::option::of(one_of(&["GET", "post"])))
        .prop_map(|(path, headers, query, method)| {
            json!({ "path": path, "headers": headers, "queryParams": query, "method": method })
        });
    let backend = (one_of(&["blue", "green"]), 1..3u16, proptest::option::of(0..4u32))
        .prop_map(|(name, port, weight)| json!({ "name": name, "port": port, "weight": weight }));
    let rule = (proptest::collection::vec(matches, 0..3), proptest::collection::vec(backend, 0..4))
        .prop_map(|(matches, backends)| json!({ "matches": matches, "backendRefs": backends }));
    let hostname = one_of(&["a.example", "B.example", "*.example", "*", "*.b.example"]);
    (proptest::collection::vec(hostname, 0..4), proptest::collection::vec(rule, 0..5)).prop_map(
        |(hostnames, rules)| {
            json!({
                "kind": "HTTPRoute",
                "metadata": { "name": "route" },
                "spec": { "hostnames": hostnames, "rules": rules },
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_import_accepts_check_accepts(route in http_route(), lossy: bool) {
        let arguments: &[&str] = if lossy { &["import", "-", "--lossy"] } else { &["import", "-"] };
        let imported = run(arguments, &route.to_string());
        prop_assert!(imported.code == 0 || imported.code == 1, "{}", imported.stderr);
        prop_assert_eq!(imported.code == 0, !imported.stdout.is_empty());
        if imported.code == 0 {
            let checked = run(&["check", "-"], &imported.stdout);
            prop_assert_eq!(checked.code, 0, "{}\n{}", checked.stderr, imported.stdout);
        }
    }
}
