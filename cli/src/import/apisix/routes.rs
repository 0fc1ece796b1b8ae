//! ApisixRoute: routes with conditions, backends and weights of their own.

use super::super::draft::{Draft, Item, Otherwise, Rule, Upstream};
use super::super::expression::{Alternatives, all_of};
use super::super::hosts;
use super::super::kubernetes::Backend;
use super::super::reading::{Import, head};
use super::{Metadata, listed, rules};
use crate::source::Node;
use std::cmp::Reverse;
use tse_route::config::{Location, Operator, quote};

/// The plugin for a resource; none where it splits nothing.
pub(super) fn import(spec: &Node, metadata: Metadata, import: &mut Import) -> Option<Draft> {
    let mut found: Vec<(Order, Vec<Rule>)> = Vec::new();
    let routes = import.objects(spec, "http");
    let is_alone = routes.len() == 1;
    let mut own = None;
    let mut splits = false;
    for route in routes {
        let name = import.text(route, "name").unwrap_or(metadata.name).to_owned();
        let priority = import.number(route, "priority").and_then(serde_json::Value::as_i64);
        import.skip(route, &["websocket"]);
        let conditions = conditions(route, import);
        let backends = backends(route, metadata, import);
        let plugins = listed(route, import);
        let complete = import.done(route, "a route");
        let (Some(conditions), Some(backends)) = (conditions, backends) else { continue };
        splits |= backends.len() > 1 || !plugins.is_empty();
        // A single backend of a single route is the service that the plugin is bound to.
        let is_own = is_alone && backends.len() < 2;
        let single = match backends.as_slice() {
            [] => Upstream::new(None, 1),
            [only] => Upstream { name: only.name.clone().filter(|_| !is_own), ..only.clone() },
            [first, ..] => first.clone(),
        };
        if is_own {
            own = backends.first().and_then(|only| only.name.clone());
        }
        if backends.len() > 1 && !plugins.is_empty() {
            let message = "weights of backends beside `traffic-split` cannot be carried over: the \
                           controller writes the former as the latter";
            import.lost(head(route), message);
            continue;
        }
        for (rank, alternative) in conditions {
            let mut made = Vec::new();
            for config in &plugins {
                let route = std::slice::from_ref(&alternative);
                made.extend(rules(config, &name, route, &single, import).unwrap_or_default());
            }
            // What the plugin leaves over, and what has no plugin, goes to the backends.
            if !backends.is_empty() && !is_own {
                made.push(Rule {
                    name: Some(name.clone()),
                    items: alternative,
                    upstreams: backends.clone(),
                    left_out: !complete,
                    condition_is_known: true,
                    file: import.file,
                    span: head(route),
                    ..Rule::default()
                });
            }
            let order = Order { rank: Reverse(rank), priority: Reverse(priority.unwrap_or(0)) };
            found.push((order, made));
        }
    }
    if !splits {
        import.warning(head(spec), "an ApisixRoute that splits nothing is left out");
        return None;
    }
    found.sort_by_key(|(order, _)| *order);
    Some(Draft {
        name: metadata.name.to_owned(),
        namespace: metadata.given_namespace.map(str::to_owned),
        description: match &own {
            Some(own) => format!("imported from ApisixRoute {}, for {own}", metadata.label()),
            None => format!("imported from ApisixRoute {}", metadata.label()),
        },
        otherwise: match own {
            Some(own) => Otherwise::Upstream(own),
            None if is_alone => Otherwise::Own,
            None => Otherwise::NotFound,
        },
        names_of_an_ingress: true,
        rules: found.into_iter().flat_map(|(_, rules)| rules).collect(),
        file: import.file,
        span: head(spec),
        ..Draft::default()
    })
}

/// How specific a path is, then how important the route: as APISIX's tree of paths tries them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Order {
    rank: Reverse<(u8, usize)>,
    priority: Reverse<i64>,
}

/// How specific a path is, and all that a request must have.
type Condition = ((u8, usize), Vec<Item>);

/// The alternatives of a route's `match`, each with the rank of its path; none where one of them cannot
/// be carried over.
fn conditions(route: &Node, import: &mut Import) -> Option<Vec<Condition>> {
    let Some(wanted) = import.object(route, "match") else {
        return Some(vec![((0, 0), Vec::new())]);
    };
    let mut sound = true;
    let mut paths = Vec::new();
    for node in import.texts(wanted, "paths") {
        let path = node.text().unwrap_or_default();
        match path_item(path) {
            Some(found) => paths.push(found),
            None => {
                sound = false;
                let message = format!("the path {} cannot be carried over", quote(path));
                import.lost(node.span.clone(), message);
            }
        }
    }
    if paths.is_empty() {
        paths.push(((0, 0), None));
    }
    let hostnames = import.texts(wanted, "hosts");
    let hostnames: Vec<String> =
        hostnames.iter().filter_map(|node| node.text()).map(str::to_ascii_lowercase).collect();
    let hosts: Alternatives = hosts::alternatives(&hostnames)
        .into_iter()
        .map(|(_, item)| item.into_iter().collect())
        .collect();
    let mut rest: Vec<Alternatives> = vec![hosts];
    for (field, location, key) in
        [("methods", Location::Method, ""), ("remoteAddrs", Location::System, "clientIP")]
    {
        let listed = import.texts(wanted, field);
        let values: Vec<String> =
            listed.iter().filter_map(|node| node.text()).map(str::to_owned).collect();
        if !values.is_empty() {
            let item = Item::list(location, key, Operator::In, &values);
            rest.push(vec![item.into_iter().collect()]);
        }
    }
    for comparison in import.objects(wanted, "exprs") {
        match expression_of(comparison, import) {
            Some(item) => rest.push(vec![vec![item]]),
            None => sound = false,
        }
    }
    sound &= import.done(wanted, "a match");
    let rest = all_of(&rest);
    let mut found = Vec::new();
    for (rank, path) in paths {
        for items in &rest {
            found.push((rank, items.iter().cloned().chain(path.clone()).collect()));
        }
    }
    sound.then_some(found)
}

