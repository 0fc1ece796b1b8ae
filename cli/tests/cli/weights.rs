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
fn weights_are_told_to_programs() {
    let shown = run(&["weights", "split.yaml", "10", "--output", "json"], "");
    let told: Value = serde_json::from_str(&shown.stdout).expect(&shown.stderr);
    let weights =
        json!({"demo1.default.80.svc": 20.0, "demo2.default.80.svc": 30.0, "(own)": 50.0});
    assert_eq!(told, json!({"rule": "10", "weight_total": 100.0, "weights": weights}));
}
