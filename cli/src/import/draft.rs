//! A plugin in the making.

use super::Import;
use super::tree::Tree;
use crate::source::Span;
use serde_json::{Value, json};
use tse_route::config::{self, Location, Operator};
use tse_route::engine;

/// The largest priority; rules get one less each, as long as there are any left.
const HIGHEST: usize = 100;

/// A plugin that becomes a manifest.
#[derive(Debug, Default)]
pub(super) struct Plugin {
    pub name: String,
    pub namespace: Option<String>,
    pub description: String,
    /// In the order in which they are to be tried.
    pub rules: Vec<Rule>,
    /// Where it comes from.
    pub file: usize,
    pub span: Span,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Rule {
    pub name: Option<String>,
    pub items: Vec<Item>,
    /// Whether one item is enough.
    pub any: bool,
    pub upstreams: Vec<Upstream>,
    /// `hash_on`, `rollout` and their like.
    pub delivery: Vec<(&'static str, Value)>,
    /// Where it comes from.
    pub file: usize,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    pub location: Location,
    pub key: Option<String>,
    pub operator: Operator,
    pub value: Option<String>,
    /// What separates the values of a list.
    pub delimiter: Option<&'static str>,
}

impl Item {
    pub(super) fn new(location: Location, key: &str, operator: Operator, value: &str) -> Self {
        Self {
            location,
            key: (!key.is_empty()).then(|| key.to_owned()),
            operator,
            value: operator.takes_value().then(|| value.to_owned()),
            delimiter: None,
        }
    }

    /// An item for a list of values; none where no delimiter keeps them apart.
    pub(super) fn list(
        location: Location,
        key: &str,
        operator: Operator,
        values: &[String],
    ) -> Option<Self> {
        if let ([value], Operator::In | Operator::NotIn) = (values, operator) {
            let single = if operator == Operator::In { Operator::Eq } else { Operator::Ne };
            return Some(Self::new(location, key, single, value));
        }
        let sound = |value: &String| !value.is_empty() && value.trim() == value;
        let delimiter = [",", ";", "\n"].into_iter().find(|delimiter| {
            values.iter().all(|value| sound(value) && !value.contains(delimiter))
        })?;
        Some(Self {
            delimiter: (delimiter != ",").then_some(delimiter),
            ..Self::new(location, key, operator, &values.join(delimiter))
        })
    }
}

/// One of a rule's upstreams, with any weight.
#[derive(Clone, Debug, Default)]
pub(super) struct Upstream {
    /// None for the service's own.
    pub name: Option<String>,
    /// A whole number, or one with at most two decimals.
    pub weight: Option<Value>,
    pub headers: Headers,
}

impl Upstream {
    pub(super) fn new(name: Option<String>, weight: u64) -> Self {
        Self { name, weight: Some(Value::from(weight)), headers: Headers::default() }
    }

    fn weight(&self) -> f64 {
        self.weight.as_ref().and_then(Value::as_f64).unwrap_or(0.0)
    }
}

/// Changes to the request's headers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Headers {
    pub set: Vec<(String, String)>,
    pub add: Vec<(String, String)>,
    pub remove: Vec<String>,
}

impl Headers {
    fn tree(&self) -> Option<Tree> {
        let pairs = |list: &[(String, String)]| {
            let pair = |(name, value): &(String, String)| {
                Tree::map(vec![("name", Tree::text(name)), ("value", Tree::text(value))])
            };
            Tree::List(list.iter().map(pair).collect())
        };
        let removed = || Tree::List(self.remove.iter().map(Tree::text).collect());
        let mut fields = Vec::new();
        if !self.set.is_empty() {
            fields.push(("set", pairs(&self.set)));
        }
        if !self.add.is_empty() {
            fields.push(("add", pairs(&self.add)));
        }
        if !self.remove.is_empty() {
            fields.push(("remove", removed()));
        }
        (!fields.is_empty()).then(|| Tree::map(fields))
    }
}

impl Plugin {
    pub(super) fn manifest(&self) -> Tree {
        let mut metadata = vec![("name", Tree::text(resource_name(&self.name)))];
        if let Some(namespace) = &self.namespace {
            metadata.push(("namespace", Tree::text(namespace)));
        }
        Tree::map(vec![
            ("apiVersion", Tree::text("configuration.konghq.com/v1")),
            ("kind", Tree::text("KongPlugin")),
            ("metadata", Tree::map(metadata)),
            ("plugin", Tree::text(crate::files::PLUGIN)),
            ("config", self.config()),
        ])
    }

