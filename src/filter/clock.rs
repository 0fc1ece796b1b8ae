//! The time of day, as the filter asks for it.

use crate::host::abi;
use std::cell::OnceCell;

/// The time of one step of a request, asked for at most once; in milliseconds since the epoch.
#[derive(Default)]
pub struct Clock(OnceCell<u64>);

impl Clock {
    /// The time.
    pub fn now(&self) -> u64 {
        *self.0.get_or_init(|| abi::now() / 1_000_000)
    }
}
