//! Conditions: items by location.

use super::baggage::BaggageKey;
use super::read::{
    Field, as_object, describe, is_empty_object, keywords, mismatch, nearest, refuse_unknown, word,
};
use super::report::Cursor;
use super::values::{HeaderName, Text, is_token};
use serde_json::Value;

/// The most items that one location of a rule may have.
pub const MAX_ITEMS: usize = 1_000;
/// The most steps that the key of a body parameter may have.
const MAX_STEPS: usize = 64;

keywords! {
    /// Where a request is looked at.
    pub enum Location {
        /// A request header.
        Header = "header",
        /// A parameter of the query.
        Query = "query",
        /// A cookie.
        Cookie = "cookie",
        /// A member of the W3C baggage.
        Baggage = "baggage",
        /// A parameter of the body, or the body as a whole.
        Body = "body",
        /// What the gateway knows of the client and the connection.
        System = "system",
        /// The path.
        Path = "path",
        /// The method.
        Method = "method",
    }
}

keywords! {
    /// How the value of a request is compared.
    pub enum Operator {
        /// Bytes equal.
        Eq = "eq" | "exact" | "==",
        /// The negation of `eq`.
        Ne = "ne" | "!=",
        /// Greater.
        Gt = "gt" | ">",
        /// Greater or equal.
        Ge = "ge" | ">=",
        /// Less.
        Lt = "lt" | "<",
        /// Less or equal.
        Le = "le" | "<=",
        /// Present, even when empty.
        Exists = "exists",
        /// Absent.
        NotExists = "not exists",
        /// The pattern is found anywhere.
        Regex = "regex",
        /// The negation of `regex`.
        NotRegex = "not regex",
        /// Equal to one of a list.
        In = "in",
        /// The negation of `in`.
        NotIn = "not in" | "notin" | "not_in",
        /// Starts with.
        Prefix = "prefix",
        /// Ends with.
        Suffix = "suffix",
        /// Has in it.
        Contains = "contains",
        /// The negation of `contains`.
        NotContains = "not contains",
        /// Starts with, by whole path segments.
        PathPrefix = "path_prefix",
    }
}

impl Operator {
    /// Whether the operator compares with a `value`.
    pub fn takes_value(self) -> bool {
        !matches!(self, Self::Exists | Self::NotExists)
    }
}

keywords! {
    /// What separates the values of `in` and `not in`.
    pub enum Delimiter {
        /// `,`
        Comma = ",",
        /// `;`
        Semicolon = ";",
        /// A space.
        Space = " ",
        /// A newline.
        Newline = "\n",
    }
}

/// What a system item looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemKey {
    /// The host of the request, without port, in lower case.
    Domain,
    /// The client's address.
    ClientIp,
    /// The scheme that the client used.
    HttpScheme,
    /// The client's User-Agent header.
    ClientUa,
}

impl SystemKey {
    /// The accepted keys, in their usual spelling.
    pub const WORDS: &'static [&'static str] = &["domain", "clientIP", "httpScheme", "clientUa"];

    /// The key that a word in any case stands for.
    pub fn from_word(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "domain" => Some(Self::Domain),
            "clientip" => Some(Self::ClientIp),
            "httpscheme" => Some(Self::HttpScheme),
            "clientua" => Some(Self::ClientUa),
            _ => None,
        }
    }
}

/// One item of a condition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Item {
    /// The name of the parameter; in lower case for headers.
    pub key: Option<String>,
    /// How the value is compared.
    pub operator: Operator,
    /// What it is compared with.
    pub value: Option<Text>,
    /// What separates the values of `in` and `not in`.
    pub delimiter: Option<Delimiter>,
    /// The stored list that `value` and `delimiter` are taken from.
    pub global_config_id: Option<Text>,
    /// The values of the short form: a list of bare strings.
    pub listed: Option<Vec<String>>,
}

