//! What one item says of another that looks at the same part of a request.

use crate::engine::matches::{Bound, Scale, Test};
use crate::engine::rule::Item;
use std::sync::Arc;

/// Of longer lists nothing is said: each of their values would be tried.
const MOST_VALUES: usize = 100;

/// Whether the second item holds whenever the first does, as far as their kinds tell.
pub(super) fn implies(item: &Item, other: &Item) -> bool {
    item.attribute == other.attribute
        && match (item.negated, other.negated) {
            (false, false) => covers(&other.test, &item.test),
            (true, true) => covers(&item.test, &other.test),
            (false, true) => are_disjoint(&item.test, &other.test),
            // An absent parameter meets the first, and never the second.
            (true, false) => false,
        }
}

/// Whether no request meets both items, as far as their kinds tell.
pub(super) fn contradict(item: &Item, other: &Item) -> bool {
    item.attribute == other.attribute
        && match (item.negated, other.negated) {
            (false, false) => are_disjoint(&item.test, &other.test),
            (false, true) => covers(&other.test, &item.test),
            (true, false) => covers(&item.test, &other.test),
            // An absent parameter meets both.
            (true, true) => false,
        }
}

/// Whether the wide test holds on every value on which the narrow one does.
fn covers(wide: &Test, narrow: &Test) -> bool {
    match (wide, narrow) {
        (Test::Exists, _) => true,
        (_, Test::Equal(value)) => wide.holds(value),
        (Test::In(wide), Test::In(narrow)) if Arc::ptr_eq(wide, narrow) => true,
        (_, Test::In(list)) => {
            (1..=MOST_VALUES).contains(&list.len()) && list.values().all(|value| wide.holds(value))
        }
        (Test::Address(wide), Test::Address(narrow)) => narrow.ranges().iter().all(|narrow| {
            wide.ranges().iter().any(|wide| wide.0 <= narrow.0 && narrow.1 <= wide.1)
        }),
        (Test::Ordered(wide), Test::Ordered(narrow)) => is_wider(wide, narrow),
        (Test::Search(wide), Test::Search(narrow)) => wide.text() == narrow.text(),
        (Test::Prefix(wide), Test::Prefix(narrow)) => narrow.starts_with(wide),
        (Test::Prefix(wide), Test::PathPrefix(narrow)) => narrow.as_bytes().starts_with(wide),
        (Test::PathPrefix(wide), Test::PathPrefix(narrow)) => wide.matches(narrow.as_bytes()),
        (Test::PathPrefix(wide), Test::Prefix(narrow)) => {
            narrow.strip_prefix(wide.as_bytes()).is_some_and(|rest| rest.starts_with(b"/"))
        }
        (Test::Suffix(wide), Test::Suffix(narrow)) => narrow.ends_with(wide),
        (Test::Contains(wide), narrow) => {
            part(narrow).is_some_and(|part| wide.find(part).is_some())
        }
        _ => false,
    }
}

/// Whether the tests never hold on the same value.
fn are_disjoint(one: &Test, other: &Test) -> bool {
    let differ = |one: &[u8], other: &[u8]| !one.starts_with(other) && !other.starts_with(one);
    match (one, other) {
        (Test::Equal(value), test) | (test, Test::Equal(value)) => !test.holds(value),
        (Test::In(list), test) | (test, Test::In(list)) => {
            (1..=MOST_VALUES).contains(&list.len()) && !list.values().any(|value| test.holds(value))
        }
        (Test::Address(one), Test::Address(other)) => !one
            .ranges()
            .iter()
            .any(|one| other.ranges().iter().any(|other| one.0 <= other.1 && other.0 <= one.1)),
        (Test::Ordered(one), Test::Ordered(other)) => exclude(one, other),
        (Test::PathPrefix(one), Test::PathPrefix(other)) => {
            !one.matches(other.as_bytes()) && !other.matches(one.as_bytes())
        }
        (Test::Prefix(one), Test::Prefix(other)) => differ(one, other),
        (Test::Prefix(prefix), Test::PathPrefix(path))
        | (Test::PathPrefix(path), Test::Prefix(prefix)) => differ(prefix, path.as_bytes()),
        (Test::Suffix(one), Test::Suffix(other)) => !one.ends_with(other) && !other.ends_with(one),
        _ => false,
    }
}

