//! What an input costs, measured while the fuzzer runs. It is told, and decides nothing.

use super::Target;
use rustix::time::{ClockId, clock_gettime};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The dearest input so far, in nanoseconds; below a millisecond nothing is told.
static DEAREST: AtomicU64 = AtomicU64::new(1_000_000);

/// Tries a target with an input, and says so if none has taken more of the processor's time before.
/// The file that `FUZZ_DEAREST` names is then written with the input.
///
/// The thread's own time is taken, not the clock's, so that a busy machine counts for little; and the
/// least of three, since the first run of code is dearer than the code is.
pub fn timed(target: Target, data: &[u8]) {
    let mut least = time(target, data);
    let dearest = u128::from(DEAREST.load(Ordering::Relaxed));
    for _ in 0..2 {
        if least.as_nanos() <= dearest {
            return;
        }
        least = least.min(time(target, data));
    }
    let nanos = u64::try_from(least.as_nanos()).unwrap_or(u64::MAX);
    if DEAREST.fetch_max(nanos, Ordering::Relaxed) >= nanos {
        return;
    }
    eprintln!("dearest input so far: {} bytes took {} us", data.len(), least.as_micros());
    if let Some(file) = std::env::var_os("FUZZ_DEAREST")
        && let Err(error) = std::fs::write(&file, data)
    {
        eprintln!("{}: {error}", file.display());
    }
}

fn time(target: Target, data: &[u8]) -> Duration {
    let before = now();
    target(data);
    now().saturating_sub(before)
}

/// The processor's time that this thread has had.
fn now() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}
