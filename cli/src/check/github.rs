//! GitHub's workflow commands, which mark the lines of a pull request.

use crate::diagnostic::Diagnostic;
use crate::source::Source;
use tse_route::config::Severity;

/// One command, with its line break.
pub(super) fn command(found: &Diagnostic, source: &Source) -> String {
    let word = match found.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let region = found.region(source);
    format!(
        "::{word} file={},line={},endLine={},col={},endColumn={},title=tse-route::{}\n",
        property(source.name.trim_start_matches("./")),
        region.start.line,
        region.end.line,
        region.start.column,
        region.end.column,
        data(&found.text()),
    )
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_command_is_escaped() {
        let source = Source::new("a,b:c.yaml", "x: 100%\n".to_owned());
        let found = Diagnostic::error(3..7, "found \"100%\"\nand: more".to_owned());
        assert_eq!(
            command(&found, &source),
            "::error file=a%2Cb%3Ac.yaml,line=1,endLine=1,col=4,endColumn=8,title=tse-route::found \"100%25\"%0Aand: more\n"
        );
    }
}
