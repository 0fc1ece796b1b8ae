//! APISIX's expressions (lua-resty-expr) as alternatives of conditions.
//!
//! Its comparisons are Lua's: a number is compared with what Lua takes for one, and everything else is
//! a comparison of texts. What can never or always be true becomes just that.

use super::draft::Item;
use super::pattern::literal;
use super::reading::{Import, head};
use crate::source::Node;
use serde_json::Value;
use std::net::IpAddr;
use tse_route::config::{Location, Operator, quote};

/// The most alternatives that an expression may have.
const MOST: usize = 500;

/// What Lua and the filter both take for a number, and nothing that the filter takes for a version.
const DECIMAL: &str = r"^[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)$";

/// Alternatives, each of items that all must hold: none is never, an empty one is always.
pub(super) type Alternatives = Vec<Vec<Item>>;

/// What a list of `vars` asks for; none where it cannot be carried over.
pub(super) fn alternatives(vars: &Node, import: &mut Import) -> Option<Alternatives> {
    if let Some(word) = vars.elements().first().and_then(Node::text)
        && logic(word).is_none()
    {
        import.error(head(vars), "a comparison has to stand in a list of its own");
        return None;
    }
    read(vars, false, import)
}

/// A word that joins expressions: whether one is enough, and whether the whole is negated.
fn logic(word: &str) -> Option<(bool, bool)> {
    match word.to_ascii_uppercase().as_str() {
        "AND" => Some((false, false)),
        "OR" => Some((true, false)),
        "!AND" | "!" => Some((false, true)),
        "!OR" => Some((true, true)),
        _ => None,
    }
}

/// A list of expressions, perhaps with a word in front that joins them.
fn read(node: &Node, negated: bool, import: &mut Import) -> Option<Alternatives> {
    let elements = node.elements();
    let Some(first) = elements.first() else {
        let message = "accepted is a list, as in [[\"arg_name\", \"==\", \"jack\"]]";
        // No expression at all is always true.
        if !matches!(node.kind, crate::source::Kind::List(_)) {
            import.error(head(node), message);
            return None;
        }
        return Some(if negated { Vec::new() } else { vec![Vec::new()] });
    };
    let (any, inverted, rest) = match first.text() {
        None => (false, false, elements),
        Some(word) => match logic(word) {
            Some((any, inverted)) => (any, inverted, elements.get(1..).unwrap_or_default()),
            None => return comparison(node, negated, import),
        },
    };
    let negated = negated != inverted;
    // Not both is one not, or the other not.
    let any = any != negated;
    let mut parts = Vec::new();
    for element in rest {
        parts.push(read(element, negated, import));
    }
    let parts: Vec<Alternatives> = parts.into_iter().collect::<Option<_>>()?;
    let joined = if any { parts.concat() } else { all_of(&parts) };
    if joined.len() > MOST {
        import.error(head(node), format!("more than {MOST} alternatives when written out"));
        return None;
    }
    Some(joined)
}

/// All parts at once, written out.
pub(super) fn all_of(parts: &[Alternatives]) -> Alternatives {
    let mut joined: Alternatives = vec![Vec::new()];
    for part in parts {
        joined = joined
            .iter()
            .flat_map(|left| part.iter().map(move |right| [left.as_slice(), right].concat()))
            .take(MOST + 1)
            .collect();
    }
    joined
}

/// A comparison that is true or false whatever the request is like.
fn constant(truth: bool) -> Alternatives {
    if truth { vec![Vec::new()] } else { Vec::new() }
}

/// What a variable is in the filter.
struct Variable<'n> {
    location: Location,
    key: String,
    /// What must hold besides for the variable to have a value at all.
    guard: Option<Item>,
    name: &'n str,
}

impl Variable<'_> {
    fn item(&self, operator: Operator, value: &str) -> Item {
        Item::new(self.location, &self.key, operator, value)
    }

    /// Alternatives of which one must hold, or, negated, none may. Each is items that all must hold.
    fn either(&self, positive: Alternatives, negated: bool) -> Alternatives {
        let guarded: Alternatives = positive
            .into_iter()
            .map(|items| self.guard.iter().cloned().chain(items).collect())
            .collect();
        if !negated {
            return guarded;
        }
        let parts: Vec<Alternatives> = guarded
            .into_iter()
            .map(|items| items.into_iter().filter_map(opposite).map(|item| vec![item]).collect())
            .collect();
        all_of(&parts)
    }
}

