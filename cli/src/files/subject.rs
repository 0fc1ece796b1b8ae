//! One configuration with its surroundings.

use crate::diagnostic::Diagnostic;
use crate::source::{Entry, Kind, Node, Span, Style, locate};
use crate::{witness, world};
use hashbrown::HashSet;
use serde_json::Value;
use std::net::IpAddr;
use tse_route::Loaded;
use tse_route::config::{self, HostChoice, RouteBy, Severity, quote};
use tse_route::engine;

/// So much work goes into looking for requests that rules match; the rules behind it go without.
const MOST_WORK: usize = 8_000_000;

/// A configuration, where it stands, and what is known of its gateway.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// What the configuration belongs to, as in `KongPlugin my-test-route`; none where the file is nothing else.
    pub label: Option<String>,
    pub node: Node,
    /// The gateway, where the file tells.
    pub gateway: Option<Gateway>,
    /// Whether the file gives Kong a zone for the shared memory of filters.
    pub has_zone: bool,
    /// The upstreams that the gateway has, where the file tells.
    pub upstreams: Option<UpstreamNames>,
    /// Whether the gateway can hold a request back until its body is there; none where it needs not be told to.
    pub holds_requests: Option<bool>,
    /// What keeps clients from sending the internal header; none where the file does not tell.
    pub guard: Option<Guard>,
}

/// For which gateway a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gateway {
    Kong,
    Envoy,
}

/// What stands between clients and the internal header.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    /// Where the guard is, or would be.
    pub span: Span,
    /// The headers that are removed before a route is picked, in lower case.
    pub removed: HashSet<String>,
    /// What removes them where that is a policy of its own, which another file may have; none for
    /// the connection manager itself.
    pub policy: Option<&'static str>,
    /// The headers by which routes pick their cluster, in lower case; none where routes come from elsewhere.
    pub routed: Option<HashSet<String>>,
}

/// The upstreams that a file defines.
#[derive(Clone, Debug)]
pub(crate) struct UpstreamNames {
    /// What they are called there, as in "an upstream of this file".
    pub what: &'static str,
    pub names: HashSet<String>,
}

/// A configuration with all that is wrong with it.
#[derive(Debug)]
pub(crate) struct Checked {
    pub loaded: Loaded,
    pub diagnostics: Vec<Diagnostic>,
}

impl Checked {
    pub(crate) fn is_usable(&self) -> bool {
        self.diagnostics.iter().all(|diagnostic| diagnostic.severity != Severity::Error)
    }
}

impl Subject {
    pub(crate) fn raw(node: Node) -> Self {
        Self {
            label: None,
            node,
            gateway: None,
            has_zone: false,
            upstreams: None,
            holds_requests: None,
            guard: None,
        }
    }

    pub(crate) fn labelled(label: String, node: Node) -> Self {
        Self { label: Some(label), ..Self::raw(node) }
    }

    /// Reads, compiles and looks over the configuration.
    pub(crate) fn check(&self) -> Checked {
        let value = self.node.value();
        let (config, report) = config::read(&value);
        let (table, report) = engine::compile(&config, report);
        let report = if report.is_usable() {
            engine::lint(&config, &table, world::now().0, report)
        } else {
            report
        };
        let mut diagnostics: Vec<Diagnostic> =
            report.faults().iter().flat_map(|fault| self.diagnostics(fault)).collect();
        let loaded = Loaded { config, table, report };
        self.check_spelling(&self.node, "", &mut diagnostics);
        self.check_upstreams(&loaded, &mut diagnostics);
        self.check_body(&loaded, &mut diagnostics);
        self.check_guard(&loaded, &mut diagnostics);
        self.check_shared_memory(&loaded, &mut diagnostics);
        self.check_witnesses(&loaded, &mut diagnostics);
        // In the order of the text; stable for faults of one place.
        diagnostics.sort_by_key(|diagnostic| diagnostic.span.start);
        Checked { loaded, diagnostics }
    }

    /// A fault as it is shown; a list with several bad entries is shown with each.
    fn diagnostics(&self, fault: &config::Fault) -> impl Iterator<Item = Diagnostic> {
        let (severity, path, subject) = (fault.severity, fault.path.clone(), self.label.clone());
        super::advice::of(&self.node, fault).into_iter().map(move |(span, message)| Diagnostic {
            severity,
            span,
            path: Some(path.clone()),
            subject: subject.clone(),
            message,
        })
    }

    /// A diagnostic of the place that a path leads to.
    pub(crate) fn at(
        &self,
        path: &str,
        name: bool,
        severity: Severity,
        message: String,
    ) -> Diagnostic {
        let span = locate(&self.node, path).span(name);
        Diagnostic {
            severity,
            span,
            path: Some(path.to_owned()),
            subject: self.label.clone(),
            message,
        }
    }

