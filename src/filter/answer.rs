//! What an answer says of the upstream that was chosen.

use crate::host::abi::{self, Map};
use crate::host::{Host, Origin};
use std::cell::OnceCell;

/// A request whose answer is to be counted; times are milliseconds since the epoch.
#[derive(Clone, Copy)]
pub struct Sent {
    /// When it was decided.
    pub decided: u64,
    /// When its last byte had passed; none until then. Before, a client takes the time.
    pub complete: Option<u64>,
}

impl Sent {
    /// How long the upstream has taken, in milliseconds; none for an answer that came before the
    /// request was complete.
    pub fn waited(&self, now: u64) -> Option<u64> {
        self.complete.map(|complete| now.saturating_sub(complete))
    }
}

/// What is to be made of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    Succeeded,
    Failed,
    /// It is the gateway's own, and not for the upstream's fault: a client must neither open nor
    /// close a circuit breaker by what it sends.
    Unrelated,
    /// An answer of gRPC, which says at its end how it went.
    InTrailers,
}

/// The head of an answer.
pub struct Answer<'h> {
    host: &'h dyn Host,
    pub status: u16,
    origin: OnceCell<Origin>,
}

impl<'h> Answer<'h> {
    /// The answer at hand; its status is 0 where the gateway does not tell it.
    pub fn at(host: &'h dyn Host) -> Self {
        let status = host.status().unwrap_or_default();
        Self { host, status, origin: OnceCell::new() }
    }

    /// Whose answer it is, asked for at most once.
    pub fn origin(&self) -> Origin {
        *self.origin.get_or_init(|| self.host.origin())
    }

    pub fn judge(&self) -> Judgement {
        match self.status {
            200 if speaks_grpc() => match grpc_status(Map::Response) {
                Some(0) => Judgement::Succeeded,
                Some(code) => self.by_origin(fails(code)),
                None if self.host.shows_trailers() => Judgement::InTrailers,
                None => Judgement::Succeeded,
            },
            0..400 => Judgement::Succeeded,
            status => self.by_origin(status >= 500),
        }
    }

    fn by_origin(&self, failed: bool) -> Judgement {
        match self.origin() {
            Origin::Upstream if !failed => Judgement::Succeeded,
            Origin::Upstream | Origin::InItsPlace => Judgement::Failed,
            Origin::Gateway => Judgement::Unrelated,
        }
    }
}

/// Whether the trailers at hand say that a call of gRPC failed. Without a status it has: the client
/// is told UNKNOWN (gRPC over HTTP2, "Responses").
pub fn trailers_fail() -> bool {
    grpc_status(Map::ResponseTrailers).is_none_or(fails)
}

/// Whether the answer at hand is one of gRPC; gRPC-Web has its status in the body.
fn speaks_grpc() -> bool {
    let kind = abi::header(Map::Response, b"content-type").unwrap_or_default();
    let rest = kind.strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}

fn grpc_status(map: Map) -> Option<u32> {
    let status = abi::header(map, b"grpc-status")?;
    // What is no number is none of the statuses, and UNKNOWN to a client.
    Some(std::str::from_utf8(&status).ok().and_then(|text| text.parse().ok()).unwrap_or(2))
}

/// Whether a status of gRPC is the server's fault: UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED,
/// UNIMPLEMENTED, INTERNAL, UNAVAILABLE and DATA_LOSS (gRPC, "Status codes and their use").
fn fails(status: u32) -> bool {
    matches!(status, 2 | 4 | 8 | 12..=15)
}
