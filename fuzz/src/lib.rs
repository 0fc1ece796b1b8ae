//! What must hold of any input: of what operators write and of what clients send.
//!
//! Each function takes bytes and panics where something does not hold. `make fuzz` lets a fuzzer
//! look for such bytes; `tests/corpus.rs` tries those that are kept in `corpus/`.

// To find out is what these are for.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

#[cfg(feature = "fuzzing")]
mod clock;
mod picker;
mod sample;

#[cfg(feature = "fuzzing")]
pub use clock::timed;

use picker::Picker;
use sample::Sample;
use serde_json::{Value, json};
use tse_route::config::{self, MAX_FAULTS};
use tse_route::effect::Effects;
use tse_route::engine::{BaggageChange, Outcome, Rewritten, Table};
use tse_route::{Loaded, load};

/// What is tried with an input.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: [(&str, Target); 7] = [
    ("configuration", configuration),
    ("decision", decision),
    ("body", body),
    ("parts", parts),
    ("sources", sources),
    ("importers", importers),
    ("bridge", bridge),
];

/// The text of a configuration: it is refused with reasons in bounds, or decides requests. What is
/// read does not depend on the order of fields or on blanks.
pub fn configuration(data: &[u8]) {
    match load(data) {
        Ok(loaded) => {
            assert!(loaded.report.is_usable());
            for sample in Sample::usual() {
                agree(&loaded.table, &sample);
            }
            if let Ok(tree) = serde_json::from_slice::<Value>(data)
                && !data.windows(9).any(|piece| piece == b"$serde_js")
            {
                // serde_json spells exponents in its own way, and sorts fields.
                let again = config::read(&tree).1;
                assert!(again.is_usable(), "{again}");
            }
        }
        Err(report) => {
            assert!(!report.is_usable());
            assert!(report.errors().count() <= MAX_FAULTS + 1);
            let text = report.to_string();
            assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        }
    }
}

/// The index decides as the rules do when each is asked.
fn agree(table: &Table, sample: &Sample) {
    let verdict = table.decide(sample, &mut || 7);
    let again = table.decide(sample, &mut || 7);
    assert_eq!(verdict, again, "the same request is decided the same");
    let trace = table.trace(sample);
    let first = trace.rules.iter().position(|rule| rule.holds != Some(false));
    let decided = match verdict.outcome {
        Outcome::Unmatched => None,
        Outcome::NeedsBody => Some(None),
        Outcome::Routed(choice) => Some(Some(choice.rule)),
    };
    let told = first.map(|first| trace.rules[first].holds.map(|_| first));
    assert_eq!(decided, told, "the index and the loop disagree");
    if let Outcome::Routed(choice) = verdict.outcome {
        assert!(table.target(choice).is_some());
    }
}

/// Rules and requests that are made of the input: the index and the plain loop agree.
pub fn decision(data: &[u8]) {
    let mut picker = Picker::new(data);
    let config = picker.configuration();
    // A pattern that is none, for instance, is refused, and that is right.
    let Ok(loaded) = load(config.to_string().as_bytes()) else { return };
    for _ in 0..4 {
        agree(&loaded.table, &picker.sample());
    }
}

/// What is asked of bodies.
const KEYS: [&str; 12] =
    ["a", "b", "a.b", "a.b.c", "0", "a.0", "0.a", "1.1", "a.b.0.a", "", "x.y", "a..b"];

/// A configuration that looks at parameters and asks nothing.
fn looking(location: &str, keys: &[&str]) -> Loaded {
    let items: Vec<Value> =
        keys.iter().map(|key| json!({ "key": key, "operator": "exists" })).collect();
    let config = json!({ "rules": [{ "condition": { location: items }, "upstream": [{}] }] });
    load(config.to_string().as_bytes()).expect("a sound configuration")
}

/// What a request's parameters are, in the order of the keys.
fn found(loaded: &Loaded, sample: &Sample) -> Vec<Option<Vec<u8>>> {
    let trace = loaded.table.trace(sample);
    trace.rules[0].items.iter().map(|item| item.found.clone()).collect()
}

/// A JSON body: what the pass over it finds is what its tree has.
pub fn body(data: &[u8]) {
    thread_local! {
        static LOOKING: Loaded = looking("body", &KEYS);
    }
    let sample = Sample { body: Some(data.to_vec()), ..Sample::default() };
    let found = LOOKING.with(|loaded| found(loaded, &sample));
    // What a tree cannot hold, the pass may find all the same.
    let Ok(tree) = serde_json::from_slice::<Value>(data) else { return };
    if data.windows(9).any(|piece| piece == b"$serde_js")
        || data.contains(&b'\\') && has_magic(&tree)
    {
        return;
    }
    for (key, found) in KEYS.iter().zip(found) {
        if key.is_empty() {
            assert_eq!(found.as_deref(), Some(data));
            continue;
        }
        match by_tree(&tree, key) {
            None => assert_eq!(found, None, "{key}"),
            Some(Value::String(text)) => assert_eq!(found, Some(text.into_bytes()), "{key}"),
            Some(value) => {
                let found = found.expect(key);
                let found: Value = serde_json::from_slice(&found).expect(key);
                assert_eq!(found, value, "{key}");
            }
        }
    }
}

