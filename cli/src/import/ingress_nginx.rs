//! ingress-nginx: Ingresses with canary annotations.
//!
//! Its order: the header decides, then the cookie, then the weight. Whatever is not sent to the
//! canary stays with the main Ingress's service, which the plugin is to be bound to.

use super::draft::{Item, Plugin, Rule, Upstream};
use super::gateway_api::Metadata;
use super::{Import, head, upstream_name};
use crate::source::{Entry, Node};
use std::cmp::Reverse;
use tse_route::config::{Location, Operator};

const PREFIX: &str = "nginx.ingress.kubernetes.io/";

/// Imports all canary Ingresses as one plugin; none where there is none.
pub(super) fn import(ingresses: &[(usize, &Node)], import: &mut Import) -> Option<Plugin> {
    let canaries: Vec<&(usize, &Node)> = ingresses
        .iter()
        .filter(|(_, ingress)| {
            annotation(ingress, "canary").and_then(|e| text(&e.value)).as_deref() == Some("true")
        })
        .collect();
    let (first_file, first) = canaries.first()?;
    let mut places: Vec<(Place, Vec<Rule>)> = Vec::new();
    let mut names = Vec::new();
    for (file, ingress) in &canaries {
        import.file = *file;
        let metadata = Metadata::of(ingress);
        names.push(format!("{}/{}", metadata.namespace, metadata.name));
        let canary = Canary::of(ingress, import);
        for (place, upstream, node) in backends(ingress, &canary, import) {
            if places.iter().any(|(other, _)| *other == place) {
                import.error(head(node), "a second canary for the same host and path");
                continue;
            }
            let name = format!("{}/{}", metadata.namespace, metadata.name);
            let rules = canary.rules(&name, &place.items, &upstream).into_iter().map(|rule| Rule {
                file: *file,
                span: head(node),
                ..rule
            });
            places.push((place, rules.collect()));
        }
    }
    // The most specific host, then the longest path: as nginx picks its location.
    places.sort_by_key(|(place, _)| Reverse(place.rank));
    let metadata = Metadata::of(first);
    Some(Plugin {
        name: if canaries.len() == 1 { metadata.name.to_owned() } else { "canaries".to_owned() },
        namespace: metadata.given_namespace.map(str::to_owned),
        description: format!("imported from Ingress {}", names.join(", ")),
        rules: places.into_iter().flat_map(|(_, rules)| rules).collect(),
        file: *first_file,
        span: head(first),
    })
}

fn annotation<'n>(ingress: &'n Node, name: &str) -> Option<&'n Entry> {
    let annotations = ingress.dig(&["metadata", "annotations"])?;
    annotations.entries().iter().find(|entry| entry.key.strip_prefix(PREFIX) == Some(name))
}

