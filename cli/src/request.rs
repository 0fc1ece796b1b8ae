//! Requests from the command line.

use super::Failure;
use super::args::RequestArgs;
use std::borrow::Cow;
use tse_route::engine::{Body, Bytes, Request};

/// A request that lies in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    pub method: Vec<u8>,
    pub target: Vec<u8>,
    /// By name in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    pub cookies: Option<Vec<u8>>,
    pub baggage: Option<Vec<u8>>,
    pub host: Option<Vec<u8>>,
    pub scheme: Option<Vec<u8>>,
    pub client_address: Option<Vec<u8>>,
    pub body: Option<Vec<u8>>,
}

fn borrowed(bytes: &[u8]) -> Bytes<'_> {
    Cow::Borrowed(bytes)
}

impl Request for Sample {
    fn header(&self, name: &str) -> Option<Bytes<'_>> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| borrowed(value))
    }

    fn cookies(&self) -> Option<Bytes<'_>> {
        self.cookies.as_deref().map(borrowed)
    }

    fn baggage(&self) -> Option<Bytes<'_>> {
        self.baggage.as_deref().map(borrowed)
    }

    fn target(&self) -> Option<Bytes<'_>> {
        Some(borrowed(&self.target))
    }

    fn method(&self) -> Option<Bytes<'_>> {
        Some(borrowed(&self.method))
    }

    fn host(&self) -> Option<Bytes<'_>> {
        self.host.as_deref().map(borrowed)
    }

    fn scheme(&self) -> Option<Bytes<'_>> {
        self.scheme.as_deref().map(borrowed)
    }

    fn client_address(&self) -> Option<Bytes<'_>> {
        self.client_address.as_deref().map(borrowed)
    }

    fn body(&self) -> Body<'_> {
        self.body.as_deref().map_or(Body::None, |body| Body::Whole(borrowed(body)))
    }
}

impl Sample {
    /// The request that the flags describe.
    pub(crate) fn of(args: &RequestArgs) -> Result<Self, Failure> {
        let mut sample = Self::of_line(args.request.as_deref().unwrap_or("GET /"))
            .map_err(|message| Failure::Usage(format!("--request {message}")))?;
        for header in &args.headers {
            sample
                .add_header_line(header)
                .map_err(|message| Failure::Usage(format!("-H {message}")))?;
        }
        for cookie in &args.cookie {
            sample.add_header("cookie", cookie.as_bytes());
        }
        sample.body = match args.body.as_deref().map(|body| (body, body.strip_prefix('@'))) {
            None => None,
            Some((_, Some(file))) => Some(
                std::fs::read(file).map_err(|error| Failure::Usage(format!("{file}: {error}")))?,
            ),
            Some((body, None)) => Some(body.as_bytes().to_vec()),
        };
        sample.client_address = args.client_ip.as_ref().map(|ip| ip.as_bytes().to_vec());
        if let Some(scheme) = &args.scheme {
            sample.scheme = Some(scheme.as_bytes().to_vec());
        }
        Ok(sample)
    }

    /// The request of a line as in `GET /x?uid=1`, `/x` or `GET https://example.com/x`.
    ///
    /// # Errors
    /// What is accepted, where it is no such line.
    pub(crate) fn of_line(line: &str) -> Result<Self, String> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (method, target) = match words.as_slice() {
            [target] if target.starts_with('/') || target.contains("://") => ("GET", *target),
            [method, target] => (*method, *target),
            [method, target, version] if version.starts_with("HTTP/") => (*method, *target),
            _ => {
                return Err(format!(
                    "{line:?}: accepted are a method and a path, as in 'GET /x?uid=1'"
                ));
            }
        };
        let mut sample = Self {
            method: method.as_bytes().to_vec(),
            scheme: Some(b"http".to_vec()),
            ..Self::default()
        };
        let target = match target.split_once("://") {
            Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
                let path = rest.find(['/', '?']).unwrap_or(rest.len());
                let (host, path) = rest.split_at_checked(path).unwrap_or((rest, ""));
                sample.scheme = Some(scheme.as_bytes().to_vec());
                sample.add_header("host", host.as_bytes());
                if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
            }
            _ => target.to_owned(),
        };
        sample.target = target.into_bytes();
        Ok(sample)
    }

    /// Adds a header as in `version: v2`.
    ///
    /// # Errors
    /// What is accepted, where it is no header.
    pub(crate) fn add_header_line(&mut self, line: &str) -> Result<(), String> {
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| format!("{line:?}: accepted is a header, as in 'version: v2'"))?;
        self.add_header(name, value.trim().as_bytes());
        Ok(())
    }

    /// Adds a header, and what the gateway makes of it.
    pub(crate) fn add_header(&mut self, name: &str, value: &[u8]) {
        let name = name.trim().to_ascii_lowercase();
        match name.as_str() {
            // The last one counts, so that `-H host:` overrules that of a URL.
            "host" => self.host = Some(value.to_vec()),
            "cookie" => join(&mut self.cookies, b"; ", value),
            "baggage" => join(&mut self.baggage, b",", value),
            _ => {}
        }
        if name == "host" {
            self.headers.retain(|(found, _)| found != "host");
        }
        self.headers.push((name, value.to_vec()));
    }
}

/// Adds a value to those of before.
fn join(values: &mut Option<Vec<u8>>, separator: &[u8], value: &[u8]) {
    match values {
        Some(values) => {
            values.extend_from_slice(separator);
            values.extend_from_slice(value);
        }
        None => *values = Some(value.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let table = [
            ("GET /x?uid=1", ("GET", "/x?uid=1", "http", None)),
            ("/x", ("GET", "/x", "http", None)),
            ("post /x HTTP/1.1", ("post", "/x", "http", None)),
            ("PUT https://a.example:8443?q", ("PUT", "/?q", "https", Some("a.example:8443"))),
            ("/x?u=http://y", ("GET", "/x?u=http://y", "http", None)),
        ];
        for (line, (method, target, scheme, host)) in table {
            let sample = Sample::of_line(line).expect(line);
            assert_eq!(sample.method, method.as_bytes(), "{line}");
            assert_eq!(sample.target, target.as_bytes(), "{line}");
            assert_eq!(sample.scheme.as_deref(), Some(scheme.as_bytes()), "{line}");
            assert_eq!(sample.host.as_deref(), host.map(str::as_bytes), "{line}");
        }
        for line in ["", "GET", "GET / x", "a b c d"] {
            assert!(Sample::of_line(line).is_err(), "{line}");
        }
    }
}
