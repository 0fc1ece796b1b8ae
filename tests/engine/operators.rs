//! Every operator on every location: at least once true, once false, and on an absent parameter.

#[cfg(target_arch = "wasm32")]
use super::support::test;
use super::support::*;
use serde_json::{Value, json};

/// A request that has `value` as the parameter `p` of the location, or does not have it.
fn request(location: &str, value: Option<&str>) -> MemoryRequest {
    let plain = MemoryRequest::get("/");
    let Some(value) = value else {
        return match location {
            "path" => MemoryRequest { target: None, ..plain },
            "method" => MemoryRequest { method: None, ..plain },
            _ => plain,
        };
    };
    match location {
        "header" => plain.header("P", value),
        "cookie" => plain.header("Cookie", format!("a=b; p={value}; p=second")),
        "query" => {
            let escaped: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
            MemoryRequest::get(format!("/?a=b&p={escaped}&p=second"))
        }
        "body" => plain.body(json!({ "p": value }).to_string()),
        "path" => MemoryRequest::get(value),
        "method" => MemoryRequest { method: Some(value.into()), ..plain },
        other => panic!("{other}"),
    }
}

fn condition(location: &str, operator: &str, value: Option<&str>) -> Value {
    let mut item = json!({ "operator": operator });
    if location != "path" && location != "method" {
        item["key"] = json!("p");
    }
    if let Some(value) = value {
        item["value"] = json!(value);
    }
    json!({ location: item })
}

/// Operator with its aliases, configured value, a value that it holds on and one that it does not,
/// and whether it holds on an absent parameter.
type Case = (&'static [&'static str], Option<&'static str>, &'static str, &'static str, bool);

const CASES: &[Case] = &[
    (&["eq", "exact", "=="], Some("ABC"), "ABC", "ABCD", false),
    (&["ne", "!="], Some("ABC"), "AB", "ABC", true),
    (&["gt", ">"], Some("1.5"), "1.50001", "1.5", false),
    (&["ge", ">="], Some("1.5"), "1.5", "1.49", false),
    (&["lt", "<"], Some("30"), "9", "30", false),
    (&["le", "<="], Some("30"), "30.0", "31", false),
    (&["regex"], Some("^[A-C]+$"), "ABCA", "ABCD", false),
    (&["not regex"], Some("^[A-C]+$"), "XABC", "ABC", true),
    (&["in"], Some("A, B,C"), "B", "A,B", false),
    (&["not in", "notin", "not_in"], Some("A,B,C"), "D", "C", true),
    (&["prefix"], Some("AB"), "ABC", "CAB", false),
    (&["suffix"], Some("BC"), "ABC", "BCA", false),
    (&["contains"], Some("B"), "ABC", "ACC", false),
    (&["not contains"], Some("B"), "ACC", "ABC", true),
    (&["path_prefix"], Some("/V2"), "/V2/X", "/V2X", false),
];

const LOCATIONS: &[&str] = &["header", "cookie", "query", "body", "path", "method"];

#[test]
fn every_operator_in_every_location() {
    for (operators, value, yes, no, absent) in CASES {
        for location in LOCATIONS {
            for operator in *operators {
                let condition = condition(location, operator, *value);
                let asked = |found: Option<&str>| holds(&condition, &request(location, found));
                assert!(asked(Some(yes)), "{location} {operator} {value:?} on {yes:?}");
                assert!(!asked(Some(no)), "{location} {operator} {value:?} on {no:?}");
                assert_eq!(asked(None), *absent, "{location} {operator} on nothing");
            }
        }
    }
}

#[test]
fn presence_in_every_location() {
    for location in LOCATIONS {
        for (operator, present) in [("exists", true), ("not exists", false)] {
            let condition = condition(location, operator, None);
            let asked = |found: Option<&str>| holds(&condition, &request(location, found));
            assert_eq!(asked(Some("X")), present, "{location} {operator}");
            assert_eq!(asked(None), !present, "{location} {operator} on nothing");
        }
    }
    for location in ["header", "cookie", "query", "body"] {
        let condition = condition(location, "exists", None);
        assert!(holds(&condition, &request(location, Some(""))), "{location}: even when empty");
    }
}

fn system(key: &str, operator: &str, value: &str, request: &MemoryRequest) -> bool {
    holds(&json!({ "system": [{ "key": key, "operator": operator, "value": value }] }), request)
}