/// The item that holds where another does not.
fn opposite(item: Item) -> Option<Item> {
    let operator = match item.operator {
        Operator::Eq => Operator::Ne,
        Operator::Ne => Operator::Eq,
        Operator::Exists => Operator::NotExists,
        Operator::NotExists => Operator::Exists,
        Operator::Regex => Operator::NotRegex,
        Operator::NotRegex => Operator::Regex,
        Operator::In => Operator::NotIn,
        Operator::NotIn => Operator::In,
        Operator::Contains => Operator::NotContains,
        Operator::NotContains => Operator::Contains,
        // Beside the pattern of a number, whose opposite is an alternative of its own.
        Operator::Gt => Operator::Le,
        Operator::Le => Operator::Gt,
        Operator::Ge => Operator::Lt,
        Operator::Lt => Operator::Ge,
        Operator::Prefix | Operator::Suffix | Operator::PathPrefix => return None,
    };
    Some(Item { operator, ..item })
}

/// A variable, perhaps a negation, an operator and a value.
fn comparison(node: &Node, negated: bool, import: &mut Import) -> Option<Alternatives> {
    let null = Node::null(head(node));
    let (name, operator, value, negated) = match node.elements() {
        // Without an operator it is `==`, and a value that is missing is null.
        [name, second] if second.text().is_some_and(known) => {
            (name, second.text().unwrap_or_default(), &null, negated)
        }
        [name, value] => (name, "", value, negated),
        [name, operator, value] => (name, operator.text().unwrap_or_default(), value, negated),
        [name, not, operator, value] if not.text() == Some("!") => {
            (name, operator.text().unwrap_or_default(), value, !negated)
        }
        _ => {
            import.error(
                head(node),
                "accepted is a comparison as in [\"arg_name\", \"==\", \"jack\"]",
            );
            return None;
        }
    };
    let span = node.elements().get(1).map_or_else(|| head(node), |operator| operator.span.clone());
    let operator = operator.to_ascii_lowercase();
    let lowered;
    let (operator, value) = if operator.is_empty() {
        // The library puts what stands in the operator's place into lower case.
        let text = value.text().map(str::to_ascii_lowercase).unwrap_or_else(|| text_of(value));
        lowered = Node {
            span: value.span.clone(),
            kind: crate::source::Kind::Scalar(Value::from(text), crate::source::Style::Other),
        };
        ("==".to_owned(), &lowered)
    } else {
        (operator, value)
    };
    let written = name.text().unwrap_or_default();
    let Some(variable) = variable(written) else {
        import.lost(
            name.span.clone(),
            format!("the variable {} cannot be carried over", quote(written)),
        );
        return None;
    };
    match compare(&variable, &operator, value, negated) {
        Ok((found, remark)) => {
            if let Some(remark) = remark {
                import.warning(span, remark);
            }
            Some(found)
        }
        Err(message) => {
            import.lost(span, message);
            None
        }
    }
}

fn known(operator: &str) -> bool {
    let operators = ["==", "~=", ">", ">=", "<", "<=", "~~", "~*", "in", "has", "ipmatch"];
    operators.contains(&operator.to_ascii_lowercase().as_str())
}

type Compared = Result<(Alternatives, Option<String>), String>;

