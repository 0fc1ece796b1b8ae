//! The index against the plain loop: on any rules and any request both find the same, and the
//! index reads nothing of the request that the loop would not have read.

use super::Index;
use super::limits::Limits;
use crate::config::Report;
use crate::engine::{Body, Bytes, Request, Table, Verdict, compile};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// A request that knows what was read of it.
#[derive(Clone, Debug, Default)]
struct Sample {
    headers: BTreeMap<&'static str, &'static str>,
    cookies: Option<&'static str>,
    baggage: Option<&'static str>,
    target: Option<&'static str>,
    method: Option<&'static str>,
    host: Option<&'static str>,
    address: Option<&'static str>,
    body: Option<&'static str>,
    /// Whether the body is still to come.
    pending: bool,
    reads: RefCell<BTreeMap<String, usize>>,
}

impl Sample {
    fn read(&self, what: &str, value: Option<&'static str>) -> Option<Bytes<'_>> {
        *self.reads.borrow_mut().entry(what.to_owned()).or_default() += 1;
        value.map(|value| Cow::Borrowed(value.as_bytes()))
    }

    fn decide(&self, table: &Table) -> (Verdict, BTreeMap<String, usize>) {
        self.reads.borrow_mut().clear();
        let verdict = table.decide(self, &mut || 7);
        (verdict, self.reads.take())
    }
}

impl Request for Sample {
    fn header(&self, name: &str) -> Option<Bytes<'_>> {
        self.read(name, self.headers.get(name).copied())
    }

    fn cookies(&self) -> Option<Bytes<'_>> {
        self.read("cookies", self.cookies)
    }

    fn baggage(&self) -> Option<Bytes<'_>> {
        self.read("baggage", self.baggage)
    }

    fn target(&self) -> Option<Bytes<'_>> {
        self.read("target", self.target)
    }

    fn method(&self) -> Option<Bytes<'_>> {
        self.read("method", self.method)
    }

    fn host(&self) -> Option<Bytes<'_>> {
        self.read("host", self.host)
    }

    fn scheme(&self) -> Option<Bytes<'_>> {
        self.read("scheme", None)
    }

    fn client_address(&self) -> Option<Bytes<'_>> {
        self.read("address", self.address)
    }

    fn body(&self) -> Body<'_> {
        match self.read("body", self.body) {
            _ if self.pending => Body::Pending,
            None => Body::None,
            Some(body) if *body == *b"large" => Body::Unreadable,
            Some(body) => Body::Whole(body),
        }
    }
}

const WORDS: [&str; 9] = ["", "a", "b", "ab", "abc", "b,c", "1.5", "v2", "/a/b"];
const PATHS: [&str; 6] = ["/", "/a", "/a/b", "/ab", "/a/b/c", "/b"];
const PATTERNS: [&str; 10] = [
    "^a",
    "b$",
    "a.c",
    "",
    r"^\d",
    "(?i)AB",
    "b|c",
    "^/a/",
    // Too large to be made in advance.
    "[ab].{0,200}c",
    "(?:a|b)*a[ab]{20}",
];
const BOUNDS: [&str; 8] = ["0", "1", "1.5", "v1", "v2", "1.2.3", "2-rc1", "-1"];
const BLOCKS: [&str; 7] =
    ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "0.0.0.0/0", "::1", "::/0", "192.168.0.0/24"];

fn header_value() -> impl Strategy<Value = &'static str> {
    select(
        ["", "a", "b", "ab", "abc", "aXc", "c", "1", "1.5", "2", "v1.5", "1.2.3", "7", "é"]
            .to_vec(),
    )
}

