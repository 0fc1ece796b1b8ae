//! From a configuration to a table: all work that does not depend on a request is done here, once.

use super::attribute::{Attribute, Attributes};
use super::breaker::Policy;
use super::index::Index;
use super::matches::{Addresses, Bound, PathPrefix, Relation, Test, ValueList, split_list};
use super::patterns::{Pattern, Searches, Workshop, literal};
use super::rollout::Rollout;
use super::rule::{Item, Rule, RuleBreaker, Sticky, StickyCookie, Target};
use super::sorted::sort_by_key;
use super::sticky;
use super::table::Table;
use super::weighted::Shares;
use crate::config::{
    self, Config, Cursor, Delimiter, HashOn, Location, MatchType, Operator, Report, RequestHeaders,
    Share, quote,
};
use hashbrown::{HashMap, HashSet};
use memchr::memmem::Finder;
use std::sync::Arc;

/// Compiles a configuration; what is wrong with it is added to the report.
///
/// The table is of use only if the report says that the configuration is.
pub fn compile(config: &Config, report: Report) -> (Table, Report) {
    let mut at = Cursor::new(report);
    let mut compiler = Compiler::new(config);
    let mut rules = Vec::new();
    at.field("rules", |at| {
        at.each((0..).zip(&config.rules), |(index, rule), at| {
            let compiled = compiler.rule(index, rule, at);
            if rule.enabled {
                rules.push(compiled);
            }
        });
    });
    // Stable: rules of one priority keep their order.
    sort_by_key(&mut rules, |rule| std::cmp::Reverse(rule.weight));
    let breakers = number_breakers(&mut rules);
    // Nothing is made of what is refused anyway: patterns are much work.
    let report = at.finish();
    let searches =
        if report.is_usable() { compiler.searches(&mut rules) } else { Searches::default() };
    let attributes = Attributes::new(compiler.attributes, searches);
    let index = Index::new(&rules, &attributes);
    (Table { rules, attributes, breakers, index }, report)
}

/// Numbers the circuit breakers in the order of the rules; returns how many there are.
fn number_breakers(rules: &mut [Rule]) -> usize {
    rules.iter_mut().fold(0, |next, rule| match &mut rule.breaker {
        Some(breaker) => {
            breaker.first = next;
            next + rule.targets.len()
        }
        None => next,
    })
}

/// The most bytes of stored values that items compare with as one, counted with each such item.
const MAX_COPIED: usize = 16 << 20;

/// Lists that several items share are compiled once.
type Shared<T> = HashMap<(Box<str>, Attribute), Arc<T>>;

struct Compiler<'c> {
    global_configs: HashMap<&'c str, (&'c str, Option<Delimiter>)>,
    attributes: Vec<Attribute>,
    positions: HashMap<Attribute, usize>,
    lists: Shared<ValueList>,
    addresses: Shared<Addresses>,
    workshop: Workshop,
    patterns: Patterns,
    /// The bytes of stored values that items compare with as one.
    copied: usize,
    /// Whether the rule at hand counts.
    is_enabled: bool,
}

/// The patterns of each attribute, by its position: in the order of their numbers, and by their texts.
#[derive(Default)]
struct Patterns {
    all: Vec<Vec<Arc<Pattern>>>,
    by_text: HashMap<(usize, Box<str>), Arc<Pattern>>,
}

impl Patterns {
    fn get(&self, attribute: usize, text: &str) -> Option<Arc<Pattern>> {
        self.by_text.get(&(attribute, Box::from(text))).map(Arc::clone)
    }

    /// Adds a pattern to those of an attribute.
    fn add(&mut self, attribute: usize, text: &str) -> Arc<Pattern> {
        if self.all.len() <= attribute {
            self.all.resize_with(attribute + 1, Vec::new);
        }
        let number = self.all.get(attribute).map_or(0, Vec::len);
        let pattern = Arc::new(Pattern::new(text, number));
        self.all.get_mut(attribute).into_iter().for_each(|all| all.push(Arc::clone(&pattern)));
        self.by_text.insert((attribute, text.into()), Arc::clone(&pattern));
        pattern
    }
}

/// So many texts of an attribute that are asked for with `contains` are searched for one by one:
/// more are patterns, of which all are found at once.
const FEW_CONTAINED: usize = 8;

