//! Broken files: each must be told with its path, line and column.
//!
//! `broken.txt` has, for each file: `=== name`, its text, a last `---`, and what is expected of `check`, a
//! line for each fault: severity, `line:column`, path (`-` for none), and a piece of the message.

use super::process::{place, run};
use serde_json::Value;

#[test]
fn faults_have_their_places() {
    let table = std::fs::read_to_string(place("broken.txt")).expect("the table");
    let mut wrong = Vec::new();
    let mut files = 0;
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("broken");
    std::fs::create_dir_all(&folder).expect("a folder");
    for case in table.split("=== ").skip(1) {
        files += 1;
        let (name, rest) = case.split_once('\n').expect("a name");
        let (text, expected) = rest.rsplit_once("\n---\n").expect("a line of dashes");
        let file = folder.join(name);
        std::fs::write(&file, text).expect("the file is written");
        let done = run(&["check", "--output", "json", file.to_str().expect("a name")], "");
        let result: Value = serde_json::from_str(&done.stdout).expect(&done.stderr);
        let faults = result["faults"].as_array().expect("a list");
        let expected: Vec<Vec<&str>> = expected
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| line.splitn(4, ' ').collect())
            .collect();
        let found: Vec<String> = faults
            .iter()
            .map(|fault| {
                let path = fault["path"].as_str().filter(|path| !path.is_empty()).unwrap_or("-");
                format!(
                    "{} {}:{} {path} {}",
                    fault["severity"].as_str().expect("a word"),
                    fault["line"],
                    fault["column"],
                    fault["message"].as_str().expect("a text")
                )
            })
            .collect();
        let as_expected = expected.len() == found.len()
            && expected.iter().zip(&found).all(|(expected, found)| {
                let [severity, place, path, message] = expected.as_slice() else {
                    panic!("{name}: four words a line")
                };
                found.starts_with(&format!("{severity} {place} {path} ")) && found.contains(message)
            });
        let fails = found.iter().any(|fault| fault.starts_with("error"));
        if !as_expected || done.code != i32::from(fails) {
            wrong.push(format!("=== {name} (exit {})\n{}\n", done.code, found.join("\n")));
        }
    }
    assert!(files >= 124, "{files} files");
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

#[test]
fn a_file_that_is_no_text_does_not_silence_the_others() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("bytes");
    std::fs::create_dir_all(&folder).expect("a folder");
    let write = |name: &str, content: &[u8]| {
        let file = folder.join(name);
        std::fs::write(&file, content).expect("the file is written");
        file.to_str().expect("a name").to_owned()
    };
    let bytes = write("bytes.yaml", b"rules: []\nname: \xff\n");
    let empty = write("empty.json", b" \n");
    let wrong = write("wrong.json", br#"{"rule": []}"#);
    let done = run(&["check", "--output", "json", &bytes, &empty, &wrong], "");
    assert_eq!(done.code, 1, "{}", done.stderr);
    let result: Value = serde_json::from_str(&done.stdout).expect(&done.stderr);
    let faults = result["faults"].as_array().expect("a list");
    let told: Vec<(&str, u64)> = faults
        .iter()
        .filter(|fault| fault["severity"] == "error")
        .map(|fault| {
            (fault["message"].as_str().expect("a text"), fault["line"].as_u64().expect("a line"))
        })
        .collect();
    assert_eq!(
        told,
        [
            ("found bytes that are not UTF-8; accepted is text", 2),
            ("unknown field; did you mean `rules`?", 1),
        ]
    );
}
