//! APISIX's `traffic-split` plugin, in routes of the Admin API, of `apisix.yaml` and of ApisixRoute.

use super::draft::{Item, Plugin, Rule, Upstream};
use super::expression::{self, Alternatives};
use super::{Import, head};
use crate::source::{Entry, Node};
use serde_json::Value;

const NAME: &str = "traffic-split";

/// Finds the plugins of a document.
pub(super) fn find(document: &Node, import: &mut Import) -> Vec<Plugin> {
    let mut found: Vec<(String, &Node)> = Vec::new();
    let label = |owner: &Node| {
        let named = ["name", "id", "uri"].into_iter().find_map(|field| {
            owner.get(field)?.scalar().map(|value| match value.as_str() {
                Some(text) => text.to_owned(),
                None => value.to_string(),
            })
        });
        named.unwrap_or_else(|| NAME.to_owned())
    };
    document.walk(&mut |node| {
        if let Some(config) = node.get("plugins").and_then(|plugins| plugins.get(NAME)) {
            found.push((label(node), config));
        }
        // In ApisixRoute plugins are a list.
        for plugin in node.list("plugins") {
            let enabled = plugin.get("enable").and_then(Node::scalar).and_then(Value::as_bool);
            if plugin.text_of("name") == Some(NAME)
                && enabled != Some(false)
                && let Some(config) = plugin.get("config")
            {
                found.push((label(node), config));
            }
        }
    });
    // The plugin alone.
    if let Some(config) = document.get(NAME) {
        found.push((NAME.to_owned(), config));
    }
    let is_config =
        document.list("rules").iter().any(|rule| rule.get("weighted_upstreams").is_some());
    if is_config && found.is_empty() {
        found.push((NAME.to_owned(), document));
    }
    let plugins = found.into_iter().filter_map(|(label, config)| {
        if config.dig(&["_meta", "disable"]).and_then(Node::scalar) == Some(&Value::Bool(true)) {
            import.warning(head(config), "a disabled plugin is left out");
            return None;
        }
        import.only(config, &["rules", "_meta"], "the plugin");
        if let Some(meta) = config.get("_meta") {
            import.only(meta, &["disable"], "`_meta`");
        }
        let rules = config.list("rules").iter().enumerate();
        let rules = rules.flat_map(|(index, rule)| rules_of(rule, &label, index, import)).collect();
        Some(Plugin {
            name: label.clone(),
            namespace: None,
            description: format!("imported from APISIX's traffic-split of {label}"),
            rules,
            file: import.file,
            span: head(config),
        })
    });
    plugins.collect()
}

/// One rule of the plugin as rules of the filter: one for each alternative.
fn rules_of(rule: &Node, label: &str, index: usize, import: &mut Import) -> Vec<Rule> {
    import.only(rule, &["match", "weighted_upstreams"], "a rule");
    let mut alternatives: Alternatives = Vec::new();
    for condition in rule.list("match") {
        import.only(condition, &["vars"], "a match");
        match condition.get("vars") {
            Some(vars) => match expression::alternatives(vars, import) {
                Some(more) => alternatives.extend(more),
                // It has been named; the other alternatives go on without it.
                None => continue,
            },
            None => alternatives.push(Vec::new()),
        }
    }
    if rule.list("match").is_empty() {
        alternatives.push(Vec::new());
    }
    let Some(upstreams) = upstreams(rule, label, import) else { return Vec::new() };
    let make = |items: Vec<Item>, any: bool| Rule {
        name: Some(format!("{label}/{index}")),
        items,
        any,
        upstreams: upstreams.clone(),
        file: import.file,
        span: head(rule),
        ..Rule::default()
    };
    if alternatives.len() > 1 && alternatives.iter().all(|items| items.len() == 1) {
        return vec![make(alternatives.concat(), true)];
    }
    alternatives.into_iter().map(|items| make(items, false)).collect()
}

fn upstreams(rule: &Node, label: &str, import: &mut Import) -> Option<Vec<Upstream>> {
    let listed = rule.list("weighted_upstreams");
    if listed.is_empty() {
        // The route's own.
        return Some(vec![Upstream::new(None, 1)]);
    }
    let mut upstreams = Vec::new();
    for (index, node) in listed.iter().enumerate() {
        import.only(node, &["upstream_id", "upstream", "weight"], "an upstream");
        let weight = match node.get("weight").filter(|weight| !weight.is_null()) {
            None => Some(1),
            Some(weight) => weight.scalar().and_then(Value::as_u64),
        };
        let Some(weight) = weight else {
            import.error(head(node), "accepted is a weight of 0 or more");
            continue;
        };
        let id = node.get("upstream_id").and_then(Node::scalar).map(|id| match id.as_str() {
            Some(text) => text.to_owned(),
            None => id.to_string(),
        });
        let name = match (id, node.entry("upstream")) {
            (Some(id), _) => Some(id),
            (None, Some(entry)) => Some(inline(entry, &format!("{label}-{index}"), import)),
            (None, None) => None,
        };
        upstreams.push(Upstream::new(name, weight));
    }
    let total: u64 =
        upstreams.iter().filter_map(|upstream| upstream.weight.as_ref()?.as_u64()).sum();
    if total == 0 && !upstreams.is_empty() {
        import.error(head(rule), "all weights are 0: there is nobody to send a request to");
        return None;
    }
    (!upstreams.is_empty()).then_some(upstreams)
}

/// The name of an upstream that is written where it is used: its nodes have to be an Upstream of Kong.
fn inline(entry: &Entry, otherwise: &str, import: &mut Import) -> String {
    let upstream = &entry.value;
    match upstream.text_of("name") {
        Some(name) => {
            let fields: Vec<&str> = upstream
                .entries()
                .iter()
                .map(|entry| entry.key.as_str())
                .filter(|field| *field != "name")
                .collect();
            if !fields.is_empty() {
                let message = format!(
                    "an Upstream with the name {name} must be in Kong: a plugin only names it, and \
                     does not have its {}",
                    fields.join(", ")
                );
                import.warning(entry.key_span.clone(), message);
            }
            name.to_owned()
        }
        None => {
            let message = format!(
                "an upstream without a name cannot be carried over; with --lossy it is called {otherwise}"
            );
            import.lost(entry.key_span.clone(), message);
            otherwise.to_owned()
        }
    }
}