/// What every value that a test holds on has in it.
fn part(test: &Test) -> Option<&[u8]> {
    match test {
        Test::Prefix(text) | Test::Suffix(text) => Some(text),
        Test::Contains(finder) => Some(finder.needle()),
        Test::PathPrefix(prefix) => Some(prefix.as_bytes()),
        _ => None,
    }
}

/// The scales on which two bounds are compared with a value, whatever it is; none where they are not alike.
fn scales(one: &Bound, other: &Bound) -> Option<&'static [Scale]> {
    let both = |scale| one.is_on(scale) && other.is_on(scale);
    match (one.is_version(), other.is_version()) {
        (true, true) => Some(&[Scale::Version]),
        // A version as a value makes versions of the bounds.
        (false, false) if both(Scale::Decimal) && both(Scale::Version) => {
            Some(&[Scale::Decimal, Scale::Version])
        }
        _ => None,
    }
}

fn is_wider(wide: &Bound, narrow: &Bound) -> bool {
    wide.is_lower() == narrow.is_lower()
        && scales(wide, narrow).is_some_and(|scales| {
            scales.iter().all(|scale| wide.cmp_openness(narrow, *scale).is_le())
        })
}

/// Whether one bound is above all that the other admits.
fn exclude(one: &Bound, other: &Bound) -> bool {
    let admits = |bound: &Bound, limit: &Bound, scale: &Scale| match scale {
        Scale::Decimal => bound.admits(limit.text()),
        // Announced as what it is to be compared as.
        Scale::Version if limit.text().first() == Some(&b'v') => bound.admits(limit.text()),
        Scale::Version => bound.admits(&[b"v", limit.text()].concat()),
    };
    one.is_lower() != other.is_lower()
        && scales(one, other).is_some_and(|scales| {
            scales.iter().all(|scale| !(admits(one, other, scale) && admits(other, one, scale)))
        })
}

#[cfg(test)]
mod tests {
    use super::super::super::compile;
    use super::*;
    use crate::config;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn pair(one: &Value, other: &Value) -> Option<(Item, Item)> {
        let location = one["location"].as_str()?;
        let strip = |item: &Value| {
            let mut item = item.clone();
            item.as_object_mut().map(|fields| fields.remove("location"));
            item
        };
        let rule =
            json!({ "condition": { location: [strip(one), strip(other)] }, "upstream": [{}] });
        let (config, report) = config::read(&json!({ "rules": [rule] }));
        let (table, report) = compile(&config, report);
        let mut items = table.rules.first().filter(|_| report.is_usable())?.items.iter().cloned();
        Some((items.next()?, items.next()?))
    }

    fn header(operator: &str, value: &str) -> Value {
        json!({ "location": "header", "key": "a", "operator": operator, "value": value })
    }

    fn address(operator: &str, value: &str) -> Value {
        json!({ "location": "system", "key": "clientIP", "operator": operator, "value": value })
    }

