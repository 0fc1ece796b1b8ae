//! From a configuration to a table: all work that does not depend on a request is done here, once.

use super::attribute::Attribute;
use super::matches::{
    Addresses, Bound, PathPrefix, Relation, Test, ValueList, compile_pattern, split_list,
};
use super::table::{Item, Rule, Table, Target};
use crate::config::{
    self, Config, Cursor, Delimiter, Location, MatchType, Operator, Report, Share, quote,
};
use hashbrown::HashMap;
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
        for (index, rule) in config.rules.iter().enumerate() {
            let compiled = at.element(index, |at| compiler.rule(index, rule, at));
            if rule.enabled {
                rules.push(compiled);
            }
        }
    });
    // Stable: rules of one priority keep their order.
    rules.sort_by_key(|rule| std::cmp::Reverse(rule.weight));
    (Table { rules, attributes: compiler.attributes }, at.finish())
}

/// Lists that several items share are compiled once.
type Shared<T> = HashMap<(Box<str>, Attribute), Arc<T>>;

struct Compiler<'c> {
    global_configs: HashMap<&'c str, (&'c str, Option<Delimiter>)>,
    attributes: Vec<Attribute>,
    positions: HashMap<Attribute, usize>,
    lists: Shared<ValueList>,
    addresses: Shared<Addresses>,
}

impl<'c> Compiler<'c> {
    fn new(config: &'c Config) -> Self {
        let global_configs = config
            .global_configs
            .iter()
            .map(|global| (global.id.0.as_str(), (global.value.0.as_str(), global.delimiter)))
            .collect();
        Self {
            global_configs,
            attributes: Vec::new(),
            positions: HashMap::new(),
            lists: HashMap::new(),
            addresses: HashMap::new(),
        }
    }

    fn rule(&mut self, index: usize, rule: &'c config::Rule, at: &mut Cursor<'c>) -> Rule {
        let mut items = Vec::new();
        if let Some(condition) = &rule.condition {
            at.field("condition", |at| {
                for (location, list) in &condition.locations {
                    at.field(location.word(), |at| {
                        list.visit(at, |item, at| items.extend(self.item(*location, item, at)));
                    });
                }
            });
        }
        // Stable: otherwise the order is the operator's.
        items.sort_by_key(|item| {
            self.attributes.get(item.attribute).is_some_and(Attribute::is_body)
        });
        Rule {
            index,
            name: rule.name.as_deref().map(Box::from),
            weight: u8::try_from(rule.weight.get()).unwrap_or(u8::MAX),
            any: rule.match_type == MatchType::Or,
            items: items.into(),
            targets: targets(rule),
        }
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
        Some(Item { attribute: self.position(attribute), negated, test })
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
            O::Regex | O::NotRegex => compile_pattern(raw).map(Box::new).map(Test::Pattern),
            O::In | O::NotIn => self.list(attribute, item, &value, delimiter, at),
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

    fn list(
        &mut self,
        attribute: &Attribute,
        item: &config::Item,
        value: &str,
        delimiter: Option<Delimiter>,
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
        let shared =
            item.global_config_id.as_ref().map(|id| (id.0.as_str().into(), attribute.clone()));
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

/// A rule's upstreams; the share that none of them got is the service's own.
fn targets(rule: &config::Rule) -> Box<[Target]> {
    let listed = rule.upstream.0.iter().map(|upstream| Target {
        name: upstream.name.as_ref().map(|name| name.0.as_str().into()),
        share: upstream.weight,
        request_headers: upstream.request_headers.clone().unwrap_or_default(),
    });
    let mut targets: Vec<Target> = listed.collect();
    let total = Share::whole(rule.weight_total.get()).in_hundredths();
    let given: u64 = targets.iter().map(|target| target.share.in_hundredths()).sum();
    if let Some(rest) = total.checked_sub(given).filter(|rest| *rest > 0) {
        let share = Share::hundredths(rest);
        targets.push(Target { name: None, share, request_headers: Default::default() });
    }
    targets.into()
}
