//! The life of a configuration.

use super::plugin::Plugin;
use super::stream::{Broken, Stream};
use crate::host::abi::{self, Buffer};
use crate::host::is_certainly_envoy;
use crate::observe::metrics;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;
use std::rc::Rc;

/// The most faults that are logged one by one.
const MOST_LINES: usize = 100;

/// How often gauges are brought up to date, in milliseconds; on Envoy only.
const TICK: u32 = 5_000;

/// The root context: one configuration.
pub struct Root {
    id: u32,
    /// None while the configuration cannot be used.
    plugin: Option<Rc<Plugin>>,
}

impl Root {
    pub fn new(id: u32) -> Self {
        Self { id, plugin: None }
    }
}

impl Context for Root {}

impl RootContext for Root {
    /// Refuses a configuration that cannot be used where that is safe. On Kong a refusal would
    /// freeze the filters of every service, so there the filter stays, routes nothing and says why.
    fn on_configure(&mut self, size: usize) -> bool {
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
                let plugin = Plugin::new(loaded, &json, self.id);
                // On Kong ticks multiply after a trap and go on for removed configurations.
                if plugin.metrics.is_some() && is_certainly_envoy() {
                    // Without ticks only the gauges grow old.
                    let _ = abi::set_tick_period(TICK);
                }
                plugin.show_state();
                self.plugin = Some(Rc::new(plugin));
                true
            }
            Err(report) => {
                let count = report.errors().count();
                log::error!("invalid-config: errors={count}; nothing is routed by it");
                for error in report.errors().take(MOST_LINES) {
                    log::error!("{error}");
                }
                self.plugin = None;
                if is_certainly_envoy() {
                    metrics::count_refusal();
                    return false;
                }
                true
            }
        }
    }

    fn on_tick(&mut self) {
        if let Some(plugin) = &self.plugin {
            plugin.show_state();
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(match &self.plugin {
            Some(plugin) => Box::new(Stream::new(Rc::clone(plugin))),
            None => Box::new(Broken::default()),
        })
    }
}