fn text(node: &Node) -> Option<String> {
    node.scalar().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

/// A host and a path.
#[derive(PartialEq)]
struct Place {
    rank: (u8, usize, u8, usize),
    items: Vec<Item>,
}

/// What the annotations say.
#[derive(Default)]
struct Canary {
    header: Option<String>,
    header_value: Option<String>,
    header_pattern: Option<String>,
    cookie: Option<String>,
    weight: u64,
    total: u64,
    patterns: bool,
}

impl Canary {
    fn of(ingress: &Node, import: &mut Import) -> Self {
        let mut canary = Self { total: 100, ..Self::default() };
        let annotations = ingress.dig(&["metadata", "annotations"]).map(Node::entries);
        for entry in annotations.unwrap_or_default() {
            let Some(name) = entry.key.strip_prefix(PREFIX) else { continue };
            let value = text(&entry.value).filter(|value| !value.is_empty());
            let mut number = |otherwise: u64| {
                let parsed = value.as_ref().map(|value| value.parse::<u64>());
                match parsed {
                    Some(Ok(number)) => number,
                    None => otherwise,
                    Some(Err(_)) => {
                        import.error(entry.value.span.clone(), "accepted is a whole number");
                        otherwise
                    }
                }
            };
            match name {
                "canary" => {}
                "canary-by-header" => canary.header = value,
                "canary-by-header-value" => canary.header_value = value,
                "canary-by-header-pattern" => canary.header_pattern = value,
                "canary-by-cookie" => canary.cookie = value,
                "canary-weight" => canary.weight = number(0),
                // Smaller totals than 100 count as 100.
                "canary-weight-total" => canary.total = number(100).max(100),
                "use-regex" => canary.patterns = value.as_deref() == Some("true"),
                other => {
                    let message = format!("the annotation `{other}` cannot be carried over");
                    import.lost(entry.key_span.clone(), message);
                }
            }
        }
        if canary.header_value.is_some() && canary.header_pattern.is_some() {
            canary.header_pattern = None;
            let message =
                "`canary-by-header-pattern` does not count beside `canary-by-header-value`";
            import.warning(head(ingress), message);
        }
        if canary.header.is_none()
            && (canary.header_value.is_some() || canary.header_pattern.is_some())
        {
            let message = "a value or a pattern without `canary-by-header` does not count";
            import.warning(head(ingress), message);
        }
        if canary.header.is_none() && canary.cookie.is_none() && canary.weight == 0 {
            import.warning(
                head(ingress),
                "a canary without header, cookie and weight gets no requests",
            );
        }
        canary
    }

    /// The rules of one place, the one that decides first first.
    fn rules(&self, name: &str, place: &[Item], upstream: &str) -> Vec<Rule> {
        let canary = || vec![Upstream::new(Some(upstream.to_owned()), 100)];
        let own = || vec![Upstream::new(None, 100)];
        let mut rules = Vec::new();
        let mut rule = |label: &str, item: Option<Item>, upstreams: Vec<Upstream>| {
            rules.push(Rule {
                name: Some(format!("{name} {label}")),
                items: place.iter().cloned().chain(item).collect(),
                upstreams,
                ..Rule::default()
            });
        };
        if let Some(header) = &self.header {
            let item =
                |operator, value: &str| Some(Item::new(Location::Header, header, operator, value));
            match (&self.header_value, &self.header_pattern) {
                (Some(value), _) => rule("header", item(Operator::Eq, value), canary()),
                (None, Some(pattern)) => rule("header", item(Operator::Regex, pattern), canary()),
                (None, None) => {
                    rule("header always", item(Operator::Eq, "always"), canary());
                    rule("header never", item(Operator::Eq, "never"), own());
                }
            }
        }
        if let Some(cookie) = &self.cookie {
            let item = |value: &str| Some(Item::new(Location::Cookie, cookie, Operator::Eq, value));
            rule("cookie always", item("always"), canary());
            rule("cookie never", item("never"), own());
        }
        let weight = self.weight.min(self.total);
        if weight == self.total {
            rule("weight", None, canary());
        } else if weight > 0 {
            let split = vec![
                Upstream::new(Some(upstream.to_owned()), weight),
                Upstream::new(None, self.total - weight),
            ];
            rule("weight", None, split);
        }
        rules
    }
}

/// The hosts and paths of an Ingress with their backends.
fn backends<'n>(
    ingress: &'n Node,
    canary: &Canary,
    import: &mut Import,
) -> Vec<(Place, String, &'n Node)> {
    let namespace = Metadata::of(ingress).namespace;
    let mut found = Vec::new();
    let Some(spec) = ingress.get("spec") else { return found };
    import.only(spec, &["ingressClassName", "rules", "tls", "defaultBackend"], "an Ingress");
    for rule in spec.list("rules") {
        let (host_rank, host) = host(rule.text_of("host").unwrap_or_default());
        for path in rule.dig(&["http", "paths"]).map(Node::elements).unwrap_or_default() {
            let Some(backend) = path.get("backend") else { continue };
            let Some(upstream) = upstream(backend, namespace, import) else { continue };
            let (path_rank, item) = path_item(path, canary.patterns);
            let items = host.iter().cloned().chain(item).collect();
            let rank = (host_rank.0, host_rank.1, path_rank.0, path_rank.1);
            found.push((Place { rank, items }, upstream, path));
        }
    }
    if let Some(backend) = spec.get("defaultBackend")
        && let Some(upstream) = upstream(backend, namespace, import)
    {
        found.push((Place { rank: (0, 0, 0, 0), items: Vec::new() }, upstream, backend));
    }
    found
}

fn host(host: &str) -> ((u8, usize), Option<Item>) {
    let host = host.to_ascii_lowercase();
    let item = |operator, value: &str| Some(Item::new(Location::System, "domain", operator, value));
    match host.strip_prefix("*.") {
        _ if host.is_empty() => ((0, 0), None),
        None => ((2, 0), item(Operator::Eq, &host)),
        Some(rest) => {
            // An Ingress's wildcard stands for exactly one label.
            let pattern = format!("^[^.]+\\.{}$", rest.replace('.', "\\."));
            ((1, host.len()), item(Operator::Regex, &pattern))
        }
    }
}

fn path_item(path: &Node, patterns: bool) -> ((u8, usize), Option<Item>) {
    let value = path.text_of("path").unwrap_or("/");
    let kind = path.text_of("pathType").unwrap_or("ImplementationSpecific");
    let length = value.len();
    let item = |operator, value: &str| Some(Item::new(Location::Path, "", operator, value));
    match kind {
        "Exact" => ((2, length), item(Operator::Eq, value)),
        // nginx's patterns count from the start, in any case.
        _ if patterns => ((1, length), item(Operator::Regex, &format!("(?i)^{value}"))),
        _ if value == "/" => ((1, length), None),
        "Prefix" => ((1, length), item(Operator::PathPrefix, value)),
        _ => ((1, length), item(Operator::Prefix, value)),
    }
}

fn upstream(backend: &Node, namespace: &str, import: &mut Import) -> Option<String> {
    let service = backend.get("service");
    let name = service.and_then(|service| service.text_of("name"));
    let port = service.and_then(|service| service.get("port"));
    let port = port.and_then(|port| port.get("number").or_else(|| port.get("name"))).and_then(text);
    match (name, port) {
        (Some(name), Some(port)) => Some(upstream_name(name, namespace, &port)),
        _ => {
            import.lost(
                head(backend),
                "a backend that is no service with a port cannot be carried over",
            );
            None
        }
    }
}
