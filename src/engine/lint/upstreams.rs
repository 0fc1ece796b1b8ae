//! Upstreams and names that stand more than once.

use crate::config::{Config, Cursor, HashOn, Share, Upstream};
use hashbrown::HashMap;

/// Checks the rules, with the cursor at their list.
pub(super) fn check<'c>(config: &'c Config, at: &mut Cursor<'c>) {
    let mut sticky: HashMap<&str, usize> = HashMap::new();
    for (index, rule) in config.rules.iter().enumerate() {
        at.element(index, |at| {
            at.field("upstream", |at| same(&rule.upstream.0, at));
            // Less than all leaves something to the service's own upstream.
            let is_alone = matches!(rule.upstream.0.as_slice(), [only]
                if only.weight == Share::whole(rule.weight_total.get()));
            if is_alone && rule.enabled && rule.hash_on != HashOn::None && rule.rollout.is_none() {
                at.field("hash_on", |at| {
                    at.warning("there is one upstream, and nothing to choose by it");
                });
            }
            let name = rule.name.as_deref().filter(|name| !name.is_empty());
            let Some(name) = name.filter(|_| rule.enabled && rule.hash_on != HashOn::None) else {
                return;
            };
            let first = *sticky.entry(name).or_insert(index);
            if first != index {
                at.field("name", |at| {
                    at.warning(format!(
                        "the name of rules[{first}] as well: clients are given out by the name of the \
                         rule, so that both rules choose alike, and the metrics of both are one"
                    ));
                });
            }
        });
    }
}

/// One upstream listed twice; with changes of its own to the request it is as good as another.
fn same<'c>(upstreams: &'c [Upstream], at: &mut Cursor<'c>) {
    for (index, upstream) in upstreams.iter().enumerate() {
        let is_same = |other: &Upstream| {
            other.name == upstream.name && other.request_headers == upstream.request_headers
        };
        let Some(first) = upstreams.iter().take(index).position(is_same) else { continue };
        at.element(index, |at| {
            at.field("name", |at| {
                at.warning(format!(
                    "the same upstream as upstream[{first}]: it gets both shares; accepted is one entry \
                     with their sum, or another name"
                ));
            });
        });
    }
}
