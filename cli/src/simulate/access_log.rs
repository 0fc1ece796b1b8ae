//! Access logs in common and combined format, as nginx and Kong write them.

use crate::request::Sample;

/// The request of a line; none where the line is no such request.
pub(super) fn parse(line: &str) -> Option<Sample> {
    let (client, rest) = line.trim().split_once(' ')?;
    let (_, rest) = rest.split_once('[')?;
    let (_, rest) = rest.split_once(']')?;
    let (request, rest) = quoted(rest)?;
    let mut sample = Sample::of_line(&request).ok()?;
    sample.client_address = Some(client.as_bytes().to_vec());
    // Behind the request: status and size, then in the combined format the two headers.
    if let Some((referer, rest)) = quoted(rest) {
        add(&mut sample, "referer", &referer);
        if let Some((agent, _)) = quoted(rest) {
            add(&mut sample, "user-agent", &agent);
        }
    }
    Some(sample)
}

fn add(sample: &mut Sample, name: &str, value: &str) {
    if value != "-" {
        sample.add_header(name, value.as_bytes());
    }
}

/// The next text in quotes, and what is behind it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (_, text) = text.split_once('"')?;
    let mut unescaped = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((unescaped, text.get(at + 1..)?)),
            '\\' => match characters.next()?.1 {
                // nginx writes bytes as \x22.
                'x' => {
                    let digits =
                        [characters.next()?.1.to_digit(16)?, characters.next()?.1.to_digit(16)?];
                    let [high, low] = digits;
                    unescaped.push(char::from_u32(high * 16 + low)?);
                }
                other => unescaped.push(other),
            },
            other => unescaped.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_requests() {
        let combined = r#"10.0.0.1 - ann [31/Jan/2030:08:00:00 +0000] "GET /x?a=1 HTTP/1.1" 200 12 "https://e.example/" "curl/8 \x22q\x22" kong_request_id: "x""#;
        let sample = parse(combined).expect("a request");
        assert_eq!(sample.target, b"/x?a=1");
        assert_eq!(sample.client_address.as_deref(), Some(&b"10.0.0.1"[..]));
        let header = |name: &str| {
            let found = sample.headers.iter().find(|(found, _)| found == name);
            found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        };
        assert_eq!(header("user-agent").as_deref(), Some("curl/8 \"q\""));
        assert_eq!(header("referer").as_deref(), Some("https://e.example/"));

        let common = r#"::1 - - [31/Jan/2030:08:00:00 +0000] "POST /y HTTP/2.0" 201 0"#;
        assert_eq!(parse(common).map(|sample| sample.method), Some(b"POST".to_vec()));
        for junk in ["", "x", r#"1 - - [t] "-" 400 0"#, r#"1 - - [t] "GET /"#] {
            assert!(parse(junk).is_none(), "{junk}");
        }
    }
}