/// Whether serde_json may have taken an object for a number.
fn has_magic(tree: &Value) -> bool {
    tree.to_string().contains("$serde_json") || tree.is_number()
}

fn by_tree(tree: &Value, key: &str) -> Option<Value> {
    let found = tree.get(key).or_else(|| {
        key.split('.').try_fold(tree, |value, step| match value {
            Value::Object(fields) => fields.get(step),
            Value::Array(elements) => {
                let canonical = step == "0" || !step.starts_with(['0', '+']);
                elements.get(step.parse::<usize>().ok().filter(|_| canonical)?)
            }
            _ => None,
        })
    });
    found.cloned()
}

/// Cookies, baggage, queries, addresses, versions: each against a plainer way to read it.
pub fn parts(data: &[u8]) {
    thread_local! {
        static COOKIES: Loaded = looking("cookie", &["a", "b c", "="]);
        static QUERIES: Loaded = looking("query", &["a", "b c", "=", "%"]);
    }
    let sample =
        Sample { cookies: Some(data.to_vec()), target: Some(data.to_vec()), ..Sample::default() };
    let cookies = COOKIES.with(|loaded| found(loaded, &sample));
    for (name, found) in [&b"a"[..], b"b c"].iter().zip(cookies) {
        let mut pairs = data.split(|byte| *byte == b';').filter_map(|pair| {
            let at = pair.iter().position(|byte| *byte == b'=')?;
            Some((pair[..at].trim_ascii(), pair[at + 1..].trim_ascii()))
        });
        let value = pairs.find(|(found, _)| found == name).map(|(_, value)| match value {
            [b'"', inner @ .., b'"'] => inner.to_vec(),
            value => value.to_vec(),
        });
        assert_eq!(found, value);
    }
    let queries = QUERIES.with(|loaded| found(loaded, &sample));
    for (name, found) in [&b"a"[..], b"b c", b"=", b"%"].iter().zip(queries) {
        assert_eq!(found, by_decoding(data, name));
    }
    baggage(data);
    addresses_and_versions(data);
}

/// The members of a baggage, before and after a change to one of them.
fn baggage(data: &[u8]) {
    thread_local! {
        static LOOKING: Loaded = looking("baggage", &["a", "b"]);
        static CHANGE: BaggageChange = {
            let config = json!({ "rules": [{ "upstream": [{ "request_headers": { "baggage": {
                "set": [{ "key": "a", "value": "1, 2" }], "remove": ["b"],
            } } }] }] });
            let loaded = load(config.to_string().as_bytes()).expect("a sound configuration");
            let effects = Effects::new(&loaded.config, &loaded.table, None);
            let change = effects.all().find_map(|effect| effect.baggage());
            change.expect("a change").clone()
        };
    }
    let read = |baggage: &[u8]| {
        let sample = Sample { baggage: Some(baggage.to_vec()), ..Sample::default() };
        LOOKING.with(|loaded| found(loaded, &sample))
    };
    let members = |baggage: &[u8]| -> Vec<Vec<u8>> {
        let members = baggage.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        members.filter(|member| !member.is_empty()).map(<[u8]>::to_vec).collect()
    };
    let sent = members(data);
    for (key, found) in [&b"a"[..], b"b"].iter().zip(read(data)) {
        let value = sent.iter().find_map(|member| {
            let text = member.split(|byte| *byte == b';').next()?;
            let at = text.iter().position(|byte| *byte == b'=')?;
            (text[..at].trim_ascii() == *key).then(|| unescaped(text[at + 1..].trim_ascii()))
        });
        assert_eq!(found, value);
    }

    let Rewritten::To(changed) = CHANGE.with(|change| change.apply(Some(data))) else {
        panic!("what sets a member changes any baggage")
    };
    assert_eq!(read(&changed), [Some(b"1, 2".to_vec()), None]);
    let kept = members(&changed);
    assert!(changed.len() <= 8_192 && kept.len() <= 64);
    let mut left = sent.iter();
    for member in kept.iter().skip(1) {
        assert!(left.any(|sent| sent == member), "what is kept was sent, in this order");
    }
}

/// A text without its percent-escapes.
fn unescaped(text: &[u8]) -> Vec<u8> {
    // A blank is what no plus sign is decoded to.
    let plus = text.split(|byte| *byte == b'+').map(decoded);
    plus.collect::<Vec<_>>().join(&b'+')
}

