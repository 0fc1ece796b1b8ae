//! What a gateway calls in the filter, exported under the names of proxy-wasm ABI 0.2.1.
//!
//! Not the SDK's: its dispatcher looks the context up for every call, also for those that have
//! nothing to do here, and it panics where a gateway does what it does not expect. None of the calls
//! for HTTP may be missing: Kong's ngx_wasm_module makes them without looking, and its worker dies
//! (HTTP: `proxy_on_request_headers` and `_body`, `proxy_on_response_headers`, `_body` and
//! `_trailers`, `proxy_on_done`, `_log` and `_delete`).

/// What is to become of the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Action {
    /// It goes on.
    #[default]
    Continue = 0,
    /// It waits.
    Pause = 1,
}

/// A filter, as a gateway calls it: each context has a number, and is a configuration or a request.
pub trait Contexts {
    /// The module was loaded.
    fn load();
    /// A context begins: a configuration where `parent` is 0, else a request of that configuration.
    fn create(id: u32, parent: u32);
    /// The text of a configuration is there, of so many bytes; returns whether it can be used.
    fn configure(id: u32, size: usize) -> bool;
    /// The time that a configuration has asked for has passed.
    fn tick(id: u32);
    /// The head of a request is there, perhaps all of it.
    fn request_headers(id: u32, is_all: bool) -> Action;
    /// So many bytes of a request's body are there, perhaps all of it.
    fn request_body(id: u32, size: usize, is_all: bool) -> Action;
    /// A request has ended with trailers.
    fn request_trailers(id: u32) -> Action;
    /// The head of an answer is there.
    fn response_headers(id: u32) -> Action;
    /// An answer has ended with trailers.
    fn response_trailers(id: u32) -> Action;
    /// A request is over.
    fn log(id: u32);
    /// A context ends.
    fn delete(id: u32);
}

/// Exports a filter.
macro_rules! export {
    ($filter:ty) => {
        #[allow(unsafe_code)]
        mod exports {
            use super::*;

            unsafe extern "C" {
                /// What the linker has put together to be run first.
                fn __wasm_call_ctors();
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_abi_version_0_2_1() {}

            #[unsafe(no_mangle)]
            extern "C" fn _initialize() {
                unsafe { __wasm_call_ctors() };
                <$filter as $crate::host::Contexts>::load();
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_context_create(id: u32, parent: u32) {
                <$filter as $crate::host::Contexts>::create(id, parent);
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_vm_start(_: u32, _: usize) -> bool {
                true
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_configure(id: u32, size: usize) -> bool {
                <$filter as $crate::host::Contexts>::configure(id, size)
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_tick(id: u32) {
                <$filter as $crate::host::Contexts>::tick(id);
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_request_headers(
                id: u32,
                _: usize,
                is_all: bool,
            ) -> $crate::host::Action {
                <$filter as $crate::host::Contexts>::request_headers(id, is_all)
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_request_body(
                id: u32,
                size: usize,
                is_all: bool,
            ) -> $crate::host::Action {
                <$filter as $crate::host::Contexts>::request_body(id, size, is_all)
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_request_trailers(id: u32, _: usize) -> $crate::host::Action {
                <$filter as $crate::host::Contexts>::request_trailers(id)
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_response_headers(
                id: u32,
                _: usize,
                _: bool,
            ) -> $crate::host::Action {
                <$filter as $crate::host::Contexts>::response_headers(id)
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_response_body(
                _: u32,
                _: usize,
                _: bool,
            ) -> $crate::host::Action {
                $crate::host::Action::Continue
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_response_trailers(id: u32, _: usize) -> $crate::host::Action {
                <$filter as $crate::host::Contexts>::response_trailers(id)
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_done(_: u32) -> bool {
                true
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_log(id: u32) {
                <$filter as $crate::host::Contexts>::log(id);
            }

            #[unsafe(no_mangle)]
            extern "C" fn proxy_on_delete(id: u32) {
                <$filter as $crate::host::Contexts>::delete(id);
            }
        }
    };
}
pub(crate) use export;
