//! Imported routes do what they did: tables of route, request and backend.
//!
//! Each `import/<name>.yaml` is imported, checked, and then decides the requests of
//! `import/<name>.requests.json`, whose `source` says what the expectations come from: `backend` is the name of the only possible upstream (null for the
//! service's own), `backends` the probabilities by name, `rule` whether a rule matches, `hash` what
//! the client is recognised by.

use super::process::{Run, place, run};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tse_route::config::Severity;
use tse_route_cli::import::{self, Form, Options, Remark, Text};

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
        assert!(table["source"].is_string(), "{}: where from?", source.display());
        for form in ["kong", "envoy", "config"] {
            let other = imported(&source, &table, form);
            let checked = run(&["check", "-"], &other.stdout);
            assert_eq!(checked.code, 0, "{form}: {}\n{}", checked.stderr, other.stdout);
        }
        let imported = imported(&source, &table, "kongplugin");
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
    assert!(tables >= 18, "{tables} tables");
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

/// What is said of sources: `import-remarks.txt` has, for each file, `=== name` and flags, its text with
/// where the expectation comes from, a last `---`, and a line for each remark: severity, `line:column`
/// and a piece of the message.
#[test]
fn what_is_lost_is_named() {
    let table = std::fs::read_to_string(place("import-remarks.txt")).expect("the table");
    let mut wrong = Vec::new();
    let mut files = 0;
    for case in table.split("=== ").skip(1) {
        files += 1;
        let (head, rest) = case.split_once('\n').expect("a name");
        let (name, flags) = head.split_once(' ').unwrap_or((head, ""));
        let (text, expected) = rest.rsplit_once("---\n").expect("a line of dashes");
        let options = Options {
            lossy: flags.contains("--lossy"),
            release: flags.contains("--release"),
            ..Options::default()
        };
        let imported = import::import(&[Text::new(name, text)], &options);
        let found: Vec<String> = imported.remarks.iter().map(remark).collect();
        let expected: Vec<&str> = expected.lines().filter(|line| !line.is_empty()).collect();
        let as_expected = expected.len() == found.len()
            && expected.iter().zip(&found).all(|(expected, found)| {
                let mut words = expected.splitn(3, ' ');
                let (severity, place) = (words.next().expect("two"), words.next().expect("two"));
                found.starts_with(&format!("{severity} {place} "))
                    && found.contains(words.next().expect("a message"))
            });
        if !as_expected {
            wrong.push(format!("=== {head}\n{}\n", found.join("\n")));
        }
    }
    assert!(files >= 23, "{files} files");
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

/// `import-plans.txt` has, for each file, `=== name` and flags, its text with where the expectation comes
/// from, a line of dashes, and the plan. `release` reads each of them, and finds its rule with its
/// upstreams in what `--release` prints.
#[test]
fn steps_become_plans() {
    let table = std::fs::read_to_string(place("import-plans.txt")).expect("the table");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plans");
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut wrong = String::new();
    let mut plans = 0;
    for case in table.split("=== ").skip(1) {
        plans += 1;
        let (head, rest) = case.split_once('\n').expect("a name");
        let (name, flags) = head.split_once(' ').unwrap_or((head, ""));
        let (source, expected) = rest.rsplit_once("---\n").expect("a line of dashes");
        let import = |more: &[&'static str]| {
            let flags = flags.split(' ').filter(|flag| !flag.is_empty());
            let arguments: Vec<&str> = ["import", "-", "--upstream", "{service}"]
                .into_iter()
                .chain(flags)
                .chain(more.iter().copied())
                .collect();
            let done = run(&arguments, source);
            assert_eq!(done.code, 0, "{name}: {}", done.stderr);
            done.stdout
        };
        let printed = import(&["--format", "plan"]);
        if printed != expected {
            wrong.push_str(&format!("=== {head}\n{printed}"));
        }
        let plan = folder.join(name);
        std::fs::write(&plan, &printed).expect("the plan is written");
        let shown = run(&["release", "plan", text(&plan)], "");
        assert_eq!(shown.code, 0, "{name}: {}", shown.stderr);
        let fields: Value =
            serde_json::from_str(&import(&["--format", "plan", "--output", "json"])).expect("JSON");
        let field = |name: &str| fields[name].as_str().expect("a text");
        let rules = folder.join(format!("rules-{name}"));
        std::fs::write(&rules, import(&["--release"])).expect("the rules are written");
        let weights = run(&["weights", text(&rules), field("rule"), "--output", "json"], "");
        assert_eq!(weights.code, 0, "{name}: {}", weights.stderr);
        let weights = weights.stdout;
        assert!(
            weights.contains(field("stable")) && weights.contains(field("canary")),
            "{weights}"
        );
    }
    assert!(plans >= 6, "{plans} plans");
    assert!(wrong.is_empty(), "{wrong}");
}

/// A plan has steps, is one, and is one that `release` accepts.
#[test]
fn what_is_no_plan_is_said() {
    let route = "kind: HTTPRoute\nmetadata: {name: shop}\nspec: {rules: [{backendRefs: [{name: a, port: 80}]}]}\n";
    let canary = |name: &str, more: &str| {
        format!(
            "kind: Canary\nmetadata: {{name: {name}}}\nspec: {{targetRef: {{name: {name}}}, service: {{port: 80}}, {more}}}\n"
        )
    };
    let plain = "analysis: {interval: 1m, stepWeight: 50}";
    let two = format!("{}---\n{}", canary("a", plain), canary("b", plain));
    let url = "analysis: {interval: 1m, stepWeight: 50, webhooks: [{url: 'http://${HOST}/'}]}";
    for (source, code, message) in [
        (route.to_owned(), 2, "shop has no steps for a release plan"),
        (two.clone(), 2, "accepted is `--parent` with one of `a`, `b`"),
        (canary("a", url), 1, "hooks.rollout[0].url: the environment has no HOST"),
    ] {
        let done = run(&["import", "-", "--format", "plan"], &source);
        assert_eq!(done.code, code, "{}", done.stderr);
        assert!(done.stderr.contains(message) && done.stdout.is_empty(), "{}", done.stderr);
    }
    let chosen = run(&["import", "-", "--format", "plan", "--parent", "b"], &two);
    assert!(chosen.code == 0 && chosen.stdout.contains("release: b-1"), "{}", chosen.stderr);
}

/// Options that would only be found wrong in what they lead to, or nowhere.
#[test]
fn wrong_options_are_said() {
    let route = "kind: HTTPRoute\nmetadata: {name: shop}\nspec: {rules: [{backendRefs: [{name: a, port: 80}]}]}\n";
    for (option, value, message) in [
        ("--upstream", "{svc}", "accepted is a text with {service}, {namespace}"),
        ("--upstream", "canary", "accepted is a text with {service}, {namespace}"),
        ("--upstream", "{service", "accepted is a text with {service}, {namespace}"),
        ("--start", "tomorrow", "accepted is RFC 3339"),
    ] {
        let done = run(&["import", "-", option, value], route);
        assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{option} {value}");
        assert!(done.stderr.contains(message), "{}", done.stderr);
    }
    let ours = "rules: [{upstream: [{name: a}]}]\n";
    let done = run(&["import", "-"], ours);
    assert!(done.code == 1 && done.stderr.contains("a configuration of tse-route already"));
}

/// A folder stands for the files in it.
#[test]
fn folders_are_imported() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("import-folder");
    std::fs::create_dir_all(folder.join("below")).expect("folders");
    let route = |name: &str| {
        format!(
            "kind: HTTPRoute\nmetadata: {{name: {name}}}\nspec: {{hostnames: [{name}.example], rules: [{{backendRefs: [{{name: {name}, port: 80}}]}}]}}\n"
        )
    };
    std::fs::write(folder.join("a.yaml"), route("a")).expect("a file");
    std::fs::write(folder.join("below/b.yml"), route("b")).expect("a file");
    std::fs::write(folder.join("notes.txt"), "nothing").expect("a file");
    let done = run(&["import", text(&folder), "--format", "config"], "");
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stdout.contains("a.default.80.svc") && done.stdout.contains("b.default.80.svc"));
}

