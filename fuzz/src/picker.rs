//! Rules and requests made of bytes: each byte picks one of some.

use super::sample::Sample;
use serde_json::{Value, json};

/// What is left of the input.
pub(crate) struct Picker<'d> {
    data: &'d [u8],
}

const WORDS: [&str; 16] = [
    "",
    "a",
    "b",
    "ab",
    "abc",
    "a.b",
    "1",
    "1.5",
    "v2",
    "1.2.3",
    "10.0.0.0/8",
    "::1",
    "/a/b",
    "GET",
    "x=1",
    "é",
];
const PATTERNS: [&str; 12] = [
    "^a",
    "b$",
    "a.c",
    "",
    r"^\d",
    "(?i)AB",
    "b|c",
    r"\bb\b",
    "a.{0,40}c",
    "[ab]*a[ab]{12}$",
    "^/a/",
    "(a*)*b",
];
const OPERATORS: [&str; 17] = [
    "eq",
    "ne",
    "gt",
    "ge",
    "lt",
    "le",
    "exists",
    "not exists",
    "regex",
    "not regex",
    "in",
    "not in",
    "prefix",
    "suffix",
    "contains",
    "not contains",
    "path_prefix",
];

impl<'d> Picker<'d> {
    pub(crate) fn new(data: &'d [u8]) -> Self {
        Self { data }
    }

    fn byte(&mut self) -> usize {
        let (byte, rest) = self.data.split_first().unwrap_or((&0, &[]));
        self.data = rest;
        usize::from(*byte)
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        let at = self.byte();
        from[at % from.len()]
    }

    /// Some of the input itself.
    fn raw(&mut self) -> Vec<u8> {
        let length = (self.byte() % 24).min(self.data.len());
        let (raw, rest) = self.data.split_at(length);
        self.data = rest;
        raw.to_vec()
    }

    fn value(&mut self, operator: &str) -> Value {
        match self.byte() % 4 {
            0 => String::from_utf8_lossy(&self.raw()).into(),
            1 if matches!(operator, "in" | "not in") => {
                let many: Vec<&str> = (0..self.byte() % 12).map(|_| self.pick(&WORDS)).collect();
                many.join(",").into()
            }
            _ if operator.ends_with("regex") => self.pick(&PATTERNS).into(),
            _ => self.pick(&WORDS).into(),
        }
    }

    fn rule(&mut self) -> Value {
        let mut condition = json!({});
        for _ in 0..self.byte() % 4 {
            let operator = self.pick(&OPERATORS);
            let (location, key) = match self.byte() % 9 {
                0 => ("query", self.pick(&["a", "b"])),
                1 => ("cookie", self.pick(&["a", "b"])),
                2 => ("body", self.pick(&["", "a", "a.b", "0"])),
                3 => ("path", ""),
                4 => ("method", ""),
                5 => ("system", self.pick(&["domain", "clientIP", "clientUa"])),
                6 => ("baggage", self.pick(&["a", "b"])),
                _ => ("header", "x"),
            };
            let item = json!({ "key": key, "operator": operator, "value": self.value(operator) });
            if condition[location].is_null() {
                condition[location] = json!([]);
            }
            condition[location].as_array_mut().expect("a list").push(item);
        }
        json!({
            "weight": self.byte() % 5,
            "match_type": self.pick(&["AND", "AND", "OR"]),
            "condition": condition,
            "upstream": [{ "name": "a" }],
        })
    }

    pub(crate) fn configuration(&mut self) -> Value {
        let rules: Vec<Value> = (0..self.byte() % 24).map(|_| self.rule()).collect();
        json!({ "rules": rules })
    }

    pub(crate) fn sample(&mut self) -> Sample {
        let mut maybe = |more: &[&str]| match self.byte() % 4 {
            0 => None,
            1 => Some(self.raw()),
            2 => Some(self.pick(&WORDS).into()),
            _ => Some(self.pick(more).into()),
        };
        Sample {
            header: maybe(&["abc", "aXXXXc", "abababababababab", "a b c"]),
            cookies: maybe(&["a=1; b=ab", "a=\"abc\"", ";;b=1.5"]),
            baggage: maybe(&["a=1;p, b=ab", "a=%61bc", ",,b=1.5,b=a"]),
            target: maybe(&["/a/b?a=1.5&b=ab", "/a?a", "/ab?b=%61bc"]),
            method: maybe(&["GET", "POST", "get"]),
            host: maybe(&["a:80", "[::1]:80", "AB"]),
            address: maybe(&["10.1.2.3", "::1", "junk"]),
            body: maybe(&[r#"{"a":{"b":1.5}}"#, r#"["abc"]"#, "{"]),
            is_pending: self.byte() % 8 == 7,
        }
    }
}
