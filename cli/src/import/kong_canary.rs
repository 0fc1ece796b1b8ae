//! Kong's `canary` plugin (Enterprise).
//!
//! Its source is not public; what it does is told by Kong's documentation of the plugin.

use super::Endpoint;
use super::draft::{Binding, Draft, Item, Rule, Upstream};
use super::kubernetes::{self, Metadata};
use super::pattern::literal;
use super::reading::{Import, head};
use crate::source::{Entry, Node};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tse_route::config::{Location, Operator, quote};

const NAME: &str = "canary";

/// What Kong takes where nothing is given.
const DURATION: u64 = 3_600;
const STEPS: u64 = 1_000;

/// The protocols that the plugin runs for where none are given.
const PROTOCOLS: &[&str] = &["grpc", "grpcs", "http", "https"];

/// Whether a document has the plugin somewhere.
pub(super) fn is_there(document: &Node) -> bool {
    let mut found = document.text_of("name") == Some(NAME) && document.get("config").is_some();
    document.walk(&mut |node| {
        found |= node.list("plugins").iter().any(|plugin| plugin.text_of("name") == Some(NAME));
    });
    found
}

/// Finds the plugins of a declarative file, on services, routes and at the top level.
pub(super) fn find(document: &Node, import: &mut Import) -> Vec<Draft> {
    // A plugin alone, as the Admin API takes it.
    if document.text_of("name") == Some(NAME) && document.get("config").is_some() {
        return plugin(document, Owner::Nobody, import).into_iter().collect();
    }
    let mut drafts = Vec::new();
    let found = collection(document, &Owner::Nobody, &mut drafts, import);
    if found {
        let others: Vec<&str> = document
            .entries()
            .iter()
            .map(|entry| entry.key.as_str())
            .filter(|field| !field.starts_with('_') && *field != "plugins")
            .collect();
        if !others.is_empty() {
            let message = format!(
                "of this file only its canary plugins are carried over, and nothing else of {}",
                others.join(", ")
            );
            import.warning(head(document), message);
        }
        import.told(document);
    }
    drafts
}

/// What a plugin is on.
#[derive(Clone, Debug)]
enum Owner {
    Nobody,
    Service(String),
    Route(String),
    /// A consumer or a group of consumers.
    Consumer(String),
}

/// Looks through an entity and all that is nested in it; whether there was a plugin.
fn collection(node: &Node, owner: &Owner, drafts: &mut Vec<Draft>, import: &mut Import) -> bool {
    let mut found = false;
    for entry in node.entries() {
        for element in entry.value.elements() {
            let named = || {
                let name = ["name", "username", "custom_id", "id"];
                let name = name.into_iter().find_map(|field| element.text_of(field));
                name.unwrap_or("without a name").to_owned()
            };
            let inner = match entry.key.as_str() {
                "plugins" if element.text_of("name") == Some(NAME) => {
                    drafts.extend(plugin(element, owner.clone(), import));
                    found = true;
                    continue;
                }
                "services" => Owner::Service(named()),
                "routes" => Owner::Route(named()),
                "consumers" | "consumer_groups" => Owner::Consumer(named()),
                _ => owner.clone(),
            };
            found |= collection(element, &inner, drafts, import);
        }
    }
    found
}

/// One plugin; none where it is disabled or cannot be carried over.
fn plugin(plugin: &Node, mut owner: Owner, import: &mut Import) -> Option<Draft> {
    import.skip(plugin, &["name", "id", "created_at", "updated_at", "tags", "instance_name"]);
    if import.flag(plugin, "enabled") == Some(false) {
        import.told(plugin);
        import.warning(head(plugin), "a disabled plugin is left out");
        return None;
    }
    for (field, of) in [
        ("service", Owner::Service as fn(String) -> Owner),
        ("route", Owner::Route),
        ("consumer", Owner::Consumer),
        ("consumer_group", Owner::Consumer),
    ] {
        if let Some(entry) = import.entry(plugin, field) {
            // The more specific comes later, and wins.
            owner = of(reference(entry, import));
        }
    }
    let sound = protocols(plugin, import);
    if let Owner::Consumer(name) = &owner {
        import.told(plugin);
        let message = format!(
            "the canary of the consumer {name} would be everybody's and cannot be carried over; \
             where an authentication plugin sets it, a condition on the header \
             `X-Consumer-Username` says the same"
        );
        import.lost(head(plugin), message);
        return None;
    }
    let (label, binding) = match owner {
        Owner::Service(name) => (name.clone(), Some(Binding::Service(name))),
        Owner::Route(name) => (name.clone(), Some(Binding::Route(name))),
        Owner::Nobody | Owner::Consumer(_) => ("global".to_owned(), None),
    };
    if binding.is_none() {
        let message = "the plugin is on no service and no route: bind what comes of it, because a \
                       filter cannot be global";
        import.warning(head(plugin), message);
    }
    let config = import.object(plugin, "config");
    import.done(plugin, "the plugin");
    let Some(config) = config else {
        import.error(head(plugin), "a `canary` plugin without `config`");
        return None;
    };
    let rules = rules(config, import)?;
    sound.then(|| Draft {
        name: format!("{label}-canary"),
        description: format!("imported from Kong's canary plugin of {label}"),
        binding,
        rules,
        file: import.file,
        span: head(config),
        ..Draft::default()
    })
}

