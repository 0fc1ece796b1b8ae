//! What an import is printed as.

use super::draft::{Binding, Draft, Otherwise, resource_name};
use super::tree::Tree;
use super::{Endpoint, Imported};
use serde_json::{Value, json};

/// The name under which gateways know the filter.
const PLUGIN: &str = "tse-route";

/// The request header that names the cluster.
const HEADER: &str = "x-tse-route-upstream";

/// What a configuration is printed as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// A KongPlugin manifest for Kong's Ingress Controller
    #[default]
    Kongplugin,
    /// A declarative file of Kong, with the Upstreams as far as their targets are known
    Kong,
    /// A bootstrap of Envoy, with the clusters as far as their addresses are known
    Envoy,
    /// The configuration alone
    Config,
    /// The plan of a release, for `tse-route release`, with the steps of a Rollout or a Canary
    Plan,
}

impl Imported {
    /// The result as YAML: one document, or one for each configuration.
    ///
    /// # Errors
    /// In words, where the form has room for one configuration and there are several.
    pub fn yaml(&self, form: Form) -> Result<String, String> {
        let documents = self.documents(form)?;
        let texts: Vec<String> = documents
            .into_iter()
            .map(|document| format!("{}{}", document.comment, document.tree.yaml()))
            .collect();
        Ok(texts.join("---\n"))
    }

    /// The result as JSON; several manifests are a List.
    ///
    /// # Errors
    /// As [`Imported::yaml`].
    pub fn json(&self, form: Form) -> Result<Value, String> {
        let documents = self.documents(form)?;
        Ok(match documents.as_slice() {
            [document] => document.tree.json(),
            several => json!({
                "apiVersion": "v1",
                "kind": "List",
                "items": several.iter().map(|document| document.tree.json()).collect::<Vec<_>>(),
            }),
        })
    }

    /// What is to be known of the names of upstreams in this form, if there is anything.
    #[must_use]
    pub fn note(&self, form: Form) -> Option<String> {
        let is_meant = self.drafts.iter().any(|draft| draft.names_of_an_ingress);
        (form == Form::Kongplugin && is_meant && !self.upstreams_are_named).then(|| {
            "Kong's Ingress Controller has an Upstream `<service>.<namespace>.<port>.svc` for every \
             Service that an Ingress names; for a route of Gateway API it makes others, \
             `httproute.…`. Name each of these Services in an Ingress, or say `--upstream`"
                .to_owned()
        })
    }

    fn documents(&self, form: Form) -> Result<Vec<Document>, String> {
        match form {
            Form::Kongplugin => Ok(self.drafts.iter().map(manifest).map(Document::plain).collect()),
            Form::Kong => Ok(vec![self.declarative()]),
            Form::Config => Ok(vec![Document::plain(self.only()?.tree())]),
            Form::Envoy => Ok(vec![self.bootstrap(self.only()?)]),
            Form::Plan => plan(self.only()?).map(|plan| vec![plan]),
        }
    }

    /// The one configuration there is.
    fn only(&self) -> Result<&Draft, String> {
        match self.drafts.as_slice() {
            [draft] => Ok(draft),
            several => {
                let names: Vec<String> =
                    several.iter().map(|draft| format!("`{}`", draft.place())).collect();
                Err(format!(
                    "this form has room for one configuration, and there are {}; accepted is \
                     `--parent` with one of {}",
                    several.len(),
                    names.join(", ")
                ))
            }
        }
    }

