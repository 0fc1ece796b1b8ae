//! Log lines, and how many of them.

use super::metrics;
use crate::Loaded;
use crate::config::HashOn;
use crate::engine::{BodyFault, Outcome, Verdict};
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
    // The gateway does not tell its own level everywhere and drops what is below it. To write in vain
    // is to format in vain, so that debug lines are written on request only.
    log::set_max_level(LevelFilter::Debug);
}

/// Explains a decision.
pub fn explain(loaded: &Loaded, verdict: &Verdict) {
    let fault = match verdict.body_fault {
        Some(BodyFault::Unreadable) => "; the body could not be read",
        Some(BodyFault::Unparsable) => "; the body could not be parsed",
        None => "",
    };
    let choice = match verdict.outcome {
        Outcome::Unmatched => return log::debug!("decision: no rule matches{fault}"),
        Outcome::NeedsBody => return log::debug!("decision: a rule waits for the body"),
        Outcome::Routed(choice) => choice,
    };
    let (Some(rule), Some(target)) = (loaded.table.rule(choice), loaded.table.target(choice))
    else {
        return;
    };
    let hash_on = loaded.config.rules.get(rule.index()).map_or(HashOn::None, |rule| rule.hash_on);
    let by = match hash_on {
        _ if rule.targets().len() == 1 => "only",
        HashOn::None => "chance",
        hash_on => hash_on.word(),
    };
    log::debug!(
        "decision: rule={:?} weight={} upstream={} share={} by={by}{fault}",
        rule.name().unwrap_or_default(),
        rule.weight(),
        target.name().unwrap_or(metrics::OWN),
        target.share(),
    );
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
