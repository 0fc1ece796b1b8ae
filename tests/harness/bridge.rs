//! Kong's bridge plugin, as far as the filter, the client and the upstream can tell.

use super::exchange::Exchange;
use super::headers::Headers;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The request header that brings a decision.
const DECISION: &str = "x-tse-route-decision";
/// The request header that tells of requests that failed without the filter being called.
const FAILURES: &str = "x-tse-route-failures";
/// The response header that tells the filter that a decision was not followed.
const UNFOLLOWED: &str = "x-tse-route-unfollowed";

/// The bridge of a worker.
#[derive(Clone, Debug)]
pub struct Bridge {
    /// What it says of itself in every configuration, besides the id.
    greeting: Value,
    /// The configurations, in the order of the routes that they belong to.
    known: Vec<Known>,
    /// Requests that failed without the filter being called, by route and circuit breaker.
    outages: BTreeMap<(usize, String), u32>,
}

/// A configuration.
#[derive(Clone, Debug)]
struct Known {
    text: Vec<u8>,
    /// The header that a tier behind routes by.
    header: String,
}

impl Bridge {
    /// A bridge that says this of itself.
    pub fn new(greeting: Value) -> Self {
        Self { greeting, known: Vec::new(), outages: BTreeMap::new() }
    }

    /// Takes note of the configuration of a route, and writes itself into the text of it.
    pub fn configure(&mut self, route: usize, text: &[u8]) -> Vec<u8> {
        let config: Value = serde_json::from_slice(text).unwrap_or_default();
        let header = config["upstream_header"].as_str().unwrap_or("x-tse-route-upstream");
        self.known.truncate(route);
        self.known.push(Known { text: text.to_vec(), header: header.to_owned() });
        let mut greeting = self.greeting.clone();
        greeting["id"] = self.id(route);
        // As text, since to read it and write it again would change numbers and empty lists.
        if matches!(text.trim_ascii(), b"" | b"null") {
            return json!({ "$bridge": greeting }).to_string().into_bytes();
        }
        let rest = text.trim_ascii_start().strip_prefix(b"{");
        let Some(rest) = rest.map(<[u8]>::trim_ascii_start) else { return text.to_vec() };
        let comma = if rest.starts_with(b"}") { "" } else { "," };
        [format!("{{\"$bridge\":{greeting}{comma}").as_bytes(), rest].concat()
    }

    /// What a configuration is called: the same for the same text.
    fn id(&self, route: usize) -> Value {
        if let Some(id) = self.greeting.get("id") {
            return id.clone();
        }
        let text = &self.known[route].text;
        let first = self.known.iter().position(|known| known.text == *text);
        json!(17 + first.expect("it is known"))
    }

    /// Before any plugin runs: takes away what a client must not send, in any spelling, and tells
    /// the filter what it has not seen.
    pub fn access(&mut self, exchange: &mut Exchange, route: usize) {
        exchange.route = route;
        let header = &self.known[route].header;
        for name in [DECISION, FAILURES, header] {
            clear_spellings(&mut exchange.request, name);
        }
        let told: Vec<String> = self
            .outages
            .iter()
            .filter(|((of, _), _)| *of == route)
            .map(|((_, breaker), count)| format!("{breaker}={count}"))
            .collect();
        self.outages.retain(|(of, _), _| *of != route);
        if !told.is_empty() {
            exchange.request.add(FAILURES, told.join(","));
        }
    }

