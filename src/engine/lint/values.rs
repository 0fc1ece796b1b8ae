//! Values that a part of a request never has.

use crate::config::{Config, Cursor, Delimiter, Item, Location, Operator, nearest, quote};
use crate::engine::attribute::Attribute;
use crate::engine::matches::split_list;
use crate::engine::parse::percent;
use std::net::IpAddr;

/// The methods of IANA's registry, and those that caches have for purging.
const METHODS: &[&str] = &[
    "GET",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "HEAD",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "COPY",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "ORDERPATCH",
    "PRI",
    "PROPFIND",
    "PROPPATCH",
    "PURGE",
    "QUERY",
    "BAN",
    "REBIND",
    "REPORT",
    "SEARCH",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];

/// Checks one item, with the cursor at it.
///
/// `budget` is how many bytes of stored values are looked at yet: thousands of items may share them.
pub(super) fn check(
    location: Location,
    item: &Item,
    config: &Config,
    budget: &mut usize,
    at: &mut Cursor<'_>,
) {
    let attribute = Attribute::of(location, item);
    match (&attribute, &item.key) {
        (Attribute::Body(Some(_)), Some(key)) => at.field("key", |at| key_of_body(key, at)),
        (Attribute::Query(_) | Attribute::Cookie(_), Some(key)) => {
            at.field("key", |at| key_with_value(key, at));
        }
        _ => {}
    }
    one_of_a_list(item, at);
    let when = match item.operator {
        Operator::Ne | Operator::NotIn | Operator::NotContains | Operator::NotRegex => {
            "always holds"
        }
        _ => "never matches",
    };
    let (values, stored) = values(item, config, budget);
    let is_list = matches!(item.operator, Operator::In | Operator::NotIn);
    for (index, value) in values.into_iter().enumerate() {
        let message = match doubt(&attribute, item.operator, value) {
            None => continue,
            // In a list only the entry is without effect.
            Some(Doubt::Never(why)) if is_list => {
                format!("its entry {} never matches: {why}", quote(value))
            }
            Some(Doubt::Never(why)) => format!("{when}: {why}"),
            Some(Doubt::Strange(why)) if is_list => format!("its entry {}: {why}", quote(value)),
            Some(Doubt::Strange(why)) => why,
        };
        let field = if stored { "global_config_id" } else { "value" };
        match &item.listed {
            // The short form has no fields.
            Some(_) => at.element(index, |at| at.warning(message)),
            None => at.field(field, |at| at.warning(message)),
        }
    }
}

/// A list that is none, because something else stands between its values.
fn one_of_a_list(item: &Item, at: &mut Cursor<'_>) {
    let is_list = matches!(item.operator, Operator::In | Operator::NotIn) && item.listed.is_none();
    let separates = item.delimiter.unwrap_or(Delimiter::Comma) == Delimiter::Comma;
    let Some(value) = item.value.as_ref().filter(|_| is_list && separates) else { return };
    let value = value.0.trim();
    if value.contains(',') {
        return;
    }
    let other = [(';', ";"), ('\n', "\\n"), (' ', " "), ('|', "")];
    let Some((_, written)) = other.into_iter().find(|(between, _)| value.contains(*between)) else {
        return;
    };
    let hint = match written {
        "" => "; did you mean commas?".to_owned(),
        written => format!("; did you mean `delimiter: \"{written}\"`?"),
    };
    at.field("value", |at| {
        at.warning(format!("one value, because a comma separates those of a list{hint}"));
    });
}

/// What an item compares with, and whether that stands in a stored list.
fn values<'c>(item: &'c Item, config: &'c Config, budget: &mut usize) -> (Vec<&'c str>, bool) {
    let global = item.global_config_id.as_ref();
    let global = global.and_then(|id| config.global_configs.iter().find(|global| global.id == *id));
    let (value, delimiter): (&str, Option<Delimiter>) = match (global, &item.value) {
        (Some(global), _) => {
            let Some(rest) = budget.checked_sub(global.value.0.len()) else {
                return (Vec::new(), true);
            };
            *budget = rest;
            (&global.value.0, global.delimiter)
        }
        (None, Some(value)) => (&value.0, item.delimiter),
        (None, None) => ("", None),
    };
    let values = match (&item.listed, item.operator) {
        (Some(listed), _) => listed.iter().map(String::as_str).collect(),
        (None, Operator::In | Operator::NotIn) => split_list(value, delimiter).collect(),
        (None, operator) if operator.takes_value() => vec![value],
        _ => Vec::new(),
    };
    (values, global.is_some())
}

/// What is wrong with a value.
enum Doubt {
    /// No request has it.
    Never(String),
    /// A request may have it, but hardly any does.
    Strange(String),
}