/// The name or id in a reference to another entity.
fn reference(entry: &Entry, import: &mut Import) -> String {
    if let Some(text) = entry.value.text() {
        return text.to_owned();
    }
    let name = import.text(&entry.value, "name").or_else(|| import.text(&entry.value, "username"));
    let id = import.text(&entry.value, "id");
    name.or(id).unwrap_or("without a name").to_owned()
}

/// Whether a plugin runs for all protocols, as a filter does.
fn protocols(plugin: &Node, import: &mut Import) -> bool {
    let listed = import.texts(plugin, "protocols");
    let missing: Vec<&str> = PROTOCOLS
        .iter()
        .copied()
        .filter(|protocol| !listed.iter().any(|node| node.text() == Some(protocol)))
        .collect();
    if listed.is_empty() || missing.is_empty() {
        return true;
    }
    if let Some(entry) = plugin.entry("protocols") {
        let message = format!(
            "a canary that is not for {} cannot be carried over: the filter runs for all protocols",
            missing.join(", ")
        );
        import.lost(entry.key_span.clone(), message);
    }
    // It would reach requests that it did not reach.
    false
}

/// The plugin of a KongPlugin manifest.
pub(super) fn of_manifest(manifest: &Node, import: &mut Import) -> Option<Draft> {
    let metadata: Metadata = kubernetes::manifest(manifest, import);
    kubernetes::annotations(manifest, import);
    import.skip(manifest, &["plugin", "instance_name"]);
    if import.flag(manifest, "disabled") == Some(true) {
        import.told(manifest);
        import.warning(head(manifest), "a disabled plugin is left out");
        return None;
    }
    if let Some(entry) = import.entry(manifest, "consumerRef") {
        import.told(manifest);
        let message = "the canary of one consumer would be everybody's and cannot be carried over";
        import.lost(entry.key_span.clone(), message);
        return None;
    }
    let sound = protocols(manifest, import);
    let config = import.object(manifest, "config");
    import.done(manifest, "the plugin");
    let Some(config) = config else {
        import.error(head(manifest), "a `canary` plugin without `config`");
        return None;
    };
    let rules = rules(config, import)?;
    sound.then(|| Draft {
        name: metadata.name.to_owned(),
        namespace: metadata.given_namespace.map(str::to_owned),
        description: format!("imported from Kong's canary plugin {}", metadata.name),
        rules,
        file: import.file,
        span: head(config),
        ..Draft::default()
    })
}

fn rules(config: &Node, import: &mut Import) -> Option<Vec<Rule>> {
    let header = import.text(config, "canary_by_header_name");
    let host = import.text(config, "upstream_host");
    let port = import.whole(config, "upstream_port", 65_535);
    // What Kong does here with an Upstream without a healthy target, the filter always does.
    import.flag(config, "upstream_fallback");
    let splits = splits(config, import);
    let known = import.done(config, "the canary plugin");
    let Some(host) = host else {
        import.error(head(config), "without `upstream_host` there is no upstream to name");
        return None;
    };
    if !known {
        return None;
    }
    if let Some(port) = port.and_then(|port| u16::try_from(port).ok()) {
        let endpoint = Endpoint { host: host.to_owned(), port, weight: None };
        import.endpoints.insert(host.to_owned(), vec![endpoint]);
        let message = format!(
            "an Upstream {host} with the target {host}:{port} must be in Kong: the port is its \
             target's; `--format kong` writes it"
        );
        if let Some(entry) = config.entry("upstream_port") {
            import.warning(entry.key_span.clone(), message);
        }
    }
    let rule = |name: &str, items: Vec<Item>, upstreams: Vec<Upstream>| Rule {
        name: Some(name.to_owned()),
        items,
        upstreams,
        file: import.file,
        span: head(config),
        ..Rule::default()
    };
    let mut rules = Vec::new();
    if let Some(header) = header {
        let item = |value| vec![Item::new(Location::Header, header, Operator::Eq, value)];
        rules.push(rule(
            "canary always",
            item("always"),
            vec![Upstream::new(Some(host.to_owned()), 100)],
        ));
        rules.push(rule("canary never", item("never"), vec![Upstream::new(None, 100)]));
    }
    let Splits { weight, rollout, hashes } = splits?;
    for Hash { name, items, delivery } in hashes {
        let mut delivery = delivery;
        if let Some((start, duration, steps)) = &rollout {
            let rollout = json!({
                "start": start,
                "duration": duration,
                "steps": steps,
                "to": { host: 100 },
            });
            delivery.push(("rollout", rollout));
        }
        let rest = 100.0 - weight.as_f64().unwrap_or(0.0);
        let rest = (rest * 100.0).round() / 100.0;
        let rest = if rest.fract() == 0.0 { json!(rest as u64) } else { json!(rest) };
        let upstreams = vec![
            Upstream {
                name: Some(host.to_owned()),
                weight: Some(weight.clone()),
                ..Upstream::default()
            },
            Upstream { name: None, weight: Some(rest), ..Upstream::default() },
        ];
        rules.push(Rule { delivery, ..rule(name, items, upstreams) });
    }
    Some(rules)
}

