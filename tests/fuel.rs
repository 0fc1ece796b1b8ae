//! What a request costs the filter in WebAssembly instructions, held against what it did cost.
//!
//! Counted, not timed, so that it is the same on every machine. `tests/fuel.txt` keeps the counts:
//! a request that costs more by a tenth than its count there has become slower, one that costs
//! less by a tenth should get a new count. `make fuel` writes the counts that are due and leaves the
//! others, so that small changes add up until they are seen.
//!
//! The filter is the one that `make wasm` leaves under `target/` before wasm-opt has it: the compiler
//! is pinned, and yields the same bytes in every directory; wasm-opt is not. The host below says yes to everything and knows one request.

#![allow(clippy::expect_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;
use wasmtime::{
    Caller, Config, Engine, Extern, Func, Instance, Linker, Memory, Module, Store, Val,
};

/// The request, its headers by name.
#[derive(Default)]
struct Host {
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
    configuration: String,
    /// What was set or called, to see that the filter did its work.
    calls: Vec<String>,
}

const OK: i32 = 0;
const NOT_FOUND: i32 = 1;

/// Compiled once: that takes longer than all requests.
static MODULE: LazyLock<(Engine, Module)> = LazyLock::new(|| {
    let mut config = Config::new();
    config.consume_fuel(true);
    let engine = Engine::new(&config).expect("an engine");
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/wasm32-wasip1/filter/tse_route.wasm");
    let module = Module::from_file(&engine, &path).expect("the filter: run `make wasm`");
    (engine, module)
});

struct Filter {
    store: Store<Host>,
    instance: Instance,
}

impl Filter {
    fn call(&mut self, export: &str, arguments: &[i32]) -> i32 {
        let arguments: Vec<Val> = arguments.iter().copied().map(Val::I32).collect();
        let function = self.instance.get_func(&mut self.store, export).expect(export);
        let results = function.ty(&self.store).results().len();
        let mut results = vec![Val::I32(0); results];
        function.call(&mut self.store, &arguments, &mut results).expect(export);
        results.first().and_then(Val::i32).unwrap_or(0)
    }

    fn new(configuration: &str) -> Self {
        let (filter, is_accepted, _) = Self::load(configuration);
        assert!(is_accepted, "{configuration:.1000}");
        filter
    }

    /// The filter, whether it took the configuration, and the instructions that it needed for that.
    fn load(configuration: &str) -> (Self, bool, u64) {
        let (engine, module) = &*MODULE;
        let mut store = Store::new(engine, Host::default());
        store.data_mut().configuration = configuration.to_owned();
        store.set_fuel(u64::MAX).expect("fuel");
        let mut linker = Linker::new(engine);
        for import in module.imports() {
            let name = import.name().to_owned();
            let kind = import.ty().func().expect("a function").clone();
            let function = Func::new(&mut store, kind, move |mut caller, arguments, results| {
                let arguments: Vec<i32> = arguments
                    .iter()
                    .map(|v| v.i32().or(v.i64().map(|v| v as i32)).unwrap_or(0))
                    .collect();
                let status = answer(&mut caller, &name, &arguments);
                if let Some(result) = results.first_mut() {
                    *result = Val::I32(status);
                }
                Ok(())
            });
            linker.define(&store, import.module(), import.name(), function).expect("an import");
        }
        let instance = linker.instantiate(&mut store, module).expect("an instance");
        let mut filter = Self { store, instance };
        filter.call("_initialize", &[]);
        filter.call("proxy_on_context_create", &[1, 0]);
        let size = configuration.len() as i32;
        assert_eq!(filter.call("proxy_on_vm_start", &[1, 0]), 1);
        let before = filter.store.get_fuel().expect("fuel");
        let is_accepted = filter.call("proxy_on_configure", &[1, size]) == 1;
        let used = before - filter.store.get_fuel().expect("fuel");
        (filter, is_accepted, used)
    }

    /// The instructions of a request without a body, from its first step to its last.
    fn request(&mut self, id: i32, headers: &[(&str, &str)]) -> (u64, Vec<String>) {
        self.request_with_body(id, headers, b"")
    }

