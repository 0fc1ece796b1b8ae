//! What a gateway can do: everything in which Kong and Envoy differ, one file each, behind one trait.

pub mod abi;
mod bridge;
mod envoy;
mod exports;
mod gateway;
mod head;
mod kong;

pub use bridge::{Greeting, greeting};
pub use envoy::is_certainly_envoy;
pub(crate) use exports::export;
pub use exports::{Action, Contexts};
pub use gateway::{Bodies, Host, Origin, Refusal, Routing};
pub use head::Head;

use crate::config::{Config, HostChoice};
use envoy::Envoy;
use kong::Kong;

/// The gateway of a configuration. All that it depends on is known when the configuration is
/// loaded: whether this is certainly an Envoy, and what Kong's bridge says.
pub fn of(config: &Config, is_envoy: bool, greeting: &Greeting) -> Box<dyn Host> {
    match config.host {
        HostChoice::Auto if is_envoy => Box::new(Envoy::new(config, is_envoy)),
        HostChoice::Envoy => Box::new(Envoy::new(config, is_envoy)),
        HostChoice::Auto | HostChoice::Kong => Box::new(Kong::new(config, greeting)),
    }
}