/// The first parameter of the name, by decoding all.
fn by_decoding(target: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let start = target.iter().position(|byte| *byte == b'?')? + 1;
    let query = target[start..].split(|byte| *byte == b'#').next()?;
    query.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).find_map(|pair| {
        let mut sides = pair.splitn(2, |byte| *byte == b'=');
        let found = decoded(sides.next().unwrap_or_default());
        (found == name).then(|| decoded(sides.next().unwrap_or_default()))
    })
}

fn decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let escaped = text.get(at + 1..at + 3).filter(|_| *byte == b'%');
        let digits = escaped.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match (digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()), byte) {
            (Some(escaped), _) => {
                decoded.push(escaped);
                at += 3;
                continue;
            }
            (None, b'+') => decoded.push(b' '),
            (None, byte) => decoded.push(*byte),
        }
        at += 1;
    }
    decoded
}

/// Two texts that are compared: an order is one, and a block has its own address in it.
fn addresses_and_versions(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (left, right) = text.split_once('\n').unwrap_or((text, text));
    let orders = ["gt", "ge", "lt", "le"].map(|operator| {
        let item = json!({ "key": "v", "operator": operator, "value": right });
        json!({ "condition": { "header": item }, "upstream": [{}] })
    });
    let sample = Sample { header: Some(left.as_bytes().to_vec()), ..Sample::default() };
    if let Ok(loaded) = load(json!({ "rules": orders }).to_string().as_bytes()) {
        let trace = loaded.table.trace(&sample);
        let [gt, ge, lt, le] = [0, 1, 2, 3].map(|rule| trace.rules[rule].holds == Some(true));
        assert!(!(gt && lt), "{text:?}");
        assert!((ge || !gt) && (le || !lt), "one includes the other: {text:?}");
        assert_eq!(ge && le, ge != gt, "equal is both: {text:?}");
        assert_eq!(gt || le, ge || lt, "{text:?}");
        agree(&loaded.table, &sample);
    }
    let block = json!({ "key": "clientIP", "operator": "in", "value": right });
    let rules = json!([{ "condition": { "system": block }, "upstream": [{}] }]);
    if let Ok(loaded) = load(json!({ "rules": rules }).to_string().as_bytes()) {
        for entry in right.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let address = entry.split('/').next().unwrap_or_default();
            let sample = Sample { address: Some(address.as_bytes().to_vec()), ..Sample::default() };
            let trace = loaded.table.trace(&sample);
            assert_eq!(trace.rules[0].holds, Some(true), "{entry:?}");
        }
    }
}

/// A file for the command line: it is read, or told of with places that are in it.
pub fn sources(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let document = tse_route_cli::api::Document::read(text);
    let told = document.check();
    let lines = text.lines().count().max(1) + 1;
    for fault in told["faults"].as_array().expect("faults") {
        if let Some(line) = fault["line"].as_u64() {
            assert!(line as usize <= lines, "{fault} of {lines}");
        }
    }
}

/// A file for `import`: what comes of it is a sound configuration, or it is told why not.
pub fn importers(data: &[u8]) {
    use tse_route_cli::import::{Options, Text, import};
    let Ok(text) = std::str::from_utf8(data) else { return };
    for lossy in [false, true] {
        let options = Options { lossy, ..Options::default() };
        let imported = import(&[Text::new("source.yaml", text)], &options);
        for remark in &imported.remarks {
            assert!(remark.place.start <= text.len(), "{remark:?}");
        }
        if imported.is_sound() {
            for draft in &imported.drafts {
                let report =
                    load(draft.config().to_string().as_bytes()).map(|loaded| loaded.report);
                assert!(report.is_ok(), "{}", report.unwrap_err());
            }
        }
    }
}

/// The configuration in the form in which the bridge hands it over: its greeting stands before it,
/// which nothing that an operator writes may be taken for.
pub fn bridge(data: &[u8]) {
    // The message itself is made of a table alone; what goes into it is looked at here.
    let Ok(loaded) = load(data) else { return };
    for rule in loaded.table.rules() {
        for target in rule.targets() {
            let name = target.name().unwrap_or("x");
            assert!(
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()),
                "{name:?}"
            );
            let headers = target.request_headers();
            let values = headers.set.iter().chain(&headers.add);
            for header in values {
                assert!(!header.value.0.contains(['\r', '\n', '\0']));
                assert!(is_token(header.name.as_str()));
            }
            assert!(headers.remove.iter().all(|name| is_token(name.as_str())));
        }
        if let Some(cookie) = rule.cookie() {
            assert!(!cookie.issue(7).contains(['\r', '\n', '\0']));
        }
    }
}

fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&byte))
}
