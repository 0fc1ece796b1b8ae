//! What one gateway does differently from another.

use super::abi::{self, Map, NOT_FOUND};
use super::exchange::Exchange;
use super::headers::Headers;
use super::request::{Request, Step};
use super::shared::SharedMemory;

/// The service's own upstream.
pub const OWN: &str = "stable";

/// Where a request went that the filter has answered itself.
pub const NOBODY: &str = "nobody";

/// The answer to a host call.
pub type Answer<T> = Result<T, Refused>;

/// A host call that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The filter gets this status.
    Status(u32),
    /// The call is the end of the instance, or of the whole worker; the text says why.
    Trap(String),
}

impl Refused {
    pub const NOT_FOUND: Self = Self::Status(NOT_FOUND);

    pub fn trap(why: impl Into<String>) -> Self {
        Self::Trap(why.into())
    }
}

/// What is done to headers.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    Set(&'a [u8]),
    Add(&'a [u8]),
    Remove,
}

impl Change<'_> {
    /// Does it.
    pub fn apply(self, headers: &mut Headers, name: &[u8]) {
        match self {
            Self::Set(value) => headers.set(name, value),
            Self::Add(value) => headers.add(name, value),
            Self::Remove => headers.remove(name),
        }
    }
}

/// The answer that a client gets when the filter does nothing to it.
pub struct Response {
    pub status: u16,
    /// Whether the filter sees it, and its end.
    pub is_filtered: bool,
}

/// An answer that the filter makes itself.
#[derive(Clone, Debug)]
pub struct Local {
    pub status: u16,
    pub headers: Headers,
    pub body: Vec<u8>,
}

/// A gateway, as a filter meets it. Where there is no request at hand, the exchange is none.
pub trait Gateway {
    /// The parameters of a host function, where the gateway has it.
    fn signature(&self, import: &str) -> Option<&'static str> {
        abi::signature(import)
    }

    /// What a function does that this harness has no model of.
    fn unmodelled(&self, import: &str) -> Refused {
        Refused::trap(format!("the filter called {import}, which the harness does not know"))
    }

    /// Whether standard output is a file to WASI.
    fn knows_standard_output(&self) -> bool;

    /// Whether an empty value comes with memory of no bytes instead of without memory.
    fn allocates_nothing(&self) -> bool;

    /// The memory that all workers share, where there is any; without it to ask for it is a trap.
    fn memory(&self) -> Option<&SharedMemory>;

    /// Whether the number 0 sets a shared value in any case, not only where there is none.
    fn zero_forces(&self) -> bool;

    /// What the filter is handed of the configuration of a route.
    fn configuration(&self, _route: usize, text: &[u8]) -> Vec<u8> {
        text.to_vec()
    }

    /// Lets a request of a route pass what comes before the filter.
    fn enter(&self, _exchange: &mut Exchange, _route: usize) {}

    /// Answers a request in the place of any upstream.
    fn answer(&self, _: &mut Exchange, _: Local) -> Answer<()> {
        Err(Refused::trap("the filter answers nothing itself here"))
    }

    /// Takes a request in.
    fn open(&self, request: Request) -> Exchange;

    /// Whether a filter may hold a request back in a step; if not, why it never goes on.
    fn holds(&self, step: &Step) -> Result<(), &'static str>;

    /// Lets go what the filter does not hold back.
    fn forward(&self, exchange: &mut Exchange);

    /// Whether a request that is stuck is given up some time.
    fn gives_up(&self) -> bool;

    /// Answers the request.
    fn respond(&self, exchange: &mut Exchange) -> Response;

    /// All headers.
    fn headers(&self, exchange: &Exchange, map: Map) -> Answer<Headers>;

    /// The first value of a header.
    fn header(&self, exchange: &Exchange, map: Map, name: &[u8]) -> Answer<Vec<u8>> {
        let headers = self.headers(exchange, map)?;
        headers.get(name).map(<[u8]>::to_vec).ok_or(Refused::NOT_FOUND)
    }

    /// Changes headers.
    fn change(
        &self,
        exchange: &mut Exchange,
        map: Map,
        name: &[u8],
        change: Change<'_>,
    ) -> Answer<()>;

    /// The body, as far as it can be read.
    fn body(&self, exchange: &Exchange) -> Answer<Vec<u8>>;

    /// A property; its path has a zero byte between the segments.
    fn property(&self, exchange: Option<&mut Exchange>, path: &[u8]) -> Answer<Vec<u8>>;

    /// Sets a property.
    fn set_property(
        &self,
        exchange: Option<&mut Exchange>,
        path: &[u8],
        value: &[u8],
    ) -> Answer<()>;

    /// Calls a function that only this gateway has.
    fn foreign_function(&self, exchange: Option<&mut Exchange>, name: &[u8]) -> Answer<Vec<u8>>;

    /// The number of a metric.
    fn define_metric(&mut self, kind: u32, name: &str) -> Answer<u32>;

    /// Adds to a metric.
    fn increment_metric(&mut self, id: u32, offset: i64) -> Answer<()>;

    /// Sets a gauge, or adds a value to a histogram.
    fn record_metric(&mut self, id: u32, value: i64) -> Answer<()>;

    /// Takes an order for ticks.
    fn set_tick(&mut self) -> Answer<()>;

    /// The value of a metric.
    fn metric(&self, name: &str) -> Option<i64>;
}

/// A property's path as people write it.
pub fn dotted(path: &[u8]) -> String {
    String::from_utf8_lossy(path).replace('\0', ".")
}

/// The headers of a map, to be changed.
pub fn map_of(exchange: &mut Exchange, map: Map) -> &mut Headers {
    match map {
        Map::Request => &mut exchange.request,
        Map::Response => &mut exchange.response,
    }
}
