//! The tree of a document.

use super::Span;
use serde_json::{Map, Value};

/// One value of a document with its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub span: Span,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// A text, number, boolean or null, as it is read.
    Scalar(Value, Style),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// YAML without quotes.
    Plain,
    /// YAML without quotes, a number that is not passed on as it is written.
    Respelled,
    /// YAML's `|`.
    Literal,
    /// Anything else.
    Other,
}

/// A field of a map.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub key: String,
    pub key_span: Span,
    pub value: Node,
}

impl Node {
    pub(crate) fn null(span: Span) -> Self {
        Self { span, kind: Kind::Scalar(Value::Null, Style::Other) }
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    pub(crate) fn elements(&self) -> &[Node] {
        match &self.kind {
            Kind::List(elements) => elements,
            _ => &[],
        }
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// A value some fields down.
    pub(crate) fn dig(&self, keys: &[&str]) -> Option<&Self> {
        keys.iter().try_fold(self, |node, key| node.get(key))
    }

    pub(crate) fn scalar(&self) -> Option<&Value> {
        match &self.kind {
            Kind::Scalar(value, _) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        self.scalar().is_some_and(Value::is_null)
    }

    pub(crate) fn text(&self) -> Option<&str> {
        self.scalar().and_then(Value::as_str)
    }

    /// The text of a field.
    pub(crate) fn text_of(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Self::text)
    }

    /// The elements of a list field; none where there is no such list.
    pub(crate) fn list(&self, key: &str) -> &[Self] {
        self.get(key).map(Self::elements).unwrap_or_default()
    }

    /// The value without the places.
    pub(crate) fn value(&self) -> Value {
        match &self.kind {
            Kind::Scalar(value, _) => value.clone(),
            Kind::List(elements) => elements.iter().map(Self::value).collect(),
            Kind::Map(entries) => {
                let fields = entries.iter().map(|entry| (entry.key.clone(), entry.value.value()));
                Value::Object(fields.collect::<Map<_, _>>())
            }
        }
    }

    /// How many nodes there are here and below.
    pub(crate) fn size(&self) -> usize {
        match &self.kind {
            Kind::Scalar(..) => 1,
            Kind::List(elements) => 1 + elements.iter().map(Self::size).sum::<usize>(),
            Kind::Map(entries) => 1 + entries.iter().map(|entry| entry.value.size()).sum::<usize>(),
        }
    }

    /// Visits this node and all below it.
    pub(crate) fn walk<'n>(&'n self, visit: &mut impl FnMut(&'n Self)) {
        visit(self);
        match &self.kind {
            Kind::Scalar(..) => {}
            Kind::List(elements) => elements.iter().for_each(|element| element.walk(visit)),
            Kind::Map(entries) => entries.iter().for_each(|entry| entry.value.walk(visit)),
        }
    }

    /// Where a part of a scalar's text stands, as far as the text stands as it is read.
    pub(crate) fn part(&self, text: &str, part: Span) -> Span {
        let quotes = self.span.len().saturating_sub(text.len());
        match quotes {
            0 | 2 => {
                let start = self.span.start + quotes / 2;
                start + part.start..start + part.end
            }
            _ => self.span.clone(),
        }
    }

    /// The same tree with its places moved.
    pub(crate) fn moved(self, to: &impl Fn(Span) -> Span) -> Self {
        let kind = match self.kind {
            Kind::Scalar(value, style) => Kind::Scalar(value, style),
            Kind::List(elements) => Kind::List(elements.into_iter().map(|e| e.moved(to)).collect()),
            Kind::Map(entries) => Kind::Map(
                entries
                    .into_iter()
                    .map(|entry| Entry {
                        key: entry.key,
                        key_span: to(entry.key_span),
                        value: entry.value.moved(to),
                    })
                    .collect(),
            ),
        };
        Self { span: to(self.span), kind }
    }
}
