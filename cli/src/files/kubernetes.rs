//! KongPlugin and KongClusterPlugin manifests, and the filter in Istio and in Envoy Gateway.

use super::{Found, Guard, PLUGIN, Subject};
use crate::source::Node;
use hashbrown::HashSet;

/// Finds the configurations in a manifest; manifests of other kinds are none of ours.
pub(super) fn find(manifest: &Node, found: &mut Found<'_>) {
    let kind = manifest.text_of("kind").unwrap_or_default();
    match kind {
        "List" | "KongPluginList" | "KongClusterPluginList" => {
            manifest.list("items").iter().for_each(|item| find(item, found));
        }
        "KongPlugin" | "KongClusterPlugin" if manifest.text_of("plugin") == Some(PLUGIN) => {
            let metadata = manifest.get("metadata");
            let name = metadata.and_then(|data| data.text_of("name")).unwrap_or("without a name");
            let label = match metadata.and_then(|data| data.text_of("namespace")) {
                Some(namespace) => format!("{kind} {namespace}/{name}"),
                None => format!("{kind} {name}"),
            };
            match (manifest.get("config"), manifest.entry("configFrom")) {
                (None, Some(from)) => {
                    let message = "the configuration stands in a Secret and cannot be checked here";
                    found.warning(&Node::null(from.key_span.clone()), message);
                }
                (Some(config), _) => {
                    found.subjects.push(Subject::labelled(label, config.clone()));
                }
                (None, None) => {
                    found
                        .subjects
                        .push(Subject::labelled(label, Node::null(super::head(manifest))));
                }
            }
        }
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

/// A Wasm filter under any of its names; neither of its owners can make Envoy hold requests back.
fn filter(
    manifest: &Node,
    owner: &Node,
    field: &str,
    names: &[Option<&str>],
    policy: &'static str,
    found: &mut Found<'_>,
) {
    if !names.iter().flatten().any(|name| super::is_plugin(name)) {
        return;
    }
    let config = match owner.get(field) {
        Some(config) => found.configuration(config),
        None => Some(Node::null(super::head(owner))),
    };
    if let Some(config) = config {
        let kind = manifest.text_of("kind").unwrap_or_default();
        let name = manifest.dig(&["metadata", "name"]).and_then(Node::text);
        let label = format!("{kind} {}", name.unwrap_or("without a name"));
        let removed = HashSet::new();
        let guard = Guard { span: super::head(manifest), removed, policy: Some(policy) };
        found.subjects.push(Subject {
            holds_requests: Some(false),
            guard: Some(guard),
            ..Subject::labelled(label, config)
        });
    }
}
