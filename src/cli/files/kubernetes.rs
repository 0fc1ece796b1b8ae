//! KongPlugin and KongClusterPlugin manifests.

use super::{Found, PLUGIN, Subject};
use crate::cli::source::Node;

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
        _ => {}
    }
}