impl Item {
    /// The names of the fields, as they are written.
    pub const FIELDS: &'static [&'static str] =
        &["key", "operator", "value", "delimiter", "global_config_id"];

    fn read<'v>(location: Location, value: &'v Value, at: &mut Cursor<'v>) -> Self {
        let accepted = match location {
            Location::Path | Location::Method => {
                "a string, or an object with `operator` and `value`"
            }
            _ => "an object with `key`, `operator` and `value`",
        };
        let Some(object) = as_object(value, accepted, at) else { return Self::default() };
        refuse_unknown(object, Self::FIELDS, at);
        fn optional<'v, T: Field>(
            object: &'v serde_json::Map<String, Value>,
            name: &'static str,
            at: &mut Cursor<'v>,
        ) -> Option<T> {
            at.field(name, |at| object.get(name).and_then(|value| Option::<T>::read(value, at)))
        }
        let item = Self {
            key: optional::<String>(object, "key", at),
            operator: match object.get("operator") {
                Some(operator) => at.field("operator", |at| Operator::read(operator, at)),
                None => at.field("operator", |at| {
                    at.error("missing; this field is required");
                    // Needs no value, so that nothing else is said of this item.
                    Operator::Exists
                }),
            },
            value: optional(object, "value", at),
            delimiter: optional(object, "delimiter", at),
            global_config_id: optional(object, "global_config_id", at),
            listed: None,
        };
        item.check_value(at);
        item.check_key(location, at)
    }

    fn check_value(&self, at: &mut Cursor<'_>) {
        match (&self.value, &self.global_config_id) {
            (None, None) if self.operator.takes_value() && at.is_sound() => {
                at.field("value", |at| {
                    at.error(format!(
                        "missing; the operator `{}` needs a `value` or a `global_config_id`",
                        self.operator.word()
                    ));
                });
            }
            (Some(value), Some(_)) if !value.0.is_empty() => at.field("value", |at| {
                at.warning("not used: `global_config_id` is set, so the stored list decides");
            }),
            _ => {}
        }
    }

    /// Checks the key as the location needs it, and brings a header's into lower case.
    fn check_key(mut self, location: Location, at: &mut Cursor<'_>) -> Self {
        let key = self.key.take();
        at.field("key", |at| match (location, &key) {
            (Location::Path | Location::Method, _) => {}
            (Location::Body, Some(key)) if key.split('.').count() > MAX_STEPS => at.error(format!(
                "found a key of {} steps; accepted are at most {MAX_STEPS}",
                key.split('.').count()
            )),
            (Location::Body, _) => {}
            (Location::System, Some(word)) if SystemKey::from_word(word).is_some() => {}
            (Location::System, Some(found)) => {
                word(&Value::from(found.as_str()), |_| None::<()>, SystemKey::WORDS, at);
            }
            (Location::Baggage, Some(key)) if !key.is_empty() && !is_token(key) => {
                at.error(BaggageKey::refusal(key));
            }
            (Location::Header, Some(name)) if HeaderName::parse(name).is_none() => {
                let hint = match name.as_str() {
                    ":path" => "; the location `path` looks at the path",
                    ":method" => "; the location `method` looks at the method",
                    ":authority" => "; the system key `domain` looks at the host",
                    ":scheme" => "; the system key `httpScheme` looks at the scheme",
                    _ => "",
                };
                at.error(format!("found {name:?}; accepted is the name of a header{hint}"));
            }
            (_, Some(name)) if !name.is_empty() => {}
            _ => at.error(format!(
                "missing; the location `{}` needs the name of a parameter",
                location.word()
            )),
        });
        self.key = match location {
            Location::Header => key.map(|name| name.to_ascii_lowercase()),
            _ => key,
        };
        self
    }

    /// The item that a bare string stands for.
    fn equal_to(text: &str) -> Self {
        Self { value: Some(Text(text.to_owned())), ..Self::default() }
    }

    #[cfg(feature = "schema")]
    fn schema(location: Location) -> Value {
        use serde_json::json;
        let key = match location {
            Location::Header => HeaderName::schema(),
            Location::Query | Location::Cookie => json!({ "type": "string", "minLength": 1 }),
            Location::Baggage => BaggageKey::schema(),
            Location::System => {
                // Any case: draft 4 knows no flags for patterns.
                let any_case = |word: &str| -> String {
                    word.chars()
                        .map(|c| format!("[{}{}]", c.to_ascii_lowercase(), c.to_ascii_uppercase()))
                        .collect()
                };
                let words: Vec<String> = SystemKey::WORDS.iter().map(|w| any_case(w)).collect();
                json!({ "type": "string", "pattern": format!("^({})$", words.join("|")) })
            }
            Location::Body => json!({
                "type": ["string", "null"],
                "pattern": format!("^[^.]*([.][^.]*){{0,{}}}$", MAX_STEPS - 1),
            }),
            Location::Path | Location::Method => json!({ "type": ["string", "null"] }),
        };
        let required: &[&str] = match location {
            Location::Body | Location::Path | Location::Method => &["operator"],
            _ => &["key", "operator"],
        };
        let said = |schema: Value, doc: &str| {
            super::schema_parts::merged(schema, json!({ "description": doc }))
        };
        json!({
            "type": "object",
            "properties": {
                "key": said(key, "What is looked at, by its name."),
                "operator": said(Operator::schema(), "How it is compared."),
                "value": said(
                    Option::<Text>::schema(),
                    "What to compare with; numbers and booleans are taken as their text. Needed by \
                     every operator except `exists` and `not exists`, unless there is a \
                     `global_config_id`.",
                ),
                "delimiter": said(
                    Option::<Delimiter>::schema(),
                    "Splits `value` for `in` and `not in`; without it a comma does.",
                ),
                "global_config_id": said(
                    Option::<Text>::schema(),
                    "Takes `value` and `delimiter` from the stored list with this `id`.",
                ),
            },
            "required": required,
            "additionalProperties": false,
            "anyOf": [
                { "properties": { "operator": { "enum": ["exists", "not exists"] } } },
                { "required": ["value"], "properties": { "value": Text::schema() } },
                {
                    "required": ["global_config_id"],
                    "properties": { "global_config_id": Text::schema() },
                },
            ],
        })
    }
}

