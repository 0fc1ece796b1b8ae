//! Requests in memory.

use std::borrow::Cow;
use tse_route::engine::{Body, Bytes, Request};

/// A request; every header has the same value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) header: Option<Vec<u8>>,
    pub(crate) cookies: Option<Vec<u8>>,
    pub(crate) baggage: Option<Vec<u8>>,
    pub(crate) target: Option<Vec<u8>>,
    pub(crate) method: Option<Vec<u8>>,
    pub(crate) host: Option<Vec<u8>>,
    pub(crate) address: Option<Vec<u8>>,
    pub(crate) body: Option<Vec<u8>>,
    /// Whether the body has not arrived yet.
    pub(crate) is_pending: bool,
}

impl Sample {
    /// Requests as they come.
    pub(crate) fn usual() -> [Self; 3] {
        let text = |text: &str| Some(text.as_bytes().to_vec());
        let full = Self {
            header: text("1.2.3"),
            cookies: text("a=1; b=\"2\""),
            baggage: text("a=1;p, b=%32"),
            target: text("/a/b?a=1&b=%32#x"),
            method: text("GET"),
            host: text("a.example:80"),
            address: text("10.1.2.3"),
            body: text(r#"{"a":{"b":[1,"x"]}}"#),
            is_pending: false,
        };
        let pending = Self { is_pending: true, ..full.clone() };
        [Self::default(), full, pending]
    }
}

fn borrowed(value: &Option<Vec<u8>>) -> Option<Bytes<'_>> {
    value.as_deref().map(Cow::Borrowed)
}

impl Request for Sample {
    fn header(&self, name: &str) -> Option<Bytes<'_>> {
        // Any body is JSON.
        if name == "content-type" { None } else { borrowed(&self.header) }
    }

    fn cookies(&self) -> Option<Bytes<'_>> {
        borrowed(&self.cookies)
    }

    fn baggage(&self) -> Option<Bytes<'_>> {
        borrowed(&self.baggage)
    }

    fn target(&self) -> Option<Bytes<'_>> {
        borrowed(&self.target)
    }

    fn method(&self) -> Option<Bytes<'_>> {
        borrowed(&self.method)
    }

    fn host(&self) -> Option<Bytes<'_>> {
        borrowed(&self.host)
    }

    fn scheme(&self) -> Option<Bytes<'_>> {
        None
    }

    fn client_address(&self) -> Option<Bytes<'_>> {
        borrowed(&self.address)
    }

    fn body(&self) -> Body<'_> {
        match borrowed(&self.body) {
            _ if self.is_pending => Body::Pending,
            Some(body) => Body::Whole(body),
            None => Body::None,
        }
    }
}
