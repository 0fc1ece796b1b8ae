//! A request that a rule matches, made up from its condition.

mod pattern;

use crate::request::Sample;
use serde_json::{Value, json};
use tse_route::config::{self, Config, Delimiter, Location, Operator, SystemKey};
use tse_route::engine::Table;

/// A request that the rule at this position of the table matches; none where none was found.
pub(crate) fn of(config: &Config, table: &Table, position: usize) -> Option<Sample> {
    let rule = table.rules().get(position)?;
    let rule = config.rules.get(rule.index())?;
    let locations = rule.condition.iter().flat_map(|condition| &condition.locations);
    let items: Vec<Ask<'_>> = locations
        .flat_map(|(location, items)| {
            items.as_slice().iter().map(|item| Ask { location: *location, item })
        })
        .collect();
    let holds = |sample: &Sample| table.trace_rule(position, sample)?.holds.filter(|holds| *holds);
    let plain = plain();
    if holds(&plain).is_some() {
        return Some(plain);
    }
    if rule.match_type == config::MatchType::Or {
        return items.iter().find_map(|ask| {
            let candidates = ask.candidates(config);
            candidates.iter().find_map(|value| {
                let mut sample = plain.clone();
                ask.write(value, &mut sample);
                holds(&sample).map(|_| sample)
            })
        });
    }
    // One value for all items that look at the same place.
    let mut sample = plain.clone();
    for (index, ask) in items.iter().enumerate() {
        let first = items.iter().position(|other| other.is_at(ask));
        if first != Some(index) {
            continue;
        }
        let of_place = || items.iter().enumerate().filter(|(_, other)| other.is_at(ask));
        let all_hold = |sample: &Sample| {
            let trace = table.trace_rule(position, sample)?;
            let hold = of_place().all(|(index, _)| {
                trace.items.get(index).is_some_and(|item| item.holds == Some(true))
            });
            hold.then_some(())
        };
        if all_hold(&sample).is_some() {
            continue;
        }
        let found = of_place().flat_map(|(_, other)| other.candidates(config)).find_map(|value| {
            let mut sample = sample.clone();
            ask.write(&value, &mut sample);
            all_hold(&sample).map(|()| sample)
        });
        sample = found?;
    }
    holds(&sample).map(|_| sample)
}

/// What [`of`] costs at most, in steps of some 10 ns: each item is tried with values of its own on all
/// items of the rule, for which a body is searched for all that any rule asks of bodies.
pub(crate) fn work(config: &Config, rule: usize) -> usize {
    let items = |rule: &config::Rule| -> usize {
        let locations = rule.condition.iter().flat_map(|condition| &condition.locations);
        locations.map(|(_, items)| items.as_slice().len()).sum()
    };
    let on_body = |rule: &config::Rule| {
        let locations = rule.condition.iter().flat_map(|condition| &condition.locations);
        locations.into_iter().any(|(location, _)| *location == Location::Body)
    };
    let Some(rule) = config.rules.get(rule) else { return 0 };
    let own = items(rule);
    let searched = match on_body(rule) {
        true => config.rules.iter().map(items).sum(),
        false => 0,
    };
    let stored = config.global_configs.iter().map(|stored| stored.value.0.len() / 64).max();
    let refers = rule
        .condition
        .iter()
        .flat_map(|condition| &condition.locations)
        .flat_map(|(_, items)| items.as_slice())
        .filter(|item| item.global_config_id.is_some())
        .count();
    1 + own * (own + searched) + refers * stored.unwrap_or_default()
}

fn plain() -> Sample {
    Sample {
        method: b"GET".to_vec(),
        target: b"/".to_vec(),
        scheme: Some(b"http".to_vec()),
        ..Sample::default()
    }
}

/// An item with its place.
struct Ask<'c> {
    location: Location,
    item: &'c config::Item,
}

