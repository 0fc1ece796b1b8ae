//! YAML with places: the core schema of YAML 1.2, with anchors and merge keys.

use super::node::{Entry, Kind, Node, Style};
use super::{DEEPEST, Span, SyntaxFault};
use hashbrown::{HashMap, HashSet};
use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use serde_json::{Number, Value};
use tse_route::config::MAX_FAULTS;

/// The most nodes of a text with its aliases written out.
const MOST_NODES: usize = 2_000_000;

/// Reads all documents; one that cannot be read to its end is left out, as are empty ones beside others.
pub(crate) fn parse(text: &str) -> (Vec<Node>, Vec<SyntaxFault>) {
    let mut reader = Reader { offsets: Offsets::new(text), ..Reader::default() };
    let mut documents = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                let at = reader.offsets.of(error.marker().index());
                let (at, message) = match tab(text, at) {
                    Some(tab) => (tab..tab + 1, "a tab; accepted are spaces".to_owned()),
                    None => (at..at, error.info().to_owned()),
                };
                reader.fault(at, format!("not YAML: {message}"));
                break;
            }
        };
        let span = reader.offsets.of(span.start.index())..reader.offsets.of(span.end.index());
        if let Err(fault) = reader.take(event, span) {
            reader.faults.push(fault);
            break;
        }
        documents.extend(reader.finished.take());
    }
    if documents.len() > 1 {
        documents.retain(|document| !document.is_null());
    }
    (documents, reader.faults)
}

/// The tab that a reader did not get past: it stands in the line of the fault or begins the next one.
fn tab(text: &str, at: usize) -> Option<usize> {
    let line_start = text.get(..at)?.rfind('\n').map_or(0, |end| end + 1);
    let mut start = line_start;
    for line in text.get(line_start..)?.split_inclusive('\n').take(2) {
        let blank = line.len() - line.trim_start().len();
        // In the line of the fault any tab before it may be the reason.
        let reach = if start == line_start { blank.max(at - start) } else { blank };
        if let Some(tab) = line.get(..reach).and_then(|before| before.find('\t')) {
            return Some(start + tab);
        }
        start += line.len();
    }
    None
}

/// The fault of a key that is there already.
pub(super) fn duplicate(key: &str, span: Span) -> SyntaxFault {
    let message = format!(
        "found the key {} a second time; accepted is each key once",
        tse_route::config::quote(key)
    );
    SyntaxFault { span, message }
}

/// From the parser's offsets in characters to those in bytes.
#[derive(Default)]
struct Offsets {
    /// None where both are the same.
    bytes: Option<Vec<usize>>,
    end: usize,
}

impl Offsets {
    fn new(text: &str) -> Self {
        let bytes = (!text.is_ascii()).then(|| text.char_indices().map(|(at, _)| at).collect());
        Self { bytes, end: text.len() }
    }

    fn of(&self, index: usize) -> usize {
        match &self.bytes {
            Some(bytes) => bytes.get(index).copied().unwrap_or(self.end),
            None => index.min(self.end),
        }
    }
}

#[derive(Default)]
struct Reader {
    offsets: Offsets,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    finished: Option<Node>,
    faults: Vec<SyntaxFault>,
}

/// A list or map that is still being read.
struct Open {
    start: usize,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, names: HashSet<String>, key: Option<(String, Span)> },
}

