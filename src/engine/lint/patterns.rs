//! Patterns that say less than they seem to.

use crate::config::{Cursor, Item, Location, Operator, quote};
use crate::engine::attribute::Attribute;
use crate::engine::patterns::count_states;

/// A pattern without a single special character: a plain comparison says it better, and faster. But
/// only a plain comparison has its value brought into the spelling that the attribute has.
pub(super) fn check(location: Location, item: &Item, at: &mut Cursor<'_>) {
    let positive = match item.operator {
        Operator::Regex => true,
        Operator::NotRegex => false,
        _ => return,
    };
    let pattern = item.value.as_ref().filter(|_| item.global_config_id.is_none());
    let Some(pattern) = pattern else { return };
    check_size(&pattern.0, at);
    let Some((at_start, text, at_end)) = literal(&pattern.0) else { return };
    let attribute = Attribute::of(location, item);
    let spelling = attribute.normalised(&text);
    if *spelling != *text {
        let (what, case) = match attribute {
            Attribute::Method => ("a method", "upper"),
            _ => ("a host, like a scheme,", "lower"),
        };
        let when = if positive { "never matches" } else { "always holds" };
        let [start, end] =
            [(at_start, "^"), (at_end, "$")].map(|(is, anchor)| if is { anchor } else { "" });
        at.field("value", |at| {
            at.warning(format!(
                "{when}: {what} has {case} case here; did you mean {}?",
                quote(&format!("{start}{spelling}{end}"))
            ));
        });
        return;
    }
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
            quote(&text)
        ));
    });
}

/// A pattern that is large enough for a client to make its search expensive.
fn check_size(pattern: &str, at: &mut Cursor<'_>) {
    /// What Envoy allows its own regular expressions, unless told otherwise (`max_program_size`).
    const MOST_STATES: usize = 100;
    let states = count_states(pattern);
    if states > MOST_STATES {
        at.field("value", |at| {
            at.warning(format!(
                "the pattern has {states} states when compiled; above {MOST_STATES} the search may \
                 take many steps, and on a value that takes too many the item does not hold"
            ));
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