impl Ask<'_> {
    fn key(&self) -> &str {
        self.item.key.as_deref().unwrap_or_default()
    }

    fn is_at(&self, other: &Self) -> bool {
        let same_key = match self.location {
            Location::Path | Location::Method => true,
            Location::System => self.key().eq_ignore_ascii_case(other.key()),
            _ => self.key() == other.key(),
        };
        self.location == other.location && same_key
    }

    /// Values on which the item may hold, the likely ones first.
    fn candidates(&self, config: &Config) -> Vec<Vec<u8>> {
        let stored = self
            .item
            .global_config_id
            .as_ref()
            .and_then(|id| config.global_configs.iter().find(|global| global.id == *id));
        let (value, delimiter) = match stored {
            Some(stored) => (stored.value.0.as_str(), stored.delimiter),
            None => (
                self.item.value.as_ref().map(|value| value.0.as_str()).unwrap_or_default(),
                self.item.delimiter,
            ),
        };
        let text = |text: &str| text.as_bytes().to_vec();
        match self.item.operator {
            Operator::Exists => vec![text("x")],
            Operator::Eq if value.contains('/') && self.location == Location::System => {
                vec![text(value.split('/').next().unwrap_or_default()), text(value)]
            }
            Operator::Eq | Operator::Ge | Operator::Le | Operator::PathPrefix => vec![text(value)],
            Operator::Prefix | Operator::Suffix | Operator::Contains => {
                vec![text(value), text(&format!("/{value}")), text(&format!("x{value}"))]
            }
            Operator::In => match &self.item.listed {
                Some(listed) => listed.iter().map(|entry| text(entry)).collect(),
                None => split(value, delimiter)
                    .flat_map(|entry| [text(entry.split('/').next().unwrap_or(entry)), text(entry)])
                    .take(20)
                    .collect(),
            },
            Operator::Regex => {
                let example = pattern::example(value).unwrap_or_default();
                vec![[b"/", example.as_slice()].concat(), example.clone()]
                    .into_iter()
                    .rev()
                    .collect()
            }
            Operator::Gt => above(value),
            Operator::Lt => below(value),
            Operator::Ne
            | Operator::NotExists
            | Operator::NotRegex
            | Operator::NotIn
            | Operator::NotContains => {
                vec![text(&format!("{value}x")), text("x"), text("/x"), text("PUT"), text("0")]
            }
        }
    }

    /// Gives the request this value at the item's place.
    fn write(&self, value: &[u8], sample: &mut Sample) {
        match self.location {
            Location::Header => sample.add_header(self.key(), value),
            Location::Query => {
                let (path, query) = match sample.target.iter().position(|byte| *byte == b'?') {
                    Some(at) => sample.target.split_at_checked(at).unwrap_or_default(),
                    None => (sample.target.as_slice(), &b""[..]),
                };
                let separator: &[u8] = if query.is_empty() { b"?" } else { b"&" };
                let pair = [encode(self.key().as_bytes()), b"=".to_vec(), encode(value)].concat();
                sample.target = [path, query, separator, &pair].concat();
            }
            Location::Cookie => {
                let pair = [self.key().as_bytes(), b"=", value].concat();
                sample.add_header("cookie", &pair);
            }
            Location::Baggage => {
                let member = [self.key().as_bytes(), b"=", &encode(value)].concat();
                sample.add_header("baggage", &member);
            }
            Location::Body if self.key().is_empty() => sample.body = Some(value.to_vec()),
            Location::Body => {
                let mut body = sample
                    .body
                    .as_deref()
                    .and_then(|body| serde_json::from_slice(body).ok())
                    .unwrap_or_else(|| json!({}));
                insert(&mut body, self.key(), &String::from_utf8_lossy(value));
                sample.body = Some(body.to_string().into_bytes());
            }
            Location::Path => {
                let query = sample.target.iter().position(|byte| *byte == b'?');
                let query = query.and_then(|at| sample.target.get(at..)).unwrap_or_default();
                sample.target = [value, query].concat();
            }
            Location::Method => sample.method = value.to_vec(),
            Location::System => match SystemKey::from_word(self.key()) {
                Some(SystemKey::ClientIp) => sample.client_address = Some(value.to_vec()),
                Some(SystemKey::HttpScheme) => sample.scheme = Some(value.to_vec()),
                Some(SystemKey::ClientUa) => sample.add_header("user-agent", value),
                Some(SystemKey::Domain) | None => sample.add_header("host", value),
            },
        }
    }
}

fn split(value: &str, delimiter: Option<Delimiter>) -> impl Iterator<Item = &str> {
    let delimiter = delimiter.unwrap_or_default().word();
    value.split(delimiter).map(str::trim).filter(|entry| !entry.is_empty())
}

/// Values that are greater than a number or a version.
fn above(value: &str) -> Vec<Vec<u8>> {
    let mut values = vec![format!("{value}.1"), format!("{value}1")];
    if let Ok(number) = value.parse::<f64>() {
        values.insert(0, (number.floor() + 1.0).to_string());
    }
    values.into_iter().map(String::into_bytes).collect()
}

