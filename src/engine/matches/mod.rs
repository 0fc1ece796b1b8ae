//! What a condition asks of one value: one file per kind of match.

mod address;
mod list;
mod ordered;
mod path_prefix;

pub(crate) use address::{Addresses, parse as parse_address};
pub(crate) use list::{ValueList, split as split_list};
pub(crate) use ordered::{Bound, Relation, Scale};
pub(crate) use path_prefix::PathPrefix;

use super::patterns::Pattern;
use memchr::memmem::Finder;
use std::sync::Arc;

/// A question to the value of an attribute, without its negation.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    Exists,
    Equal(Box<[u8]>),
    Ordered(Bound),
    In(Arc<ValueList>),
    Address(Arc<Addresses>),
    /// One of the patterns that are searched for in the attribute's value all at once.
    Search(Arc<Pattern>),
    Prefix(Box<[u8]>),
    Suffix(Box<[u8]>),
    Contains(Box<Finder<'static>>),
    PathPrefix(PathPrefix),
}

impl Test {
    /// Whether the test holds on the value of a present attribute. On requests patterns are not
    /// asked one by one.
    pub(crate) fn holds(&self, value: &[u8]) -> bool {
        match self {
            Self::Exists => true,
            Self::Equal(expected) => **expected == *value,
            Self::Ordered(bound) => bound.admits(value),
            Self::In(list) => list.contains(value),
            Self::Address(set) => parse_address(value).is_some_and(|address| set.contains(address)),
            Self::Search(pattern) => pattern.is_found_in(value),
            Self::Prefix(prefix) => value.starts_with(prefix),
            Self::Suffix(suffix) => value.ends_with(suffix),
            Self::Contains(finder) => finder.find(value).is_some(),
            Self::PathPrefix(prefix) => prefix.matches(value),
        }
    }
}