    /// In the balancer phase: follows the decision of the filter and makes its changes. `healthy`
    /// says of an Upstream whether it has a target to go to, and nothing of one that there is not.
    pub fn balance(&self, exchange: &mut Exchange, healthy: impl Fn(&str) -> Option<bool>) {
        let decision = exchange.request.get(DECISION).map(<[u8]>::to_vec);
        exchange.request.remove(DECISION);
        exchange.request.remove(FAILURES);
        let Some(decision) = decision else { return };
        let is_printable = decision.iter().all(|byte| matches!(byte, b' '..=b'~'));
        assert!(is_printable, "not for a header: {}", decision.escape_ascii());
        let decision: Value = serde_json::from_slice(&decision).expect("a decision is JSON");
        assert_eq!(decision["id"], self.id(exchange.route), "a decision of this route");
        let by_header = decision["route_by"]["header"].as_str();
        let upstream = decision["upstream"].as_str();
        let error = match (decision["error"].as_str(), by_header, upstream.map(healthy)) {
            (Some(error), _, _) => Some(error),
            (None, None, Some(None)) => Some("unknown-upstream"),
            (None, None, Some(Some(false))) => Some("no-healthy-target"),
            (None, _, _) => None,
        };
        if error.is_none() {
            match (by_header, upstream) {
                (Some(header), _) => {
                    let value = decision["route_by"]["value"].as_str().expect("a value");
                    exchange.request.set(header, value);
                }
                (None, Some(upstream)) => exchange.upstream = upstream.to_owned(),
                (None, None) => {}
            }
            change(&mut exchange.request, &decision["request_headers"]);
        }
        exchange.breaker = decision["breaker"].as_str().map(str::to_owned);
        exchange.unfollowed = error.map(str::to_owned);
        for (kind, value) in [
            ("rule", decision["rule"].as_str()),
            ("upstream", upstream.filter(|_| error.is_none())),
            ("name", decision["name"].as_str()),
            ("error", error),
        ] {
            let Some(value) = value else { continue };
            if let Some(header) = decision["headers"][kind].as_str() {
                exchange.imposed.set(header, value);
            }
            if decision["share"] != json!(false) {
                exchange.published.insert(format!("tse_route_{kind}"), value.into());
            }
        }
    }

    /// When there is a response: shows the decision, and tells the filter whether it was followed.
    pub fn header_filter(&self, exchange: &mut Exchange) {
        for (name, value) in exchange.imposed.iter() {
            exchange.response.set(name, value);
        }
        // The filter is not called for what nginx answers itself.
        match (&exchange.breaker, &exchange.unfollowed) {
            (Some(_), Some(error)) if !exchange.client.refused => {
                exchange.response.set(UNFOLLOWED, error);
            }
            (Some(_), _) => exchange.response.blank(UNFOLLOWED),
            (None, _) => {}
        }
    }

    /// At the end: notes a failure that the filter has not seen.
    pub fn log(&mut self, exchange: &Exchange) {
        if let (Some(breaker), None, true) =
            (&exchange.breaker, &exchange.unfollowed, exchange.client.refused)
        {
            *self.outages.entry((exchange.route, breaker.clone())).or_default() += 1;
        }
    }
}

/// Changes the baggage: what is set stands first, members of the keys go, all others stay.
fn change_baggage(request: &mut Headers, change: &Value) {
    let list = |kind: &str| -> Vec<Vec<u8>> {
        let list = change[kind].as_array().cloned().unwrap_or_default();
        list.iter().map(|text| text.as_str().expect("text").as_bytes().to_vec()).collect()
    };
    let (mut members, keys) = (list("set"), list("keys"));
    let sent: Vec<Vec<u8>> = request.all("baggage").map(<[u8]>::to_vec).collect();
    for member in sent.join(&b',').split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
        let key = member.split(|byte| b"=;".contains(byte)).next().unwrap_or_default();
        if !member.is_empty() && !keys.iter().any(|goes| goes == key.trim_ascii()) {
            members.push(member.to_vec());
        }
    }
    request.remove("baggage");
    if !members.is_empty() {
        request.add("baggage", members.join(&b','));
    }
}

/// Makes the changes of a decision, to every copy of a header.
fn change(request: &mut Headers, changes: &Value) {
    let list = |kind: &str| changes[kind].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    for name in list("remove") {
        request.remove(text(&name));
    }
    for pair in list("set") {
        request.set(text(&pair[0]), text(&pair[1]));
    }
    for pair in list("add") {
        request.add(text(&pair[0]), text(&pair[1]));
    }
    if changes["baggage"].is_object() {
        change_baggage(request, &changes["baggage"]);
    }
}

/// Takes away every header that nginx's variables take for this one: `_` stands for `-`.
fn clear_spellings(headers: &mut Headers, name: &str) {
    let plain = |name: &[u8]| name.to_ascii_lowercase().iter().map(hyphen).collect::<Vec<u8>>();
    let wanted = plain(name.as_bytes());
    let spellings: Vec<Vec<u8>> = headers
        .iter()
        .map(|(name, _)| name.to_vec())
        .filter(|name| plain(name) == wanted)
        .collect();
    for spelling in spellings {
        headers.remove(spelling);
    }
}

fn hyphen(byte: &u8) -> u8 {
    if *byte == b'_' { b'-' } else { *byte }
}
