//! Changes to the W3C baggage (<https://www.w3.org/TR/baggage/>).

use super::placeholders::Placeholders;
use super::read::{Field, mismatch, object, quote};
use super::report::Cursor;
use super::values::{Text, is_token};
use serde_json::Value;

/// How many bytes a baggage may have (W3C Baggage, section 3.3.2).
pub const BAGGAGE_BYTES: usize = 8_192;

/// The most members that an upstream may set, or remove: each of a client's is compared with each.
const MAX_MEMBERS: usize = 16;

/// The key of a member: a `token`, case-sensitive (W3C Baggage, section 3.3.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaggageKey(pub String);

impl BaggageKey {
    /// Why a text is none.
    pub(super) fn refusal(text: &str) -> String {
        format!(
            "found {}; accepted is the key of a member of the baggage: letters, digits and \
             !#$%&'*+-.^_`|~",
            quote(text)
        )
    }
}

impl Field for BaggageKey {
    const MOST: usize = MAX_MEMBERS;

    fn read<'v>(value: &'v Value, at: &mut Cursor<'v>) -> Self {
        let Some(key) = value.as_str() else {
            mismatch(value, "the key of a member of the baggage", at);
            return Self::default();
        };
        if !is_token(key) {
            at.error(Self::refusal(key));
        }
        Self(key.to_owned())
    }

    #[cfg(feature = "schema")]
    fn schema() -> Value {
        super::values::token_schema()
    }
}

object! {
    /// Changes to members of the baggage: `remove`, then `set`.
    pub struct BaggageChanges {
        /// Members that replace what the client sent under their keys, and stand first.
        set: Vec<Member> = { Vec::new() },
        /// Keys of members that are removed, with their properties.
        remove: Vec<BaggageKey> = { Vec::new() },
    }
}

object! {
    /// A member with its value.
    pub struct Member [at most MAX_MEMBERS] {
        /// The member's key; upper and lower case differ.
        key: BaggageKey = required,
        /// The member's value, as it is before it is percent-encoded; `{rule}` and `{upstream}` stand for the labels of what was chosen.
        value: Text = required,
    }
}

impl Member {
    /// The member as it stands in the header.
    pub fn text(&self, names: &Placeholders) -> String {
        let mut text = format!("{}=", self.key.0);
        for byte in names.fill(&self.value.0).bytes() {
            if is_plain(byte) {
                text.push(char::from(byte));
            } else {
                text.push_str(&format!("%{byte:02X}"));
            }
        }
        text
    }
}

/// Whether a byte of a value stands for itself: a `baggage-octet` that does not begin an escape
/// (W3C Baggage, section 3.3.1).
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\",;\\%".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_encoded() {
        let names = Placeholders::new(Some("Ü 1"), 5, None);
        for (value, text) in [
            ("green", "k=green"),
            ("", "k="),
            ("a b", "k=a%20b"),
            ("a,b;c\"d\\e%", "k=a%2Cb%3Bc%22d%5Ce%25"),
            ("a=b+c/~!", "k=a=b+c/~!"),
            ("\r\n\u{7f}", "k=%0D%0A%7F"),
            ("{rule} {upstream}", "k=%C3%9C%201%20(own)"),
        ] {
            let member = Member { key: BaggageKey("k".to_owned()), value: Text(value.to_owned()) };
            assert_eq!(member.text(&names), text, "{value:?}");
        }
    }
}