/// How the requests are split that no header decides.
struct Splits {
    weight: Value,
    /// Start, duration and steps.
    rollout: Option<(Value, Value, Value)>,
    hashes: Vec<Hash>,
}

/// What a split goes by, for the requests that have it.
struct Hash {
    name: &'static str,
    items: Vec<Item>,
    delivery: Vec<(&'static str, Value)>,
}

/// Reads the split by percentage or by the clock; none where it cannot be carried over.
fn splits(config: &Node, import: &mut Import) -> Option<Splits> {
    if let Some(splits) = groups(config, import) {
        return splits;
    }
    let hashes = hashes(config, import);
    let start = import.number(config, "start").cloned();
    let percentage = import.number(config, "percentage").cloned();
    let duration = import.number(config, "duration").cloned();
    let steps = import.number(config, "steps").cloned();
    let steps = steps.unwrap_or_else(|| json!(STEPS));
    let (weight, rollout) = match (start, percentage) {
        (start, Some(percentage)) => {
            if start.is_some() {
                import.warning(head(config), "`start` does not count beside `percentage`");
            }
            if duration.is_some() {
                import.warning(head(config), "`duration` does not count beside `percentage`");
            }
            let buckets =
                percentage.as_f64().unwrap_or(0.0) * steps.as_f64().unwrap_or(0.0) / 100.0;
            if (buckets - buckets.round()).abs() > 1e-6 {
                let message = format!(
                    "{percentage} % of {steps} steps is no whole number of them: Kong gives out \
                     whole ones, here the percentage is exact"
                );
                import.warning(head(config), message);
            }
            (percentage, None)
        }
        (start, None) => {
            let start = start.or_else(|| import.options.start.as_ref().map(|start| json!(start)));
            let Some(start) = start else {
                let message = "neither `start` nor `percentage`: Kong starts when the plugin is \
                               made, which is not written here; accepted is `--start`";
                import.error(head(config), message);
                return None;
            };
            let duration = duration.unwrap_or_else(|| json!(DURATION));
            let start = one_step_before(&start, &duration, &steps);
            (json!(0), Some((start, duration, steps)))
        }
    };
    Some(Splits { weight, rollout, hashes: hashes? })
}

/// A split by groups of consumers: all of them, and nobody else, or everybody else. None where the split
/// goes by something else, and an inner none where it cannot be carried over.
///
/// The filter learns of a consumer's groups what the plugin `acl` says of them in a header.
fn groups(config: &Node, import: &mut Import) -> Option<Option<Splits>> {
    let hash = config.get("hash")?;
    let operator = match hash.text() {
        Some("allow") => Operator::Regex,
        Some("deny") => Operator::NotRegex,
        _ => return None,
    };
    import.text(config, "hash");
    for field in ["start", "duration", "steps", "hash_header"] {
        if config.get(field).is_some_and(|node| !node.is_null()) {
            import.skip(config, &[field]);
            let message = format!("`{field}` does not count with `hash: allow` and `deny`");
            import.warning(head(config), message);
        }
    }
    // What Kong makes of both together, its documentation does not say.
    if let Some(entry) = import.entry(config, "percentage") {
        let message = "`percentage` beside `hash: allow` or `deny` cannot be carried over";
        import.lost(entry.key_span.clone(), message);
    }
    let names: Vec<&str> =
        import.texts(config, "groups").into_iter().filter_map(Node::text).collect();
    if names.is_empty() {
        import.error(hash.span.clone(), "`hash: allow` and `deny` need `groups`");
        return Some(None);
    }
    let message = "the groups are read from the header `X-Consumer-Groups`: the plugin `acl` must be on \
                   the same service or route, without `hide_groups_header`, so that it sets the header \
                   and no client can";
    import.warning(hash.span.clone(), message);
    let names: Vec<String> = names.into_iter().map(literal).collect();
    // The header lists all groups of the consumer, with a comma and a space between them.
    let pattern = format!("(?:^|, )(?:{})(?:,|$)", names.join("|"));
    let items = vec![Item::new(Location::Header, "X-Consumer-Groups", operator, &pattern)];
    let hashes = vec![Hash { name: "canary", items, delivery: Vec::new() }];
    Some(Some(Splits { weight: json!(100), rollout: None, hashes }))
}

/// Kong takes its first step at `start`, a rollout one step after it.
fn one_step_before(start: &Value, duration: &Value, steps: &Value) -> Value {
    let number = |value: &Value| value.as_f64();
    let at = match (number(start), start.as_str()) {
        (Some(seconds), _) => Some(seconds),
        (None, Some(text)) => text.parse::<f64>().ok().or_else(|| {
            let format = &time::format_description::well_known::Rfc3339;
            let at = OffsetDateTime::parse(text, format).ok()?;
            Some(at.unix_timestamp_nanos() as f64 / 1e9)
        }),
        _ => None,
    };
    // Faulty, and refused as it stands.
    let Some(at) = at else { return start.clone() };
    let step = number(duration).unwrap_or(0.0) / number(steps).unwrap_or(1.0).max(1.0);
    let milliseconds = ((at - step).max(0.0) * 1_000.0).round() as i64;
    if milliseconds % 1_000 == 0 {
        return json!(milliseconds / 1_000);
    }
    let instant = OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000);
    match instant {
        Ok(at) => json!(format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second(),
            at.millisecond()
        )),
        Err(_) => start.clone(),
    }
}

