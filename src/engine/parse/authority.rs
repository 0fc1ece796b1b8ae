//! The host of a request.

/// A host without its port: `example.com:8080` is `example.com`, `[::1]:80` is `[::1]`.
pub(crate) fn without_port(authority: &[u8]) -> &[u8] {
    let colon = authority.iter().rposition(|byte| *byte == b':');
    let bracket = authority.iter().rposition(|byte| *byte == b']');
    match (colon, bracket) {
        (Some(colon), bracket) if bracket.is_none_or(|bracket| colon > bracket) => {
            authority.get(..colon).unwrap_or(authority)
        }
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::without_port;

    #[test]
    fn the_port_is_cut_off() {
        let table: &[(&[u8], &[u8])] = &[
            (b"example.com", b"example.com"),
            (b"example.com:8080", b"example.com"),
            (b"example.com:", b"example.com"),
            (b"127.0.0.1:80", b"127.0.0.1"),
            (b"[::1]:80", b"[::1]"),
            (b"[::1]", b"[::1]"),
            (b"", b""),
            (b":", b""),
            (b"\xff\xfe:1", b"\xff\xfe"),
        ];
        for (authority, host) in table {
            assert_eq!(without_port(authority), *host, "{authority:?}");
        }
    }
}
