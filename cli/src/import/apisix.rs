//! APISIX: its `traffic-split` plugin, in routes of the Admin API, of `apisix.yaml` and of the Ingress
//! controller's resources, and the weights of ApisixRoute's own backends.

mod routes;

use super::Endpoint;
use super::draft::{Draft, Item, Otherwise, Rule, Upstream};
use super::expression::{self, Alternatives};
use super::kubernetes::{self, Metadata};
use super::reading::{Import, head};
use crate::source::{Entry, Node};
use serde_json::Value;
use tse_route::config::quote;

const NAME: &str = "traffic-split";

/// Whether a document has the plugin somewhere.
pub(super) fn is_there(document: &Node) -> bool {
    let mut found = document.get(NAME).is_some() || is_config(document);
    document.walk(&mut |node| {
        found |= node.get("plugins").is_some_and(|plugins| plugins.get(NAME).is_some());
    });
    found
}

/// Whether a document is the plugin's configuration itself.
fn is_config(document: &Node) -> bool {
    document.list("rules").iter().any(|rule| rule.get("weighted_upstreams").is_some())
}

/// The plugins of a manifest of the Ingress controller.
pub(super) fn of_manifest(document: &Node, import: &mut Import) -> Vec<Draft> {
    let metadata = kubernetes::manifest(document, import);
    kubernetes::annotations(document, import);
    let Some(spec) = import.object(document, "spec") else {
        import.error(head(document), "a manifest without `spec`");
        return Vec::new();
    };
    import.skip(spec, &["ingressClassName"]);
    let kind = document.text_of("kind").unwrap_or_default();
    let drafts = if kind == "ApisixRoute" {
        routes::import(spec, metadata, import).into_iter().collect()
    } else {
        let plugins = listed(spec, import);
        let made = plugins.into_iter().filter_map(|config| {
            let draft = of_config(config, metadata.name, import)?;
            Some(Draft { namespace: metadata.given_namespace.map(str::to_owned), ..draft })
        });
        made.collect()
    };
    import.done(spec, &format!("the {kind}"));
    drafts
}

/// The configurations of the plugin in a list of plugins; the others are named.
fn listed<'n>(owner: &'n Node, import: &mut Import) -> Vec<&'n Node> {
    let mut found = Vec::new();
    for plugin in import.objects(owner, "plugins") {
        let name = import.text(plugin, "name").unwrap_or_default();
        if name != NAME {
            import.told(plugin);
            let message = format!("the plugin {name} is not carried over");
            import.warning(head(plugin), message);
            continue;
        }
        if import.flag(plugin, "enable") == Some(false) {
            import.told(plugin);
            import.warning(head(plugin), "a disabled plugin is left out");
            continue;
        }
        let config = import.object(plugin, "config");
        import.done(plugin, "the plugin");
        match config {
            Some(config) => found.push(config),
            None => import.error(head(plugin), "a `traffic-split` plugin without `config`"),
        }
    }
    found
}

/// Finds the plugins of a document that is no manifest.
pub(super) fn find(document: &Node, import: &mut Import) -> Vec<Draft> {
    // The plugin alone.
    if let Some(config) = import.object(document, NAME) {
        import.done(document, "the plugins");
        return of_config(config, NAME, import).into_iter().collect();
    }
    if is_config(document) {
        return of_config(document, NAME, import).into_iter().collect();
    }
    let mut owners: Vec<&Node> = Vec::new();
    document.walk(&mut |node| {
        if node.get("plugins").is_some_and(|plugins| plugins.get(NAME).is_some()) {
            owners.push(node);
        }
    });
    let mut drafts = Vec::new();
    for owner in &owners {
        // A route of APISIX that is switched off.
        let is_off =
            owner.get("status").and_then(Node::scalar).is_some_and(|s| s.as_u64() == Some(0));
        if is_off {
            import.told(owner);
            import.warning(head(owner), "a disabled route is left out");
            continue;
        }
        let label = label(owner);
        if let Some(config) = owner.dig(&["plugins", NAME]) {
            drafts.extend(of_config(config, &label, import));
        }
        let others: Vec<&str> = owner
            .entries()
            .iter()
            .map(|entry| entry.key.as_str())
            .filter(|field| !matches!(*field, "plugins" | "name" | "id" | "status" | "desc"))
            .collect();
        if !others.is_empty() {
            let message = format!(
                "of {label} only `traffic-split` is carried over, not {}: bind what comes of it to a \
                 route that has them",
                others.join(", ")
            );
            import.warning(head(owner), message);
        }
        import.told(owner);
    }
    if let Some(owner) = owners.first()
        && !std::ptr::eq(*owner, document)
    {
        let message = "of this file only `traffic-split` is carried over, and nothing else";
        import.warning(head(document), message);
        import.told(document);
    }
    drafts
}

