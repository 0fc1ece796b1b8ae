//! A manifest whose fields keep their order, and its YAML.

use serde_json::{Map, Value};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    Scalar(Value),
    /// A text of several lines that is written as it is.
    Block(String),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

impl From<&Value> for Tree {
    fn from(value: &Value) -> Self {
        match value {
            Value::Object(fields) => {
                Self::Map(fields.iter().map(|(name, value)| (name.clone(), value.into())).collect())
            }
            Value::Array(elements) => Self::List(elements.iter().map(Self::from).collect()),
            scalar => Self::Scalar(scalar.clone()),
        }
    }
}

impl Tree {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Scalar(Value::String(text.into()))
    }

    pub(super) fn map(fields: Vec<(&str, Self)>) -> Self {
        Self::Map(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    pub(super) fn json(&self) -> Value {
        match self {
            Self::Scalar(value) => value.clone(),
            Self::Block(text) => Value::from(text.as_str()),
            Self::List(elements) => elements.iter().map(Self::json).collect(),
            Self::Map(fields) => {
                let fields = fields.iter().map(|(name, value)| (name.clone(), value.json()));
                Value::Object(fields.collect::<Map<_, _>>())
            }
        }
    }

    pub(super) fn yaml(&self) -> String {
        let mut text = String::new();
        self.write(0, &mut text);
        text
    }

    /// Writes the tree from the start of a line on, or, for elements of a list, behind their dash.
    fn write(&self, indent: usize, text: &mut String) {
        let pad = |text: &mut String| {
            if text.is_empty() || text.ends_with('\n') {
                text.push_str(&" ".repeat(indent));
            }
        };
        match self {
            Self::Scalar(value) => {
                text.push_str(&scalar(value));
                text.push('\n');
            }
            Self::Block(block) => {
                text.push_str("|-\n");
                for line in block.lines() {
                    text.push_str(&" ".repeat(indent));
                    text.push_str(line);
                    text.push('\n');
                }
            }
            Self::Map(fields) if fields.is_empty() => text.push_str("{}\n"),
            Self::List(elements) if elements.is_empty() => text.push_str("[]\n"),
            Self::Map(fields) => {
                for (name, value) in fields {
                    pad(text);
                    text.push_str(&scalar(&Value::String(name.clone())));
                    text.push(':');
                    match value {
                        Self::Scalar(_) | Self::Block(_) => text.push(' '),
                        Self::List(elements) if elements.is_empty() => text.push(' '),
                        Self::Map(fields) if fields.is_empty() => text.push(' '),
                        _ => text.push('\n'),
                    }
                    // A list stands as deep as its field.
                    let deeper = if matches!(value, Self::List(_)) { indent } else { indent + 2 };
                    value.write(deeper, text);
                }
            }
            Self::List(elements) => {
                for element in elements {
                    pad(text);
                    text.push_str("- ");
                    element.write(indent + 2, text);
                }
            }
        }
    }
}

/// A scalar: text without quotes only where no YAML reader can take it for something else.
fn scalar(value: &Value) -> String {
    let Value::String(text) = value else { return value.to_string() };
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
    let means_more = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    if is_word && !means_more.iter().any(|word| word.eq_ignore_ascii_case(text)) {
        text.clone()
    } else {
        // JSON's strings are YAML's.
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn yaml_is_laid_out() {
        let tree = Tree::map(vec![
            ("name", Tree::text("a.b-c")),
            ("number", Tree::text("1")),
            ("word", Tree::text("Off")),
            ("empty", Tree::List(Vec::new())),
            ("block", Tree::Block("{\n  \"a\": 1\n}".to_owned())),
            (
                "list",
                Tree::List(vec![
                    Tree::map(vec![
                        ("a", Tree::Scalar(json!(1))),
                        ("b", Tree::map(vec![("c", Tree::Scalar(json!(null)))])),
                    ]),
                    Tree::text("^/x\n\"$"),
                ]),
            ),
        ]);
        let text = "name: a.b-c\nnumber: \"1\"\nword: \"Off\"\nempty: []\nblock: |-\n  {\n    \"a\": 1\n  }\nlist:\n- a: 1\n  b:\n    c: null\n- \"^/x\\n\\\"$\"\n";
        assert_eq!(tree.yaml(), text);
    }
}
