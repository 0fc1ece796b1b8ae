//! A request as the engine reads it: each piece is a call to the gateway.

use crate::engine::{Body, Bytes, Random, Request};
use crate::host::Host;
use crate::host::abi::{self, Map};
use std::borrow::Cow;
use std::cell::RefCell;

/// The request at hand.
pub struct Incoming<'h> {
    pub host: &'h dyn Host,
    pub body: Body<'h>,
}

fn header(name: &str) -> Option<Bytes<'static>> {
    abi::header(Map::Request, name.as_bytes()).map(Cow::Owned)
}

impl Request for Incoming<'_> {
    fn header(&self, name: &str) -> Option<Bytes<'_>> {
        header(name)
    }

    fn cookies(&self) -> Option<Bytes<'_>> {
        self.host.cookies().map(Cow::Owned)
    }

    fn target(&self) -> Option<Bytes<'_>> {
        header(":path")
    }

    fn method(&self) -> Option<Bytes<'_>> {
        header(":method")
    }

    fn host(&self) -> Option<Bytes<'_>> {
        self.host.authority().map(Cow::Owned)
    }

    fn scheme(&self) -> Option<Bytes<'_>> {
        self.host.scheme().map(Cow::Owned)
    }

    fn client_address(&self) -> Option<Bytes<'_>> {
        self.host.client_address().map(Cow::Owned)
    }

    fn body(&self) -> Body<'_> {
        self.body.clone()
    }
}

thread_local! {
    static RANDOM: RefCell<fastrand::Rng> = RefCell::new(fastrand::Rng::with_seed(seed()));
}

/// Differs from worker to worker.
fn seed() -> u64 {
    // Without random bits the time of the first request has to do.
    abi::random().unwrap_or_else(abi::now)
}

/// The random number of one request: drawn when it is first needed, and the same ever after, so
/// that a request that is decided twice does not change sides by chance.
#[derive(Default)]
pub struct Draw(Option<u64>);

impl Random for Draw {
    fn next(&mut self) -> u64 {
        *self.0.get_or_insert_with(|| RANDOM.with_borrow_mut(|random| random.u64(..)))
    }
}