fn path_item(path: &str) -> Option<((u8, usize), Option<Item>)> {
    let item = |operator, value: &str| Some(Item::new(Location::Path, "", operator, value));
    match path.strip_suffix('*') {
        Some("/") => Some(((1, 1), None)),
        Some(prefix) if !prefix.contains(['*', ':']) => {
            Some(((1, prefix.len()), item(Operator::Prefix, prefix)))
        }
        None if !path.contains(['*', ':']) => Some(((2, path.len()), item(Operator::Eq, path))),
        _ => None,
    }
}

/// A comparison as the resource writes it: `{subject: {scope, name}, op, value}` or `set`.
fn expression_of(node: &Node, import: &mut Import) -> Option<Item> {
    let subject = import.object(node, "subject");
    let (scope, name) = match subject {
        Some(subject) => {
            let found = (import.text(subject, "scope"), import.text(subject, "name"));
            import.done(subject, "a subject");
            found
        }
        None => (None, None),
    };
    let operator = import.text(node, "op").unwrap_or_default();
    let value = import.text(node, "value");
    let set: Vec<String> = import
        .texts(node, "set")
        .iter()
        .filter_map(|node| node.text())
        .map(str::to_owned)
        .collect();
    let complete = import.done(node, "an expression");
    let location = match scope {
        Some("Header") => Location::Header,
        Some("Query") => Location::Query,
        Some("Cookie") => Location::Cookie,
        Some("Path") => Location::Path,
        _ => {
            let message =
                format!("the scope {} cannot be carried over", quote(scope.unwrap_or_default()));
            import.lost(head(node), message);
            return None;
        }
    };
    let name = name.unwrap_or_default();
    let plain = value.unwrap_or_default();
    let in_any_case = format!("(?i){plain}");
    let (operator, value) = match operator {
        "Equal" => (Operator::Eq, plain),
        "NotEqual" => (Operator::Ne, plain),
        "RegexMatch" => (Operator::Regex, plain),
        "RegexNotMatch" => (Operator::NotRegex, plain),
        "RegexMatchCaseInsensitive" => (Operator::Regex, in_any_case.as_str()),
        "RegexNotMatchCaseInsensitive" => (Operator::NotRegex, in_any_case.as_str()),
        "In" | "NotIn" => {
            let operator = if operator == "In" { Operator::In } else { Operator::NotIn };
            let item = Item::list(location, name, operator, &set).filter(|_| !set.is_empty());
            if item.is_none() {
                import
                    .lost(head(node), "a set that no delimiter keeps apart cannot be carried over");
            }
            return item.filter(|_| complete);
        }
        other => {
            let message = format!("the operator {} cannot be carried over", quote(other));
            import.lost(head(node), message);
            return None;
        }
    };
    complete.then(|| Item::new(location, name, operator, value))
}

/// The backends with their weights; none where one cannot be named.
fn backends(route: &Node, metadata: Metadata, import: &mut Import) -> Option<Vec<Upstream>> {
    let mut found = Vec::new();
    let mut sound = true;
    for backend in import.objects(route, "backends") {
        import.skip(backend, &["resolveGranularity"]);
        let service = import.text(backend, "serviceName");
        let port = import.text_or_number(backend, "servicePort");
        // The controller's default.
        let weight = match backend.get("weight").filter(|weight| !weight.is_null()) {
            None => Some(100),
            Some(_) => import.whole(backend, "weight", u64::from(u32::MAX)),
        };
        sound &= import.done(backend, "a backend");
        let (Some(service), Some(weight)) = (service, weight) else {
            import.error(head(backend), "a backend needs `serviceName` and `servicePort`");
            sound = false;
            continue;
        };
        let named = Backend { service, namespace: metadata.namespace, port, subset: None };
        match named.upstream(backend, import) {
            Some(name) => found.push(Upstream::new(Some(name), weight)),
            None => sound = false,
        }
    }
    for upstream in import.objects(route, "upstreams") {
        let name = import.text(upstream, "name").map(str::to_owned);
        let weight = match upstream.get("weight").filter(|weight| !weight.is_null()) {
            None => Some(100),
            Some(_) => import.whole(upstream, "weight", u64::from(u32::MAX)),
        };
        sound &= import.done(upstream, "an upstream");
        match (name, weight) {
            (Some(name), Some(weight)) => found.push(Upstream::new(Some(name), weight)),
            _ => sound = false,
        }
    }
    sound.then_some(found)
}
