//! Text with places: documents whose every node knows where it was written.

mod embedded;
pub(crate) mod json;
mod locate;
mod node;
mod yaml;

pub(crate) use embedded::Embedded;
pub(crate) use locate::locate;
pub(crate) use node::{Entry, Kind, Node, Style};

use std::io::Read as _;
use std::ops::Range;

/// A range of bytes in a text.
pub(crate) type Span = Range<usize>;

/// How deep documents may be nested: deeper than any gateway's, shallower than the stack.
const DEEPEST: usize = 100;

/// Something that is wrong with a text as such.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SyntaxFault {
    pub span: Span,
    pub message: String,
}

/// A text file.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Its name, as the operator gave it.
    pub name: String,
    pub text: String,
    line_starts: Vec<usize>,
    /// Why there is nothing to be read in it.
    fault: Option<SyntaxFault>,
}

/// A place as an editor counts it: both from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub line: usize,
    pub column: usize,
}

impl Source {
    pub(crate) fn new(name: &str, text: String) -> Self {
        let line_starts =
            std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|i| i + 1));
        Self { name: name.to_owned(), line_starts: line_starts.collect(), text, fault: None }
    }

    /// Reads a file, or the standard input where the name is `-`.
    pub(crate) fn read(name: &str) -> Result<Self, String> {
        let mut bytes = Vec::new();
        let read = if name == "-" {
            std::io::stdin().lock().read_to_end(&mut bytes).map(drop)
        } else {
            std::fs::read(name).map(|content| bytes = content)
        };
        read.map_err(|error| format!("{name}: {error}"))?;
        Ok(Self::of(name, bytes))
    }

    /// Reads a file's bytes.
    pub(crate) fn of(name: &str, bytes: Vec<u8>) -> Self {
        let name = if name == "-" { "<stdin>" } else { name };
        match String::from_utf8(bytes) {
            // A byte order mark is no part of the text.
            Ok(text) => {
                Self::new(name, text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
            }
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let message = "found bytes that are not UTF-8; accepted is text".to_owned();
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                let fault = Some(SyntaxFault { span: at..at, message });
                Self { fault, ..Self::new(name, text) }
            }
        }
    }

    /// The documents of the text; what is wrong with it as a text.
    ///
    /// A text is JSON if it starts like it, unless the file's name says otherwise.
    pub(crate) fn documents(&self) -> (Vec<Node>, Vec<SyntaxFault>) {
        if let Some(fault) = &self.fault {
            return (Vec::new(), vec![fault.clone()]);
        }
        // As for the filter: nothing is the configuration without rules, whatever the file's name.
        if self.text.trim_ascii().is_empty() {
            return Default::default();
        }
        let named = |extension: &str| self.name.to_ascii_lowercase().ends_with(extension);
        let starts_like_json = self.text.trim_start().starts_with(['{', '[']);
        if named(".json") || (starts_like_json && !named(".yaml") && !named(".yml")) {
            match json::parse(&self.text) {
                Ok((node, faults)) => (vec![node], faults),
                Err(fault) => (Vec::new(), vec![fault]),
            }
        } else {
            yaml::parse(&self.text)
        }
    }

    pub(crate) fn position(&self, offset: usize) -> Position {
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let start = self.line_starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self.text.get(start..offset.min(self.text.len())).unwrap_or_default();
        Position { line, column: before.chars().count() + 1 }
    }

    /// Where the line of an offset begins, and its text without the line break.
    pub(crate) fn line(&self, offset: usize) -> (usize, &str) {
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let start = self.line_starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let rest = self.text.get(start..).unwrap_or_default();
        (start, rest.lines().next().unwrap_or_default())
    }
}
