//! A request as the engine reads it: each piece is a call to the gateway.

use super::clock::Clock;
use super::draws::Draws;
use super::plugin::Plugin;
use crate::engine::{Admission, Body, Bytes, Policy, Request, World};
use crate::host::Host;
use crate::host::abi::{self, Map};
use std::borrow::Cow;

/// The request at hand.
pub struct Incoming<'h> {
    pub host: &'h dyn Host,
    pub body: Body<'h>,
}

impl Request for Incoming<'_> {
    fn header(&self, name: &str) -> Option<Bytes<'_>> {
        abi::header(Map::Request, name.as_bytes()).map(Cow::Owned)
    }

    fn cookies(&self) -> Option<Bytes<'_>> {
        self.host.cookies().map(Cow::Owned)
    }

    fn baggage(&self) -> Option<Bytes<'_>> {
        self.host.baggage().map(Cow::Owned)
    }

    fn target(&self) -> Option<Bytes<'_>> {
        self.host.target().map(Cow::Owned)
    }

    fn method(&self) -> Option<Bytes<'_>> {
        self.host.method().map(Cow::Owned)
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

/// What a decision depends on besides the request.
pub struct Surroundings<'s> {
    pub plugin: &'s Plugin,
    pub draws: &'s mut Draws,
    pub clock: &'s Clock,
}

impl World for Surroundings<'_> {
    fn now(&self) -> u64 {
        self.clock.now()
    }

    fn random(&mut self) -> u64 {
        self.draws.next()
    }

    fn admission(&mut self, breaker: usize, policy: &Policy) -> Admission {
        self.plugin.breakers.admission(self.plugin.host.as_ref(), breaker, policy, self.clock.now())
    }
}
