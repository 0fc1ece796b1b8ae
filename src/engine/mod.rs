//! What the configuration means: a table is compiled once and then decides requests.
//!
//! The engine touches no host. The request, the clock and the source of random numbers come in as
//! arguments, so that a decision is a pure function and is tested like one.

mod attribute;
mod body;
mod compile;
mod decide;
mod matches;
mod parse;
mod request;
mod table;
mod weighted;

pub use body::BodyFault;
pub use compile::compile;
pub use decide::{Choice, Outcome, Verdict};
pub use request::{Body, Bytes, Random, Request};
pub use table::{Rule, Table, Target};
