//! What the fields of progressive delivery must have in common.

use super::delivery::{
    CircuitBreaker, CookieDemand, CookieName, HashOn, MAX_STAGES, NamedWeights, Rollout,
};
use super::model::Rule;
use super::read::{listed, nearest, quote};
use super::report::Cursor;
use super::values::Share;
use hashbrown::HashMap;

/// Checks one rule, with the cursor at it.
pub(super) fn check<'c>(rule: &'c Rule, at: &mut Cursor<'c>) {
    check_hash(rule, at);
    if let Some(demand) = rule.hash_on_cookie.as_ref().and_then(CookieName::demand) {
        check_cookie(rule, demand, at);
    }
    if let Some(rollout) = &rule.rollout {
        at.field("rollout", |at| check_rollout(rule, rollout, at));
    }
    if let Some(breaker) = &rule.circuit_breaker {
        at.field("circuit_breaker", |at| check_breaker(breaker, at));
    }
}

fn check_hash<'c>(rule: &'c Rule, at: &mut Cursor<'c>) {
    // Where each source takes its parameter from: first for `hash_on`, then for `hash_fallback`.
    let parameters = |source, header, query_arg| match source {
        HashOn::Header => header,
        HashOn::QueryArg => query_arg,
        HashOn::Cookie => Some(("hash_on_cookie", rule.hash_on_cookie.is_some())),
        HashOn::None | HashOn::Ip | HashOn::Consumer | HashOn::Path => None,
    };
    let own = parameters(
        rule.hash_on,
        Some(("hash_on_header", rule.hash_on_header.is_some())),
        Some(("hash_on_query_arg", has_text(&rule.hash_on_query_arg))),
    );
    let fallback = parameters(
        rule.hash_fallback,
        Some(("hash_fallback_header", rule.hash_fallback_header.is_some())),
        Some(("hash_fallback_query_arg", has_text(&rule.hash_fallback_query_arg))),
    );
    for (source, field, parameter) in
        [(rule.hash_on, "hash_on", own), (rule.hash_fallback, "hash_fallback", fallback)]
    {
        if let Some((name, false)) = parameter {
            at.field(name, |at| {
                at.error(format!("missing; `{field}: {}` needs it", source.word()));
            });
        }
    }
    if rule.hash_fallback != HashOn::None {
        at.field("hash_fallback", |at| match rule.hash_on {
            HashOn::None => at.error("found without `hash_on`; accepted is `hash_fallback` beside it"),
            HashOn::Cookie => at.error(
                "found beside `hash_on: cookie`; accepted is none, because a missing cookie is issued",
            ),
            _ => {}
        });
    }
}

/// A cookie that browsers drop is issued anew for every request.
fn check_cookie<'c>(rule: &'c Rule, demand: CookieDemand, at: &mut Cursor<'c>) {
    if !rule.hash_on_cookie_secure {
        at.field("hash_on_cookie", |at| {
            at.error(
                "found a name that browsers accept of `Secure` cookies only; accepted is \
                 `hash_on_cookie_secure: true` beside it, or another name",
            );
        });
    }
    if demand == CookieDemand::SecureAtRoot && rule.hash_on_cookie_path != Default::default() {
        at.field("hash_on_cookie_path", |at| {
            at.error("browsers accept a cookie whose name begins with `__Host-` for `/` only");
        });
    }
}

fn has_text(text: &Option<String>) -> bool {
    text.as_ref().is_some_and(|text| !text.is_empty())
}

fn check_rollout<'c>(rule: &'c Rule, rollout: &'c Rollout, at: &mut Cursor<'c>) {
    let shorthand = [
        ("duration", rollout.duration.is_some()),
        ("steps", rollout.steps.is_some()),
        ("to", rollout.to.is_some()),
    ];
    let Some(stages) = &rollout.stages else {
        for (name, _) in shorthand.iter().filter(|(name, there)| !there && *name != "steps") {
            at.field(name, |at| {
                at.error("missing; a rollout has either `stages`, or `duration`, `steps` and `to`");
            });
        }
        if rollout.duration.is_some_and(|duration| duration.0 == 0) && at.is_sound() {
            at.field("duration", |at| at.error("found 0; accepted is a longer duration"));
        }
        if let Some(to) = &rollout.to {
            at.field("to", |at| check_weights(rule, to, at));
        }
        return;
    };
    for (name, _) in shorthand.iter().filter(|(_, there)| *there) {
        at.field(name, |at| {
            at.error("found beside `stages`; accepted is one or the other");
        });
    }
    at.field("stages", |at| {
        if stages.is_empty() && at.is_sound() {
            at.error(format!("found a list of 0; accepted is a list of 1 to {MAX_STAGES} stages"));
        }
        let mut previous = None;
        at.each(stages, |stage, at| {
            at.field("after", |at| {
                if at.is_sound() && previous.is_some_and(|previous| stage.after < previous) {
                    at.error("found a time before the stage above; accepted is the order of time");
                }
            });
            at.field("weights", |at| check_weights(rule, &stage.weights, at));
            previous = Some(stage.after);
        });
    });
}

/// The names are the rule's, and the weights are shares of its total.
fn check_weights<'c>(rule: &'c Rule, weights: &'c NamedWeights, at: &mut Cursor<'c>) {
    if !at.is_sound() {
        return;
    }
    let known: Vec<&str> = rule
        .upstream
        .0
        .iter()
        .filter_map(|upstream| upstream.name.as_ref().map(|name| name.0.as_str()))
        .collect();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for name in &known {
        *counts.entry(name).or_default() += 1;
    }
    for (name, _) in &weights.0 {
        if at.is_full() {
            return;
        }
        let message = match counts.get(name.as_str()).copied().unwrap_or(0) {
            1 => continue,
            0 if known.is_empty() => {
                "accepted is none, because no upstream of this rule has a name".to_owned()
            }
            0 => {
                let hint = nearest(name, known.iter().copied())
                    .map(|near| format!("; did you mean `{near}`?"))
                    .unwrap_or_default();
                format!("accepted are the upstreams of this rule: {}{hint}", listed(&known))
            }
            _ => "accepted is an upstream that the rule lists once".to_owned(),
        };
        at.field(name, |at| at.error(format!("found {}; {message}", quote(name))));
    }
    let total = Share::whole(rule.weight_total.get());
    let sum = Share::hundredths(weights.0.iter().map(|(_, share)| share.in_hundredths()).sum());
    if sum > total {
        at.error(format!(
            "found weights that add up to {sum}; accepted is at most {total} (`weight_total`)"
        ));
    }
}

fn check_breaker<'c>(breaker: &'c CircuitBreaker, at: &mut Cursor<'c>) {
    if breaker.max_error_rate.is_none() && breaker.max_latency.is_none() && at.is_sound() {
        at.error("found no limit; accepted is `max_error_rate`, or `max_latency` with `max_slow_rate`, or both");
    }
    match (breaker.max_latency, breaker.max_slow_rate) {
        (Some(_), None) => {
            at.field("max_slow_rate", |at| at.error("missing; `max_latency` needs it"));
        }
        (None, Some(_)) => {
            at.field("max_latency", |at| at.error("missing; `max_slow_rate` needs it"));
        }
        _ => {}
    }
    if breaker.window.0 < 100 {
        at.field("window", |at| {
            if at.is_sound() {
                at.error("found less than 100ms; accepted is a longer window");
            }
        });
    }
}
