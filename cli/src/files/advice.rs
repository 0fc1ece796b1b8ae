//! What an operator probably meant: knowledge of other tools' words, which the filter needs not carry.

use crate::source::{Kind, Node, Span, locate};
use serde_json::{Value, json};
use tse_route::config::{self, Fault, quote};
use tse_route::engine;

/// Where a fault's mark stands and what is said there. A list with several bad entries has one for each.
pub(super) fn of(root: &Node, fault: &Fault) -> Vec<(Span, String)> {
    let place = locate(root, &fault.path);
    let span = place.span(fault.is_about_name());
    let (parent, field) = fault.path.rsplit_once('.').unwrap_or(("", &fault.path));
    let owner = locate(root, parent).node;
    let needing = needing(&fault.message).filter(|_| !place.complete);
    if let Some(needing) = needing.and_then(|name| owner.entry(name)) {
        return vec![(needing.value.span.clone(), fault.message.clone())];
    }
    if place.complete && field == "value" {
        if let Some(listed) = as_text(place.node) {
            let message = format!(
                "found a list; accepted is one text with its entries; did you mean {}?",
                quote(&listed)
            );
            return vec![(place.node.span.clone(), message)];
        }
        if let Some(entry) = entry_meant(place.node, &fault.message) {
            return vec![(entry, fault.message.clone())];
        }
        let entries = bad_entries(owner, place.node, fault);
        if !entries.is_empty() {
            return entries;
        }
    }
    let about_name = fault.is_about_name();
    let (said, near) = match fault.message.split_once("; did you mean ") {
        Some((said, near)) => (said, Some(near.to_owned())),
        None => (fault.message.as_str(), None),
    };
    let found = if about_name { Some(field) } else { place.node.text() };
    // A word that another tool has is meant sooner than one that looks alike.
    let meant = found.and_then(|found| match field {
        "operator" => operator(found),
        "key" if parent.contains("condition.system") => system_key(found),
        _ if about_name && near.is_none() => field_name(found),
        _ => None,
    });
    let meant = meant.or_else(|| total_of_fractions(place.node, fault));
    let Some(hint) = meant.map(|meant| format!("`{meant}`?")).or(near) else {
        return vec![(span, fault.message.clone())];
    };
    // The one that is meant says more than all that are accepted.
    let said = if about_name { said.split("; ").next().unwrap_or(said) } else { said };
    vec![(span, format!("{said}; did you mean {hint}"))]
}

/// The field that asks for one that is missing: there the mark stands, because what is missing has no place.
fn needing(message: &str) -> Option<&str> {
    let rest = message.strip_prefix("missing; ")?;
    if rest.starts_with("the operator ") {
        return Some("operator");
    }
    let (needing, behind) = rest.strip_prefix('`')?.split_once('`')?;
    let name = needing.split(':').next()?;
    behind.starts_with(" needs").then_some(name)
}

/// The text that stands for a list of scalars.
fn as_text(node: &Node) -> Option<String> {
    let Kind::List(elements) = &node.kind else { return None };
    let entries: Option<Vec<String>> = elements
        .iter()
        .map(|element| match element.scalar()? {
            Value::String(text) => Some(text.clone()),
            Value::Null => None,
            other => Some(other.to_string()),
        })
        .collect();
    entries.filter(|entries| !entries.is_empty()).map(|entries| entries.join(","))
}

/// The place of the one entry of a list that a message is about.
fn entry_meant(value: &Node, message: &str) -> Option<Span> {
    let text = value.text()?;
    let (entry, _) = message.strip_prefix("its entry \"")?.split_once('"')?;
    let at = text.find(entry)?;
    Some(value.part(text, at..at + entry.len()))
}

/// So many entries of a list are looked into.
const MOST_ASKED: usize = config::MAX_FAULTS;

/// Whether the filter takes an entry, as far as can be told without asking it.
fn is_address(entry: &str) -> bool {
    entry.parse::<std::net::IpAddr>().is_ok()
}

/// The entries of a list that the filter refuses, each with its own reason and place.
fn bad_entries(item: &Node, value: &Node, fault: &Fault) -> Vec<(Span, String)> {
    let (Some(text), Some(operator)) = (value.text(), item.text_of("operator")) else {
        return Vec::new();
    };
    let is_list = matches!(
        config::Operator::from_word(operator),
        Some(config::Operator::In | config::Operator::NotIn)
    );
    if !is_list || !fault.message.contains("is no address") {
        return Vec::new();
    }
    let delimiter = item.text_of("delimiter").unwrap_or(",");
    let mut bad = Vec::new();
    let mut asked = 0;
    let mut at = 0;
    for piece in text.split(delimiter) {
        let entry = piece.trim();
        let from = at + (piece.len() - piece.trim_start().len());
        at += piece.len() + delimiter.len();
        if entry.is_empty() || is_address(entry) {
            continue;
        }
        asked += 1;
        if asked > MOST_ASKED {
            break;
        }
        // Asked of the filter itself, entry by entry.
        let alone = json!({ "key": "clientIP", "operator": "eq", "value": entry });
        let rule = json!({ "condition": { "system": alone }, "upstream": [{ "name": "a" }] });
        let (config, report) = config::read(&json!({ "rules": [rule] }));
        let (_, report) = engine::compile(&config, report);
        if let Some(error) = report.errors().next() {
            let reason = error.message.rsplit("; accepted ").next().unwrap_or_default();
            let message = format!("{} is no address; accepted {reason}", quote(entry));
            bad.push((value.part(text, from..from + entry.len()), message));
        }
    }
    bad
}

