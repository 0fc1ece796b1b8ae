//! The head of the request at hand: asked for header by header, or all of it at once.

use super::abi::{self, Map};
use std::borrow::Cow;
use std::cell::OnceCell;

/// The headers of a request, on Envoy with `:path`, `:method`, `:scheme` and `:authority`.
///
/// What a gateway hands over costs a call, and one call of the gateway's back into the filter, for
/// the memory; that is most of it, so that all headers cost little more than one.
pub struct Head {
    at_once: bool,
    all: OnceCell<Vec<u8>>,
}

impl Head {
    /// The head of a request of which all is asked for at once, or header by header.
    pub fn new(at_once: bool) -> Self {
        Self { at_once, all: OnceCell::new() }
    }

    /// The first value of a header; `name` is in lower case.
    pub fn header(&self, name: &[u8]) -> Option<Cow<'_, [u8]>> {
        if !self.at_once && self.all.get().is_none() {
            return abi::header(Map::Request, name).map(Cow::Owned);
        }
        abi::values(self.all(), name).next().map(Cow::Borrowed)
    }

    /// All values of a header, joined by `separator`.
    pub fn joined(&self, name: &[u8], separator: u8) -> Option<Cow<'_, [u8]>> {
        let mut values = abi::values(self.all(), name);
        let mut joined = Cow::Borrowed(values.next()?);
        for value in values {
            joined.to_mut().push(separator);
            joined.to_mut().extend_from_slice(value);
        }
        Some(joined)
    }

    /// All names and values, in the order of the request; none where the gateway withholds them.
    pub fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        abi::pairs(self.all())
    }

    fn all(&self) -> &[u8] {
        self.all.get_or_init(|| abi::headers(Map::Request).unwrap_or_default())
    }
}
