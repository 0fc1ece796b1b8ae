//! Where a route is attached: the listeners of Gateways, and Services.
//!
//! A Gateway that is in the input tells its listeners, and what they accept. Of another one only what
//! the routes name of it is known.

use super::super::draft::Item;
use super::super::hosts::{self, Hostname};
use super::super::kubernetes;
use super::super::reading::{Import, head};
use super::{Protocol, Route, host_items};
use crate::source::Node;
use std::collections::BTreeMap;
use std::fmt;

/// What one configuration is for. A request that comes in at one place is not decided by the rules of
/// another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// Routes without a parent.
    Nowhere,
    /// The listeners of a port of a Gateway that is in the input.
    Port { gateway: String, port: u64 },
    /// What a route names of a Gateway that is not.
    Listener { gateway: String, section: Option<String>, port: Option<String> },
    /// The requests to a Service inside of the cluster.
    Service { service: String, port: Option<String> },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nowhere => f.write_str("no parent"),
            Self::Port { gateway, port } => write!(f, "Gateway {gateway} port {port}"),
            Self::Listener { gateway, section, port } => {
                write!(f, "Gateway {gateway}")?;
                section.iter().try_for_each(|section| write!(f, " listener {section}"))?;
                port.iter().try_for_each(|port| write!(f, " port {port}"))
            }
            Self::Service { service, port } => {
                write!(f, "Service {service}")?;
                port.iter().try_for_each(|port| write!(f, " port {port}"))
            }
        }
    }
}

impl Place {
    /// A piece of a plugin's name.
    pub(super) fn slug(&self) -> String {
        let words = self.to_string();
        let kinds = ["Gateway", "Service", "listener", "port"];
        let words = words.split([' ', '/']).filter(|word| !kinds.contains(word));
        words.collect::<Vec<_>>().join("-").to_ascii_lowercase()
    }
}

