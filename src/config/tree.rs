//! From text to a tree, within limits.

use crate::json::{Fault, Kind, Reader, Text};
use serde_json::{Map, Number, Value};
use std::borrow::Cow;

/// The longest configuration, in bytes.
pub const MAX_BYTES: usize = 10 << 20;
/// The most values that a configuration may have: ten times those of as many rules as are allowed.
const MAX_VALUES: usize = 1 << 20;
/// How deep a configuration may be nested: what is accepted is not a tenth of it.
const DEEPEST: usize = 64;
/// The most fields that an object may have: four times as many as a rule has upstreams.
const MAX_FIELDS: usize = 1_024;
/// So many repeated fields are told of.
const MOST_REPEATED: usize = 100;

/// A configuration's text, read.
pub(super) struct Tree {
    pub(super) value: Value,
    /// The paths of fields that stand a second time in their object. The last of each counts.
    pub(super) repeated: Vec<String>,
}

/// Reads all of a text; why it cannot be read.
pub(super) fn read(text: &[u8]) -> Result<Tree, String> {
    if text.len() > MAX_BYTES {
        return Err(format!("found {} bytes; accepted are at most {MAX_BYTES}", text.len()));
    }
    let mut builder = Builder::new(text);
    let value = builder.value().and_then(|value| {
        builder.reader.end()?;
        Ok(value)
    });
    match value {
        Ok(value) => Ok(Tree { value, repeated: builder.repeated }),
        Err(Stop::TooManyValues) => {
            Err(format!("found more than {MAX_VALUES} values; accepted are at most so many"))
        }
        Err(Stop::TooManyFields) => Err(format!(
            "found an object of more than {MAX_FIELDS} fields; accepted are at most so many"
        )),
        Err(Stop::TooDeep) => {
            Err(format!("found values nested more than {DEEPEST} deep; accepted is less"))
        }
        Err(Stop::NoJson(fault)) => Err(not_json(text, fault)),
    }
}

/// The value that a text is, within the limits of configurations; none where it is none.
///
/// Whoever reads JSON in the filter does it here: a second reader would be a twentieth of its size.
pub fn json_value(text: &[u8]) -> Option<Value> {
    read(text).ok().map(|tree| tree.value)
}

/// The value that a text begins with, and how many bytes it takes.
pub fn first_json_value(text: &[u8]) -> Option<(Value, usize)> {
    let mut builder = Builder::new(text);
    let value = builder.value().ok()?;
    Some((value, builder.reader.place()))
}

/// Why reading ended early.
enum Stop {
    NoJson(Fault),
    TooManyValues,
    TooManyFields,
    TooDeep,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::NoJson(fault)
    }
}

fn not_json(text: &[u8], fault: Fault) -> String {
    let before = text.get(..fault.at).unwrap_or(text);
    let line = memchr::memchr_iter(b'\n', before).count() + 1;
    let column = before.len() - memchr::memrchr(b'\n', before).map_or(0, |at| at + 1) + 1;
    // Envoy hands a Struct over as protobuf: the tag of a field, and in it that of a value.
    let is_protobuf = text.starts_with(b"\n") && text.contains(&0x12);
    let hint = if is_protobuf {
        "; in Envoy the configuration must be a google.protobuf.StringValue"
    } else {
        ""
    };
    format!("not JSON: {} at line {line} column {column}{hint}", fault.what)
}

struct Builder<'t> {
    reader: Reader<'t>,
    values: usize,
    depth: usize,
    path: String,
    repeated: Vec<String>,
}

impl<'t> Builder<'t> {
    fn new(text: &'t [u8]) -> Self {
        let reader = Reader::new(text);
        Self { reader, values: 0, depth: 0, path: String::new(), repeated: Vec::new() }
    }

    fn value(&mut self) -> Result<Value, Stop> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(Stop::TooManyValues);
        }
        Ok(match self.reader.kind()? {
            Kind::Null => self.reader.word("null").map(|()| Value::Null)?,
            Kind::True => self.reader.word("true").map(|()| Value::Bool(true))?,
            Kind::False => self.reader.word("false").map(|()| Value::Bool(false))?,
            Kind::Number => {
                let text = String::from_utf8_lossy(self.reader.number()?).into_owned();
                // Sound, and to be kept as it is written.
                Value::Number(Number::from_string_unchecked(text))
            }
            Kind::Text => {
                let start = self.reader.start();
                let text = self.reader.text()?;
                Value::String(utf8(text, start)?.into_owned())
            }
            Kind::List => self.inside(Self::list)?,
            Kind::Object => self.inside(Self::object)?,
        })
    }

    /// Reads one level further down.
    fn inside(&mut self, read: fn(&mut Self) -> Result<Value, Stop>) -> Result<Value, Stop> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(Stop::TooDeep);
        }
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn list(&mut self) -> Result<Value, Stop> {
        let mut elements = Vec::new();
        let length = self.path.len();
        let mut has_next = self.reader.element(true)?;
        while has_next {
            if matches!(self.reader.kind()?, Kind::List | Kind::Object) {
                self.path.push_str(&format!("[{}]", elements.len()));
            }
            elements.push(self.value()?);
            self.path.truncate(length);
            has_next = self.reader.element(false)?;
        }
        Ok(Value::Array(elements))
    }

    fn object(&mut self) -> Result<Value, Stop> {
        let mut fields = Map::new();
        let length = self.path.len();
        let mut next = self.reader.member(true)?;
        while let Some(name) = next {
            let name = utf8(name, self.reader.start())?.into_owned();
            super::report::push_name(&mut self.path, &name);
            let named = self.path.len();
            let value = self.value()?;
            self.path.truncate(named);
            if fields.insert(name, value).is_some() && self.repeated.len() < MOST_REPEATED {
                self.repeated.push(self.path.clone());
            }
            self.path.truncate(length);
            if fields.len() > MAX_FIELDS {
                return Err(Stop::TooManyFields);
            }
            next = self.reader.member(false)?;
        }
        Ok(Value::Object(fields))
    }
}

