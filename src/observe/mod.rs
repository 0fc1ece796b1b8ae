//! What the filter tells of its decisions: counters and log lines.

pub mod log;
pub mod metrics;
