//! A request that no rule holds for takes no memory from the allocator.

#![allow(clippy::expect_used, clippy::indexing_slicing)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::borrow::Cow;
use std::cell::Cell;
use tse_route::engine::{Body, Bytes, Outcome, Request};

/// The system's allocator, which counts what each thread asks of it.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: all is passed on to the system's allocator.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Sample;

impl Request for Sample {
    fn header(&self, name: &str) -> Option<Bytes<'_>> {
        (name == "x-tenant").then_some(Cow::Borrowed(b"nobody"))
    }

    fn cookies(&self) -> Option<Bytes<'_>> {
        Some(Cow::Borrowed(b"session=4711; theme=dark"))
    }

    fn baggage(&self) -> Option<Bytes<'_>> {
        Some(Cow::Borrowed(b"tenant=4711;ttl=1,lane=base"))
    }

    fn target(&self) -> Option<Bytes<'_>> {
        Some(Cow::Borrowed(b"/shop/cart?page=2"))
    }

    fn method(&self) -> Option<Bytes<'_>> {
        Some(Cow::Borrowed(b"GET"))
    }

    fn host(&self) -> Option<Bytes<'_>> {
        Some(Cow::Borrowed(b"shop.example.com:8080"))
    }

    fn scheme(&self) -> Option<Bytes<'_>> {
        Some(Cow::Borrowed(b"https"))
    }

    fn client_address(&self) -> Option<Bytes<'_>> {
        Some(Cow::Borrowed(b"192.0.2.7"))
    }

    fn body(&self) -> Body<'_> {
        Body::None
    }
}

fn rules(count: usize) -> String {
    let conditions = (0..count).map(|n| match n % 7 {
        0 => format!(r#"{{"header": {{"key": "x-tenant", "operator": "eq", "value": "t{n}"}}}}"#),
        1 => format!(
            r#"{{"header": {{"key": "x-tenant", "operator": "regex", "value": "^t{n}$"}}}}"#
        ),
        2 => format!(r#"{{"path": {{"operator": "path_prefix", "value": "/tenants/{n}"}}}}"#),
        3 => format!(r#"{{"query": {{"key": "page", "operator": "gt", "value": {}}}}}"#, n + 10),
        4 => format!(r#"{{"cookie": {{"key": "theme", "operator": "in", "value": "a{n},b{n}"}}}}"#),
        5 => {
            r#"{"system": {"key": "clientIP", "operator": "in", "value": "10.0.0.0/8"}}"#.to_owned()
        }
        _ => format!(
            r#"{{"system": {{"key": "domain", "operator": "suffix", "value": ".t{n}.org"}}}}"#
        ),
    });
    let rules: Vec<String> = conditions
        .map(|condition| format!(r#"{{"condition": {condition}, "upstream": [{{"name": "u"}}]}}"#))
        .collect();
    format!(r#"{{"rules": [{}]}}"#, rules.join(","))
}

#[test]
fn an_unmatched_request_allocates_nothing() {
    for count in [0, 1, 7, 70, 2_000] {
        let loaded = tse_route::load(rules(count).as_bytes()).expect("a configuration");
        let decide = || {
            let before = ALLOCATIONS.get();
            let outcome = loaded.table.decide(&Sample, &mut || 7).outcome;
            assert_eq!(outcome, Outcome::Unmatched);
            ALLOCATIONS.get() - before
        };
        decide(); // the first request of a pattern takes memory for all that follow
        assert_eq!(decide(), 0, "with {count} rules");
    }
}
