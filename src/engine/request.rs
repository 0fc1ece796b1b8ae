//! What the engine asks of the world around it.

use super::breaker::{Admission, Policy};
use std::borrow::Cow;

/// Bytes of a request: borrowed where the request lies in memory, owned where a host handed them over.
pub type Bytes<'r> = Cow<'r, [u8]>;

/// A request, read piece by piece. The engine asks for each piece at most once, and only when a
/// rule that is still in question needs it.
pub trait Request {
    /// The first value of a header; `name` is in lower case.
    fn header(&self, name: &str) -> Option<Bytes<'_>>;
    /// All `Cookie` headers, joined by `;`.
    fn cookies(&self) -> Option<Bytes<'_>>;
    /// All `baggage` headers, joined by `,`.
    fn baggage(&self) -> Option<Bytes<'_>>;
    /// The client's path with its query, as sent.
    fn target(&self) -> Option<Bytes<'_>>;
    /// The method, as sent.
    fn method(&self) -> Option<Bytes<'_>>;
    /// The host that the client asked for, perhaps with a port.
    fn host(&self) -> Option<Bytes<'_>>;
    /// The scheme that the client used.
    fn scheme(&self) -> Option<Bytes<'_>>;
    /// The client's address, without port.
    fn client_address(&self) -> Option<Bytes<'_>>;
    /// The body, as far as it is known.
    fn body(&self) -> Body<'_>;
}

/// How much is known of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'r> {
    /// There may be one; it has not arrived yet.
    Pending,
    /// There is none.
    None,
    /// There is one that cannot be looked at: larger than the limit, or withheld by the gateway.
    Unreadable,
    /// All of it.
    Whole(Bytes<'r>),
}

/// What a decision depends on besides the table and the request.
pub trait World {
    /// The time of day, in milliseconds since the epoch; asked only by rules with a rollout or a
    /// circuit breaker.
    fn now(&self) -> u64;
    /// The next random number, evenly distributed over all 64 bits.
    fn random(&mut self) -> u64;
    /// What the circuit breaker with this number lets through.
    fn admission(&mut self, breaker: usize, policy: &Policy) -> Admission;
}

/// A source of random numbers alone: a world at the epoch, in which nothing fails.
impl<F: FnMut() -> u64> World for F {
    fn now(&self) -> u64 {
        0
    }

    fn random(&mut self) -> u64 {
        self()
    }

    fn admission(&mut self, _: usize, _: &Policy) -> Admission {
        Admission::Closed
    }
}
