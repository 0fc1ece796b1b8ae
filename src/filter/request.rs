//! A request as the engine reads it.

use super::clock::Clock;
use super::draws::Draws;
use super::plugin::Plugin;
use crate::engine::{Admission, Body, Bytes, Policy, Request, World};
use crate::host::{Head, Host};
use std::borrow::Cow;

/// The request at hand.
pub struct Incoming<'h> {
    pub host: &'h dyn Host,
    pub head: &'h Head,
    pub body: Body<'h>,
}

impl Request for Incoming<'_> {
    fn header(&self, name: &str) -> Option<Bytes<'_>> {
        self.host.header(self.head, name)
    }

    fn cookies(&self) -> Option<Bytes<'_>> {
        self.host.cookies(self.head)
    }

    fn baggage(&self) -> Option<Bytes<'_>> {
        self.host.baggage(self.head)
    }

    fn target(&self) -> Option<Bytes<'_>> {
        self.host.target(self.head)
    }

    fn method(&self) -> Option<Bytes<'_>> {
        self.host.method(self.head)
    }

    fn host(&self) -> Option<Bytes<'_>> {
        self.host.authority(self.head)
    }

    fn scheme(&self) -> Option<Bytes<'_>> {
        self.host.scheme(self.head)
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
