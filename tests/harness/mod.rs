//! A proxy-wasm host for tests: the built filter runs in wasmtime, and a stand-in answers its calls
//! as a real gateway would.
//!
//! A test picks a gateway, gives the filter a configuration and sends requests:
//!
//! ```ignore
//! let mut host = Kong::bridged().with(&json!({ "rules": [ … ] }));
//! let outcome = host.request().header("version", "1").body("a=1").send();
//! assert_eq!(outcome.upstream, "canary");
//! ```
//!
//! [`Envoy`] and [`Kong`] follow what was measured on Envoy 1.40.0 and Kong 3.9.3 and what their
//! sources say: statuses, traps, what a property is worth in which phase, when a callback comes.
//! Whatever would hurt on a real gateway fails the test: a trap, a request that hangs, a worker that
//! is killed, an import that the gateway does not have.

mod abi;
mod bridge;
mod envoy;
mod exchange;
mod faults;
mod gateway;
mod guest;
mod headers;
mod host;
mod imports;
mod kong;
mod module;
mod request;
mod shared;

pub use abi::{INTERNAL_FAILURE, Map, NOT_FOUND};
pub use envoy::Envoy;
pub use exchange::{Exchange, Outcome, Phase};
pub use faults::{Answers, Faults};
pub use gateway::{Answer, Change, Gateway, Local, NOBODY, OWN, Refused};
pub use headers::Headers;
pub use host::{Host, Start};
pub use imports::imported;
pub use kong::Kong;
pub use request::{Builder, Request};
pub use shared::SharedMemory;
