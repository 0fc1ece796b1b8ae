//! What a client sends, and how the upstream is to answer it.

use super::exchange::Outcome;
use super::headers::Headers;
use super::host::{Failure, Host};
use std::time::Duration;

/// A request from a client.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Option<Vec<u8>>,
    pub path: Option<Vec<u8>>,
    pub scheme: &'static str,
    pub host: Option<Vec<u8>>,
    pub headers: Headers,
    /// The address of the client, as the gateway knows it.
    pub client: String,
    /// Whether the gateway believes what this client says of itself in `X-Forwarded-…`.
    pub trusted: bool,
    /// The body, in the pieces in which it arrives.
    pub body: Vec<Vec<u8>>,
    pub trailers: bool,
    /// What the upstream answers with.
    pub answer: Headers,
    /// The status of every try; the last one is the answer.
    pub statuses: Vec<u16>,
    /// The upstream that answers 500, whatever the others answer.
    pub failing: Option<&'static str>,
    /// How long the upstream takes to answer.
    pub latency: Duration,
    /// The upstream refuses the connection.
    pub refused: bool,
    /// A request header that another filter of the chain sets after the headers step.
    pub decided_over: Option<(String, String)>,
}

impl Default for Request {
    fn default() -> Self {
        let mut answer = Headers::default();
        answer.add("content-type", "text/plain");
        Self {
            method: Some(b"GET".to_vec()),
            path: Some(b"/".to_vec()),
            scheme: "http",
            host: Some(b"shop.example".to_vec()),
            headers: Headers::default(),
            client: "192.0.2.7".to_owned(),
            trusted: false,
            body: Vec::new(),
            trailers: false,
            answer,
            statuses: vec![200],
            failing: None,
            latency: Duration::ZERO,
            refused: false,
            decided_over: None,
        }
    }
}

impl Request {
    /// The status of every try to get an answer from this upstream.
    pub fn tries(&self, upstream: &str) -> &[u16] {
        if self.failing == Some(upstream) { &[500] } else { &self.statuses }
    }

    /// The status of the answer of this upstream.
    pub fn status(&self, upstream: &str) -> u16 {
        *self.tries(upstream).last().expect("an answer has a status")
    }

    /// How many bytes the body has.
    pub fn body_size(&self) -> usize {
        self.body.iter().map(Vec::len).sum()
    }
}

/// A piece of a request, as a gateway hands it to a filter.
#[derive(Clone, Debug)]
pub enum Step {
    Headers { end_of_stream: bool },
    Body { bytes: Vec<u8>, end_of_stream: bool },
    Trailers,
}

/// A request that is being put together.
pub struct Builder<'h> {
    host: &'h mut Host,
    plugin: usize,
    request: Request,
}

impl<'h> Builder<'h> {
    pub(super) fn new(host: &'h mut Host, plugin: usize) -> Self {
        Self { host, plugin, request: Request::default() }
    }

    pub fn method(mut self, method: impl AsRef<[u8]>) -> Self {
        self.request.method = Some(method.as_ref().to_vec());
        self
    }

    /// The path with its query.
    pub fn path(mut self, path: impl AsRef<[u8]>) -> Self {
        self.request.path = Some(path.as_ref().to_vec());
        self
    }

    pub fn scheme(mut self, scheme: &'static str) -> Self {
        self.request.scheme = scheme;
        self
    }

    /// The `Host` header, or `:authority`.
    pub fn host(mut self, host: impl AsRef<[u8]>) -> Self {
        self.request.host = Some(host.as_ref().to_vec());
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.request.headers.add(name, value);
        self
    }

    /// The client's address.
    pub fn client(mut self, address: &str) -> Self {
        self.request.client = address.to_owned();
        self
    }

    /// The client is a proxy whose `X-Forwarded-…` the gateway believes.
    pub fn trusted(mut self) -> Self {
        self.request.trusted = true;
        self
    }

    /// Adds a piece to the body.
    pub fn body(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.request.body.push(bytes.as_ref().to_vec());
        self
    }

    /// The request ends with trailers.
    pub fn trailers(mut self) -> Self {
        self.request.trailers = true;
        self
    }

    /// Adds a header to the upstream's response.
    pub fn answered_with(mut self, name: &str, value: &str) -> Self {
        self.request.answer.add(name, value);
        self
    }

    /// The status of the upstream's answer.
    pub fn status(self, status: u16) -> Self {
        self.tries(&[status])
    }

    /// The gateway tries until the last of these statuses.
    pub fn tries(mut self, statuses: &[u16]) -> Self {
        self.request.statuses = statuses.to_vec();
        self
    }

    /// This upstream answers 500, whatever the others answer.
    pub fn failing_upstream(mut self, name: &'static str) -> Self {
        self.request.failing = Some(name);
        self
    }

    /// How long the upstream takes to answer.
    pub fn latency(mut self, latency: Duration) -> Self {
        self.request.latency = latency;
        self
    }

    /// The upstream refuses the connection.
    pub fn refused(mut self) -> Self {
        self.request.refused = true;
        self
    }

    /// Another filter of the chain sets a request header between the headers and the body.
    pub fn decided_over(mut self, name: &str, value: &str) -> Self {
        self.request.decided_over = Some((name.to_owned(), value.to_owned()));
        self
    }

    /// Changes anything of the request.
    pub fn changed(mut self, change: impl FnOnce(&mut Request)) -> Self {
        change(&mut self.request);
        self
    }

    /// Sends the request, which must come to its end.
    pub fn send(self) -> Outcome {
        self.try_send().unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// Sends the request; a trap or a request that hangs is returned.
    pub fn try_send(self) -> Result<Outcome, Failure> {
        let context = self.host.open(self.plugin, self.request)?;
        self.host.finish(context)
    }

    /// Sends the headers, lets other requests go by, and then sends the rest.
    pub fn send_around(self, others: impl FnOnce(&mut Host)) -> Outcome {
        let Self { host, plugin, request } = self;
        let context = host.open(plugin, request).unwrap_or_else(|failure| panic!("{failure}"));
        others(host);
        host.finish(context).unwrap_or_else(|failure| panic!("{failure}"))
    }
}
