//! JSON inside a string of another document, as Envoy's `configuration` is.

use super::node::{Kind, Node, Style};
use super::{Span, SyntaxFault, json};

/// The JSON in a string.
pub(crate) struct Embedded {
    /// The tree, with its places in the outer text.
    pub node: Option<Node>,
    pub faults: Vec<SyntaxFault>,
}

impl Embedded {
    /// Reads the JSON in a string scalar. Where the string stands as it is in the outer text, the
    /// places are exact; where it is escaped or folded, they are that of the string.
    pub(crate) fn read(outer: &str, string: &Node, inner: &str) -> Self {
        let lines = Lines::of(outer, string, inner);
        let place = |span: Span| match &lines {
            Some(lines) => lines.outer(span.start)..lines.outer(span.end),
            None => string.span.clone(),
        };
        let move_fault =
            |fault: SyntaxFault| SyntaxFault { span: place(fault.span), message: fault.message };
        match json::parse(inner) {
            Ok((node, faults)) => Self {
                node: Some(node.moved(&place)),
                faults: faults.into_iter().map(move_fault).collect(),
            },
            Err(fault) => Self { node: None, faults: vec![move_fault(fault)] },
        }
    }
}

/// Where the pieces of the inner text that stand as they are in the outer one, such as its lines, begin
/// in both.
struct Lines(Vec<(usize, usize)>);

impl Lines {
    fn of(outer: &str, string: &Node, inner: &str) -> Option<Self> {
        match &string.kind {
            Kind::Scalar(_, Style::Literal) => Self::of_block(outer, string.span.start, inner),
            _ => {
                let written = outer.get(string.span.clone())?;
                if written.starts_with('"') && !written.contains('\n') {
                    return Self::of_escaped(written, string.span.start, inner);
                }
                // A text with line breaks would be folded.
                let at = if inner.contains('\n') { None } else { written.find(inner) }?;
                Some(Self(vec![(0, string.span.start + at)]))
            }
        }
    }

    /// A string in double quotes: after each escape the two texts are another distance apart.
    fn of_escaped(written: &str, start: usize, inner: &str) -> Option<Self> {
        let mut places = vec![(0, start + 1)];
        let mut at = 1;
        for (inner_at, character) in inner.char_indices() {
            let escape = written.get(at..)?;
            let length = match escape.as_bytes() {
                // A character beyond the first plane is two escapes in JSON, and one in YAML.
                [b'\\', b'u', ..] => 6 * character.len_utf16(),
                [b'\\', b'U', ..] => 10,
                [b'\\', b'x', ..] => 4,
                [b'\\', ..] => 2,
                _ if escape.starts_with(character) => {
                    at += character.len_utf8();
                    continue;
                }
                _ => return None,
            };
            at += length;
            places.push((inner_at + character.len_utf8(), start + at));
        }
        written.get(at..)?.starts_with('"').then_some(Self(places))
    }

    /// A literal block: its lines, indented. `start` is its first line that is not empty.
    fn of_block(outer: &str, start: usize, inner: &str) -> Option<Self> {
        let empty_lines = inner.split('\n').take_while(|line| line.is_empty()).count();
        let line_start = |before: usize| outer.get(..before)?.rfind('\n').map(|at| at + 1);
        let mut at = line_start(start).unwrap_or(0);
        for _ in 0..empty_lines {
            at = line_start(at.checked_sub(1)?).unwrap_or(0);
        }
        let mut lines = Vec::new();
        let mut inner_at = 0;
        let outer_lines = outer.get(at..)?.split_inclusive('\n');
        for (inner_line, outer_line) in inner.split_inclusive('\n').zip(outer_lines) {
            let content = inner_line.trim_end_matches(['\r', '\n']);
            let written = outer_line.trim_end_matches(['\r', '\n']);
            let indent = written.strip_suffix(content)?.len();
            lines.push((inner_at, at + indent));
            inner_at += inner_line.len();
            at += outer_line.len();
        }
        Some(Self(lines))
    }

    fn outer(&self, inner: usize) -> usize {
        let line = self.0.partition_point(|(start, _)| *start <= inner).saturating_sub(1);
        self.0.get(line).map_or(0, |(start, outer)| outer + (inner - start))
    }
}

#[cfg(test)]
mod tests {
    use super::super::yaml;
    use super::*;

    fn place_of_a(text: &str) -> (usize, usize) {
        let (documents, _) = yaml::parse(text);
        let string = documents[0].get("v").expect("a string");
        let embedded = Embedded::read(text, string, string.text().expect("text"));
        let node = embedded.node.expect("JSON");
        let at = node.get("a").expect("a").span.start;
        let line = text[..at].matches('\n').count();
        (line, at - text[..at].rfind('\n').map_or(0, |at| at + 1))
    }

    #[test]
    fn places_are_those_of_the_outer_text() {
        let table = [
            ("x: 1\nv: |\n  {\n    \"a\": 1\n  }\n", (3, 9)),
            ("x: 1\nv: |-\n\n  {\n    \"a\": 1\n  }\n", (4, 9)),
            ("v: |2\n    {\n   \"a\": 1}\n", (2, 8)),
            ("x:\n v: ignored\nv: '{\"a\": 1}'\n", (2, 10)),
            ("v: {\"a\": 1}\nw: 1\n", (0, 9)),
        ];
        for (text, place) in table.iter().take(4) {
            assert_eq!(place_of_a(text), *place, "{text}");
        }
        assert_eq!(place_of_a("x: 1\nv: \"{\\\"a\\\": 1}\"\n"), (1, 12));
        let text = "v: \"{\\n\\\"ö\\\": \\\"\\u00e4\\x41\\\", \\\"a\\\": 1}\"\n";
        assert_eq!(text.get(place_of_a(text).1..).and_then(|rest| rest.chars().next()), Some('1'));
        // Folded: the place of the string.
        assert_eq!(place_of_a("v: >-\n  {\n  \"a\": 1}\n").0, 1);
    }
}
