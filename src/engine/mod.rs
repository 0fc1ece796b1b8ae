//! What the configuration means: a table is compiled once and then decides requests.
//!
//! The engine touches no host. The request, the clock and the source of random numbers come in as
//! arguments, so that a decision is a pure function and is tested like one.

mod attribute;
mod baggage;
mod body;
mod breaker;
mod choose;
mod compile;
mod condition;
mod decide;
mod explain;
mod index;
mod lint;
mod matches;
mod parse;
mod patterns;
mod request;
mod rollout;
mod rule;
mod sorted;
mod sticky;
mod table;
mod weighted;

pub use attribute::HeadParts;
pub use baggage::{BaggageChange, Rewritten};
pub use body::BodyFault;
pub use breaker::{Admission, Answers, Breaker, Policy};
pub use choose::format_id;
pub use compile::compile;
pub use decide::{Outcome, Verdict};
pub use explain::{ItemTrace, KeyTrace, RuleTrace, Trace};
pub use lint::lint;
pub use request::{Body, Bytes, Request, World};
pub use rule::{Rule, StickyCookie, Target};
pub use table::{Choice, Table};