impl<'c> Compiler<'c> {
    fn new(config: &'c Config) -> Self {
        let global_configs = config
            .global_configs
            .iter()
            .map(|global| (global.id.0.as_str(), (global.value.0.as_str(), global.delimiter)))
            .collect();
        Self {
            copied: 0,
            global_configs,
            attributes: Vec::new(),
            positions: HashMap::new(),
            lists: HashMap::new(),
            addresses: HashMap::new(),
            workshop: Workshop::default(),
            patterns: Patterns::default(),
            is_enabled: true,
        }
    }

    /// Puts together what is searched for in each attribute.
    fn searches(&mut self, rules: &mut [Rule]) -> Searches {
        let mut contained: HashMap<usize, HashSet<Box<[u8]>>> = HashMap::new();
        for item in rules.iter().flat_map(|rule| &rule.items) {
            if let Test::Contains(finder) = &item.test {
                contained.entry(item.attribute).or_default().insert(finder.needle().into());
            }
        }
        for item in rules.iter_mut().flat_map(|rule| &mut rule.items) {
            let Test::Contains(finder) = &item.test else { continue };
            if contained.get(&item.attribute).is_some_and(|texts| texts.len() > FEW_CONTAINED) {
                let text = literal(finder.needle());
                // One that is too large for an automaton is searched for by itself.
                if let Ok(pattern) = self.searched(item.attribute, &text) {
                    item.test = Test::Search(pattern);
                }
            }
        }
        Searches::new(&self.patterns.all, std::mem::take(&mut self.workshop))
    }

    fn rule(&mut self, index: usize, rule: &'c config::Rule, at: &mut Cursor<'c>) -> Rule {
        let mut items = Vec::new();
        self.is_enabled = rule.enabled;
        if let Some(condition) = &rule.condition {
            at.field("condition", |at| {
                for (location, list) in &condition.locations {
                    at.field(location.word(), |at| {
                        list.visit(at, |item, at| items.extend(self.item(*location, item, at)));
                    });
                }
            });
        }
        for (origin, item) in (0..).zip(&mut items) {
            item.origin = origin;
        }
        // Stable: otherwise the order is the operator's.
        sort_by_key(&mut items, |item: &Item| {
            self.attributes.get(item.attribute).is_some_and(Attribute::is_body)
        });
        let fallback = rule.circuit_breaker.as_ref().and_then(|breaker| breaker.fallback.as_ref());
        let targets = targets(rule, fallback.map(|name| name.0.as_str()));
        let names: Vec<Option<&str>> = targets.iter().map(Target::name).collect();
        let shares: Shares = targets.iter().map(|target| target.share.in_hundredths()).collect();
        let total = Share::whole(rule.weight_total.get()).in_hundredths();
        let rollout =
            rule.rollout.as_ref().map(|rollout| Rollout::compile(rollout, &names, &shares, total));
        let breaker = rule.circuit_breaker.as_ref().map(|breaker| RuleBreaker {
            policy: Policy::new(breaker),
            first: 0,
            fallback: fallback
                .and_then(|fallback| names.iter().position(|name| *name == Some(&*fallback.0))),
        });
        Rule {
            index,
            name: rule.name.as_deref().map(Box::from),
            weight: u8::try_from(rule.weight.get()).unwrap_or(u8::MAX),
            any: rule.match_type == MatchType::Or,
            items: items.into(),
            sticky: self.sticky(rule),
            targets,
            shares,
            rollout,
            breaker,
        }
    }

    fn sticky(&mut self, rule: &config::Rule) -> Option<Sticky> {
        let own = self.hash_source(
            rule.hash_on,
            rule,
            rule.hash_on_header.as_ref(),
            rule.hash_on_query_arg.as_deref(),
        )?;
        let fallback = self.hash_source(
            rule.hash_fallback,
            rule,
            rule.hash_fallback_header.as_ref(),
            rule.hash_fallback_query_arg.as_deref(),
        );
        let issues = [rule.hash_on, rule.hash_fallback].contains(&HashOn::Cookie);
        let cookie = rule.hash_on_cookie.as_ref().filter(|_| issues).map(|name| StickyCookie {
            name: name.0.as_str().into(),
            path: rule.hash_on_cookie_path.0.as_str().into(),
            is_secure: rule.hash_on_cookie_secure,
        });
        Some(Sticky {
            seed: sticky::seed(rule.name.as_deref().unwrap_or_default()),
            sources: std::iter::once(own).chain(fallback).collect(),
            cookie,
        })
    }

