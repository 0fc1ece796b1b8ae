//! Kong's environment, where a file has it beside the configuration: in a container's `env`, as in a Deployment.

use crate::source::{Node, Span};

/// What a file tells of the environment.
#[derive(Debug, Default)]
pub(super) struct Environment {
    /// Where the plugins are named that Kong loads, and which these are.
    pub plugins: Option<(Span, String)>,
    /// Whether Kong has a zone for the shared memory of filters.
    pub has_zone: bool,
}

impl Environment {
    pub(super) fn of(documents: &[Node]) -> Self {
        let mut environment = Self::default();
        for document in documents {
            document.walk(&mut |node| {
                // As Kubernetes has it, `{name: KONG_PLUGINS, value: …}`, or as a map.
                let pair = node.text_of("name").zip(node.get("value"));
                let fields = node.entries().iter().map(|entry| (entry.key.as_str(), &entry.value));
                pair.into_iter()
                    .chain(fields)
                    .for_each(|(name, value)| environment.take(name, value));
            });
        }
        environment
    }

    fn take(&mut self, name: &str, value: &Node) {
        if name.starts_with("KONG_NGINX_WASM_SHM_KV") {
            self.has_zone = true;
        }
        if let ("KONG_PLUGINS", Some(plugins)) = (name, value.text()) {
            self.plugins = Some((value.span.clone(), plugins.to_owned()));
        }
    }
}
