//! Reading documents so that nothing in them is overlooked.
//!
//! Every field that an importer asks for is noted. What nobody has asked for when a document has been
//! read is named: a field cannot get lost because an importer does not know it.

use super::{Endpoint, Options};
use crate::diagnostic::Diagnostic;
use crate::source::{Entry, Kind, Node, Span};
use hashbrown::HashSet;
use serde_json::Value;
use std::collections::BTreeMap;
use tse_route::config::{Severity, quote};

/// The ports of a Service, by name and number.
pub(super) type Ports = Vec<(Option<String>, u16)>;

/// The documents' reader, and what is said of them.
pub(super) struct Import<'o> {
    pub options: &'o Options,
    /// The file that is being read.
    pub file: usize,
    pub diagnostics: Vec<(usize, Diagnostic)>,
    /// Where upstreams are reached, by their names, as far as the documents say.
    pub endpoints: BTreeMap<String, Vec<Endpoint>>,
    /// The Services of the input, by namespace and name, with their ports' names and numbers.
    pub services: BTreeMap<(String, String), Ports>,
    read: HashSet<*const Entry>,
}

impl<'o> Import<'o> {
    pub(super) fn new(options: &'o Options) -> Self {
        Self {
            options,
            file: 0,
            diagnostics: Vec::new(),
            endpoints: BTreeMap::new(),
            services: BTreeMap::new(),
            read: HashSet::new(),
        }
    }

    /// Whether there is no error so far.
    pub(super) fn is_sound(&self) -> bool {
        !self.diagnostics.iter().any(|(_, diagnostic)| diagnostic.is_error())
    }

    pub(super) fn error(&mut self, span: Span, message: impl Into<String>) {
        self.say(Diagnostic::error(span, message.into()));
    }

    pub(super) fn warning(&mut self, span: Span, message: impl Into<String>) {
        self.say(Diagnostic::warning(span, message.into()));
    }

    /// Something that cannot be carried over.
    pub(super) fn lost(&mut self, span: Span, message: impl Into<String>) {
        let severity = if self.options.lossy { Severity::Warning } else { Severity::Error };
        self.say(Diagnostic { severity, ..Diagnostic::error(span, message.into()) });
    }

    fn say(&mut self, diagnostic: Diagnostic) {
        // An alias is read as often as it is used.
        let said = (self.file, diagnostic);
        if !self.diagnostics.contains(&said) {
            self.diagnostics.push(said);
        }
    }

