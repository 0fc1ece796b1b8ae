//! Rules that no request gets to, and conditions that no request meets.

use super::implies::{contradict, implies};
use crate::config::{Config, Cursor, Location, Rule as Written};
use crate::engine::attribute::{Attribute, Attributes};
use crate::engine::matches::Test;
use crate::engine::rule::{Item, Rule};
use crate::engine::table::Table;

/// Up to so many rules each is compared with each.
const MOST_COMPARED: usize = 2_000;
/// So many pairs of items are compared in all.
const MOST_PAIRS: usize = 4_000_000;
/// Up to so many items of a rule each is compared with each.
const MOST_ITEMS: usize = 200;

/// Checks the rules, with the cursor at their list.
pub(super) fn check<'c>(config: &'c Config, table: &Table, at: &mut Cursor<'c>) {
    let demands: Vec<Demand<'_>> =
        table.rules.iter().map(|rule| Demand::of(rule, &table.attributes)).collect();
    let first_always = demands.iter().position(|demand| demand.items.is_empty());
    let mut pairs = MOST_PAIRS;
    for (position, (rule, demand)) in table.rules.iter().zip(&demands).enumerate() {
        let is_impossible = config
            .rules
            .get(rule.index)
            .is_some_and(|written| at.element(rule.index, |at| contradictions(rule, written, at)));
        let earlier = match first_always.filter(|first| *first < position) {
            Some(first) => Some(first),
            None if position < MOST_COMPARED && !is_impossible => {
                demands.iter().take(position).position(|earlier| {
                    let count = earlier.items.len().saturating_mul(demand.items.len());
                    pairs = pairs.saturating_sub(count);
                    pairs > 0 && earlier.covers(demand)
                })
            }
            None => None,
        };
        let earlier = earlier.and_then(|at| Some((table.rules.get(at)?, demands.get(at)?)));
        if let Some((earlier, wider)) = earlier {
            let why = match wider.items.is_empty() {
                true => "which always matches",
                false => "which matches whenever this one does",
            };
            let order = match earlier.weight == rule.weight {
                true => "stands before it with the same weight",
                false => "has the larger weight",
            };
            at.element(rule.index, |at| {
                at.warning(format!("never reached: rules[{}], {why}, {order}", earlier.index));
            });
        }
    }
}

/// Two items of which no request meets both; whether there are any.
fn contradictions<'c>(rule: &Rule, written: &'c Written, at: &mut Cursor<'c>) -> bool {
    if rule.items.len() > MOST_ITEMS {
        return false;
    }
    if rule.any {
        tautologies(rule, written, at);
        return false;
    }
    let mut items: Vec<&Item> = rule.items.iter().collect();
    items.sort_by_key(|item| item.origin);
    let mut any = false;
    for (index, item) in items.iter().enumerate() {
        let earlier = items.iter().take(index).find(|earlier| contradict(earlier, item));
        let places = earlier.and_then(|earlier| {
            Some((Place::of(written, earlier.origin)?, Place::of(written, item.origin)?))
        });
        let Some((earlier, place)) = places else { continue };
        any = true;
        let message = format!(
            "contradicts {}: no request meets both, and this rule demands all",
            earlier.path()
        );
        place.warn(at, message);
    }
    any
}

/// Two items of which every request meets one, so that a rule that needs one matches always.
fn tautologies<'c>(rule: &Rule, written: &'c Written, at: &mut Cursor<'c>) {
    let mut items: Vec<&Item> = rule.items.iter().collect();
    items.sort_by_key(|item| item.origin);
    let opposite = |item: &Item| Item { negated: !item.negated, ..item.clone() };
    for (index, item) in items.iter().enumerate() {
        let other = opposite(item);
        let earlier =
            items.iter().take(index).find(|earlier| contradict(&opposite(earlier), &other));
        let places = earlier.and_then(|earlier| {
            Some((Place::of(written, earlier.origin)?, Place::of(written, item.origin)?))
        });
        let Some((earlier, place)) = places else { continue };
        place.warn(
            at,
            format!(
                "every request meets this or {}, and with `match_type: OR` one is enough: the rule \
                 always matches; did you mean `AND`?",
                earlier.path()
            ),
        );
        return;
    }
}

/// Where an item is written.
struct Place {
    location: Location,
    /// Its position in the list, if it stands in one.
    index: Option<usize>,
}

impl Place {
    fn of(rule: &Written, origin: u32) -> Option<Self> {
        let mut before = usize::try_from(origin).ok()?;
        for (location, items) in rule.condition.iter().flat_map(|condition| &condition.locations) {
            let count = items.as_slice().len();
            if before < count {
                let is_list = matches!(items, crate::config::Items::Many(_));
                return Some(Self { location: *location, index: is_list.then_some(before) });
            }
            before -= count;
        }
        None
    }

    /// Says something of it, with the cursor at the rule.
    fn warn(&self, at: &mut Cursor<'_>, message: String) {
        at.field("condition", |at| {
            at.field(self.location.word(), |at| match self.index {
                Some(index) => at.element(index, |at| at.warning(message)),
                None => at.warning(message),
            });
        });
    }

    fn path(&self) -> String {
        let index = self.index.map(|index| format!("[{index}]")).unwrap_or_default();
        format!("condition.{}{index}", self.location.word())
    }
}

/// What a rule asks of a request; nothing where it always matches.
struct Demand<'r> {
    any: bool,
    items: Vec<&'r Item>,
}

impl<'r> Demand<'r> {
    fn of(rule: &'r Rule, attributes: &Attributes) -> Self {
        let is_always =
            |item: &Item| attributes.get(item.attribute).is_some_and(|a| always(a, item));
        let items = match rule.any {
            true if rule.items.iter().any(is_always) => Vec::new(),
            true => rule.items.iter().collect(),
            false => rule.items.iter().filter(|item| !is_always(item)).collect(),
        };
        // With a single item both are the same.
        Self { any: rule.any && items.len() > 1, items }
    }

    /// Whether this holds on every request on which the other does, as far as pairs of items tell.
    fn covers(&self, other: &Self) -> bool {
        let (wide, narrow) = (&self.items, &other.items);
        match (self.any, other.any) {
            _ if wide.is_empty() => true,
            _ if narrow.is_empty() => false,
            // All that this asks for, the other's demands bring with them.
            (false, false) => {
                wide.iter().all(|item| narrow.iter().any(|demand| implies(demand, item)))
            }
            // One of the other's demands is enough for this.
            (true, false) => {
                wide.iter().any(|item| narrow.iter().any(|demand| implies(demand, item)))
            }
            // Every way into the other is a way into this.
            (true, true) => narrow.iter().all(|way| wide.iter().any(|item| implies(way, item))),
            (false, true) => narrow.iter().all(|way| wide.iter().all(|item| implies(way, item))),
        }
    }
}

/// Whether every request meets an item: each has a path and a method.
fn always(attribute: &Attribute, item: &Item) -> bool {
    let on_path = match &item.test {
        Test::Prefix(prefix) => matches!(**prefix, [] | [b'/']),
        Test::PathPrefix(prefix) => prefix.as_bytes().is_empty(),
        test => matches!(test, Test::Exists),
    };
    match attribute {
        Attribute::Path => on_path && !item.negated,
        Attribute::Method => matches!(item.test, Test::Exists) && !item.negated,
        _ => false,
    }
}
