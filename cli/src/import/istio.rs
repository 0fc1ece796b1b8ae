//! Istio: VirtualService.
//!
//! The first route that matches decides, and a host is one VirtualService's: a request that none of its
//! routes matches is not looked at by those of a wider host.

use super::Endpoint;
use super::draft::{Draft, Headers, Item, Otherwise, Rule, Upstream};
use super::hosts::{self, Hostname};
use super::kubernetes::{self, Backend, Metadata};
use super::reading::{Import, head};
use super::text_match::TextMatch;
use crate::source::Node;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use tse_route::config::{Location, Operator};

/// The proxies beside the workloads, as a gateway.
const MESH: &str = "mesh";

/// What Kubernetes puts behind a Service's name and namespace.
const CLUSTER: &str = ".svc.cluster.local";

/// Imports all VirtualServices: one plugin for each gateway.
pub(super) fn import(services: &[(usize, &Node)], import: &mut Import) -> Vec<Draft> {
    let mut read = Vec::new();
    for (file, node) in services {
        import.file = *file;
        read.extend(VirtualService::read(node, *file, import));
    }
    read.sort_by(|one, other| one.created.cmp(&other.created));
    let mut gateways: BTreeMap<String, Vec<&VirtualService>> = BTreeMap::new();
    for service in &read {
        for gateway in service.routes.iter().flat_map(|route| &route.gateways) {
            let members = gateways.entry(gateway.clone()).or_default();
            if !members.iter().any(|member| std::ptr::eq(*member, service)) {
                members.push(service);
            }
        }
    }
    let mut drafts: Vec<Draft> = Vec::new();
    let alone = gateways.len() == 1;
    for (gateway, members) in gateways {
        let rules = rules(&gateway, &members);
        let Some(first) = members.first() else { continue };
        let names: Vec<String> = members.iter().map(|member| member.metadata.label()).collect();
        let mut name = match members.as_slice() {
            [only] => only.metadata.name.to_owned(),
            _ => "virtual-services".to_owned(),
        };
        if !alone {
            name = format!("{name}-{}", gateway.replace('/', "-"));
        }
        let parent = format!("gateway {gateway}");
        // Gateways that are served alike share a plugin.
        let names = names.join(", ");
        if let Some(same) = drafts.iter_mut().find(|draft| {
            draft.rules == rules && draft.description.starts_with(&described(&names, ""))
        }) {
            let both = format!("{}, {parent}", same.parent().unwrap_or_default());
            same.description = described(&names, &both);
            same.parent = Some(both);
            continue;
        }
        drafts.push(Draft {
            name,
            namespace: first.metadata.given_namespace.map(str::to_owned),
            description: described(&names, &parent),
            parent: Some(parent),
            otherwise: Otherwise::NotFound,
            names_of_an_ingress: true,
            rules,
            file: first.file,
            span: first.span.clone(),
            ..Draft::default()
        });
    }
    drafts
}

fn described(names: &str, parent: &str) -> String {
    format!("imported from VirtualService {names} of {parent}")
}

/// The rules of all VirtualServices of a gateway.
fn rules(gateway: &str, members: &[&VirtualService]) -> Vec<Rule> {
    let mut all: Vec<Hostname> = Vec::new();
    for member in members {
        all.extend(member.hostnames(gateway));
    }
    let mut found: Vec<(Reverse<(u8, usize)>, Rule)> = Vec::new();
    for member in members {
        let own = member.hostnames(gateway);
        for (rank, hosts) in alternatives(&own, &all) {
            for route in member.routes.iter().filter(|route| route.is_of(gateway)) {
                let mut rule = route.rule.clone();
                rule.items.splice(0..0, hosts.iter().cloned());
                found.push((Reverse(rank), rule));
            }
        }
    }
    // Stable: within a host the order is the VirtualServices', then their routes'.
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, rule)| rule).collect()
}