    /// Values that mean something else to a YAML reader than they look like.
    fn check_spelling(&self, node: &Node, path: &str, diagnostics: &mut Vec<Diagnostic>) {
        for (index, element) in node.elements().iter().enumerate() {
            self.check_spelling(element, &format!("{path}[{index}]"), diagnostics);
        }
        for entry in node.entries() {
            let dot = if path.is_empty() { "" } else { "." };
            let path = format!("{path}{dot}{}", entry.key);
            if let Some(message) = doubtful(entry) {
                diagnostics.push(self.at(&path, false, Severity::Warning, message));
            }
            self.check_spelling(&entry.value, &path, diagnostics);
        }
    }

    /// Upstreams that the gateway does not have, or cannot have.
    fn check_upstreams(&self, loaded: &Loaded, diagnostics: &mut Vec<Diagnostic>) {
        if loaded.config.route_by == RouteBy::Header {
            return;
        }
        for (path, name) in upstream_names(&loaded.config) {
            if name.is_empty() {
                continue;
            }
            let is_known = |known: &UpstreamNames| known.names.contains(name);
            let (severity, message) = match &self.upstreams {
                Some(known) if is_known(known) => continue,
                _ if self.is_kong(&loaded.config) && !can_be_upstream(name) => {
                    let hint = upstream_of_address(name).map(did_you_mean).unwrap_or_default();
                    let message = format!(
                        "found {}, which no Upstream of Kong can be called; accepted is a name of \
                         letters, digits, `.`, `-` and `_`, without scheme and port, and no address{hint}",
                        quote(name)
                    );
                    (Severity::Error, message)
                }
                Some(known) => {
                    let mut names: Vec<&str> = known.names.iter().map(String::as_str).collect();
                    names.sort_unstable();
                    let near = config::nearest(name, names);
                    let hint = near.map(|near| did_you_mean(near.to_owned())).unwrap_or_default();
                    let message = format!(
                        "found {}; accepted is the name of {}{hint}",
                        quote(name),
                        known.what
                    );
                    (Severity::Error, message)
                }
                None if name.contains("://") => {
                    let message = format!(
                        "found {}, a URL; accepted is the name of a Kong Upstream or of an Envoy cluster",
                        quote(name)
                    );
                    (Severity::Warning, message)
                }
                None => continue,
            };
            diagnostics.push(self.at(&path, false, severity, message));
        }
    }

    fn is_kong(&self, config: &config::Config) -> bool {
        self.gateway == Some(Gateway::Kong) || config.host == HostChoice::Kong
    }

    /// Rules for which no request can be made up, and of which nothing else is said that explains it.
    fn check_witnesses(&self, loaded: &Loaded, diagnostics: &mut Vec<Diagnostic>) {
        if !loaded.report.is_usable() {
            return;
        }
        let mut work = MOST_WORK;
        for (position, rule) in loaded.table.rules().iter().enumerate() {
            work = work.saturating_sub(witness::work(&loaded.config, rule.index()));
            if work == 0 {
                break;
            }
            let path = format!("rules[{}].condition", rule.index());
            let is_explained = |diagnostic: &Diagnostic| {
                diagnostic.path.as_ref().is_some_and(|place| place.starts_with(&path))
            };
            if diagnostics.iter().any(is_explained)
                || witness::of(&loaded.config, &loaded.table, position).is_some()
            {
                continue;
            }
            let message = "no request could be made up that meets this condition, and perhaps none does; \
                           `explain` tells it of a request of yours";
            diagnostics.push(self.at(&path, true, Severity::Warning, message.to_owned()));
        }
    }

    /// Memory that Kong has only if it is told to.
    fn check_shared_memory(&self, loaded: &Loaded, diagnostics: &mut Vec<Diagnostic>) {
        if self.has_zone || !loaded.config.shared_memory || !self.is_kong(&loaded.config) {
            return;
        }
        let message = "Kong needs a zone for it, `KONG_NGINX_WASM_SHM_KV=10m` in its environment, and this file \
                       does not give it one: without a zone requests fail";
        let message = message.to_owned();
        diagnostics.push(self.at("shared_memory", true, Severity::Warning, message));
    }

