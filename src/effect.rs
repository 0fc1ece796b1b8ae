//! What a decision does to a gateway: the upstream, the headers, the message to Kong's bridge.
//!
//! Put together once per configuration, so that on a request nothing is formatted.

use crate::config::{
    Config, Header, HeaderSwitch, Placeholders, RequestHeaders, ResponseHeaderNames,
    ResponseHeaders, RouteBy, printable,
};
use crate::engine::{BaggageChange, Choice, Rule, Table, Target};
use serde_json::{Value, json};

/// The response header that says why a decision was not followed.
pub const ERROR_HEADER: &str = "X-Kong-Route-Error";

/// What the choice of one upstream of one rule writes.
#[derive(Clone, Debug)]
pub struct Effect {
    rule: Box<str>,
    upstream: Option<Box<str>>,
    response_headers: Box<[(Box<str>, Box<str>)]>,
    request_headers: RequestHeaders,
    baggage: Option<BaggageChange>,
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

    /// Changes to the request, with the labels of the decision in them; those of the baggage stand
    /// apart.
    pub fn request_headers(&self) -> &RequestHeaders {
        &self.request_headers
    }

    /// Changes to the baggage of the request, after all others.
    pub fn baggage(&self) -> Option<&BaggageChange> {
        self.baggage.as_ref()
    }

    /// The decision as Kong's bridge reads it: one line of printable ASCII; empty where there is
    /// no bridge.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    fn new(rule: &Rule, target: &Target, names: &Names) -> Self {
        let weight = rule.weight().to_string();
        let upstream = target.name();
        let mut response_headers: Vec<(Box<str>, Box<str>)> = Vec::new();
        let mut show = |header: &Option<String>, value: Option<&str>| {
            if let (Some(header), Some(value)) = (header, value) {
                response_headers.push((header.as_str().into(), value.into()));
            }
        };
        show(&names.rule, Some(&weight));
        show(&names.upstream, upstream);
        show(&names.name, rule.name().map(printable).as_deref());
        let labels = Placeholders::new(rule.name(), rule.weight().into(), upstream);
        let mut request_headers = target.request_headers().clone();
        for header in request_headers.set.iter_mut().chain(&mut request_headers.add) {
            header.value.0 = labels.fill(&header.value.0);
        }
        let baggage = request_headers.baggage.take();
        Self {
            rule: weight.into(),
            upstream: upstream.map(Box::from),
            response_headers: response_headers.into(),
            request_headers,
            baggage: baggage.and_then(|changes| BaggageChange::new(&changes, &labels)),
            message: Box::default(),
        }
    }
}

/// What Kong's bridge is told of the decisions of one configuration.
struct Messages<'c> {
    config: &'c Config,
    names: &'c Names,
    id: &'c Value,
    /// The same as text.
    label: &'c str,
}

impl Messages<'_> {
    fn message(&self, rule: &Rule, effect: &Effect, breaker: Option<usize>) -> Box<[u8]> {
        let Names { rule: in_rule, upstream: in_upstream, name: in_name, error } = self.names;
        let by_header = match (self.config.route_by, effect.upstream()) {
            (RouteBy::Header, Some(upstream)) => {
                json!({ "header": self.config.upstream_header.as_str(), "value": upstream })
            }
            _ => Value::Null,
        };
        let mut message = json!({
            "id": self.id,
            "rule": effect.rule(),
            "name": rule.name().map(printable),
            "upstream": effect.upstream(),
            "breaker": breaker.map(|number| format!("{}.{number}", self.label)),
            "headers": { "rule": in_rule, "upstream": in_upstream, "name": in_name, "error": error },
            "request_headers": changes(effect),
            "route_by": by_header,
            "share": (!self.config.access_log).then_some(false),
        });
        prune(&mut message);
        ascii_json(&message)
    }
}

fn changes(effect: &Effect) -> Value {
    let changes = effect.request_headers();
    let pairs = |headers: &[Header]| -> Vec<Value> {
        headers.iter().map(|header| json!([header.name.as_str(), header.value.0])).collect()
    };
    let removed: Vec<&str> = changes.remove.iter().map(|name| name.as_str()).collect();
    let baggage = effect.baggage();
    let baggage = baggage.map(|change| json!({ "set": change.set(), "keys": change.keys() }));
    json!({
        "set": pairs(&changes.set),
        "add": pairs(&changes.add),
        "remove": removed,
        "baggage": baggage,
    })
}

/// Takes out fields that say nothing: `null`, and what is empty without those.
fn prune(value: &mut Value) {
    let Value::Object(fields) = value else { return };
    fields.values_mut().for_each(prune);
    fields.retain(|_, value| match value {
        Value::Null => false,
        Value::Array(elements) => !elements.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    });
}

