//! A change to single members of the W3C baggage.

use super::parse::baggage::{decoded_key, key_of, members};
use crate::config::{BAGGAGE_BYTES, BaggageChanges, Placeholders};

/// How many members a baggage may have (W3C Baggage, section 3.3.2).
const MOST: usize = 64;

/// What becomes of the baggage of requests, put together once per configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaggageChange {
    /// What is set, as it stands in the header.
    set: Box<[Box<str>]>,
    /// The keys under which a client's members go.
    keys: Box<[Box<str>]>,
}

/// What is to become of all `baggage` headers of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rewritten {
    /// They stay.
    Untouched,
    /// There is to be none.
    Removed,
    /// There is to be this one in place of all.
    To(Vec<u8>),
}

impl BaggageChange {
    /// The change that a configuration asks for; none where it asks for nothing.
    pub fn new(changes: &BaggageChanges, names: &Placeholders) -> Option<Self> {
        let set: Box<[Box<str>]> =
            changes.set.iter().map(|member| member.text(names).into()).collect();
        let keys = changes.set.iter().map(|member| &member.key).chain(&changes.remove);
        let keys: Box<[Box<str>]> = keys.map(|key| key.0.as_str().into()).collect();
        (!keys.is_empty()).then_some(Self { set, keys })
    }

    /// The members that are set, as they stand in the header.
    pub fn set(&self) -> &[Box<str>] {
        &self.set
    }

    /// The keys under which a client's members go: those of the ones that are set, then the others.
    pub fn keys(&self) -> &[Box<str>] {
        &self.keys
    }

    /// The keys of members that only go.
    pub fn removed(&self) -> &[Box<str>] {
        self.keys.get(self.set.len()..).unwrap_or_default()
    }

    /// What is to become of the baggage of a request, all its headers joined by commas.
    ///
    /// What is set stands first. The members of other keys follow with their properties, byte for
    /// byte and in their order. Nobody has to pass on more than a baggage may have: only so many
    /// members of the client's are looked at, and one that does not fit is left out as a whole.
    pub fn apply(&self, sent: Option<&[u8]>) -> Rewritten {
        let sent = sent.unwrap_or_default();
        let mut is_changed = !self.set.is_empty();
        let mut baggage = self.set.join(",").into_bytes();
        let mut count = self.set.len();
        let mut pieces = members(sent).filter_map(|member| sent.get(member));
        for member in pieces.by_ref().take(MOST) {
            let comma = usize::from(count > 0);
            if self.takes(member) {
                is_changed = true;
            } else if count < MOST && baggage.len() + comma + member.len() <= BAGGAGE_BYTES {
                baggage.extend_from_slice(b",".get(..comma).unwrap_or_default());
                baggage.extend_from_slice(member);
                count += 1;
            }
        }
        match (is_changed || pieces.next().is_some(), count) {
            (false, _) => Rewritten::Untouched,
            (true, 0) => Rewritten::Removed,
            (true, _) => Rewritten::To(baggage),
        }
    }

    /// Whether a member goes: by its key, or by what others may take for its key.
    fn takes(&self, member: &[u8]) -> bool {
        let key = key_of(member);
        let decoded = decoded_key(key);
        let is_one =
            |one: &str| one.as_bytes() == key || Some(one.as_bytes()) == decoded.as_deref();
        self.keys.iter().any(|one| is_one(one))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{BaggageKey, Member, Text};

    #[test]
    fn what_does_not_fit_is_left_out_as_a_whole() {
        let lane = Member { key: BaggageKey("lane".to_owned()), value: Text("a".to_owned()) };
        let changes = BaggageChanges { set: vec![lane], ..BaggageChanges::default() };
        let names = Placeholders::new(None, 0, None);
        let set = BaggageChange::new(&changes, &names).expect("a change");
        let to = |baggage: &str| Rewritten::To(baggage.as_bytes().to_vec());
        let room = BAGGAGE_BYTES - "lane=a,".len();
        for (length, fits) in [(room, true), (room + 1, false)] {
            let long = format!("k={}", "v".repeat(length - 2));
            let expected = if fits { format!("lane=a,{long}") } else { "lane=a,x=1".to_owned() };
            assert_eq!(set.apply(Some(format!("{long},x=1").as_bytes())), to(&expected));
        }
        assert_eq!(
            set.apply(Some(b"\xff,lane=1,x=\x80")),
            Rewritten::To(b"lane=a,\xff,x=\x80".to_vec())
        );
        assert_eq!(BaggageChange::new(&BaggageChanges::default(), &names), None);
    }
}