    fn declarative(&self) -> Document {
        let mut services = Vec::new();
        let mut plugins = vec![Tree::map(vec![("name", Tree::text("tse-route-bridge"))])];
        let mut upstreams = Vec::new();
        let mut unknown = Vec::new();
        let mut edit = Vec::new();
        for draft in &self.drafts {
            let plugin = |owner: Option<(&str, &str)>| {
                let mut fields = vec![("name", Tree::text(PLUGIN))];
                fields.extend(owner.map(|(kind, name)| (kind, Tree::text(name))));
                fields.push(("config", draft.tree()));
                Tree::map(fields)
            };
            match &draft.binding {
                Some(Binding::Service(name)) => plugins.push(plugin(Some(("service", name)))),
                Some(Binding::Route(name)) => plugins.push(plugin(Some(("route", name)))),
                None => {
                    let names = draft.upstreams();
                    let host = match &draft.otherwise {
                        Otherwise::Upstream(name) => name.as_str(),
                        _ => names.last().copied().unwrap_or("localhost"),
                    };
                    let name = resource_name(&draft.name);
                    edit.push(format!("host and routes of the service {name}"));
                    services.push(Tree::map(vec![
                        ("name", Tree::text(&name)),
                        ("host", Tree::text(host)),
                        (
                            "routes",
                            Tree::List(vec![Tree::map(vec![
                                ("name", Tree::text(&name)),
                                ("paths", Tree::List(vec![Tree::text("/")])),
                            ])]),
                        ),
                        ("plugins", Tree::List(vec![plugin(None)])),
                    ]));
                }
            }
            for name in draft.upstreams() {
                let endpoints = self.endpoints.get(name).map(Vec::as_slice).unwrap_or_default();
                if endpoints.is_empty() && !unknown.contains(&name) {
                    unknown.push(name);
                }
                let targets = endpoints.iter().map(|endpoint| {
                    let mut fields = vec![(
                        "target",
                        Tree::text(format!("{}:{}", endpoint.host, endpoint.port)),
                    )];
                    fields.extend(
                        endpoint.weight.map(|weight| ("weight", Tree::Scalar(json!(weight)))),
                    );
                    Tree::map(fields)
                });
                let upstream = Tree::map(vec![
                    ("name", Tree::text(name)),
                    ("targets", Tree::List(targets.collect())),
                ]);
                if !upstreams.contains(&upstream) {
                    upstreams.push(upstream);
                }
            }
        }
        if !unknown.is_empty() {
            edit.push(format!("the targets of the Upstreams {}", unknown.join(", ")));
        }
        let mut fields = vec![("_format_version", Tree::text("3.0"))];
        for (name, list) in [("services", services), ("plugins", plugins), ("upstreams", upstreams)]
        {
            if !list.is_empty() {
                fields.push((name, Tree::List(list)));
            }
        }
        Document { comment: comment(&edit), tree: Tree::map(fields) }
    }

    /// A bootstrap of Envoy that starts as it is.
    fn bootstrap(&self, draft: &Draft) -> Document {
        let mut edit = vec![
            "the listener's address".to_owned(),
            "`filename`, where tse-route.wasm is".to_owned(),
        ];
        let own = match &draft.otherwise {
            Otherwise::NotFound if !draft.leaves_alone() => None,
            Otherwise::Upstream(name) => Some(name.as_str()),
            Otherwise::Own | Otherwise::NotFound => Some("service"),
        };
        let mut names = draft.upstreams();
        if let Some(own) = own
            && !names.contains(&own)
        {
            names.push(own);
        }
        let mut invented = Vec::new();
        let clusters: Vec<Tree> = names
            .iter()
            .map(|name| {
                let placeholder =
                    [Endpoint { host: "127.0.0.1".to_owned(), port: 8080, weight: None }];
                let endpoints = self.endpoints.get(*name).map(Vec::as_slice).unwrap_or_else(|| {
                    invented.push(*name);
                    &placeholder
                });
                cluster(name, endpoints)
            })
            .collect();
        if !invented.is_empty() {
            edit.push(format!("the addresses of {}", invented.join(", ")));
        }
        let text = |text: &str| Tree::text(text);
        let matched = Tree::map(vec![
            (
                "match",
                Tree::map(vec![
                    ("prefix", text("/")),
                    (
                        "headers",
                        Tree::List(vec![Tree::map(vec![
                            ("name", text(HEADER)),
                            ("present_match", Tree::Scalar(json!(true))),
                        ])]),
                    ),
                ]),
            ),
            ("route", Tree::map(vec![("cluster_header", text(HEADER))])),
        ]);
        let others = Tree::map(vec![
            ("match", Tree::map(vec![("prefix", text("/"))])),
            match own {
                Some(own) => ("route", Tree::map(vec![("cluster", text(own))])),
                None => ("direct_response", Tree::map(vec![("status", Tree::Scalar(json!(404)))])),
            },
        ]);
        let typed = |kind: &str, mut fields: Vec<(&'static str, Tree)>| {
            fields.insert(0, ("@type", Tree::text(format!("type.googleapis.com/{kind}"))));
            Tree::map(fields)
        };
        let named = |name: &str, config: Tree| {
            Tree::map(vec![("name", Tree::text(name)), ("typed_config", config)])
        };
        let configuration = serde_json::to_string_pretty(&draft.config()).unwrap_or_default();
        let wasm = Tree::map(vec![
            ("name", text(PLUGIN)),
            ("root_id", text(PLUGIN)),
            // Lets a rule with a `body` condition wait for the body.
            ("allow_on_headers_stop_iteration", Tree::Scalar(json!(true))),
            (
                "configuration",
                typed("google.protobuf.StringValue", vec![("value", Tree::Block(configuration))]),
            ),
            (
                "vm_config",
                Tree::map(vec![
                    ("vm_id", text(PLUGIN)),
                    ("runtime", text("envoy.wasm.runtime.v8")),
                    (
                        "code",
                        Tree::map(vec![(
                            "local",
                            Tree::map(vec![("filename", text("dist/tse-route.wasm"))]),
                        )]),
                    ),
                ]),
            ),
        ]);
        // Before the route is picked: a client that sends the header itself has no say.
        let guard = named(
            "envoy.http.early_header_mutation.header_mutation",
            typed(
                "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
                vec![("mutations", Tree::List(vec![Tree::map(vec![("remove", text(HEADER))])]))],
            ),
        );
        let manager = typed(
            "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            vec![
                ("stat_prefix", text("gateway")),
                ("use_remote_address", Tree::Scalar(json!(true))),
                ("early_header_mutation_extensions", Tree::List(vec![guard])),
                (
                    "route_config",
                    Tree::map(vec![(
                        "virtual_hosts",
                        Tree::List(vec![Tree::map(vec![
                            ("name", text("all")),
                            ("domains", Tree::List(vec![text("*")])),
                            ("routes", Tree::List(vec![matched, others])),
                        ])]),
                    )]),
                ),
                (
                    "http_filters",
                    Tree::List(vec![
                        named(
                            PLUGIN,
                            typed(
                                "envoy.extensions.filters.http.wasm.v3.Wasm",
                                vec![("config", wasm)],
                            ),
                        ),
                        named(
                            "envoy.filters.http.router",
                            typed("envoy.extensions.filters.http.router.v3.Router", Vec::new()),
                        ),
                    ]),
                ),
            ],
        );
        let listener = Tree::map(vec![
            ("name", text("gateway")),
            ("address", address("127.0.0.1", 10_000)),
            (
                "filter_chains",
                Tree::List(vec![Tree::map(vec![(
                    "filters",
                    Tree::List(vec![named(
                        "envoy.filters.network.http_connection_manager",
                        manager,
                    )]),
                )])]),
            ),
        ]);
        let resources = Tree::map(vec![
            ("listeners", Tree::List(vec![listener])),
            ("clusters", Tree::List(clusters)),
        ]);
        Document { comment: comment(&edit), tree: Tree::map(vec![("static_resources", resources)]) }
    }
}

