//! A configuration in force, shared by all requests that it decides.

use crate::Loaded;
use crate::host::{self, Host};
use crate::observe::effect::Effects;

/// A loaded configuration with all that can be prepared for it.
pub struct Plugin {
    pub loaded: Loaded,
    pub effects: Effects,
}

impl Plugin {
    pub fn new(loaded: Loaded) -> Self {
        let effects = Effects::new(&loaded.config, &loaded.table);
        Self { loaded, effects }
    }

    pub fn host(&self) -> &'static dyn Host {
        host::current(self.loaded.config.host)
    }
}
