//! `in`: the value is one of many.

use crate::config::Delimiter;
use hashbrown::HashSet;

/// The values of a list: a few are compared one by one, many are looked up by hash.
#[derive(Clone, Debug)]
pub(crate) enum ValueList {
    Few(Box<[Box<[u8]>]>),
    Many(HashSet<Box<[u8]>>),
}

impl ValueList {
    /// Up to so many values a comparison of each beats a hash.
    const FEW: usize = 8;

    pub(crate) fn new<'v>(values: impl Iterator<Item = &'v [u8]>) -> Self {
        let set: HashSet<Box<[u8]>> = values.map(Box::from).collect();
        if set.len() <= Self::FEW { Self::Few(set.into_iter().collect()) } else { Self::Many(set) }
    }

    /// How many different values there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Few(values) => values.len(),
            Self::Many(values) => values.len(),
        }
    }

    /// All values, in no particular order.
    pub(crate) fn values(&self) -> impl Iterator<Item = &[u8]> {
        let (few, many) = match self {
            Self::Few(values) => (Some(values), None),
            Self::Many(values) => (None, Some(values)),
        };
        let few = few.into_iter().flatten();
        few.chain(many.into_iter().flatten()).map(|value| &**value)
    }

    pub(crate) fn contains(&self, value: &[u8]) -> bool {
        match self {
            Self::Few(values) => values.iter().any(|candidate| **candidate == *value),
            Self::Many(values) => values.contains(value),
        }
    }
}

/// The entries of a configured list: blanks around an entry do not count, empty entries are no entries.
pub(crate) fn split(text: &str, delimiter: Option<Delimiter>) -> impl Iterator<Item = &str> {
    let delimiter = match delimiter.unwrap_or(Delimiter::Comma) {
        Delimiter::Comma => ',',
        Delimiter::Semicolon => ';',
        Delimiter::Space => ' ',
        Delimiter::Newline => '\n',
    };
    text.split(delimiter)
        .map(|entry| entry.trim_matches([' ', '\t', '\r', '\n']))
        .filter(|entry| !entry.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_split_and_trimmed() {
        let table: &[(&str, Option<Delimiter>, &[&str])] = &[
            ("a,b", None, &["a", "b"]),
            (" a , b ,", None, &["a", "b"]),
            ("a;b,c", Some(Delimiter::Semicolon), &["a", "b,c"]),
            ("a  b", Some(Delimiter::Space), &["a", "b"]),
            ("a\r\nb c\n\n", Some(Delimiter::Newline), &["a", "b c"]),
            ("", None, &[]),
        ];
        for (text, delimiter, entries) in table {
            assert_eq!(&split(text, *delimiter).collect::<Vec<_>>(), entries, "{text:?}");
        }
    }

    #[test]
    fn few_and_many_hold_the_same() {
        for count in [0, 1, ValueList::FEW, ValueList::FEW + 1, 1_000] {
            let values: Vec<String> = (0..count).map(|n| format!("user-{n}")).collect();
            let list = ValueList::new(values.iter().map(String::as_bytes));
            assert!(values.iter().all(|value| list.contains(value.as_bytes())), "{count}");
            assert!(!list.contains(b"user-") && !list.contains(b""), "{count}");
        }
    }
}
