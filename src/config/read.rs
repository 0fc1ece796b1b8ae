//! From JSON to types: every fault is reported with its place, and reading goes on after it.
//!
//! A type that can stand in a configuration implements [`Field`]; the macros [`object!`] and
//! [`keywords!`] do so for records and for fixed words. The same declaration yields the JSON
//! Schema, so that what is parsed and what is published cannot drift apart.
//!
//! A value that cannot be read becomes its type's default, and the fault is in the report:
//! whoever draws conclusions from a value asks [`Cursor::is_sound`] first.

use super::report::Cursor;
use serde_json::{Map, Value};

/// A type that can stand in a configuration.
pub(crate) trait Field: Sized + Default {
    /// How many of these a list may have; its length is judged before anything in it is read.
    const MOST: usize = 10_000;

    /// Reads a value; on a fault, reports it at the cursor and returns the default.
    fn read<'v>(value: &'v Value, at: &mut Cursor<'v>) -> Self;

    /// The JSON Schema of the accepted values.
    #[cfg(feature = "schema")]
    fn schema() -> Value;
}

/// A value as a person would name it: `the string "x"`, `the number 3`, `a list`.
pub(crate) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => format!("the boolean {flag}"),
        Value::Number(number) => format!("the number {}", cut(&number.to_string())),
        Value::String(text) => format!("the string {}", quote(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// Quotes text from a configuration for a message, cut where it is long.
pub fn quote(text: &str) -> String {
    let shown = cut(text);
    let rest = if shown.len() < text.len() { "…" } else { "" };
    format!("{shown:?}{rest}")
}

/// The beginning of a text that may be long.
fn cut(text: &str) -> &str {
    const LONGEST: usize = 60;
    let end = text.char_indices().nth(LONGEST).map_or(text.len(), |(end, _)| end);
    text.get(..end).unwrap_or(text)
}

/// Reports what was found and what would be accepted.
pub(crate) fn mismatch(value: &Value, accepted: &str, at: &mut Cursor<'_>) {
    at.error(format!("found {}; accepted is {accepted}", describe(value)));
}

/// The known name that an unknown one was probably meant to be, as far as a short search tells.
pub fn nearest<'k>(unknown: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    const LONGEST: usize = 64;
    const MOST_COMPARED: usize = 500;
    if unknown.len() > LONGEST {
        return None;
    }
    let unknown = unknown.to_ascii_lowercase();
    let furthest = |name: &str| 1 + name.len() / 3;
    known
        .into_iter()
        .filter(|name| {
            name.len() <= LONGEST && name.len().abs_diff(unknown.len()) <= furthest(name)
        })
        .take(MOST_COMPARED)
        .map(|name| (strsim::damerau_levenshtein(&unknown, &name.to_ascii_lowercase()), name))
        .filter(|(distance, name)| *distance <= furthest(name))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Whether this is `{}`, which an empty list becomes on its way through Kong: Lua has one kind of
/// table for both.
pub(crate) fn is_empty_object(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty)
}

/// The object at the cursor, or none and a fault.
pub(crate) fn as_object<'v>(
    value: &'v Value,
    accepted: &str,
    at: &mut Cursor<'v>,
) -> Option<&'v Map<String, Value>> {
    let object = value.as_object();
    if object.is_none() {
        mismatch(value, accepted, at);
    }
    object
}

/// Reports every field of `object` that is not among `known`.
pub(crate) fn refuse_unknown<'v>(
    object: &'v Map<String, Value>,
    known: &[&'static str],
    at: &mut Cursor<'v>,
) {
    for name in object.keys().filter(|name| !known.contains(&name.as_str())) {
        if at.is_full() {
            return;
        }
        let message = match nearest(name, known.iter().copied()) {
            Some(near) => format!("unknown field; did you mean `{near}`?"),
            None => format!("unknown field; accepted are {}", listed(known)),
        };
        at.field(name, |at| at.error(message));
    }
}

