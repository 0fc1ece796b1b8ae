//! What other gateways know of traffic splitting, as configurations of this one.
//!
//! Text in, configurations and remarks out: nothing here reads a file or prints, so that a page in a
//! browser imports as the command line does. One module for each source; each turns documents into
//! [`Draft`]s and names all that it cannot carry over. What a document says and no importer reads is
//! named too, so nothing is dropped in silence.
//!
//! ```
//! use tse_route_cli::import::{self, Form, Options, Text};
//!
//! let route = "
//! kind: HTTPRoute
//! metadata: {name: shop}
//! spec: {rules: [{backendRefs: [{name: green, port: 80}]}]}
//! ";
//! let imported = import::import(&[Text::new("route.yaml", route)], &Options::default());
//! assert!(imported.is_sound());
//! assert!(imported.yaml(Form::Config)?.contains("green.default.80.svc"));
//! # Ok::<(), String>(())
//! ```

mod apisix;
mod argo;
mod command;
mod draft;
mod expression;
mod flagger;
mod forms;
mod gateway_api;
mod hosts;
mod ingress_nginx;
mod istio;
mod kong_canary;
mod kubernetes;
mod pattern;
mod plan;
mod progressive;
mod reading;
mod text_match;
mod traefik;
mod tree;

pub(crate) use command::run;
pub use draft::Draft;
pub use forms::Form;

use crate::diagnostic::Diagnostic;
use crate::source::{Node, Source};
use gateway_api::GatewayApi;
use reading::Import;
use std::collections::BTreeMap;
use std::ops::Range;
use tse_route::config::Severity;

/// What can be imported, for messages.
const SOURCES: &str = "Gateway API's HTTPRoute and GRPCRoute, Ingresses with ingress-nginx's canary \
    annotations, Kong's `canary` plugin, APISIX's `traffic-split` and ApisixRoute, Istio's VirtualService, \
    Traefik's TraefikService, Argo's Rollout and Flagger's Canary";

/// A text that is to be imported: YAML, perhaps of several documents, or JSON.
#[derive(Debug)]
pub struct Text(Source);

impl Text {
    /// A text with the name of its file, which tells JSON from YAML where it ends so.
    #[must_use]
    pub fn new(name: &str, text: &str) -> Self {
        Self(Source::new(name, text.to_owned()))
    }
}

/// How to import.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What cannot be carried over is left out with a warning, instead of being an error.
    pub lossy: bool,
    /// The name of the plugin, where there is one; upstreams without a name are called after it.
    pub name: Option<String>,
    /// Of several places that a source decides apart, the ones whose label has this text in it.
    pub parent: Option<String>,
    /// Steps of a controller are for a release plan, [`Form::Plan`]: the rules are as they are before a
    /// release, and have no ramp.
    pub release: bool,
    /// When ramps start whose source does not say it: RFC 3339, or seconds since 1970.
    pub start: Option<String>,
    /// The names of upstreams for Services of Kubernetes, with `{service}`, `{namespace}`, `{port}` and
    /// `{subset}` for what the source says; without it Kong's own, `{service}.{namespace}.{port}.svc`.
    pub upstream: Option<String>,
}

/// What has become of the texts.
#[derive(Debug)]
pub struct Imported {
    /// The configurations; not to be used where there is an error among the remarks.
    pub drafts: Vec<Draft>,
    /// What is to be said of the texts, in the order in which it was found.
    pub remarks: Vec<Remark>,
    endpoints: BTreeMap<String, Vec<Endpoint>>,
    /// Whether the names of upstreams have been chosen.
    upstreams_are_named: bool,
}

impl Imported {
    /// Whether there is no error.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.remarks.iter().all(|remark| remark.severity != Severity::Error)
    }
}

/// Something that is to be said of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Whether the import has failed for it.
    pub severity: Severity,
    /// The index of the text.
    pub file: usize,
    /// Where in the text, in bytes.
    pub place: Range<usize>,
    /// The line of the place, from 1.
    pub line: usize,
    /// The column of the place in characters, from 1.
    pub column: usize,
    /// In words.
    pub message: String,
}

/// Where an upstream is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Endpoint {
    /// An address or a name.
    host: String,
    port: u16,
    weight: Option<u64>,
}

/// Imports texts.
#[must_use]
pub fn import(texts: &[Text], options: &Options) -> Imported {
    let (drafts, diagnostics, endpoints) = translate(texts, options);
    let remarks = diagnostics.into_iter().map(|(file, diagnostic)| {
        let position = texts.get(file).map(|Text(source)| source.position(diagnostic.span.start));
        Remark {
            severity: diagnostic.severity,
            file,
            place: diagnostic.span,
            line: position.map_or(1, |position| position.line),
            column: position.map_or(1, |position| position.column),
            message: diagnostic.message,
        }
    });
    let upstreams_are_named = options.upstream.is_some();
    Imported { remarks: remarks.collect(), drafts, endpoints, upstreams_are_named }
}

