//! `tse-route check`: every fault of every file.

mod github;
mod sarif;

use super::Failure;
use super::args::CheckArgs;
use super::diagnostic::Diagnostic;
use super::files::{File, folders};
use super::output::{self, BAD, CheckFormat, DOUBTFUL, GOOD, styled};
use super::source::Source;
use serde_json::{Value, json};

/// What was found in one file.
struct Checked {
    source: Source,
    configurations: usize,
    rules: usize,
    diagnostics: Vec<Diagnostic>,
}

pub(crate) fn run(args: &CheckArgs) -> Result<(), Failure> {
    let mut files = Vec::new();
    let mut unrelated = 0;
    for name in folders::files(&args.files).map_err(Failure::Usage)? {
        let file = File::read(&name).map_err(Failure::Usage)?;
        if args.ignore_unrelated && !file.is_related {
            unrelated += 1;
            continue;
        }
        let checked = look_over(file);
        match args.output {
            CheckFormat::Human => {
                for diagnostic in &checked.diagnostics {
                    output::note(&diagnostic.human(&checked.source));
                }
                output::human(&checked.line(args.strict))?;
            }
            CheckFormat::Github => {
                for diagnostic in &checked.diagnostics {
                    output::text(github::command(diagnostic, &checked.source).as_bytes())?;
                }
            }
            CheckFormat::Json | CheckFormat::Sarif => {}
        }
        files.push(checked);
    }
    let errors: usize = files.iter().map(Checked::errors).sum();
    let warnings: usize = files.iter().map(|file| file.diagnostics.len()).sum::<usize>() - errors;
    match args.output {
        CheckFormat::Human if unrelated > 0 => {
            let left_out = count(unrelated, "file");
            output::human(&format!("{left_out} left out: nothing of tse-route in them\n"))?;
        }
        CheckFormat::Human | CheckFormat::Github => {}
        CheckFormat::Json => output::json(&summary(&files, errors, warnings))?,
        CheckFormat::Sarif => output::json(&sarif::log(&files))?,
    }
    let fails = errors > 0 || (args.strict && warnings > 0);
    if fails { Err(Failure::Faults) } else { Ok(()) }
}

fn summary(files: &[Checked], errors: usize, warnings: usize) -> Value {
    let faults =
        files.iter().flat_map(|file| file.diagnostics.iter().map(|f| f.json(&file.source)));
    json!({
        "valid": errors == 0,
        "files": files.iter().map(Checked::json).collect::<Vec<_>>(),
        "errors": errors,
        "warnings": warnings,
        "faults": faults.collect::<Vec<_>>(),
    })
}

fn look_over(file: File) -> Checked {
    let File { source, subjects, mut diagnostics, .. } = file;
    let mut rules = 0;
    for subject in &subjects {
        let mut checked = subject.check();
        rules += checked.loaded.config.rules.len();
        diagnostics.append(&mut checked.diagnostics);
    }
    // In the order of the file; stable for faults of one place.
    diagnostics.sort_by_key(|diagnostic| diagnostic.span.start);
    Checked { source, configurations: subjects.len(), rules, diagnostics }
}

impl Checked {
    fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|fault| fault.is_error()).count()
    }

    fn line(&self, strict: bool) -> String {
        let errors = self.errors();
        let warnings = self.diagnostics.len() - errors;
        let verdict = match (errors, warnings) {
            (0, 0) => styled(GOOD, "ok"),
            (0, warnings) if !strict => {
                format!("{}, {}", styled(GOOD, "ok"), styled(DOUBTFUL, count(warnings, "warning")))
            }
            (0, warnings) => styled(BAD, count(warnings, "warning")),
            (errors, 0) => styled(BAD, count(errors, "error")),
            (errors, warnings) => format!(
                "{}, {}",
                styled(BAD, count(errors, "error")),
                styled(DOUBTFUL, count(warnings, "warning"))
            ),
        };
        let configurations = match self.configurations {
            0 | 1 => String::new(),
            several => format!("{several} configurations, "),
        };
        format!("{}: {verdict} ({configurations}{})\n", self.source.name, count(self.rules, "rule"))
    }

    fn json(&self) -> Value {
        let errors = self.errors();
        json!({
            "file": self.source.name,
            "configurations": self.configurations,
            "rules": self.rules,
            "errors": errors,
            "warnings": self.diagnostics.len() - errors,
        })
    }
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