    /// The position of the attribute that a client is recognised by.
    fn hash_source(
        &mut self,
        source: HashOn,
        rule: &config::Rule,
        header: Option<&config::HeaderName>,
        query_arg: Option<&str>,
    ) -> Option<usize> {
        let attribute = match source {
            HashOn::None => return None,
            HashOn::Header => Attribute::Header(header?.as_str().into()),
            HashOn::Cookie => Attribute::Cookie(rule.hash_on_cookie.as_ref()?.0.as_bytes().into()),
            HashOn::QueryArg => Attribute::Query(query_arg?.as_bytes().into()),
            HashOn::Ip => Attribute::ClientIp,
            // Kong's authentication plugins set it; no property tells the consumer.
            HashOn::Consumer => Attribute::Header("x-consumer-id".into()),
            HashOn::Path => Attribute::Path,
        };
        Some(self.position(attribute))
    }

    /// Compiles an item; none where something is wrong with it.
    fn item(
        &mut self,
        location: Location,
        item: &'c config::Item,
        at: &mut Cursor<'c>,
    ) -> Option<Item> {
        if !at.is_sound() {
            return None;
        }
        let attribute = Attribute::of(location, item);
        let (test, negated) = self.test(&attribute, item, at)?;
        Some(Item { attribute: self.position(attribute), negated, origin: 0, test })
    }

    fn position(&mut self, attribute: Attribute) -> usize {
        *self.positions.entry(attribute).or_insert_with_key(|attribute| {
            self.attributes.push(attribute.clone());
            self.attributes.len() - 1
        })
    }

    /// The item's test, and whether its answer is negated.
    fn test(
        &mut self,
        attribute: &Attribute,
        item: &'c config::Item,
        at: &mut Cursor<'c>,
    ) -> Option<(Test, bool)> {
        use Operator as O;
        let own = item.value.as_ref().map(|value| (value.0.as_str(), item.delimiter));
        let global = item
            .global_config_id
            .as_ref()
            .and_then(|id| self.global_configs.get(id.0.as_str()).copied());
        let (raw, delimiter) = global.or(own).unwrap_or_default();
        let is_list = matches!(item.operator, O::In | O::NotIn);
        let shared = item.global_config_id.as_ref().filter(|_| is_list);
        let shared = shared.map(|id| (id.0.as_str().into(), attribute.clone()));
        if let Some(test) = shared.as_ref().and_then(|key| self.shared(key)) {
            return Some((test, item.operator == O::NotIn));
        }
        if global.is_some() && !is_list {
            self.copied = self.copied.saturating_add(raw.len());
            if self.copied > MAX_COPIED {
                at.field("global_config_id", |at| {
                    at.error(format!(
                        "found a value of {} bytes; accepted are at most {MAX_COPIED} bytes in all, \
                         counted with each item that compares with a stored value as one",
                        raw.len()
                    ));
                });
                return None;
            }
        }
        let value = attribute.normalised(raw);
        let bytes = || Box::<[u8]>::from(value.as_bytes());
        let is_address = *attribute == Attribute::ClientIp;

        let test: Result<Test, String> = match item.operator {
            O::Exists | O::NotExists => Ok(Test::Exists),
            O::Eq | O::Ne if is_address => Addresses::compile(std::iter::once(value.as_bytes()))
                .map(|s| Test::Address(s.into())),
            O::Eq | O::Ne => Ok(Test::Equal(bytes())),
            O::Gt => Bound::compile(Relation::Greater, value.as_bytes()).map(Test::Ordered),
            O::Ge => Bound::compile(Relation::GreaterOrEqual, value.as_bytes()).map(Test::Ordered),
            O::Lt => Bound::compile(Relation::Less, value.as_bytes()).map(Test::Ordered),
            O::Le => Bound::compile(Relation::LessOrEqual, value.as_bytes()).map(Test::Ordered),
            O::Regex | O::NotRegex => self.pattern(attribute, raw).map(Test::Search),
            O::In | O::NotIn => self.list(attribute, item, shared, (&value, delimiter), at),
            O::Prefix => Ok(Test::Prefix(bytes())),
            O::Suffix => Ok(Test::Suffix(bytes())),
            O::Contains | O::NotContains => {
                Ok(Test::Contains(Box::new(Finder::new(value.as_bytes()).into_owned())))
            }
            O::PathPrefix => Ok(Test::PathPrefix(PathPrefix::new(value.as_bytes()))),
        };
        let negated =
            matches!(item.operator, O::Ne | O::NotExists | O::NotRegex | O::NotIn | O::NotContains);
        match test {
            Ok(test) => Some((test, negated)),
            Err(reason) => {
                let place =
                    if item.global_config_id.is_some() { "global_config_id" } else { "value" };
                at.field(place, |at| at.error(format!("found {}; {reason}", quote(raw))));
                None
            }
        }
    }

