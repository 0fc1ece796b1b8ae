//! How long a decision takes: many rules beside few, long lists beside short ones.
//!
//! `cargo bench --bench engine`; names are `kind/rules/which rule holds`.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::hint::black_box;
use tse_route::engine::{Body, Bytes, Request, Table};

const SIZES: [usize; 5] = [1, 10, 100, 1_000, 10_000];

/// A request with a tenant and an address; all else is the same for all.
struct Sample {
    tenant: String,
    address: String,
}

impl Request for Sample {
    fn header(&self, name: &str) -> Option<Bytes<'_>> {
        match name {
            "x-tenant" => Some(Cow::Borrowed(self.tenant.as_bytes())),
            _ => None,
        }
    }

    fn cookies(&self) -> Option<Bytes<'_>> {
        Some(Cow::Borrowed(b"session=4711; theme=dark"))
    }

    fn baggage(&self) -> Option<Bytes<'_>> {
        Some(Cow::Borrowed(b"tenant=4711;ttl=1,lane=base"))
    }

    fn target(&self) -> Option<Bytes<'_>> {
        Some(Cow::Borrowed(b"/shop/cart?page=2&sort=price"))
    }

    fn method(&self) -> Option<Bytes<'_>> {
        Some(Cow::Borrowed(b"GET"))
    }

    fn host(&self) -> Option<Bytes<'_>> {
        Some(Cow::Borrowed(b"shop.example.com"))
    }

    fn scheme(&self) -> Option<Bytes<'_>> {
        Some(Cow::Borrowed(b"https"))
    }

    fn client_address(&self) -> Option<Bytes<'_>> {
        Some(Cow::Borrowed(self.address.as_bytes()))
    }

    fn body(&self) -> Body<'_> {
        Body::None
    }
}

/// What rule `n` asks for.
fn condition(kind: &str, n: usize) -> Value {
    match kind {
        "header" => {
            json!({ "header": { "key": "x-tenant", "operator": "eq", "value": tenant(n) } })
        }
        "regex" => {
            let pattern = format!("^{}(-[a-z]+)?$", tenant(n));
            json!({ "header": { "key": "x-tenant", "operator": "regex", "value": pattern } })
        }
        "cidr" => {
            let block = format!("10.{}.{}.0/24", n / 256, n % 256);
            json!({ "system": { "key": "clientIP", "operator": "in", "value": block } })
        }
        _ => match n % 4 {
            0 => condition("header", n),
            1 => json!({ "path": { "operator": "path_prefix", "value": format!("/tenants/{n}") } }),
            2 => json!({ "cookie": { "key": "tenant", "operator": "eq", "value": tenant(n) } }),
            _ => json!({ "query": { "key": "uid", "operator": "gt", "value": n },
                         "header": { "key": "x-tenant", "operator": "eq", "value": tenant(n) } }),
        },
    }
}

fn tenant(n: usize) -> String {
    format!("tenant-{n}")
}

/// Only rule `n` holds for it, unless the kind is `mixed` and rule `n` asks for something else.
fn sample(n: usize) -> Sample {
    Sample { tenant: tenant(n), address: format!("10.{}.{}.7", n / 256 % 256, n % 256) }
}

fn table(config: &Value) -> Table {
    let loaded = tse_route::load(config.to_string().as_bytes());
    loaded.map(|loaded| loaded.table).unwrap_or_default()
}

fn decide(table: &Table, sample: &Sample) -> bool {
    let verdict = table.decide(black_box(sample), &mut || 7);
    verdict.outcome != tse_route::engine::Outcome::Unmatched
}

fn rules(criterion: &mut Criterion) {
    for kind in ["header", "regex", "cidr", "mixed"] {
        let mut group = criterion.benchmark_group(kind);
        for size in SIZES {
            let rules: Vec<Value> = (0..size)
                .map(|n| json!({ "condition": condition(kind, n), "upstream": [{ "name": "u" }] }))
                .collect();
            let table = table(&json!({ "rules": rules }));
            // The last rule that compares a header: in `mixed` every fourth does.
            let last = if kind == "mixed" { (size - 1) / 4 * 4 } else { size - 1 };
            for (which, n) in [("first", 0), ("last", last), ("none", 50_000)] {
                let sample = sample(n);
                assert_eq!(decide(&table, &sample), n < size, "{kind} {size} {which}");
                group.bench_with_input(
                    BenchmarkId::new(size.to_string(), which),
                    &sample,
                    |b, sample| {
                        b.iter(|| decide(&table, sample));
                    },
                );
            }
        }
        group.finish();
    }
}

fn lists(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("in-list");
    for size in [10, 1_000, 100_000] {
        let value: Vec<String> = (0..size).map(tenant).collect();
        let stored = json!([{ "id": "tenants", "value": value.join("\n"), "delimiter": "\n" }]);
        let item = json!({ "key": "x-tenant", "operator": "in", "global_config_id": "tenants" });
        let rule = json!({ "condition": { "header": item }, "upstream": [{ "name": "u" }] });
        let table = table(&json!({ "rules": [rule], "global_configs": stored }));
        for (which, n) in [("last", size - 1), ("none", 200_000)] {
            let sample = sample(n);
            assert_eq!(decide(&table, &sample), n < size, "{size} {which}");
            group.bench_with_input(
                BenchmarkId::new(size.to_string(), which),
                &sample,
                |b, sample| {
                    b.iter(|| decide(&table, sample));
                },
            );
        }
    }
    group.finish();
}

criterion_group!(benches, rules, lists);
criterion_main!(benches);
