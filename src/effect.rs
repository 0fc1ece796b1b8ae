//! What a decision does to a gateway: the upstream, the headers, the message to Kong's bridge.
//!
//! Put together once per configuration, so that on a request nothing is formatted.

use crate::config::{Config, HeaderSwitch, RequestHeaders, ResponseHeaderNames, ResponseHeaders};
use crate::engine::{Choice, Rule, Table, Target};
use serde_json::{Map, Value};

/// The response header that says why a decision was not followed.
pub const ERROR_HEADER: &str = "X-Kong-Route-Error";

/// What the choice of one upstream of one rule writes.
#[derive(Clone, Debug)]
pub struct Effect {
    rule: Box<str>,
    upstream: Option<Box<str>>,
    response_headers: Box<[(Box<str>, Box<str>)]>,
    request_headers: RequestHeaders,
    depends_on_result: bool,
    message: Box<[u8]>,
}

impl Effect {
    /// The rule's weight, as text.
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// The chosen upstream; none for the service's own.
    pub fn upstream(&self) -> Option<&str> {
        self.upstream.as_deref()
    }

    /// The response headers that show the decision.
    pub fn response_headers(&self) -> &[(Box<str>, Box<str>)] {
        &self.response_headers
    }

    /// Changes to the request.
    pub fn request_headers(&self) -> &RequestHeaders {
        &self.request_headers
    }

    /// Whether the filter must know whether the gateway followed: a request that stays must neither
    /// be changed as if it had left, nor be counted by the circuit breaker of where it did not go.
    pub fn depends_on_result(&self) -> bool {
        self.depends_on_result
    }

    /// The decision as JSON, for Kong's bridge plugin.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    fn new(rule: &Rule, target: &Target, names: &Names, breaker: Option<&str>) -> Self {
        let weight = rule.weight().to_string();
        let upstream = target.name();
        let mut response_headers: Vec<(Box<str>, Box<str>)> = Vec::new();
        let mut show = |header: &Option<String>, value: Option<&str>| {
            if let (Some(header), Some(value)) = (header, value) {
                response_headers.push((header.as_str().into(), value.into()));
            }
        };
        let label = rule.name().map(printable);
        show(&names.rule, Some(&weight));
        show(&names.upstream, upstream);
        show(&names.name, label.as_deref());
        let fields = [
            ("rule", Some(weight.as_str())),
            ("name", label.as_deref()),
            ("upstream", upstream),
            ("breaker", breaker),
        ];
        let message = message(&fields, names);
        Self {
            rule: weight.into(),
            upstream: upstream.map(Box::from),
            response_headers: response_headers.into(),
            request_headers: target.request_headers().clone(),
            depends_on_result: breaker.is_some()
                || *target.request_headers() != RequestHeaders::default(),
            message,
        }
    }
}

/// The effects of a configuration, by rule and upstream.
#[derive(Clone, Debug)]
pub struct Effects {
    by_rule: Box<[Box<[Effect]>]>,
    error_header: Option<&'static str>,
}

impl Effects {
    /// Puts together what every possible decision of a configuration writes; `id` tells the
    /// configuration apart from others of the same worker.
    pub fn new(config: &Config, table: &Table, id: u32) -> Self {
        let names = Names::of(&config.response_headers);
        let effects_of = |(position, rule): (usize, &Rule)| {
            let effects = rule.targets().iter().enumerate().map(|(target, upstream)| {
                let breaker = table
                    .breaker(Choice { rule: position, target })
                    .map(|(number, _)| format!("{id}.{number}"));
                Effect::new(rule, upstream, &names, breaker.as_deref())
            });
            effects.collect()
        };
        Self {
            by_rule: table.rules().iter().enumerate().map(effects_of).collect(),
            error_header: names.error,
        }
    }

    /// The effect of a choice.
    pub fn of(&self, choice: Choice) -> Option<&Effect> {
        self.by_rule.get(choice.rule)?.get(choice.target)
    }

    /// The response header for errors, unless response headers are switched off.
    pub fn error_header(&self) -> Option<&'static str> {
        self.error_header
    }
}

/// The names of the response headers; none for those that are not wanted.
struct Names {
    rule: Option<String>,
    upstream: Option<String>,
    name: Option<String>,
    error: Option<&'static str>,
}

impl Names {
    fn of(configured: &ResponseHeaders) -> Self {
        let usual = ResponseHeaderNames::default();
        let names = match configured {
            ResponseHeaders::Off => {
                return Self { rule: None, upstream: None, name: None, error: None };
            }
            ResponseHeaders::Usual => &usual,
            ResponseHeaders::Named(names) => names,
        };
        let resolve = |switch: &HeaderSwitch, usual: &str| match switch {
            HeaderSwitch::Usual => Some(usual.to_owned()),
            HeaderSwitch::Off => None,
            HeaderSwitch::Named(name) => Some(name.clone()),
        };
        Self {
            rule: resolve(&names.rule, "X-Kong-Route-Rule"),
            upstream: resolve(&names.upstream, "X-Kong-Route-Upstream"),
            name: resolve(&names.name, "X-Kong-Route-Name"),
            error: Some(ERROR_HEADER),
        }
    }
}

/// A label without what may not stand in a header.
fn printable(label: &str) -> String {
    label.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn message(fields: &[(&str, Option<&str>)], names: &Names) -> Box<[u8]> {
    let object = |fields: &[(&str, Option<&str>)]| -> Value {
        let mut object = Map::new();
        for (name, value) in fields {
            if let Some(value) = value {
                object.insert((*name).to_owned(), Value::from(*value));
            }
        }
        Value::Object(object)
    };
    let headers = object(&[
        ("rule", names.rule.as_deref()),
        ("upstream", names.upstream.as_deref()),
        ("name", names.name.as_deref()),
        ("error", names.error),
    ]);
    let mut message = object(fields);
    if let Some(fields) = message.as_object_mut() {
        fields.insert("headers".to_owned(), headers);
    }
    message.to_string().into_bytes().into()
}