/// The items of one location, as they were written.
#[derive(Clone, Debug, PartialEq)]
pub enum Items {
    /// One item, without a list around it.
    One(Item),
    /// A list of items.
    Many(Vec<Item>),
}

impl Default for Items {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Items {
    /// The items in their order.
    pub fn as_slice(&self) -> &[Item] {
        match self {
            Self::One(item) => std::slice::from_ref(item),
            Self::Many(items) => items,
        }
    }

    /// Visits each item with the cursor at its place.
    pub(crate) fn visit<'c>(
        &'c self,
        at: &mut Cursor<'c>,
        mut visit: impl FnMut(&'c Item, &mut Cursor<'c>),
    ) {
        match self {
            Self::One(item) => visit(item, at),
            Self::Many(items) => at.each(items, visit),
        }
    }

    fn read<'v>(location: Location, value: &'v Value, at: &mut Cursor<'v>) -> Self {
        let takes_strings = matches!(location, Location::Path | Location::Method);
        match value {
            Value::Null => Self::default(),
            // From Lua's one kind of table no list can be told from no item, and the two mean the
            // opposite of each other: always, or a mistake.
            empty if is_empty_object(empty) => {
                at.error(
                    "found an empty object, which is an item without an operator, or an empty \
                     list on its way through Lua; accepted is an item, a list of items, or null \
                     for none",
                );
                Self::default()
            }
            Value::String(text) if takes_strings => Self::One(Item::equal_to(text)),
            Value::Object(_) => Self::One(Item::read(location, value, at)),
            Value::Array(elements) if elements.len() > MAX_ITEMS => {
                at.error(format!(
                    "found a list of {}; accepted are at most {MAX_ITEMS} items",
                    elements.len()
                ));
                Self::default()
            }
            Value::Array(elements) if takes_strings && elements.iter().any(Value::is_string) => {
                Self::read_strings(elements, at)
            }
            Value::Array(elements) => {
                let mut items = Vec::with_capacity(elements.len());
                at.each(elements, |element, at| items.push(Item::read(location, element, at)));
                Self::Many(items)
            }
            _ => {
                let short = if takes_strings { ", a string, a list of strings" } else { "" };
                mismatch(value, &format!("null, an item, a list of items{short}"), at);
                Self::default()
            }
        }
    }

    /// A list of bare strings stands for one `in`.
    fn read_strings<'v>(elements: &'v [Value], at: &mut Cursor<'v>) -> Self {
        let mut listed = Vec::with_capacity(elements.len());
        at.each(elements, |element, at| match element.as_str() {
            Some(text) => listed.push(text.to_owned()),
            None => at.error(format!(
                "found {} in a list of strings; accepted are only strings, or only items",
                describe(element)
            )),
        });
        Self::One(Item { operator: Operator::In, listed: Some(listed), ..Item::default() })
    }

    #[cfg(feature = "schema")]
    fn schema(location: Location) -> Value {
        use serde_json::json;
        // One schema for all forms: `properties` speaks of objects only, `items` of lists only.
        let (types, element_types) = match location {
            Location::Path | Location::Method => {
                (json!(["null", "object", "array", "string"]), json!(["object", "string"]))
            }
            _ => (json!(["null", "object", "array"]), json!("object")),
        };
        let element =
            super::schema_parts::merged(Item::schema(location), json!({ "type": element_types }));
        super::schema_parts::merged(
            Item::schema(location),
            json!({ "type": types, "items": element, "maxItems": MAX_ITEMS }),
        )
    }
}

/// What a request must be like, by location.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Condition {
    /// The items of each location that has any, in the order of [`Location::ALL`].
    pub locations: Vec<(Location, Items)>,
}

impl Field for Condition {
    fn read<'v>(value: &'v Value, at: &mut Cursor<'v>) -> Self {
        let accepted = "an object with `header`, `query`, `cookie`, `baggage`, `body`, `system`, `path`, `method`";
        let Some(object) = as_object(value, accepted, at) else { return Self::default() };
        for name in object.keys().filter(|name| Location::from_word(name).is_none()) {
            if at.is_full() {
                break;
            }
            let hint = nearest(name, Location::WORDS.iter().copied())
                .map(|near| format!("did you mean `{near}`?"))
                .unwrap_or_else(|| format!("accepted is {accepted}"));
            at.field(name, |at| at.error(format!("unknown field; {hint}")));
        }
        let locations = Location::ALL
            .iter()
            .filter_map(|&location| {
                let value = object.get(location.word())?;
                let items = at.field(location.word(), |at| Items::read(location, value, at));
                (!items.as_slice().is_empty()).then_some((location, items))
            })
            .collect();
        Self { locations }
    }

    #[cfg(feature = "schema")]
    fn schema() -> Value {
        let properties: serde_json::Map<String, Value> = Location::ALL
            .iter()
            .map(|&location| (location.word().to_owned(), Items::schema(location)))
            .collect();
        serde_json::json!({
            "type": "object",
            "properties": properties,
            "additionalProperties": false,
        })
    }
}
