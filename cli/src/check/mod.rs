//! `tse-route check`: every fault of every file.

use super::Failure;
use super::args::CheckArgs;
use super::diagnostic::Diagnostic;
use super::files::File;
use super::output::{self, BAD, DOUBTFUL, Format, GOOD, styled};
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
    for name in &args.files {
        let file = File::read(name).map_err(Failure::Usage)?;
        let checked = look_over(file);
        if args.output.format == Format::Human {
            for diagnostic in &checked.diagnostics {
                output::note(&diagnostic.human(&checked.source));
            }
            output::human(&checked.line(args.strict))?;
        }
        files.push(checked);
    }
    let errors: usize = files.iter().map(Checked::errors).sum();
    let warnings: usize = files.iter().map(|file| file.diagnostics.len()).sum::<usize>() - errors;
    if args.output.format == Format::Json {
        let faults: Vec<Value> = files
            .iter()
            .flat_map(|file| file.diagnostics.iter().map(|fault| fault.json(&file.source)))
            .collect();
        output::json(&json!({
            "valid": errors == 0,
            "files": files.iter().map(Checked::json).collect::<Vec<_>>(),
            "errors": errors,
            "warnings": warnings,
            "faults": faults,
        }))?;
    }
    let fails = errors > 0 || (args.strict && warnings > 0);
    if fails { Err(Failure::Faults) } else { Ok(()) }
}

fn look_over(file: File) -> Checked {
    let File { source, subjects, mut diagnostics } = file;
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
