//! KongPlugin and KongClusterPlugin manifests, and the filter in Istio and in Envoy Gateway.

use super::{Found, Gateway, Guard, PLUGIN, Subject};
use crate::source::{Entry, Node};
use hashbrown::HashSet;
use tse_route::config::{nearest, quote};

/// The fields of a KongPlugin, and of a KongClusterPlugin.
const FIELDS: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "plugin",
    "config",
    "configFrom",
    "configPatches",
    "consumerRef",
    "disabled",
    "instance_name",
    "ordering",
    "protocols",
    "run_on",
    "status",
];

/// Finds the configurations in a manifest; manifests of other kinds are none of ours.
pub(super) fn find(manifest: &Node, found: &mut Found<'_>) {
    let kind = manifest.text_of("kind").unwrap_or_default();
    match kind {
        "List" | "KongPluginList" | "KongClusterPluginList" => {
            manifest.list("items").iter().for_each(|item| find(item, found));
        }
        "KongPlugin" | "KongClusterPlugin" => kong_plugin(manifest, kind, found),
        "WasmPlugin" => {
            let Some(spec) = manifest.get("spec") else { return };
            let names = [spec.text_of("pluginName"), spec.text_of("url")];
            filter(manifest, spec, "pluginConfig", &names, "an EnvoyFilter", found);
        }
        "EnvoyExtensionPolicy" => {
            for wasm in manifest.dig(&["spec", "wasm"]).map(Node::elements).unwrap_or_default() {
                let names = [wasm.text_of("name"), wasm.text_of("rootID")];
                filter(manifest, wasm, "config", &names, "a ClientTrafficPolicy", found);
            }
        }
        "ClientTrafficPolicy" => {
            let early = manifest.dig(&["spec", "headers", "earlyRequestHeaders", "remove"]);
            let names = early.map(Node::elements).unwrap_or_default().iter();
            found.removed.extend(names.filter_map(Node::text).map(str::to_ascii_lowercase));
        }
        "EnvoyFilter" => {
            let patches = manifest.get("spec").map(|spec| spec.list("configPatches"));
            for manager in patches
                .unwrap_or_default()
                .iter()
                .filter_map(|patch| patch.dig(&["patch", "value", "typed_config"]))
            {
                found.removed.extend(super::envoy::removed_early(manager));
            }
        }
        _ => {}
    }
}

fn kong_plugin(manifest: &Node, kind: &str, found: &mut Found<'_>) {
    if let Some(spec) = manifest.entry("spec").filter(|_| manifest.get("plugin").is_none()) {
        if spec.value.text_of("plugin").is_some_and(|name| name == PLUGIN || super::resembles(name))
        {
            let message = format!(
                "found `plugin` under `spec`; accepted are `plugin` and `config` at the top of a {kind}"
            );
            found.error_at(spec.key_span.clone(), message);
        }
        return;
    }
    let Some(plugin) = manifest.get("plugin") else { return };
    match plugin.text() {
        Some(PLUGIN) => {}
        Some(name) if super::resembles(name) => found.misspelt(plugin, name),
        _ => return,
    }
    let metadata = manifest.get("metadata");
    let name = metadata.and_then(|data| data.text_of("name")).unwrap_or("without a name");
    let label = match metadata.and_then(|data| data.text_of("namespace")) {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    };
    // Kong's Ingress Controller takes no other text for it.
    let is_true =
        |global: &&Node| global.text() == Some("true") || global.scalar() == Some(&true.into());
    let global = manifest.dig(&["metadata", "labels", "global"]).filter(is_true);
    if let Some(global) = global.filter(|_| kind == "KongClusterPlugin") {
        let message = format!(
            "a filter cannot be a global plugin; accepted is a {kind} without this label, which the \
             annotation `konghq.com/plugins: {name}` binds to a Service or an Ingress"
        );
        found.error(global, message);
    }
    let mut misplaced = found.misplaced(manifest, "config");
    for Entry { key, key_span, .. } in manifest.entries() {
        let known = FIELDS.contains(&key.as_str()) || super::is_field(key);
        if let Some(near) = nearest(key, FIELDS.iter().copied()).filter(|_| !known) {
            let message = format!("unknown field {}; did you mean `{near}`?", quote(key));
            found.error_at(key_span.clone(), message);
            misplaced = true;
        }
    }
    let config = match (manifest.get("config"), manifest.entry("configFrom")) {
        (None, Some(from)) => {
            let message = "the configuration stands in a Secret and cannot be checked here";
            found.warning(&Node::null(from.key_span.clone()), message);
            found.is_ours = true;
            return;
        }
        (None, None) if misplaced => return,
        (None, None) => Node::null(super::head(manifest)),
        (Some(config), _) => config.clone(),
    };
    let gateway = Some(Gateway::Kong);
    found.subjects.push(Subject { gateway, ..Subject::labelled(label, config) });
}

/// A Wasm filter under any of its names; neither of its owners can make Envoy hold requests back.
fn filter(
    manifest: &Node,
    owner: &Node,
    field: &'static str,
    names: &[Option<&str>],
    policy: &'static str,
    found: &mut Found<'_>,
) {
    if !names.iter().flatten().any(|name| super::is_plugin(name)) {
        return;
    }
    let misplaced = found.misplaced(owner, field);
    let config = match owner.get(field) {
        Some(config) => found.configuration(config),
        None if misplaced => None,
        None => Some(Node::null(super::head(owner))),
    };
    if let Some(config) = config {
        let kind = manifest.text_of("kind").unwrap_or_default();
        let name = manifest.dig(&["metadata", "name"]).and_then(Node::text);
        let label = format!("{kind} {}", name.unwrap_or("without a name"));
        let removed = HashSet::new();
        let span = super::head(manifest);
        let guard = Guard { span, removed, policy: Some(policy), routed: None };
        found.subjects.push(Subject {
            gateway: Some(Gateway::Envoy),
            holds_requests: Some(false),
            guard: Some(guard),
            ..Subject::labelled(label, config)
        });
    }
}
