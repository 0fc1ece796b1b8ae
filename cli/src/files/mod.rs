//! The files that carry a configuration, and the configurations in them.

mod advice;
mod environment;
mod envoy;
pub(crate) mod folders;
mod kong;
mod kubernetes;
mod subject;

pub(crate) use subject::{Gateway, Guard, Subject, UpstreamNames};

use super::diagnostic::Diagnostic;
use super::source::{Kind, Node, Source, Span};
use environment::Environment;
use hashbrown::HashSet;
use tse_route::config::{Config, nearest, quote};

/// The name under which gateways know the filter.
pub(crate) const PLUGIN: &str = "tse-route";

/// Whether a Wasm filter's name, or that of its file, is this one's.
fn is_plugin(name: &str) -> bool {
    name.contains("tse-route") || name.contains("tse_route")
}

/// The plugin that acts on the filter's decisions on Kong.
const BRIDGE: &str = "tse-route-bridge";

/// Whether a name of Kong's is hardly meant for any other plugin than this one.
fn resembles(name: &str) -> bool {
    name != PLUGIN && name != BRIDGE && (is_plugin(name) || nearest(name, [PLUGIN]).is_some())
}

/// Whether a field belongs into a configuration.
fn is_field(name: &str) -> bool {
    Config::FIELDS.contains(&name)
}

/// A file and what was found in it.
#[derive(Debug)]
pub(crate) struct File {
    pub source: Source,
    pub subjects: Vec<Subject>,
    /// What is wrong outside of the configurations.
    pub diagnostics: Vec<Diagnostic>,
    /// Whether anything in the file is this filter's, as far as can be told.
    pub is_related: bool,
}

impl File {
    /// Reads a file and finds the configurations in it.
    pub(crate) fn read(name: &str) -> Result<Self, String> {
        Ok(Self::of(Source::read(name)?))
    }

    pub(crate) fn of(source: Source) -> Self {
        let (documents, faults) = source.documents();
        let mut found = Found { text: &source.text, ..Found::default() };
        let broken = !faults.is_empty();
        for fault in faults {
            found.diagnostics.push(Diagnostic::error(fault.span, fault.message));
        }
        let several = documents.len() > 1;
        for document in &documents {
            found.document(document, several);
        }
        let is_related = match broken {
            true => {
                is_plugin(&source.text)
                    || reads_like_rules(&source.text)
                    || documents.iter().any(has_rules)
            }
            false => found.is_related(),
        };
        if documents.is_empty() && !broken {
            // Nothing at all is the configuration without rules.
            found.subjects.push(Subject::raw(Node::null(0..0)));
        } else if found.subjects.is_empty()
            && let Some((at, kind)) = foreign(&documents)
        {
            let message = format!(
                "this is {kind}, and no configuration of {PLUGIN}; did you mean `{PLUGIN} import {}`?",
                source.name
            );
            found.diagnostics = vec![Diagnostic::error(head(at), message)];
        } else if found.subjects.is_empty() && found.diagnostics.is_empty() {
            let message = format!(
                "no configuration of {PLUGIN} in this file; accepted are a configuration as JSON or YAML, \
                 KongPlugin manifests, Kong declarative files and Envoy bootstraps"
            );
            found.diagnostics.push(Diagnostic::error(0..0, message));
        }
        found.tell_of_policies();
        found.tell_of_environment(Environment::of(&documents));
        let Found { subjects, diagnostics, .. } = found;
        Self { source, subjects, diagnostics, is_related }
    }
}

/// Whether a document that no gateway's name stands in looks like a configuration.
fn has_rules(document: &Node) -> bool {
    let is_rule = |rule: &Node| {
        ["upstream", "condition", "match_type", "hash_on"]
            .iter()
            .any(|name| rule.get(name).is_some())
    };
    document.list("rules").iter().any(is_rule)
}

/// Whether a text that cannot be read may be a configuration by itself.
fn reads_like_rules(text: &str) -> bool {
    let begins = |name: &str| {
        text.lines().any(|line| line.trim_start_matches(['{', ' ', '"']).starts_with(name))
    };
    let at_top = text.lines().any(|line| line.starts_with("rules:")) || text.contains("\"rules\"");
    at_top && text.contains("upstream") && !begins("kind") && !begins("apiVersion")
}

/// The first document that `import` reads, and what it is.
fn foreign(documents: &[Node]) -> Option<(&Node, String)> {
    documents.iter().find_map(|document| Some((document, crate::import::kind_of(document)?)))
}