/// Names for a message: `` `a`, `b` and `c` ``.
pub(crate) fn listed(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// Declares a record: the type, its defaults, its reading and its schema.
///
/// A field is `required`, or has a default that holds when it is left out.
macro_rules! object {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident $([at most $most:expr])? {
            $( $(#[doc = $doc:literal])* $field:ident: $type:ty = $default:tt, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $name {
            $( $(#[doc = $doc])* pub $field: $type, )*
        }

        impl $name {
            /// The names of the fields, as they are written.
            pub const FIELDS: &'static [&'static str] = &[$(stringify!($field)),*];
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $crate::config::read::object!(@default $default), )* }
            }
        }

        impl $crate::config::read::Field for $name {
            $( const MOST: usize = $most; )?

            fn read<'v>(
                value: &'v serde_json::Value,
                at: &mut $crate::config::report::Cursor<'v>,
            ) -> Self {
                use $crate::config::read;
                let Some(object) = value.as_object() else {
                    let accepted = format!("an object ({})", Self::FIELDS.join(", "));
                    read::mismatch(value, &accepted, at);
                    return Self::default();
                };
                read::refuse_unknown(object, Self::FIELDS, at);
                Self {
                    $( $field: match object.get(stringify!($field)) {
                        Some(value) => at.field(stringify!($field), |at| read::Field::read(value, at)),
                        None => read::object!(@absent $field $default at),
                    }, )*
                }
            }

            #[cfg(feature = "schema")]
            fn schema() -> serde_json::Value {
                $crate::config::schema_parts::object(vec![
                    $( (
                        stringify!($field),
                        <$type as $crate::config::read::Field>::schema(),
                        concat!($($doc, "\n",)* ""),
                        $crate::config::read::object!(@required $default),
                    ), )*
                ])
            }
        }
    };
    (@default required) => { Default::default() };
    (@default { $default:expr }) => { $default };
    (@absent $field:ident required $at:ident) => {{
        $at.field(stringify!($field), |at| at.error("missing; this field is required"));
        Default::default()
    }};
    (@absent $field:ident { $default:expr } $at:ident) => { $default };
    (@required required) => { true };
    (@required { $default:expr }) => { false };
}
pub(crate) use object;

/// Declares an enumeration of words, some of them with other spellings; the first variant is the default.
macro_rules! keywords {
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident {
            $( $(#[doc = $doc:literal])* $variant:ident = $word:literal $(| $alias:literal)*, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $name {
            $( $(#[doc = $doc])* $variant, )*
        }

        impl $name {
            /// Every accepted spelling.
            pub const WORDS: &'static [&'static str] = &[$($word, $($alias,)*)*];

            /// Every value, each once.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The value that a spelling stands for.
            pub fn from_word(word: &str) -> Option<Self> {
                match word {
                    $( $word $(| $alias)* => Some(Self::$variant), )*
                    _ => None,
                }
            }

            /// The usual spelling.
            pub const fn word(self) -> &'static str {
                match self { $( Self::$variant => $word, )* }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                let [first, ..] = [$(Self::$variant,)*];
                first
            }
        }

        impl $crate::config::read::Field for $name {
            fn read<'v>(
                value: &'v serde_json::Value,
                at: &mut $crate::config::report::Cursor<'v>,
            ) -> Self {
                $crate::config::read::word(value, Self::from_word, Self::WORDS, at)
            }

            #[cfg(feature = "schema")]
            fn schema() -> serde_json::Value {
                serde_json::json!({ "type": "string", "enum": Self::WORDS })
            }
        }
    };
}
pub(crate) use keywords;

