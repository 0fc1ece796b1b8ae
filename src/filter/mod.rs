//! When the filter is asked: the life of a configuration and of a request.

mod plugin;
mod request;
mod root;
mod stream;

use crate::observe::log;
use root::Root;

proxy_wasm::main! {{
    log::install();
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}
