//! What works as written, but probably not as meant: warnings about the meaning of rules.
//!
//! Not part of loading: whoever wants to know asks, so that a gateway's start does not pay for it.

use super::table::Table;
use crate::config::{Condition, Config, Cursor, Item, Location, MatchType, Operator, Report, Rule};

/// Up to so many rules each is compared with each.
const MOST_COMPARED: usize = 2_000;

/// Adds to the report of a usable configuration what an operator should look at again; `now` is in
/// milliseconds since the epoch.
pub fn lint(config: &Config, table: &Table, now: u64, report: Report) -> Report {
    let at = &mut Cursor::new(report);
    if !config.rules.iter().any(|rule| rule.enabled) {
        at.field("rules", |at| at.warning("no rule is enabled: every request goes on untouched"));
    }
    reach(config, at);
    rollouts(table, now, at);
    at.field("rules", |at| {
        for (index, rule) in config.rules.iter().enumerate() {
            at.element(index, |at| {
                if let Some(condition) = &rule.condition {
                    at.field("condition", |at| literal_patterns(condition, at));
                }
            });
        }
    });
    std::mem::take(at).finish()
}

/// A rule that no request can get to, because an earlier one takes all that it would take.
fn reach<'c>(config: &'c Config, at: &mut Cursor<'c>) {
    let mut order: Vec<(usize, &Rule)> =
        config.rules.iter().enumerate().filter(|(_, rule)| rule.enabled).collect();
    // Stable, as the engine's order is.
    order.sort_by_key(|(_, rule)| std::cmp::Reverse(rule.weight.get()));
    let demands: Vec<Demand<'_>> = order.iter().map(|(_, rule)| Demand::of(rule)).collect();
    let first_always = demands.iter().position(|demand| demand.items.is_empty());
    for (position, ((index, rule), demand)) in order.iter().zip(&demands).enumerate() {
        let earlier = match first_always.filter(|first| *first < position) {
            Some(first) => Some(first),
            None if position < MOST_COMPARED => {
                demands.iter().take(position).position(|earlier| earlier.covers(demand))
            }
            None => None,
        };
        let Some((earlier_index, earlier)) = earlier.and_then(|earlier| order.get(earlier)) else {
            continue;
        };
        let why = if Demand::of(earlier).items.is_empty() {
            "which always matches".to_owned()
        } else {
            "which matches whenever this one does".to_owned()
        };
        let order = if earlier.weight == rule.weight {
            "stands before it with the same weight"
        } else {
            "has the larger weight"
        };
        at.field("rules", |at| {
            at.element(*index, |at| {
                at.warning(format!("never reached: rules[{earlier_index}], {why}, {order}"));
            });
        });
    }
}

/// A rollout that has reached its end: whoever reads the weights reads something else than what holds.
fn rollouts(table: &Table, now: u64, at: &mut Cursor<'_>) {
    let over = table.rules().iter().filter(|rule| rule.rollout_end().is_some_and(|end| end <= now));
    for rule in over {
        at.field("rules", |at| {
            at.element(rule.index(), |at| {
                at.field("rollout", |at| {
                    at.warning(
                        "its end is in the past: its last weights hold, and can be written as the \
                         weights of the upstreams",
                    );
                });
            });
        });
    }
}

/// What a rule asks of a request.
struct Demand<'c> {
    any: bool,
    items: Vec<(Location, &'c Item)>,
}

impl<'c> Demand<'c> {
    fn of(rule: &'c Rule) -> Self {
        let locations = rule.condition.iter().flat_map(|condition| &condition.locations);
        let items: Vec<_> = locations
            .flat_map(|(location, items)| items.as_slice().iter().map(|item| (*location, item)))
            .collect();
        // With a single item both are the same.
        Self { any: rule.match_type == MatchType::Or && items.len() > 1, items }
    }

    /// Whether this holds on every request on which the other does, as far as equal items tell.
    fn covers(&self, other: &Self) -> bool {
        let has = |demand: &Self, item: &(Location, &Item)| demand.items.contains(item);
        match (self.any, other.any) {
            _ if self.items.is_empty() => true,
            _ if other.items.is_empty() => false,
            // All that this asks for, the other asks for too.
            (false, false) => self.items.iter().all(|item| has(other, item)),
            // One of the other's demands is enough for this.
            (true, false) => other.items.iter().any(|item| has(self, item)),
            // Every way into the other is a way into this.
            (true, true) => other.items.iter().all(|item| has(self, item)),
            // One of many ways does not make all of several demands hold, or only if they are one.
            (false, true) => {
                other.items.iter().all(|way| self.items.iter().all(|item| item == way))
            }
        }
    }
}

