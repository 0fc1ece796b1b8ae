//! What a decision depends on besides the request: the clock and the draw.

use tse_route::config::Timestamp;
use tse_route::engine::{Admission, Policy, World};
// That of the standard library, and in a browser the browser's.
use web_time::{SystemTime, UNIX_EPOCH};

/// A time as RFC 3339, or as seconds since 1970.
pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).ok_or_else(|| {
        "accepted is RFC 3339, as in 2030-01-31T08:00:00Z, or seconds since 1970".to_owned()
    })
}

/// The present.
pub(crate) fn now() -> Timestamp {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}

/// A moment at which all upstreams are well.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    pub now: Timestamp,
    random: fastrand::Rng,
}

impl Moment {
    pub(crate) fn new(now: Timestamp, seed: u64) -> Self {
        Self { now, random: fastrand::Rng::with_seed(seed) }
    }
}

impl World for Moment {
    fn now(&self) -> u64 {
        self.now.0
    }

    fn random(&mut self) -> u64 {
        self.random.u64(..)
    }

    fn admission(&mut self, _: usize, _: &Policy) -> Admission {
        Admission::Closed
    }
}