    /// A pattern, if it can be used.
    fn pattern(&mut self, attribute: &Attribute, text: &str) -> Result<Arc<Pattern>, String> {
        if !self.is_enabled {
            return self.workshop.judge(text).map(|()| Arc::new(Pattern::new(text, 0)));
        }
        let position = self.position(attribute.clone());
        self.searched(position, text)
    }

    /// A pattern of an attribute that is searched for, if it can be.
    fn searched(&mut self, attribute: usize, text: &str) -> Result<Arc<Pattern>, String> {
        if let Some(pattern) = self.patterns.get(attribute, text) {
            return Ok(pattern);
        }
        self.workshop.judge(text)?;
        Ok(self.patterns.add(attribute, text))
    }

    /// A stored list that another item has had already: thousands may share a list of thousands.
    fn shared(&self, key: &(Box<str>, Attribute)) -> Option<Test> {
        let list = self.lists.get(key).map(|list| Test::In(Arc::clone(list)));
        list.or_else(|| self.addresses.get(key).map(|set| Test::Address(Arc::clone(set))))
    }

    fn list(
        &mut self,
        attribute: &Attribute,
        item: &config::Item,
        shared: Option<(Box<str>, Attribute)>,
        (value, delimiter): (&str, Option<Delimiter>),
        at: &mut Cursor<'_>,
    ) -> Result<Test, String> {
        let entries: Vec<_> = match &item.listed {
            Some(listed) => listed.iter().map(|entry| attribute.normalised(entry)).collect(),
            None => split_list(value, delimiter).map(Into::into).collect(),
        };
        if entries.is_empty() {
            at.field("value", |at| at.warning("the list is empty: no value is ever in it"));
        }
        let entries = entries.iter().map(|entry| entry.as_bytes());
        if *attribute == Attribute::ClientIp {
            share(&mut self.addresses, shared, || Addresses::compile(entries)).map(Test::Address)
        } else {
            share(&mut self.lists, shared, || Ok(ValueList::new(entries))).map(Test::In)
        }
    }
}

/// What is kept under the key, or is made now and kept.
fn share<T>(
    kept: &mut Shared<T>,
    key: Option<(Box<str>, Attribute)>,
    make: impl FnOnce() -> Result<T, String>,
) -> Result<Arc<T>, String> {
    if let Some(found) = key.as_ref().and_then(|key| kept.get(key)) {
        return Ok(Arc::clone(found));
    }
    let made = Arc::new(make()?);
    if let Some(key) = key {
        kept.insert(key, Arc::clone(&made));
    }
    Ok(made)
}

/// A rule's upstreams; the share that none of them got is the service's own. It stands last, and it
/// also stands there without a share where weights may change, so that nothing is ever left over.
fn targets(rule: &config::Rule, fallback: Option<&str>) -> Box<[Target]> {
    let mut targets: Vec<Target> = Vec::new();
    let mut push = |name: Option<&str>, share: Share, request_headers: RequestHeaders| {
        let again = targets.iter().filter(|target| target.name() == name).count();
        let mut hash_name = name.unwrap_or_default().to_owned();
        if again > 0 {
            hash_name.push_str(&format!("#{}", again + 1));
        }
        targets.push(Target {
            name: name.map(Box::from),
            hash_name: hash_name.into_bytes().into(),
            share,
            request_headers,
        });
    };
    let mut given = 0;
    for upstream in &rule.upstream.0 {
        let headers = upstream.request_headers.clone().unwrap_or_default();
        push(upstream.name.as_ref().map(|name| name.0.as_str()), upstream.weight, headers);
        given += upstream.weight.in_hundredths();
    }
    let is_listed = |name| {
        rule.upstream.0.iter().any(|upstream| upstream.name.as_ref().is_some_and(|n| n.0 == name))
    };
    if let Some(name) = fallback.filter(|name| !is_listed(*name)) {
        push(Some(name), Share::default(), RequestHeaders::default());
    }
    let total = Share::whole(rule.weight_total.get()).in_hundredths();
    let rest = total.saturating_sub(given);
    if rest > 0 || rule.rollout.is_some() || rule.circuit_breaker.is_some() {
        push(None, Share::hundredths(rest), RequestHeaders::default());
    }
    targets.into()
}
