//! Percent-escapes (RFC 3986, section 2.1).

/// The byte that `rest`, which stands after a `%`, escapes, and what comes after it; none where it
/// is no escape.
pub(crate) fn escaped(rest: &[u8]) -> Option<(u8, &[u8])> {
    let ([high, low], rest) = rest.split_first_chunk()?;
    let hex = |digit: &u8| char::from(*digit).to_digit(16);
    Some((u8::try_from(hex(high)? * 16 + hex(low)?).ok()?, rest))
}

/// Decodes percent-escapes and nothing else; one that is none stays as it is.
pub(crate) fn decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        let (byte, after) = match byte {
            b'%' => escaped(after).unwrap_or((b'%', after)),
            other => (*other, after),
        };
        decoded.push(byte);
        rest = after;
    }
    decoded
}