type Translated = (Vec<Draft>, Vec<(usize, Diagnostic)>, BTreeMap<String, Vec<Endpoint>>);

fn translate(texts: &[Text], options: &Options) -> Translated {
    let documents: Vec<_> = texts.iter().map(|Text(source)| source.documents()).collect();
    let mut import = Import::new(options);
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
    let mut drafts = found.drafts(&mut import);
    for (file, (nodes, _)) in documents.iter().enumerate() {
        import.file = file;
        for node in nodes {
            import.rest(node);
        }
    }
    choose(&mut drafts, &mut import);
    if drafts.is_empty() && import.is_sound() {
        import.file = 0;
        let is_ours = |(nodes, _): &(Vec<Node>, _)| nodes.iter().any(is_a_configuration);
        let message = match documents.iter().any(is_ours) {
            true => "nothing to import: this is a configuration of tse-route already".to_owned(),
            false => format!("nothing to import; accepted are {SOURCES}"),
        };
        import.error(0..0, message);
    }
    if let (Some(name), [draft]) = (&options.name, drafts.as_mut_slice()) {
        draft.name.clone_from(name);
    }
    for draft in &mut drafts {
        draft.settle(&mut import);
    }
    (drafts, import.diagnostics, import.endpoints)
}

/// Leaves the drafts that `--parent` asks for.
fn choose(drafts: &mut Vec<Draft>, import: &mut Import) {
    let Some(wanted) = &import.options.parent else { return };
    let names: Vec<String> = drafts.iter().map(|draft| draft.place().to_owned()).collect();
    let exact = names.iter().any(|name| name == wanted);
    drafts.retain(|draft| {
        let name = draft.place();
        if exact { name == wanted } else { name.contains(wanted.as_str()) }
    });
    if drafts.is_empty() && import.is_sound() {
        import.file = 0;
        let quoted = tse_route::config::quote(wanted);
        import.error(
            0..0,
            format!("nothing is for the parent {quoted}; accepted is one of: {}", names.join("; ")),
        );
    }
}

/// Whether a document is what an import makes.
fn is_a_configuration(document: &Node) -> bool {
    document.text_of("plugin") == Some("tse-route")
        || document.list("rules").iter().any(|rule| !rule.list("upstream").is_empty())
}

/// What kind of foreign document this is, if `import` reads it; for hints.
pub(crate) fn kind_of(document: &Node) -> Option<String> {
    if document.get("kind").is_none() {
        let declared = kong_canary::is_there(document);
        let apisix = apisix::is_there(document);
        return match (declared, apisix) {
            (true, _) => Some("Kong's canary plugin".to_owned()),
            (_, true) => Some("APISIX's traffic-split".to_owned()),
            _ => None,
        };
    }
    match Kind::of(document) {
        Kind::List => document.list("items").iter().find_map(kind_of),
        Kind::GatewayApi
        | Kind::Apisix
        | Kind::Istio
        | Kind::Traefik
        | Kind::Argo
        | Kind::Flagger => document.text_of("kind").map(|kind| format!("{} {kind}", article(kind))),
        Kind::Ingress => {
            ingress_nginx::is_canary(document).then(|| "ingress-nginx's canary".to_owned())
        }
        Kind::KongCanary => Some("Kong's canary plugin".to_owned()),
        Kind::Context | Kind::Refused | Kind::Unrelated => None,
    }
}

fn article(word: &str) -> &'static str {
    if word.starts_with(['A', 'E', 'H', 'I', 'O', 'U']) { "an" } else { "a" }
}

/// What a manifest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    List,
    GatewayApi,
    Ingress,
    KongCanary,
    Apisix,
    Istio,
    Traefik,
    Argo,
    Flagger,
    /// Read for what the others say.
    Context,
    /// Of traffic splitting, and not carried over.
    Refused,
    Unrelated,
}

