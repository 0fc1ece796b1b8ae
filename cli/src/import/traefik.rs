//! Traefik: TraefikService, weighted or by the client's address.

use super::draft::{Draft, Rule, Upstream};
use super::kubernetes::{self, Backend, Metadata};
use super::reading::{Import, head};
use crate::source::{Node, Span};
use serde_json::{Value, json};

/// How deep TraefikServices may name each other.
const DEEPEST: usize = 8;

/// Imports all TraefikServices that no other one names: each becomes a plugin.
pub(super) fn import(services: &[(usize, &Node)], import: &mut Import) -> Vec<Draft> {
    let mut read = Vec::new();
    for (file, node) in services {
        import.file = *file;
        read.push(Service::read(node, *file, import));
    }
    let mut drafts = Vec::new();
    for service in &read {
        let is_inner = read.iter().any(|other| {
            other.members.iter().any(|member| {
                member.is_traefik
                    && member.name == service.metadata.name
                    && member.namespace == service.metadata.namespace
            })
        });
        if is_inner && !service.members.is_empty() {
            continue;
        }
        import.file = service.file;
        let Some(upstreams) = service.upstreams(&read, 0, import) else { continue };
        let label = service.metadata.label();
        drafts.push(Draft {
            name: service.metadata.name.to_owned(),
            namespace: service.metadata.given_namespace.map(str::to_owned),
            description: format!("imported from TraefikService {label}"),
            names_of_an_ingress: true,
            rules: vec![Rule {
                name: Some(label),
                upstreams,
                delivery: service.delivery.clone(),
                file: service.file,
                span: service.span.clone(),
                ..Rule::default()
            }],
            file: service.file,
            span: service.span.clone(),
            ..Draft::default()
        });
    }
    drafts
}

struct Service<'n> {
    node: &'n Node,
    file: usize,
    span: Span,
    metadata: Metadata<'n>,
    members: Vec<Member<'n>>,
    delivery: Vec<(&'static str, Value)>,
}

/// One of its services.
struct Member<'n> {
    node: &'n Node,
    is_traefik: bool,
    name: &'n str,
    namespace: &'n str,
    port: Option<String>,
    weight: u64,
}

impl<'n> Service<'n> {
    fn read(node: &'n Node, file: usize, import: &mut Import) -> Self {
        let metadata = kubernetes::manifest(node, import);
        kubernetes::annotations(node, import);
        let mut service = Self {
            node,
            file,
            span: head(node),
            metadata,
            members: Vec::new(),
            delivery: Vec::new(),
        };
        let Some(spec) = import.object(node, "spec") else {
            import.error(head(node), "a TraefikService without `spec`");
            return service;
        };
        if let Some(weighted) = import.object(spec, "weighted") {
            service.members(weighted, import);
            if let Some(sticky) = import.object(weighted, "sticky") {
                service.sticky(sticky, import);
            }
            import.done(weighted, "a weighted service");
        }
        // A hash of the client's address that moves as few clients as can be.
        if let Some(highest) = import.object(spec, "highestRandomWeight") {
            service.members(highest, import);
            service.delivery.push(("hash_on", json!("ip")));
            import.done(highest, "a service by highest random weight");
        }
        import.done(spec, "a TraefikService");
        service
    }

    fn members(&mut self, owner: &'n Node, import: &mut Import) {
        for node in import.objects(owner, "services") {
            let kind = import.text(node, "kind").unwrap_or("Service");
            let name = import.text(node, "name");
            let namespace = import.text(node, "namespace").unwrap_or(self.metadata.namespace);
            let port = import.text_or_number(node, "port");
            let weight = match node.get("weight").filter(|weight| !weight.is_null()) {
                Some(_) => import.whole(node, "weight", u64::from(u32::MAX)),
                None => Some(1),
            };
            import.done(node, "a service");
            let (Some(name), Some(weight)) = (name, weight) else {
                import.error(head(node), "a service needs `name`");
                continue;
            };
            let is_traefik = kind == "TraefikService";
            self.members.push(Member { node, is_traefik, name, namespace, port, weight });
        }
    }