fn compare(variable: &Variable, operator: &str, value: &Node, negated: bool) -> Compared {
    let sound = |found: Alternatives| Ok((found, None));
    match operator {
        "~=" => compare(variable, "==", value, !negated),
        "==" if value.is_null() => {
            // Where the guard does not hold there is no value.
            let exists = variable.item(Operator::Exists, "");
            sound(variable.either(vec![vec![exists]], !negated))
        }
        "==" => match value.scalar() {
            Some(Value::String(text)) => {
                let remark = (variable.location == Location::Body && variable.guard.is_none())
                    .then(|| {
                        "a number or a boolean of the body counts as its text here, which it does \
                         not in APISIX"
                            .to_owned()
                    });
                Ok((equal(variable, text, negated), remark))
            }
            Some(Value::Number(number)) => {
                let pattern = number
                    .as_f64()
                    .and_then(equal_number)
                    .ok_or_else(|| format!("the number {number} cannot be carried over"))?;
                let item = variable.item(Operator::Regex, &pattern);
                Ok((variable.either(vec![vec![item]], negated), Some(spelled())))
            }
            Some(Value::Bool(flag)) if variable.location == Location::Body => {
                let item = variable.item(Operator::Eq, &flag.to_string());
                let remark = format!(
                    "the text \"{flag}\" counts as {flag} here, which it does not in APISIX"
                );
                Ok((variable.either(vec![vec![item]], negated), Some(remark)))
            }
            // A text is never equal to anything else.
            _ => Ok((constant(negated), Some(never("==", value)))),
        },
        ">" | "<" | ">=" | "<=" => {
            let Some(number) = lua_number(value).and_then(decimal) else {
                return Ok((constant(negated), Some(never(operator, value))));
            };
            let ordered = match operator {
                ">" => Operator::Gt,
                "<" => Operator::Lt,
                ">=" => Operator::Ge,
                _ => Operator::Le,
            };
            if variable.key == "clientIP" {
                return Err(format!("{} on an address cannot be carried over", quote(operator)));
            }
            let items =
                vec![variable.item(Operator::Regex, DECIMAL), variable.item(ordered, &number)];
            Ok((variable.either(vec![items], negated), Some(spelled())))
        }
        "~~" | "~*" => {
            let Some(pattern) = value.text() else {
                return Err(format!(
                    "{} without a pattern cannot be carried over",
                    quote(operator)
                ));
            };
            let pattern =
                if operator == "~*" { format!("(?i){pattern}") } else { pattern.to_owned() };
            let item = variable.item(Operator::Regex, &pattern);
            sound(variable.either(vec![vec![item]], negated))
        }
        "in" => {
            // Elements that are no text are never equal to one.
            let texts: Vec<String> =
                value.elements().iter().filter_map(Node::text).map(str::to_owned).collect();
            let ignored = value.elements().len() - texts.len();
            let remark = (ignored > 0 || texts.is_empty()).then(|| never("in", value));
            let texts: Vec<String> =
                texts.into_iter().filter(|text| variable.can_be(text)).collect();
            if texts.is_empty() {
                return Ok((constant(negated), remark));
            }
            let found = match Item::list(variable.location, &variable.key, Operator::In, &texts) {
                Some(item) => vec![vec![item]],
                // No delimiter keeps them apart.
                None => texts.iter().map(|text| vec![variable.item(Operator::Eq, text)]).collect(),
            };
            Ok((variable.either(found, negated), remark))
        }
        "ipmatch" if variable.key == "clientIP" => {
            let addresses: Vec<String> = match value.elements() {
                [] => value.text().map(str::to_owned).into_iter().collect(),
                several => several.iter().filter_map(Node::text).map(str::to_owned).collect(),
            };
            match Item::list(variable.location, &variable.key, Operator::In, &addresses) {
                Some(item) => sound(variable.either(vec![vec![item]], negated)),
                None => Err("`ipmatch` without addresses cannot be carried over".to_owned()),
            }
        }
        other => Err(format!(
            "the operator {} on {} cannot be carried over",
            quote(other),
            variable.name
        )),
    }
}

fn equal(variable: &Variable, text: &str, negated: bool) -> Alternatives {
    if !variable.can_be(text) {
        return constant(negated);
    }
    variable.either(vec![vec![variable.item(Operator::Eq, text)]], negated)
}

impl Variable<'_> {
    /// Whether the variable can have this value at all.
    fn can_be(&self, text: &str) -> bool {
        match self.key.as_str() {
            // nginx puts the host into lower case, and its own scheme, and an address is no block.
            "domain" | "httpScheme" if self.location == Location::System => {
                !text.contains(|c: char| c.is_ascii_uppercase())
            }
            "clientIP" if self.location == Location::System => text.parse::<IpAddr>().is_ok(),
            _ => true,
        }
    }
}

fn never(operator: &str, value: &Node) -> String {
    format!(
        "in APISIX no text is {} {}: this is never true, and neither is it here",
        quote(operator),
        text_of(value)
    )
}

/// What is said of numbers.
fn spelled() -> String {
    "numbers that are not written as decimals, as in 1e3, 0x10 or with blanks, count in APISIX and \
     not here"
        .to_owned()
}

