//! What a match asks for, and how specific it is.

use super::super::draft::Item;
use super::super::pattern::{literal, whole};
use super::super::reading::{Import, head};
use super::Protocol;
use crate::source::Node;
use tse_route::config::{Location, Operator, quote};

/// One match of a rule.
pub(super) struct Match {
    pub items: Vec<Item>,
    pub specificity: Specificity,
}

/// The specification's precedence: the larger goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Specificity {
    /// The kind of the path's match, and its length; for gRPC the lengths of service and method.
    path: (u8, usize, usize),
    method: bool,
    headers: usize,
    query: usize,
}

impl Match {
    /// The match that a rule without one has: the prefix `/`.
    pub(super) fn everything(protocol: Protocol) -> Self {
        let path = if protocol == Protocol::Http { (1, 1, 0) } else { (0, 0, 0) };
        let specificity = Specificity { path, ..Specificity::default() };
        Self { items: Vec::new(), specificity }
    }

    /// A match of an HTTPRoute; none where it cannot be carried over.
    pub(super) fn http(node: &Node, import: &mut Import) -> Option<Self> {
        let mut items = Vec::new();
        let path = Self::path(node, &mut items, import);
        let method = import.text(node, "method");
        items.extend(method.map(|method| Item::new(Location::Method, "", Operator::Eq, method)));
        let headers = Self::named(node, "headers", Location::Header, &mut items, import);
        let query = Self::named(node, "queryParams", Location::Query, &mut items, import);
        let complete = import.done(node, "a match");
        let specificity =
            Specificity { path: path?, method: method.is_some(), headers: headers?, query: query? };
        complete.then_some(Self { items, specificity })
    }

    /// A match of a GRPCRoute: gRPC's path is `/<service>/<method>`.
    pub(super) fn grpc(node: &Node, import: &mut Import) -> Option<Self> {
        let mut items = Vec::new();
        let path = Self::procedure(node, &mut items, import);
        let headers = Self::named(node, "headers", Location::Header, &mut items, import);
        let complete = import.done(node, "a match");
        let specificity = Specificity { path: path?, headers: headers?, ..Specificity::default() };
        complete.then_some(Self { items, specificity })
    }

    fn path(node: &Node, items: &mut Vec<Item>, import: &mut Import) -> Option<(u8, usize, usize)> {
        let Some(path) = import.object(node, "path") else { return Some((1, 1, 0)) };
        let value = match import.field(path, "value") {
            Some(_) => import.text(path, "value")?,
            None => "/",
        };
        let kind = import.text(path, "type").unwrap_or("PathPrefix");
        let complete = import.done(path, "a path match");
        let (rank, operator) = match kind {
            "Exact" => (3, Operator::Eq),
            "RegularExpression" => (2, Operator::Regex),
            "PathPrefix" => (1, Operator::PathPrefix),
            other => {
                import.lost(
                    head(path),
                    format!("a path match of the type {} cannot be carried over", quote(other)),
                );
                return None;
            }
        };
        if operator != Operator::Regex && !value.starts_with('/') {
            let message = format!(
                "the path {} can match nothing; accepted is one with `/` first",
                quote(value)
            );
            import.error(head(path), message);
            return None;
        }
        if operator != Operator::Regex && value.contains('*') {
            let message = format!("the `*` in the path {} stands for itself only", quote(value));
            import.warning(head(path), message);
        }
        let value = match operator {
            Operator::Regex => whole(value),
            // A slash at the end does not count.
            Operator::PathPrefix if value.len() > 1 => value.trim_end_matches('/').to_owned(),
            _ => value.to_owned(),
        };
        let length = value.chars().count();
        // Every path begins with a slash.
        if operator != Operator::PathPrefix || !matches!(value.as_str(), "/" | "") {
            items.push(Item::new(Location::Path, "", operator, &value));
        }
        complete.then_some((rank, length, 0))
    }

    fn procedure(
        node: &Node,
        items: &mut Vec<Item>,
        import: &mut Import,
    ) -> Option<(u8, usize, usize)> {
        let Some(procedure) = import.object(node, "method") else { return Some((0, 0, 0)) };
        let kind = import.text(procedure, "type").unwrap_or("Exact");
        let service = import.text(procedure, "service").filter(|service| !service.is_empty());
        let method = import.text(procedure, "method").filter(|method| !method.is_empty());
        let complete = import.done(procedure, "a method match");
        let item = |operator, value: String| Item::new(Location::Path, "", operator, &value);
        items.push(match (kind, service, method) {
            ("Exact", Some(service), Some(method)) => {
                item(Operator::Eq, format!("/{service}/{method}"))
            }
            ("Exact", Some(service), None) => item(Operator::Prefix, format!("/{service}/")),
            ("Exact", None, Some(method)) => {
                item(Operator::Regex, format!("^/[^/]+/{}$", literal(method)))
            }
            ("RegularExpression", Some(_), _) | ("RegularExpression", _, Some(_)) => {
                let part = |pattern: Option<&str>| match pattern {
                    Some(pattern) if regex_syntax::parse(pattern).is_ok() => {
                        format!("(?:{pattern})")
                    }
                    Some(pattern) => pattern.to_owned(),
                    None => "[^/]+".to_owned(),
                };
                item(Operator::Regex, format!("^/{}/{}$", part(service), part(method)))
            }
            (_, None, None) => {
                import.error(head(procedure), "a method match needs `service` or `method`");
                return None;
            }
            (other, ..) => {
                let message =
                    format!("a method match of the type {} cannot be carried over", quote(other));
                import.lost(head(procedure), message);
                return None;
            }
        });
        let length = |text: Option<&str>| text.map_or(0, |text| text.chars().count());
        complete.then_some((0, length(service), length(method)))
    }

    /// Headers or parameters; of several with one name the first counts.
    fn named(
        owner: &Node,
        list: &str,
        location: Location,
        items: &mut Vec<Item>,
        import: &mut Import,
    ) -> Option<usize> {
        let mut seen: Vec<String> = Vec::new();
        let mut sound = true;
        for node in import.objects(owner, list) {
            let name = import.text(node, "name");
            let value = import.text(node, "value");
            let kind = import.text(node, "type").unwrap_or("Exact");
            sound &= import.done(node, "a match");
            let (Some(name), Some(value)) = (name, value) else {
                if name.is_none() && node.get("name").is_none_or(Node::is_null)
                    || value.is_none() && node.get("value").is_none_or(Node::is_null)
                {
                    import.error(head(node), "a match needs `name` and `value`");
                }
                sound = false;
                continue;
            };
            let name = if location == Location::Header {
                name.to_ascii_lowercase()
            } else {
                name.to_owned()
            };
            if seen.contains(&name) {
                let message = format!("a second match of {}: the first counts", quote(&name));
                import.warning(head(node), message);
                continue;
            }
            match kind {
                "Exact" => items.push(Item::new(location, &name, Operator::Eq, value)),
                "RegularExpression" => {
                    items.push(Item::new(location, &name, Operator::Regex, &whole(value)));
                }
                other => {
                    let message =
                        format!("a match of the type {} cannot be carried over", quote(other));
                    import.lost(head(node), message);
                    sound = false;
                }
            }
            seen.push(name);
        }
        sound.then_some(seen.len())
    }
}
