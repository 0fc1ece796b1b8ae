//! Where random numbers come from.

use crate::host::abi;
use std::cell::RefCell;

thread_local! {
    static RANDOM: RefCell<fastrand::Rng> = RefCell::new(fastrand::Rng::with_seed(seed()));
}

/// Differs from worker to worker.
fn seed() -> u64 {
    // Without random bits the time of the first request has to do.
    abi::random().unwrap_or_else(abi::now)
}

/// The random numbers of one request: drawn when they are first needed, and the same when the
/// request is decided again, so that it does not change sides by chance.
#[derive(Default)]
pub struct Draws {
    drawn: smallvec::SmallVec<[u64; 3]>,
    used: usize,
}

impl Draws {
    /// Starts over with the same numbers.
    pub fn rewind(&mut self) {
        self.used = 0;
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        let number = match self.drawn.get(self.used) {
            Some(number) => *number,
            None => {
                let number = RANDOM.with_borrow_mut(|random| random.u64(..));
                self.drawn.push(number);
                number
            }
        };
        self.used += 1;
        number
    }
}
