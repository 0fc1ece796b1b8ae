//! The life of a configuration.

use super::plugin::Plugin;
use super::stream::{Broken, Stream};
use crate::config::{self, DEFAULT_UPSTREAM_HEADER, HostChoice, Report};
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
    state: State,
}

/// What became of the configuration.
enum State {
    InForce(Rc<Plugin>),
    /// It cannot be used; the name of the internal header is all that is taken from it.
    Broken(Rc<str>),
}

impl Root {
    pub fn new(id: u32) -> Self {
        Self { id, state: State::Broken(DEFAULT_UPSTREAM_HEADER.into()) }
    }
}

impl Context for Root {}

impl RootContext for Root {
    /// Refuses a configuration that cannot be used where that is safe. On Kong a refusal would
    /// freeze the filters of every service, so there the filter stays, routes nothing and says why.
    fn on_configure(&mut self, size: usize) -> bool {
        let json = abi::buffer(Buffer::PluginConfiguration, size);
        let loaded = match &json {
            Ok(json) => crate::load(json).map(|loaded| (loaded, json)),
            Err(status) => {
                Err(Report::of_whole(format!("the gateway withheld it (status {})", status.0)))
            }
        };
        match loaded {
            Ok((loaded, json)) => {
                for warning in loaded.report.warnings().take(MOST_LINES) {
                    log::warn!("{warning}");
                }
                log::info!(
                    "configuration loaded: rules={} enabled={} warnings={}",
                    loaded.config.rules.len(),
                    loaded.table.rules().len(),
                    loaded.report.warnings().count(),
                );
                if loaded.config.host == HostChoice::Envoy && !is_certainly_envoy() {
                    log::warn!(
                        "host: found `envoy`, but the gateway does not look like one; \
                         in Kong the first routed request would fail"
                    );
                }
                let plugin = Plugin::new(loaded, json, self.id);
                // On Kong ticks multiply after a trap and go on for removed configurations.
                if plugin.metrics.is_some() {
                    // Without ticks only the gauges grow old.
                    let _ = abi::set_tick_period(TICK);
                }
                plugin.show_state();
                self.state = State::InForce(Rc::new(plugin));
                true
            }
            Err(report) => {
                let count = report.errors().count();
                log::error!("invalid-config: errors={count}; nothing is routed by it");
                for error in report.errors().take(MOST_LINES) {
                    log::error!("{error}");
                }
                self.state = State::Broken(internal_header(&json.unwrap_or_default()));
                if is_certainly_envoy() {
                    metrics::count_refusal();
                    return false;
                }
                true
            }
        }
    }

    fn on_tick(&mut self) {
        if let State::InForce(plugin) = &self.state {
            plugin.show_state();
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(match &self.state {
            State::InForce(plugin) => Box::new(Stream::new(Rc::clone(plugin))),
            State::Broken(internal_header) => Box::new(Broken::new(Rc::clone(internal_header))),
        })
    }
}

/// The internal header that a configuration names, whatever else is wrong with it.
fn internal_header(json: &[u8]) -> Rc<str> {
    let (config, _) = config::parse(json);
    match config.upstream_header.as_str() {
        "" => DEFAULT_UPSTREAM_HEADER.into(),
        name => name.into(),
    }
}
