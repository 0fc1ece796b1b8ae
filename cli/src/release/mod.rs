//! `tse-route release`: deploy, verify, switch, watch, roll back, and a record of it.
//!
//! [`plan`] is what an operator writes. [`machine`] has the states and decides, [`evidence`] judges:
//! both are pure. [`runner`] observes, acts and records, over and over, in a [`runner::World`]; the
//! one that there is is [`real`], made of gateways, Prometheus, outside calls and a record.

mod calls;
mod commands;
mod counting;
mod document;
mod evidence;
mod forecast;
mod gateway;
mod http;
mod lease;
mod machine;
#[cfg(test)]
mod model;
mod phase;
mod plan;
mod prometheus;
mod real;
mod report;
mod runner;
mod show;
mod store;
mod trial;
mod trouble;

pub(crate) use commands::{run_command, weights_behind};
pub(crate) use plan::read as read_plan;
pub use trial::{Ruling, Trial};
