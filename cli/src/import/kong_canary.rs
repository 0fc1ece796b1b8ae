//! Kong's `canary` plugin (Enterprise).

use super::draft::{Item, Plugin, Rule, Upstream};
use super::gateway_api::Metadata;
use super::{Import, head};
use crate::source::Node;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tse_route::config::{Location, Operator, quote};

/// What Kong takes where nothing is given.
const DURATION: u64 = 3_600;
const STEPS: u64 = 1_000;

/// Finds the plugins of a declarative file, on services, routes and at the top level.
pub(super) fn find(document: &Node, import: &mut Import) -> Vec<Plugin> {
    let mut found = Vec::new();
    let mut visit = |owner: &Node| {
        for plugin in owner.list("plugins") {
            if plugin.text_of("name") == Some("canary") {
                let owner = owner.text_of("name").unwrap_or("global").to_owned();
                found.push((
                    plugin.get("config").cloned().unwrap_or_else(|| Node::null(head(plugin))),
                    owner,
                ));
            }
        }
    };
    document.walk(&mut visit);
    // A plugin alone, as the Admin API takes it.
    if document.text_of("name") == Some("canary")
        && let Some(config) = document.get("config")
    {
        found.push((config.clone(), "canary".to_owned()));
    }
    found
        .into_iter()
        .filter_map(|(config, owner)| {
            let rules = rules(&config, import)?;
            Some(Plugin {
                name: format!("{owner}-canary"),
                namespace: None,
                description: format!("imported from Kong's canary plugin of {owner}"),
                rules,
                file: import.file,
                span: head(&config),
            })
        })
        .collect()
}

/// The plugin of a KongPlugin manifest.
pub(super) fn of_manifest(manifest: &Node, import: &mut Import) -> Option<Plugin> {
    let metadata = Metadata::of(manifest);
    let Some(config) = manifest.get("config") else {
        import.error(head(manifest), "a `canary` plugin without `config`");
        return None;
    };
    Some(Plugin {
        name: metadata.name.to_owned(),
        namespace: metadata.given_namespace.map(str::to_owned),
        description: format!("imported from Kong's canary plugin {}", metadata.name),
        rules: rules(config, import)?,
        file: import.file,
        span: head(config),
    })
}

fn rules(config: &Node, import: &mut Import) -> Option<Vec<Rule>> {
    const KNOWN: &[&str] = &[
        "start",
        "duration",
        "steps",
        "percentage",
        "hash",
        "hash_header",
        "upstream_host",
        "canary_by_header_name",
        // Said below, or of no meaning with their default.
        "upstream_fallback",
        "groups",
    ];
    import.only(config, KNOWN, "the canary plugin");
    if let Some(entry) = config.entry("upstream_fallback")
        && entry.value.scalar().and_then(Value::as_bool) == Some(true)
    {
        let message =
            "`upstream_fallback` cannot be carried over; `circuit_breaker` is the closest there is";
        import.lost(entry.key_span.clone(), message);
    }
    let Some(host) = config.text_of("upstream_host") else {
        import.error(head(config), "without `upstream_host` there is no upstream to name");
        return None;
    };
    let rule = |name: &str, items: Vec<Item>, upstreams: Vec<Upstream>| Rule {
        name: Some(name.to_owned()),
        items,
        upstreams,
        file: import.file,
        span: head(config),
        ..Rule::default()
    };
    let mut rules = Vec::new();
    if let Some(header) = config.text_of("canary_by_header_name") {
        let item = |value| vec![Item::new(Location::Header, header, Operator::Eq, value)];
        rules.push(rule(
            "canary always",
            item("always"),
            vec![Upstream::new(Some(host.to_owned()), 100)],
        ));
        rules.push(rule("canary never", item("never"), vec![Upstream::new(None, 100)]));
    }
    let split = rule("canary", Vec::new(), Vec::new());
    rules.extend(split_rule(config, host, split, import));
    Some(rules)
}

/// The rule that splits by percentage or by the clock.
fn split_rule(config: &Node, host: &str, rule: Rule, import: &mut Import) -> Option<Rule> {
    let mut delivery = hash(config, import)?;
    let number =
        |name: &str| config.get(name).and_then(Node::scalar).filter(|value| value.is_number());
    let start = number("start").cloned();
    let percentage = number("percentage").cloned();
    let upstreams = |canary: Value| {
        let rest = 100.0 - canary.as_f64().unwrap_or(0.0);
        let rest = (rest * 100.0).round() / 100.0;
        let rest = if rest.fract() == 0.0 { json!(rest as u64) } else { json!(rest) };
        vec![
            Upstream { name: Some(host.to_owned()), weight: Some(canary), ..Upstream::default() },
            Upstream { name: None, weight: Some(rest), ..Upstream::default() },
        ]
    };
    let upstreams = match (start, percentage) {
        (start, Some(percentage)) => {
            if start.is_some() {
                import.warning(head(config), "`start` does not count beside `percentage`");
            }
            upstreams(percentage)
        }
        (Some(start), None) => {
            let duration = number("duration").cloned().unwrap_or_else(|| json!(DURATION));
            let steps = number("steps").cloned().unwrap_or_else(|| json!(STEPS));
            let rollout = json!({
                "start": one_step_before(&start, &duration, &steps),
                "duration": duration,
                "steps": steps,
                "to": { host: 100 },
            });
            delivery.push(("rollout", rollout));
            upstreams(json!(0))
        }
        (None, None)
            if config.get("canary_by_header_name").is_some() && number("duration").is_none() =>
        {
            return None;
        }
        (None, None) => {
            let message = "neither `start` nor `percentage`: Kong starts when the plugin is made, \
                           which is not written here; accepted is a `start`";
            import.error(head(config), message);
            return None;
        }
    };
    Some(Rule { upstreams, delivery, ..rule })
}

/// Kong takes its first step at `start`, a rollout one step after it.
fn one_step_before(start: &Value, duration: &Value, steps: &Value) -> Value {
    let number = |value: &Value| value.as_f64().unwrap_or(0.0);
    let seconds = number(start) - number(duration) / number(steps).max(1.0);
    let milliseconds = (seconds.max(0.0) * 1_000.0).round() as i64;
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
        // Faulty, and refused as it stands.
        Err(_) => start.clone(),
    }
}

/// What the split goes by; none where it cannot be carried over.
fn hash(config: &Node, import: &mut Import) -> Option<Vec<(&'static str, Value)>> {
    match config.text_of("hash").unwrap_or("consumer") {
        "none" => Some(Vec::new()),
        // Without a consumer Kong takes the address.
        "consumer" => Some(vec![("hash_on", json!("consumer")), ("hash_fallback", json!("ip"))]),
        "ip" => Some(vec![("hash_on", json!("ip"))]),
        "header" => {
            let Some(header) = config.text_of("hash_header") else {
                import.error(head(config), "`hash: header` needs `hash_header`");
                return None;
            };
            Some(vec![
                ("hash_on", json!("header")),
                ("hash_on_header", json!(header)),
                ("hash_fallback", json!("ip")),
            ])
        }
        other => {
            let span = config.get("hash").map_or_else(|| head(config), |hash| hash.span.clone());
            let message = format!(
                "a split by groups of consumers (`hash: {}`) cannot be carried over",
                quote(other)
            );
            import.lost(span, message);
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
            (json!(0), json!(60), json!(1), json!(0)),
        ] {
            assert_eq!(one_step_before(&start, &duration, &steps), expected);
        }
    }
}
