//! APISIX's expressions (lua-resty-expr) as alternatives of conditions.

use super::Import;
use super::draft::Item;
use super::head;
use crate::source::Node;
use serde_json::Value;
use tse_route::config::{Location, Operator, quote};

/// The most alternatives that an expression may have.
const MOST: usize = 500;

/// Alternatives, each of items that all must hold.
pub(super) type Alternatives = Vec<Vec<Item>>;

/// What a list of `vars` asks for; none where it cannot be carried over.
pub(super) fn alternatives(vars: &Node, import: &mut Import) -> Option<Alternatives> {
    read(vars, false, import)
}

/// A list of expressions, perhaps with a word in front that joins them.
fn read(node: &Node, negated: bool, import: &mut Import) -> Option<Alternatives> {
    let elements = node.elements();
    let (word, rest) = match elements.split_first() {
        Some((first, rest)) => match first.text() {
            Some(word) => (word, rest),
            None => ("AND", elements),
        },
        None => return Some(vec![Vec::new()]),
    };
    let (any, negated) = match word {
        "AND" => (false, negated),
        "OR" => (true, negated),
        "!AND" => (false, !negated),
        "!OR" => (true, !negated),
        _ => return comparison(node, negated, import).map(|item| vec![vec![item]]),
    };
    // Not both is one not, or the other not.
    let any = any != negated;
    let mut parts = Vec::new();
    for element in rest {
        parts.push(read(element, negated, import)?);
    }
    let joined = if any {
        parts.concat()
    } else {
        let mut joined: Alternatives = vec![Vec::new()];
        for part in &parts {
            joined = joined
                .iter()
                .flat_map(|left| part.iter().map(move |right| [left.as_slice(), right].concat()))
                .take(MOST + 1)
                .collect();
        }
        joined
    };
    if joined.len() > MOST {
        import.error(head(node), format!("more than {MOST} alternatives when written out"));
        return None;
    }
    Some(joined)
}

/// A variable, perhaps a negation, an operator and a value.
fn comparison(node: &Node, negated: bool, import: &mut Import) -> Option<Item> {
    let (variable, operator, value, negated) = match node.elements() {
        [variable, operator, value] => (variable, operator, value, negated),
        [variable, not, operator, value] if not.text() == Some("!") => {
            (variable, operator, value, !negated)
        }
        // `["http_x", "==", null]` is written without the null where lists drop it.
        _ => {
            import.error(
                node.span.clone(),
                "accepted is a comparison as in [\"arg_name\", \"==\", \"jack\"]",
            );
            return None;
        }
    };
    let name = variable.text().unwrap_or_default();
    let Some((location, key)) = place(name) else {
        import.lost(
            variable.span.clone(),
            format!("the variable {} cannot be carried over", quote(name)),
        );
        return None;
    };
    let word = operator.text().unwrap_or_default();
    let mut lost = |message: String| {
        import.lost(operator.span.clone(), message);
        None
    };
    let found = match (word, value.is_null()) {
        ("==", true) => Operator::NotExists,
        ("~=", true) => Operator::Exists,
        ("==", _) => Operator::Eq,
        ("~=", _) => Operator::Ne,
        (">", _) => Operator::Gt,
        ("<", _) => Operator::Lt,
        (">=", _) => Operator::Ge,
        ("<=", _) => Operator::Le,
        ("~~" | "~*", _) => Operator::Regex,
        ("in", _) => Operator::In,
        ("ipmatch", _) if name == "remote_addr" => Operator::In,
        _ => return lost(format!("the operator {} cannot be carried over", quote(word))),
    };
    let found = match (negated, found) {
        (false, operator) => operator,
        (true, Operator::Eq) => Operator::Ne,
        (true, Operator::Ne) => Operator::Eq,
        (true, Operator::Exists) => Operator::NotExists,
        (true, Operator::NotExists) => Operator::Exists,
        (true, Operator::Regex) => Operator::NotRegex,
        (true, Operator::In) => Operator::NotIn,
        // Where there is nothing to compare, both an order and its opposite are false.
        (true, _) => {
            return lost(format!("the negation of {} cannot be carried over", quote(word)));
        }
    };
    let values: Vec<String> = match value.elements() {
        [] => value.scalar().map(text).into_iter().collect(),
        elements => elements.iter().filter_map(Node::scalar).map(text).collect(),
    };
    let key = key.as_deref().unwrap_or_default();
    match found {
        Operator::In | Operator::NotIn => match Item::list(location, key, found, &values) {
            Some(item) => Some(item),
            None => lost("values that no delimiter keeps apart cannot be carried over".to_owned()),
        },
        _ => {
            let value = values.first().map(String::as_str).unwrap_or_default();
            let value = if word == "~*" { format!("(?i){value}") } else { value.to_owned() };
            Some(Item::new(location, key, found, &value))
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Where a variable looks.
fn place(variable: &str) -> Option<(Location, Option<String>)> {
    let named = |location, name: &str| Some((location, Some(name.to_owned())));
    if let Some(name) = variable.strip_prefix("arg_") {
        return named(Location::Query, name);
    }
    if let Some(name) = variable.strip_prefix("http_") {
        return named(Location::Header, &name.replace('_', "-"));
    }
    if let Some(name) = variable.strip_prefix("cookie_") {
        return named(Location::Cookie, name);
    }
    if let Some(name) =
        variable.strip_prefix("post_arg_").or_else(|| variable.strip_prefix("post_arg."))
    {
        return named(Location::Body, name);
    }
    match variable {
        "uri" => Some((Location::Path, None)),
        "request_method" | "method" => Some((Location::Method, None)),
        "remote_addr" => named(Location::System, "clientIP"),
        "host" => named(Location::System, "domain"),
        "scheme" => named(Location::System, "httpScheme"),
        _ => None,
    }
}
