//! When the filter is asked: the life of a configuration and of a request.

mod announced;
mod answer;
mod breakers;
mod clock;
mod contexts;
mod draws;
mod plugin;
mod request;
mod root;
mod stream;
