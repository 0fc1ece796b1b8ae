//! Whatever clients send and operators write: the filter lives on, and so does the request.

use crate::configs::everything;
use crate::harness::{Envoy, Host, Kong, Request, SharedMemory, Start};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;
use std::cell::RefCell;

/// Bytes that mean something to one of the parsers, and any others.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let meaningful =
        vec(prop::sample::select(&b"%&=+;,?#/:[]{}\"\\.-v0123456789aeg \0\xff"[..]), 0..40);
    prop_oneof![vec(any::<u8>(), 0..40), meaningful]
}

/// A request of junk. Its headers are those that the rules look at, and any other.
fn request() -> impl Strategy<Value = Request> {
    const NAMES: &[&str] = &[
        "version",
        "tag",
        "cookie",
        "baggage",
        "user-agent",
        "content-type",
        "x-tse-route-upstream",
        "x-tse-route-failures",
    ];
    let name = prop_oneof![prop::sample::select(NAMES).prop_map(Into::into), bytes()];
    let headers = vec((name, bytes()), 0..6);
    let line = (prop::option::of(bytes()), prop::option::of(bytes()), prop::option::of(bytes()));
    let client = prop_oneof![Just("10.0.0.1".to_owned()), ".{0,12}"];
    (line, headers, client, vec(bytes(), 0..3), any::<bool>()).prop_map(
        |((method, path, host), headers, client, body, trailers)| {
            let mut request =
                Request { method, path, host, client, body, trailers, ..Request::default() };
            headers.into_iter().for_each(|(name, value)| request.headers.add(name, value));
            request
        },
    )
}

/// A worker that serves all cases of a test: what one leaves behind meets the next.
fn worker(host: Host) -> RefCell<Host> {
    RefCell::new(host)
}

fn survives(host: &RefCell<Host>, request: Request) -> Result<(), TestCaseError> {
    let mut host = host.borrow_mut();
    let sent = host.request().changed(|slot| *slot = request).try_send();
    sent.map(drop).map_err(TestCaseError::fail)
}

#[test]
fn requests_of_junk_are_served() {
    let zone = SharedMemory::default();
    let hosts = [
        worker(Envoy::new().with(&everything())),
        worker(Kong::bridged().shared_memory(&zone).with(&everything())),
        worker(Kong::alone().shared_memory(&zone).with(&everything())),
    ];
    let cases = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) };
    proptest!(cases, |(request in request())| {
        for host in &hosts {
            survives(host, request.clone())?;
        }
    });
}

/// A small JSON value, most of them wrong in a configuration.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[\\PC\\n,;.*+(){}\\[\\]^$|/]{0,12}".prop_map(Value::from),
    ];
    let name =
        prop::sample::select(&["key", "operator", "value", "weight", "upstream", "", "x"][..]);
    leaf.prop_recursive(3, 12, 4, move |inner| {
        let object = vec((name.clone(), inner.clone()), 0..4).prop_map(|fields| {
            fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
        });
        prop_oneof![vec(inner, 0..4).prop_map(Value::from), object.prop_map(Value::Object)]
    })
}

/// The JSON pointers of all places in a value.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Array(elements) => {
            for (index, inner) in elements.iter().enumerate() {
                places(inner, &format!("{at}/{index}"), found);
            }
        }
        Value::Object(fields) => {
            for (name, inner) in fields {
                places(inner, &format!("{at}/{name}"), found);
            }
        }
        _ => {}
    }
}

/// A configuration that has everything, and something else in one or two of its places.
fn spoilt() -> impl Strategy<Value = Value> {
    let mut all = Vec::new();
    places(&everything(), "", &mut all);
    vec((prop::sample::select(all), value()), 1..3).prop_map(|changes| {
        let mut configuration = everything();
        for (place, value) in changes {
            if let Some(slot) = configuration.pointer_mut(&place) {
                *slot = value;
            }
        }
        configuration
    })
}

/// The text of a configuration that has everything, with bytes of it cut out or replaced.
fn torn() -> impl Strategy<Value = Vec<u8>> {
    let text = everything().to_string().into_bytes();
    (0..text.len(), 0..100_usize, bytes()).prop_map(move |(start, size, bytes)| {
        let end = text.len().min(start + size);
        [&text[..start], &bytes, &text[end..]].concat()
    })
}

#[test]
fn configurations_of_junk_are_refused_or_serve() {
    let text = prop_oneof![
        spoilt().prop_map(|value| value.to_string().into_bytes()),
        torn(),
        value().prop_map(|value| value.to_string().into_bytes()),
        bytes(),
    ];
    let cases = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) };
    proptest!(cases, |(text in text, request in request())| {
        let mut kong = Kong::bridged().shared_memory(&SharedMemory::default()).start();
        let accepted = kong.configure(text.clone());
        prop_assert_eq!(accepted, Ok(true), "Kong must never hear a refusal");
        survives(&worker(kong), request.clone())?;

        let mut envoy = Envoy::new().start();
        if envoy.configure(text).map_err(TestCaseError::fail)? {
            survives(&worker(envoy), request)?;
        } else {
            prop_assert!(!envoy.take_errors().is_empty(), "a refusal says why");
        }
    });
}
