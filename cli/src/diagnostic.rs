//! What is wrong with a file, laid out like a compiler's messages.

use super::source::{Position, Source, Span};
use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};
use serde_json::{Value, json};
use std::ops::Range;
use tse_route::config::Severity;

/// One fault with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Diagnostic {
    pub severity: Severity,
    pub span: Span,
    /// The place in the configuration, as in `rules[2].weight`.
    pub path: Option<String>,
    /// Which of the file's configurations is meant.
    pub subject: Option<String>,
    pub message: String,
}

impl Diagnostic {
    pub(crate) fn error(span: Span, message: String) -> Self {
        Self { severity: Severity::Error, span, path: None, subject: None, message }
    }

    pub(crate) fn warning(span: Span, message: String) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, message) }
    }

    pub(crate) fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Where the fault begins and ends.
    pub(crate) fn region(&self, source: &Source) -> Range<Position> {
        let end = self.span.end.clamp(self.span.start, source.text.len().max(self.span.start));
        source.position(self.span.start)..source.position(end)
    }

    /// The fault in one line, with its place in the configuration and the configuration itself.
    pub(crate) fn text(&self) -> String {
        let path = self.path.as_deref().filter(|path| !path.is_empty());
        let path = path.map(|path| format!("{path}: ")).unwrap_or_default();
        let subject = self.subject.as_ref().map(|subject| format!(" (in {subject})"));
        format!("{path}{}{}", self.message, subject.unwrap_or_default())
    }

    /// The fault under its line of the file.
    pub(crate) fn human(&self, source: &Source) -> String {
        let (level, mut parts) = match self.severity {
            Severity::Error => (Level::ERROR, parts(&self.message)),
            Severity::Warning => (Level::WARNING, parts(&self.message)),
        };
        let said = parts.next().unwrap_or_default();
        let title = match self.path.as_deref() {
            Some("") | None => said.to_owned(),
            Some(path) => format!("{path}: {said}"),
        };
        let (line_start, line) = source.line(self.span.start);
        let at = source.position(self.span.start);
        let start = (self.span.start - line_start).min(line.len());
        let end = (self.span.end.saturating_sub(line_start)).clamp(start, line.len());
        // A file may be a single line.
        let shown = around(line, start);
        let marked = start - shown.start..end.min(shown.end) - shown.start;
        let snippet = Snippet::source(line.get(shown.clone()).unwrap_or_default())
            .line_start(at.line)
            .annotation(AnnotationKind::Primary.span(marked));
        let titled = level.primary_title(title);
        let mut group = match shown == (0..line.len()) {
            true => titled.element(snippet.path(source.name.as_str())),
            // The column in the piece would be told.
            false => titled
                .element(Origin::path(source.name.as_str()).line(at.line).char_column(at.column))
                .element(snippet),
        };
        if let Some(subject) = &self.subject {
            group = group.element(Level::NOTE.message(format!("in {subject}")));
        }
        for part in parts {
            let level = if part.starts_with("did you mean") { Level::HELP } else { Level::NOTE };
            group = group.element(level.message(part));
        }
        format!("{}\n\n", Renderer::styled().render(&[group]))
    }

    pub(crate) fn json(&self, source: &Source) -> Value {
        let position = source.position(self.span.start);
        json!({
            "severity": word(self.severity),
            "file": source.name,
            "line": position.line,
            "column": position.column,
            "subject": self.subject,
            "path": self.path,
            "message": self.message,
        })
    }
}

/// The part of a line that is shown: all of it, unless it is very long.
fn around(line: &str, at: usize) -> Range<usize> {
    const LONGEST: usize = 1_000;
    const AROUND: usize = 100;
    if line.len() <= LONGEST {
        return 0..line.len();
    }
    line.floor_char_boundary(at.saturating_sub(AROUND))..line.ceil_char_boundary(at + AROUND)
}

/// The word for programs.
pub(crate) fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// What was found, what is accepted and what may have been meant: messages have them in this order.
fn parts(message: &str) -> impl Iterator<Item = &str> {
    let accepted = message.rfind("; accepted ");
    let suggestion = message.rfind("; did you mean ");
    let (first, second) = (accepted.or(suggestion), accepted.and(suggestion));
    let cut = |from: Option<usize>, to: Option<usize>| {
        let from = from.map_or(0, |at| at + 2);
        message.get(from..to.unwrap_or(message.len()))
    };
    let pieces = [
        cut(None, first),
        first.and_then(|_| cut(first, second)),
        second.and_then(|_| cut(second, None)),
    ];
    pieces.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::{Diagnostic, parts};
    use crate::source::Source;

    #[test]
    fn of_a_long_line_the_part_around_is_shown() {
        let text = format!("{}é\"bad\"{}", "x".repeat(100_000), "y".repeat(100_000));
        let at = text.find("\"bad\"").expect("it");
        let source = Source::new("a.json", text);
        let shown = Diagnostic::error(at..at + 5, "wrong".to_owned()).human(&source);
        assert!(shown.contains("a.json:1:100002") && shown.contains("\"bad\""), "{shown}");
        assert!(shown.len() < 1_000, "{}", shown.len());
    }

    #[test]
    fn messages_are_taken_apart() {
        let table: &[(&str, &[&str])] = &[
            ("found 1", &["found 1"]),
            ("found 1; accepted is 2", &["found 1", "accepted is 2"]),
            (
                "found 1; accepted is 2; did you mean 3?",
                &["found 1", "accepted is 2", "did you mean 3?"],
            ),
            ("unknown field; did you mean `a`?", &["unknown field", "did you mean `a`?"]),
            ("a; b; accepted are c", &["a; b", "accepted are c"]),
        ];
        for (message, pieces) in table {
            assert_eq!(&parts(message).collect::<Vec<_>>(), pieces);
        }
    }
}