/// How a route or service is called.
fn label(owner: &Node) -> String {
    let named = ["name", "id", "uri"].into_iter().find_map(|field| {
        owner.get(field)?.scalar().map(|value| match value.as_str() {
            Some(text) => text.to_owned(),
            None => value.to_string(),
        })
    });
    named.unwrap_or_else(|| NAME.to_owned())
}

/// A plugin's configuration; none where it is disabled.
fn of_config(config: &Node, label: &str, import: &mut Import) -> Option<Draft> {
    let rules = rules(config, label, &[Vec::new()], &Upstream::new(None, 1), import)?;
    Some(Draft {
        name: label.to_owned(),
        description: format!("imported from APISIX's traffic-split of {label}"),
        rules,
        otherwise: Otherwise::Own,
        file: import.file,
        span: head(config),
        ..Draft::default()
    })
}

/// The rules of a plugin's configuration for the requests of a route; `own` is where the route itself
/// sends to.
fn rules(
    config: &Node,
    label: &str,
    route: &[Vec<Item>],
    own: &Upstream,
    import: &mut Import,
) -> Option<Vec<Rule>> {
    if let Some(meta) = import.object(config, "_meta") {
        let is_off = import.flag(meta, "disable") == Some(true);
        import.done(meta, "`_meta`");
        if is_off {
            import.told(config);
            import.warning(head(config), "a disabled plugin is left out");
            return None;
        }
    }
    let mut rules = Vec::new();
    for (index, rule) in import.objects(config, "rules").into_iter().enumerate() {
        rules.extend(rules_of(rule, label, index, route, own, import));
    }
    import.done(config, "the plugin");
    Some(rules)
}

/// One rule of the plugin as rules of the filter: one for each alternative.
fn rules_of(
    rule: &Node,
    label: &str,
    index: usize,
    route: &[Vec<Item>],
    own: &Upstream,
    import: &mut Import,
) -> Vec<Rule> {
    let (alternatives, mut left_out) = conditions(rule, index, import);
    let upstreams = upstreams(rule, label, index, own, import);
    left_out |= !import.done(rule, "a rule");
    let upstreams = match upstreams {
        Some(upstreams) => upstreams,
        None => {
            left_out = true;
            Vec::new()
        }
    };
    let make = |items: Vec<Item>, any: bool| Rule {
        name: Some(format!("{label}/{index}")),
        items,
        any,
        upstreams: upstreams.clone(),
        left_out,
        file: import.file,
        span: head(rule),
        ..Rule::default()
    };
    if left_out {
        return vec![make(Vec::new(), false)];
    }
    let is_everywhere = route.iter().all(Vec::is_empty);
    if is_everywhere && alternatives.len() > 1 && alternatives.iter().all(|items| items.len() == 1)
    {
        return vec![make(alternatives.concat(), true)];
    }
    let all = expression::all_of(&[route.to_vec(), alternatives]);
    all.into_iter().map(|items| make(items, false)).collect()
}

/// What a rule asks for, and whether something of it cannot be carried over.
fn conditions(rule: &Node, index: usize, import: &mut Import) -> (Alternatives, bool) {
    if import.field(rule, "match").is_none() {
        return (vec![Vec::new()], false);
    }
    let listed = import.objects(rule, "match");
    if listed.is_empty() {
        // The plugin's loop keeps what the rule before has found: nothing, or it would have decided.
        let message = if index == 0 {
            "an empty `match` of the first rule is always true"
        } else {
            "an empty `match` behind another rule is never true"
        };
        import.warning(head(rule), message);
        return (if index == 0 { vec![Vec::new()] } else { Vec::new() }, false);
    }
    let mut alternatives: Alternatives = Vec::new();
    let mut left_out = false;
    for condition in listed {
        match import.field(condition, "vars") {
            Some(vars) => match expression::alternatives(vars, import) {
                Some(more) => alternatives.extend(more),
                // It has been named; under `--lossy` the other alternatives go on without it.
                None => left_out |= !import.options.lossy,
            },
            None => import.error(head(condition), "a match needs `vars`"),
        }
        left_out |= !import.done(condition, "a match");
    }
    (alternatives, left_out)
}

