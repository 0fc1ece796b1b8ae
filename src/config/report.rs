//! What is wrong with a configuration: every fault at once, each with its place.

use std::fmt;

/// One step on the way from the top of a configuration to a place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    Field(&'a str),
    Element(usize),
}

/// Whether a fault makes the configuration unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration works, but probably not as it was meant.
    Warning,
}

/// One fault of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Whether it is fatal.
    pub severity: Severity,
    /// The offending place, as in `rules[2].condition.header[0].operator`; empty for the whole.
    pub path: String,
    /// What was found there and what would be accepted.
    pub message: String,
}

impl Fault {
    /// How faults begin that are about a field's name, not about its value.
    pub(crate) const UNKNOWN_FIELD: &'static str = "unknown field";

    /// Whether the fault is about the name of the field at its place.
    pub fn is_about_name(&self) -> bool {
        self.message.starts_with(Self::UNKNOWN_FIELD)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.path.is_empty() { "configuration" } else { &self.path };
        write!(f, "{place}: {}", self.message)
    }
}

/// Adds a field's name to a path. Whoever names a field chooses what is written to logs and
/// terminals: what could end a line there, or hide one, is escaped, and what is long is cut.
pub(super) fn push_name(path: &mut String, name: &str) {
    const LONGEST: usize = 100;
    if !path.is_empty() {
        path.push('.');
    }
    for (count, character) in name.chars().enumerate() {
        match character {
            _ if count == LONGEST => return path.push('…'),
            '\u{80}'.. => path.extend(character.escape_debug()),
            control if control.is_control() => path.extend(control.escape_debug()),
            plain => path.push(plain),
        }
    }
}

/// The most errors that are told of, and the most warnings: nothing is looked for beyond them.
pub const MAX_FAULTS: usize = 100;

/// The faults of a configuration, in the order of its text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    faults: Vec<Fault>,
    errors: usize,
    warnings: usize,
}

impl Report {
    /// The faults that make the configuration unusable.
    pub fn errors(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter().filter(|fault| fault.severity == Severity::Error)
    }

    /// The faults that an operator should know of.
    pub fn warnings(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter().filter(|fault| fault.severity == Severity::Warning)
    }

    /// Errors and warnings together.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Whether the configuration can be used.
    pub fn is_usable(&self) -> bool {
        self.errors == 0
    }

    /// Whether there are so many errors that no more are looked for.
    pub(crate) fn is_full(&self) -> bool {
        self.errors > MAX_FAULTS
    }

    /// Adds an error at a place that no cursor has been to.
    pub(crate) fn add_error(&mut self, path: String, message: &str) {
        self.add(Severity::Error, || path, message.to_owned());
    }

    /// A report with one error about the configuration as a whole.
    pub(crate) fn of_whole(message: String) -> Self {
        let mut report = Self::default();
        report.add(Severity::Error, String::new, message);
        report
    }

    fn add(&mut self, severity: Severity, path: impl FnOnce() -> String, message: String) {
        let (count, noun) = match severity {
            Severity::Error => (&mut self.errors, "errors"),
            Severity::Warning => (&mut self.warnings, "warnings"),
        };
        *count += 1;
        let fault = match (*count).cmp(&(MAX_FAULTS + 1)) {
            std::cmp::Ordering::Less => Fault { severity, path: path(), message },
            std::cmp::Ordering::Equal => {
                let message = format!("more than {MAX_FAULTS} {noun}: the others are not told of");
                Fault { severity, path: String::new(), message }
            }
            std::cmp::Ordering::Greater => return,
        };
        self.faults.push(fault);
    }
}

impl fmt::Display for Report {
    /// The errors, one a line, under a line that counts them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.errors().count();
        write!(f, "{count} {} in the configuration", if count == 1 { "error" } else { "errors" })?;
        self.errors().try_for_each(|error| write!(f, "\n  {error}"))
    }
}