/// Reads one of a fixed set of words.
pub(crate) fn word<T: Default>(
    value: &Value,
    from_word: impl Fn(&str) -> Option<T>,
    words: &[&str],
    at: &mut Cursor<'_>,
) -> T {
    let Some(text) = value.as_str() else {
        mismatch(value, &format!("one of {}", listed(words)), at);
        return T::default();
    };
    from_word(text).unwrap_or_else(|| {
        let hint = nearest(text, words.iter().copied())
            .map(|near| format!("; did you mean `{near}`?"))
            .unwrap_or_default();
        at.error(format!("found {}; accepted is one of {}{hint}", quote(text), listed(words)));
        T::default()
    })
}

impl Field for bool {
    fn read<'v>(value: &'v Value, at: &mut Cursor<'v>) -> Self {
        value.as_bool().unwrap_or_else(|| {
            mismatch(value, "`true` or `false`", at);
            false
        })
    }

    #[cfg(feature = "schema")]
    fn schema() -> Value {
        serde_json::json!({ "type": "boolean" })
    }
}

impl Field for String {
    fn read<'v>(value: &'v Value, at: &mut Cursor<'v>) -> Self {
        if value.as_str().is_none() {
            mismatch(value, "a string", at);
        }
        value.as_str().unwrap_or_default().to_owned()
    }

    #[cfg(feature = "schema")]
    fn schema() -> Value {
        serde_json::json!({ "type": "string" })
    }
}

/// A whole number of `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Whole<MIN, MAX> {
    /// A number that is known to be in range; one outside is moved to the nearest end.
    pub const fn new(number: u64) -> Self {
        Self(if number < MIN {
            MIN
        } else if number > MAX {
            MAX
        } else {
            number
        })
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl<const MIN: u64, const MAX: u64> Default for Whole<MIN, MAX> {
    fn default() -> Self {
        Self(MIN)
    }
}

impl<const MIN: u64, const MAX: u64> Field for Whole<MIN, MAX> {
    fn read<'v>(value: &'v Value, at: &mut Cursor<'v>) -> Self {
        // `10.0` and `1e1` are whole: Lua and YAML have one kind of number.
        let number = value.as_u64().or_else(|| {
            let number = value.as_f64()?;
            (number.fract() == 0.0 && (0.0..9e15).contains(&number)).then_some(number as u64)
        });
        match number {
            Some(number) if (MIN..=MAX).contains(&number) => Self(number),
            _ => {
                mismatch(value, &format!("a whole number from {MIN} to {MAX}"), at);
                Self::default()
            }
        }
    }

    #[cfg(feature = "schema")]
    fn schema() -> Value {
        // Draft 4's `integer` depends on how a number is written, and on who validates it.
        serde_json::json!({ "type": "number", "multipleOf": 1, "minimum": MIN, "maximum": MAX })
    }
}

impl<T: Field> Field for Option<T> {
    fn read<'v>(value: &'v Value, at: &mut Cursor<'v>) -> Self {
        if value.is_null() { None } else { Some(T::read(value, at)) }
    }

    #[cfg(feature = "schema")]
    fn schema() -> Value {
        super::schema_parts::nullable(T::schema())
    }
}

impl<T: Field> Field for Vec<T> {
    fn read<'v>(value: &'v Value, at: &mut Cursor<'v>) -> Self {
        if is_empty_object(value) {
            return Self::new();
        }
        let Some(elements) = value.as_array() else {
            mismatch(value, "a list", at);
            return Self::new();
        };
        if elements.len() > T::MOST {
            at.error(format!(
                "found a list of {}; accepted is a list of at most {}",
                elements.len(),
                T::MOST
            ));
            return Self::new();
        }
        let mut read = Self::with_capacity(elements.len());
        at.each(elements, |element, at| read.push(T::read(element, at)));
        read
    }

    #[cfg(feature = "schema")]
    fn schema() -> Value {
        // An empty object is what an empty list becomes on its way through Lua.
        serde_json::json!({
            "type": ["array", "object"],
            "items": T::schema(),
            "maxItems": T::MOST,
            "maxProperties": 0,
        })
    }
}
