//! A request in memory, and short ways to decide it.

use serde_json::{Value, json};
use std::borrow::Cow;
use std::cell::RefCell;
use tse_route::engine::{Body, Bytes, Outcome, Request, Verdict};
use tse_route::{Loaded, load};

/// On `wasm32-unknown-unknown` the tests run under Node.
#[cfg(target_arch = "wasm32")]
pub use wasm_bindgen_test::wasm_bindgen_test as test;

#[derive(Clone, Debug, Default)]
pub struct MemoryRequest {
    pub headers: Vec<(String, Vec<u8>)>,
    pub target: Option<Vec<u8>>,
    pub method: Option<Vec<u8>>,
    pub host: Option<Vec<u8>>,
    pub scheme: Option<Vec<u8>>,
    pub client: Option<Vec<u8>>,
    pub body: Option<Body<'static>>,
    /// What the engine has read, in its order.
    pub reads: RefCell<Vec<String>>,
}

impl MemoryRequest {
    pub fn get(target: impl AsRef<[u8]>) -> Self {
        Self {
            target: Some(target.as_ref().to_vec()),
            method: Some(b"GET".to_vec()),
            ..Self::default()
        }
    }

    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = Some(Body::Whole(Cow::Owned(body.as_ref().to_vec())));
        self
    }

    /// All headers of a name, joined.
    fn all(&self, name: &str, separator: u8) -> Option<Bytes<'_>> {
        let of_name = self.headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name));
        let values: Vec<&[u8]> = of_name.map(|(_, value)| value.as_slice()).collect();
        (!values.is_empty()).then(|| Cow::Owned(values.join(&separator)))
    }

    fn read(&self, what: &str) {
        self.reads.borrow_mut().push(what.to_owned());
    }
}

fn borrowed(value: &Option<Vec<u8>>) -> Option<Bytes<'_>> {
    value.as_deref().map(Cow::Borrowed)
}

impl Request for MemoryRequest {
    fn header(&self, name: &str) -> Option<Bytes<'_>> {
        self.read(name);
        let header = self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
        header.map(|(_, value)| Cow::Borrowed(value.as_slice()))
    }

    fn cookies(&self) -> Option<Bytes<'_>> {
        self.read("cookies");
        self.all("cookie", b';')
    }

    fn baggage(&self) -> Option<Bytes<'_>> {
        self.read("baggage");
        self.all("baggage", b',')
    }

    fn target(&self) -> Option<Bytes<'_>> {
        self.read("target");
        borrowed(&self.target)
    }

    fn method(&self) -> Option<Bytes<'_>> {
        self.read("method");
        borrowed(&self.method)
    }

    fn host(&self) -> Option<Bytes<'_>> {
        self.read("host");
        borrowed(&self.host)
    }

    fn scheme(&self) -> Option<Bytes<'_>> {
        self.read("scheme");
        borrowed(&self.scheme)
    }

    fn client_address(&self) -> Option<Bytes<'_>> {
        self.read("client");
        borrowed(&self.client)
    }

    fn body(&self) -> Body<'_> {
        self.read("body");
        self.body.clone().unwrap_or(Body::None)
    }
}

/// Loads a configuration that must be sound.
pub fn loaded(config: &Value) -> Loaded {
    load(config.to_string().as_bytes()).unwrap_or_else(|report| panic!("{report}\nin {config:#}"))
}

/// Decides with random numbers that a test has no interest in.
pub fn decide(loaded: &Loaded, request: &MemoryRequest) -> Verdict {
    loaded.table.decide(request, &mut || 0x9e37_79b9_7f4a_7c15)
}

/// The chosen upstream: none where no rule matched, `""` for the service's own.
pub fn upstream(loaded: &Loaded, request: &MemoryRequest) -> Option<String> {
    match decide(loaded, request).outcome {
        Outcome::Routed(choice) => {
            let target = loaded.table.target(choice).expect("a choice is in its table");
            Some(target.name().unwrap_or_default().to_owned())
        }
        Outcome::Unmatched => None,
        Outcome::NeedsBody => panic!("the body is needed"),
    }
}

/// Whether a rule with just this condition holds on the request.
pub fn holds(condition: &Value, request: &MemoryRequest) -> bool {
    let config =
        json!({ "rules": [{ "condition": condition, "upstream": [{ "name": "canary" }] }] });
    upstream(&loaded(&config), request).is_some()
}
