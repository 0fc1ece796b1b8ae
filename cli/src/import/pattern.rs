//! Patterns of other gateways.

use regex_syntax::hir::Look;

/// A pattern that the whole value must match, as it must in Envoy and in most gateways.
pub(super) fn whole(pattern: &str) -> String {
    match regex_syntax::Parser::new().parse(pattern) {
        Ok(parsed) => {
            let properties = parsed.properties();
            let anchored = properties.look_set_prefix().contains(Look::Start)
                && properties.look_set_suffix().contains(Look::End);
            if anchored { pattern.to_owned() } else { format!("^(?:{pattern})$") }
        }
        // It is refused as it stands: in brackets it might become another one that is sound.
        Err(_) => pattern.to_owned(),
    }
}

/// A pattern that matches a text, and nothing else.
pub(super) fn literal(text: &str) -> String {
    regex_syntax::escape(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_values_match() {
        let table = [
            ("a", "^(?:a)$"),
            ("^a$", "^a$"),
            // Anchored at one end only, or only in an alternative.
            (r"^a\$", r"^(?:^a\$)$"),
            ("^a", "^(?:^a)$"),
            ("^a|b$", "^(?:^a|b$)$"),
            ("^(?:a|b)$", "^(?:a|b)$"),
            ("^a$|^b$", "^a$|^b$"),
            ("(?m)^a$", "^(?:(?m)^a$)$"),
            ("", "^(?:)$"),
            // Not a pattern, whatever it would be in brackets.
            ("a)|(b", "a)|(b"),
        ];
        for (pattern, expected) in table {
            assert_eq!(whole(pattern), expected);
        }
    }
}
