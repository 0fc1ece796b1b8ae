//! Gateway API: HTTPRoute.
//!
//! Every match of every rule becomes a rule, ordered by the specification's precedence; several
//! routes become one plugin, with their hostnames as conditions.

use super::draft::{Headers, Item, Plugin, Rule, Upstream};
use super::{Import, head, upstream_name};
use crate::source::Node;
use std::cmp::Reverse;
use tse_route::config::{Location, Operator, quote};

/// Imports all routes as one plugin; none where there is no route.
pub(super) fn import(routes: &[(usize, &Node)], import: &mut Import) -> Option<Plugin> {
    let (first_file, first) = routes.first()?;
    let mut entries = Vec::new();
    let mut names = Vec::new();
    for (file, route) in routes {
        import.file = *file;
        let route = Route::of(route, *file);
        names.push(format!("{}/{}", route.namespace, route.name));
        entries.extend(route.entries(import));
    }
    entries.sort_by(|a, b| a.precedence.cmp(&b.precedence));
    let metadata = Metadata::of(first);
    Some(Plugin {
        name: if routes.len() == 1 { metadata.name.to_owned() } else { "http-routes".to_owned() },
        namespace: metadata.given_namespace.map(str::to_owned),
        description: format!("imported from HTTPRoute {}", names.join(", ")),
        rules: entries.into_iter().map(|entry| entry.rule).collect(),
        file: *first_file,
        span: head(first),
    })
}

/// Name and namespace of a manifest.
pub(super) struct Metadata<'n> {
    pub name: &'n str,
    pub namespace: &'n str,
    pub given_namespace: Option<&'n str>,
}

impl<'n> Metadata<'n> {
    pub(super) fn of(manifest: &'n Node) -> Self {
        let field = |name| manifest.dig(&["metadata", name]).and_then(Node::text);
        let given_namespace = field("namespace");
        Self {
            name: field("name").unwrap_or("imported"),
            namespace: given_namespace.unwrap_or("default"),
            given_namespace,
        }
    }
}

struct Route<'n> {
    node: &'n Node,
    file: usize,
    name: &'n str,
    namespace: &'n str,
}

/// A rule and its place in the order.
struct Entry {
    precedence: Precedence,
    rule: Rule,
}

/// Smaller comes first.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Precedence {
    hostname: Reverse<(u8, usize)>,
    path: Reverse<(u8, usize)>,
    method: Reverse<bool>,
    headers: Reverse<usize>,
    query: Reverse<usize>,
    /// The older route, then the first by name, then the order of the list.
    created: String,
    route: String,
    position: (usize, usize),
}

/// One alternative of hostnames.
struct Hosts {
    rank: (u8, usize),
    item: Option<Item>,
}

impl<'n> Route<'n> {
    fn of(node: &'n Node, file: usize) -> Self {
        let Metadata { name, namespace, .. } = Metadata::of(node);
        Self { node, file, name, namespace }
    }

    fn entries(&self, import: &mut Import) -> Vec<Entry> {
        let Some(spec) = self.node.get("spec") else {
            import.error(head(self.node), "a route without `spec`");
            return Vec::new();
        };
        import.only(spec, &["parentRefs", "hostnames", "rules"], "a route");
        for parent in spec.list("parentRefs") {
            for field in ["sectionName", "port"] {
                if let Some(entry) = parent.entry(field) {
                    let message = format!(
                        "the route belongs to one listener only (`{field}`); \
                         the plugin acts wherever its service is reached"
                    );
                    import.warning(entry.key_span.clone(), message);
                }
            }
        }
        let hosts = self.hosts(spec, import);
        let created = self.node.dig(&["metadata", "creationTimestamp"]).and_then(Node::text);
        let mut entries = Vec::new();
        for (rule_index, rule) in spec.list("rules").iter().enumerate() {
            import.only(rule, &["name", "matches", "filters", "backendRefs"], "a rule");
            let Some(upstreams) = self.upstreams(rule, import) else { continue };
            let name = match rule.text_of("name") {
                Some(name) => name.to_owned(),
                None => format!("{}/{}/{rule_index}", self.namespace, self.name),
            };
            // A rule without matches matches all.
            let everything = Node::null(head(rule));
            let matches = match rule.list("matches") {
                [] => std::slice::from_ref(&everything),
                matches => matches,
            };
            for (match_index, condition) in matches.iter().enumerate() {
                let Some(condition) = Match::of(condition, import) else { continue };
                for hosts in &hosts {
                    let items = hosts.item.iter().chain(&condition.items).cloned();
                    entries.push(Entry {
                        precedence: Precedence {
                            hostname: Reverse(hosts.rank),
                            path: Reverse(condition.path),
                            method: Reverse(condition.method),
                            headers: Reverse(condition.headers),
                            query: Reverse(condition.query),
                            // A route that is not in a cluster yet will be the youngest.
                            created: created.unwrap_or("~").to_owned(),
                            route: format!("{}/{}", self.namespace, self.name),
                            position: (rule_index, match_index),
                        },
                        rule: Rule {
                            name: Some(name.clone()),
                            items: items.collect(),
                            upstreams: upstreams.clone(),
                            file: self.file,
                            span: head(rule),
                            ..Rule::default()
                        },
                    });
                }
            }
        }
        entries
    }