/// An operator with a value that is right for any text.
fn asked() -> impl Strategy<Value = Value> {
    let word = select(WORDS.to_vec());
    let equal = (select(vec!["eq", "ne", "prefix", "suffix", "contains", "not contains"]), word)
        .prop_map(|(operator, value)| json!({ "operator": operator, "value": value }));
    let exists =
        select(vec!["exists", "not exists"]).prop_map(|operator| json!({ "operator": operator }));
    let pattern = (select(vec!["regex", "not regex"]), select(PATTERNS.to_vec()))
        .prop_map(|(operator, value)| json!({ "operator": operator, "value": value }));
    let bound = (select(vec!["gt", "ge", "lt", "le"]), select(BOUNDS.to_vec()))
        .prop_map(|(operator, value)| json!({ "operator": operator, "value": value }));
    let list = (select(vec!["in", "in", "not in"]), prop::collection::vec(header_value(), 0..6))
        .prop_map(|(operator, values)| json!({ "operator": operator, "value": values.join(",") }));
    let stored = select(vec!["in", "not in"])
        .prop_map(|operator| json!({ "operator": operator, "global_config_id": "stored" }));
    prop_oneof![4 => equal, 1 => exists, 2 => pattern, 2 => bound, 2 => list, 1 => stored]
}

/// One item of a condition, with its location.
fn item() -> impl Strategy<Value = (&'static str, Value)> {
    let keyed = |location: &'static str, keys: Vec<&'static str>| {
        (select(keys), asked()).prop_map(move |(key, mut item)| {
            item["key"] = json!(key);
            (location, item)
        })
    };
    let path_prefix = select(PATHS.to_vec());
    let path = prop_oneof![
        asked(),
        path_prefix.prop_map(|value| json!({ "operator": "path_prefix", "value": value })),
    ];
    let address = prop_oneof![
        (select(vec!["eq", "ne"]), select(BLOCKS.to_vec()))
            .prop_map(|(operator, value)| json!({ "operator": operator, "value": value })),
        (select(vec!["in", "not in"]), prop::collection::vec(select(BLOCKS.to_vec()), 1..4))
            .prop_map(|(operator, list)| json!({ "operator": operator, "value": list.join(",") })),
    ];
    prop_oneof![
        5 => keyed("header", vec!["x", "y", "z"]),
        1 => keyed("query", vec!["q", "r"]),
        1 => keyed("cookie", vec!["c", "d"]),
        3 => keyed("body", vec!["", "k", "m.n"]),
        1 => keyed("system", vec!["domain"]),
        2 => path.prop_map(|item| ("path", item)),
        // Methods are compared in upper case, in which no bound is a version.
        1 => select(WORDS.to_vec()).prop_map(|value| ("method", json!({ "operator": "eq", "value": value }))),
        2 => address.prop_map(|mut item| {
            item["key"] = json!("clientIP");
            ("system", item)
        }),
    ]
}

fn rule() -> impl Strategy<Value = Value> {
    let items = prop_oneof![
        20 => prop::collection::vec(item(), 1..2),
        20 => prop::collection::vec(item(), 2..4),
        1 => prop::collection::vec(item(), 0..1),
    ];
    (items, any::<bool>(), 0..4_u8).prop_map(|(items, any, weight)| {
        let mut condition = json!({});
        for (location, item) in items {
            match &mut condition[location] {
                Value::Array(list) => list.push(item),
                none => *none = json!([item]),
            }
        }
        json!({
            "weight": weight,
            "match_type": if any { "OR" } else { "AND" },
            "condition": condition,
            "upstream": [{ "name": "u" }],
        })
    })
}

