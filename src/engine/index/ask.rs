//! What rules make of a request, asked one by one.

use crate::engine::attribute::Facts;
use crate::engine::condition::Holds;
use crate::engine::request::Request;
use crate::engine::rule::Rule;

/// The rule that decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Found {
    /// The rule at this position.
    Rule(usize),
    /// It depends on the body, which has not arrived yet.
    NeedsBody,
    Nothing,
}

/// The plain loop.
pub(super) fn ask_each<R: Request>(rules: &[Rule], facts: &mut Facts<'_, '_, R>) -> Found {
    rules
        .iter()
        .enumerate()
        .find_map(|(position, rule)| ask(rule, position, facts))
        .unwrap_or(Found::Nothing)
}

/// What one rule makes of the request; none if it does not hold.
pub(super) fn ask<R: Request>(
    rule: &Rule,
    position: usize,
    facts: &mut Facts<'_, '_, R>,
) -> Option<Found> {
    let holds = rule.holds(facts);
    facts.note_unsure(position);
    match holds {
        Holds::Yes => Some(Found::Rule(position)),
        Holds::No => None,
        Holds::NeedsBody => Some(Found::NeedsBody),
    }
}
