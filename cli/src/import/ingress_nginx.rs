//! ingress-nginx: Ingresses with canary annotations.
//!
//! A canary counts only where a main Ingress has the same host, path and path type. The order is the
//! controller's: the header decides, then the cookie, then the weight (`balancer.lua`). Whatever is not
//! sent to the canary stays with the main Ingress's service, which the plugin is to be bound to.

use super::draft::{Draft, Item, Otherwise, Rule, Upstream};
use super::kubernetes::{self, Backend, Metadata, is_bookkeeping};
use super::pattern::literal;
use super::reading::{Import, head};
use crate::source::{Entry, Node, Span};
use serde_json::{Value, json};
use std::cmp::Reverse;
use tse_route::config::{Location, Operator, quote};

const PREFIX: &str = "nginx.ingress.kubernetes.io/";

/// Annotations of a canary that are about the pods behind its service.
const OF_THE_UPSTREAM: &[&str] = &["load-balance", "upstream-hash-by", "session-cookie-name"];

/// Whether an Ingress is a canary.
pub(super) fn is_canary(ingress: &Node) -> bool {
    let annotation = ingress.dig(&["metadata", "annotations"]);
    let value = annotation.and_then(|annotations| annotations.text_of(&format!("{PREFIX}canary")));
    value.is_some_and(is_true)
}

/// As Go reads it.
fn is_true(value: &str) -> bool {
    matches!(value, "1" | "t" | "T" | "TRUE" | "true" | "True")
}

/// Imports all canary Ingresses as one plugin; none where there is none.
pub(super) fn import(ingresses: &[(usize, &Node)], import: &mut Import) -> Option<Draft> {
    let canaries = ingresses.iter().filter(|(_, ingress)| is_canary(ingress));
    let canaries: Vec<&(usize, &Node)> = canaries.collect();
    let Some((first_file, first)) = canaries.first() else {
        for (file, ingress) in ingresses {
            import.file = *file;
            check_annotations(ingress, import);
            import.told(ingress);
            import.warning(head(ingress), "an Ingress without canary annotations is left out");
        }
        return None;
    };
    let mut mains = Vec::new();
    for (file, ingress) in ingresses.iter().filter(|(_, ingress)| !is_canary(ingress)) {
        import.file = *file;
        mains.push(Main::read(ingress, import));
    }
    let mut places: Vec<(Place, Vec<Rule>)> = Vec::new();
    let mut names = Vec::new();
    let mut services: Vec<String> = Vec::new();
    for (file, ingress) in &canaries {
        import.file = *file;
        let metadata = kubernetes::manifest(ingress, import);
        names.push(metadata.label());
        let canary = Canary::read(ingress, import);
        for location in locations(ingress, metadata, import) {
            import.file = *file;
            let mut rules = canary.rules(&metadata.label(), &location.upstream);
            let place = Place::of(&location, &mains);
            let served = main_of(&location, &mains);
            for rule in &mut rules {
                rule.items.splice(0..0, place.items.iter().cloned());
                (rule.file, rule.span) = (*file, location.span.clone());
                rule.left_out = served.is_empty();
                rule.condition_is_known = true;
            }
            if served.is_empty() {
                let message = "no main Ingress in the input has this host, path and path type: \
                               there ingress-nginx answers 404, which cannot be carried over";
                import.lost(location.span.clone(), message);
            }
            if served.contains(&location.upstream) {
                let message = "the main Ingress has the same service here, and ingress-nginx \
                               ignores the canary: it is left out";
                import.warning(location.span.clone(), message);
                continue;
            }
            if places.iter().any(|(other, _)| *other == place) {
                import.error(location.span.clone(), "a second canary for the same host and path");
                continue;
            }
            if let Some(other) = canary.also_at(&served, &canaries, &mains) {
                let message = format!(
                    "ingress-nginx has this canary wherever the service {} is the main one, {other} \
                     too; here it is for this host and path only",
                    served.join(", ")
                );
                import.warning(location.span.clone(), message);
            }
            let hash = canary.affinity(&location, &mains, import);
            for rule in rules.iter_mut().filter(|rule| rule.upstreams.len() > 1) {
                rule.delivery.extend(hash.iter().cloned());
            }
            services.extend(
                served.into_iter().filter(|name| !services.contains(name)).collect::<Vec<_>>(),
            );
            places.push((place, rules));
        }
    }
    // The most specific host, then the longest path: as nginx picks its location.
    places.sort_by_key(|(place, _)| Reverse(place.rank));
    let metadata = Metadata::of(first);
    let mut description = format!("imported from Ingress {}", names.join(", "));
    if !services.is_empty() {
        description.push_str(&format!(", for {}", services.join(", ")));
    }
    Some(Draft {
        name: if canaries.len() == 1 { metadata.name.to_owned() } else { "canaries".to_owned() },
        namespace: metadata.given_namespace.map(str::to_owned),
        description,
        otherwise: match services.as_slice() {
            [only] => Otherwise::Upstream(only.clone()),
            _ => Otherwise::Own,
        },
        rules: places.into_iter().flat_map(|(_, rules)| rules).collect(),
        file: *first_file,
        span: head(first),
        ..Draft::default()
    })
}