/// The conditions that hosts make: what a narrower one has is not a wider one's.
fn alternatives(own: &[Hostname], all: &[Hostname]) -> Vec<((u8, usize), Vec<Item>)> {
    let everything = own.is_empty() || own.iter().any(|hostname| hostname == "*");
    let hostnames = if everything { &[] } else { own };
    hosts::alternatives(hostnames)
        .into_iter()
        .map(|(rank, item)| {
            let wild = match &item {
                None => Some("*".to_owned()),
                Some(item) if item.operator == Operator::Suffix => {
                    item.value.as_ref().map(|suffix| format!("*{suffix}"))
                }
                Some(_) => None,
            };
            let mut items: Vec<Item> = item.into_iter().collect();
            let mut taken: Vec<&Hostname> = Vec::new();
            for other in all {
                let is_narrower = wild.as_ref().is_some_and(|wild| {
                    other != wild && (wild == "*" || hosts::covers(wild, other))
                });
                if is_narrower && other != "*" && !taken.contains(&other) {
                    taken.push(other);
                }
            }
            items.extend(taken.into_iter().map(|other| hosts::but(other)));
            (rank, items)
        })
        .collect()
}

struct VirtualService<'n> {
    metadata: Metadata<'n>,
    hosts: Vec<Hostname>,
    routes: Vec<Route>,
    created: String,
    file: usize,
    span: crate::source::Span,
}

/// One alternative of one route.
struct Route {
    gateways: Vec<String>,
    rule: Rule,
}

impl Route {
    fn is_of(&self, gateway: &str) -> bool {
        self.gateways.iter().any(|name| name == gateway)
    }
}

impl<'n> VirtualService<'n> {
    fn read(node: &'n Node, file: usize, import: &mut Import) -> Option<Self> {
        let metadata = kubernetes::manifest(node, import);
        kubernetes::annotations(node, import);
        let Some(spec) = import.object(node, "spec") else {
            import.error(head(node), "a VirtualService without `spec`");
            return None;
        };
        let listed = import.texts(spec, "hosts");
        let hosts = listed.iter().filter_map(|node| node.text()).map(str::to_ascii_lowercase);
        let hosts: Vec<Hostname> = hosts.collect();
        for name in import.texts(spec, "hosts").into_iter().filter(|node| {
            node.text()
                .is_some_and(|host| host.starts_with('*') && host != "*" && !host.starts_with("*."))
        }) {
            import.error(
                name.span.clone(),
                "accepted is a host, or a wildcard as in `*.example.com`",
            );
        }
        if hosts.is_empty() {
            let message = "a VirtualService without `hosts` is a part of another one, which cannot be \
                           carried over";
            import.lost(head(spec), message);
        }
        let gateways = gateways(spec, metadata, import);
        let gateways = if gateways.is_empty() { vec![MESH.to_owned()] } else { gateways };
        let mut service = Self {
            metadata,
            hosts,
            routes: Vec::new(),
            created: match metadata.created {
                "" => "~".to_owned(),
                created => created.to_owned(),
            },
            file,
            span: head(spec),
        };
        for (index, route) in import.objects(spec, "http").into_iter().enumerate() {
            service.route(route, index, &gateways, import);
        }
        import.done(spec, "a VirtualService");
        Some(service)
    }