/// Values that are less than a number or a version.
fn below(value: &str) -> Vec<Vec<u8>> {
    let mut values = vec!["v0".to_owned(), "0".to_owned(), format!("{value}-0")];
    if let Ok(number) = value.parse::<f64>() {
        values.insert(0, (number.ceil() - 1.0).to_string());
    }
    values.into_iter().map(String::into_bytes).collect()
}

/// Percent-encodes what may not stand in a query.
pub(crate) fn encode(bytes: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            encoded.push(*byte);
        } else {
            encoded.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    encoded
}

/// Sets a dotted key of a JSON object; indexes of lists become fields, which the engine reads alike.
fn insert(body: &mut Value, key: &str, value: &str) {
    let mut place = body;
    for step in key.split('.') {
        if !place.is_object() {
            *place = json!({});
        }
        let Some(object) = place.as_object_mut() else { return };
        place = object.entry(step).or_insert(Value::Null);
    }
    *place = json!(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use tse_route::config::{Report, read};
    use tse_route::engine::compile;

    #[test]
    fn requests_are_made_up_for_conditions() {
        let header = |operator: &str, value: &str| json!({ "key": "a", "operator": operator, "value": value });
        let conditions = [
            json!(null),
            json!({ "header": header("eq", "x") }),
            json!({ "header": header("in", "x,y") }),
            json!({ "header": header("gt", "9") }),
            json!({ "header": header("lt", "1.2.3") }),
            json!({ "header": header("gt", "v2") }),
            json!({ "header": [header("gt", "9"), header("lt", "11")] }),
            json!({ "header": [header("ge", "1.5"), header("le", "1.5")] }),
            json!({ "header": header("regex", r"^Chrome/\d+\.\d+$") }),
            json!({ "header": [header("exists", ""), header("not regex", "^x$")] }),
            json!({ "query": { "key": "a b", "operator": "eq", "value": "c&d=e" } }),
            json!({ "query": [{ "key": "a", "operator": "eq", "value": 1 }, { "key": "b", "operator": "suffix", "value": 2 }] }),
            json!({ "cookie": [{ "key": "a", "operator": "eq", "value": 1 }, { "key": "b", "operator": "contains", "value": 2 }] }),
            json!({ "baggage": [{ "key": "a", "operator": "eq", "value": "1, 2" }, { "key": "b", "operator": "contains", "value": 2 }] }),
            json!({ "path": "/a/b", "method": "POST", "query": { "key": "a", "operator": "exists" } }),
            json!({ "path": { "operator": "suffix", "value": ".png" } }),
            json!({ "path": { "operator": "path_prefix", "value": "/api" }, "method": { "operator": "ne", "value": "GET" } }),
            json!({ "path": { "operator": "ne", "value": "/" } }),
            json!({ "body": [{ "key": "user.id", "operator": "gt", "value": 7 }, { "key": "user.vip", "operator": "eq", "value": true }] }),
            json!({ "body": { "operator": "contains", "value": "needle" } }),
            json!({ "system": [{ "key": "clientIP", "operator": "in", "value": "10.0.0.0/8" }, { "key": "domain", "operator": "suffix", "value": ".example.com" }] }),
            json!({ "system": [{ "key": "httpScheme", "operator": "eq", "value": "https" }, { "key": "clientUa", "operator": "prefix", "value": "curl" }] }),
        ];
        for condition in conditions {
            for match_type in ["AND", "OR"] {
                let rule = json!({ "condition": condition, "match_type": match_type, "upstream": [{ "name": "a" }] });
                let (config, report) = read(&json!({ "rules": [rule] }));
                assert!(report.is_usable(), "{report}");
                let (table, _) = compile(&config, Report::default());
                assert!(of(&config, &table, 0).is_some(), "{condition} {match_type}");
            }
        }
    }

    #[test]
    fn what_no_request_meets_is_given_up() {
        let items = json!([
            { "key": "a", "operator": "eq", "value": "x" },
            { "key": "a", "operator": "ne", "value": "x" },
        ]);
        let (config, _) =
            read(&json!({ "rules": [{ "condition": { "header": items }, "upstream": [{}] }] }));
        let (table, _) = compile(&config, Report::default());
        assert!(of(&config, &table, 0).is_none());
    }
}
