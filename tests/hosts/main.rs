//! The built filter in stand-ins for its gateways: what they see of it, and what it does to them.
//!
//! The harness is in `tests/harness`; every file here is about one subject.

#![cfg(not(target_family = "wasm"))]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

#[path = "../chance/mod.rs"]
mod chance;
#[path = "../harness/mod.rs"]
mod harness;

mod asserts;
mod calls;
mod configs;
mod delivery;
mod envoy;
mod envoy_bodies;
mod junk;
mod kong;
mod kong_bodies;
mod seed;
mod stand_ins;
mod statuses;