    #[test]
    fn items_say_something_of_each_other() {
        // one, another, whether the first implies the second, whether they contradict
        let table = [
            (header("eq", "1"), header("eq", "1"), true, false),
            (header("eq", "1"), header("eq", "2"), false, true),
            (header("eq", "1"), header("ne", "2"), true, false),
            (header("eq", "1"), header("ne", "1"), false, true),
            (header("eq", "1"), header("exists", ""), true, false),
            (header("not exists", ""), header("exists", ""), false, true),
            (header("not exists", ""), header("ne", "1"), true, false),
            (header("ne", "1"), header("ne", "2"), false, false),
            (header("ne", "1"), header("not in", "1"), true, false),
            (header("not in", "1,2"), header("ne", "2"), true, false),
            (header("in", "1,2"), header("in", "1,2,3"), true, false),
            (header("in", "1,2,3"), header("in", "1,2"), false, false),
            (header("in", "1,2"), header("in", "3"), false, true),
            (header("in", "1,2"), header("lt", "3"), true, false),
            (header("in", "1,2"), header("regex", "^[0-9]$"), true, false),
            (header("lt", "3"), header("lt", "4"), true, false),
            (header("lt", "4"), header("lt", "3"), false, false),
            (header("lt", "3"), header("le", "3"), true, false),
            (header("le", "3"), header("lt", "3"), false, false),
            (header("lt", "3"), header("gt", "3"), false, true),
            (header("le", "3"), header("ge", "3"), false, false),
            (header("gt", "1.2.3"), header("gt", "1.2.0"), true, false),
            (header("gt", "v2"), header("le", "v1"), false, true),
            // As decimals 1.5 is more than 1.10, and as versions it is less.
            (header("gt", "1.5"), header("gt", "1.10"), false, false),
            (header("gt", "1.5"), header("lt", "1.10"), false, false),
            (header("prefix", "ab"), header("prefix", "a"), true, false),
            (header("prefix", "a"), header("prefix", "ab"), false, false),
            (header("prefix", "a"), header("prefix", "b"), false, true),
            (header("prefix", "ab"), header("contains", "b"), true, false),
            (header("prefix", "ab"), header("not contains", "b"), false, true),
            (header("suffix", ".org"), header("suffix", ".com"), false, true),
            (header("path_prefix", "/a/b"), header("path_prefix", "/a"), true, false),
            (header("path_prefix", "/a"), header("path_prefix", "/ab"), false, true),
            (header("prefix", "/a/"), header("path_prefix", "/a"), true, false),
            (header("prefix", "/a"), header("path_prefix", "/a"), false, false),
            (header("regex", "x"), header("regex", "x"), true, false),
            (header("regex", "x"), header("regex", "y"), false, false),
            (address("in", "10.1.0.0/16"), address("in", "10.0.0.0/8"), true, false),
            (address("in", "10.0.0.0/8"), address("in", "10.1.0.0/16"), false, false),
            (address("eq", "10.1.2.3"), address("in", "192.168.0.0/16"), false, true),
        ];
        for (one, other, implied, contrary) in table {
            let (a, b) = pair(&one, &other).expect("two items");
            assert_eq!((implies(&a, &b), contradict(&a, &b)), (implied, contrary), "{one} {other}");
            assert_eq!(contradict(&b, &a), contrary, "{other} {one}");
        }
    }

    proptest! {
        /// What is said of two items no value disproves.
        #[test]
        fn no_value_disproves_it(
            operators in prop::array::uniform2(prop::sample::select(config::Operator::WORDS)),
            values in prop::array::uniform2("v?[/12]{1,2}(\\.[12]{1,2}){0,2}|[ab/]{1,3}(,[ab/]{1,3})?"),
            tried in prop::collection::vec(
                prop::option::of("v?[/123]{1,2}(\\.[123]{1,2}){0,2}|[ab/]{0,4}"), 1..50),
        ) {
            let [one, other] = [0, 1].map(|n: usize| header(operators[n], &values[n]));
            if let Some((a, b)) = pair(&one, &other) {
                let (implies, contradict) = (implies(&a, &b), contradict(&a, &b));
                for value in tried {
                    let holds = |item: &Item| {
                        let found = value.as_ref().is_some_and(|v| item.test.holds(v.as_bytes()));
                        found != item.negated
                    };
                    prop_assert!(!implies || !holds(&a) || holds(&b), "{one} {other} {value:?}");
                    prop_assert!(!contradict || !holds(&a) || !holds(&b), "{one} {other} {value:?}");
                }
            }
        }
    }
}