/// JSON as it may stand in a header: on one line, with everything but printable ASCII escaped.
pub fn ascii_json(value: &Value) -> Box<[u8]> {
    let mut escaped = String::new();
    for c in value.to_string().chars() {
        if matches!(c, ' '..='~') {
            escaped.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    escaped.into_bytes().into()
}

/// The effects of a configuration, by rule and upstream.
#[derive(Clone, Debug)]
pub struct Effects {
    by_rule: Box<[Box<[Effect]>]>,
    error_header: Option<&'static str>,
}

impl Effects {
    /// Puts together what every possible decision of a configuration writes; `bridge` is what
    /// Kong's bridge calls the configuration, as JSON and as text.
    pub fn new(config: &Config, table: &Table, bridge: Option<(&Value, &str)>) -> Self {
        let names = Names::of(&config.response_headers);
        let messages = bridge.map(|(id, label)| Messages { config, names: &names, id, label });
        let effects_of = |(position, rule): (usize, &Rule)| {
            let effects = rule.targets().iter().enumerate().map(|(target, upstream)| {
                let mut effect = Effect::new(rule, upstream, &names);
                if let Some(messages) = &messages {
                    let breaker = table.breaker(Choice { rule: position, target });
                    effect.message =
                        messages.message(rule, &effect, breaker.map(|(number, _)| number));
                }
                effect
            });
            effects.collect()
        };
        let by_rule = table.rules().iter().enumerate().map(effects_of).collect();
        Self { by_rule, error_header: names.error }
    }

    /// The effect of a choice.
    pub fn of(&self, choice: Choice) -> Option<&Effect> {
        self.by_rule.get(choice.rule)?.get(choice.target)
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Effect> {
        self.by_rule.iter().flatten()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What the bridge is told of the only rule's first upstream.
    fn message(config: Value) -> Value {
        let loaded =
            crate::load(config.to_string().as_bytes()).map_err(|report| report.to_string());
        let loaded = loaded.expect("a configuration");
        let id = json!("17-9f3c");
        let effects = Effects::new(&loaded.config, &loaded.table, Some((&id, "17-9f3c")));
        let effect = effects.of(Choice { rule: 0, target: 0 }).expect("an effect");
        assert!(effect.message().iter().all(|byte| matches!(byte, b' '..=b'~')));
        serde_json::from_slice(effect.message()).expect("JSON")
    }

    #[test]
    fn a_message_has_only_what_says_something() {
        let told = message(json!({ "rules": [{ "weight": 5, "upstream": [{}] }] }));
        let headers = json!({
            "rule": "X-Kong-Route-Rule",
            "upstream": "X-Kong-Route-Upstream",
            "error": "X-Kong-Route-Error",
        });
        assert_eq!(told, json!({ "id": "17-9f3c", "rule": "5", "headers": headers }));

        let silent = json!({
            "response_headers": false,
            "access_log": false,
            "rules": [{ "upstream": [{ "name": "canary" }] }],
        });
        let expected =
            json!({ "id": "17-9f3c", "rule": "0", "upstream": "canary", "share": false });
        assert_eq!(message(silent), expected);
    }

    #[test]
    fn a_message_has_all_that_a_decision_does() {
        let told = message(json!({
            "response_headers": { "rule": false, "upstream": false, "name": "X-Name" },
            "route_by": "header",
            "upstream_header": "X-Target-Version",
            "rules": [{
                "name": "Ü\n\u{1f680}\u{7f}",
                "circuit_breaker": { "max_error_rate": 0.5 },
                "upstream": [{ "name": "green", "request_headers": {
                    "set": [{ "name": "X-Lane", "value": "a\"b\\é" }],
                    "remove": ["X-Secret"],
                    "baggage": { "set": [{ "key": "lane", "value": "{upstream}, {rule}" }], "remove": ["old"] },
                } }],
            }],
        }));
        let expected = json!({
            "id": "17-9f3c", "rule": "0", "name": "Ü \u{1f680} ", "upstream": "green",
            "breaker": "17-9f3c.0",
            "headers": { "name": "X-Name", "error": "X-Kong-Route-Error" },
            "route_by": { "header": "x-target-version", "value": "green" },
            "request_headers": {
                "set": [["x-lane", "a\"b\\é"]],
                "remove": ["x-secret"],
                "baggage": {
                    "set": ["lane=green%2C%20%C3%9C%20%F0%9F%9A%80"],
                    "keys": ["lane", "old"],
                },
            },
        });
        assert_eq!(told, expected);
    }
}
