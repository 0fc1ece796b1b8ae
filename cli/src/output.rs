//! Writing results.

use super::Failure;
use clap::ValueEnum;
use clap::builder::styling::{AnsiColor, Style};
use serde_json::Value;
use std::io::Write as _;

/// For whom the output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Human,
    /// For programs.
    Json,
}

/// For whom the output of `check` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckFormat {
    /// For people.
    Human,
    /// For programs.
    Json,
    /// For code scanners.
    Sarif,
    /// Marks in GitHub's pull requests.
    Github,
}

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const DOUBTFUL: Style = AnsiColor::Yellow.on_default().bold();

/// Text in a style, which is left out where the output is no terminal.
pub(crate) fn styled(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

pub(crate) fn error_word() -> String {
    styled(BAD, "error")
}

/// Writes a result; styles only on a terminal.
pub(crate) fn human(text: &str) -> Result<(), Failure> {
    Ok(anstream::stdout().write_all(text.as_bytes())?)
}

/// Writes a result as it is.
pub(crate) fn text(bytes: &[u8]) -> Result<(), Failure> {
    Ok(std::io::stdout().lock().write_all(bytes)?)
}

/// Writes a result for a program.
pub(crate) fn json(value: &Value) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    Ok(out.write_all(b"\n")?)
}

/// Writes what is no result.
pub(crate) fn note(text: &str) {
    // Whoever does not listen to the standard error misses nothing that the exit code does not say.
    let _ = anstream::stderr().write_all(text.as_bytes());
}

/// Bytes of a request as text in quotes.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    tse_route::config::quote(&String::from_utf8_lossy(bytes))
}

/// A share of one as a percentage with as few decimals as it needs, at most two.
pub(crate) fn percent(share: f64) -> String {
    let text = format!("{:.2}", share * 100.0);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} %")
}