impl Reader {
    fn fault(&mut self, span: Span, message: String) {
        self.faults.push(SyntaxFault { span, message });
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), SyntaxFault> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = resolve(&text, style, tag.as_deref());
                let style = match style {
                    ScalarStyle::Plain => match &value {
                        Value::Number(number) if *number.to_string() != *text => Style::Respelled,
                        _ => Style::Plain,
                    },
                    ScalarStyle::Literal => Style::Literal,
                    _ => Style::Other,
                };
                let node = Node { span, kind: Kind::Scalar(value, style) };
                // A key is its text, whatever it looks like: `on:` and `1:` are the keys "on" and "1".
                self.add(node, anchor, Some(&text))
            }
            Event::SequenceStart(anchor, _) => {
                self.open(span.start, anchor, Content::List(Vec::new()))
            }
            Event::MappingStart(anchor, _) => self.open(
                span.start,
                anchor,
                Content::Map { entries: Vec::new(), names: HashSet::new(), key: None },
            ),
            Event::SequenceEnd | Event::MappingEnd => self.close(span.end),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err(SyntaxFault { span, message: "an alias of itself".to_owned() });
                };
                self.nodes += node.size();
                let key = node.text().map(str::to_owned);
                self.add(node, 0, key.as_deref())
            }
            _ => Ok(()),
        }
    }

    fn open(&mut self, start: usize, anchor: usize, content: Content) -> Result<(), SyntaxFault> {
        if self.open.len() >= DEEPEST {
            return Err(SyntaxFault {
                span: start..start,
                message: format!("nested more than {DEEPEST} deep"),
            });
        }
        self.open.push(Open { start, anchor, content });
        Ok(())
    }

    fn close(&mut self, end: usize) -> Result<(), SyntaxFault> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let kind = match open.content {
            Content::List(elements) => Kind::List(elements),
            Content::Map { entries, .. } => Kind::Map(merge(entries)),
        };
        self.add(Node { span: open.start..end.max(open.start), kind }, open.anchor, None)
    }

    fn add(&mut self, node: Node, anchor: usize, as_key: Option<&str>) -> Result<(), SyntaxFault> {
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            let message = "too large with its aliases written out".to_owned();
            return Err(SyntaxFault { span: node.span, message });
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.finished = Some(node),
            Some(Content::List(elements)) => elements.push(node),
            Some(Content::Map { entries, names, key }) => match (key.take(), as_key) {
                (Some((name, key_span)), _) => {
                    if name != "<<" && !names.insert(name.clone()) {
                        if self.faults.len() < MAX_FAULTS {
                            self.faults.push(duplicate(&name, key_span));
                        }
                    } else {
                        entries.push(Entry { key: name, key_span, value: node });
                    }
                }
                (None, Some(name)) => *key = Some((name.to_owned(), node.span)),
                (None, None) => {
                    // `{{ .Values.name }}` is an object in an object for YAML.
                    let message = "a list or an object as a key; accepted is a text, and of a template \
                                   what it renders";
                    let message = message.to_owned();
                    return Err(SyntaxFault { span: node.span, message });
                }
            },
        }
        Ok(())
    }
}

/// Writes `<<: *defaults` out; a field's own value wins.
fn merge(entries: Vec<Entry>) -> Vec<Entry> {
    if entries.iter().all(|entry| entry.key != "<<") {
        return entries;
    }
    let (merged, mut own): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|entry| entry.key == "<<");
    let mut names: HashSet<String> = own.iter().map(|entry| entry.key.clone()).collect();
    for entry in merged {
        let maps = match entry.value.kind {
            Kind::List(elements) => elements,
            _ => vec![entry.value],
        };
        for inherited in maps.into_iter().flat_map(|map| match map.kind {
            Kind::Map(entries) => entries,
            _ => Vec::new(),
        }) {
            if names.insert(inherited.key.clone()) {
                own.push(inherited);
            }
        }
    }
    own
}

/// What a scalar is read as.
fn resolve(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    let is_text = tag.is_some_and(|tag| tag.suffix == "str") || style != ScalarStyle::Plain;
    if is_text {
        return Value::from(text);
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).map_or_else(|| Value::from(text), Value::Number),
    }
}

/// A number as what reads manifests passes it on: `1.10` has become `1.1`.
fn number(text: &str) -> Option<Number> {
    let integer = |digits: &str, radix| {
        let sound = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
        sound.then(|| u64::from_str_radix(digits, radix).ok()).flatten().map(Number::from)
    };
    if let Some(digits) = text.strip_prefix("0x") {
        return integer(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return integer(digits, 8);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if unsigned.is_empty() || !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    if unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        let plain = text.strip_prefix('+').unwrap_or(text);
        return match plain.parse::<i64>() {
            Ok(number) => Some(Number::from(number)),
            Err(_) => plain.parse::<u64>().ok().map(Number::from).or_else(|| float(plain)),
        };
    }
    let is_float =
        unsigned.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'-' | b'+'))
            && unsigned.bytes().any(|byte| byte.is_ascii_digit())
            && !unsigned.starts_with(".e")
            && !unsigned.starts_with(".E");
    if is_float { float(text) } else { None }
}