    fn route(&mut self, route: &Node, index: usize, gateways: &[String], import: &mut Import) {
        let name = match import.text(route, "name") {
            Some(name) => name.to_owned(),
            None => format!("{}/{index}", self.metadata.label()),
        };
        let shared = headers(route, import);
        let upstreams = self.destinations(route, &shared, import);
        for field in ["redirect", "directResponse", "delegate"] {
            if let Some(entry) = import.entry(route, field) {
                import.told(&entry.value);
                let message = format!(
                    "`{field}` answers requests without an upstream and cannot be carried over"
                );
                import.lost(entry.key_span.clone(), message);
            }
        }
        if upstreams.is_none() && route.list("route").is_empty() {
            let is_said = ["redirect", "directResponse", "delegate"]
                .iter()
                .any(|field| route.get(field).is_some());
            if !is_said {
                import.lost(head(route), "a route without destinations cannot be carried over");
            }
        }
        let matches = import.objects(route, "match");
        let (file, span) = (import.file, head(route));
        let mut conditions: Vec<(Vec<String>, Option<Vec<Item>>)> = Vec::new();
        if matches.is_empty() {
            conditions.push((Vec::new(), Some(Vec::new())));
        }
        for condition in matches {
            let own = self::gateways(condition, self.metadata, import);
            conditions.push((own, condition_items(condition, import)));
        }
        for (own, items) in conditions {
            self.routes.push(Route {
                gateways: if own.is_empty() { gateways.to_vec() } else { own },
                rule: Rule {
                    name: Some(name.clone()),
                    left_out: upstreams.is_none() || items.is_none(),
                    condition_is_known: items.is_some(),
                    items: items.unwrap_or_default(),
                    upstreams: upstreams.clone().unwrap_or_default(),
                    file,
                    span: span.clone(),
                    ..Rule::default()
                },
            });
        }
        import.done(route, "a route");
    }

    /// Where a route sends to; none where it is nowhere.
    fn destinations(
        &self,
        route: &Node,
        shared: &Headers,
        import: &mut Import,
    ) -> Option<Vec<Upstream>> {
        let listed = import.objects(route, "route");
        let alone = listed.len() == 1;
        let mut upstreams = Vec::new();
        for entry in listed {
            let own = headers(entry, import);
            let weight = match entry.get("weight").filter(|weight| !weight.is_null()) {
                Some(_) => import.whole(entry, "weight", 1_000_000),
                None => Some(0),
            };
            let destination = import.object(entry, "destination");
            import.done(entry, "a destination");
            let (Some(destination), Some(weight)) = (destination, weight) else {
                import.error(head(entry), "a destination needs `destination`");
                continue;
            };
            let host = import.text(destination, "host");
            let subset = import.text(destination, "subset");
            let port = import.object(destination, "port").and_then(|port| {
                let number = import.whole(port, "number", 65_535);
                import.done(port, "a port");
                number
            });
            import.done(destination, "a destination");
            let Some(host) = host else {
                import.error(head(destination), "a destination needs `host`");
                continue;
            };
            let Some(name) = self.upstream(host, port, subset, destination, import) else {
                continue;
            };
            let (headers, twice) = shared.clone().and(own);
            if let Some(name) = twice {
                let message = format!(
                    "both the route and this destination change the header {name}, which cannot be \
                     carried over"
                );
                import.lost(head(entry), message);
            }
            // A single one takes all, whatever its weight.
            let weight = if alone { 100 } else { weight };
            upstreams.push(Upstream { headers, ..Upstream::new(Some(name), weight) });
        }
        let total: u64 = upstreams.iter().filter_map(|u| u.weight.as_ref()?.as_u64()).sum();
        if total == 0 && !upstreams.is_empty() {
            import.lost(head(route), "a route whose weights are all 0 cannot be carried over");
        }
        (total > 0).then_some(upstreams)
    }

    /// The name of a destination: a Service of Kubernetes, or a host outside of the cluster.
    fn upstream(
        &self,
        host: &str,
        port: Option<u64>,
        subset: Option<&str>,
        at: &Node,
        import: &mut Import,
    ) -> Option<String> {
        let inside = match host.strip_suffix(CLUSTER) {
            Some(name) => name.split_once('.'),
            None if !host.contains('.') => Some((host, self.metadata.namespace)),
            None => None,
        };
        if let Some((service, namespace)) = inside {
            let port = port.map(|port| port.to_string());
            return Backend { service, namespace, port, subset }.upstream(at, import);
        }
        if let Some(subset) = subset {
            let message = format!("the subset {subset} of {host} cannot be carried over");
            import.lost(head(at), message);
            return None;
        }
        if let Some(port) = port.and_then(|port| u16::try_from(port).ok()) {
            let endpoint = Endpoint { host: host.to_owned(), port, weight: None };
            import.endpoints.insert(host.to_owned(), vec![endpoint]);
        }
        Some(host.to_owned())
    }