/// Why a part of a request does not compare with a value as it is asked to; none where it may.
fn doubt(attribute: &Attribute, operator: Operator, value: &str) -> Option<Doubt> {
    let is_whole = matches!(operator, Operator::Eq | Operator::Ne | Operator::In | Operator::NotIn);
    let is_text = !matches!(
        operator,
        Operator::Regex
            | Operator::NotRegex
            | Operator::Gt
            | Operator::Ge
            | Operator::Lt
            | Operator::Le
    );
    if let Some(plain) = without_typographic_quotes(value) {
        return Some(Doubt::Strange(format!(
            "the quotes are a part of it; did you mean {}?",
            quote(plain)
        )));
    }
    if matches!(operator, Operator::Regex | Operator::NotRegex)
        && let Some(plain) = without_slashes(value)
    {
        return Some(Doubt::Strange(format!(
            "the slashes around the pattern are a part of it; did you mean {}?",
            quote(&plain)
        )));
    }
    match attribute {
        Attribute::Path if is_text => path(operator, value, is_whole)
            .map(Doubt::Never)
            .or_else(|| wild_path(operator, value, is_whole).map(Doubt::Strange)),
        Attribute::Path => path_pattern(operator, value).map(Doubt::Never),
        Attribute::Domain if is_text => domain(value).map(Doubt::Never),
        Attribute::Method if is_whole => method(value),
        Attribute::HttpScheme if is_whole => {
            let scheme = value.to_ascii_lowercase();
            let is_known = ["http", "https"].contains(&scheme.as_str());
            (!is_known).then(|| Doubt::Never("a scheme is `http` or `https`".to_owned()))
        }
        Attribute::Header(_) if is_whole && value.trim_matches([' ', '\t']) != value => {
            Some(Doubt::Never(format!(
                "blanks around a header's value do not arrive; did you mean {}?",
                quote(value.trim_matches([' ', '\t']))
            )))
        }
        Attribute::Header(name) if is_whole && name.eq_ignore_ascii_case("cookie") => {
            Some(Doubt::Strange(
                "the header has all cookies in one; the location `cookie` has each by its name"
                    .to_owned(),
            ))
        }
        Attribute::Cookie(_) if is_whole => {
            let plain = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'))?;
            Some(Doubt::Never(format!(
                "quotes around a cookie's value are taken off; did you mean {}?",
                quote(plain)
            )))
        }
        Attribute::Query(_) if is_text => {
            let plain = decoded(value)?;
            Some(Doubt::Strange(format!("values arrive decoded; did you mean {}?", quote(&plain))))
        }
        Attribute::ClientIp if is_whole => {
            let block = block_of(value)?;
            Some(Doubt::Strange(format!(
                "the address is one of the block {block}, all of which is meant by it"
            )))
        }
        _ => None,
    }
}

/// A text in the quotes that word processors make.
fn without_typographic_quotes(value: &str) -> Option<&str> {
    let is_quote = |c: char| "“”„‟«»‘’‚".contains(c);
    let plain = value.strip_prefix(is_quote)?.strip_suffix(is_quote)?;
    (!plain.is_empty()).then_some(plain)
}

/// A pattern in the slashes of JavaScript, sed and the like.
fn without_slashes(pattern: &str) -> Option<String> {
    let rest = pattern.strip_prefix('/')?;
    let (rest, flag) = match rest.strip_suffix("/i") {
        Some(rest) => (rest, "(?i)"),
        None => (rest.strip_suffix('/')?, ""),
    };
    let is_meant = rest.starts_with('^') || rest.ends_with('$') || rest.contains("\\/");
    is_meant.then(|| format!("{flag}{}", rest.replace("\\/", "/")))
}

/// A query's value as it arrives, where it is written as it is sent.
fn decoded(value: &str) -> Option<String> {
    let plain = String::from_utf8(percent::decoded(value.as_bytes())).ok()?;
    (plain != value).then_some(plain)
}

/// The block that an address with a length is in, if it is not the first of it.
fn block_of(value: &str) -> Option<String> {
    let (address, length) = value.split_once('/')?;
    let length: u32 = length.parse().ok()?;
    let first = match address.parse().ok()? {
        IpAddr::V4(address) => {
            let rest = 32_u32.checked_sub(length)?;
            let bits = u32::from(address);
            IpAddr::V4(bits.checked_shr(rest).map_or(0, |high| high << rest).into())
        }
        IpAddr::V6(address) => {
            let rest = 128_u32.checked_sub(length)?;
            let bits = u128::from(address);
            IpAddr::V6(bits.checked_shr(rest).map_or(0, |high| high << rest).into())
        }
    };
    let block = format!("{first}/{length}");
    (address.parse() != Ok(first)).then_some(block)
}

fn path(operator: Operator, value: &str, is_whole: bool) -> Option<String> {
    let from_start = is_whole || matches!(operator, Operator::Prefix | Operator::PathPrefix);
    if let Some((path, _)) = value.split_once('?') {
        let hint = match path {
            "" => String::new(),
            path => format!("; did you mean {}?", quote(path)),
        };
        return Some(format!(
            "a path ends before `?`, and the location `query` has the rest{hint}"
        ));
    }
    if value.contains('#') {
        return Some("clients keep what stands after `#` to themselves".to_owned());
    }
    if value.contains([' ', '\t']) {
        let escaped = value.replace(' ', "%20");
        return Some(format!("a path has no blanks; did you mean {}?", quote(&escaped)));
    }
    if !from_start || (value.is_empty() && !is_whole) || value == "*" {
        return None;
    }
    if let Some((_, rest)) = value.split_once("://") {
        let path = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/");
        return Some(format!(
            "a path has no scheme and no host, which the location `system` has; did you mean {}?",
            quote(path)
        ));
    }
    (!value.starts_with('/'))
        .then(|| format!("a path begins with `/`; did you mean {}?", quote(&format!("/{value}"))))
}