    fn config(&self) -> Tree {
        let rules = self
            .rules
            .iter()
            .enumerate()
            .map(|(index, rule)| rule.tree(HIGHEST.saturating_sub(index)));
        Tree::map(vec![
            ("description", Tree::text(&self.description)),
            ("rules", Tree::List(rules.collect())),
        ])
    }

    /// Reads the plugin as the filter would; a fault is shown where the rule comes from. Faulty rules
    /// are left out.
    pub(super) fn check(&mut self, import: &mut Import) {
        let value = self.config().json();
        let (config, report) = config::read(&value);
        let (_, report) = engine::compile(&config, report);
        let mut faulty = Vec::new();
        for error in report.errors() {
            let index = error.path.strip_prefix("rules[").and_then(|rest| rest.split(']').next());
            let index = index.and_then(|index| index.parse::<usize>().ok());
            let message = format!("cannot be carried over: {error}");
            match index.and_then(|index| Some((index, self.rules.get(index)?))) {
                Some((index, rule)) => {
                    import.file = rule.file;
                    import.lost(rule.span.clone(), message);
                    faulty.push(index);
                }
                None => {
                    import.file = self.file;
                    import.error(self.span.clone(), message);
                }
            }
        }
        let mut position = 0..;
        self.rules.retain(|_| position.next().is_some_and(|index| !faulty.contains(&index)));
        if self.rules.len() > HIGHEST + 1 {
            import.file = self.file;
            import.warning(
                self.span.clone(),
                format!(
                    "{} rules, but only {} priorities: the last ones share the priority 0, and the \
                     order of the list decides",
                    self.rules.len(),
                    HIGHEST + 1
                ),
            );
        }
    }
}

impl Rule {
    fn tree(&self, priority: usize) -> Tree {
        let mut fields = Vec::new();
        if let Some(name) = &self.name {
            fields.push(("name", Tree::text(name)));
        }
        fields.push(("weight", Tree::Scalar(json!(priority))));
        if self.any && self.items.len() > 1 {
            fields.push(("match_type", Tree::text("OR")));
        }
        if !self.items.is_empty() {
            fields.push(("condition", self.condition()));
        }
        fields.push(("upstream", self.upstream()));
        let total: f64 = self.upstreams.iter().map(Upstream::weight).sum();
        if self.upstreams.len() > 1 && total != 100.0 {
            fields.push(("weight_total", Tree::Scalar(json!(total as u64))));
        }
        for (name, value) in &self.delivery {
            fields.push((name, Tree::from(value)));
        }
        Tree::map(fields)
    }

    fn condition(&self) -> Tree {
        let locations = Location::ALL.iter().filter_map(|location| {
            let items: Vec<Tree> = self
                .items
                .iter()
                .filter(|item| item.location == *location)
                .map(Item::tree)
                .collect();
            (!items.is_empty()).then(|| (location.word(), Tree::List(items)))
        });
        Tree::map(locations.collect())
    }

    fn upstream(&self) -> Tree {
        let alone = self.upstreams.len() == 1;
        let upstreams = self.upstreams.iter().map(|upstream| {
            let name = match &upstream.name {
                Some(name) => Tree::text(name),
                None => Tree::Scalar(Value::Null),
            };
            let mut fields = vec![("name", name)];
            // A single one takes all, whatever its weight.
            let weight = upstream.weight.clone().filter(|_| !alone);
            fields.extend(weight.map(|weight| ("weight", Tree::Scalar(weight))));
            fields.extend(upstream.headers.tree().map(|headers| ("request_headers", headers)));
            Tree::map(fields)
        });
        Tree::List(upstreams.collect())
    }
}

impl Item {
    fn tree(&self) -> Tree {
        let mut fields = Vec::new();
        if let Some(key) = &self.key {
            fields.push(("key", Tree::text(key)));
        }
        fields.push(("operator", Tree::text(self.operator.word())));
        if let Some(value) = &self.value {
            fields.push(("value", Tree::text(value)));
        }
        if let Some(delimiter) = self.delimiter {
            fields.push(("delimiter", Tree::text(delimiter)));
        }
        Tree::map(fields)
    }
}

/// A name that Kubernetes accepts.
fn resource_name(name: &str) -> String {
    let plain: String = name
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
        .collect();
    let plain = plain.trim_matches(['-', '.']);
    if plain.is_empty() { "imported".to_owned() } else { plain.to_owned() }
}