    /// The same with a body, unless it is empty.
    fn request_with_body(
        &mut self,
        id: i32,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> (u64, Vec<String>) {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        self.store.data_mut().headers = headers.iter().map(own).collect();
        self.store.data_mut().body = body.to_owned();
        self.store.data_mut().calls.clear();
        let before = self.store.get_fuel().expect("fuel");
        self.call("proxy_on_context_create", &[id, 1]);
        let is_over = i32::from(body.is_empty());
        self.call("proxy_on_request_headers", &[id, headers.len() as i32, is_over]);
        if !body.is_empty() {
            self.call("proxy_on_request_body", &[id, body.len() as i32, 1]);
        }
        self.call("proxy_on_response_headers", &[id, 1, 1]);
        self.call("proxy_on_done", &[id]);
        self.call("proxy_on_log", &[id]);
        self.call("proxy_on_delete", &[id]);
        let used = before - self.store.get_fuel().expect("fuel");
        (used, self.store.data().calls.clone())
    }
}

fn memory(caller: &mut Caller<'_, Host>) -> Memory {
    caller.get_export("memory").and_then(Extern::into_memory).expect("a memory")
}

fn text(caller: &mut Caller<'_, Host>, at: i32, size: i32) -> String {
    let (at, size) = (at as usize, size as usize);
    let memory = memory(caller);
    String::from_utf8_lossy(&memory.data(&*caller)[at..at + size]).into_owned()
}

/// Hands bytes over in memory that the filter allocates.
fn give(caller: &mut Caller<'_, Host>, bytes: &[u8], data: i32, size: i32) -> i32 {
    let allocate = caller.get_export("proxy_on_memory_allocate").and_then(Extern::into_func);
    let allocate = allocate.expect("an allocator").typed::<i32, i32>(&*caller).expect("its type");
    let place = allocate.call(&mut *caller, bytes.len() as i32).expect("memory");
    let memory = memory(caller);
    memory.write(&mut *caller, place as usize, bytes).expect("the bytes");
    memory.write(&mut *caller, data as usize, &place.to_le_bytes()).expect("the place");
    let length = (bytes.len() as i32).to_le_bytes();
    memory.write(&mut *caller, size as usize, &length).expect("the size");
    OK
}

fn answer(caller: &mut Caller<'_, Host>, name: &str, a: &[i32]) -> i32 {
    match name {
        "proxy_get_buffer_bytes" => {
            const HTTP_REQUEST_BODY: i32 = 0;
            let host = caller.data();
            let bytes = match a[0] {
                HTTP_REQUEST_BODY => host.body.clone(),
                _ => host.configuration.clone().into_bytes(),
            };
            give(caller, &bytes, a[3], a[4])
        }
        "proxy_get_header_map_value" => {
            let header = text(caller, a[1], a[2]);
            match caller.data().headers.get(&header).cloned() {
                Some(value) => give(caller, value.as_bytes(), a[3], a[4]),
                None => NOT_FOUND,
            }
        }
        "proxy_get_header_map_pairs" => {
            let bytes = serialised(&caller.data().headers);
            give(caller, &bytes, a[1], a[2])
        }
        "proxy_get_property" => {
            let property = text(caller, a[0], a[1]);
            if property != "source\0address" {
                return NOT_FOUND;
            }
            give(caller, b"192.0.2.7:4711", a[2], a[3])
        }
        "proxy_replace_header_map_value" => {
            let (header, value) = (text(caller, a[1], a[2]), text(caller, a[3], a[4]));
            caller.data_mut().calls.push(format!("{header}: {value}"));
            OK
        }
        _ => OK,
    }
}

/// Headers as the ABI lays them out: how many, their sizes, then each text with a zero byte behind it.
fn serialised(headers: &BTreeMap<String, String>) -> Vec<u8> {
    let word = |size: usize| (size as u32).to_le_bytes();
    let mut bytes = word(headers.len()).to_vec();
    for text in headers.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend(word(text.len()));
    }
    for text in headers.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend(text.bytes());
        bytes.push(0);
    }
    bytes
}

