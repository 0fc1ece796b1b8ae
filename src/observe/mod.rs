//! What the filter shows of its decisions: headers, counters, log lines.

pub mod effect;
#[cfg(target_os = "wasi")]
pub mod log;
#[cfg(target_os = "wasi")]
pub mod metrics;