/// The annotations of the controller, by their names without the prefix; others are nobody's here.
fn annotations<'n>(ingress: &'n Node, import: &mut Import) -> Vec<(&'n Entry, &'n str, &'n str)> {
    let Some(metadata) = import.object(ingress, "metadata") else { return Vec::new() };
    let mut found = Vec::new();
    for (entry, value) in import.pairs(metadata, "annotations") {
        match entry.key.strip_prefix(PREFIX) {
            Some(name) => found.push((entry, name, value)),
            None if is_bookkeeping(&entry.key) => {}
            None => {
                let message = format!("the annotation `{}` is not carried over", entry.key);
                import.warning(entry.key_span.clone(), message);
            }
        }
    }
    found
}

/// Says that annotations without `canary` do not count.
fn check_annotations(ingress: &Node, import: &mut Import) {
    for (entry, name, _) in annotations(ingress, import) {
        if name.starts_with("canary") {
            let message = format!("`{name}` does not count without `canary: \"true\"`");
            import.warning(entry.key_span.clone(), message);
        }
    }
}

/// An Ingress that is no canary.
struct Main {
    locations: Vec<Written>,
    affinity: Option<Affinity>,
    file: usize,
    /// Whether its hosts' paths are patterns.
    patterns: bool,
}

/// A cookie that keeps a client with a pod, and so with the canary or away from it.
#[derive(Default)]
struct Affinity {
    /// Where it is asked for; without this the rest does not count.
    span: Option<Span>,
    name: Option<String>,
    path: Option<String>,
    secure: bool,
    /// What the filter's cookie cannot be, and where it is said.
    lost: Vec<(Span, String)>,
}

impl Affinity {
    /// Reads one of its annotations; whether it is one.
    fn read(&mut self, entry: &Entry, name: &str, value: &str) -> bool {
        let given = Some(value.to_owned()).filter(|value| !value.is_empty());
        match name {
            // There is no other kind.
            "affinity" if value == "cookie" => self.span = Some(entry.key_span.clone()),
            "session-cookie-name" => self.name = given,
            "session-cookie-path" => self.path = given,
            "session-cookie-secure" => self.secure = is_true(value),
            "session-cookie-samesite" if value.eq_ignore_ascii_case("lax") || value.is_empty() => {}
            "session-cookie-samesite"
            | "session-cookie-conditional-samesite-none"
            | "session-cookie-expires"
            | "session-cookie-max-age"
            | "session-cookie-domain" => {
                let message = format!(
                    "the annotation `{name}` cannot be carried over: the cookie that the filter issues \
                     ends with the browser's session, is for one host and has `SameSite=Lax`"
                );
                self.lost.push((entry.key_span.clone(), message));
            }
            _ => return false,
        }
        true
    }