fn rules(count: usize, condition: impl Fn(usize) -> String) -> String {
    let rules: Vec<String> = (0..count)
        .map(|n| format!(r#"{{"condition":{},"upstream":[{{"name":"u{n}"}}]}}"#, condition(n)))
        .collect();
    format!(r#"{{"host":"envoy","rules":[{}]}}"#, rules.join(","))
}

/// The fixed set: a name, the configuration, the tenant of the request, the header that it is routed by.
fn cases() -> Vec<(String, String, String, Option<String>)> {
    let equal =
        |n| format!(r#"{{"header":{{"key":"x-tenant","operator":"eq","value":"tenant-{n}"}}}}"#);
    let pattern = |n| {
        format!(r#"{{"header":{{"key":"x-tenant","operator":"regex","value":"^tenant-{n}$"}}}}"#)
    };
    let block = |n| {
        let block = if n % 100 == 99 { "192.0.2.0/24".into() } else { format!("10.0.{n}.0/24") };
        format!(r#"{{"system":{{"key":"clientIP","operator":"in","value":"{block}"}}}}"#)
    };
    let by_header = |n| Some(format!("x-tse-route-upstream: u{n}"));
    let mut cases = vec![("no rules".to_owned(), rules(0, equal), "x".to_owned(), None)];
    for count in [1, 10, 100, 1_000] {
        let last = count - 1;
        let name = |kind: &str, which: &str| format!("{count} {kind}, {which}");
        let (tenant, routed) = (format!("tenant-{last}"), by_header(last));
        cases.push((name("eq", "last"), rules(count, equal), tenant.clone(), routed.clone()));
        cases.push((name("eq", "none"), rules(count, equal), "nobody".to_owned(), None));
        if count <= 100 {
            cases.push((name("regex", "last"), rules(count, pattern), tenant, routed));
            cases.push((name("regex", "none"), rules(count, pattern), "nobody".to_owned(), None));
        }
    }
    // In Kong, with a bridge: the decision goes out as the message that was prepared for it.
    for (name, count, tenant) in [
        ("kong: no rules", 0, "x"),
        ("kong: 1 eq, last", 1, "tenant-0"),
        ("kong: 1 eq, none", 1, "nobody"),
    ] {
        let rules = rules(count, equal).replace(
            r#"{"host":"envoy","#,
            r#"{"$bridge":{"protocol":3,"id":"17-9f3c"},"host":"kong","response_headers":false,"#,
        );
        let decision = r#"{"id":"17-9f3c","rule":"0","upstream":"u0"}"#;
        let decided = (tenant == "tenant-0").then(|| format!("x-tse-route-decision: {decision}"));
        cases.push((name.to_owned(), rules, tenant.to_owned(), decided));
    }
    // Those of `make bench`: four of five don't look at the header that the last one holds for.
    let mixed = |count: usize| {
        move |n: usize| match n % 5 {
            _ if n == count - 1 => equal(n),
            0 => equal(n),
            1 => format!(r#"{{"path":{{"operator":"prefix","value":"/tenants/{n}/"}}}}"#),
            2 => format!(r#"{{"query":{{"key":"tenant","operator":"eq","value":"tenant-{n}"}}}}"#),
            3 => format!(r#"{{"cookie":{{"key":"tenant","operator":"eq","value":"tenant-{n}"}}}}"#),
            _ => {
                let names: Vec<String> = (0..5).map(|part| format!("tenant-{n}-{part}")).collect();
                let names = names.join(",");
                format!(r#"{{"header":{{"key":"x-tenant","operator":"in","value":"{names}"}}}}"#)
            }
        }
    };
    for count in [100, 1_000] {
        let last = count - 1;
        let name = |which: &str| format!("{count} mixed, {which}");
        let rules = rules(count, mixed(count));
        cases.push((name("last"), rules.clone(), format!("tenant-{last}"), by_header(last)));
        cases.push((name("none"), rules, "nobody".to_owned(), None));
    }
    cases.push(("100 blocks, last".to_owned(), rules(100, block), "x".to_owned(), by_header(99)));
    cases
}

/// The head of a request as Envoy has it.
fn typical(tenant: &str) -> [(&str, &str); 10] {
    [
        (":authority", "shop.example:8080"),
        (":method", "GET"),
        (":path", "/shop/cart?page=2&sort=price"),
        (":scheme", "http"),
        ("cookie", "session=4711; theme=dark"),
        ("user-agent", "curl/8.5.0"),
        ("x-envoy-expected-rq-timeout-ms", "15000"),
        ("x-forwarded-proto", "http"),
        ("x-request-id", "5a2b6a6c-8d0f-4e7a-9f0e-0d4f7a2c1b3e"),
        ("x-tenant", tenant),
    ]
}

#[test]
fn a_request_costs_what_it_did() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuel.txt");
    let mut counted = BTreeMap::new();
    for (name, configuration, tenant, routed) in cases() {
        let mut filter = Filter::new(&configuration);
        let headers = typical(&tenant);
        // The first requests fill caches; then all cost the same.
        let counts: Vec<_> = (2..8).map(|id| filter.request(id, &headers)).collect();
        let (count, calls) = counts.last().expect("counts");
        assert_eq!(calls.first(), routed.as_ref(), "{name}");
        counted.insert(name, *count);
    }
    let kept = std::fs::read_to_string(&path).expect("tests/fuel.txt");
    let kept: BTreeMap<&str, u64> = kept
        .lines()
        .map(|line| line.rsplit_once(": ").expect("a name and a count"))
        .map(|(name, count)| (name, count.parse().expect("a count")))
        .collect();
    let is_due = |kept: u64, count: u64| count.abs_diff(kept) * 10 > kept;
    if std::env::var("FUEL").is_ok_and(|wish| wish == "write") {
        let line = |(name, count): (&String, &u64)| {
            let kept = kept.get(name.as_str()).filter(|kept| !is_due(**kept, *count));
            format!("{name}: {}\n", kept.unwrap_or(count))
        };
        let lines: String = counted.iter().map(line).collect();
        return std::fs::write(path, lines).expect("tests/fuel.txt");
    }
    assert!(kept.keys().copied().eq(counted.keys().map(String::as_str)), "FUEL=write is due");
    let changed: Vec<String> = counted
        .iter()
        .filter(|(name, count)| is_due(kept[name.as_str()], **count))
        .map(|(name, count)| format!("{name}: {count} instructions, were {}", kept[name.as_str()]))
        .collect();
    assert!(changed.is_empty(), "{}", changed.join("\n"));
}

/// Rules with one pattern each on the header `x-tenant`.
fn patterns(count: usize, pattern: impl Fn(usize) -> String) -> String {
    rules(count, |n| {
        let pattern = serde_json::Value::from(pattern(n));
        format!(r#"{{"header":{{"key":"x-tenant","operator":"regex","value":{pattern}}}}}"#)
    })
}

/// The largest header that Envoy takes by default, less what the others need.
const LONGEST_HEADER: usize = 56 << 10;

/// What the dearest request may cost: some 5 ms where WebAssembly runs two instructions a nanosecond.
const DEAREST_REQUEST: u64 = 14_000_000;

#[test]
fn no_request_is_dear() {
    let repeated = |text: &str| text.repeat(LONGEST_HEADER / text.len());
    let words: String = (0..1_000).map(|n| format!("word{n} word{n}x ")).collect();
    let prefixes: String = (0..1_000).map(|n| format!("{:020}", n * 7_919)).collect();
    let contains = rules(1_000, |n| {
        format!(
            r#"{{"header":{{"key":"x-tenant","operator":"contains","value":"{:020}"}}}}"#,
            n * 7_919
        )
    });
    let cases = [
        ("many live states", patterns(100, |n| format!(";.{{0,50}}beta{n}$")), repeated(";")),
        ("many words", patterns(1_000, |n| format!("word{n}.*word{n}\\d$")), repeated(&words)),
        ("one large pattern", patterns(1, |_| "[01]*1[01]{14559}$".to_owned()), repeated("01")),
        ("many states", patterns(1_000, |n| format!("{:020}$", n * 7_919)), repeated(&prefixes)),
        ("many texts", contains, repeated(&prefixes)),
        (
            "nested counts",
            patterns(50, |n| format!("(?:(?:a?){{20}}b?){{20}}c{n}")),
            repeated("ab"),
        ),
    ];
    let mut dear = Vec::new();
    for (name, configuration, value) in cases {
        let mut filter = Filter::new(&configuration);
        let headers = [(":method", "GET"), (":path", "/"), ("x-tenant", value.as_str())];
        // Cold and warm, and after another value has led to other states.
        for id in 2..5 {
            let (count, _) = filter.request(id, &headers);
            println!("{name}: {count}");
            if count > DEAREST_REQUEST {
                dear.push(format!("{name}: {count} instructions"));
            }
        }
    }
    assert!(dear.is_empty(), "{}", dear.join("\n"));
}

/// Rules that ask a body for parameters of all kinds, and a rule that takes what they leave.
fn body_rules() -> String {
    let keys = [
        "user.id",
        "user.name",
        "user.settings.theme",
        "items.0.id",
        "items.7",
        "a",
        "a.b.c.d",
        "0",
        "0.0.0",
        "total",
        "two words",
        "coupon",
    ];
    let rule = |weight: u8, condition: &str, upstream: &str| {
        format!(
            r#"{{"weight":{weight},"condition":{{{condition}}},"upstream":[{{"name":"{upstream}"}}]}}"#
        )
    };
    let asks = |key: &str| {
        rule(2, &format!(r#""body":{{"key":"{key}","operator":"eq","value":"me"}}"#), "asked")
    };
    let mut rules: Vec<String> = keys.map(asks).into();
    rules.push(rule(1, "", "rest"));
    format!(r#"{{"host":"envoy","rules":[{}]}}"#, rules.join(","))
}

/// As large as `body_max_bytes` allows by default.
const LARGEST_BODY: usize = 64 << 10;

/// The largest body that is pieces between two texts.
fn filled(before: &str, piece: impl Fn(usize) -> String, after: &str) -> String {
    let mut body = before.to_owned();
    for n in 0.. {
        let piece = piece(n);
        if body.len() + piece.len() + after.len() > LARGEST_BODY {
            return body + after;
        }
        body.push_str(&piece);
    }
    body
}

/// Bodies of JSON; the first is one as it comes.
fn json_bodies() -> Vec<(&'static str, String)> {
    let text = |text: &'static str| move |_: usize| text.to_owned();
    let nested = |open: &str, inner: &str, close: &str| {
        let times = (LARGEST_BODY - inner.len()) / (open.len() + close.len());
        open.repeat(times) + inner + &close.repeat(times)
    };
    let record = |n: usize| {
        format!(r#"{{"id":{n},"name":"product {n}","price":{n}.95,"tags":["new","sale"]}},"#)
    };
    vec![
        ("plain", filled(r#"{"items":["#, record, r#"{}],"user":{"id":7,"name":"us"}}"#)),
        ("lists in lists", nested("[", "", "]")),
        ("lists without end", "[".repeat(LARGEST_BODY)),
        ("objects in objects", nested(r#"{"":"#, "1", "}")),
        ("objects in an asked object", nested(r#"{"a":"#, "1", "}")),
        ("lists and objects", nested(r#"[{"":"#, "1", "}]")),
        ("empty lists", filled("[", text("[],"), "[]]")),
        ("empty objects", filled("[", text("{},"), "{}]")),
        ("lists where elements are asked for", filled(r#"{"items":["#, text("[],"), "[]]}")),
        ("numbers", filled("[", text("1,"), "1]")),
        ("numbers where elements are asked for", filled(r#"{"items":["#, text("1,"), "1]}")),
        ("numbers with all parts", filled("[", text("-1.5e+7,"), "1]")),
        ("one number", "1".repeat(LARGEST_BODY)),
        ("words", filled("[", text("null,"), "true]")),
        ("empty names", filled("{", text(r#""":1,"#), r#""":1}"#)),
        ("names", filled("{", |n| format!(r#""{n:x}":1,"#), r#""b":1}"#)),
        ("one asked name", filled("{", text(r#""a":1,"#), r#""a":1}"#)),
        ("asked names", filled("{", text(r#""a":{"b":{"c":{}}},"#), r#""a":1}"#)),
        ("names that are nearly asked for", filled("{", text(r#""coupoN":1,"#), r#""a":1}"#)),
        ("escaped names", filled("{", text(r#""\u0061":1,"#), r#""a":1}"#)),
        ("backslashes", filled(r#"{"b":""#, text(r"\\"), r#""}"#)),
        ("backslashes in what is asked for", filled(r#"{"a":""#, text(r"\\"), r#""}"#)),
        ("escapes in what is asked for", filled(r#"{"a":""#, text(r"\u00e9"), r#""}"#)),
        ("half pairs in what is asked for", filled(r#"{"a":""#, text(r"\ud800"), r#""}"#)),
        ("empty texts", filled("[", text(r#""","#), r#"""]"#)),
        ("one text", filled(r#"{"a":""#, text("x"), r#""}"#)),
        ("blanks", filled(r#"{"a":{"#, text(" "), "}}")),
        ("blanks between", filled("[", text("1 , "), "1]")),
        ("an asked list", filled(r#"{"a":["#, text("1,"), "1]}")),
    ]
}

/// Forms; the first is one as it comes.
fn forms() -> Vec<(&'static str, String)> {
    let text = |text: &'static str| move |_: usize| text.to_owned();
    let field = |n: usize| format!("field{n}=some+value%21&");
    vec![
        ("plain", filled("", field, "coupon=x")),
        ("ampersands", "&".repeat(LARGEST_BODY)),
        ("equals signs", "=".repeat(LARGEST_BODY)),
        ("empty fields", filled("", text("=&"), "")),
        ("short fields", filled("", text("b&"), "")),
        ("fields of one name", filled("", text("b=&"), "")),
        ("asked fields", filled("", text("a=&"), "")),
        ("names that are nearly asked for", filled("", text("coupoN=&"), "")),
        ("names that are longer", filled("", text("coupons&"), "")),
        ("escaped names", filled("", text("%61=&"), "")),
        ("escaped names that are nearly asked for", filled("", text("%63oupo%4e&"), "")),
        ("broken escapes", filled("", text("%&"), "")),
        ("broken escapes in one name", "%".repeat(LARGEST_BODY)),
        ("escapes in one name", filled("", text("%61"), "")),
        ("escapes in an asked value", filled("a=", text("%61"), "")),
        ("broken escapes in an asked value", filled("a=", text("%"), "")),
        ("blanks in names", filled("", text("two+wordz&"), "")),
        ("blanks", "+".repeat(LARGEST_BODY)),
        ("one value", filled("b=", text("x"), "")),
    ]
}

/// What the dearest body of this size may cost, searched for a dozen parameters: less than
/// [`DEAREST_REQUEST`], though several times a plain one, most of which is passed over.
const DEAREST_BODY: u64 = 12_500_000;

#[test]
fn no_body_is_dear() {
    let mut filter = Filter::new(&body_rules());
    let mut dear = Vec::new();
    for (content_type, bodies) in
        [("application/json", json_bodies()), ("application/x-www-form-urlencoded", forms())]
    {
        let headers = [(":method", "POST"), (":path", "/"), ("content-type", content_type)];
        let mut plain = None;
        for (name, body) in bodies {
            assert!((LARGEST_BODY - 128..=LARGEST_BODY).contains(&body.len()), "{name}");
            // Cold and warm.
            for id in 2..4 {
                let (count, calls) = filter.request_with_body(id, &headers, body.as_bytes());
                assert_eq!(calls.first().map(String::as_str), Some("x-tse-route-upstream: rest"));
                let ratio = count as f64 / *plain.get_or_insert(count) as f64;
                println!("{content_type}: {name}: {count}, {ratio:.1} times a plain one");
                if count > DEAREST_BODY {
                    dear.push(format!("{content_type}: {name}: {count} instructions"));
                }
            }
        }
    }
    assert!(dear.is_empty(), "{}", dear.join("\n"));
}

/// What reading a configuration of 10 MB may cost: 3 s where WebAssembly runs a little more than one
/// instruction a nanosecond.
const DEAREST_CONFIGURATION: u64 = 4_000_000_000;

/// What it may leave the filter's memory at.
const DEAREST_MEMORY: usize = 512 << 20;

#[test]
fn no_configuration_is_dear() {
    const LARGE: usize = 10 << 20;
    let many = |one: &str, count: usize| vec![one; count].join(",");
    let list: Vec<String> = (0..1_000).map(|n| format!("value-{n}")).collect();
    let list = list.join(",");
    let nested = |n: usize| {
        let items = (0..8).map(|at| {
            format!(r#"{{"key":"h{at}","operator":"in","global_config_id":"{}"}}"#, (n + at) % 8)
        });
        let items: Vec<String> = items.collect();
        format!(r#"{{"condition":{{"header":[{}]}},"upstream":[{{"name":"u"}}]}}"#, items.join(","))
    };
    let nested: Vec<String> = (0..4_000).map(nested).collect();
    let stored: Vec<String> =
        (0..8).map(|n| format!(r#"{{"id":{n},"value":"x{n},{list}"}}"#)).collect();
    let unknown: Vec<String> = (0..10_000)
        .map(|n| {
            format!(
                r#"{{"condition":{{"header":{{"key":"a","operator":"in","global_config_id":"nobody-{n}"}}}},"upstream":[{{}}]}}"#
            )
        })
        .collect();
    let ids: Vec<String> =
        (0..10_000).map(|n| format!(r#"{{"id":"somebody-{n}","value":""}}"#)).collect();
    let values: Vec<String> = (0..1_400_000).map(|n| format!("{n:x}")).collect();
    // A stored list of 5 MB that every rule refers to.
    let referring = |location: &str, item: &str| {
        let rule = format!(
            r#"{{"condition":{{"{location}":{{{item},"global_config_id":"l"}}}},"upstream":[{{}}]}}"#
        );
        let stored: Vec<String> = (0..700_000).map(|n| format!("V{n:x}")).collect();
        format!(
            r#"{{"rules":[{}],"global_configs":[{{"id":"l","value":"{}"}}]}}"#,
            many(&rule, 10_000),
            stored.join(",")
        )
    };
    let large_patterns = |n: usize| {
        format!(
            r#"{{"condition":{{"header":{{"key":"h{}","operator":"regex","value":"{n}(a|b|c){{200}}d"}}}},"upstream":[{{}}]}}"#,
            n % 100
        )
    };
    let large_patterns: Vec<String> = (0..10_000).map(large_patterns).collect();
    let cases = [
        ("empty rules", format!(r#"{{"rules":[{}]}}"#, many("{}", 100_000))),
        ("faults", format!(r#"{{"rules":[{}]}}"#, many(r#"{"weigth":1,"upstrem":[]}"#, 10_000))),
        (
            "unknown ids",
            format!(r#"{{"rules":[{}],"global_configs":[{}]}}"#, unknown.join(","), ids.join(",")),
        ),
        (
            "lists within lists",
            format!(
                r#"{{"rules":[{}],"global_configs":[{}]}}"#,
                nested.join(","),
                stored.join(",")
            ),
        ),
        ("values", format!("[{}]", many("1", LARGE / 2 - 8))),
        (
            "names",
            format!(
                "{{{}}}",
                (0..600_000).map(|n| format!(r#""{n:x}":1"#)).collect::<Vec<_>>().join(",")
            ),
        ),
        ("depth", "[".repeat(LARGE)),
        (
            "one list",
            format!(
                r#"{{"rules":[{{"condition":{{"header":{{"key":"a","operator":"in","value":"{}"}}}},"upstream":[{{}}]}}]}}"#,
                values.join(",")
            ),
        ),
        ("a shared list of hosts", referring("system", r#""key":"domain","operator":"in""#)),
        ("a shared value", referring("header", r#""key":"a","operator":"eq""#)),
        ("large patterns", format!(r#"{{"rules":[{}]}}"#, large_patterns.join(","))),
    ];
    let mut dear = Vec::new();
    for (name, configuration) in cases {
        assert!(configuration.len() <= LARGE, "{name}: {}", configuration.len());
        let (mut filter, _, count) = Filter::load(&configuration);
        let memory = filter.instance.get_memory(&mut filter.store, "memory").expect("a memory");
        let bytes = memory.data_size(&filter.store);
        println!("{name}: {count} instructions, {} MiB", bytes >> 20);
        if count > DEAREST_CONFIGURATION || bytes > DEAREST_MEMORY {
            dear.push(format!("{name}: {count} instructions, {bytes} bytes"));
        }
    }
    assert!(dear.is_empty(), "{}", dear.join("\n"));
}