/// What has been found so far.
#[derive(Default)]
struct Found<'s> {
    text: &'s str,
    subjects: Vec<Subject>,
    diagnostics: Vec<Diagnostic>,
    /// The headers that policies of the file remove early, for the manifests that need one.
    removed: HashSet<String>,
    /// Whether the file has the filter, but not its configuration.
    is_ours: bool,
}

impl Found<'_> {
    /// Manifests of a file belong to one gateway, in whatever order they stand.
    fn tell_of_policies(&mut self) {
        for subject in &mut self.subjects {
            if let Some(guard) = subject.guard.as_mut().filter(|guard| guard.policy.is_some()) {
                guard.removed.clone_from(&self.removed);
            }
        }
    }

    /// Whether Kong has what the configurations of the file need, where the file starts it as well.
    fn tell_of_environment(&mut self, environment: Environment) {
        let mut on_kong = self
            .subjects
            .iter_mut()
            .filter(|subject| subject.gateway == Some(Gateway::Kong))
            .peekable();
        let lacks_bridge = |plugins: &str| !plugins.split(',').any(|name| name.trim() == BRIDGE);
        if let (Some(_), Some((span, plugins))) = (on_kong.peek(), environment.plugins)
            && lacks_bridge(&plugins)
        {
            let message = format!(
                "without {BRIDGE} every request stays with its service; accepted are the plugins with \
                 {BRIDGE}"
            );
            self.diagnostics.push(Diagnostic::warning(span, message));
        }
        on_kong.for_each(|subject| subject.has_zone = environment.has_zone);
    }

    /// Whether anything has been found but what any file may be taken for.
    fn is_related(&self) -> bool {
        let is_ours = |subject: &Subject| subject.label.is_some() || has_rules(&subject.node);
        self.is_ours
            || self.subjects.iter().any(is_ours)
            || self.diagnostics.iter().any(Diagnostic::is_error)
    }

    fn document(&mut self, document: &Node, one_of_several: bool) {
        let has = |fields: &[&str]| fields.iter().any(|field| document.get(field).is_some());
        if has(&["apiVersion", "kind"]) {
            kubernetes::find(document, self);
        } else if has(&["_format_version", "services", "upstreams", "plugins", "filter_chains"]) {
            kong::find(document, self);
        } else if has(&["static_resources", "dynamic_resources", "@type", "resources"]) {
            envoy::find(document, self);
        } else if crate::import::kind_of(document).is_some() {
            // Told when nothing of ours has been found.
        } else if !one_of_several
            || Config::FIELDS.iter().any(|field| document.get(field).is_some())
        {
            self.subjects.push(Subject::raw(document.clone()));
        }
    }

    /// A configuration that stands as a tree, or as JSON in a string.
    fn configuration(&mut self, node: &Node) -> Option<Node> {
        let Some(text) = node.text() else { return Some(node.clone()) };
        let embedded = super::source::Embedded::read(self.text, node, text);
        let sound = embedded.faults.is_empty();
        self.diagnostics.extend(
            embedded.faults.into_iter().map(|fault| Diagnostic::error(fault.span, fault.message)),
        );
        embedded.node.filter(|_| sound)
    }

    fn error(&mut self, node: &Node, message: impl Into<String>) {
        self.error_at(head(node), message);
    }

    fn error_at(&mut self, span: Span, message: impl Into<String>) {
        self.diagnostics.push(Diagnostic::error(span, message.into()));
    }

    /// Another name than Kong knows the filter by.
    fn misspelt(&mut self, node: &Node, name: &str) {
        self.error(node, format!("found {}; accepted is `{PLUGIN}`", quote(name)));
    }

    /// Fields of a configuration that stand beside the field that should have them: gateways leave
    /// them out without a word, or refuse the whole.
    fn misplaced(&mut self, owner: &Node, field: &str) -> bool {
        let strays = owner.entries().iter().filter(|entry| is_field(&entry.key));
        let mut any = false;
        for stray in strays {
            any = true;
            let message = format!(
                "found `{0}` beside `{field}`; accepted is `{0}` under `{field}`",
                stray.key
            );
            self.error_at(stray.key_span.clone(), message);
        }
        any
    }

    fn warning(&mut self, node: &Node, message: impl Into<String>) {
        self.diagnostics.push(Diagnostic::warning(head(node), message.into()));
    }
}

/// The place of a node that may be long: that of its first field.
fn head(node: &Node) -> Span {
    match &node.kind {
        Kind::Map(entries) => match entries.first() {
            Some(first) => first.key_span.clone(),
            None => node.span.clone(),
        },
        _ => node.span.clone(),
    }
}