/// What the split goes by; none where it cannot be carried over.
///
/// Where what it goes by is missing, Kong takes the consumer, then the address, then chance.
fn hashes(config: &Node, import: &mut Import) -> Option<Vec<Hash>> {
    let by_consumer = || vec![("hash_on", json!("consumer")), ("hash_fallback", json!("ip"))];
    let all = |delivery| Some(vec![Hash { name: "canary", items: Vec::new(), delivery }]);
    let hash = import.text(config, "hash").unwrap_or("consumer");
    let hash_header = import.text(config, "hash_header");
    if config.get("groups").is_some() {
        import.skip(config, &["groups"]);
        import.warning(head(config), "`groups` do not count without `hash: allow` or `deny`");
    }
    match hash {
        "none" => all(Vec::new()),
        "consumer" => all(by_consumer()),
        "ip" => all(vec![("hash_on", json!("ip"))]),
        "header" => {
            let Some(header) = hash_header else {
                import.error(head(config), "`hash: header` needs `hash_header`");
                return None;
            };
            let by_header = vec![
                ("hash_on", json!("header")),
                ("hash_on_header", json!(header)),
                ("hash_fallback", json!("consumer")),
            ];
            // One fallback is all that a rule has, and Kong has two: so there are two rules.
            let item = Item::new(Location::Header, header, Operator::Exists, "");
            Some(vec![
                Hash { name: "canary by header", items: vec![item], delivery: by_header },
                Hash { name: "canary", items: Vec::new(), delivery: by_consumer() },
            ])
        }
        other => {
            let span = config.get("hash").map_or_else(|| head(config), |hash| hash.span.clone());
            let message = format!(
                "found {}; accepted is one of consumer, ip, header, none, allow and deny",
                quote(other)
            );
            import.error(span, message);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ramps_take_their_first_step_when_kong_does() {
        for (start, duration, steps, expected) in [
            (json!(1_893_456_000), json!(3_600), json!(4), json!(1_893_455_100)),
            (json!(1_893_456_000), json!(3_600), json!(1_000), json!("2029-12-31T23:59:56.400Z")),
            (json!(1_893_456_000), json!(0), json!(1), json!(1_893_456_000)),
            (json!("2030-01-01T00:00:00Z"), json!(3_600), json!(4), json!(1_893_455_100)),
            (json!("1893456000"), json!(3_600), json!(4), json!(1_893_455_100)),
            (json!("tomorrow"), json!(3_600), json!(4), json!("tomorrow")),
            (json!(0), json!(60), json!(1), json!(0)),
        ] {
            assert_eq!(one_step_before(&start, &duration, &steps), expected);
        }
    }
}