fn remark(remark: &Remark) -> String {
    let severity = match remark.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    format!("{severity} {}:{} {}", remark.line, remark.column, remark.message)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a name")
}

fn imported(source: &Path, table: &Value, form: &str) -> Run {
    let more = table["args"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let arguments: Vec<&str> =
        ["import", text(source), "--format", form].into_iter().chain(more).collect();
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

/// The places of all objects of a document, as JSON Pointers.
fn objects(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.push(at.to_owned());
            for (name, value) in fields {
                let name = name.replace('~', "~0").replace('/', "~1");
                objects(value, &format!("{at}/{name}"), found);
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                objects(element, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

fn valid() -> Vec<Value> {
    let text = std::fs::read_to_string(place("import-valid.json")).expect("the documents");
    serde_json::from_str(&text).expect("JSON")
}

/// Each of `import-valid.json` is imported without an error, and with an unknown field in any of its
/// objects this field is named, or carried over.
#[test]
fn an_unknown_field_is_never_dropped_in_silence() {
    let mut wrong = String::new();
    let mut tried = 0;
    for case in valid() {
        let (name, document) = (&case["name"], &case["document"]);
        let import = |document: &Value, lossy| {
            let options = Options {
                lossy,
                release: case["release"] == true,
                start: Some("1893456000".to_owned()),
                upstream: case["upstream"].as_str().map(str::to_owned),
                ..Options::default()
            };
            import::import(&[Text::new("a.json", &document.to_string())], &options)
        };
        let sound = import(document, false);
        assert!(sound.is_sound() && !sound.drafts.is_empty(), "{name}: {:?}", sound.remarks);
        let mut places = Vec::new();
        objects(document, "", &mut places);
        for place in places {
            // Labels are anybody's.
            if place.ends_with("/labels") {
                continue;
            }
            for (value, lossy) in
                [(json!("x"), false), (json!({"a": [1]}), false), (json!("x"), true)]
            {
                tried += 1;
                let mut changed = document.clone();
                changed.pointer_mut(&place).expect("an object")["unheardOf"] = value;
                let imported = import(&changed, lossy);
                let is_named =
                    imported.remarks.iter().any(|remark| remark.message.contains("unheardOf"));
                // Of a gateway's whole configuration only the plugin is wanted, which is said.
                let is_told =
                    imported.remarks.iter().any(|remark| remark.message.contains("nothing else"));
                let is_carried = [Form::Kong, Form::Plan].into_iter().any(|form| {
                    imported.json(form).is_ok_and(|json| json.to_string().contains("unheardOf"))
                });
                if !is_named && !is_told && !is_carried && imported.is_sound() {
                    wrong.push_str(&format!("{name} {place} {lossy}: {:?}\n", imported.remarks));
                }
            }
        }
    }
    assert!(tried > 300, "{tried}");
    assert!(wrong.is_empty(), "{wrong}");
}

/// Whatever stands in the place of whatever else: there is an answer.
#[test]
fn nothing_makes_an_import_panic() {
    let mut tried = 0;
    for case in valid() {
        let mut places = Vec::new();
        everything(&case["document"], "", &mut places);
        for place in places {
            for value in [
                json!(null),
                json!(7),
                json!(-1.5),
                json!(1e300),
                json!(true),
                json!("*"),
                json!(""),
                json!([]),
                json!({}),
                json!([[], 7, {"name": "x"}]),
                json!({"a": {"b": []}}),
            ] {
                tried += 1;
                let mut changed = case["document"].clone();
                *changed.pointer_mut(&place).expect("a place") = value;
                // With less that ends the import early.
                let options = Options {
                    lossy: true,
                    release: case["release"] == true,
                    start: Some("0".to_owned()),
                    upstream: case["upstream"].as_str().map(str::to_owned),
                    ..Options::default()
                };
                let text = changed.to_string();
                let imported = import::import(&[Text::new("a.json", &text)], &options);
                for form in [Form::Kong, Form::Envoy, Form::Plan] {
                    let _ = imported.yaml(form);
                }
            }
        }
    }
    assert!(tried > 1_000, "{tried}");
}

fn everything(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            let name = name.replace('~', "~0").replace('/', "~1");
            everything(value, &format!("{at}/{name}"), found);
        }),
        Value::Array(elements) => elements
            .iter()
            .enumerate()
            .for_each(|(index, element)| everything(element, &format!("{at}/{index}"), found)),
        _ => {}
    }
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
