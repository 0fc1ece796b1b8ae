//! Matches of texts as Istio writes them, and those that took it from there: `exact`, `prefix`, `regex`.

use super::draft::Item;
use super::pattern::{literal, whole};
use super::reading::{Import, head};
use crate::source::Node;
use tse_route::config::{Location, Operator};

/// What a text has to be like.
#[derive(Clone, Copy, Debug)]
pub(super) enum TextMatch<'n> {
    Exact(&'n str),
    Prefix(&'n str),
    Suffix(&'n str),
    /// Of the whole text.
    Pattern(&'n str),
    /// Anything, if it is there.
    Present,
}

impl<'n> TextMatch<'n> {
    /// A match; one without a word asks for presence. None, and an error, where it is none.
    pub(super) fn read(node: &'n Node, import: &mut Import) -> Option<Self> {
        if node.is_null() {
            return Some(Self::Present);
        }
        if node.entries().is_empty() && node.scalar().is_some() {
            import.error(
                node.span.clone(),
                "accepted is a match as in `{exact: \"v2\"}`, `{prefix: \"v\"}` or `{regex: \"v.*\"}`",
            );
            return None;
        }
        let exact = import.text(node, "exact").map(Self::Exact);
        let prefix = import.text(node, "prefix").map(Self::Prefix);
        let suffix = import.text(node, "suffix").map(Self::Suffix);
        let regex = import.text(node, "regex").map(|pattern| match pattern {
            "*" => Self::Present,
            pattern => Self::Pattern(pattern),
        });
        let complete = import.done(node, "a match");
        let mut given = [exact, prefix, suffix, regex].into_iter().flatten();
        let first = given.next();
        if given.next().is_some() {
            import.error(head(node), "accepted is one of `exact`, `prefix` and `regex`");
            return None;
        }
        complete.then_some(first.unwrap_or(Self::Present))
    }

    /// The item that asks for it.
    pub(super) fn item(self, location: Location, key: &str) -> Item {
        let item = |operator, value: &str| Item::new(location, key, operator, value);
        match self {
            Self::Exact(text) => item(Operator::Eq, text),
            Self::Prefix(text) => item(Operator::Prefix, text),
            Self::Suffix(text) => item(Operator::Suffix, text),
            Self::Pattern(pattern) => item(Operator::Regex, &whole(pattern)),
            Self::Present => item(Operator::Exists, ""),
        }
    }

    /// The item that asks for the opposite.
    pub(super) fn negation(self, location: Location, key: &str) -> Item {
        let item = |operator, value: &str| Item::new(location, key, operator, value);
        match self {
            Self::Exact(text) => item(Operator::Ne, text),
            Self::Prefix(text) => item(Operator::NotRegex, &format!("^{}", literal(text))),
            Self::Suffix(text) => item(Operator::NotRegex, &format!("{}$", literal(text))),
            Self::Pattern(pattern) => item(Operator::NotRegex, &whole(pattern)),
            Self::Present => item(Operator::NotExists, ""),
        }
    }

    /// The item of a path, perhaps in any case, which counts for exact ones and prefixes only. None where
    /// every path has it.
    pub(super) fn path(self, any_case: bool) -> Option<Item> {
        let pattern =
            |pattern: String| Some(Item::new(Location::Path, "", Operator::Regex, &pattern));
        match self {
            Self::Prefix("" | "/") | Self::Present => None,
            Self::Exact(text) if any_case => pattern(format!("(?i)^{}$", literal(text))),
            Self::Prefix(text) if any_case => pattern(format!("(?i)^{}", literal(text))),
            other => Some(other.item(Location::Path, "")),
        }
    }
}
