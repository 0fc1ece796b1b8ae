//! Gateway API: HTTPRoute and GRPCRoute.
//!
//! Every match of every rule becomes a rule, ordered by the specification's precedence; the routes of
//! one parent become one plugin, with their hostnames as conditions.

mod listeners;
mod matches;

use super::draft::{Draft, Headers, Item, Otherwise, Rule, Upstream};
use super::hosts::{self, Hostname};
use super::kubernetes::{self, Backend, Metadata};
use super::reading::{Import, head};
use crate::source::Node;
use listeners::{Attachment, Gateway, Place};
use matches::{Match, Specificity};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use tse_route::config::quote;

/// What Gateway API says, as far as it is in the input.
#[derive(Default)]
pub(super) struct GatewayApi<'n> {
    pub routes: Vec<(usize, &'n Node)>,
    pub gateways: Vec<(usize, &'n Node)>,
    pub grants: Vec<(usize, &'n Node)>,
}

/// Which routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http,
    Grpc,
}

impl Protocol {
    const fn kind(self) -> &'static str {
        match self {
            Self::Http => "HTTPRoute",
            Self::Grpc => "GRPCRoute",
        }
    }
}

impl GatewayApi<'_> {
    /// One plugin for each parent.
    pub(super) fn plugins(&self, import: &mut Import) -> Vec<Draft> {
        let mut gateways = Vec::new();
        for (file, node) in &self.gateways {
            import.file = *file;
            gateways.push(Gateway::read(node, import));
        }
        let mut grants = Vec::new();
        for (file, node) in &self.grants {
            import.file = *file;
            grants.extend(Grant::read(node, import));
        }
        let mut plugins = Vec::new();
        for protocol in [Protocol::Http, Protocol::Grpc] {
            let mut routes = Vec::new();
            for (file, node) in &self.routes {
                if node.text_of("kind") == Some(protocol.kind()) {
                    import.file = *file;
                    routes.push(Route::read(node, protocol, *file, &grants, import));
                }
            }
            plugins.extend(by_parent(&routes, protocol, &gateways, import));
        }
        plugins
    }
}

/// The routes of each parent as a plugin; parents that are served alike share one.
fn by_parent(
    routes: &[Route],
    protocol: Protocol,
    gateways: &[Gateway],
    import: &mut Import,
) -> Vec<Draft> {
    let mut places: BTreeMap<Place, Vec<(usize, Attachment)>> = BTreeMap::new();
    for (index, route) in routes.iter().enumerate() {
        import.file = route.file;
        for (place, attachment) in listeners::attach(route, protocol, gateways, import) {
            places.entry(place).or_default().push((index, attachment));
        }
    }
    listeners::spread(&mut places);
    let mut plugins: Vec<(Vec<Place>, Vec<usize>, Vec<Rule>)> = Vec::new();
    for (place, attachments) in places {
        let mut entries = Vec::new();
        let mut members = Vec::new();
        for (index, attachment) in &attachments {
            let Some(route) = routes.get(*index) else { continue };
            entries.extend(route.entries(attachment));
            if !members.contains(index) {
                members.push(*index);
            }
        }
        entries.sort_by(|a, b| a.precedence.cmp(&b.precedence));
        // A route that names two listeners of a port is there once.
        entries.dedup_by(|next, previous| {
            next.rule.items == previous.rule.items && next.precedence == previous.precedence
        });
        let rules: Vec<Rule> = entries.into_iter().map(|entry| entry.rule).collect();
        match plugins.iter_mut().find(|(_, others, same)| *others == members && *same == rules) {
            Some((alike, ..)) => alike.push(place),
            None => plugins.push((vec![place], members, rules)),
        }
    }
    let alone = plugins.len() == 1;
    plugins
        .into_iter()
        .filter_map(|(places, members, rules)| {
            let members: Vec<&Route> = members.iter().filter_map(|at| routes.get(*at)).collect();
            let first = members.first()?;
            let names: Vec<String> = members.iter().map(|route| route.metadata.label()).collect();
            let mut name = match members.as_slice() {
                [route] => route.metadata.name.to_owned(),
                _ if protocol == Protocol::Http => "http-routes".to_owned(),
                _ => "grpc-routes".to_owned(),
            };
            let parent = listeners::label(&places);
            if !alone && let Some(place) = places.first() {
                name = format!("{name}-{}", place.slug());
            }
            let mut description = format!("imported from {} {}", protocol.kind(), names.join(", "));
            if let Some(parent) = &parent {
                description.push_str(&format!(" of {parent}"));
            }
            Some(Draft {
                name,
                namespace: first.metadata.given_namespace.map(str::to_owned),
                description,
                parent,
                rules,
                otherwise: Otherwise::NotFound,
                names_of_an_ingress: true,
                file: first.file,
                span: head(first.node),
                ..Draft::default()
            })
        })
        .collect()
}