impl Kind {
    fn of(document: &Node) -> Self {
        let group = document.text_of("apiVersion").and_then(|version| version.split_once('/'));
        let group = group.map(|(group, _)| group);
        let is = |expected: &str| group.is_none_or(|group| group == expected);
        match document.text_of("kind").unwrap_or_default() {
            kind if kind.ends_with("List") && document.get("items").is_some() => Self::List,
            "HTTPRoute" | "GRPCRoute" if is("gateway.networking.k8s.io") => Self::GatewayApi,
            "Gateway" | "ReferenceGrant" if is("gateway.networking.k8s.io") => Self::Context,
            "Service" if group.is_none() => Self::Context,
            "Ingress" => Self::Ingress,
            "KongPlugin" | "KongClusterPlugin" if document.text_of("plugin") == Some("canary") => {
                Self::KongCanary
            }
            "ApisixRoute" | "ApisixPluginConfig" | "ApisixGlobalRule" | "PluginConfig"
                if is("apisix.apache.org") =>
            {
                Self::Apisix
            }
            "VirtualService" if is("networking.istio.io") => Self::Istio,
            "TraefikService" => Self::Traefik,
            "Rollout" if is("argoproj.io") => Self::Argo,
            "Canary" if is("flagger.app") => Self::Flagger,
            "TLSRoute" | "TCPRoute" | "UDPRoute" | "TrafficSplit" | "HTTPProxy" | "Mapping"
            | "ServiceSplitter" | "MeshHTTPRoute" | "RouteGroup" => Self::Refused,
            // Of another group than above, as Linkerd's HTTPRoute and Gloo's VirtualService are.
            "HTTPRoute" | "GRPCRoute" | "VirtualService" => Self::Refused,
            "IngressRoute" if splits(document) => Self::Refused,
            _ => Self::Unrelated,
        }
    }
}

/// Whether a route of Traefik's IngressRoute has several services.
fn splits(document: &Node) -> bool {
    let routes = document.dig(&["spec", "routes"]).map(Node::elements).unwrap_or_default();
    routes.iter().any(|route| route.list("services").len() > 1)
}

/// What was found, by source; routes that belong together become one plugin.
#[derive(Default)]
struct Found<'n> {
    gateway_api: GatewayApi<'n>,
    ingresses: Vec<(usize, &'n Node)>,
    virtual_services: Vec<(usize, &'n Node)>,
    traefik_services: Vec<(usize, &'n Node)>,
    /// Manifests that become one plugin each.
    single: Vec<(usize, &'n Node)>,
    drafts: Vec<Draft>,
}

impl<'n> Found<'n> {
    fn document(&mut self, file: usize, document: &'n Node, import: &mut Import) {
        let Some(kind) = document.entry("kind") else {
            let before = self.drafts.len();
            self.drafts.extend(kong_canary::find(document, import));
            self.drafts.extend(apisix::find(document, import));
            if self.drafts.len() == before {
                import.told(document);
            }
            return;
        };
        let name = document.text_of("kind").unwrap_or_default();
        match Kind::of(document) {
            Kind::List => {
                import.skip(document, &["apiVersion", "kind", "metadata"]);
                for item in import.objects(document, "items") {
                    self.document(file, item, import);
                }
            }
            Kind::GatewayApi => self.gateway_api.routes.push((file, document)),
            Kind::Context => match name {
                "Gateway" => self.gateway_api.gateways.push((file, document)),
                "ReferenceGrant" => self.gateway_api.grants.push((file, document)),
                _ => kubernetes::service(document, import),
            },
            Kind::Ingress => self.ingresses.push((file, document)),
            Kind::KongCanary => self.drafts.extend(kong_canary::of_manifest(document, import)),
            Kind::Apisix | Kind::Argo | Kind::Flagger => self.single.push((file, document)),
            Kind::Istio => self.virtual_services.push((file, document)),
            Kind::Traefik => self.traefik_services.push((file, document)),
            Kind::Refused => {
                import.told(document);
                let group = document.text_of("apiVersion").and_then(|text| text.split_once('/'));
                let of = group.map(|(group, _)| format!(" of {group}")).unwrap_or_default();
                let message = format!("{} {name}{of} cannot be carried over", article(name));
                import.lost(kind.value.span.clone(), message);
            }
            Kind::Unrelated => {
                import.told(document);
                let message = format!("{} {name} is not read, and is left out", article(name));
                import.warning(kind.value.span.clone(), message);
            }
        }
    }

    fn drafts(self, import: &mut Import) -> Vec<Draft> {
        let mut drafts = self.gateway_api.plugins(import);
        drafts.extend(ingress_nginx::import(&self.ingresses, import));
        drafts.extend(istio::import(&self.virtual_services, import));
        drafts.extend(traefik::import(&self.traefik_services, import));
        for (file, manifest) in &self.single {
            import.file = *file;
            match Kind::of(manifest) {
                Kind::Argo => drafts.extend(argo::import(manifest, import)),
                Kind::Flagger => drafts.extend(flagger::import(manifest, import)),
                _ => drafts.extend(apisix::of_manifest(manifest, import)),
            }
        }
        drafts.extend(self.drafts);
        drafts
    }
}
