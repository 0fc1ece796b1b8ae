//! Requests with what is expected of them: the files of `explain --cases`.

use super::diagnostic::Diagnostic;
use super::request::Sample;
use super::source::{Entry, Node, Source, Span};
use super::world;
use serde_json::Value;
use tse_route::config::{Timestamp, nearest, quote};

/// The fields of a case.
const FIELDS: [&str; 11] = [
    "name",
    "request",
    "headers",
    "cookies",
    "body",
    "client_ip",
    "scheme",
    "at",
    "plugin",
    "seed",
    "expect",
];

/// What can be expected: fields of what `explain` answers.
const ANSWERS: [&str; 4] = ["rule", "upstream", "probabilities", "response_headers"];

/// How far apart two numbers may be that are the same: a hundredth of a percent.
const TOLERANCE: f64 = 0.000_1;

/// A request, with what is expected of its decision.
#[derive(Debug)]
pub(crate) struct Case {
    pub name: String,
    pub sample: Sample,
    /// The time of the request; none for the present.
    pub at: Option<Timestamp>,
    /// Which of a file's configurations is asked.
    pub plugin: Option<String>,
    /// Where the draw starts.
    pub seed: u64,
    /// Fields of the answer with their values.
    expected: Vec<(String, Value)>,
}

/// Reads a file of cases: a list, or an object with the list `cases`.
///
/// # Errors
/// All that is wrong with it.
pub(crate) fn read(source: &Source) -> Result<Vec<Case>, Vec<Diagnostic>> {
    let (documents, faults) = source.documents();
    let mut reader = Reader::default();
    for fault in faults {
        reader.fault(&fault.span, fault.message);
    }
    let mut cases = Vec::new();
    for document in &documents {
        let list = document.get("cases").unwrap_or(document);
        if list.elements().is_empty() {
            reader.fault(&list.span, "accepted is a list of cases, each with a `request`");
        }
        for entry in document.entries().iter().filter(|entry| entry.key != "cases") {
            reader.unknown(entry, &["cases"]);
        }
        let numbered = list.elements().iter().enumerate();
        cases.extend(numbered.map(|(index, node)| reader.case(node, index)));
    }
    if reader.faults.is_empty() { Ok(cases) } else { Err(reader.faults) }
}

#[derive(Default)]
struct Reader {
    faults: Vec<Diagnostic>,
}

impl Reader {
    fn fault(&mut self, span: &Span, message: impl Into<String>) {
        self.faults.push(Diagnostic::error(span.clone(), message.into()));
    }

    fn unknown(&mut self, entry: &Entry, known: &[&str]) {
        let hint = nearest(&entry.key, known.iter().copied())
            .map(|near| format!("; did you mean `{near}`?"))
            .unwrap_or_default();
        let message = format!("unknown field; accepted are {}{hint}", known.join(", "));
        self.fault(&entry.key_span, message);
    }

    fn case(&mut self, node: &Node, index: usize) -> Case {
        for entry in node.entries().iter().filter(|entry| !FIELDS.contains(&entry.key.as_str())) {
            self.unknown(entry, &FIELDS);
        }
        let mut sample = self.parsed(node, "request", Sample::of_line).unwrap_or_else(|| {
            if node.get("request").is_none() {
                self.fault(&node.span, "no `request`; accepted is one as in 'GET /x?uid=1'");
            }
            Sample::default()
        });
        for header in self.texts(node, "headers") {
            if let Err(message) = sample.add_header_line(header.text().unwrap_or_default()) {
                self.fault(&header.span, message);
            }
        }
        for cookie in self.texts(node, "cookies") {
            sample.add_header("cookie", cookie.text().unwrap_or_default().as_bytes());
        }
        sample.body = self.text(node, "body").map(String::into_bytes);
        sample.client_address = self.text(node, "client_ip").map(String::into_bytes);
        if let Some(scheme) = self.text(node, "scheme") {
            sample.scheme = Some(scheme.into_bytes());
        }
        Case {
            name: self.text(node, "name").unwrap_or_else(|| format!("cases[{index}]")),
            sample,
            at: self.parsed(node, "at", world::time),
            plugin: self.text(node, "plugin"),
            seed: self
                .parsed(node, "seed", |text| {
                    text.parse().map_err(|_| "accepted is a whole number".to_owned())
                })
                .unwrap_or_default(),
            expected: self.expected(node),
        }
    }

    /// A field's text; numbers and booleans are taken as theirs.
    fn text(&mut self, node: &Node, field: &str) -> Option<String> {
        self.parsed(node, field, |text| Ok(text.to_owned()))
    }

    fn parsed<T>(
        &mut self,
        node: &Node,
        field: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = node.get(field).filter(|value| !value.is_null())?;
        let text = match value.scalar() {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(scalar @ (Value::Number(_) | Value::Bool(_))) => Ok(scalar.to_string()),
            _ => Err("accepted is a text".to_owned()),
        };
        match text.and_then(|text| parse(&text)) {
            Ok(parsed) => Some(parsed),
            Err(message) => {
                self.fault(&value.span, message);
                None
            }
        }
    }