/// A pattern without a single special character: a plain comparison says it better, and faster.
fn literal_patterns<'c>(condition: &'c Condition, at: &mut Cursor<'c>) {
    for (location, items) in &condition.locations {
        at.field(location.word(), |at| {
            items.visit(at, |item, at| {
                let positive = match item.operator {
                    Operator::Regex => true,
                    Operator::NotRegex => false,
                    _ => return,
                };
                let Some(pattern) = item.value.as_ref().filter(|_| item.global_config_id.is_none())
                else {
                    return;
                };
                let Some((at_start, text, at_end)) = literal(&pattern.0) else { return };
                let better = match (positive, at_start, at_end) {
                    (true, true, true) => Some(Operator::Eq),
                    (true, true, false) => Some(Operator::Prefix),
                    (true, false, true) => Some(Operator::Suffix),
                    (true, false, false) => Some(Operator::Contains),
                    (false, true, true) => Some(Operator::Ne),
                    (false, false, false) => Some(Operator::NotContains),
                    (false, ..) => None,
                };
                let Some(better) = better.map(Operator::word) else { return };
                at.field("value", |at| {
                    at.warning(format!(
                        "the pattern is a plain text; the operator `{better}` with {} says the same",
                        crate::config::quote(&text)
                    ));
                });
            });
        });
    }
}

/// The text that a pattern stands for if it has nothing special but its anchors.
fn literal(pattern: &str) -> Option<(bool, String, bool)> {
    let (at_start, rest) = match pattern.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    let mut text = String::new();
    let mut characters = rest.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '$' if characters.peek().is_none() => {
                return (!text.is_empty()).then_some((at_start, text, true));
            }
            '\\' => text.push(characters.next().filter(char::is_ascii_punctuation)?),
            '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$' => {
                return None;
            }
            plain => text.push(plain),
        }
    }
    (!text.is_empty()).then_some((at_start, text, false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use serde_json::json;

    fn warnings(rules: serde_json::Value) -> Vec<String> {
        let (config, report) = config::read(&json!({ "rules": rules }));
        assert!(report.is_usable(), "{report}");
        let (table, _) = crate::engine::compile(&config, Report::default());
        lint(&config, &table, 1_000_000, Report::default())
            .warnings()
            .map(ToString::to_string)
            .collect()
    }

    fn rule(weight: u8, condition: serde_json::Value, match_type: &str) -> serde_json::Value {
        json!({ "weight": weight, "condition": condition, "match_type": match_type, "upstream": [{ "name": "a" }] })
    }

    #[test]
    fn rules_behind_a_wider_one_are_never_reached() {
        let a = json!({ "key": "a", "operator": "exists" });
        let b = json!({ "key": "b", "operator": "exists" });
        let always = json!(null);
        let only_a = json!({ "header": [a] });
        let both = json!({ "header": [a, b] });
        // earlier, its match type, later, its match type, whether the later is reached
        let table = [
            (&always, "AND", &only_a, "AND", false),
            (&only_a, "AND", &always, "AND", true),
            (&only_a, "AND", &only_a, "AND", false),
            (&only_a, "AND", &both, "AND", false),
            (&both, "AND", &only_a, "AND", true),
            (&both, "OR", &only_a, "AND", false),
            (&both, "OR", &both, "AND", false),
            (&both, "AND", &both, "OR", true),
            (&both, "OR", &both, "OR", false),
            (&only_a, "OR", &both, "OR", true),
        ];
        for (earlier, earlier_type, later, later_type, reached) in table {
            let rules =
                json!([rule(1, later.clone(), later_type), rule(2, earlier.clone(), earlier_type)]);
            let found = warnings(rules);
            assert_eq!(
                found.is_empty(),
                reached,
                "{earlier} {earlier_type}, {later} {later_type}: {found:?}"
            );
        }
    }

    #[test]
    fn patterns_without_anything_special_are_named() {
        let table = [
            ("^abc$", Some("`eq` with \"abc\"")),
            ("^abc", Some("`prefix`")),
            ("abc$", Some("`suffix`")),
            (r"a\.c", Some("`contains` with \"a.c\"")),
            (r"\d", None),
            ("a.c", None),
            ("^$", None),
            ("a$b", None),
        ];
        for (pattern, better) in table {
            let item = json!({ "key": "a", "operator": "regex", "value": pattern });
            let found = warnings(json!([rule(1, json!({ "header": item }), "AND")]));
            match better {
                Some(better) => assert!(found.concat().contains(better), "{pattern}: {found:?}"),
                None => assert!(found.is_empty(), "{pattern}: {found:?}"),
            }
        }
    }

    #[test]
    fn rollouts_of_the_past_are_named() {
        for (start, over) in [(0, true), (989, true), (990, true), (991, false)] {
            let mut rule = rule(1, json!(null), "AND");
            rule["rollout"] = json!({ "start": start, "duration": "10s", "to": { "a": 50 } });
            assert_eq!(!warnings(json!([rule])).is_empty(), over, "{start}");
        }
    }

    #[test]
    fn nothing_enabled_is_worth_a_word() {
        assert_eq!(
            warnings(json!([])),
            ["rules: no rule is enabled: every request goes on untouched"]
        );
    }
}
