//! When the filter is asked: the life of a configuration and of a request.

mod announced;
mod answer;
mod breakers;
mod clock;
mod draws;
mod plugin;
mod request;
mod root;
mod stream;

use crate::observe::log;
use root::Root;

proxy_wasm::main! {{
    log::install();
    proxy_wasm::set_root_context(|id| Box::new(Root::new(id)));
}}