    fn hash(&self, location: &Written) -> Vec<(&'static str, Value)> {
        let mut hash = vec![
            ("hash_on", json!("cookie")),
            ("hash_on_cookie", json!(self.name.as_deref().unwrap_or("INGRESSCOOKIE"))),
        ];
        // Without a path of its own the cookie is for the location's.
        let path = self.path.as_ref().unwrap_or(&location.path);
        if path != "/" {
            hash.push(("hash_on_cookie_path", json!(path)));
        }
        if self.secure {
            hash.push(("hash_on_cookie_secure", json!(true)));
        }
        hash
    }
}

/// A host, a path and who serves it, as they are written.
struct Written {
    host: String,
    path: String,
    kind: String,
    upstream: String,
    span: Span,
}

impl Main {
    fn read(ingress: &Node, import: &mut Import) -> Self {
        let metadata = kubernetes::manifest(ingress, import);
        let mut main =
            Self { locations: Vec::new(), affinity: None, file: import.file, patterns: false };
        let mut affinity = Affinity::default();
        for (entry, name, value) in annotations(ingress, import) {
            match name {
                "use-regex" => main.patterns |= is_true(value),
                _ if affinity.read(entry, name, value) => {}
                _ if name.starts_with("canary") => {
                    let message = format!("`{name}` does not count without `canary: \"true\"`");
                    import.warning(entry.key_span.clone(), message);
                }
                _ => {
                    // It makes patterns of all paths, too.
                    main.patterns |= name == "rewrite-target" && !value.is_empty();
                    let message = format!(
                        "the annotation `{name}` of the main Ingress is not carried over: it stays \
                         with the service"
                    );
                    import.warning(entry.key_span.clone(), message);
                }
            }
        }
        main.affinity = affinity.span.is_some().then_some(affinity);
        main.locations = locations(ingress, metadata, import);
        main
    }
}

/// The services of the main Ingresses at the place of a canary.
fn main_of(location: &Written, mains: &[Main]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for other in mains.iter().flat_map(|main| &main.locations) {
        let is_same = match location.kind.as_str() {
            // A canary for everything that is nowhere else.
            "" => other.host.is_empty(),
            kind => {
                other.host == location.host && other.path == location.path && other.kind == kind
            }
        };
        if is_same && !found.contains(&other.upstream) {
            found.push(other.upstream.clone());
        }
    }
    found
}

/// A condition on host and path, and its place in the order.
#[derive(PartialEq)]
struct Place {
    rank: (u8, usize, u8, usize),
    items: Vec<Item>,
}

impl Place {
    fn of(location: &Written, mains: &[Main]) -> Self {
        let same_host =
            |other: &&Main| other.locations.iter().any(|other| other.host == location.host);
        // One Ingress with patterns makes patterns of all paths of its host.
        let patterns = mains.iter().filter(same_host).any(|main| main.patterns);
        let (host_rank, mut items) = host(&location.host);
        if location.host.is_empty() {
            // Hosts that are named somewhere have servers of their own.
            let mut named: Vec<&str> =
                mains.iter().flat_map(|main| &main.locations).map(|l| l.host.as_str()).collect();
            named.sort_unstable();
            named.dedup();
            for other in named.into_iter().filter(|other| !other.is_empty()) {
                items.extend(host(other).1.into_iter().map(|item| Item {
                    operator: match item.operator {
                        Operator::Regex => Operator::NotRegex,
                        _ => Operator::Ne,
                    },
                    ..item
                }));
            }
        }
        let (path_rank, item) = path_item(location, patterns);
        items.extend(item);
        Self { rank: (host_rank.0, host_rank.1, path_rank.0, path_rank.1), items }
    }
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
    /// Whether the session affinity of the main Ingress is to be ignored.
    legacy: bool,
}

