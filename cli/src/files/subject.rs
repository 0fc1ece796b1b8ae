//! One configuration with its surroundings.

use crate::diagnostic::Diagnostic;
use crate::source::{Entry, Kind, Node, Span, Style, locate};
use crate::world;
use hashbrown::HashSet;
use serde_json::Value;
use tse_route::Loaded;
use tse_route::config::{self, Fault, RouteBy, Severity, quote};
use tse_route::engine;

/// A configuration, where it stands, and what is known of its gateway.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// What the configuration belongs to, as in `KongPlugin my-test-route`; none where the file is nothing else.
    pub label: Option<String>,
    pub node: Node,
    /// The upstreams that the gateway has, where the file tells.
    pub upstreams: Option<UpstreamNames>,
    /// Whether the gateway can hold a request back until its body is there; none where it needs not be told to.
    pub holds_requests: Option<bool>,
    /// What keeps clients from sending the internal header; none where the file does not tell.
    pub guard: Option<Guard>,
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
        Self { label: None, node, upstreams: None, holds_requests: None, guard: None }
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
            report.faults().iter().map(|fault| self.diagnostic(fault)).collect();
        let loaded = Loaded { config, table, report };
        self.check_spelling(&self.node, "", &mut diagnostics);
        self.check_upstreams(&loaded, &mut diagnostics);
        self.check_body(&loaded, &mut diagnostics);
        self.check_guard(&loaded, &mut diagnostics);
        // In the order of the text; stable for faults of one place.
        diagnostics.sort_by_key(|diagnostic| diagnostic.span.start);
        Checked { loaded, diagnostics }
    }

    fn diagnostic(&self, fault: &Fault) -> Diagnostic {
        self.at(&fault.path, fault.is_about_name(), fault.severity, fault.message.clone())
    }

    fn at(&self, path: &str, name: bool, severity: Severity, message: String) -> Diagnostic {
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

    /// Upstreams that the gateway does not have.
    fn check_upstreams(&self, loaded: &Loaded, diagnostics: &mut Vec<Diagnostic>) {
        let Some(known) = &self.upstreams else { return };
        if loaded.config.route_by == RouteBy::Header {
            return;
        }
        for (rule_index, rule) in loaded.config.rules.iter().enumerate() {
            for (index, upstream) in rule.upstream.0.iter().enumerate() {
                let Some(name) = upstream.name.as_ref().map(|name| name.0.as_str()) else {
                    continue;
                };
                if name.is_empty() || known.names.contains(name) {
                    continue;
                }
                let mut names: Vec<&str> = known.names.iter().map(String::as_str).collect();
                names.sort_unstable();
                let hint = config::nearest(name, names)
                    .map(|near| format!("; did you mean {}?", quote(near)))
                    .unwrap_or_default();
                let path = format!("rules[{rule_index}].upstream[{index}].name");
                let message =
                    format!("found {}; accepted is the name of {}{hint}", quote(name), known.what);
                diagnostics.push(self.at(&path, false, Severity::Error, message));
            }
        }
    }

    /// An internal header that a client may send.
    fn check_guard(&self, loaded: &Loaded, diagnostics: &mut Vec<Diagnostic>) {
        let Some(guard) = &self.guard else { return };
        let header = loaded.config.upstream_header.as_str().to_ascii_lowercase();
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
        let (span, subject) = (guard.span.clone(), self.label.clone());
        diagnostics.push(Diagnostic { severity, span, path: None, subject, message });
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
