//! Envoy bootstraps and listeners.

use super::{Found, Gateway, Guard, Subject, UpstreamNames};
use crate::source::Node;
use hashbrown::HashSet;

/// Finds the Wasm filters and the configuration strings in them.
pub(super) fn find(bootstrap: &Node, found: &mut Found<'_>) {
    let clusters = bootstrap.dig(&["static_resources", "clusters"]).map(Node::elements);
    let dynamic = bootstrap.get("dynamic_resources").is_some();
    let names: HashSet<String> = clusters
        .unwrap_or_default()
        .iter()
        .filter_map(|cluster| cluster.text_of("name").map(str::to_owned))
        .collect();
    // Where clusters come from elsewhere, or not at all, nothing is known of them.
    let upstreams = (!dynamic && !names.is_empty())
        .then_some(UpstreamNames { what: "a cluster of this file", names });
    let managers = managers(bootstrap);
    let mut filters = Vec::new();
    bootstrap.walk(&mut |node| {
        let config = node.get("typed_config").unwrap_or(node);
        let is_wasm = |node: &Node| {
            node.text_of("@type").is_some_and(|t| t.ends_with("http.wasm.v3.Wasm"))
                || node.text_of("type_url").is_some_and(|t| t.ends_with("http.wasm.v3.Wasm"))
        };
        if std::ptr::eq(config, node) || !is_wasm(config) {
            return;
        }
        filters.push((node, config.get("value").unwrap_or(config)));
    });
    for (filter, wasm) in filters {
        let Some(plugin) = wasm.get("config") else { continue };
        let name = filter.text_of("name").unwrap_or("without a name");
        if !is_ours(filter, plugin) {
            found.warning(
                filter,
                format!(
                    "the Wasm filter {name} is not checked: nothing in it has the name tse-route"
                ),
            );
            continue;
        }
        let holds = plugin.get("allow_on_headers_stop_iteration").and_then(Node::scalar);
        let holds = holds.and_then(serde_json::Value::as_bool).unwrap_or(false);
        let misplaced = found.misplaced(plugin, "configuration");
        let config = match plugin.get("configuration") {
            None if misplaced => None,
            None => Some(Node::null(super::head(plugin))),
            Some(any) => configuration(any, found),
        };
        if let Some(node) = config {
            found.subjects.push(Subject {
                upstreams: upstreams.clone(),
                gateway: Some(Gateway::Envoy),
                holds_requests: Some(holds),
                guard: managers.iter().find(|manager| manager.has(filter)).map(Manager::guard),
                ..Subject::labelled(format!("filter {name}"), node)
            });
        }
    }
}

/// A connection manager.
struct Manager<'n> {
    node: &'n Node,
    guard: Guard,
}

impl Manager<'_> {
    fn has(&self, filter: &Node) -> bool {
        let mut found = false;
        self.node.walk(&mut |node| found |= std::ptr::eq(node, filter));
        found
    }

    fn guard(&self) -> Guard {
        self.guard.clone()
    }
}

/// The connection managers of a file, with the headers that they remove before a route is picked.
fn managers(bootstrap: &Node) -> Vec<Manager<'_>> {
    let mut managers = Vec::new();
    bootstrap.walk(&mut |node| {
        let is_manager = |kind: &str| kind.ends_with("v3.HttpConnectionManager");
        if node.text_of("@type").is_some_and(is_manager) {
            let guard = Guard {
                span: super::head(node),
                removed: removed_early(node),
                policy: None,
                routed: node.get("route_config").map(routing_headers),
            };
            managers.push(Manager { node, guard });
        }
    });
    managers
}

/// The headers that a connection manager removes before a route is picked, in lower case.
pub(super) fn removed_early(manager: &Node) -> HashSet<String> {
    let extensions = manager.list("early_header_mutation_extensions").iter();
    extensions
        .filter_map(|extension| extension.get("typed_config"))
        .flat_map(|mutation| mutation.list("mutations"))
        .filter_map(|mutation| mutation.text_of("remove"))
        .map(str::to_ascii_lowercase)
        .collect()
}

/// The headers by which routes pick their cluster, in lower case.
fn routing_headers(routes: &Node) -> HashSet<String> {
    let mut headers = HashSet::new();
    routes.walk(&mut |node| {
        headers.extend(node.text_of("cluster_header").map(str::to_ascii_lowercase));
    });
    headers
}

/// The configuration in an `Any`: a string with JSON in it.
fn configuration(any: &Node, found: &mut Found<'_>) -> Option<Node> {
    const ACCEPTED: &str =
        "accepted is a `google.protobuf.StringValue` with the configuration as JSON";
    let kind = any.get("@type");
    let kind_name = kind.and_then(Node::text).unwrap_or_default();
    match any.get("value") {
        Some(value) if kind_name.ends_with("StringValue") => {
            if value.text().is_none() {
                found.error(value, format!("found no string; {ACCEPTED}"));
            }
            found.configuration(value)
        }
        Some(value) if kind_name.ends_with("protobuf.Struct") => {
            let message = "found a `google.protobuf.Struct`, which Envoy hands over as protobuf and the \
                           filter refuses";
            found.error(kind.unwrap_or(any), format!("{message}; {ACCEPTED}"));
            found.configuration(value)
        }
        _ => {
            found.error(any, format!("found another kind of value; {ACCEPTED}"));
            None
        }
    }
}

/// Whether a Wasm filter is this one, by any of its names.
fn is_ours(filter: &Node, plugin: &Node) -> bool {
    let code = plugin.dig(&["vm_config", "code"]);
    let file = code.and_then(|code| code.dig(&["local", "filename"])).and_then(Node::text);
    let url = code.and_then(|code| code.dig(&["remote", "http_uri", "uri"])).and_then(Node::text);
    [filter.text_of("name"), plugin.text_of("name"), plugin.text_of("root_id"), file, url]
        .into_iter()
        .flatten()
        .any(super::is_plugin)
}