#[test]
fn system_domain() {
    let request = |host: &str| MemoryRequest { host: Some(host.into()), ..MemoryRequest::get("/") };
    for (operator, value, host, expected) in [
        ("eq", "example.com", "EXAMPLE.com:8080", true),
        ("eq", "Example.COM", "example.com", true),
        ("eq", "example.com", "www.example.com", false),
        ("in", "a.org, Example.com", "example.com:1", true),
        ("suffix", ".example.com", "www.example.com", true),
        ("regex", "^(www|api)[.]", "api.example.com", true),
        ("ne", "example.com", "example.com", false),
        ("eq", "[::1]", "[::1]:80", true),
    ] {
        assert_eq!(
            system("domain", operator, value, &request(host)),
            expected,
            "{operator} {value} {host}"
        );
    }
    assert!(system("domain", "ne", "x", &MemoryRequest::get("/")));
    assert!(!system("domain", "exists", "", &MemoryRequest::get("/")));
}

#[test]
fn system_client_ip() {
    for (operator, value, client, expected) in [
        ("eq", "10.0.0.1", "10.0.0.1", true),
        ("eq", "10.0.0.0/8", "10.200.0.1", true),
        ("ne", "10.0.0.0/8", "10.200.0.1", false),
        ("in", "192.168.0.0/16, 2001:db8::/32", "2001:0DB8::0001", true),
        ("in", "192.168.0.0/16, 2001:db8::/32", "10.0.0.1", false),
        ("not in", "192.168.0.0/16", "10.0.0.1", true),
        ("eq", "::1", "0:0:0:0:0:0:0:1", true),
        ("eq", "10.0.0.1", "junk", false),
        ("ne", "10.0.0.1", "junk", true),
        ("prefix", "10.", "10.0.0.1", true),
    ] {
        for key in ["clientIP", "clientip", "CLIENTIP"] {
            let request = MemoryRequest { client: Some(client.into()), ..MemoryRequest::get("/") };
            assert_eq!(
                system(key, operator, value, &request),
                expected,
                "{operator} {value} {client}"
            );
        }
    }
    assert!(system("clientIP", "not in", "10.0.0.0/8", &MemoryRequest::get("/")));
}

#[test]
fn system_scheme_and_agent() {
    let request = MemoryRequest { scheme: Some(b"HTTPS".to_vec()), ..MemoryRequest::get("/") }
        .header("User-Agent", "curl/8.5.0");
    assert!(system("httpScheme", "eq", "https", &request));
    assert!(system("HTTPSCHEME", "eq", "Https", &request));
    assert!(!system("httpScheme", "eq", "http", &request));
    assert!(system("clientUa", "prefix", "curl/", &request));
    assert!(!system("clientUa", "contains", "Firefox", &request));
}

#[test]
fn methods_are_compared_in_upper_case() {
    let request =
        |method: &str| MemoryRequest { method: Some(method.into()), ..MemoryRequest::get("/") };
    assert!(holds(&json!({ "method": "post" }), &request("POST")));
    assert!(holds(&json!({ "method": ["GET", "Post"] }), &request("post")));
    assert!(!holds(&json!({ "method": ["GET", "POST"] }), &request("PUT")));
}

#[test]
fn short_forms_of_path_and_method() {
    let get = MemoryRequest::get("/a?x=1");
    for (condition, expected) in [
        (json!({ "path": "/a" }), true),
        (json!({ "path": "/b" }), false),
        (json!({ "path": ["/b", "/a"] }), true),
        (json!({ "path": ["/b", "/a,/c"] }), false), // a bare string is not split
        (json!({ "path": { "operator": "prefix", "value": "/" } }), true),
        (
            json!({ "path": [{ "operator": "prefix", "value": "/" }, { "operator": "ne", "value": "/a" }] }),
            false,
        ),
        (json!({ "method": "GET" }), true),
        (json!({ "method": [] }), true),
    ] {
        assert_eq!(holds(&condition, &get), expected, "{condition}");
    }
}

#[test]
fn numbers_and_booleans_are_taken_as_their_text() {
    for (value, text) in [(json!(1), "1"), (json!(true), "true"), (json!(-0.5), "-0.5")] {
        let condition = json!({ "header": { "key": "p", "operator": "eq", "value": value } });
        assert!(holds(&condition, &MemoryRequest::get("/").header("p", text)), "{value}");
    }
    // A number keeps its own text: this is not 1.1.
    let config = br#"{"rules":[{"condition":{"header":{"key":"p","operator":"eq","value":1.10}},"upstream":[{"name":"c"}]}]}"#;
    let loaded = tse_route::load(config).expect("a sound configuration");
    assert!(upstream(&loaded, &MemoryRequest::get("/").header("p", "1.10")).is_some());
}
