//! The W3C baggage: the list members of all its headers (W3C Baggage, section 3.3.1).

use super::percent;
use super::query::{self, Found};
use memchr::memchr;
use std::ops::Range;

/// The members of a baggage: what stands between commas, without blanks around it, unless it is
/// nothing.
pub(crate) fn members(baggage: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = baggage.get(start..).filter(|rest| !rest.is_empty())?;
            let length = memchr(b',', rest).unwrap_or(rest.len());
            let member = rest.get(..length)?;
            let from = start + (length - member.trim_ascii_start().len());
            let trimmed = member.trim_ascii().len();
            start += length + 1;
            if trimmed > 0 {
                return Some(from..from + trimmed);
            }
        }
    })
}

/// The value of the first member with this key, without its properties, decoded.
pub(crate) fn find(baggage: &[u8], key: &[u8]) -> Option<Found> {
    members(baggage).find_map(|member| {
        let text = baggage.get(member.clone())?;
        let text = text.get(..memchr(b';', text).unwrap_or(text.len()))?;
        let equals = memchr(b'=', text)?;
        if text.get(..equals)?.trim_ascii_end() != key {
            return None;
        }
        let value = text.get(equals + 1..)?;
        let blanks = value.len() - value.trim_ascii_start().len();
        let value = value.trim_ascii();
        let from = member.start + equals + 1 + blanks;
        Some(match memchr(b'%', value) {
            Some(_) => Found::Decoded(percent::decoded(value)),
            None => Found::AsSent(from..from + value.len()),
        })
    })
}

/// The key of a member, or what stands in its place.
pub(crate) fn key_of(member: &[u8]) -> &[u8] {
    let end = member.iter().position(|byte| matches!(byte, b'=' | b';')).unwrap_or(member.len());
    member.get(..end).unwrap_or(member).trim_ascii_end()
}

/// What a key is to libraries that decode it, as a form, though it has no escapes; none where it is
/// the same.
pub(crate) fn decoded_key(key: &[u8]) -> Option<Vec<u8>> {
    memchr::memchr2(b'%', b'+', key)?;
    Some(query::decoded(key).trim_ascii().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The input, a key, and the value that is found.
    type Case = (&'static [u8], &'static [u8], Option<&'static [u8]>);

    #[test]
    fn the_first_member_with_the_key_counts() {
        let table: &[Case] = &[
            (b"a=1", b"a", Some(b"1")),
            (b"a=1,b=2", b"b", Some(b"2")),
            (b"a=1,b=2,a=3", b"a", Some(b"1")),
            (b"a=1 ,\t b = 2 \t", b"b", Some(b"2")),
            (b"a=1;p;q=2, b=3", b"a", Some(b"1")),
            (b"a = 1 ; p = a", b"a", Some(b"1")),
            (b"b=1;a=2", b"a", None),         // a property is no member
            (b"a;p=1,a=2", b"a", Some(b"2")), // without a value it is none either
            (b"a", b"a", None),
            (b"a=", b"a", Some(b"")),
            (b"a=b=c", b"a", Some(b"b=c")),
            (b"A=1", b"a", None), // keys are case-sensitive
            (b"%61=1", b"a", None),
            (b"a=%41%20+%zz%", b"a", Some(b"A +%zz%")),
            (b"a=%2C%3B%25;p=1", b"a", Some(b",;%")),
            (b"a=\"1,2\"", b"a", Some(b"\"1")), // a quote does not protect a comma
            (b"a=%ff\xff", b"a", Some(b"\xff\xff")),
            (b",, ,=,;=;a", b"a", None),
            (b"=1", b"", Some(b"1")),
            (b"", b"a", None),
            (b"\xff\xfe,a=\xff", b"a", Some(b"\xff")),
        ];
        for (baggage, key, value) in table {
            let found = find(baggage, key).map(|found| match found {
                Found::AsSent(range) => baggage[range].to_vec(),
                Found::Decoded(value) => value,
            });
            assert_eq!(found.as_deref(), *value, "{}", baggage.escape_ascii());
        }
    }

    #[test]
    fn a_key_is_seen_in_every_disguise() {
        for (member, key, decoded) in [
            ("a", "a", None),
            ("a=1;p", "a", None),
            ("a \t=1", "a", None),
            ("a;p=1", "a", None),
            ("=a", "", None),
            ("a+b=+", "a+b", Some("a b")),
            ("+%61%20 =1", "+%61%20", Some("a")),
            ("%2561=1", "%2561", Some("%61")),
            ("%zz=1", "%zz", Some("%zz")),
        ] {
            let found = key_of(member.as_bytes());
            assert_eq!(found, key.as_bytes(), "{member}");
            assert_eq!(decoded_key(found).as_deref(), decoded.map(str::as_bytes), "{member}");
        }
    }
}
