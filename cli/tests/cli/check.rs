//! What `check` looks at, and the forms in which it tells.

use super::process::{place, run};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder of its own with these files.
fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    for (file, text) in files {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("the file is written");
    }
    folder
}

/// The files that were looked at, as the output has them.
fn looked_at(arguments: &[&str], folder: &Path) -> (i32, Vec<String>) {
    let name = folder.to_str().expect("a name");
    let arguments = [&["check", "--output", "json"], arguments, &[name]].concat();
    let done = run(&arguments, "");
    let result: Value = serde_json::from_str(&done.stdout).expect(&done.stderr);
    let files = result["files"].as_array().expect("a list").iter().map(|file| {
        let file = file["file"].as_str().expect("a name");
        file.strip_prefix(name).expect("a file of the folder").trim_start_matches('/').to_owned()
    });
    (done.code, files.collect())
}

const OURS: &str = "rules: [{upstream: [{name: a}]}]\n";
const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: x}\n";

#[test]
fn folders_are_walked() {
    let folder = folder(
        "walk",
        &[
            ("b.yaml", OURS),
            ("a/deep/c.yml", OURS),
            ("a/d.JSON", "{\"rules\": [{\"upstream\": [{\"name\": \"a\"}]}]}"),
            ("a/notes.txt", "not: ours"),
            (".hidden/e.yaml", "rules: 7"),
            ("cache/CACHEDIR.TAG", ""),
            ("cache/f.yaml", "rules: 7"),
        ],
    );
    let (code, files) = looked_at(&[], &folder);
    assert_eq!((code, files), (0, ["a/d.JSON", "a/deep/c.yml", "b.yaml"].map(String::from).into()));
}

#[test]
fn a_folder_without_files_is_no_success() {
    let done = run(&["check", folder("empty", &[("x.txt", "")]).to_str().expect("a name")], "");
    assert_eq!(done.code, 2);
    assert!(done.stderr.contains("no file in it"), "{}", done.stderr);
}

#[test]
fn what_is_unrelated_is_left_out_on_demand() {
    let files = [
        ("ours.yaml", OURS),
        ("plugin.yaml", "kind: KongPlugin\nplugin: tse-route\nconfig: {rules: 7}\n"),
        ("misspelt.yaml", "kind: KongPlugin\nplugin: tse_route\nconfig: {}\n"),
        ("secret.yaml", "kind: KongPlugin\nplugin: tse-route\nconfigFrom: {secretKeyRef: {}}\n"),
        ("torn.yaml", "kind: KongPlugin\nplugin: tse-route\nconfig: {rules: [\n"),
        ("service.yaml", SERVICE),
        ("role.yaml", "kind: Role\nrules: [{apiGroups: ['']}]\n"),
        ("prometheus.yaml", "groups: [{name: a, rules: [{record: b, expr: c}]}]\n"),
        ("alerts.yaml", "rules: [{alert: a, expr: b}]\n"),
        ("chart.yaml", "{{ if .Values.a }}\na: [\n{{ end }}\n"),
        ("list.yaml", "- a\n- b\n"),
        ("empty.yaml", ""),
        (
            "wasm.yaml",
            "static_resources: {listeners: [{name: other, typed_config: {'@type': envoy.extensions.filters.http.wasm.v3.Wasm, config: {}}}]}\n",
        ),
    ];
    let folder = folder("unrelated", &files);
    let (code, found) = looked_at(&["--ignore-unrelated"], &folder);
    let ours = ["misspelt.yaml", "ours.yaml", "plugin.yaml", "secret.yaml", "torn.yaml"];
    assert_eq!((code, found), (1, ours.map(String::from).into()));
    // Without the option each of them is said to be none.
    assert_eq!(looked_at(&[], &folder).1.len(), files.len());
    let alone = run(&["check", "--ignore-unrelated", "-"], SERVICE);
    assert_eq!(
        (alone.code, alone.stdout.as_str()),
        (0, "1 file left out: nothing of tse-route in them\n")
    );
}