    /// The hostnames: all exact ones are one alternative, because for one request they are equally
    /// specific; each wildcard is its own.
    fn hosts(&self, spec: &Node, import: &mut Import) -> Vec<Hosts> {
        let hostnames = spec.list("hostnames");
        if hostnames.is_empty() {
            return vec![Hosts { rank: (0, 0), item: None }];
        }
        let mut exact = Vec::new();
        let mut hosts = Vec::new();
        for hostname in hostnames {
            let Some(name) = hostname.text() else {
                import.error(hostname.span.clone(), "not a hostname");
                continue;
            };
            let name = name.to_ascii_lowercase();
            match name.strip_prefix('*') {
                // Any number of labels, but at least one.
                Some(suffix) if suffix.starts_with('.') => hosts.push(Hosts {
                    rank: (1, name.len()),
                    item: Some(Item::new(Location::System, "domain", Operator::Suffix, suffix)),
                }),
                Some(_) => import
                    .error(hostname.span.clone(), "accepted is a wildcard as in `*.example.com`"),
                None => exact.push(name),
            }
        }
        if !exact.is_empty() {
            let item = Item::list(Location::System, "domain", Operator::In, &exact);
            hosts.push(Hosts { rank: (2, 0), item });
        }
        hosts
    }

    /// The backends of a rule; none where it has none that can be named.
    fn upstreams(&self, rule: &Node, import: &mut Import) -> Option<Vec<Upstream>> {
        let shared = headers(rule.list("filters"), import);
        let mut upstreams = Vec::new();
        for backend in rule.list("backendRefs") {
            let known = ["group", "kind", "name", "namespace", "port", "weight", "filters"];
            import.only(backend, &known, "a backend");
            let kind = backend.text_of("kind").unwrap_or("Service");
            let group = backend.text_of("group").unwrap_or_default();
            if kind != "Service" || !matches!(group, "" | "core") {
                import.lost(
                    head(backend),
                    format!("a backend of the kind {kind} cannot be carried over"),
                );
                continue;
            }
            let port = backend.get("port").and_then(Node::scalar).map(|port| match port.as_str() {
                Some(text) => text.to_owned(),
                None => port.to_string(),
            });
            let (Some(name), Some(port)) = (backend.text_of("name"), port) else {
                import.error(head(backend), "a backend needs `name` and `port`");
                continue;
            };
            let weight = match backend.get("weight").filter(|weight| !weight.is_null()) {
                None => Some(1),
                Some(weight) => {
                    weight.scalar().and_then(serde_json::Value::as_u64).filter(|w| *w <= 1_000_000)
                }
            };
            let Some(weight) = weight else {
                let span = backend
                    .get("weight")
                    .map_or_else(|| head(backend), |weight| weight.span.clone());
                import.error(span, "accepted is a whole number from 0 to 1000000");
                continue;
            };
            let namespace = backend.text_of("namespace").unwrap_or(self.namespace);
            let own = headers(backend.list("filters"), import);
            let headers = merged(&shared, own, backend, import);
            let upstream = Upstream::new(Some(upstream_name(name, namespace, &port)), weight);
            upstreams.push(Upstream { headers, ..upstream });
        }
        let is_empty = rule.list("backendRefs").is_empty();
        let total: u64 = upstreams.iter().filter_map(|u| u.weight.as_ref()?.as_u64()).sum();
        if is_empty || (total == 0 && !upstreams.is_empty()) {
            let message = "a rule without a backend that gets requests answers them itself, \
                           which cannot be carried over";
            import.lost(head(rule), message);
        }
        (total > 0).then_some(upstreams)
    }
}

/// What one match asks for, and how specific it is.
struct Match {
    items: Vec<Item>,
    path: (u8, usize),
    method: bool,
    headers: usize,
    query: usize,
}