fn sample() -> impl Strategy<Value = Sample> {
    let maybe = |values: &[&'static str]| prop::option::of(select(values.to_vec()));
    (
        prop::collection::btree_map(select(vec!["x", "y", "z"]), header_value(), 0..4),
        maybe(&["c=a; d=1.5", "c=abc", "d=\"b\"", "junk"]),
        maybe(&["e=a, f=1.5;p", "e=%61bc", "f=b,f=c", "junk"]),
        maybe(&["/a?q=a", "/a/b?q=1.5&r=ab", "/ab", "/a/b/c?r", "*", "/b?q=%61%62", "/a/b/"]),
        maybe(&["GET", "a", "POST", "b"]),
        maybe(&["a", "B:80", "abc", "1.5"]),
        maybe(&["10.1.2.3", "10.2.0.1", "::1", "192.168.0.9", "junk"]),
        maybe(&["a", "large", r#"{"k":"a","m":{"n":1.5}}"#, r#"{"k":"abc"}"#, "{"]),
        any::<bool>(),
    )
        .prop_map(
            |(headers, cookies, baggage, target, method, host, address, body, pending)| Sample {
                headers,
                cookies,
                baggage,
                target,
                method,
                host,
                address,
                body,
                pending,
                reads: RefCell::default(),
            },
        )
}

/// Small limits lead small tables into every structure of the index.
const SMALL: Limits = Limits { loop_below: 2, group_from: 1, list: 3, lists: 20, blocks: 1 };

/// How many requests each set of rules is asked.
const REQUESTS: usize = 20;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 100_000 / REQUESTS as u32,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_index_and_the_loop_agree(
        rules in prop::collection::vec(rule(), 0..30),
        samples in prop::collection::vec(sample(), REQUESTS),
        small in any::<bool>(),
        starved in any::<bool>(),
    ) {
        let stored = json!([{ "id": "stored", "value": "a,b,1,1.5,v2,7,x,y,z,abc" }]);
        let config = json!({ "rules": rules, "global_configs": stored });
        let (config, report) = crate::config::read(&config);
        let (mut table, report) = compile(&config, report);
        prop_assert!(report.is_usable(), "{:?}", report.errors().collect::<Vec<_>>());
        if small {
            table.index = Index::with_limits(&table.rules, &table.attributes, SMALL);
        }
        if starved {
            table.attributes.starve();
        }
        let plain = Table { index: Index::default(), ..table.clone() };
        for sample in samples {
            let (by_loop, loop_reads) = sample.decide(&plain);
            let (by_index, index_reads) = sample.decide(&table);
            // The index leaves out rules that cannot hold, also those that would not be decided.
            prop_assert!(by_index.undecided.is_none() || by_loop.undecided.is_some());
            let by_index = Verdict { undecided: by_loop.undecided, ..by_index };
            prop_assert_eq!(by_index, by_loop, "{:?}", sample);
            for (what, times) in index_reads {
                prop_assert_eq!(times, 1, "{} was read more than once", what);
                prop_assert!(loop_reads.contains_key(&what), "only the index read {}", what);
            }
        }
    }
}

/// Too rare to be found by chance: the fault of a body shows only when a parameter is asked for.
#[test]
fn a_body_is_parsed_where_the_loop_parses_it() {
    let rule = |body: Value| json!({ "condition": { "body": body }, "upstream": [{}] });
    let whole = |text: &str| json!({ "key": "", "operator": "eq", "value": text });
    let parameter = json!({ "key": "k", "operator": "ne", "value": "1" });
    let rules = [rule(whole("a")), rule(whole("b")), rule(json!([parameter, whole("c")]))];
    let (config, report) = crate::config::read(&json!({ "rules": rules }));
    let (mut table, _) = compile(&config, report);
    let sample = Sample { body: Some("{"), ..Sample::default() };
    let (by_loop, _) = sample.decide(&table);
    assert_eq!(by_loop.body_fault, Some(crate::engine::BodyFault::Unparsable));
    table.index = Index::with_limits(&table.rules, &table.attributes, SMALL);
    assert_eq!(sample.decide(&table).0, by_loop);
}

#[test]
fn an_empty_table_finds_nothing() {
    let (table, _) = compile(&crate::config::Config::default(), Report::default());
    let (verdict, reads) = Sample::default().decide(&table);
    assert_eq!(verdict.outcome, crate::engine::Outcome::Unmatched);
    assert!(reads.is_empty());
}