/// How places that share a configuration are called; none where there is no parent.
pub(super) fn label(places: &[Place]) -> Option<String> {
    let names: Vec<String> =
        places.iter().filter(|place| **place != Place::Nowhere).map(Place::to_string).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// How a route is attached to a place: the conditions of its hosts, with how specific they are.
#[derive(Clone, Debug)]
pub(super) struct Attachment {
    pub hosts: Vec<((u8, usize), Vec<Item>)>,
}

/// A Gateway of the input.
pub(super) struct Gateway {
    name: String,
    namespace: String,
    listeners: Vec<Listener>,
}

struct Listener {
    name: String,
    hostname: Option<Hostname>,
    port: u64,
    /// Whether HTTP can come in there.
    is_http: bool,
    /// `Same`, `All` or `Selector`.
    from: String,
    /// Empty for all kinds that suit the protocol.
    kinds: Vec<String>,
}

impl Gateway {
    pub(super) fn read(node: &Node, import: &mut Import) -> Self {
        let metadata = kubernetes::manifest(node, import);
        kubernetes::annotations(node, import);
        let mut gateway = Self {
            name: metadata.name.to_owned(),
            namespace: metadata.namespace.to_owned(),
            listeners: Vec::new(),
        };
        let Some(spec) = import.object(node, "spec") else { return gateway };
        // The gateway itself is set up otherwise; only what restricts routes counts.
        import.skip(spec, &["gatewayClassName", "addresses", "infrastructure", "tls"]);
        for listener in import.objects(spec, "listeners") {
            import.skip(listener, &["tls"]);
            let name = import.text(listener, "name").unwrap_or_default().to_owned();
            let hostname =
                import.text(listener, "hostname").filter(|hostname| !hostname.is_empty());
            let port = import.whole(listener, "port", 65_535).unwrap_or_default();
            let protocol = import.text(listener, "protocol").unwrap_or("HTTP");
            let mut from = "Same".to_owned();
            let mut kinds = Vec::new();
            if let Some(allowed) = import.object(listener, "allowedRoutes") {
                if let Some(namespaces) = import.object(allowed, "namespaces") {
                    from = import.text(namespaces, "from").unwrap_or("Same").to_owned();
                    import.skip(namespaces, &["selector"]);
                    import.done(namespaces, "`allowedRoutes`");
                }
                for kind in import.objects(allowed, "kinds") {
                    import.skip(kind, &["group"]);
                    kinds.extend(import.text(kind, "kind").map(str::to_owned));
                    import.done(kind, "`allowedRoutes`");
                }
                import.done(allowed, "`allowedRoutes`");
            }
            import.done(listener, "a listener");
            gateway.listeners.push(Listener {
                name,
                hostname: hostname.map(str::to_ascii_lowercase),
                port,
                is_http: matches!(protocol, "HTTP" | "HTTPS"),
                from,
                kinds,
            });
        }
        import.done(spec, "a Gateway");
        gateway
    }
}

/// Where a route is attached.
pub(super) fn attach(
    route: &Route,
    protocol: Protocol,
    gateways: &[Gateway],
    import: &mut Import,
) -> Vec<(Place, Attachment)> {
    if route.parents.is_empty() {
        let hosts = host_items(&route.hostnames, &[]);
        return vec![(Place::Nowhere, Attachment { hosts })];
    }
    let mut found = Vec::new();
    for parent in &route.parents {
        let kind = import.text(parent, "kind").unwrap_or("Gateway");
        import.skip(parent, &["group"]);
        let name = import.text(parent, "name");
        let namespace = import.text(parent, "namespace").unwrap_or(route.metadata.namespace);
        let section = import.text(parent, "sectionName").map(str::to_owned);
        let port = import.text_or_number(parent, "port");
        let Some(name) = name else {
            import.error(head(parent), "a parent needs `name`");
            continue;
        };
        import.done(parent, "a parent");
        match kind {
            "Gateway" => {
                let gateway = gateways
                    .iter()
                    .find(|gateway| gateway.name == name && gateway.namespace == namespace);
                let full = format!("{namespace}/{name}");
                match gateway {
                    Some(gateway) => {
                        let listeners = gateway.accepting(route, protocol, &section, &port, import);
                        if listeners.is_empty() {
                            let message =
                                format!("no listener of the Gateway {full} accepts the route");
                            import.warning(head(parent), message);
                        }
                        found.extend(listeners);
                    }
                    None => {
                        let hosts = host_items(&route.hostnames, &[]);
                        let place = Place::Listener { gateway: full, section, port };
                        found.push((place, Attachment { hosts }));
                    }
                }
            }
            "Service" => {
                if namespace != route.metadata.namespace {
                    let message = format!(
                        "a route of another namespace than its Service's counts only for requests \
                         from {}, which cannot be carried over",
                        route.metadata.namespace
                    );
                    import.lost(head(parent), message);
                }
                let port = port.or(section);
                let place = Place::Service { service: format!("{namespace}/{name}"), port };
                let hosts = host_items(&route.hostnames, &[]);
                found.push((place, Attachment { hosts }));
            }
            other => {
                let message = format!("a parent of the kind {other} cannot be carried over");
                import.lost(head(parent), message);
            }
        }
    }
    found
}

impl Gateway {
    /// The ports that a route is attached to, with what their listeners leave of its hosts.
    fn accepting(
        &self,
        route: &Route,
        protocol: Protocol,
        section: &Option<String>,
        port: &Option<String>,
        import: &mut Import,
    ) -> Vec<(Place, Attachment)> {
        let mut found = Vec::new();
        for listener in &self.listeners {
            let is_meant = section.as_ref().is_none_or(|section| *section == listener.name)
                && port.as_ref().is_none_or(|port| *port == listener.port.to_string());
            let kind_fits = listener.kinds.is_empty()
                || listener.kinds.iter().any(|kind| kind == protocol.kind());
            if !is_meant || !kind_fits || !listener.is_http {
                continue;
            }
            match listener.from.as_str() {
                "All" => {}
                "Same" if route.metadata.namespace == self.namespace => {}
                "Same" | "None" => continue,
                _ => {
                    let message = format!(
                        "whether the listener {} accepts routes of the namespace {} depends on \
                         labels, which cannot be carried over",
                        listener.name, route.metadata.namespace
                    );
                    import.lost(head(route.node), message);
                }
            }
            let Some(hostnames) = listener.hosts_of(&route.hostnames) else { continue };
            // Requests for the hosts of a more specific listener never come to this one.
            let taken: Vec<&Hostname> = self
                .listeners
                .iter()
                .filter(|other| other.port == listener.port)
                .filter_map(|other| other.hostname.as_ref())
                .filter(|other| match &listener.hostname {
                    Some(own) => own != *other && hosts::covers(own, other),
                    None => true,
                })
                .collect();
            let was_empty = hostnames.is_empty();
            let left: Vec<Hostname> = hostnames
                .into_iter()
                .filter(|hostname| !taken.iter().any(|other| hosts::covers(other, hostname)))
                .collect();
            if left.is_empty() && !was_empty {
                continue;
            }
            let but: Vec<Hostname> = taken
                .into_iter()
                .filter(|other| {
                    left.is_empty() || left.iter().any(|hostname| hosts::covers(hostname, other))
                })
                .cloned()
                .collect();
            let place = Place::Port {
                gateway: format!("{}/{}", self.namespace, self.name),
                port: listener.port,
            };
            found.push((place, Attachment { hosts: host_items(&left, &but) }));
        }
        found
    }
}

impl Listener {
    /// What it leaves of a route's hosts; none where it has none of them.
    fn hosts_of(&self, hostnames: &[Hostname]) -> Option<Vec<Hostname>> {
        let Some(own) = &self.hostname else { return Some(hostnames.to_vec()) };
        if hostnames.is_empty() {
            return Some(vec![own.clone()]);
        }
        let common: Vec<Hostname> =
            hostnames.iter().filter_map(|hostname| hosts::intersection(own, hostname)).collect();
        (!common.is_empty()).then_some(common)
    }
}

/// A route that names no listener of a Gateway is attached to those that others name.
pub(super) fn spread(places: &mut BTreeMap<Place, Vec<(usize, Attachment)>>) {
    let whole: Vec<(String, Vec<(usize, Attachment)>)> = places
        .iter()
        .filter_map(|(place, attachments)| match place {
            Place::Listener { gateway, section: None, port: None } => {
                Some((gateway.clone(), attachments.clone()))
            }
            _ => None,
        })
        .collect();
    for (name, everywhere) in whole {
        for (place, attachments) in places.iter_mut() {
            if let Place::Listener { gateway, section, port } = place
                && *gateway == name
                && (section.is_some() || port.is_some())
            {
                attachments.extend(everywhere.iter().cloned());
            }
        }
    }
}