#[test]
fn the_examples_of_the_help_pass_here() {
    let help = run(&["check", "--help"], "").stdout;
    let examples: Vec<&str> =
        help.lines().filter_map(|line| line.trim().strip_prefix("tse-route check ")).collect();
    assert!(examples.len() >= 3, "{help}");
    for example in examples {
        let done = Command::new("bash")
            .args(["-c", &format!("\"$0\" check {example}"), env!("CARGO_BIN_EXE_tse-route")])
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
            .output()
            .expect("bash starts");
        assert!(done.status.success(), "{example}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

/// A file that cannot be read, and reads like a configuration, is none of those that are left out.
#[test]
fn what_is_broken_is_not_left_out() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("broken-or-unrelated");
    std::fs::create_dir_all(&folder).expect("a folder");
    for (text, is_left_out) in [
        ("rules:\n- weight: 5\n   upstream: [{name: a}]\n", false),
        ("{\"rules\": [{\"upstream\": [{\"name\": \"a\"}]]}\n", false),
        ("kind: Role\nrules:\n- verbs: [get\nupstream: x\n", true),
        ("groups:\n- rules: [\n", true),
    ] {
        let file = folder.join("file.yaml");
        std::fs::write(&file, text).expect("a file");
        let done = run(&["check", "--ignore-unrelated", file.to_str().expect("a name")], "");
        assert_eq!(done.code == 0, is_left_out, "{text}\n{}{}", done.stdout, done.stderr);
    }
}

/// What the schema of SARIF 2.1.0 requires of the parts that are written, and what it forbids.
#[test]
fn sarif_is_sound() {
    let done =
        run(&["check", "--output", "sarif", "broken.yaml", "doubtful.yaml", "lost.yaml"], "");
    assert_eq!(done.code, 1);
    let log: Value = serde_json::from_str(&done.stdout).expect("JSON");
    only(&log, &["version", "runs"], &["$schema"]);
    assert_eq!(log["version"], "2.1.0");
    for run in list(&log["runs"]) {
        only(run, &["tool", "results"], &["columnKind"]);
        assert_eq!(run["columnKind"], "unicodeCodePoints");
        only(&run["tool"], &["driver"], &[]);
        let driver = &run["tool"]["driver"];
        only(driver, &["name", "rules"], &[]);
        for rule in list(&driver["rules"]) {
            only(rule, &["id", "shortDescription", "defaultConfiguration"], &[]);
            only(&rule["shortDescription"], &["text"], &[]);
            assert!(
                ["error", "warning"]
                    .map(Value::from)
                    .contains(&rule["defaultConfiguration"]["level"])
            );
        }
        let results = list(&run["results"]);
        assert!(results.len() > 8);
        for result in results {
            only(result, &["ruleId", "ruleIndex", "level", "message", "locations"], &[]);
            let index =
                usize::try_from(result["ruleIndex"].as_u64().expect("an index")).expect("small");
            let rule = &driver["rules"][index];
            assert_eq!(result["ruleId"], rule["id"]);
            assert_eq!(result["level"], rule["defaultConfiguration"]["level"]);
            assert!(result["message"]["text"].as_str().is_some_and(|text| !text.is_empty()));
            for location in list(&result["locations"]) {
                only(location, &["physicalLocation"], &["logicalLocations"]);
                let physical = &location["physicalLocation"];
                only(physical, &["artifactLocation", "region"], &[]);
                let uri = physical["artifactLocation"]["uri"].as_str().expect("a reference");
                assert!(place("files").join(uri).is_file(), "{uri}");
                let at = |name: &str| physical["region"][name].as_u64().expect("a number");
                only(
                    &physical["region"],
                    &["startLine", "startColumn", "endLine", "endColumn"],
                    &[],
                );
                let (start, end) =
                    ((at("startLine"), at("startColumn")), (at("endLine"), at("endColumn")));
                assert!(
                    (1, 1) <= start && start <= end && start.1 >= 1 && end.1 >= 1,
                    "{physical}"
                );
            }
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

/// An object with all of the first fields, and no others than the second.
fn only(object: &Value, required: &[&str], allowed: &[&str]) {
    let fields = object.as_object().expect("an object");
    assert!(required.iter().all(|name| fields.contains_key(*name)), "{object}");
    let known = |name: &String| [required, allowed].concat().contains(&name.as_str());
    assert!(fields.keys().all(known), "{object}");
}
