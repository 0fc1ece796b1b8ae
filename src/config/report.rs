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

/// All faults of a configuration, in the order of its text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    faults: Vec<Fault>,
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
        self.errors().next().is_none()
    }

    /// Adds an error at a place that no cursor has been to.
    pub(crate) fn add_error(&mut self, path: String, message: &str) {
        self.faults.push(Fault { severity: Severity::Error, path, message: message.to_owned() });
    }

    /// A report with one error about the configuration as a whole.
    pub(crate) fn of_whole(message: String) -> Self {
        let fault = Fault { severity: Severity::Error, path: String::new(), message };
        Self { faults: vec![fault] }
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

    pub(crate) fn error(&mut self, message: impl Into<String>) {
        self.fault(Severity::Error, message.into());
    }

    pub(crate) fn warning(&mut self, message: impl Into<String>) {
        self.fault(Severity::Warning, message.into());
    }

    fn fault(&mut self, severity: Severity, message: String) {
        let path = self.path();
        self.report.faults.push(Fault { severity, path, message });
    }

    /// Whether nothing was found wrong here or below, so that conclusions may be drawn from it.
    pub(crate) fn is_sound(&self) -> bool {
        if self.report.is_usable() {
            return true;
        }
        let here = self.path();
        !self.report.errors().any(|error| {
            error.path.strip_prefix(here.as_str()).is_some_and(|rest| {
                here.is_empty() || rest.is_empty() || rest.starts_with(['.', '['])
            })
        })
    }

    fn path(&self) -> String {
        let mut path = String::new();
        for step in &self.steps {
            match step {
                Step::Element(index) => path.push_str(&format!("[{index}]")),
                Step::Field(name) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(name);
                }
            }
        }
        path
    }
}
