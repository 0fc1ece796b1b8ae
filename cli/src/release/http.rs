//! HTTP, as everything here speaks it.

use super::trouble::Trouble;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use std::time::Duration;

/// How long an answer may take, unless a plan says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A client for all requests of a run.
///
/// # Errors
/// The machine cannot make connections at all.
pub(crate) fn client() -> Result<Client, String> {
    // Another one that is there already is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = || {
        Client::builder()
            .timeout(TIMEOUT)
            .user_agent(concat!("tse-route/", env!("CARGO_PKG_VERSION")))
    };
    builder()
        .build()
        // Without any certificate on the machine, HTTP still works.
        .or_else(|_| builder().tls_certs_only([]).build())
        .map_err(|error| error.to_string())
}

pub(crate) fn with_headers(
    request: RequestBuilder,
    headers: &[(String, String)],
) -> RequestBuilder {
    headers.iter().fold(request, |request, (name, value)| request.header(name, value))
}

/// Sends a request; who does not answer is away.
pub(crate) async fn send(request: RequestBuilder) -> Result<Response, Trouble> {
    request.send().await.map_err(|error| Trouble::Away(told(&error)))
}

/// The JSON of an answer of status 200 to 299.
pub(crate) async fn json(request: RequestBuilder) -> Result<Value, Trouble> {
    let response = send(request).await?;
    let (status, url) = (response.status(), response.url().clone());
    let body = response.text().await.map_err(|error| Trouble::Away(told(&error)))?;
    if !status.is_success() {
        let text = format!("{}: {status}: {}", place(&url), cut(&body));
        let is_wrong = status.is_client_error() && status.as_u16() != 429;
        return Err(if is_wrong { Trouble::Wrong(text) } else { Trouble::Away(text) });
    }
    serde_json::from_str(&body).map_err(|error| {
        Trouble::Wrong(format!("{}: the answer is not JSON: {error}", place(&url)))
    })
}

/// An error with what is behind it: reqwest itself only says that sending failed.
pub(crate) fn told(error: &reqwest::Error) -> String {
    let mut text = error.url().map(place).unwrap_or_default();
    if error.is_timeout() {
        text.push_str(": no answer in time");
        return text;
    }
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    text.push_str(": ");
    text.push_str(&deepest.to_string());
    text
}

/// A URL without what may be secret in it.
fn place(url: &reqwest::Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

/// The first line of a text, if it is not too long.
pub(crate) fn cut(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    line.chars().take(200).collect()
}