    /// The elements of a list of texts, or a single text.
    fn texts<'n>(&mut self, node: &'n Node, field: &str) -> Vec<&'n Node> {
        let Some(value) = node.get(field).filter(|value| !value.is_null()) else {
            return Vec::new();
        };
        let texts: Vec<&Node> = match value.text() {
            Some(_) => vec![value],
            None => value.elements().iter().collect(),
        };
        let is_list = value.text().is_some() || matches!(value.kind, super::source::Kind::List(_));
        if !is_list || texts.iter().any(|text| text.text().is_none()) {
            self.fault(&value.span, "accepted is a list of texts");
        }
        texts
    }

    fn expected(&mut self, node: &Node) -> Vec<(String, Value)> {
        let Some(expected) = node.get("expect").filter(|value| !value.is_null()) else {
            return Vec::new();
        };
        if expected.entries().is_empty() {
            self.fault(&expected.span, format!("accepted is an object of {}", ANSWERS.join(", ")));
        }
        for entry in expected.entries().iter().filter(|e| !ANSWERS.contains(&e.key.as_str())) {
            self.unknown(entry, &ANSWERS);
        }
        let fields = expected.entries().iter();
        fields.map(|entry| (entry.key.clone(), entry.value.value())).collect()
    }
}

impl Case {
    /// Whether anything is expected.
    pub(crate) fn expects(&self) -> bool {
        !self.expected.is_empty()
    }

    /// What an answer of `explain` has otherwise than it is expected, in words.
    pub(crate) fn differences(&self, answer: &Value) -> Vec<String> {
        let mut differences = Vec::new();
        for (field, expected) in &self.expected {
            let found = answer.get(field).unwrap_or(&Value::Null);
            compare(field, expected, found, &mut differences);
            // A share that nobody expects belongs to someone.
            if field == "probabilities"
                && let (Some(expected), Some(found)) = (expected.as_object(), found.as_object())
            {
                for (name, share) in found.iter().filter(|(name, _)| !expected.contains_key(*name))
                {
                    compare(&format!("{field}.{name}"), &Value::from(0), share, &mut differences);
                }
            }
        }
        differences
    }
}

/// What is expected of an object counts, and nothing else of it.
fn compare(path: &str, expected: &Value, found: &Value, differences: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(fields), Value::Object(found)) => {
            for (name, expected) in fields {
                let found = found.get(name).unwrap_or(&Value::Null);
                compare(&format!("{path}.{name}"), expected, found, differences);
            }
        }
        (Value::Number(expected), Value::Number(found))
            if expected
                .as_f64()
                .zip(found.as_f64())
                .is_some_and(|(a, b)| (a - b).abs() < TOLERANCE) => {}
        (expected, found) if expected == found => {}
        (expected, found) => {
            let shown = |value: &Value| match value {
                Value::String(text) => quote(text),
                Value::Null => "none".to_owned(),
                other => other.to_string(),
            };
            differences.push(format!(
                "{path}: found {}; expected {}",
                shown(found),
                shown(expected)
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn cases(text: &str) -> Result<Vec<Case>, Vec<String>> {
        read(&Source::new("cases.yaml", text.to_owned()))
            .map_err(|faults| faults.into_iter().map(|fault| fault.message).collect())
    }

    #[test]
    fn a_case_is_read() {
        let text = "cases:\n- {name: a, request: GET /x, headers: ['v: 1'], cookies: 'a=1', body: 7, \
                    client_ip: 10.0.0.1, scheme: https, at: 5, plugin: p, seed: 3, expect: {rule: null}}\n";
        let cases = cases(text).expect("cases");
        let case = &cases[0];
        assert_eq!((case.name.as_str(), case.seed), ("a", 3));
        assert_eq!(case.sample.target, b"/x");
        assert_eq!(case.sample.cookies.as_deref(), Some(&b"a=1"[..]));
        assert_eq!(case.sample.body.as_deref(), Some(&b"7"[..]));
        assert_eq!(case.at, Some(Timestamp(5_000)));
        assert!(case.expects());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, said) in [
            ("{}", "accepted is a list of cases"),
            ("- {}", "no `request`"),
            ("- {request: GET}", "accepted are a method and a path"),
            ("- {request: /, headers: [x]}", "accepted is a header"),
            ("- {request: /, headers: {a: b}}", "accepted is a list of texts"),
            ("- {request: /, header: []}", "did you mean `headers`?"),
            ("- {request: /, at: noon}", "accepted is RFC 3339"),
            ("- {request: /, expect: {upstreams: a}}", "did you mean `upstream`?"),
            ("- {request: /, body: [1]}", "accepted is a text"),
            ("- {request: /, seed: x}", "accepted is a whole number"),
            ("- {request: /, expect: []}", "accepted is an object of"),
        ] {
            let faults = cases(text).expect_err(text);
            assert!(faults.iter().any(|fault| fault.contains(said)), "{text}: {faults:?}");
        }
    }

    #[test]
    fn only_what_is_expected_counts() {
        let answer = json!({
            "rule": { "index": 0, "weight": 7, "name": null },
            "upstream": "a",
            "probabilities": { "a": 0.25, "b": 0.75 },
        });
        for (expected, differences) in [
            ("{rule: {weight: 7}, upstream: a, probabilities: {a: 0.25004, b: 0.75}}", &[][..]),
            ("{rule: {weight: 8}}", &["rule.weight: found 7; expected 8"]),
            ("{rule: null}", &["rule: found "]),
            ("{upstream: b}", &["upstream: found \"a\"; expected \"b\""]),
            ("{probabilities: {a: 0.25}}", &["probabilities.b: found 0.75; expected 0"]),
            (
                "{probabilities: {a: 0.26, c: 0, b: 0.75}}",
                &["probabilities.a: found 0.25; expected 0.26", "probabilities.c: found none"],
            ),
        ] {
            let cases = cases(&format!("- {{request: /, expect: {expected}}}")).expect("cases");
            let found = cases[0].differences(&answer);
            assert_eq!(found.len(), differences.len(), "{expected}: {found:?}");
            for difference in differences {
                assert!(found.iter().any(|said| said.starts_with(difference)), "{found:?}");
            }
        }
    }
}