/// A string as text; `at` is where it stands, for the fault.
fn utf8(text: Text<'_>, at: usize) -> Result<Cow<'_, str>, Fault> {
    let fault = Fault { at, what: "a string that is not UTF-8, or with half a surrogate pair" };
    match text.bytes() {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| fault),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn every_repetition_has_its_path() {
        let table: &[(&str, &[&str])] = &[
            (r#"{"a":1,"b":[1.50,"x",null,true,{"a":-1}]}"#, &[]),
            (r#"{"a":1,"a":2,"a":3}"#, &["a", "a"]),
            (r#"{"rules":[{},{"weight":1,"upstream":[],"weight":2}]}"#, &["rules[1].weight"]),
            (r#"[[{"a":{"b":1,"b":1}}]]"#, &["[0][0].a.b"]),
            (r#"{"a":1,"\u0061":2}"#, &["a"]),
            ("7", &[]),
        ];
        for (text, paths) in table {
            let tree = read(text.as_bytes()).unwrap_or_else(|reason| panic!("{text}: {reason}"));
            assert_eq!(tree.repeated, *paths, "{text}");
        }
    }

    #[test]
    fn numbers_keep_their_text_and_nothing_else_is_one() {
        let text = r#"[1e5, 1.10, -0.0, {"$serde_json::private::Number": "7"}]"#;
        let value = read(text.as_bytes()).map(|tree| tree.value).expect("JSON");
        assert_eq!(value[0].to_string(), "1e5");
        assert_eq!(value[1].to_string(), "1.10");
        assert_eq!(value[2].to_string(), "-0.0");
        assert!(value[3].is_object());
    }

    #[test]
    fn limits_are_told_before_all_is_read() {
        let deep = "[".repeat(DEEPEST + 1);
        let many = format!("[{}", "1,".repeat(MAX_VALUES));
        let long = " ".repeat(MAX_BYTES + 1);
        let names: Vec<String> = (0..=MAX_FIELDS).map(|n| format!("\"{n}\":0")).collect();
        let wide = format!("{{{},", names.join(","));
        for (text, words) in [
            (deep, "nested more than 64 deep"),
            (many, "1048576 values"),
            (long, "10485760"),
            (wide, "1024 fields"),
        ] {
            let told = read(text.as_bytes()).err().unwrap_or_default();
            assert!(told.contains(words) && !told.contains("not JSON"), "{told}");
        }
        let nested = format!("{}{}", "[".repeat(DEEPEST), "]".repeat(DEEPEST));
        assert!(read(nested.as_bytes()).is_ok());
    }

    #[test]
    fn text_that_is_none_is_refused() {
        for text in [&b"\"\xff\""[..], br#"{"\ud800":1}"#, br#"["\udc00"]"#, b"\xef\xbb\xbf{}"] {
            let told = read(text).err().unwrap_or_default();
            assert!(told.starts_with("not JSON: "), "{told}");
        }
    }

    #[test]
    fn a_text_begins_with_a_value() {
        for (text, begins) in [
            (r#"{"a":[1,"}"]},"b":2}"#, Some((json!({"a":[1,"}"]}), 13))),
            (r#" 17 ,"b":2}"#, Some((json!(17), 3))),
            (r#""x""#, Some((json!("x"), 3))),
            (r#"{"a":1"#, None),
            (",", None),
            ("", None),
        ] {
            assert_eq!(first_json_value(text.as_bytes()), begins, "{text}");
        }
        assert_eq!(json_value(b" [1] "), Some(json!([1])));
        assert_eq!(json_value(b"[1] 2"), None);
    }

    proptest! {
        #[test]
        fn trees_are_those_of_serde_json(text in r#"[\[\]{},:"\\ue0-9.\-+ a-c]{0,24}"#) {
            let theirs = serde_json::from_str::<Value>(&text).ok();
            let ours = read(text.as_bytes()).ok().map(|tree| tree.value);
            // They spell exponents in their own way.
            prop_assert_eq!(ours.is_some(), theirs.is_some());
            if !text.contains(['e', 'E']) {
                prop_assert_eq!(ours, theirs);
            }
        }
    }

    #[test]
    fn the_largest_numbers_are_read() {
        let digits = "9".repeat(400);
        let tree = read(digits.as_bytes()).map(|tree| tree.value).expect("JSON");
        assert_eq!(tree.as_f64(), None);
        assert_eq!(tree, json!(tree));
    }
}