/// A place in a configuration together with the report about it: what walks a configuration holds
/// one, so that a path is written out only where there is a fault.
#[derive(Debug, Default)]
pub(crate) struct Cursor<'a> {
    steps: Vec<Step<'a>>,
    report: Report,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(report: Report) -> Self {
        Self { steps: Vec::new(), report }
    }

    pub(crate) fn finish(self) -> Report {
        self.report
    }

    /// Runs `visit` some steps further down.
    pub(crate) fn within<T>(
        &mut self,
        steps: &[Step<'a>],
        visit: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let depth = self.steps.len();
        self.go(steps);
        let result = visit(self);
        self.steps.truncate(depth);
        result
    }

    /// Not inlined: every field of a configuration would have its copy.
    #[inline(never)]
    fn go(&mut self, steps: &[Step<'a>]) {
        self.steps.extend_from_slice(steps);
    }

    /// [`Cursor::within`] a field.
    pub(crate) fn field<T>(&mut self, name: &'a str, visit: impl FnOnce(&mut Self) -> T) -> T {
        self.within(&[Step::Field(name)], visit)
    }

    /// [`Cursor::within`] an element of a list.
    pub(crate) fn element<T>(&mut self, index: usize, visit: impl FnOnce(&mut Self) -> T) -> T {
        self.within(&[Step::Element(index)], visit)
    }

    /// [`Cursor::within`] each element of a list, as long as faults are looked for.
    pub(crate) fn each<T>(
        &mut self,
        elements: impl IntoIterator<Item = T>,
        mut visit: impl FnMut(T, &mut Self),
    ) {
        for (index, element) in elements.into_iter().enumerate() {
            if self.is_full() {
                break;
            }
            self.element(index, |at| visit(element, at));
        }
    }

    pub(crate) fn error(&mut self, message: impl Into<String>) {
        self.fault(Severity::Error, message.into());
    }

    pub(crate) fn warning(&mut self, message: impl Into<String>) {
        self.fault(Severity::Warning, message.into());
    }

    fn fault(&mut self, severity: Severity, message: String) {
        let steps = &self.steps;
        self.report.add(severity, || path(steps), message);
    }

    /// Whether there are so many errors that no more are looked for.
    pub(crate) fn is_full(&self) -> bool {
        self.report.is_full()
    }

    /// Whether nothing was found wrong here or below, so that conclusions may be drawn from it.
    pub(crate) fn is_sound(&self) -> bool {
        if self.report.is_usable() {
            return true;
        }
        let here = path(&self.steps);
        !self.report.errors().any(|error| {
            error.path.strip_prefix(here.as_str()).is_some_and(|rest| {
                here.is_empty() || rest.is_empty() || rest.starts_with(['.', '['])
            })
        })
    }
}

fn path(steps: &[Step<'_>]) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Element(index) => path.push_str(&format!("[{index}]")),
            Step::Field(name) => push_name(&mut path, name),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_forge_lines() {
        let long = "x".repeat(101);
        let cut = format!("{}…", "x".repeat(100));
        for (name, shown) in [
            ("plain name", "plain name"),
            ("a\nb\x1b[31m", "a\\nb\\u{1b}[31m"),
            ("é\u{202e}\u{2028}", "é\\u{202e}\\u{2028}"),
            (&long, &cut),
        ] {
            let mut at = Cursor::default();
            at.field("rules", |at| at.field(name, |at| at.error("x")));
            let report = at.finish();
            assert_eq!(report.faults()[0].path, format!("rules.{shown}"));
        }
    }

    #[test]
    fn enough_is_enough() {
        let mut at = Cursor::default();
        let mut visited = 0;
        at.each(0..1_000, |_, at| {
            visited += 1;
            at.warning("doubtful");
            at.warning("doubtful");
            at.error("wrong");
        });
        let report = at.finish();
        assert_eq!(visited, MAX_FAULTS + 1);
        assert_eq!((report.errors().count(), report.warnings().count()), (101, 101));
        assert!(
            report
                .to_string()
                .ends_with("configuration: more than 100 errors: the others are not told of")
        );
    }
}
