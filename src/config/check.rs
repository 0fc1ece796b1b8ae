//! What no single field can know: sums, references and ties.

use super::baggage::{BAGGAGE_BYTES, Member};
use super::check_delivery;
use super::condition::{Item, Location};
use super::model::{Config, GlobalConfig, Rule};
use super::placeholders::Placeholders;
use super::read::{nearest, quote};
use super::report::{Cursor, Report, Step};
use super::values::Share;
use hashbrown::{HashMap, HashSet};

/// What no single field can know: sums, references and ties.
pub(super) fn check(config: &Config, report: Report) -> Report {
    let at = &mut Cursor::new(report);
    at.field("rules", |at| {
        at.each(&config.rules, |rule, at| {
            check_shares(rule, at);
            check_baggage(rule, at);
            check_delivery::check(rule, at);
        });
        check_ties(&config.rules, at);
    });
    at.field("global_configs", |at| check_ids(&config.global_configs, at));
    check_references(config, at);
    check_internal_header(config, at);
    std::mem::take(at).finish()
}

/// The weights of one rule are shares of `weight_total`.
fn check_shares<'c>(rule: &'c Rule, at: &mut Cursor<'c>) {
    let total_is_sound = at.field("weight_total", |at| at.is_sound());
    at.field("upstream", |at| {
        if !total_is_sound || !at.is_sound() || rule.upstream.0.is_empty() {
            return;
        }
        let total = Share::whole(rule.weight_total.get());
        let sum = Share::hundredths(
            rule.upstream.0.iter().map(|upstream| upstream.weight.in_hundredths()).sum(),
        );
        if sum > total {
            at.error(format!(
                "found weights that add up to {sum}; accepted is at most {total} (`weight_total`)"
            ));
        } else if sum == Share::default() && rule.enabled && rule.rollout.is_none() {
            at.warning("all weights are 0: none of these upstreams ever gets a request");
        } else if sum < total && rule.enabled {
            let rest = Share::hundredths(total.in_hundredths() - sum.in_hundredths());
            at.warning(format!(
                "the weights add up to {sum} of {total}: \
                 the remaining {rest} stays with the service's own upstream"
            ));
        }
    });
}

/// Each member of the baggage is set once, and all of them have room in it.
fn check_baggage<'c>(rule: &'c Rule, at: &mut Cursor<'c>) {
    let check_members = |members: &'c [Member], names: &Placeholders, at: &mut Cursor<'c>| {
        let mut length = 0;
        let mut seen = HashSet::new();
        at.each(members, |member, at| {
            length += member.text(names).len() + 1;
            at.field("key", |at| {
                if !seen.insert(member.key.0.as_str()) && at.is_sound() {
                    at.error(format!(
                        "found {} a second time; accepted is each key once",
                        quote(&member.key.0)
                    ));
                }
            });
        });
        // The last one has no comma after it.
        if length > BAGGAGE_BYTES + 1 {
            at.error(format!(
                "found members of {} bytes in all; accepted are at most {BAGGAGE_BYTES}, which is \
                 what a baggage may have",
                length - 1
            ));
        }
    };
    at.field("upstream", |at| {
        at.each(&rule.upstream.0, |upstream, at| {
            let baggage = upstream.request_headers.as_ref();
            let Some(baggage) = baggage.and_then(|headers| headers.baggage.as_ref()) else {
                return;
            };
            let name = upstream.name.as_ref().map(|name| name.0.as_str());
            let names = Placeholders::new(rule.name.as_deref(), rule.weight.get(), name);
            at.field("request_headers", |at| {
                at.field("baggage", |at| {
                    at.field("set", |at| check_members(&baggage.set, &names, at));
                });
            });
        });
    });
}

/// Equal priorities work, but rarely on purpose.
fn check_ties<'c>(rules: &'c [Rule], at: &mut Cursor<'c>) {
    let mut first_with: HashMap<u64, (usize, bool)> = HashMap::new();
    for (index, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.enabled) {
        let weight = rule.weight.get();
        let (first, told) = first_with.entry(weight).or_insert((index, false));
        // Once for each priority: a list of thousands has hardly any other.
        if *first != index && !std::mem::replace(told, true) {
            at.element(index, |at| {
                at.field("weight", |at| {
                    at.warning(format!(
                        "the same priority {weight} as rules[{first}]: the order of the list decides"
                    ));
                });
            });
        }
    }
}

fn check_ids<'c>(global_configs: &'c [GlobalConfig], at: &mut Cursor<'c>) {
    let mut seen = HashSet::new();
    at.each(global_configs, |global, at| {
        at.field("id", |at| {
            if !seen.insert(global.id.0.as_str()) && at.is_sound() {
                at.error(format!(
                    "found {} a second time; accepted is each id once",
                    quote(&global.id.0)
                ));
            }
        });
    });
}

fn check_references<'c>(config: &'c Config, at: &mut Cursor<'c>) {
    let known: HashSet<&str> = config.global_configs.iter().map(|g| g.id.0.as_str()).collect();
    visit_items(config, at, |_, item, at| {
        let Some(id) = &item.global_config_id else { return };
        at.field("global_config_id", |at| {
            if !known.contains(id.0.as_str()) && at.is_sound() {
                let hint = nearest(&id.0, known.iter().copied())
                    .map(|near| format!("; did you mean {}?", quote(near)))
                    .unwrap_or_default();
                at.error(format!(
                    "found the id {}; accepted is the id of an entry of `global_configs`{hint}",
                    quote(&id.0)
                ));
            }
        });
    });
}

/// Visits every item of every rule with the cursor at its place.
fn visit_items<'c>(
    config: &'c Config,
    at: &mut Cursor<'c>,
    mut visit: impl FnMut(Location, &'c Item, &mut Cursor<'c>),
) {
    at.field("rules", |at| {
        at.each(&config.rules, |rule, at| {
            let Some(condition) = &rule.condition else { return };
            at.field("condition", |at| {
                for (location, items) in &condition.locations {
                    at.field(location.word(), |at| {
                        items.visit(at, |item, at| visit(*location, item, at));
                    });
                }
            });
        });
    });
}

/// The internal header carries the decision: nothing else may write it.
fn check_internal_header<'c>(config: &'c Config, at: &mut Cursor<'c>) {
    let internal = config.upstream_header.as_str();
    let upstreams = config.rules.iter().enumerate().flat_map(|(rule_index, rule)| {
        let upstreams = rule.upstream.0.iter().enumerate();
        upstreams.map(move |(index, upstream)| (rule_index, index, upstream))
    });
    for (rule_index, index, upstream) in upstreams {
        let Some(headers) = &upstream.request_headers else { continue };
        let among = |list: &'c [super::model::Header]| {
            list.iter().position(|header| header.name.as_str() == internal)
        };
        let lists = [
            ("set", among(&headers.set)),
            ("add", among(&headers.add)),
            ("remove", headers.remove.iter().position(|name| name.as_str() == internal)),
        ];
        for (list, position) in lists {
            let Some(position) = position else { continue };
            let place = [
                Step::Field("rules"),
                Step::Element(rule_index),
                Step::Field("upstream"),
                Step::Element(index),
                Step::Field("request_headers"),
                Step::Field(list),
                Step::Element(position),
            ];
            at.within(&place, |at| {
                at.error(format!(
                    "found `{}`, which carries the chosen upstream; accepted is any other header",
                    internal
                ));
            });
        }
    }
}
