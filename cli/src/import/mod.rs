//! `tse-route import`: what other gateways know of traffic splitting, as KongPlugin manifests.
//!
//! One file for each source format. Each turns documents into [`draft::Plugin`]s and names all that
//! it cannot carry over; nothing is dropped in silence.

mod apisix;
mod draft;
mod expression;
mod gateway_api;
mod ingress_nginx;
mod kong_canary;
mod tree;

use super::Failure;
use super::args::ImportArgs;
use super::diagnostic::Diagnostic;
use super::output::{self, Format};
use super::source::{Node, Source, Span};
use draft::Plugin;
use tree::Tree;
use tse_route::config::Severity;

pub(crate) fn run(args: &ImportArgs) -> Result<(), Failure> {
    let mut sources = Vec::new();
    for name in &args.files {
        sources.push(Source::read(name).map_err(Failure::Usage)?);
    }
    let documents: Vec<_> = sources.iter().map(Source::documents).collect();
    let mut import = Import { lossy: args.lossy, file: 0, diagnostics: Vec::new() };
    let mut found = Found::default();
    for (file, (nodes, faults)) in documents.iter().enumerate() {
        import.file = file;
        for fault in faults {
            import.error(fault.span.clone(), fault.message.clone());
        }
        for node in nodes {
            found.document(file, node, &mut import);
        }
    }
    let mut plugins = found.plugins(&mut import);
    if plugins.is_empty() && import.is_sound() {
        import.file = 0;
        import.error(
            0..0,
            "nothing to import; accepted are Gateway API HTTPRoutes, Ingresses with ingress-nginx's \
             canary annotations, Kong's `canary` plugin and APISIX's `traffic-split`",
        );
    }
    if let (Some(name), [plugin]) = (&args.name, plugins.as_mut_slice()) {
        plugin.name.clone_from(name);
    } else if args.name.is_some() && plugins.len() > 1 {
        return Err(Failure::Usage(format!(
            "--name: there are {} plugins to name; accepted is one",
            plugins.len()
        )));
    }
    for plugin in &mut plugins {
        plugin.check(&mut import);
    }
    for (file, diagnostic) in &import.diagnostics {
        if let Some(source) = sources.get(*file) {
            output::note(&diagnostic.human(source));
        }
    }
    if !import.is_sound() {
        return Err(Failure::Faults);
    }
    write(&plugins, args.output.format)
}

fn write(plugins: &[Plugin], format: Format) -> Result<(), Failure> {
    let manifests: Vec<Tree> = plugins.iter().map(Plugin::manifest).collect();
    match (format, manifests.as_slice()) {
        (Format::Json, [manifest]) => output::json(&manifest.json()),
        (Format::Json, several) => output::json(&serde_json::json!({
            "apiVersion": "v1",
            "kind": "List",
            "items": several.iter().map(Tree::json).collect::<Vec<_>>(),
        })),
        (Format::Human, several) => {
            let texts: Vec<String> = several.iter().map(Tree::yaml).collect();
            output::text(texts.join("---\n").as_bytes())
        }
    }
}

/// What is said of the documents.
struct Import {
    lossy: bool,
    /// The file that is being read.
    file: usize,
    diagnostics: Vec<(usize, Diagnostic)>,
}

impl Import {
    fn is_sound(&self) -> bool {
        !self.diagnostics.iter().any(|(_, diagnostic)| diagnostic.is_error())
    }

    fn error(&mut self, span: Span, message: impl Into<String>) {
        self.diagnostics.push((self.file, Diagnostic::error(span, message.into())));
    }

    fn warning(&mut self, span: Span, message: impl Into<String>) {
        self.diagnostics.push((self.file, Diagnostic::warning(span, message.into())));
    }

    /// Something that cannot be carried over.
    fn lost(&mut self, span: Span, message: impl Into<String>) {
        let severity = if self.lossy { Severity::Warning } else { Severity::Error };
        let message = message.into();
        let diagnostic = Diagnostic { severity, ..Diagnostic::error(span, message) };
        self.diagnostics.push((self.file, diagnostic));
    }

    /// Fields of an object that have no counterpart.
    fn only(&mut self, object: &Node, known: &[&str], of: &str) {
        for entry in object.entries() {
            if !known.contains(&entry.key.as_str()) && !entry.value.is_null() {
                let message = format!("`{}` of {of} cannot be carried over", entry.key);
                self.lost(entry.key_span.clone(), message);
            }
        }
    }
}

/// What was found, by format; routes that belong together become one plugin.
#[derive(Default)]
struct Found<'n> {
    http_routes: Vec<(usize, &'n Node)>,
    ingresses: Vec<(usize, &'n Node)>,
    plugins: Vec<Plugin>,
}

impl<'n> Found<'n> {
    fn document(&mut self, file: usize, document: &'n Node, import: &mut Import) {
        let Some(kind) = document.entry("kind") else {
            self.plugins.extend(kong_canary::find(document, import));
            self.plugins.extend(apisix::find(document, import));
            return;
        };
        match kind.value.text().unwrap_or_default() {
            "List" => {
                for item in document.list("items") {
                    self.document(file, item, import);
                }
            }
            "HTTPRoute" => self.http_routes.push((file, document)),
            "Ingress" => self.ingresses.push((file, document)),
            "KongPlugin" | "KongClusterPlugin" if document.text_of("plugin") == Some("canary") => {
                self.plugins.extend(kong_canary::of_manifest(document, import));
            }
            "ApisixRoute" | "ApisixPluginConfig" | "ApisixGlobalRule" => {
                self.plugins.extend(apisix::find(document, import));
            }
            other @ ("GRPCRoute" | "TLSRoute" | "TCPRoute" | "UDPRoute" | "VirtualService"
            | "TrafficSplit") => {
                let message = format!("a {other} cannot be carried over");
                import.lost(kind.value.span.clone(), message);
            }
            other => {
                let message =
                    format!("a {other} says nothing of traffic splitting and is left out");
                import.warning(kind.value.span.clone(), message);
            }
        }
    }

    fn plugins(self, import: &mut Import) -> Vec<Plugin> {
        let mut plugins = Vec::new();
        plugins.extend(gateway_api::import(&self.http_routes, import));
        plugins.extend(ingress_nginx::import(&self.ingresses, import));
        plugins.extend(self.plugins);
        plugins
    }
}

/// The place of a node that may be long.
fn head(node: &Node) -> Span {
    match node.entries().first() {
        Some(first) => first.key_span.clone(),
        None => node.span.clone(),
    }
}

/// The name of Kong's Upstream for a port of a Kubernetes Service.
fn upstream_name(service: &str, namespace: &str, port: &str) -> String {
    format!("{service}.{namespace}.{port}.svc")
}