fn upstreams(
    rule: &Node,
    label: &str,
    at: usize,
    own: &Upstream,
    import: &mut Import,
) -> Option<Vec<Upstream>> {
    let listed = import.objects(rule, "weighted_upstreams");
    if listed.is_empty() {
        // The route's own.
        return Some(vec![Upstream { weight: Some(Value::from(1)), ..own.clone() }]);
    }
    let mut upstreams: Vec<Upstream> = Vec::new();
    let mut sound = true;
    for (index, node) in listed.into_iter().enumerate() {
        let weight = match node.get("weight").filter(|weight| !weight.is_null()) {
            None => Some(1),
            Some(_) => import.whole(node, "weight", u64::from(u32::MAX)),
        };
        let id = import.text_or_number(node, "upstream_id").map(|id| kong_name(id, node, import));
        let inline = import.entry(node, "upstream");
        sound &= import.done(node, "an upstream");
        let is_inline = id.is_none() && inline.is_some();
        let name = match (id, inline) {
            (Some(id), inline) => {
                if let Some(entry) = inline {
                    import.told(&entry.value);
                    let message = "`upstream` does not count beside `upstream_id`";
                    import.warning(entry.key_span.clone(), message);
                }
                Some(id)
            }
            (None, Some(entry)) => Some(written_in_place(entry, label, (at, index), import)),
            (None, None) => own.name.clone(),
        };
        let Some(weight) = weight else { continue };
        let next = Upstream::new(name, weight);
        // The plugin keeps upstreams by their id: of two with one id the last counts.
        match upstreams.iter_mut().find(|other| !is_inline && other.name == next.name) {
            Some(same) => {
                import
                    .warning(head(node), "an upstream that is there twice: the last weight counts");
                *same = next;
            }
            None => upstreams.push(next),
        }
    }
    let total: u64 =
        upstreams.iter().filter_map(|upstream| upstream.weight.as_ref()?.as_u64()).sum();
    if total == 0 && !upstreams.is_empty() {
        import.error(head(rule), "all weights are 0: there is nobody to send a request to");
        return None;
    }
    (sound && !upstreams.is_empty()).then_some(upstreams)
}

/// What an upstream of this id can be called in Kong, whose names are those of hosts.
fn kong_name(id: String, at: &Node, import: &mut Import) -> String {
    if !id.bytes().all(|byte| byte.is_ascii_digit()) {
        return id;
    }
    let name = format!("upstream-{id}");
    let message = format!("Kong takes no number for a name: the Upstream {id} is called {name}");
    import.warning(head(at), message);
    name
}

/// The name of an upstream that is written where it is used; its nodes are kept for the forms that have
/// room for them.
fn written_in_place(
    entry: &Entry,
    label: &str,
    (rule, index): (usize, usize),
    import: &mut Import,
) -> String {
    let upstream = &entry.value;
    let name = import.text(upstream, "name").map(str::to_owned);
    let given = import.options.name.as_ref().map(|given| format!("{given}-{rule}-{index}"));
    let otherwise = format!("{label}-{rule}-{index}");
    let is_named = name.is_some() || given.is_some();
    let name = name.or(given).unwrap_or_else(|| otherwise.clone());
    if !is_named {
        let message = format!(
            "an upstream without a name cannot be carried over; accepted is `--name`, after which it \
             is called; with --lossy it is called {otherwise}"
        );
        import.lost(entry.key_span.clone(), message);
    }
    let endpoints = nodes(upstream, import);
    let mut others: Vec<&str> = upstream
        .entries()
        .iter()
        .map(|entry| entry.key.as_str())
        .filter(|field| !matches!(*field, "name" | "nodes"))
        .collect();
    // The default of both.
    others.retain(|field| *field != "type" || upstream.text_of("type") != Some("roundrobin"));
    import.told(upstream);
    let mut message = format!("an Upstream with the name {name} must be in Kong");
    if !endpoints.is_empty() {
        message.push_str("; its nodes are written by `--format kong`");
    }
    if !others.is_empty() {
        message.push_str(&format!("; its {} must be set there", others.join(", ")));
    }
    import.warning(entry.key_span.clone(), message);
    if !endpoints.is_empty() {
        let before = import.endpoints.insert(name.clone(), endpoints.clone());
        if before.is_some_and(|before| before != endpoints) {
            let message = format!("a second upstream of the name {name}, with other nodes");
            import.error(entry.key_span.clone(), message);
        }
    }
    name
}

/// The nodes of an upstream: addresses with weights, or a list of objects.
fn nodes(upstream: &Node, import: &mut Import) -> Vec<Endpoint> {
    let Some(nodes) = import.field(upstream, "nodes") else { return Vec::new() };
    let mut found = Vec::new();
    for entry in nodes.entries() {
        let (host, port) = match entry.key.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok()),
            None => (entry.key.as_str(), Some(80)),
        };
        let weight = entry.value.scalar().and_then(Value::as_u64);
        match (port, weight) {
            (Some(port), Some(_)) => found.push(Endpoint { host: host.to_owned(), port, weight }),
            _ => {
                let message = format!(
                    "found the node {}; accepted is an address with a weight",
                    quote(&entry.key)
                );
                import.error(entry.key_span.clone(), message);
            }
        }
    }
    for node in nodes.elements() {
        let host = node.text_of("host").map(str::to_owned);
        let number = |field| node.get(field).and_then(Node::scalar).and_then(Value::as_u64);
        let port = number("port").unwrap_or(80);
        match (host, u16::try_from(port)) {
            (Some(host), Ok(port)) => {
                found.push(Endpoint { host, port, weight: number("weight") });
            }
            _ => import.error(head(node), "accepted is a node with `host`, `port` and `weight`"),
        }
    }
    found
}
