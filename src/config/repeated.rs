//! Fields that stand in an object twice: JSON readers take one of them without a word.

use hashbrown::HashSet;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// The paths of all fields that stand a second time in their object.
pub(super) fn repeated_fields(json: &[u8]) -> Vec<String> {
    let mut scan = Scan::default();
    // Only what is JSON comes here, so that nothing is left to be wrong.
    let _ = Level(&mut scan).deserialize(&mut serde_json::Deserializer::from_slice(json));
    scan.found
}

#[derive(Default)]
struct Scan {
    path: String,
    found: Vec<String>,
}

/// One value on the way.
struct Level<'s>(&'s mut Scan);

impl Level<'_> {
    /// Runs one step further down.
    fn within<T>(&mut self, step: &str, visit: impl FnOnce(Level<'_>) -> T) -> T {
        let length = self.0.path.len();
        self.0.path.push_str(step);
        let result = visit(Level(self.0));
        self.0.path.truncate(length);
        result
    }
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(name) = fields.next_key::<String>()? {
            let dot = if self.0.path.is_empty() { "" } else { "." };
            self.within(&format!("{dot}{name}"), |level| {
                if !seen.insert(name) {
                    level.0.found.push(level.0.path.clone());
                }
                fields.next_value_seed(level)
            })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        for index in 0.. {
            let next =
                self.within(&format!("[{index}]"), |level| elements.next_element_seed(level));
            if next?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::repeated_fields;

    #[test]
    fn every_repetition_has_its_path() {
        let table: &[(&str, &[&str])] = &[
            (r#"{"a":1,"b":[1.50,"x",null,true,{"a":-1}]}"#, &[]),
            (r#"{"a":1,"a":2,"a":3}"#, &["a", "a"]),
            (r#"{"rules":[{},{"weight":1,"upstream":[],"weight":2}]}"#, &["rules[1].weight"]),
            (r#"[[{"a":{"b":1,"b":1}}]]"#, &["[0][0].a.b"]),
            ("7", &[]),
        ];
        for (json, paths) in table {
            assert_eq!(repeated_fields(json.as_bytes()), *paths, "{json}");
        }
    }
}
