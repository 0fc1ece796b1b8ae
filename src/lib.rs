//! Conditional, weighted traffic splitting inside a gateway.
//!
//! A request flows one way, and the modules are the way it flows: [`config`] is what an operator
//! writes, [`engine`] what it decides, [`effect`] what the decision does to a gateway, `host` what the
//! gateway can do, `observe` what is counted and logged, `filter` when all of them are asked. A module
//! uses those before it. The last three exist only in the WebAssembly module that a gateway loads.

pub mod config;
pub mod effect;
pub mod engine;
#[cfg(target_os = "wasi")]
mod filter;
#[cfg(target_os = "wasi")]
mod host;
mod json;
#[cfg(target_os = "wasi")]
mod observe;

use config::{Config, Report};
use engine::Table;

/// A configuration that is ready to decide.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the operator wrote.
    pub config: Config,
    /// Its compiled form.
    pub table: Table,
    /// What the operator should know of it.
    pub report: Report,
}

/// A configuration that cannot be used.
#[derive(Clone, Debug)]
pub struct Refused {
    /// What could be read of it; what could not stands as its default.
    pub config: Config,
    /// What is wrong with it.
    pub report: Report,
}

/// Reads and compiles a configuration.
///
/// # Errors
/// Everything that is wrong with it, each fault with its place.
pub fn load(json: &[u8]) -> Result<Loaded, Report> {
    load_or_keep(json).map_err(|refused| refused.report)
}

/// [`load`] for whoever needs to know what a configuration would have been.
///
/// # Errors
/// The configuration, as far as it could be read, and everything that is wrong with it.
pub fn load_or_keep(json: &[u8]) -> Result<Loaded, Box<Refused>> {
    let (config, report) = config::parse(json);
    let (table, report) = engine::compile(&config, report);
    if report.is_usable() {
        Ok(Loaded { config, table, report })
    } else {
        Err(Box::new(Refused { config, report }))
    }
}
