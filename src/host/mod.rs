//! What a gateway can do: everything in which Kong and Envoy differ, one file each, behind one trait.

pub mod abi;
mod envoy;
mod gateway;
mod kong;

pub use envoy::is_certainly_envoy;
pub use gateway::{Host, Refusal, Routing};

use crate::config::HostChoice;
use envoy::ENVOY;
use std::cell::Cell;

thread_local! {
    /// What the first request of this worker found out: which Kong it is in, if in any.
    static FOUND: Cell<Option<Option<&'static kong::Kong>>> = const { Cell::new(None) };
}

/// The gateway of this worker. Only to be asked while a request is at hand: in Kong's root context
/// reading a property can kill the worker.
pub fn current(choice: HostChoice) -> &'static dyn Host {
    if choice == HostChoice::Envoy {
        return &ENVOY;
    }
    let kong = FOUND.get().unwrap_or_else(|| {
        let found = kong::find();
        if found.is_certain {
            FOUND.set(Some(found.kong));
        }
        found.kong
    });
    match kong {
        Some(kong) => kong,
        None if choice == HostChoice::Kong => &kong::MUTE,
        None => &ENVOY,
    }
}