/// A path with another tool's wildcard.
fn wild_path(operator: Operator, value: &str, is_whole: bool) -> Option<String> {
    if !is_whole && !matches!(operator, Operator::Prefix | Operator::PathPrefix) {
        return None;
    }
    let wild = value.strip_suffix('*')?;
    let (better, wild) = match wild.strip_suffix('/') {
        Some("") => (Operator::PathPrefix, "/"),
        Some(wild) => (Operator::PathPrefix, wild),
        None if wild.is_empty() => return None,
        None => (Operator::Prefix, wild),
    };
    Some(format!(
        "`*` stands for itself; did you mean the operator `{}` with {}?",
        better.word(),
        quote(wild)
    ))
}

/// A pattern that begins with a letter, or asks for a query.
fn path_pattern(operator: Operator, pattern: &str) -> Option<String> {
    let is_pattern = matches!(operator, Operator::Regex | Operator::NotRegex);
    if !is_pattern || pattern.contains('|') {
        return None;
    }
    if let Some(rest) = pattern.strip_prefix('^')
        && rest.starts_with(|first: char| first.is_ascii_alphanumeric())
        && !rest.get(1..).is_some_and(|rest| rest.starts_with(['?', '*', '{']))
    {
        let hint = quote(&format!("^/{rest}"));
        return Some(format!("a path begins with `/`; did you mean {hint}?"));
    }
    let asked = pattern.find("\\?").and_then(|at| pattern.get(at + 2..))?;
    let is_optional = asked.starts_with(['?', '*', '{']);
    (!is_optional && !pattern.contains(['(', '[']))
        .then(|| "a path ends before `?`, and the location `query` has the rest".to_owned())
}

fn domain(value: &str) -> Option<String> {
    let meant = |host: &str| match host {
        "" => String::new(),
        host => format!("; did you mean {}?", quote(host)),
    };
    let host = value.split_once("://").map_or(value, |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or(host);
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') && port.bytes().all(|b| b.is_ascii_digit()) => {
            name
        }
        _ => host,
    };
    if value.contains("://") {
        return Some(format!("a domain has no scheme{}", meant(name)));
    }
    if value.contains('/') {
        return Some(format!("a domain has no path{}", meant(name)));
    }
    if name != host {
        return Some(format!("a domain has no port{}", meant(name)));
    }
    let rest = value.strip_prefix('*').unwrap_or(value);
    if rest != value && !rest.is_empty() && !rest.contains('*') {
        return Some(format!(
            "`*` stands for itself; did you mean the operator `suffix` with {}?",
            quote(rest)
        ));
    }
    value.contains('*').then(|| {
        "`*` stands for itself; accepted are the operators `prefix`, `suffix` and `regex`"
            .to_owned()
    })
}

fn method(value: &str) -> Option<Doubt> {
    let upper = value.to_ascii_uppercase();
    if METHODS.contains(&upper.as_str()) {
        return None;
    }
    let separated = upper.split([',', '|', ' ', ';']).filter(|part| METHODS.contains(part)).count();
    if separated > 1 {
        let why = "a request has one method; accepted is a list of them";
        return Some(Doubt::Never(why.to_owned()));
    }
    let near = nearest(&upper, METHODS.iter().copied());
    let hint = near.map(|near| format!("; did you mean {}?", quote(near))).unwrap_or_default();
    Some(Doubt::Strange(format!("{} is no registered method{hint}", quote(value))))
}

/// A name with more in it than a name.
fn key_with_value(key: &str, at: &mut Cursor<'_>) {
    let Some((name, value)) = key.split_once('=') else { return };
    at.warning(format!(
        "a name ends before `=`; did you mean the key {} and the value {}?",
        quote(name.trim_start_matches(['?', '&'])),
        quote(value)
    ));
}

/// A key in the notation of another tool.
fn key_of_body(key: &str, at: &mut Cursor<'_>) {
    let is_index = |part: &str| part.ends_with(']') && part.contains('[');
    let (notation, plain) = if key.starts_with("$.") || key.starts_with("$[") {
        ("JSONPath", key.trim_start_matches('$'))
    } else if key.starts_with('/') {
        ("a JSON Pointer", key)
    } else if key.starts_with('.') {
        ("jq", key)
    } else if key.split('.').any(is_index) {
        ("JavaScript", key)
    } else {
        return;
    };
    let steps: Vec<&str> = plain
        .split(['.', '/', '[', ']'])
        .map(|step| step.trim_matches(['"', '\'']))
        .filter(|step| !step.is_empty())
        .collect();
    at.warning(format!(
        "reads like {notation}; accepted are names and indexes with dots between them; did you mean {}?",
        quote(&steps.join("."))
    ));
}