    /// A field with its name; one that is null is as good as absent.
    pub(super) fn entry<'n>(&mut self, object: &'n Node, name: &str) -> Option<&'n Entry> {
        let entry = object.entry(name)?;
        self.read.insert(entry);
        (!entry.value.is_null()).then_some(entry)
    }

    /// A field of any kind.
    pub(super) fn field<'n>(&mut self, object: &'n Node, name: &str) -> Option<&'n Node> {
        self.entry(object, name).map(|entry| &entry.value)
    }

    /// A field that must be a text.
    pub(super) fn text<'n>(&mut self, object: &'n Node, name: &str) -> Option<&'n str> {
        let node = self.field(object, name)?;
        let text = node.text();
        if text.is_none() {
            self.mismatch(node, "a text, in quotes where it looks like something else");
        }
        text
    }

    /// A field that must be a text or a whole number, as ports are; its text.
    pub(super) fn text_or_number(&mut self, object: &Node, name: &str) -> Option<String> {
        let node = self.field(object, name)?;
        match node.scalar() {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => {
                self.mismatch(node, "a text or a number");
                None
            }
        }
    }

    /// A field that must be a number.
    pub(super) fn number<'n>(&mut self, object: &'n Node, name: &str) -> Option<&'n Value> {
        let node = self.field(object, name)?;
        let number = node.scalar().filter(|value| value.is_number());
        if number.is_none() {
            self.mismatch(node, "a number");
        }
        number
    }

    /// A field that must be a whole number from 0 to `most`.
    pub(super) fn whole(&mut self, object: &Node, name: &str, most: u64) -> Option<u64> {
        let node = self.field(object, name)?;
        let number = node.scalar().and_then(Value::as_u64).filter(|number| *number <= most);
        if number.is_none() {
            self.mismatch(node, &format!("a whole number from 0 to {most}"));
        }
        number
    }

    /// A field that must be true or false.
    pub(super) fn flag(&mut self, object: &Node, name: &str) -> Option<bool> {
        let node = self.field(object, name)?;
        let flag = node.scalar().and_then(Value::as_bool);
        if flag.is_none() {
            self.mismatch(node, "`true` or `false`");
        }
        flag
    }

    /// A field that must be an object.
    pub(super) fn object<'n>(&mut self, object: &'n Node, name: &str) -> Option<&'n Node> {
        let node = self.field(object, name)?;
        let is_object = matches!(node.kind, Kind::Map(_));
        if !is_object {
            self.mismatch(node, "an object");
        }
        is_object.then_some(node)
    }

    /// A field that must be a list; none where there is no such field.
    pub(super) fn list<'n>(&mut self, object: &'n Node, name: &str) -> &'n [Node] {
        let Some(node) = self.field(object, name) else { return &[] };
        if !matches!(node.kind, Kind::List(_)) {
            self.mismatch(node, "a list");
        }
        node.elements()
    }

    /// A field that must be a list of objects.
    pub(super) fn objects<'n>(&mut self, object: &'n Node, name: &str) -> Vec<&'n Node> {
        let mut objects = Vec::new();
        for element in self.list(object, name) {
            if matches!(element.kind, Kind::Map(_)) {
                objects.push(element);
            } else {
                self.mismatch(element, "an object");
            }
        }
        objects
    }

    /// A field that must be a list of texts.
    pub(super) fn texts<'n>(&mut self, object: &'n Node, name: &str) -> Vec<&'n Node> {
        let mut texts = Vec::new();
        for element in self.list(object, name) {
            if element.text().is_some() {
                texts.push(element);
            } else {
                self.mismatch(element, "a text");
            }
        }
        texts
    }

    /// A field that must be an object whose values are texts, as annotations are.
    pub(super) fn pairs<'n>(&mut self, object: &'n Node, name: &str) -> Vec<(&'n Entry, &'n str)> {
        let Some(node) = self.object(object, name) else { return Vec::new() };
        let mut pairs = Vec::new();
        for entry in node.entries() {
            self.read.insert(entry);
            match entry.value.text() {
                Some(text) => pairs.push((entry, text)),
                None => self.mismatch(&entry.value, "a text, in quotes"),
            }
        }
        pairs
    }

    fn mismatch(&mut self, node: &Node, accepted: &str) {
        self.told(node);
        self.error(head(node), format!("found {}; accepted is {accepted}", describe(node)));
    }

    /// Notes that an element of an object has been read.
    pub(super) fn seen(&mut self, entry: &Entry) {
        self.read.insert(entry);
    }

    /// Notes that everything here and below has been dealt with.
    pub(super) fn told(&mut self, node: &Node) {
        node.walk(&mut |node| {
            for entry in node.entries() {
                self.read.insert(entry);
            }
        });
    }

    /// Fields, with all that is below them, that say nothing of where requests go.
    pub(super) fn skip(&mut self, object: &Node, names: &[&str]) {
        for name in names {
            if let Some(entry) = object.entry(name) {
                self.read.insert(entry);
                self.told(&entry.value);
            }
        }
    }

    /// Names the fields of an object that nobody has asked for; whether there were none.
    pub(super) fn done(&mut self, object: &Node, of: &str) -> bool {
        let mut complete = true;
        for entry in object.entries() {
            if self.read.insert(entry) && !entry.value.is_null() {
                self.told(&entry.value);
                complete = false;
                let message = format!("`{}` of {of} cannot be carried over", entry.key);
                self.lost(entry.key_span.clone(), message);
            }
        }
        complete
    }

    /// Names whatever is left of a document.
    pub(super) fn rest(&mut self, node: &Node) {
        for entry in node.entries() {
            if self.read.insert(entry) && !entry.value.is_null() {
                self.told(&entry.value);
                let message = format!("`{}` cannot be carried over", entry.key);
                self.lost(entry.key_span.clone(), message);
            } else {
                self.rest(&entry.value);
            }
        }
        for element in node.elements() {
            self.rest(element);
        }
    }
}

/// What a node is, in an error.
fn describe(node: &Node) -> String {
    match &node.kind {
        Kind::Map(_) => "an object".to_owned(),
        Kind::List(_) => "a list".to_owned(),
        Kind::Scalar(Value::Null, _) => "nothing".to_owned(),
        Kind::Scalar(Value::String(text), _) => format!("the text {}", quote(text)),
        Kind::Scalar(Value::Number(number), _) => format!("the number {number}"),
        Kind::Scalar(value, _) => format!("`{value}`"),
    }
}

/// The place of a node that may be long.
pub(super) fn head(node: &Node) -> Span {
    match node.entries().first() {
        Some(first) => first.key_span.clone(),
        None => node.span.clone(),
    }
}
