//! Why a decision is what it is: the same rules, items and facts, with the answers kept.

use super::attribute::{Facts, Value};
use super::condition::Holds;
use super::request::Request;
use super::rule::{Rule, Sticky};
use super::sticky;
use super::table::Table;

/// How each enabled rule answers to one request, in the order in which they are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// One for each of [`Table::rules`].
    pub rules: Vec<RuleTrace>,
}

/// How one rule answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTrace {
    /// The rule's position in the configuration.
    pub index: usize,
    /// Whether its condition holds; none while that depends on a body that has not arrived.
    pub holds: Option<bool>,
    /// Its items, in the order of the configuration.
    pub items: Vec<ItemTrace>,
    /// What the client is recognised by, where the rule asks for it and the request has it.
    pub key: Option<KeyTrace>,
}

/// How one item answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemTrace {
    /// Whether the item holds; none while that depends on a body that has not arrived.
    pub holds: Option<bool>,
    /// The value that the request has; none where it is absent.
    pub found: Option<Vec<u8>>,
    /// Whether the search for its pattern would have taken more steps than a request may take, so
    /// that the item holds neither way.
    pub is_undecided: bool,
}

/// How a client is recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyTrace {
    /// Whether it is by `hash_fallback`.
    pub by_fallback: bool,
    /// The key.
    pub key: Vec<u8>,
    /// The number that the key gives the client.
    pub client: u64,
}

impl KeyTrace {
    fn of<R: Request>(sticky: &Sticky, facts: &mut Facts<'_, '_, R>) -> Option<Self> {
        let source = sticky.source(facts)?;
        let Value::Present(key) = facts.value(source) else { return None };
        Some(Self {
            by_fallback: sticky.sources.first() != Some(&source),
            key: key.to_vec(),
            client: sticky::client(sticky.seed, key),
        })
    }
}

impl From<Holds> for Option<bool> {
    fn from(holds: Holds) -> Self {
        match holds {
            Holds::Yes => Some(true),
            Holds::No => Some(false),
            Holds::NeedsBody => None,
        }
    }
}

impl Table {
    /// Asks every rule and every item, also those that a decision would not have come to.
    pub fn trace(&self, request: &impl Request) -> Trace {
        let mut facts = Facts::new(request, &self.attributes);
        Trace { rules: self.rules.iter().map(|rule| rule.trace(&mut facts)).collect() }
    }

    /// Asks a single rule, by its position among [`Table::rules`].
    pub fn trace_rule(&self, rule: usize, request: &impl Request) -> Option<RuleTrace> {
        Some(self.rules.get(rule)?.trace(&mut Facts::new(request, &self.attributes)))
    }
}

impl Rule {
    fn trace<R: Request>(&self, facts: &mut Facts<'_, '_, R>) -> RuleTrace {
        let mut items: Vec<_> = self
            .items
            .iter()
            .map(|item| {
                facts.has_given_up();
                let holds = item.holds(facts).into();
                let is_undecided = facts.has_given_up();
                let found = match facts.value(item.attribute) {
                    Value::Present(value) => Some(value.to_vec()),
                    Value::Absent | Value::Pending => None,
                };
                (item.origin, ItemTrace { holds, found, is_undecided })
            })
            .collect();
        items.sort_by_key(|(origin, _)| *origin);
        RuleTrace {
            index: self.index,
            holds: self.holds(facts).into(),
            items: items.into_iter().map(|(_, item)| item).collect(),
            key: self.sticky.as_ref().and_then(|sticky| KeyTrace::of(sticky, facts)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::{Body, Bytes};
    use super::super::{Outcome, compile};
    use super::*;
    use crate::config::{self, Report};
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    /// A request with headers `a` and `b`, and perhaps a body that has not arrived.
    struct Two([Option<u8>; 2], bool);

    impl Request for Two {
        fn header(&self, name: &str) -> Option<Bytes<'_>> {
            let value = self.0[usize::from(name == "b")]?;
            Some(vec![b'0' + value].into())
        }
        fn cookies(&self) -> Option<Bytes<'_>> {
            None
        }
        fn baggage(&self) -> Option<Bytes<'_>> {
            None
        }
        fn target(&self) -> Option<Bytes<'_>> {
            None
        }
        fn method(&self) -> Option<Bytes<'_>> {
            None
        }
        fn host(&self) -> Option<Bytes<'_>> {
            None
        }
        fn scheme(&self) -> Option<Bytes<'_>> {
            None
        }
        fn client_address(&self) -> Option<Bytes<'_>> {
            None
        }
        fn body(&self) -> Body<'_> {
            if self.1 { Body::Pending } else { Body::None }
        }
    }

    fn rule() -> impl Strategy<Value = Json> {
        let item = (any::<bool>(), 0..3u8, any::<bool>()).prop_map(|(b, value, ne)| {
            json!({
                "key": if b { "b" } else { "a" },
                "operator": if ne { "ne" } else { "eq" },
                "value": value,
            })
        });
        let items = proptest::collection::vec(item, 0..3);
        (0..5u8, any::<bool>(), items, any::<bool>()).prop_map(|(weight, or, items, body)| {
            let body = body.then(|| json!({ "key": "x", "operator": "exists" }));
            json!({
                "weight": weight,
                "match_type": if or { "OR" } else { "AND" },
                "condition": { "header": items, "body": body },
                "upstream": [{ "name": "a" }],
            })
        })
    }

    proptest! {
        #[test]
        fn the_trace_tells_of_the_decision(
            rules in proptest::collection::vec(rule(), 0..6),
            headers in proptest::array::uniform2(proptest::option::of(0..3u8)),
            pending: bool,
        ) {
            let (config, report) = config::read(&json!({ "rules": rules }));
            prop_assert!(report.is_usable());
            let (table, _) = compile(&config, Report::default());
            let request = Two(headers, pending);
            let outcome = table.decide(&request, &mut || 0).outcome;
            let trace = table.trace(&request);
            let first = trace.rules.iter().position(|rule| rule.holds != Some(false));
            let told = match first.map(|first| (first, trace.rules[first].holds)) {
                None => Outcome::Unmatched,
                Some((_, None)) => Outcome::NeedsBody,
                Some((rule, _)) => Outcome::Routed(crate::engine::Choice { rule, target: 0 }),
            };
            prop_assert_eq!(told, outcome);
            for (rule, position) in trace.rules.iter().zip(0..) {
                let configured = &rules[rule.index];
                let listed = configured["condition"]["header"].as_array().map_or(0, Vec::len);
                prop_assert_eq!(rule.items.len(), listed + usize::from(!configured["condition"]["body"].is_null()));
                for (item, answer) in configured["condition"]["header"].as_array().into_iter().flatten().zip(&rule.items) {
                    let found = request.header(item["key"].as_str().unwrap_or_default()).map(|v| v.into_owned());
                    prop_assert_eq!(&answer.found, &found, "rule {}", position);
                }
            }
        }
    }
}
