//! Cookies: the pairs of RFC 6265, section 5.4, as a server reads them.

use std::ops::Range;

/// Where the value of the first cookie of this name lies; surrounding double quotes are left out.
pub(crate) fn find(cookies: &[u8], name: &[u8]) -> Option<Range<usize>> {
    let mut start = 0;
    loop {
        let rest = cookies.get(start..)?;
        let length = memchr::memchr(b';', rest).unwrap_or(rest.len());
        let pair = rest.get(..length)?;
        if let Some(equals) = memchr::memchr(b'=', pair)
            && pair.get(..equals).is_some_and(|found| found.trim_ascii() == name)
        {
            let value = pair.get(equals + 1..)?;
            let blanks = value.len() - value.trim_ascii_start().len();
            let from = start + equals + 1 + blanks;
            let trimmed = value.trim_ascii();
            let to = from + trimmed.len();
            let quoted =
                trimmed.len() >= 2 && trimmed.starts_with(b"\"") && trimmed.ends_with(b"\"");
            return Some(if quoted { from + 1..to - 1 } else { from..to });
        }
        start += length + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::find;

    /// The input, a name, and the value that is found.
    type Case = (&'static [u8], &'static [u8], Option<&'static [u8]>);

    #[test]
    fn the_first_cookie_of_the_name_counts() {
        let table: &[Case] = &[
            (b"a=1", b"a", Some(b"1")),
            (b"a=1; b=2", b"b", Some(b"2")),
            (b"a=1;b=2;a=3", b"a", Some(b"1")),
            (b"a=1 ;  b = 2 ", b"b", Some(b"2")),
            (b"a=\"quoted; no\"", b"a", Some(b"\"quoted")), // a quote does not protect a semicolon
            (b"a=\"quoted\"", b"a", Some(b"quoted")),
            (b"a=\"", b"a", Some(b"\"")),
            (b"a=", b"a", Some(b"")),
            (b"a=b=c", b"a", Some(b"b=c")),
            (b"A=1", b"a", None), // names are case-sensitive
            (b"a", b"a", None),   // a pair has an equals sign
            (b"=1", b"", Some(b"1")),
            (b";;;= =;a", b"a", None),
            (b"", b"a", None),
            (b"\xff\xfe; a=\xff", b"a", Some(b"\xff")),
        ];
        for (cookies, name, value) in table {
            let found = find(cookies, name).map(|range| &cookies[range]);
            assert_eq!(found, *value, "{:?} in {:?}", name, cookies);
        }
    }
}
