//! Log lines, and how many of them.

use crate::host::abi;
use hashbrown::HashMap;
use log::{Level, LevelFilter, Log, Metadata, Record};
use std::cell::RefCell;

/// The `log` crate's lines to the gateway's log.
struct HostLog;

static HOST_LOG: HostLog = HostLog;

impl Log for HostLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let level = match record.level() {
                Level::Trace => 0,
                Level::Debug => 1,
                Level::Info => 2,
                Level::Warn => 3,
                Level::Error => 4,
            };
            abi::log(level, &record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// Sends log lines to the gateway.
pub fn install() {
    // Fails only where a logger is there already, which is then this one.
    let _ = log::set_logger(&HOST_LOG);
    log::set_max_level(LevelFilter::Info);
}

/// How long one reason is silent after a line, in nanoseconds.
const SILENCE: u64 = 60_000_000_000;

/// When a reason was last logged, and how often it was not since.
struct Last {
    time: u64,
    suppressed: u64,
}

thread_local! {
    /// Reasons are a fixed set of words, so that this stays small.
    static LAST: RefCell<HashMap<&'static str, Last>> = RefCell::default();
}

/// Logs an error, at most once a minute and worker for the same reason.
pub fn error_once_a_minute(reason: &'static str, sentence: &str) {
    let now = abi::now();
    LAST.with_borrow_mut(|last| match last.get_mut(reason) {
        Some(last) if now.saturating_sub(last.time) < SILENCE && now >= last.time => {
            last.suppressed += 1;
        }
        Some(last) => {
            log::error!("{reason}: {sentence} ({} more since the last line)", last.suppressed);
            *last = Last { time: now, suppressed: 0 };
        }
        None => {
            log::error!("{reason}: {sentence}");
            last.insert(reason, Last { time: now, suppressed: 0 });
        }
    });
}