fn float(text: &str) -> Option<Number> {
    let number: f64 = text.parse().ok()?;
    // A whole number is written as one: `30.0` arrives as 30.
    if number.fract() == 0.0 && number.abs() < 9e15 {
        return Some(Number::from(number as i64));
    }
    Number::from_f64(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn one(text: &str) -> Value {
        let (documents, faults) = parse(text);
        assert_eq!(faults, [], "{text}");
        documents.first().map_or(Value::Null, Node::value)
    }

    #[test]
    fn scalars_are_those_of_the_core_schema() {
        let table = [
            ("1", json!(1)),
            ("-1", json!(-1)),
            ("+1", json!(1)),
            ("0x1f", json!(31)),
            ("1.50", json!(1.5)),
            ("30.0", json!(30)),
            ("1e3", json!(1000)),
            (".5", json!(0.5)),
            ("1.2.3", json!("1.2.3")),
            ("1-2", json!("1-2")),
            ("v1", json!("v1")),
            ("e3", json!("e3")),
            (".", json!(".")),
            ("'1'", json!("1")),
            ("\"1\"", json!("1")),
            ("!!str 1", json!("1")),
            ("yes", json!("yes")),
            ("True", json!(true)),
            ("~", json!(null)),
            ("|\n a\n b\n", json!("a\nb\n")),
            (">-\n a\n b\n", json!("a b")),
        ];
        for (text, value) in table {
            assert_eq!(one(&format!("k: {text}")), json!({ "k": value }), "{text}");
        }
    }

    #[test]
    fn anchors_and_merge_keys_are_written_out() {
        let text = "base: &b {a: 1, b: 2}\nlist:\n- <<: *b\n  b: 3\n- *b\n";
        assert_eq!(one(text)["list"], json!([{ "b": 3, "a": 1 }, { "a": 1, "b": 2 }]));
    }

    #[test]
    fn places_are_kept() {
        let text = "ä: ö\nlist:\n- key: value\n  other: 2\n";
        let (documents, _) = parse(text);
        let element = &documents[0].list("list")[0];
        let entry = element.entry("other").expect("an entry");
        assert_eq!(&text[entry.key_span.clone()], "other");
        assert_eq!(&text[entry.value.span.clone()], "2");
        assert_eq!(&text[element.span.start..element.span.start + 3], "key");
    }

    #[test]
    fn faults_have_their_place() {
        for (text, at) in [
            ("a: 1\na: 2\n", 5),
            ("a: [1, 2\n", 9),
            ("a: b: c\n", 4),
            ("a: 1\n\tb: 2\n", 5),
            ("a:\n  b:\n\t- c: 1\n", 8),
            ("a:\n  b:\tc\n  d: e\n", 7),
        ] {
            let (_, faults) = parse(text);
            assert_eq!(
                faults.first().map(|fault| fault.span.start),
                Some(at),
                "{text:?} {faults:?}"
            );
        }
        let deep = "[".repeat(200);
        assert!(parse(&deep).1.first().is_some_and(|fault| fault.message.contains("deep")));
        let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for n in 1..12 {
            let aliases = vec![format!("*a{}", n - 1); 10].join(", ");
            laughs.push_str(&format!("a{n}: &a{n} [{aliases}]\n"));
        }
        assert!(parse(&laughs).1.first().is_some_and(|fault| fault.message.contains("aliases")));
    }

    #[test]
    fn documents_are_split() {
        let (documents, _) = parse("---\na: 1\n---\n---\nb: 2\n...\n");
        assert_eq!(documents.len(), 2);
        assert_eq!(parse("").0.len(), 0);
    }
}
