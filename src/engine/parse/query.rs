//! The query of a request's target, as forms encode it (WHATWG URL, section 5.1).

use super::percent;
use memchr::memchr;
use std::ops::Range;

/// The value of a parameter.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing to decode: this piece of the input.
    AsSent(Range<usize>),
    /// Decoded.
    Decoded(Vec<u8>),
}

/// The path of a request's target: all before the query.
pub(crate) fn path_of(target: &[u8]) -> &[u8] {
    let end = target.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(target.len());
    target.get(..end).unwrap_or(target)
}

/// The first parameter of this name in the query of a request's target.
pub(crate) fn find(target: &[u8], name: &[u8]) -> Option<Found> {
    let start = memchr(b'?', target)? + 1;
    let rest = target.get(start..)?;
    let query = rest.get(..memchr(b'#', rest).unwrap_or(rest.len()))?;
    match find_in_form(query, name)? {
        Found::AsSent(range) => Some(Found::AsSent(range.start + start..range.end + start)),
        decoded => Some(decoded),
    }
}

/// The first parameter of this name in `a=1&b=2`.
fn find_in_form(form: &[u8], name: &[u8]) -> Option<Found> {
    let mut start = 0;
    loop {
        let rest = form.get(start..)?;
        let length = memchr(b'&', rest).unwrap_or(rest.len());
        let pair = rest.get(..length)?;
        let equals = memchr(b'=', pair).unwrap_or(length);
        if !pair.is_empty() && pair.get(..equals).is_some_and(|found| decodes_to(found, name)) {
            let from = (equals + 1).min(length);
            return Some(found(form, start + from..start + length));
        }
        start += length + 1;
    }
}

/// A text of a form, decoded.
pub(crate) fn decoded(text: &[u8]) -> Vec<u8> {
    Decoder(text).collect()
}

/// The value that stands at a place of a form.
pub(crate) fn found(form: &[u8], place: Range<usize>) -> Found {
    match form.get(place.clone()) {
        Some(value) if needs_decoding(value) => Found::Decoded(decoded(value)),
        _ => Found::AsSent(place),
    }
}

/// Calls `each` with the name of every field, decoded, and the place of its value. Names that are
/// longer than `longest` are left out.
///
/// Byte by byte: most that is looked for is near, and a hostile form is made of nothing but fields.
pub(crate) fn each_field(form: &[u8], longest: usize, mut each: impl FnMut(&[u8], Range<usize>)) {
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < form.len() {
        let start = at;
        let mut is_encoded = false;
        let mut equals = None;
        while let Some(byte) = form.get(at) {
            match byte {
                b'&' => break,
                b'=' => {
                    equals = Some(at);
                    break;
                }
                b'+' => is_encoded = true,
                // Broken escapes stand for themselves, and are cheaper to write.
                b'%' if !is_encoded => is_encoded = is_escape(form, at),
                _ => {}
            }
            at += 1;
        }
        let name = form.get(start..at).unwrap_or_default();
        if equals.is_some() {
            let rest = form.get(at..).unwrap_or_default();
            at += rest.iter().position(|byte| *byte == b'&').unwrap_or(rest.len());
        }
        let value = equals.map_or(at..at, |equals| equals + 1..at);
        if at > start {
            if !is_encoded {
                if name.len() <= longest {
                    each(name, value);
                }
            } else if name.len() <= longest.saturating_mul(3) {
                decoded.clear();
                decoded.extend(Decoder(name).take(longest + 1));
                each(&decoded, value);
            }
        }
        at += 1;
    }
}

/// Whether the `%` at a place begins an escape.
fn is_escape(form: &[u8], at: usize) -> bool {
    let digits = form.get(at + 1..at + 3).unwrap_or_default();
    digits.len() == 2 && digits.iter().all(u8::is_ascii_hexdigit)
}

fn needs_decoding(text: &[u8]) -> bool {
    memchr::memchr2(b'%', b'+', text).is_some()
}

fn decodes_to(encoded: &[u8], name: &[u8]) -> bool {
    if encoded.len() < name.len() {
        // Decoding makes no text longer.
        false
    } else if needs_decoding(encoded) {
        Decoder(encoded).eq(name.iter().copied())
    } else {
        encoded == name
    }
}

/// Decodes `+` and percent-escapes; an escape that is none stays as it is.
struct Decoder<'a>(&'a [u8]);

impl Iterator for Decoder<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        match byte {
            b'+' => Some(b' '),
            b'%' => match percent::escaped(rest) {
                Some((byte, rest)) => {
                    self.0 = rest;
                    Some(byte)
                }
                None => Some(b'%'),
            },
            other => Some(*other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The input, a name, and the value that is found.
    type Case = (&'static [u8], &'static [u8], Option<&'static [u8]>);

    #[test]
    fn the_first_parameter_of_the_name_counts() {
        let table: &[Case] = &[
            (b"/x?a=1", b"a", Some(b"1")),
            (b"/x?a=1&a=2", b"a", Some(b"1")),
            (b"/x?b=1&a=2", b"a", Some(b"2")),
            (b"/x?a", b"a", Some(b"")),
            (b"/x?a=", b"a", Some(b"")),
            (b"/x?", b"a", None),
            (b"/x", b"a", None),
            (b"/x?a=1#a=2", b"a", Some(b"1")),
            (b"/x?b#a=2", b"a", None),
            (b"/x?a=b=c", b"a", Some(b"b=c")),
            (b"/x?a=%20+x", b"a", Some(b"  x")),
            (b"/x?a=%zz%4", b"a", Some(b"%zz%4")),
            (b"/x?a=%", b"a", Some(b"%")),
            (b"/x?a=%ff%00", b"a", Some(b"\xff\x00")),
            (b"/x?a=\xff", b"a", Some(b"\xff")),
            (b"/x?%61=1", b"a", Some(b"1")),
            (b"/x?a+b=1", b"a b", Some(b"1")),
            (b"/x?&&=&a=1", b"a", Some(b"1")),
            (b"/x?a?=1&a=2", b"a", Some(b"2")),
            (b"?a=1", b"a", Some(b"1")),
            (b"", b"a", None),
        ];
        for (target, name, value) in table {
            let found = find(target, name).map(|found| match found {
                Found::AsSent(range) => target[range].to_vec(),
                Found::Decoded(value) => value,
            });
            assert_eq!(found.as_deref(), *value, "{:?}", String::from_utf8_lossy(target));
        }
    }

    proptest! {
        #[test]
        fn one_pass_finds_what_a_search_for_each_finds(
            form in "[a&=%+61 ]{0,40}",
            names in prop::collection::vec("[a 61=%]{0,4}", 1..4),
        ) {
            let form = form.as_bytes();
            let longest = names.iter().map(String::len).max().unwrap_or_default();
            for name in &names {
                let mut first = None;
                each_field(form, longest, |field, place| {
                    if field == name.as_bytes() && first.is_none() {
                        first = Some(found(form, place));
                    }
                });
                prop_assert_eq!(first, find_in_form(form, name.as_bytes()));
            }
        }
    }

    #[test]
    fn the_path_ends_before_the_query() {
        for (target, path) in
            [("/a/b?c", "/a/b"), ("/a", "/a"), ("?x", ""), ("/a#b?c", "/a"), ("*", "*")]
        {
            assert_eq!(path_of(target.as_bytes()), path.as_bytes());
        }
    }
}
