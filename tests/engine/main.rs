//! What a configuration means: requests and decisions, on every target that the engine runs on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod baggage;
#[path = "../chance/mod.rs"]
mod chance;
mod delivery;
mod faults;
mod operators;
mod properties;
mod reading;
mod seed;
mod selection;
mod support;
