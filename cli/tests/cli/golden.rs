//! Runs whose output is kept: each file of `golden/` has commands with all that they print.
//!
//! `UPDATE_GOLDEN=1 cargo test --test cli golden` writes the files anew from their commands.

use super::process::{place, run, words};
use std::fmt::Write;
use std::fs;

#[test]
fn commands_print_what_is_kept() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut different = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(place("golden")).expect("the folder") {
        let path = entry.expect("an entry").path();
        let kept = fs::read_to_string(&path).expect("a text file");
        let mut now = String::new();
        for command in kept.lines().filter_map(|line| line.strip_prefix("$ tse-route ")) {
            count += 1;
            let words = words(command);
            let arguments: Vec<&str> = words.iter().map(String::as_str).collect();
            let done = run(&arguments, "");
            write!(now, "$ tse-route {command}\n? {}\n", done.code).expect("a string");
            for (name, text) in [("stdout", &done.stdout), ("stderr", &done.stderr)] {
                if !text.is_empty() {
                    // No line of an output may be taken for a command.
                    assert!(!text.lines().any(|line| line.starts_with("$ ")));
                    let end = if text.ends_with('\n') { "" } else { "\n" };
                    write!(now, "--- {name}\n{text}{end}").expect("a string");
                }
            }
            now.push('\n');
        }
        if update {
            fs::write(&path, &now).expect("the file is written");
        } else if now != kept {
            different.push(format!("{}: now\n{now}", path.display()));
        }
    }
    assert!(count > 0, "no commands");
    assert!(different.is_empty(), "{}", different.concat());
}
