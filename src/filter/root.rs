//! The life of a configuration.

use super::plugin::Plugin;
use super::stream::{Broken, Request, Stream};
use crate::Refused;
use crate::config::{Config, HostChoice, MAX_FAULTS, Report};
use crate::host::abi::{self, Buffer};
use crate::host::{self, Greeting, Host, is_certainly_envoy};
use crate::observe::metrics;
use std::borrow::Cow;
use std::rc::Rc;

/// How often gauges are brought up to date, in milliseconds; on Envoy only.
const TICK: u32 = 5_000;

/// When they are first shown after a configuration was loaded, in milliseconds.
const FIRST_TICK: u32 = 1;

/// The root context: one configuration.
pub struct Root {
    id: u32,
    is_envoy: bool,
    has_ticked: bool,
    state: State,
}

/// What became of the configuration.
enum State {
    InForce(Rc<Plugin>),
    /// It cannot be used; the name of the internal header is all that is taken from it.
    Broken(Rc<dyn Host>),
}

impl Root {
    pub fn new(id: u32) -> Self {
        let is_envoy = is_certainly_envoy();
        Self {
            id,
            is_envoy,
            has_ticked: false,
            state: State::broken(Config::default(), is_envoy, &Greeting::Absent),
        }
    }
}

impl State {
    /// The state for a configuration that cannot be used.
    fn broken(mut config: Config, is_envoy: bool, greeting: &Greeting) -> Self {
        config.host = HostChoice::Auto;
        Self::Broken(host::of(&config, is_envoy, greeting).into())
    }
}

impl Root {
    /// Refuses a configuration that cannot be used where that is safe. On Kong a refusal would
    /// freeze the filters of every service, so there the filter stays, routes nothing and says why.
    pub fn configure(&mut self, size: usize) -> bool {
        let text = abi::buffer(Buffer::PluginConfiguration, size);
        let text = text.as_deref();
        let (greeting, json) = match text {
            // An Envoy has no bridge; whoever writes its name there has made a mistake.
            Ok(text) if !self.is_envoy => host::greeting(text),
            text => (Greeting::Absent, Cow::Borrowed(text.unwrap_or_default())),
        };
        if let Greeting::Foreign(found) = &greeting {
            log::error!("the plugin tse-route-bridge is of another release: {found}");
        }
        let loaded = match text {
            Ok(_) => crate::load_or_keep(&json),
            Err(status) => {
                let reason = format!("the gateway withheld it (status {})", status.0);
                let config = Config::default();
                Err(Box::new(Refused { config, report: Report::of_whole(reason) }))
            }
        };
        match loaded {
            Ok(loaded) => {
                for warning in loaded.report.warnings() {
                    log::warn!("{warning}");
                }
                log::info!(
                    "configuration loaded: rules={} enabled={} warnings={}",
                    loaded.config.rules.len(),
                    loaded.table.rules().len(),
                    loaded.report.warnings().count(),
                );
                if loaded.config.host == HostChoice::Envoy && !self.is_envoy {
                    log::warn!(
                        "host: found `envoy`, but the gateway does not look like one; \
                         in Kong the first routed request would fail"
                    );
                }
                let plugin = Plugin::new(loaded, &json, self.id, (self.is_envoy, &greeting));
                plugin.report_lacks();
                // On Kong ticks multiply after a trap and go on for removed configurations.
                if plugin.counts() {
                    // Without ticks only the gauges grow old.
                    let _ = abi::set_tick_period(FIRST_TICK);
                    self.has_ticked = false;
                }
                self.state = State::InForce(Rc::new(plugin));
                true
            }
            Err(refused) => {
                let count = refused.report.errors().count().min(MAX_FAULTS);
                log::error!("invalid-config: errors={count}; nothing is routed by it");
                for error in refused.report.errors() {
                    log::error!("{error}");
                }
                self.state = State::broken(refused.config, self.is_envoy, &greeting);
                if self.is_envoy {
                    metrics::count_refusal();
                    return false;
                }
                true
            }
        }
    }

    /// Shows what changes with time.
    pub fn tick(&mut self) {
        if let State::InForce(plugin) = &self.state {
            plugin.show_state();
        }
        if !self.has_ticked {
            let _ = abi::set_tick_period(TICK);
            self.has_ticked = true;
        }
    }

    /// A request of this configuration.
    pub fn request(&self) -> Request {
        match &self.state {
            State::InForce(plugin) => {
                // Before the breakers of the request's rule have anything to show.
                plugin.metrics();
                Request::Decided(Stream::new(Rc::clone(plugin)))
            }
            State::Broken(host) => Request::Undecided(Broken::new(Rc::clone(host))),
        }
    }
}