    /// The hosts as requests name them: inside of the mesh a Service has several names.
    fn hostnames(&self, gateway: &str) -> Vec<Hostname> {
        let mut names = Vec::new();
        for host in &self.hosts {
            let full = if host.contains('.') || host == "*" {
                host.clone()
            } else {
                format!("{host}.{}{CLUSTER}", self.metadata.namespace)
            };
            if gateway == MESH
                && let Some(name) = full.strip_suffix(CLUSTER)
            {
                // The short one is for the proxies of its namespace.
                let short = name.strip_suffix(&format!(".{}", self.metadata.namespace));
                names.extend(short.map(str::to_owned));
                names.push(name.to_owned());
                names.push(format!("{name}.svc"));
            }
            names.push(full);
        }
        names
    }
}

/// The gateways that a list names, each with its namespace.
fn gateways(owner: &Node, metadata: Metadata, import: &mut Import) -> Vec<String> {
    let listed = import.texts(owner, "gateways");
    let names = listed.iter().filter_map(|node| node.text()).map(|name| {
        if name == MESH || name.contains('/') {
            name.to_owned()
        } else {
            format!("{}/{name}", metadata.namespace)
        }
    });
    names.collect()
}

/// What a match asks for; none where it cannot be carried over.
pub(super) fn condition_items(node: &Node, import: &mut Import) -> Option<Vec<Item>> {
    // Names for logs and statistics.
    import.skip(node, &["name", "statPrefix"]);
    let any_case = import.flag(node, "ignoreUriCase") == Some(true);
    let mut items = Vec::new();
    let mut sound = true;
    if let Some(uri) = import.field(node, "uri") {
        match TextMatch::read(uri, import) {
            Some(wanted) => items.extend(wanted.path(any_case)),
            None => sound = false,
        }
    }
    for (field, location, key) in [
        ("scheme", Location::System, "httpScheme"),
        ("method", Location::Method, ""),
        ("authority", Location::Header, "host"),
    ] {
        if let Some(value) = import.field(node, field) {
            match TextMatch::read(value, import) {
                Some(wanted) => items.push(wanted.item(location, key)),
                None => sound = false,
            }
        }
    }
    for (field, location, negated) in [
        ("headers", Location::Header, false),
        ("queryParams", Location::Query, false),
        ("withoutHeaders", Location::Header, true),
    ] {
        let Some(named) = import.object(node, field) else { continue };
        for entry in named.entries() {
            import.seen(entry);
            // These belong to fields of their own, and Istio ignores them here.
            let is_ignored =
                matches!(entry.key.as_str(), "uri" | "scheme" | "method" | "authority");
            if location == Location::Header && is_ignored {
                import.told(&entry.value);
                let message = format!("Istio ignores the header `{}` here", entry.key);
                import.warning(entry.key_span.clone(), message);
                continue;
            }
            match TextMatch::read(&entry.value, import) {
                Some(wanted) if negated => items.push(wanted.negation(location, &entry.key)),
                Some(wanted) => items.push(wanted.item(location, &entry.key)),
                None => sound = false,
            }
        }
    }
    sound &= import.done(node, "a match");
    sound.then_some(items)
}

/// The changes to request headers of a route or destination; those to responses cannot be carried over.
fn headers(owner: &Node, import: &mut Import) -> Headers {
    let mut changes = Headers::default();
    let Some(headers) = import.object(owner, "headers") else { return changes };
    if let Some(request) = import.object(headers, "request") {
        for (list, into) in [("set", &mut changes.set), ("add", &mut changes.add)] {
            for (entry, value) in import.pairs(request, list) {
                into.push((entry.key.clone(), value.to_owned()));
            }
        }
        let removed = import.texts(request, "remove");
        changes.remove.extend(removed.iter().filter_map(|node| node.text()).map(str::to_owned));
        import.done(request, "the changes to headers");
    }
    import.done(headers, "the changes to headers");
    changes
}