fn text_of(node: &Node) -> String {
    node.scalar().map_or_else(
        || node.value().to_string(),
        |value| match value.as_str() {
            Some(text) => text.to_owned(),
            None => value.to_string(),
        },
    )
}

/// What Lua's `tonumber` makes of a value.
fn lua_number(value: &Node) -> Option<f64> {
    match value.scalar()? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => {
            let text = text.trim();
            let (sign, digits) = match text.strip_prefix('-') {
                Some(digits) => (-1.0, digits),
                None => (1.0, text.strip_prefix('+').unwrap_or(text)),
            };
            if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
                return u64::from_str_radix(hex, 16).ok().map(|number| sign * number as f64);
            }
            let plain = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
            digits.parse::<f64>().ok().filter(|_| plain).map(|number| sign * number)
        }
        _ => None,
    }
}

/// A number as the filter writes it; none where it is none, or too large for its digits.
fn decimal(number: f64) -> Option<String> {
    (number.is_finite() && number.abs() < 9e15).then(|| format!("{number}"))
}

/// A pattern of all decimals that are equal to a number.
fn equal_number(number: f64) -> Option<String> {
    let text = decimal(number)?;
    if number == 0.0 {
        return Some(r"^[+-]?(?:0+(?:\.0*)?|\.0+)$".to_owned());
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => (r"\+?", text.as_str()),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let end = match fraction {
        "" => r"(?:\.0*)?".to_owned(),
        fraction => format!(r"\.{fraction}0*"),
    };
    let whole = if whole == "0" { "0*".to_owned() } else { format!("0*{}", literal(whole)) };
    Some(format!("^{sign}{whole}{end}$"))
}

/// Where a variable looks.
fn variable(written: &str) -> Option<Variable<'_>> {
    let named = |location, key: &str, guard| {
        let sound = !key.is_empty();
        sound.then(|| Variable { location, key: key.to_owned(), guard, name: written })
    };
    let unnamed =
        |location| Some(Variable { location, key: String::new(), guard: None, name: written });
    if let Some(name) = written.strip_prefix("arg_") {
        return named(Location::Query, name, None);
    }
    if let Some(name) = written.strip_prefix("http_") {
        return named(Location::Header, &name.replace('_', "-").to_ascii_lowercase(), None);
    }
    if let Some(name) = written.strip_prefix("cookie_") {
        return named(Location::Cookie, name, None);
    }
    if let Some(name) = written.strip_prefix("post_arg_") {
        // Only of forms.
        let pattern = "^application/x-www-form-urlencoded";
        let form = Item::new(Location::Header, "content-type", Operator::Regex, pattern);
        return named(Location::Body, name, Some(form));
    }
    if let Some(name) = written.strip_prefix("post_arg.") {
        let is_plain = !name.contains(['[', '*']) && !name.contains("..");
        return is_plain.then(|| named(Location::Body, name, None)).flatten();
    }
    match written {
        "uri" => unnamed(Location::Path),
        "request_method" | "method" => unnamed(Location::Method),
        "remote_addr" => named(Location::System, "clientIP", None),
        "host" => named(Location::System, "domain", None),
        "scheme" => named(Location::System, "httpScheme", None),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_equal_however_they_are_written() {
        let table = [
            (10.0, r"^\+?0*10(?:\.0*)?$"),
            (-1.5, r"^-0*1\.50*$"),
            (0.25, r"^\+?0*\.250*$"),
            (0.0, r"^[+-]?(?:0+(?:\.0*)?|\.0+)$"),
        ];
        for (number, pattern) in table {
            assert_eq!(equal_number(number).as_deref(), Some(pattern));
        }
        assert_eq!((equal_number(1e300), equal_number(f64::NAN)), (None, None));
    }

    #[test]
    fn lua_takes_these_for_numbers() {
        let number = |text: &str| {
            let kind = crate::source::Kind::Scalar(Value::from(text), crate::source::Style::Other);
            lua_number(&Node { span: 0..0, kind })
        };
        for (text, expected) in [
            ("10", Some(10.0)),
            (" 1e3 ", Some(1_000.0)),
            ("0x10", Some(16.0)),
            ("-.5", Some(-0.5)),
            ("1.2.3", None),
            ("v1", None),
            ("", None),
            ("inf", None),
            ("nan", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
    }
}
