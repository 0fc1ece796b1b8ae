//! When the filter is asked: the life of a configuration and of a request.

mod breakers;
mod dispatch;
mod plugin;
mod request;
mod root;
mod stream;

use crate::observe::log;

/// What is done once, when a worker has loaded the filter.
fn start() {
    log::install();
}
