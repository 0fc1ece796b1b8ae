//! A request on its way through the gateway.

use super::gateway::Local;
use super::headers::Headers;
use super::request::{Request, Step};
use std::collections::{BTreeMap, VecDeque};

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// The filter starts, or is configured: no request is at hand.
    Root,
    RequestHeaders,
    RequestBody,
    RequestTrailers,
    ResponseHeaders,
    Log,
}

/// A request on its way through the gateway.
#[derive(Debug)]
pub struct Exchange {
    /// What the client sent.
    pub client: Request,
    pub phase: Phase,
    /// The pieces that have not been handed over yet.
    pub steps: VecDeque<Step>,
    /// The request's headers, as the filters have changed them.
    pub request: Headers,
    /// The response's headers.
    pub response: Headers,
    /// Headers that the gateway's own plugins put on whatever response there will be.
    pub imposed: Headers,
    /// Where the request goes.
    pub upstream: String,
    /// What left the gateway, and for where: later changes are without effect.
    pub sent: Option<(String, Headers)>,
    /// The part of the body that the filter can read.
    pub buffer: Vec<u8>,
    /// The filter holds the request back.
    pub paused: bool,
    /// Why the request will never be answered.
    pub stuck: Option<&'static str>,
    /// What was made readable for the access log.
    pub published: BTreeMap<String, Vec<u8>>,
    /// The number of its configuration, which stands for Kong's route.
    pub route: usize,
    /// The answer that the filter made itself.
    pub local: Option<Local>,
    /// The circuit breaker under which the bridge plugin counts a failure that the filter misses.
    pub breaker: Option<String>,
    /// Why the bridge plugin has not followed the decision.
    pub unfollowed: Option<String>,
    /// The host calls that it took, in their order.
    pub calls: Vec<String>,
}

impl Exchange {
    /// A request that goes to `upstream` unless something changes that.
    pub fn new(client: Request, request: Headers, steps: Vec<Step>, upstream: &str) -> Self {
        Self {
            client,
            phase: Phase::RequestHeaders,
            steps: steps.into(),
            request,
            response: Headers::default(),
            imposed: Headers::default(),
            upstream: upstream.to_owned(),
            sent: None,
            buffer: Vec::new(),
            paused: false,
            stuck: None,
            published: BTreeMap::new(),
            route: 0,
            local: None,
            breaker: None,
            unfollowed: None,
            calls: Vec::new(),
        }
    }

    /// Whether the filter has a response to look at.
    pub fn has_response(&self) -> bool {
        matches!(self.phase, Phase::ResponseHeaders | Phase::Log)
    }
}

/// How a request ended.
#[derive(Debug)]
pub struct Outcome {
    /// Where the request went; [`super::OWN`] is the service's own upstream, [`super::NOBODY`] where
    /// the filter has answered itself.
    pub upstream: String,
    /// The status of the answer; none where the gateway gave up waiting for the filter.
    pub status: Option<u16>,
    /// The request's headers, as the upstream got them.
    pub request: Headers,
    /// The response's headers, as the client got them.
    pub response: Headers,
    /// The body of an answer that the filter made itself.
    pub body: Option<String>,
    /// What was made readable for the access log: filter state, or `kong.ctx.shared`.
    pub published: BTreeMap<String, Vec<u8>>,
    /// The host calls that it took, in their order.
    pub calls: Vec<String>,
}

impl Outcome {
    /// The first value of a response header, as text.
    pub fn response(&self, name: &str) -> Option<String> {
        self.response.text(name)
    }

    /// Every value of a request header that the upstream got, as text.
    pub fn request_header(&self, name: &str) -> Vec<String> {
        self.request.all(name).map(|value| value.escape_ascii().to_string()).collect()
    }

    /// The rule and the upstream that the response headers show.
    pub fn shown(&self) -> (Option<String>, Option<String>) {
        (self.response("X-Kong-Route-Rule"), self.response("X-Kong-Route-Upstream"))
    }

    /// What the response says of a decision that was not followed.
    pub fn error(&self) -> Option<String> {
        self.response("X-Kong-Route-Error")
    }

    /// What was made readable under a name, as text.
    pub fn published(&self, name: &str) -> Option<String> {
        self.published.get(name).map(|value| value.escape_ascii().to_string())
    }

    /// The calls that have this piece of text in them.
    pub fn calls_of(&self, piece: &str) -> Vec<&str> {
        self.calls.iter().map(String::as_str).filter(|call| call.contains(piece)).collect()
    }
}