    /// An internal header that a client may send.
    fn check_guard(&self, loaded: &Loaded, diagnostics: &mut Vec<Diagnostic>) {
        let Some(guard) = &self.guard else { return };
        let header = loaded.config.upstream_header.as_str().to_ascii_lowercase();
        let (span, subject) = (guard.span.clone(), self.label.clone());
        let mut tell = |severity, message| {
            let (span, subject) = (span.clone(), subject.clone());
            diagnostics.push(Diagnostic { severity, span, path: None, subject, message });
        };
        if guard.routed.as_ref().is_some_and(|routed| !routed.contains(&header)) {
            let message = format!(
                "no route of this connection manager picks its cluster by `{header}`, so that no choice has \
                 an effect; accepted is a first route with `cluster_header: {header}`, for requests that \
                 have the header"
            );
            tell(Severity::Warning, message);
        }
        if guard.removed.contains(&header) {
            return;
        }
        let why = format!(
            "a client that sends `{header}` picks the first route, and with it what other filters do"
        );
        let (severity, message) = match guard.policy {
            None => (
                Severity::Error,
                format!(
                    "{why}; accepted is a connection manager that removes it early: an \
                     `envoy.http.early_header_mutation.header_mutation` under \
                     `early_header_mutation_extensions` with `mutations: [{{remove: {header}}}]`"
                ),
            ),
            Some(policy) => (
                Severity::Warning,
                format!("{why}, unless {policy} removes it early; this file has none that does"),
            ),
        };
        tell(severity, message);
    }

    /// A rule that needs the body where the gateway does not wait for it.
    fn check_body(&self, loaded: &Loaded, diagnostics: &mut Vec<Diagnostic>) {
        if self.holds_requests != Some(false) {
            return;
        }
        let rules = loaded.config.rules.iter().enumerate();
        let looks_at_body = |rule: &config::Rule| {
            let locations = rule.condition.iter().flat_map(|condition| &condition.locations);
            rule.enabled && locations.into_iter().any(|(l, _)| *l == config::Location::Body)
        };
        for (index, _) in rules.filter(|(_, rule)| looks_at_body(rule)) {
            let path = format!("rules[{index}].condition.body");
            let message = "the filter must hold a request back until its body is there; Envoy allows it only with \
                           `allow_on_headers_stop_iteration: true` beside `configuration`";
            diagnostics.push(self.at(&path, true, Severity::Warning, message.to_owned()));
        }
    }
}

/// The names of upstreams in a configuration with their paths.
fn upstream_names(config: &config::Config) -> impl Iterator<Item = (String, &str)> {
    config.rules.iter().enumerate().flat_map(|(rule_index, rule)| {
        let upstreams = rule.upstream.0.iter().enumerate();
        let listed = upstreams.filter_map(move |(index, upstream)| {
            let path = format!("rules[{rule_index}].upstream[{index}].name");
            Some((path, upstream.name.as_ref()?))
        });
        let fallback = rule.circuit_breaker.as_ref().and_then(|breaker| breaker.fallback.as_ref());
        let fallback =
            fallback.map(|name| (format!("rules[{rule_index}].circuit_breaker.fallback"), name));
        listed.chain(fallback).map(|(path, name)| (path, name.0.as_str()))
    })
}

fn did_you_mean(name: String) -> String {
    format!("; did you mean {}?", quote(&name))
}

/// Whether Kong takes a name for an Upstream: a host name without port, and no address.
fn can_be_upstream(name: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    };
    name.parse::<IpAddr>().is_err() && name.trim_end_matches('.').split('.').all(is_part)
}

/// What Kong's Ingress Controller calls the Upstream of a Service's port that is given as an address.
fn upstream_of_address(address: &str) -> Option<String> {
    let address = address.split_once("://").map_or(address, |(_, rest)| rest);
    let (host, port) = address.trim_end_matches('/').split_once(':')?;
    let host = host.trim_end_matches(".cluster.local");
    let host = host.strip_suffix(".svc").unwrap_or(host);
    let parts: Vec<&str> = host.split('.').collect();
    let ([_, _], true) = (parts.as_slice(), port.parse::<u16>().is_ok()) else { return None };
    Some(format!("{host}.{port}.svc"))
}

/// What is to be said of a value that is not quoted.
fn doubtful(entry: &Entry) -> Option<String> {
    let is_text = matches!(entry.key.as_str(), "value" | "id" | "global_config_id");
    match &entry.value.kind {
        Kind::Scalar(Value::String(word), Style::Plain) if is_old_boolean(word) => Some(format!(
            "found {word} without quotes, which some YAML readers take for a boolean; \
                 accepted is '{word}' in quotes"
        )),
        Kind::Scalar(Value::Number(number), Style::Respelled) if is_text => Some(format!(
            "found a number without quotes, which arrives as {number}; \
             accepted is the text in quotes"
        )),
        _ => None,
    }
}

/// The booleans of YAML 1.1.
fn is_old_boolean(word: &str) -> bool {
    ["y", "n", "yes", "no", "on", "off"].iter().any(|old| old.eq_ignore_ascii_case(word))
}