impl Match {
    fn of(node: &Node, import: &mut Import) -> Option<Self> {
        import.only(node, &["path", "headers", "queryParams", "method"], "a match");
        let mut items = Vec::new();
        let path = Self::path(node, &mut items, import)?;
        let method = node.text_of("method");
        items.extend(method.map(|method| Item::new(Location::Method, "", Operator::Eq, method)));
        let headers = Self::named(node.list("headers"), Location::Header, &mut items, import)?;
        let query = Self::named(node.list("queryParams"), Location::Query, &mut items, import)?;
        Some(Self { items, path, method: method.is_some(), headers, query })
    }

    fn path(node: &Node, items: &mut Vec<Item>, import: &mut Import) -> Option<(u8, usize)> {
        let path = node.get("path");
        let value = path.and_then(|path| path.text_of("value")).unwrap_or("/");
        let kind = path.and_then(|path| path.text_of("type")).unwrap_or("PathPrefix");
        let length = value.chars().count();
        let (rank, operator) = match kind {
            "Exact" => (3, Operator::Eq),
            "RegularExpression" => (2, Operator::Regex),
            "PathPrefix" => (1, Operator::PathPrefix),
            other => {
                let span = path.map_or_else(|| head(node), head);
                import.lost(
                    span,
                    format!("a path match of the type {} cannot be carried over", quote(other)),
                );
                return None;
            }
        };
        let value = match operator {
            Operator::Regex => whole(value),
            _ => value.to_owned(),
        };
        // Every path begins with a slash.
        if (operator, value.as_str()) != (Operator::PathPrefix, "/") {
            items.push(Item::new(Location::Path, "", operator, &value));
        }
        Some((rank, length))
    }

    /// Headers or parameters; of several with one name the first counts.
    fn named(
        matches: &[Node],
        location: Location,
        items: &mut Vec<Item>,
        import: &mut Import,
    ) -> Option<usize> {
        let mut seen: Vec<String> = Vec::new();
        for node in matches {
            import.only(node, &["type", "name", "value"], "a match");
            let name = node.text_of("name").unwrap_or_default();
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
            let value = node.text_of("value").unwrap_or_default();
            match node.text_of("type").unwrap_or("Exact") {
                "Exact" => items.push(Item::new(location, &name, Operator::Eq, value)),
                "RegularExpression" => {
                    items.push(Item::new(location, &name, Operator::Regex, &whole(value)));
                }
                other => {
                    let message =
                        format!("a match of the type {} cannot be carried over", quote(other));
                    import.lost(head(node), message);
                    return None;
                }
            }
            seen.push(name);
        }
        Some(seen.len())
    }
}

/// A pattern that the whole value must match, as it must in Envoy and in most gateways.
fn whole(pattern: &str) -> String {
    let anchored = pattern.starts_with('^') && pattern.ends_with('$') && !pattern.contains('|');
    if anchored { pattern.to_owned() } else { format!("^(?:{pattern})$") }
}

/// The header changes among filters; the other filters cannot be carried over.
fn headers(filters: &[Node], import: &mut Import) -> Headers {
    let mut headers = Headers::default();
    for filter in filters {
        let kind = filter.text_of("type").unwrap_or_default();
        let Some(modifier) =
            filter.get("requestHeaderModifier").filter(|_| kind == "RequestHeaderModifier")
        else {
            import.lost(
                head(filter),
                format!("a filter of the type {} cannot be carried over", quote(kind)),
            );
            continue;
        };
        import.only(modifier, &["set", "add", "remove"], "a RequestHeaderModifier");
        let pairs = |list: &str| -> Vec<(String, String)> {
            let pair = |node: &Node| {
                let field = |name| node.text_of(name).unwrap_or_default().to_owned();
                (field("name"), field("value"))
            };
            modifier.list(list).iter().map(pair).collect()
        };
        headers.set.extend(pairs("set"));
        headers.add.extend(pairs("add"));
        let removed = modifier.list("remove").iter().filter_map(Node::text);
        headers.remove.extend(removed.map(str::to_owned));
    }
    headers
}

/// The changes of the rule, then those of the backend.
fn merged(shared: &Headers, own: Headers, backend: &Node, import: &mut Import) -> Headers {
    let names = |headers: &Headers| -> Vec<String> {
        let pairs = headers.set.iter().chain(&headers.add).map(|(name, _)| name);
        pairs.chain(&headers.remove).map(|name| name.to_ascii_lowercase()).collect()
    };
    let shared_names = names(shared);
    if let Some(name) = names(&own).iter().find(|name| shared_names.contains(name)) {
        let message = format!(
            "both the rule and this backend change the header {name}, which cannot be carried over"
        );
        import.lost(head(backend), message);
    }
    let mut all = shared.clone();
    all.set.extend(own.set);
    all.add.extend(own.add);
    all.remove.extend(own.remove);
    all
}
