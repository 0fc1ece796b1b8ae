//! What works as written, but probably not as meant: warnings about the meaning of rules.
//!
//! Not part of loading: whoever wants to know asks, so that a gateway's start does not pay for it.

mod implies;
mod patterns;
mod reach;
mod upstreams;
mod values;

use super::table::Table;
use crate::config::{Config, Cursor, Report};

/// So many bytes of stored values are looked at, counted with each item that refers to them.
const STORED_BYTES: usize = 32 << 20;

/// Adds to the report of a usable configuration what an operator should look at again; `now` is in
/// milliseconds since the epoch.
pub fn lint(config: &Config, table: &Table, now: u64, report: Report) -> Report {
    let at = &mut Cursor::new(report);
    if !config.rules.iter().any(|rule| rule.enabled) {
        at.field("rules", |at| at.warning("no rule is enabled: every request goes on untouched"));
    }
    at.field("rules", |at| {
        reach::check(config, table, at);
        upstreams::check(config, at);
        let mut budget = STORED_BYTES;
        for (index, rule) in config.rules.iter().enumerate() {
            let Some(condition) = &rule.condition else { continue };
            at.element(index, |at| {
                at.field("condition", |at| {
                    for (location, items) in &condition.locations {
                        at.field(location.word(), |at| {
                            items.visit(at, |item, at| {
                                values::check(*location, item, config, &mut budget, at);
                                patterns::check(*location, item, at);
                            });
                        });
                    }
                });
            });
        }
        rollouts(table, now, at);
    });
    std::mem::take(at).finish()
}

/// A rollout that has reached its end: whoever reads the weights reads something else than what holds.
fn rollouts(table: &Table, now: u64, at: &mut Cursor<'_>) {
    let over = table.rules().iter().filter(|rule| rule.rollout_end().is_some_and(|end| end <= now));
    for rule in over {
        at.element(rule.index(), |at| {
            at.field("rollout", |at| {
                at.warning(
                    "its end is in the past: its last weights hold, and can be written as the \
                     weights of the upstreams",
                );
            });
        });
    }
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