/// A route as it is written.
struct Route<'n> {
    node: &'n Node,
    file: usize,
    metadata: Metadata<'n>,
    hostnames: Vec<Hostname>,
    rules: Vec<RouteRule>,
    parents: Vec<&'n Node>,
}

/// One rule of a route.
struct RouteRule {
    name: String,
    /// None for a match that cannot be carried over.
    matches: Vec<Option<Match>>,
    /// None where nobody can be named who gets the requests.
    upstreams: Option<Vec<Upstream>>,
    span: crate::source::Span,
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
    specificity: Reverse<Specificity>,
    /// The older route, then the first by name, then the order of the list.
    created: String,
    route: String,
    position: (usize, usize),
}

impl<'n> Route<'n> {
    fn read(
        node: &'n Node,
        protocol: Protocol,
        file: usize,
        grants: &[Grant],
        import: &mut Import,
    ) -> Self {
        let metadata = kubernetes::manifest(node, import);
        kubernetes::annotations(node, import);
        let mut route = Self {
            node,
            file,
            metadata,
            hostnames: Vec::new(),
            rules: Vec::new(),
            parents: Vec::new(),
        };
        let Some(spec) = import.object(node, "spec") else {
            import.error(head(node), "a route without `spec`");
            return route;
        };
        route.parents = import.objects(spec, "parentRefs");
        for hostname in import.texts(spec, "hostnames") {
            let name = hostname.text().unwrap_or_default().to_ascii_lowercase();
            if name.is_empty() || name.starts_with('*') && !name.starts_with("*.") {
                import.error(
                    hostname.span.clone(),
                    "accepted is a hostname, or a wildcard as in `*.example.com`",
                );
            } else {
                route.hostnames.push(name);
            }
        }
        for (index, rule) in import.objects(spec, "rules").into_iter().enumerate() {
            let name = match import.text(rule, "name") {
                Some(name) => name.to_owned(),
                None => format!("{}/{index}", metadata.label()),
            };
            let matches = match import.objects(rule, "matches") {
                // A rule without matches matches all.
                none if none.is_empty() => vec![Some(Match::everything(protocol))],
                some => some
                    .into_iter()
                    .map(|condition| match protocol {
                        Protocol::Http => Match::http(condition, import),
                        Protocol::Grpc => Match::grpc(condition, import),
                    })
                    .collect(),
            };
            let upstreams = route.upstreams(rule, protocol, grants, import);
            import.done(rule, "a rule");
            route.rules.push(RouteRule { name, matches, upstreams, span: head(rule) });
        }
        import.done(spec, "a route");
        route
    }

    /// Its rules where it is attached.
    fn entries(&self, attachment: &Attachment) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (rule_index, rule) in self.rules.iter().enumerate() {
            for (match_index, condition) in rule.matches.iter().enumerate() {
                for (hostname, hosts) in &attachment.hosts {
                    let wanted = condition.as_ref().map(|condition| condition.items.as_slice());
                    let items = hosts.iter().chain(wanted.unwrap_or_default()).cloned();
                    let specificity = condition.as_ref().map(|condition| condition.specificity);
                    entries.push(Entry {
                        precedence: Precedence {
                            hostname: Reverse(*hostname),
                            specificity: Reverse(specificity.unwrap_or_default()),
                            // A route that is not in a cluster yet will be the youngest.
                            created: match self.metadata.created {
                                "" => "~".to_owned(),
                                created => created.to_owned(),
                            },
                            route: self.metadata.label(),
                            position: (rule_index, match_index),
                        },
                        rule: Rule {
                            name: Some(rule.name.clone()),
                            items: items.collect(),
                            upstreams: rule.upstreams.clone().unwrap_or_default(),
                            left_out: rule.upstreams.is_none() || condition.is_none(),
                            condition_is_known: condition.is_some(),
                            file: self.file,
                            span: rule.span.clone(),
                            ..Rule::default()
                        },
                    });
                }
            }
        }
        entries
    }

    /// The backends of a rule; none where it has none that can be named.
    fn upstreams(
        &self,
        rule: &Node,
        protocol: Protocol,
        grants: &[Grant],
        import: &mut Import,
    ) -> Option<Vec<Upstream>> {
        let shared = headers(rule, import);
        let mut upstreams = Vec::new();
        let backends = import.objects(rule, "backendRefs");
        let is_empty = backends.is_empty();
        for backend in backends {
            let kind = import.text(backend, "kind").unwrap_or("Service");
            let group = import.text(backend, "group").unwrap_or_default();
            if kind != "Service" || !matches!(group, "" | "core") {
                import.told(backend);
                import.lost(
                    head(backend),
                    format!("a backend of the kind {kind} cannot be carried over"),
                );
                continue;
            }
            let name = import.text(backend, "name");
            let port = import.text_or_number(backend, "port");
            let namespace = import.text(backend, "namespace").unwrap_or(self.metadata.namespace);
            let weight = match backend.get("weight") {
                Some(weight) if !weight.is_null() => import.whole(backend, "weight", 1_000_000),
                _ => Some(1),
            };
            let own = headers(backend, import);
            import.done(backend, "a backend");
            let (Some(service), Some(port), Some(weight)) = (name, port, weight) else {
                if name.is_none() || backend.get("port").is_none_or(Node::is_null) {
                    import.error(head(backend), "a backend needs `name` and `port`");
                }
                continue;
            };
            if namespace != self.metadata.namespace
                && !grants.iter().any(|grant| grant.allows(self, protocol, namespace, service))
            {
                let message = format!(
                    "the Service {namespace}/{service} is of another namespace: without a \
                     ReferenceGrant, of which the input has none, Gateway API answers 500"
                );
                import.warning(head(backend), message);
            }
            let named = Backend { service, namespace, port: Some(port), subset: None };
            let Some(upstream) = named.upstream(backend, import) else { continue };
            let headers = merged(&shared, own, backend, import);
            upstreams.push(Upstream { headers, ..Upstream::new(Some(upstream), weight) });
        }
        let total: u64 = upstreams.iter().filter_map(|u| u.weight.as_ref()?.as_u64()).sum();
        if is_empty || (total == 0 && !upstreams.is_empty()) {
            let message = "a rule without a backend that gets requests answers them itself, \
                           which cannot be carried over";
            import.lost(head(rule), message);
        }
        (total > 0).then_some(upstreams)
    }
}