    /// A cookie that keeps a client with a service.
    fn sticky(&mut self, sticky: &Node, import: &mut Import) {
        if let Some(cookie) = import.object(sticky, "cookie") {
            self.delivery.push(("hash_on", json!("cookie")));
            match import.text(cookie, "name") {
                Some(name) => self.delivery.push(("hash_on_cookie", json!(name))),
                None => {
                    let message = "the cookie's name is made by Traefik; accepted is `name`";
                    import.error(head(sticky), message);
                }
            }
            if let Some(path) = import.text(cookie, "path") {
                self.delivery.push(("hash_on_cookie_path", json!(path)));
            }
            // As the filter's cookies are.
            for (field, usual) in [("httpOnly", true), ("secure", false)] {
                if let Some(value) = import.flag(cookie, field)
                    && value != usual
                {
                    let message =
                        format!("`{field}: {value}` of the cookie cannot be carried over");
                    import.lost(head(cookie), message);
                }
            }
            if let Some(entry) = import.entry(cookie, "sameSite") {
                let is_lax =
                    entry.value.text().is_some_and(|text| text.eq_ignore_ascii_case("lax"));
                if !is_lax {
                    import.lost(
                        entry.key_span.clone(),
                        "another `sameSite` than `lax` cannot be carried over",
                    );
                }
            }
            import.done(cookie, "the cookie");
        }
        import.done(sticky, "`sticky`");
    }

    /// The upstreams, those of inner services with their part of the weight; none where one cannot be
    /// named.
    fn upstreams(
        &self,
        all: &[Service],
        depth: usize,
        import: &mut Import,
    ) -> Option<Vec<Upstream>> {
        if self.members.is_empty() || depth > DEEPEST {
            import.lost(
                head(self.node),
                "a TraefikService that gives no weights to services cannot be carried over",
            );
            return None;
        }
        let mut parts: Vec<(u64, Vec<Upstream>)> = Vec::new();
        for member in &self.members {
            let inner = if member.is_traefik {
                let found = all.iter().find(|service| {
                    service.metadata.name == member.name
                        && service.metadata.namespace == member.namespace
                });
                let Some(found) = found else {
                    let message = format!(
                        "the TraefikService {}/{} is not in the input",
                        member.namespace, member.name
                    );
                    import.error(head(member.node), message);
                    return None;
                };
                if !found.delivery.is_empty() {
                    let message =
                        "stickiness inside of another TraefikService cannot be carried over";
                    import.lost(head(member.node), message);
                }
                found.upstreams(all, depth + 1, import)?
            } else {
                let backend = Backend {
                    service: member.name,
                    namespace: member.namespace,
                    port: member.port.clone(),
                    subset: None,
                };
                vec![Upstream::new(Some(backend.upstream(member.node, import)?), 1)]
            };
            parts.push((member.weight, inner));
        }
        // Of parts with totals of their own: everything over a common denominator.
        let total = |part: &[Upstream]| -> u64 {
            part.iter().filter_map(|u| u.weight.as_ref()?.as_u64()).sum::<u64>().max(1)
        };
        let common = parts.iter().map(|(_, part)| total(part)).try_fold(1_u64, lcm);
        let mut upstreams = Vec::new();
        for (weight, part) in parts {
            let of = total(&part);
            for upstream in part {
                let share = common.and_then(|common| {
                    let inner = upstream.weight.as_ref()?.as_u64()?;
                    weight.checked_mul(common / of)?.checked_mul(inner)
                });
                let Some(share) = share.filter(|share| *share < 1_000_000_000) else {
                    import
                        .error(self.span.clone(), "the weights are too large when multiplied out");
                    return None;
                };
                upstreams.push(Upstream { weight: Some(Value::from(share)), ..upstream });
            }
        }
        let sum: u64 = upstreams.iter().filter_map(|u| u.weight.as_ref()?.as_u64()).sum();
        if sum == 0 {
            import.error(
                self.span.clone(),
                "all weights are 0: there is nobody to send a request to",
            );
            return None;
        }
        Some(upstreams)
    }
}

/// The least common multiple, as long as there is one that fits.
fn lcm(one: u64, other: u64) -> Option<u64> {
    let (mut a, mut b) = (one, other);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    (one / a.max(1)).checked_mul(other).filter(|multiple| *multiple < 1_000_000_000)
}
