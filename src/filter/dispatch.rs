//! The functions that a gateway calls (proxy-wasm ABI 0.2.1), and whom they are for.
//!
//! Declared here rather than taken from the SDK, which asks several maps on each call, exports
//! steps that no one listens to, each a call from the gateway for nothing, and is a tenth of the
//! module. What an HTTP filter in Kong or Envoy can be called with is there; a gateway looks up
//! exports by name, and Kong's ngx_wasm_module calls those of a request without looking whether
//! they are there.

#![allow(unsafe_code)]

use super::root::Root;
use hashbrown::HashMap;
use std::cell::RefCell;

/// Whether a request goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Action {
    /// It does.
    Continue = 0,
    /// It is held back.
    Pause = 1,
}

/// The steps of one request.
pub trait HttpContext {
    fn on_http_request_headers(&mut self, _headers: usize, _end_of_stream: bool) -> Action {
        Action::Continue
    }

    fn on_http_request_body(&mut self, _size: usize, _end_of_stream: bool) -> Action {
        Action::Continue
    }

    fn on_http_request_trailers(&mut self, _trailers: usize) -> Action {
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _headers: usize, _end_of_stream: bool) -> Action {
        Action::Continue
    }

    fn on_log(&mut self) {}
}

/// What the gateway has told us of, by its numbers.
#[derive(Default)]
struct Contexts {
    roots: HashMap<u32, Root>,
    requests: HashMap<u32, Box<dyn HttpContext>>,
}

thread_local! {
    static CONTEXTS: RefCell<Contexts> = RefCell::default();
}

/// Runs with all contexts. A gateway never calls into a filter that has called it and waits; if
/// one did, the inner call would be answered as if there were nothing to do.
fn with<T>(otherwise: T, act: impl FnOnce(&mut Contexts) -> T) -> T {
    CONTEXTS.with(|contexts| match contexts.try_borrow_mut() {
        Ok(mut contexts) => act(&mut contexts),
        Err(_) => otherwise,
    })
}

/// Runs with one request.
fn with_request(id: u32, step: impl FnOnce(&mut dyn HttpContext) -> Action) -> Action {
    with(Action::Continue, |contexts| match contexts.requests.get_mut(&id) {
        Some(request) => step(&mut **request),
        None => Action::Continue,
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

/// Called before anything else.
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    unsafe extern "C" {
        fn __wasm_call_ctors();
    }
    // What the C library does before `main`, which a module like this has none of.
    unsafe { __wasm_call_ctors() };
    super::start();
}

/// Memory for something that the gateway hands over; `host::abi` frees it as the boxed slice of
/// exactly this size that it is.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    let memory: Box<[std::mem::MaybeUninit<u8>]> = Box::new_uninit_slice(size);
    Box::into_raw(memory).cast()
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(id: u32, root: u32) {
    with((), |contexts| {
        if root == 0 {
            contexts.roots.insert(id, Root::new(id));
        } else if let Some(root) = contexts.roots.get(&root) {
            contexts.requests.insert(id, root.create_http_context());
        }
    });
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(_id: u32, _size: usize) -> bool {
    true
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(id: u32, size: usize) -> bool {
    with(false, |contexts| contexts.roots.get_mut(&id).is_some_and(|root| root.on_configure(size)))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(id: u32, headers: usize, end_of_stream: bool) -> Action {
    with_request(id, |request| request.on_http_request_headers(headers, end_of_stream))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_body(id: u32, size: usize, end_of_stream: bool) -> Action {
    with_request(id, |request| request.on_http_request_body(size, end_of_stream))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_trailers(id: u32, trailers: usize) -> Action {
    with_request(id, |request| request.on_http_request_trailers(trailers))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(id: u32, headers: usize, end_of_stream: bool) -> Action {
    with_request(id, |request| request.on_http_response_headers(headers, end_of_stream))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_body(_id: u32, _size: usize, _end_of_stream: bool) -> Action {
    Action::Continue
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_trailers(_id: u32, _trailers: usize) -> Action {
    Action::Continue
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_done(_id: u32) -> bool {
    true
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_log(id: u32) {
    with_request(id, |request| {
        request.on_log();
        Action::Continue
    });
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(id: u32) {
    with((), |contexts| {
        contexts.requests.remove(&id);
        contexts.roots.remove(&id);
    });
}
