//! `tse-route weights`: a file is changed where it stands.

use super::process::run;
use serde_json::{Value, json};
use std::fs;

#[test]
fn a_rule_gets_other_weights_and_keeps_its_comments() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("weights");
    fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("shop.yaml");
    let text = "# the shop\nrules:\n- name: cart # all of it\n  upstream:\n  - {name: blue, weight: 100}\n  - {name: green, weight: 0} # new\n";
    fs::write(&file, text).expect("written");
    let name = file.to_str().expect("a name");

    let shown = run(&["weights", name, "cart"], "");
    assert_eq!((shown.code, shown.stdout.as_str()), (0, "cart: blue 100, green 0\n"));
    let done = run(&["weights", name, "cart", "blue=97.5", "green=2.5"], "");
    assert_eq!((done.code, done.stdout.as_str()), (0, "cart: blue 97.5, green 2.5\n"));
    let after = fs::read_to_string(&file).expect("read");
    assert_eq!(after, text.replace("100", "97.5").replace("weight: 0", "weight: 2.5"));

    for (arguments, code, message) in [
        (vec!["weights", name, "cart", "green=99"], 1, "add up to"),
        (vec!["weights", name, "card", "green=1"], 1, "did you mean \"cart\"?"),
        (vec!["weights", name, "cart", "gren=1"], 1, "did you mean \"green\"?"),
        (vec!["weights", name, "cart", "green"], 2, "NAME=WEIGHT"),
        (vec!["weights", "nothing.yaml", "cart"], 2, "nothing.yaml"),
    ] {
        let refused = run(&arguments, "");
        assert_eq!(refused.code, code, "{arguments:?}: {}", refused.stderr);
        assert!(refused.stderr.contains(message), "{arguments:?}: {}", refused.stderr);
    }
    assert_eq!(fs::read_to_string(&file).expect("read"), after, "what is refused changes nothing");
}

#[test]
fn a_fault_of_others_keeps_nobody_from_going_back() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("weights-of-others");
    fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("kong.yml");
    let plugin = |service: &str, rule: &str| {
        format!(
            "- {{name: tse-route, service: {service}, config: {{rules: [{{{rule}, upstream: \
             [{{name: blue, weight: 100}}, {{name: green, weight: 0}}]}}]}}}}\n"
        )
    };
    let theirs = plugin("theirs", "name: other, wieght: 3");
    let services = "services: [{name: ours, host: blue}, {name: theirs, host: blue}]";
    let ours = plugin("ours", "name: cart");
    let upstreams = "upstreams: [{name: blue}, {name: green}]";
    let text = format!("_format_version: '3.0'\n{services}\n{upstreams}\nplugins:\n{theirs}{ours}");
    fs::write(&file, &text).expect("written");
    let name = file.to_str().expect("a name");

    let done = run(&["weights", name, "cart", "blue=0", "green=100"], "");
    assert_eq!(
        (done.code, done.stdout.as_str()),
        (0, "cart: blue 0, green 100\n"),
        "{}",
        done.stderr
    );
    let after = fs::read_to_string(&file).expect("read");
    assert!(after.contains(&theirs), "{after}");
    let refused = run(&["weights", name, "other", "green=1"], "");
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("wieght"), "{}", refused.stderr);
}

#[test]
fn weights_are_told_to_programs() {
    let shown = run(&["weights", "split.yaml", "10", "--output", "json"], "");
    let told: Value = serde_json::from_str(&shown.stdout).expect(&shown.stderr);
    let weights =
        json!({"demo1.default.80.svc": 20.0, "demo2.default.80.svc": 30.0, "(own)": 50.0});
    assert_eq!(told, json!({"rule": "10", "weight_total": 100.0, "weights": weights}));
}