/// The header changes among the filters of a rule or backend; other filters cannot be carried over.
fn headers(owner: &Node, import: &mut Import) -> Headers {
    let mut headers = Headers::default();
    for filter in import.objects(owner, "filters") {
        let kind = import.text(filter, "type").unwrap_or_default();
        let modifier = match kind {
            "RequestHeaderModifier" => import.object(filter, "requestHeaderModifier"),
            _ => None,
        };
        let Some(modifier) = modifier else {
            import.told(filter);
            import.lost(
                head(filter),
                format!("a filter of the type {} cannot be carried over", quote(kind)),
            );
            continue;
        };
        for (list, into) in [("set", &mut headers.set), ("add", &mut headers.add)] {
            for pair in import.objects(modifier, list) {
                let name = import.text(pair, "name").unwrap_or_default();
                let value = import.text(pair, "value").unwrap_or_default();
                import.done(pair, "a header");
                into.push((name.to_owned(), value.to_owned()));
            }
        }
        let removed = import.texts(modifier, "remove");
        headers.remove.extend(removed.iter().filter_map(|node| node.text()).map(str::to_owned));
        import.done(modifier, "a RequestHeaderModifier");
        import.done(filter, "a filter");
    }
    headers
}

/// The changes of the rule, then those of the backend.
fn merged(shared: &Headers, own: Headers, backend: &Node, import: &mut Import) -> Headers {
    let (all, twice) = shared.clone().and(own);
    if let Some(name) = twice {
        let message = format!(
            "both the rule and this backend change the header {name}, which cannot be carried over"
        );
        import.lost(head(backend), message);
    }
    all
}

/// What a ReferenceGrant allows.
struct Grant {
    namespace: String,
    /// Kinds and namespaces of routes.
    from: Vec<(String, String)>,
    /// Names of Services; none for all.
    to: Vec<Option<String>>,
}

impl Grant {
    fn read(node: &Node, import: &mut Import) -> Option<Self> {
        let metadata = kubernetes::manifest(node, import);
        kubernetes::annotations(node, import);
        let spec = import.object(node, "spec")?;
        let mut grant =
            Self { namespace: metadata.namespace.to_owned(), from: Vec::new(), to: Vec::new() };
        for from in import.objects(spec, "from") {
            import.skip(from, &["group"]);
            let kind = import.text(from, "kind").unwrap_or_default().to_owned();
            let namespace = import.text(from, "namespace").unwrap_or_default().to_owned();
            import.done(from, "a ReferenceGrant");
            grant.from.push((kind, namespace));
        }
        for to in import.objects(spec, "to") {
            import.skip(to, &["group"]);
            let kind = import.text(to, "kind");
            let name = import.text(to, "name").map(str::to_owned);
            import.done(to, "a ReferenceGrant");
            if kind == Some("Service") {
                grant.to.push(name);
            }
        }
        import.done(spec, "a ReferenceGrant");
        Some(grant)
    }

    fn allows(&self, route: &Route, protocol: Protocol, namespace: &str, service: &str) -> bool {
        self.namespace == namespace
            && self
                .from
                .iter()
                .any(|(kind, from)| kind == protocol.kind() && from == route.metadata.namespace)
            && self.to.iter().any(|name| name.as_deref().is_none_or(|name| name == service))
    }
}

/// The conditions that hosts make, with how specific they are.
fn host_items(hostnames: &[Hostname], but: &[Hostname]) -> Vec<((u8, usize), Vec<Item>)> {
    hosts::alternatives(hostnames)
        .into_iter()
        .map(|(rank, item)| {
            (rank, item.into_iter().chain(but.iter().map(|host| hosts::but(host))).collect())
        })
        .collect()
}