/// A document that is printed.
struct Document {
    comment: String,
    tree: Tree,
}

impl Document {
    fn plain(tree: Tree) -> Self {
        Self { comment: String::new(), tree }
    }
}

/// What has to be looked at before it is used.
fn comment(edit: &[String]) -> String {
    edit.iter().map(|what| format!("# EDIT: {what}\n")).collect()
}

/// The plan of a release.
fn plan(draft: &Draft) -> Result<Document, String> {
    let (Some(plan), [rule]) = (&draft.plan, draft.rules.as_slice()) else {
        return Err(format!(
            "{} has no steps for a release plan; accepted are Argo Rollouts' Rollout and Flagger's Canary",
            draft.place()
        ));
    };
    let rule = rule.name.as_deref().unwrap_or_default();
    Ok(Document { comment: comment(&plan.edit()), tree: plan.tree(draft, rule) })
}

/// A KongPlugin.
fn manifest(draft: &Draft) -> Tree {
    let mut metadata = vec![("name", Tree::text(resource_name(&draft.name)))];
    metadata.extend(draft.namespace.as_ref().map(|namespace| ("namespace", Tree::text(namespace))));
    Tree::map(vec![
        ("apiVersion", Tree::text("configuration.konghq.com/v1")),
        ("kind", Tree::text("KongPlugin")),
        ("metadata", Tree::map(metadata)),
        ("plugin", Tree::text(PLUGIN)),
        ("config", draft.tree()),
    ])
}

fn address(host: &str, port: u16) -> Tree {
    let socket =
        Tree::map(vec![("address", Tree::text(host)), ("port_value", Tree::Scalar(json!(port)))]);
    Tree::map(vec![("socket_address", socket)])
}

fn cluster(name: &str, endpoints: &[Endpoint]) -> Tree {
    let is_name = |endpoint: &Endpoint| endpoint.host.parse::<std::net::IpAddr>().is_err();
    let discovery = if endpoints.iter().any(is_name) { "STRICT_DNS" } else { "STATIC" };
    let endpoints = endpoints.iter().map(|endpoint| {
        let mut fields = vec![(
            "endpoint",
            Tree::map(vec![("address", address(&endpoint.host, endpoint.port))]),
        )];
        // Envoy knows no weight of 0.
        fields.extend(
            endpoint
                .weight
                .filter(|weight| *weight > 0)
                .map(|weight| ("load_balancing_weight", Tree::Scalar(json!(weight)))),
        );
        Tree::map(fields)
    });
    Tree::map(vec![
        ("name", Tree::text(name)),
        ("type", Tree::text(discovery)),
        (
            "load_assignment",
            Tree::map(vec![
                ("cluster_name", Tree::text(name)),
                (
                    "endpoints",
                    Tree::List(vec![Tree::map(vec![(
                        "lb_endpoints",
                        Tree::List(endpoints.collect()),
                    )])]),
                ),
            ]),
        ),
    ])
}