impl Canary {
    fn read(ingress: &Node, import: &mut Import) -> Self {
        let mut canary = Self { total: 100, ..Self::default() };
        for (entry, name, value) in annotations(ingress, import) {
            let given = Some(value.to_owned()).filter(|value| !value.is_empty());
            let mut number = |otherwise: u64| match value.parse::<i64>() {
                Ok(number) => u64::try_from(number).unwrap_or(0),
                Err(_) if value.is_empty() => otherwise,
                Err(_) => {
                    import.error(entry.value.span.clone(), "accepted is a whole number");
                    otherwise
                }
            };
            match name {
                "canary" => {}
                "canary-by-header" => canary.header = given,
                "canary-by-header-value" => canary.header_value = given,
                "canary-by-header-pattern" => canary.header_pattern = given,
                "canary-by-cookie" => canary.cookie = given,
                "canary-weight" => canary.weight = number(0),
                // Smaller totals than 100 count as 100.
                "canary-weight-total" => canary.total = number(100).max(100),
                "affinity-canary-behavior" => canary.legacy = value == "legacy",
                _ if OF_THE_UPSTREAM.contains(&name) || name.starts_with("affinity") => {
                    let message = format!(
                        "the annotation `{name}` is not carried over: it is for the pods behind the \
                         service, and the Upstream's matter"
                    );
                    import.warning(entry.key_span.clone(), message);
                }
                other => {
                    let message = format!(
                        "ingress-nginx ignores the annotation `{other}` on a canary, and so does the \
                         import"
                    );
                    import.warning(entry.key_span.clone(), message);
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

    /// Another place of the same main services, which has no canary of its own.
    fn also_at(
        &self,
        services: &[String],
        canaries: &[&(usize, &Node)],
        mains: &[Main],
    ) -> Option<String> {
        let has_canary = |location: &Written| {
            canaries.iter().any(|(_, ingress)| {
                let rules = ingress.dig(&["spec", "rules"]).map(Node::elements).unwrap_or_default();
                rules.iter().any(|rule| {
                    let host = rule.text_of("host").unwrap_or_default();
                    let paths =
                        rule.dig(&["http", "paths"]).map(Node::elements).unwrap_or_default();
                    host.eq_ignore_ascii_case(&location.host)
                        && paths
                            .iter()
                            .any(|path| path.text_of("path").unwrap_or("/") == location.path)
                })
            })
        };
        let others = mains.iter().flat_map(|main| &main.locations);
        others
            .filter(|location| services.contains(&location.upstream) && !has_canary(location))
            .map(|location| format!("at {}{}", location.host, location.path))
            .next()
    }

    /// What a main Ingress's session affinity becomes: what the canary's weight goes by.
    fn affinity(
        &self,
        location: &Written,
        mains: &[Main],
        import: &mut Import,
    ) -> Vec<(&'static str, Value)> {
        let at = |main: &&Main| main.locations.iter().any(|other| other.host == location.host);
        let mut hash = Vec::new();
        for main in mains.iter().filter(at) {
            let Some(affinity) = &main.affinity else { continue };
            let span = affinity.span.clone().unwrap_or_default();
            let file = std::mem::replace(&mut import.file, main.file);
            if self.legacy {
                let message = "the annotation `affinity` of the main Ingress is not carried over: it \
                               is for the pods behind the service, and the Upstream's matter";
                import.warning(span, message);
            } else {
                hash = affinity.hash(location);
                for (span, message) in &affinity.lost {
                    import.lost(span.clone(), message.clone());
                }
                if self.header.is_some() || self.cookie.is_some() {
                    let message = "the annotation `affinity` keeps a client with the canary or away from \
                                   it, before any header or cookie of the canary, which cannot be carried \
                                   over; with `affinity-canary-behavior: legacy` on the canary it does not \
                                   count";
                    import.lost(span, message);
                } else {
                    let message = "the annotation `affinity` becomes `hash_on: cookie`: ingress-nginx keeps \
                                   a client where it was first; here those move whose share moves when \
                                   weights change, and which pod a client gets is the Upstream's matter";
                    import.warning(span, message);
                }
            }
            import.file = file;
        }
        hash
    }

    /// The rules of one place, the one that decides first first.
    fn rules(&self, name: &str, upstream: &str) -> Vec<Rule> {
        let canary = || vec![Upstream::new(Some(upstream.to_owned()), 100)];
        let own = || vec![Upstream::new(None, 100)];
        let mut rules = Vec::new();
        let mut rule = |label: &str, item: Option<Item>, upstreams: Vec<Upstream>| {
            rules.push(Rule {
                name: Some(format!("{name} {label}")),
                items: item.into_iter().collect(),
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
            // nginx reads `$cookie_<name>` with the name in any case, and leaves quotes in the value.
            let item = |value: &str| {
                let name = literal(cookie);
                let pattern = format!("(?:^|[;,] *)(?i:{name}) *= *{value}(?:;|$)");
                Some(Item::new(Location::Header, "cookie", Operator::Regex, &pattern))
            };
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
fn locations(ingress: &Node, metadata: Metadata, import: &mut Import) -> Vec<Written> {
    let mut found = Vec::new();
    let Some(spec) = import.object(ingress, "spec") else { return found };
    import.skip(spec, &["ingressClassName", "tls"]);
    for rule in import.objects(spec, "rules") {
        let host = import.text(rule, "host").unwrap_or_default().to_ascii_lowercase();
        let Some(http) = import.object(rule, "http") else { continue };
        for path in import.objects(http, "paths") {
            let written = import.text(path, "path").unwrap_or("/").to_owned();
            let kind = import.text(path, "pathType").unwrap_or("ImplementationSpecific").to_owned();
            let backend = import.object(path, "backend");
            import.done(path, "a path");
            let Some(backend) = backend else { continue };
            let Some(upstream) = upstream(backend, metadata.namespace, import) else { continue };
            let span = head(path);
            found.push(Written { host: host.clone(), path: written, kind, upstream, span });
        }
        import.done(http, "a rule");
        import.done(rule, "a rule");
    }
    if let Some(backend) = import.object(spec, "defaultBackend")
        && let Some(upstream) = upstream(backend, metadata.namespace, import)
    {
        let (host, path, kind) = (String::new(), "/".to_owned(), String::new());
        found.push(Written { host, path, kind, upstream, span: head(backend) });
    }
    import.done(spec, "an Ingress");
    found
}

fn host(host: &str) -> ((u8, usize), Vec<Item>) {
    let item = |operator, value: &str| vec![Item::new(Location::System, "domain", operator, value)];
    match host.strip_prefix("*.") {
        _ if host.is_empty() => ((0, 0), Vec::new()),
        None => ((2, 0), item(Operator::Eq, host)),
        Some(rest) => {
            // ingress-nginx's wildcard stands for one label.
            let pattern = format!("^[0-9a-z_-]+\\.{}$", literal(rest));
            ((1, host.len()), item(Operator::Regex, &pattern))
        }
    }
}

fn path_item(location: &Written, patterns: bool) -> ((u8, usize), Option<Item>) {
    let value = location.path.as_str();
    let length = value.len();
    let item = |operator, value: &str| Some(Item::new(Location::Path, "", operator, value));
    match location.kind.as_str() {
        "" => ((0, 0), None),
        // nginx's patterns count from the start, in any case, and make patterns of exact paths too.
        _ if patterns => ((1, length), item(Operator::Regex, &format!("(?i)^{value}"))),
        "Exact" => ((2, length), item(Operator::Eq, value)),
        _ if value == "/" => ((1, length), None),
        "Prefix" => ((1, length), item(Operator::PathPrefix, value)),
        _ => ((1, length), item(Operator::Prefix, value)),
    }
}

fn upstream(backend: &Node, namespace: &str, import: &mut Import) -> Option<String> {
    let Some(service) = import.object(backend, "service") else {
        import.told(backend);
        import
            .lost(head(backend), "a backend that is no service with a port cannot be carried over");
        return None;
    };
    let name = import.text(service, "name");
    let port = import.object(service, "port").and_then(|port| {
        let number = import.text_or_number(port, "number");
        let name = import.text_or_number(port, "name");
        import.done(port, "a port");
        number.or(name)
    });
    import.done(service, "a service");
    import.done(backend, "a backend");
    let (Some(service_name), Some(port)) = (name, port) else {
        let message = format!("the backend {} has no port", quote(name.unwrap_or_default()));
        import.error(head(backend), message);
        return None;
    };
    let named = Backend { service: service_name, namespace, port: Some(port), subset: None };
    named.upstream(backend, import)
}
