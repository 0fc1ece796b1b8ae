//! What the documents of Kubernetes have in common.

use super::Endpoint;
use super::reading::{Import, head};
use crate::source::Node;

/// Kong's Ingress Controller names an Upstream so, for every port of a Service that an Ingress names.
const UPSTREAM: &str = "{service}.{namespace}.{port}.svc";

/// What stands for a subset that there is not: no name has it.
const NONE: &str = "\0";

/// Annotations that tools leave for themselves.
const BOOKKEEPING: &[&str] = &[
    "kubectl.kubernetes.io/",
    "deployment.kubernetes.io/",
    "kubernetes.io/",
    "app.kubernetes.io/",
    "meta.helm.sh/",
    "helm.sh/",
    "argocd.argoproj.io/",
    "kustomize.toolkit.fluxcd.io/",
    "config.kubernetes.io/",
    "cert-manager.io/",
    "external-dns.alpha.kubernetes.io/",
];

/// Name and namespace of a manifest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Metadata<'n> {
    pub name: &'n str,
    pub namespace: &'n str,
    pub given_namespace: Option<&'n str>,
    /// Empty where it is not in a cluster.
    pub created: &'n str,
}

impl<'n> Metadata<'n> {
    /// The same without reading it: of a manifest that has been read, or will be.
    pub(super) fn of(manifest: &'n Node) -> Self {
        let field = |name| manifest.dig(&["metadata", name]).and_then(Node::text);
        let given_namespace = field("namespace");
        Self {
            name: field("name").unwrap_or("imported"),
            namespace: given_namespace.unwrap_or("default"),
            given_namespace,
            created: field("creationTimestamp").unwrap_or_default(),
        }
    }

    /// As its messages and descriptions call it.
    pub(super) fn label(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// Reads what every manifest has; annotations only where they are nobody's concern here.
pub(super) fn manifest<'n>(manifest: &'n Node, import: &mut Import) -> Metadata<'n> {
    import.skip(manifest, &["apiVersion", "kind", "status"]);
    if let Some(metadata) = import.object(manifest, "metadata") {
        for name in ["name", "namespace", "creationTimestamp"] {
            import.text(metadata, name);
        }
        import.skip(
            metadata,
            &[
                "labels",
                "generateName",
                "uid",
                "resourceVersion",
                "generation",
                "managedFields",
                "ownerReferences",
                "finalizers",
                "selfLink",
                "deletionTimestamp",
                "deletionGracePeriodSeconds",
            ],
        );
    }
    Metadata::of(manifest)
}

/// Names the annotations that may say something.
pub(super) fn annotations(manifest: &Node, import: &mut Import) {
    let Some(metadata) = import.object(manifest, "metadata") else { return };
    for (entry, _) in import.pairs(metadata, "annotations") {
        if !is_bookkeeping(&entry.key) {
            let message = format!("the annotation `{}` is not carried over", entry.key);
            import.warning(entry.key_span.clone(), message);
        }
    }
}

pub(super) fn is_bookkeeping(annotation: &str) -> bool {
    BOOKKEEPING.iter().any(|prefix| annotation.starts_with(prefix))
}

/// A port of a Service, as a route names it.
#[derive(Clone, Debug)]
pub(super) struct Backend<'b> {
    pub service: &'b str,
    pub namespace: &'b str,
    /// Number or name; none where a route need not say it.
    pub port: Option<String>,
    /// Istio's subset.
    pub subset: Option<&'b str>,
}

impl Backend<'_> {
    /// The name of the Upstream or cluster for it; none, and an error, where something is missing.
    pub(super) fn upstream(&self, at: &Node, import: &mut Import) -> Option<String> {
        let template = import.options.upstream.as_deref().unwrap_or(UPSTREAM);
        let key = (self.namespace.to_owned(), self.service.to_owned());
        let ports = import.services.get(&key).cloned().unwrap_or_default();
        let port = match (&self.port, ports.as_slice()) {
            (Some(port), _) => Some(port.clone()),
            // A Service with one port leaves no choice.
            (None, [(_, only)]) => Some(only.to_string()),
            (None, _) => None,
        };
        if port.is_none() && template.contains("{port}") {
            let message = format!(
                "the port of the Service {}/{} is not said; accepted are its manifest in the input, \
                 and `--upstream` with a name that has no `{{port}}` in it",
                self.namespace, self.service
            );
            import.error(head(at), message);
            return None;
        }
        if let Some(subset) = self.subset
            && !template.contains("{subset}")
        {
            let message = format!(
                "the subset {subset} of {} has no Upstream of its own and cannot be carried over; \
                 accepted is `--upstream` with `{{subset}}` in the name",
                self.service
            );
            import.lost(head(at), message);
            return None;
        }
        let name = template
            .replace("{service}", self.service)
            .replace("{namespace}", self.namespace)
            .replace("{port}", port.as_deref().unwrap_or_default())
            .replace("{subset}", self.subset.unwrap_or(NONE));
        // Without a subset, what sets it off goes too.
        let name = ["-", "_", ".", ""]
            .iter()
            .fold(name, |name, before| name.replace(&format!("{before}{NONE}"), ""));
        let number = port.and_then(|port| match port.parse() {
            Ok(number) => Some(number),
            Err(_) => ports
                .iter()
                .find(|(name, _)| name.as_deref() == Some(port.as_str()))
                .map(|(_, number)| *number),
        });
        // Which of a Service's pods are a subset's, an address does not say.
        if let (Some(port), None) = (number, self.subset) {
            let host = format!("{}.{}.svc.cluster.local", self.service, self.namespace);
            let endpoint = Endpoint { host, port, weight: None };
            import.endpoints.entry(name.clone()).or_insert_with(|| vec![endpoint]);
        }
        Some(name)
    }
}

/// Notes a Service's ports.
pub(super) fn service(document: &Node, import: &mut Import) {
    let metadata = manifest(document, import);
    let mut ports = Vec::new();
    if let Some(spec) = document.get("spec") {
        for port in spec.list("ports") {
            let number = port.get("port").and_then(Node::scalar).and_then(|port| port.as_u64());
            if let Some(number) = number.and_then(|number| u16::try_from(number).ok()) {
                ports.push((port.text_of("name").map(str::to_owned), number));
            }
        }
    }
    // Its ports are all that is asked of it; it stays what it is.
    import.told(document);
    let key = (metadata.namespace.to_owned(), metadata.name.to_owned());
    import.services.insert(key, ports);
}
