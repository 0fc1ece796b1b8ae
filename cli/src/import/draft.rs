//! A configuration in the making.

use super::plan::Plan;
use super::reading::Import;
use super::tree::Tree;
use crate::source::Span;
use serde_json::{Value, json};
use tse_route::config::{self, Location, Operator, quote};
use tse_route::engine;

/// The largest priority; rules get one less each, as long as there are any left.
const HIGHEST: usize = 100;

/// A configuration that an import has made.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) description: String,
    /// What it is for, where the source has several places that are decided apart.
    pub(super) parent: Option<String>,
    /// What of Kong it belongs to, where the source is Kong's.
    pub(super) binding: Option<Binding>,
    /// What becomes of a request that no rule matches, and of one that a rule leaves alone.
    pub(super) otherwise: Otherwise,
    /// Whether Kong's Ingress Controller has the Upstreams only if an Ingress names the Services.
    pub(super) names_of_an_ingress: bool,
    /// In the order in which they are to be tried.
    pub(super) rules: Vec<Rule>,
    /// How its only rule gets from the stable upstream to the canary, where a release is to do it.
    pub(super) plan: Option<Plan>,
    /// Where it comes from.
    pub(super) file: usize,
    pub(super) span: Span,
}

/// An entity of Kong, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Binding {
    Service(String),
    Route(String),
}

/// Who answers a request that no rule has moved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Otherwise {
    /// The service that the plugin is bound to, whatever that is.
    #[default]
    Own,
    /// The service that the plugin is bound to: an upstream whose name is known.
    Upstream(String),
    /// Nobody: the source answers 404.
    NotFound,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rule {
    pub name: Option<String>,
    pub items: Vec<Item>,
    /// Whether one item is enough.
    pub any: bool,
    pub upstreams: Vec<Upstream>,
    /// Whether it cannot be carried over, which has been said; what it would have caught is told.
    pub left_out: bool,
    /// Whether `items` are all that a rule that is left out asks for.
    pub condition_is_known: bool,
    /// `hash_on`, `rollout` and their like.
    pub delivery: Vec<(&'static str, Value)>,
    /// Where it comes from.
    pub file: usize,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// These changes, then others; a header that both change, if there is one.
    pub(super) fn and(mut self, other: Self) -> (Self, Option<String>) {
        let names = |headers: &Self| -> Vec<String> {
            let pairs = headers.set.iter().chain(&headers.add).map(|(name, _)| name);
            pairs.chain(&headers.remove).map(|name| name.to_ascii_lowercase()).collect()
        };
        let own = names(&self);
        let twice = names(&other).into_iter().find(|name| own.contains(name));
        self.set.extend(other.set);
        self.add.extend(other.add);
        self.remove.extend(other.remove);
        (self, twice)
    }

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

impl Draft {
    /// The name of the plugin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it comes from, in words.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// What it is for, where the source has several places that are decided apart: the listener of a
    /// Gateway, a Service, an Istio gateway.
    #[must_use]
    pub fn parent(&self) -> Option<&str> {
        self.parent.as_deref()
    }

    /// What `--parent` knows it by.
    pub(super) fn place(&self) -> &str {
        self.parent().unwrap_or(&self.name)
    }

    /// The configuration, as the filter reads it.
    #[must_use]
    pub fn config(&self) -> Value {
        self.tree().json()
    }

    /// The configuration with its fields in the order in which they are read best.
    pub(super) fn tree(&self) -> Tree {
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

    /// The names of all its upstreams, each once, in the order of the rules.
    pub(super) fn upstreams(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for name in
            self.rules.iter().flat_map(|rule| &rule.upstreams).filter_map(|u| u.name.as_deref())
        {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Whether a rule leaves requests to the service's own upstream.
    pub(super) fn leaves_alone(&self) -> bool {
        self.rules.iter().flat_map(|rule| &rule.upstreams).any(|upstream| upstream.name.is_none())
    }

    /// Takes out the rules that cannot be carried over, says what becomes of their requests, and reads
    /// the rest as the filter would; a fault is shown where the rule comes from.
    pub(super) fn settle(&mut self, import: &mut Import) {
        self.leave_out(import);
        for rule in &mut self.rules {
            rule.join_upstreams();
        }
        let value = self.config();
        let (config, report) = config::read(&value);
        let (_, report) = engine::compile(&config, report);
        for error in report.errors() {
            let index = error.path.strip_prefix("rules[").and_then(|rest| rest.split(']').next());
            let index = index.and_then(|index| index.parse::<usize>().ok());
            let message = format!("cannot be carried over: {error}");
            match index.and_then(|index| self.rules.get_mut(index)) {
                Some(rule) => {
                    import.file = rule.file;
                    import.lost(rule.span.clone(), message);
                    rule.left_out = true;
                    rule.condition_is_known = true;
                }
                None => {
                    import.file = self.file;
                    import.error(self.span.clone(), message);
                }
            }
        }
        self.leave_out(import);
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

    fn leave_out(&mut self, import: &mut Import) {
        for (index, rule) in self.rules.iter().enumerate().filter(|(_, rule)| rule.left_out) {
            // Without `--lossy` nothing is printed, and the error is enough.
            if import.options.lossy {
                let after = self.rules.get(index + 1..).unwrap_or_default();
                import.file = rule.file;
                import.warning(rule.span.clone(), Self::fate(rule, after));
            }
        }
        self.rules.retain(|rule| !rule.left_out);
    }

    /// What becomes of the requests that a rule would have caught.
    fn fate(rule: &Rule, after: &[Rule]) -> String {
        const OWN: &str = "the service's own upstream";
        let label = label_of(rule);
        if !rule.condition_is_known {
            return format!(
                "{label} is left out: its requests are left to the other rules, and where none of \
                 them matches to {OWN}"
            );
        }
        let mut after = after.iter().filter(|rule| !rule.left_out).peekable();
        if after.peek().is_none() {
            return format!("{label} is left out: its requests go on to {OWN}");
        }
        let surely = |next: &&Rule| {
            !next.any && !rule.any && next.items.iter().all(|item| rule.items.contains(item))
        };
        let last = match after.find(surely) {
            Some(next) => format!("at the latest to {}", label_of(next)),
            None => format!("and where none of them matches to {OWN}"),
        };
        format!("{label} is left out: its requests go on to the rules after it, {last}")
    }
}

/// How a message calls a rule.
fn label_of(rule: &Rule) -> String {
    match &rule.name {
        Some(name) => format!("the rule {}", quote(name)),
        None => "a rule without a name".to_owned(),
    }
}

impl Rule {
    /// An upstream that is listed twice is one with both weights.
    fn join_upstreams(&mut self) {
        let mut joined: Vec<Upstream> = Vec::new();
        for upstream in std::mem::take(&mut self.upstreams) {
            let same = joined
                .iter_mut()
                .find(|other| other.name == upstream.name && other.headers == upstream.headers);
            let sum = same.as_ref().and_then(|same| {
                Some(same.weight.as_ref()?.as_u64()? + upstream.weight.as_ref()?.as_u64()?)
            });
            match (same, sum) {
                (Some(same), Some(sum)) => same.weight = Some(Value::from(sum)),
                _ => joined.push(upstream),
            }
        }
        self.upstreams = joined;
    }

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
pub(super) fn resource_name(name: &str) -> String {
    let plain: String = name
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
        .collect();
    let plain = plain.trim_matches(['-', '.']);
    if plain.is_empty() { "imported".to_owned() } else { plain.to_owned() }
}
