//! From a fault's path, as in `rules[2].condition.header[0].operator`, to its place.

use super::Span;
use super::node::{Entry, Kind, Node};

/// What a path leads to.
#[derive(Debug)]
pub(crate) struct Place<'n> {
    /// The last field on the way.
    pub entry: Option<&'n Entry>,
    /// The deepest node that is there.
    pub node: &'n Node,
    /// Whether the path could be followed to its end.
    pub complete: bool,
}

impl Place<'_> {
    /// What to point at: a value, or the name of the field whose value is large or missing.
    pub(crate) fn span(&self, name_is_meant: bool) -> Span {
        let name = self.entry.map(|entry| entry.key_span.clone());
        match (&self.node.kind, name) {
            (Kind::Scalar(value, _), Some(name))
                if !self.complete || name_is_meant || value.is_null() =>
            {
                name
            }
            (Kind::Scalar(..), _) => self.node.span.clone(),
            (Kind::Map(entries), _) if !self.complete && !entries.is_empty() => start(self.node),
            (_, Some(name)) if self.ends_with_field() => name,
            _ => start(self.node),
        }
    }

    /// Whether the last step was a field, not an element of a list.
    fn ends_with_field(&self) -> bool {
        self.entry.is_some_and(|entry| std::ptr::eq(&entry.value, self.node))
    }
}

/// The first field of a map, or the bracket of a list.
fn start(node: &Node) -> Span {
    match node.entries().first() {
        Some(first) => first.key_span.clone(),
        None => node.span.start..(node.span.start + 1).min(node.span.end.max(node.span.start)),
    }
}

/// Follows a path as far as it goes. A field's own name may have dots in it: the longest name
/// that is there is taken.
pub(crate) fn locate<'n>(root: &'n Node, path: &str) -> Place<'n> {
    let mut place = Place { entry: None, node: root, complete: false };
    let mut rest = path;
    loop {
        if rest.is_empty() {
            place.complete = true;
            return place;
        }
        if let Some((index, behind)) = element(rest) {
            let Some(node) = place.node.elements().get(index) else { return place };
            place.node = node;
            rest = behind;
            continue;
        }
        let name = rest.strip_prefix('.').unwrap_or(rest);
        let found = place
            .node
            .entries()
            .iter()
            .filter_map(|entry| Some((entry, name.strip_prefix(entry.key.as_str())?)))
            .filter(|(_, behind)| behind.is_empty() || behind.starts_with(['.', '[']))
            .max_by_key(|(entry, _)| entry.key.len());
        let Some((entry, behind)) = found else { return place };
        place.entry = Some(entry);
        place.node = &entry.value;
        rest = behind;
    }
}

fn element(rest: &str) -> Option<(usize, &str)> {
    let (index, behind) = rest.strip_prefix('[')?.split_once(']')?;
    Some((index.parse().ok()?, behind))
}

#[cfg(test)]
mod tests {
    use super::super::yaml;
    use super::*;

    #[test]
    fn paths_lead_to_places() {
        let text = "rules:\n- weight: 101\n  a.b: 1\n  condition:\n    header:\n    - {key: x}\n    query:\n  upstream: []\n";
        let (documents, _) = yaml::parse(text);
        let at = |path: &str, name: bool| &text[locate(&documents[0], path).span(name)];
        assert_eq!(at("rules[0].weight", false), "101");
        assert_eq!(at("rules[0].weight", true), "weight");
        assert_eq!(at("rules[0].a.b", true), "a.b");
        assert_eq!(at("rules[0].condition.header[0].operator", false), "key");
        assert_eq!(at("rules[0].condition.query", false), "query");
        assert_eq!(at("rules[0].upstream", false), "upstream");
        assert_eq!(at("rules[0]", false), "weight");
        assert_eq!(at("rules[7].x", false), "rules");
        assert_eq!(at("", false), "rules");
    }
}
