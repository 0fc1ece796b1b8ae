//! What is generated from the types and from the flags.

use super::process::run;
use serde_json::Value;

#[test]
fn schemas_are_json() {
    let schema: Value = serde_json::from_str(&run(&["schema"], "").stdout).expect("JSON");
    let kong: Value = serde_json::from_str(&run(&["schema", "--kong"], "").stdout).expect("JSON");
    assert!(schema["properties"]["rules"].is_object());
    assert_eq!(schema["properties"], kong["config_schema"]["properties"]);
}

#[test]
fn every_command_has_help_with_examples_and_a_page() {
    let commands = [
        "check",
        "explain",
        "simulate",
        "import",
        "release",
        "weights",
        "schema",
        "completions",
        "man",
    ];
    for command in commands {
        let help = run(&[command, "--help"], "");
        assert!(help.code == 0 && help.stdout.contains("Examples:"), "{command}");
        let page = run(&["man", command], "");
        assert!(page.code == 0 && page.stdout.contains(".SH SYNOPSIS"), "{command}");
    }
    assert!(run(&["man"], "").stdout.contains("tse\\-route"));
    assert_eq!(run(&["man", "nothing"], "").code, 2);
}

#[test]
fn every_shell_has_completions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = run(&["completions", shell], "");
        assert!(script.code == 0 && script.stdout.contains("simulate"), "{shell}");
    }
}

#[test]
fn pipes_carry_no_colours() {
    let done = run(&["check", "broken.yaml", "split.yaml"], "");
    assert!(!done.stdout.contains('\u{1b}') && !done.stderr.contains('\u{1b}'));
}
