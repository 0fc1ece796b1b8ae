//! From nodes with places to values: every fault is reported where it stands, and reading goes on.

use super::Millis;
use crate::diagnostic::Diagnostic;
use crate::source::{Entry, Kind, Node, Span};
use serde_json::Value;
use tse_route::config::{self, quote};

/// Reads values, and keeps what is wrong with them.
pub(super) struct Reader<'e> {
    pub faults: Vec<Diagnostic>,
    path: String,
    /// The environment's values.
    env: &'e dyn Fn(&str) -> Option<String>,
}

impl<'e> Reader<'e> {
    pub(super) fn new(env: &'e dyn Fn(&str) -> Option<String>) -> Self {
        Self { faults: Vec::new(), path: String::new(), env }
    }

    pub(super) fn error(&mut self, span: &Span, message: impl Into<String>) {
        let path = Some(self.path.clone());
        self.faults.push(Diagnostic { path, ..Diagnostic::error(span.clone(), message.into()) });
    }

    /// Reports what was found and what would be accepted; the result is none.
    pub(super) fn mismatch<T>(&mut self, node: &Node, accepted: &str) -> Option<T> {
        let found = match &node.kind {
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "an object".to_owned(),
            Kind::Scalar(Value::String(text), _) => quote(text),
            Kind::Scalar(Value::Null, _) => "nothing".to_owned(),
            Kind::Scalar(value, _) => value.to_string(),
        };
        let span = head(node);
        self.error(&span, format!("found {found}; accepted is {accepted}"));
        None
    }

    pub(super) fn within<T>(&mut self, step: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        if !self.path.is_empty() && !step.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(step);
        let result = read(self);
        self.path.truncate(length);
        result
    }

    /// The fields of an object; unknown ones are reported.
    pub(super) fn object<'n>(&mut self, node: &'n Node, known: &[&str]) -> Option<&'n [Entry]> {
        let Kind::Map(entries) = &node.kind else {
            return self.mismatch(node, &format!("an object ({})", known.join(", ")));
        };
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let message = match config::nearest(&entry.key, known.iter().copied()) {
                Some(near) => format!("unknown field; did you mean `{near}`?"),
                None => format!("unknown field; accepted are {}", known.join(", ")),
            };
            self.within(&entry.key, |at| at.error(&entry.key_span, message));
        }
        Some(entries)
    }

    /// A field that may be left out, or be null.
    pub(super) fn optional<T>(
        &mut self,
        owner: &Node,
        name: &str,
        read: impl FnOnce(&mut Self, &Node) -> Option<T>,
    ) -> Option<T> {
        let value = owner.get(name).filter(|value| !value.is_null())?;
        self.within(name, |at| read(at, value))
    }

    pub(super) fn required<T>(
        &mut self,
        owner: &Node,
        name: &str,
        read: impl FnOnce(&mut Self, &Node) -> Option<T>,
    ) -> Option<T> {
        if owner.get(name).is_none_or(Node::is_null) {
            let span = head(owner);
            self.within(name, |at| at.error(&span, "missing; this field is required"));
            return None;
        }
        self.optional(owner, name, read)
    }

    /// Every element of a list that can be read.
    pub(super) fn list<T>(
        &mut self,
        node: &Node,
        accepted: &str,
        mut read: impl FnMut(&mut Self, &Node) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Kind::List(elements) = &node.kind else { return self.mismatch(node, accepted) };
        let mut values = Vec::new();
        for (index, element) in elements.iter().enumerate() {
            values.extend(self.within(&format!("[{index}]"), |at| read(at, element)));
        }
        Some(values)
    }

    /// A text that is not empty; numbers and booleans are taken as their text. `${NAME}` stands for a
    /// value of the environment.
    pub(super) fn text(&mut self, node: &Node) -> Option<String> {
        let text = match node.scalar() {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::Bool(flag)) => flag.to_string(),
            _ => return self.mismatch(node, "a text"),
        };
        if text.is_empty() {
            return self.mismatch(node, "a text that is not empty");
        }
        let mut whole = String::new();
        let mut rest = text.as_str();
        while let Some((before, behind)) = rest.split_once("${") {
            let Some((name, after)) = behind.split_once('}') else {
                self.error(&node.span, "found `${` without `}`; accepted is `${NAME}`");
                return None;
            };
            let Some(value) = (self.env)(name) else {
                let message =
                    format!("the environment has no {name}; accepted is the name of a variable");
                self.error(&node.span, message);
                return None;
            };
            whole.push_str(before);
            whole.push_str(&value);
            rest = after;
        }
        whole.push_str(rest);
        Some(whole)
    }

    /// Names with texts.
    pub(super) fn texts(&mut self, node: &Node) -> Option<Vec<(String, String)>> {
        let Kind::Map(entries) = &node.kind else {
            return self.mismatch(node, "an object of names and texts");
        };
        let mut texts = Vec::new();
        for entry in entries {
            let text = self.within(&entry.key, |at| at.text(&entry.value));
            texts.extend(text.map(|text| (entry.key.clone(), text)));
        }
        Some(texts)
    }

    pub(super) fn url(&mut self, node: &Node) -> Option<String> {
        let text = self.text(node)?;
        let sound = reqwest::Url::parse(&text)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if !sound {
            return self.mismatch(node, "a URL as in http://127.0.0.1:9090");
        }
        Some(text.trim_end_matches('/').to_owned())
    }

    pub(super) fn duration(&mut self, node: &Node) -> Option<Millis> {
        const ACCEPTED: &str = "seconds, or a duration as in `500ms`, `30s`, `10m`, `1h30m`";
        let millis = match node.scalar() {
            Some(Value::String(text)) => config::Span::parse(text).map(|span| span.0),
            Some(Value::Number(number)) => number
                .as_f64()
                .filter(|seconds| (0.0..1e9).contains(seconds))
                .map(|seconds| (seconds * 1_000.0).round() as u64),
            _ => None,
        };
        match millis {
            Some(millis) => Some(Millis(millis)),
            None => self.mismatch(node, ACCEPTED),
        }
    }

    /// A duration that is not 0.
    pub(super) fn some_time(&mut self, node: &Node) -> Option<Millis> {
        match self.duration(node)? {
            Millis(0) => self.mismatch(node, "more than 0"),
            millis => Some(millis),
        }
    }

    /// A number from `least` to `most`.
    pub(super) fn number(&mut self, node: &Node, least: f64, most: f64) -> Option<f64> {
        match node.scalar().and_then(Value::as_f64) {
            Some(number) if (least..=most).contains(&number) => Some(number),
            _ => self.mismatch(node, &format!("a number from {least} to {most}")),
        }
    }

    /// One of some words.
    pub(super) fn word<T: Copy>(&mut self, node: &Node, words: &[(&str, T)]) -> Option<T> {
        let found = node.text().and_then(|text| words.iter().find(|(word, _)| *word == text));
        match found {
            Some((_, value)) => Some(*value),
            None => {
                let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                let hint = node
                    .text()
                    .and_then(|text| config::nearest(text, names.iter().copied()))
                    .map(|near| format!("; did you mean `{near}`?"))
                    .unwrap_or_default();
                self.mismatch(node, &format!("one of {}{hint}", names.join(", ")))
            }
        }
    }
}

/// The place of a node that may be long.
fn head(node: &Node) -> Span {
    match node.entries().first() {
        Some(first) => first.key_span.clone(),
        None => node.span.start..node.span.end.min(node.span.start + 40).max(node.span.start),
    }
}