/// Weights that add up to 1 are fractions, as they are written elsewhere.
fn total_of_fractions(upstream: &Node, fault: &Fault) -> Option<&'static str> {
    let adds_up_to_one = fault.message.starts_with("the weights add up to 1 of 100:");
    let is_fraction = |upstream: &Node| {
        let weight = upstream.get("weight").and_then(Node::scalar).and_then(Value::as_f64);
        weight.is_some_and(|weight| weight.fract() != 0.0)
    };
    (adds_up_to_one && upstream.elements().iter().any(is_fraction)).then_some("weight_total: 1")
}

/// The operator that another tool's word stands for.
fn operator(word: &str) -> Option<&'static str> {
    let plain: String = word
        .chars()
        .filter(|character| !matches!(character, ' ' | '_' | '-'))
        .flat_map(char::to_lowercase)
        .collect();
    Some(match plain.as_str() {
        "equals" | "equal" | "equalto" | "is" | "=" | "===" => "eq",
        "notequals" | "notequal" | "isnot" | "neq" | "<>" | "!==" | "not" | "~=" => "ne",
        "greater" | "greaterthan" | "after" => "gt",
        "gte" | "atleast" | "greaterorequal" | "greaterthanorequal" | "min" => "ge",
        "less" | "lessthan" | "before" | "lower" => "lt",
        "lte" | "atmost" | "lessorequal" | "lessthanorequal" | "max" => "le",
        "exist" | "present" | "set" | "has" | "any" | "*" => "exists",
        "absent" | "missing" | "notset" | "notpresent" | "notexist" | "doesnotexist" => {
            "not exists"
        }
        "match" | "matches" | "regexp" | "re" | "pattern" | "regularexpression" | "~" | "=~"
        | "~*" | "rlike" => "regex",
        "notmatch" | "notmatches" | "doesnotmatch" | "!~" | "!~*" => "not regex",
        "oneof" | "anyof" | "inlist" | "includedin" | "list" => "in",
        "nin" | "noneof" | "notoneof" => "not in",
        "startswith" | "startwith" | "beginswith" | "pathprefix" => "prefix",
        "endswith" | "endwith" => "suffix",
        "contain" | "includes" | "include" | "substring" | "like" => "contains",
        "notcontain" | "doesnotcontain" | "excludes" | "notlike" => "not contains",
        _ => return None,
    })
}

/// The system key that another tool's word stands for.
fn system_key(word: &str) -> Option<&'static str> {
    let plain: String =
        word.chars().filter(char::is_ascii_alphanumeric).flat_map(char::to_lowercase).collect();
    Some(match plain.as_str() {
        "host" | "hostname" | "authority" | "servername" | "vhost" => "domain",
        "ip" | "remoteaddr" | "remoteip" | "sourceip" | "remoteaddress" | "xforwardedfor"
        | "addr" => "clientIP",
        "scheme" | "protocol" | "proto" | "https" | "xforwardedproto" => "httpScheme",
        "useragent" | "ua" | "agent" | "browser" => "clientUa",
        _ => return None,
    })
}

/// The field that another tool's word stands for.
fn field_name(word: &str) -> Option<&'static str> {
    Some(match word.to_ascii_lowercase().as_str() {
        "backends" | "backendrefs" | "targets" | "destinations" | "route" | "clusters" => {
            "upstream"
        }
        "match" | "matches" | "when" | "if" | "vars" => "condition",
        "priority" | "order" => "weight",
        "op" | "comparator" => "operator",
        "args" | "arguments" | "params" | "queryparams" | "query_params" => "query",
        "uri" | "url" => "path",
        "verb" | "methods" => "method",
        "values" => "value",
        "active" | "disabled" => "enabled",
        "canary" | "ramp" => "rollout",
        "service" | "cluster" | "backend" => "name",
        "sticky" | "session_affinity" | "affinity" => "hash_on",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tse_route::config::Operator;

    #[test]
    fn what_is_advised_is_accepted() {
        for word in
            ["equals", "Not-Equal", "greater_than", ">=", "~", "one of", "nin", "startsWith"]
        {
            let advice = operator(word).unwrap_or(word);
            assert!(Operator::from_word(advice).is_some(), "{word}: {advice}");
        }
        for word in ["Host", "remote_addr", "scheme", "User-Agent"] {
            let advice = system_key(word).expect(word);
            assert!(config::SystemKey::from_word(advice).is_some(), "{word}: {advice}");
        }
    }
}
