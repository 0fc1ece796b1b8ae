//! What stands in a value for the decision: `{rule}` and `{upstream}`.

/// The label of the service's own upstream; Kong's bridge plugin has the same.
pub const OWN: &str = "(own)";

/// The labels of a rule and of one of its upstreams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placeholders {
    rule: String,
    upstream: String,
}

impl Placeholders {
    /// The labels, as in the metrics: a rule without a name is called by its weight, the service's
    /// own upstream [`OWN`].
    pub fn new(name: Option<&str>, weight: u64, upstream: Option<&str>) -> Self {
        let rule = match name.map(printable) {
            Some(name) if !name.trim().is_empty() => name.trim().to_owned(),
            _ => weight.to_string(),
        };
        Self { rule, upstream: upstream.unwrap_or(OWN).to_owned() }
    }

    /// A text with the labels in it; every other brace stays.
    pub fn fill(&self, text: &str) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(before);
            let known = [("rule}", &self.rule), ("upstream}", &self.upstream)]
                .into_iter()
                .find_map(|(word, label)| Some((label, after.strip_prefix(word)?)));
            rest = match known {
                Some((label, after)) => {
                    filled.push_str(label);
                    after
                }
                None => {
                    filled.push('{');
                    after
                }
            };
        }
        filled.push_str(rest);
        filled
    }
}

/// A label without what may not stand in a header.
pub(crate) fn printable(label: &str) -> String {
    label.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_two_names_are_replaced() {
        let names = Placeholders::new(Some("{upstream}\n2 "), 7, Some("green"));
        for (text, filled) in [
            ("", ""),
            ("plain", "plain"),
            ("{rule}", "{upstream} 2"),
            ("{upstream}", "green"),
            ("a{upstream}b{rule}c", "agreenb{upstream} 2c"),
            ("{{upstream}}", "{green}"),
            ("{Rule} {up} {rule {upstream", "{Rule} {up} {rule {upstream"),
            ("{", "{"),
            ("}{\"a\":1}", "}{\"a\":1}"),
        ] {
            assert_eq!(names.fill(text), filled, "{text:?}");
        }
    }

    #[test]
    fn a_rule_without_a_name_is_its_weight() {
        for name in [None, Some(""), Some(" \n")] {
            assert_eq!(Placeholders::new(name, 7, None).fill("{rule}/{upstream}"), "7/(own)");
        }
    }
}
