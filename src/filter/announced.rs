//! What the head of a request says of its body.

use crate::host::Head;

/// What is to come of a body, where the head does not end the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announced {
    /// Nothing that would be a body, or nothing before an answer: what follows an upgrade or a
    /// CONNECT has no end (RFC 9110, sections 7.8 and 9.3.6), and a client that waits for the
    /// upstream's `100 Continue` sends nothing before it (section 10.1.1). Envoy keeps that header
    /// only where it leaves the answer to the upstream.
    Nothing,
    /// This many bytes.
    Bytes(usize),
    /// As much as there will be.
    Something,
}

impl Announced {
    /// Reads all headers of the request.
    pub fn read(head: &Head) -> Self {
        let (mut switches, mut upgrade, mut length) = (false, false, None);
        for (name, value) in head.pairs() {
            match name {
                b":method" if value == b"CONNECT" => return Self::Nothing,
                b"expect" if has(value, b"100-continue") => return Self::Nothing,
                b"connection" => switches |= has(value, b"upgrade"),
                b"upgrade" => upgrade = true,
                b"content-length" => length = std::str::from_utf8(value).ok(),
                _ => {}
            }
        }
        match length {
            _ if switches && upgrade => Self::Nothing,
            // A number that no machine can count to is more than any limit.
            Some(text) => Self::Bytes(text.parse().unwrap_or(usize::MAX)),
            None => Self::Something,
        }
    }
}

/// Whether a list has this word in it, in any case.
fn has(list: &[u8], word: &[u8]) -> bool {
    list.split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(word))
}
