//! The life of a configuration.

use super::dispatch::HttpContext;
use super::plugin::Plugin;
use super::stream::{Broken, Stream};
use crate::config::{self, DEFAULT_UPSTREAM_HEADER};
use crate::host::abi::{self, Buffer};
use crate::host::is_certainly_envoy;
use crate::observe::log as output;
use std::rc::Rc;

/// The most faults that are logged one by one.
const MOST_LINES: usize = 100;

/// The root context: one configuration.
pub struct Root {
    id: u32,
    /// None while the configuration cannot be used.
    plugin: Option<Rc<Plugin>>,
    /// The internal header of a configuration that cannot be used: clients must not send it there either.
    header: Rc<str>,
}

impl Root {
    pub fn new(id: u32) -> Self {
        Self { id, plugin: None, header: DEFAULT_UPSTREAM_HEADER.into() }
    }
}

impl Root {
    /// Refuses a configuration that cannot be used where that is safe. On Kong a refusal would
    /// freeze the filters of every service, so there the filter stays, routes nothing and says why.
    pub fn on_configure(&mut self, size: usize) -> bool {
        output::adopt_level();
        let json = abi::buffer(Buffer::PluginConfiguration, size).unwrap_or_default();
        match crate::load(&json) {
            Ok(loaded) => {
                for warning in loaded.report.warnings().take(MOST_LINES) {
                    log::warn!("{warning}");
                }
                log::info!(
                    "configuration loaded: rules={} enabled={} warnings={}",
                    loaded.config.rules.len(),
                    loaded.table.rules().len(),
                    loaded.report.warnings().count(),
                );
                self.plugin = Some(Rc::new(Plugin::new(loaded, &json, self.id)));
                true
            }
            Err(report) => {
                let count = report.errors().count();
                log::error!("invalid-config: errors={count}; nothing is routed by it");
                for error in report.errors().take(MOST_LINES) {
                    log::error!("{error}");
                }
                self.plugin = None;
                let header = config::parse(&json).0.upstream_header;
                if !header.as_str().is_empty() {
                    self.header = header.as_str().into();
                }
                !is_certainly_envoy()
            }
        }
    }

    /// A request under this configuration.
    pub fn create_http_context(&self) -> Box<dyn HttpContext> {
        match &self.plugin {
            Some(plugin) => Box::new(Stream::new(Rc::clone(plugin))),
            None => Box::new(Broken::new(Rc::clone(&self.header))),
        }
    }
}
