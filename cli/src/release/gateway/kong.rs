//! A rule behind Kong's Admin API.
//!
//! Without a database Kong takes a whole configuration at once (`POST /config`): what it exports is
//! given back with other weights. With one, the plugin or the filter chain that has the rule is
//! patched. Kong has no optimistic locking, so that what was read is compared right before writing:
//! without a database by Kong's own hash of its configuration, with one by the entity itself.

use super::super::http;
use super::Trouble;
use crate::files::PLUGIN;
use crate::source::Source;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tokio::sync::Mutex;

/// Kong's Admin API.
pub(crate) struct Kong {
    client: Client,
    url: String,
    headers: Vec<(String, String)>,
    /// What it exported last, with the hash that it had: an export may be large.
    exported: Mutex<Option<(String, String)>>,
}

/// What Kong had when it was asked.
pub(super) struct Fetched {
    pub source: Source,
    version: Version,
}

enum Version {
    /// Kong's hash of its configuration.
    WithoutDatabase(String),
    /// The entities as one declarative file.
    WithDatabase(Value),
}

impl Kong {
    pub(super) fn new(client: &Client, url: &str, headers: Vec<(String, String)>) -> Self {
        let url = url.trim_end_matches('/').to_owned();
        Self { client: client.clone(), url, headers, exported: Mutex::default() }
    }

    pub(super) async fn fetch(&self) -> Result<Fetched, Trouble> {
        let root = self.get("/").await?;
        let database = root.pointer("/configuration/database").and_then(Value::as_str);
        match database {
            Some("off") => {
                // The hash first: if it is still the same when the text is given back, so was the text.
                let hash = self.hash().await?;
                let text = self.export(&hash).await?;
                let source = Source::new(&format!("{}/config", self.url), text);
                Ok(Fetched { source, version: Version::WithoutDatabase(hash) })
            }
            Some(_) => {
                let plugins = self.list("/plugins").await?;
                // Without the Wasm module there is no such list.
                let chains = match self.list("/filter-chains").await {
                    Ok(chains) => chains,
                    Err(Trouble::Wrong(_)) => Vec::new(),
                    Err(trouble) => return Err(trouble),
                };
                let ours =
                    |entity: &Value| entity.get("name").and_then(Value::as_str) == Some(PLUGIN);
                let has_ours = |chain: &Value| {
                    let filters = chain.get("filters").and_then(Value::as_array);
                    filters.is_some_and(|filters| filters.iter().any(ours))
                };
                let file = json!({
                    "_format_version": "3.0",
                    "upstreams": self.list("/upstreams").await?,
                    "plugins": plugins.into_iter().filter(ours).collect::<Vec<_>>(),
                    "filter_chains": chains.into_iter().filter(has_ours).collect::<Vec<_>>(),
                });
                let source = Source::new(&self.url, file.to_string());
                Ok(Fetched { source, version: Version::WithDatabase(file) })
            }
            None => Err(Trouble::Wrong(format!(
                "{}: found no `configuration.database`; accepted is the Admin API of a Kong",
                self.url
            ))),
        }
    }

    /// The configuration of a Kong without a database, which has this hash.
    async fn export(&self, hash: &str) -> Result<String, Trouble> {
        let mut exported = self.exported.lock().await;
        if let Some((_, text)) = exported.as_ref().filter(|(known, _)| known == hash) {
            return Ok(text.clone());
        }
        let answer = self.get("/config").await?;
        let Some(text) = answer.get("config").and_then(Value::as_str) else {
            return Err(Trouble::Wrong(format!("{}/config has no `config`", self.url)));
        };
        // Kept only if it is what the hash was of.
        if self.hash().await? == hash {
            *exported = Some((hash.to_owned(), text.to_owned()));
        }
        Ok(text.to_owned())
    }

    /// Gives Kong the text with other weights, if it still has what was fetched.
    pub(super) async fn store(&self, fetched: &Fetched, text: &str) -> Result<(), Trouble> {
        match &fetched.version {
            Version::WithoutDatabase(hash) => {
                if self.hash().await? != *hash {
                    return Err(changed(&self.url));
                }
                let body = json!({ "config": text });
                http::json(self.request(reqwest::Method::POST, "/config").json(&body)).await?;
            }
            Version::WithDatabase(before) => {
                let after: Value = serde_json::from_str(text)
                    .map_err(|error| Trouble::Wrong(format!("{}: {error}", self.url)))?;
                for (list, path, field) in [
                    ("plugins", "plugins", "config"),
                    ("filter_chains", "filter-chains", "filters"),
                ] {
                    let of = |file: &Value| file.get(list).and_then(Value::as_array).cloned();
                    let (old, new) =
                        (of(before).unwrap_or_default(), of(&after).unwrap_or_default());
                    for (old, new) in old.iter().zip(&new).filter(|(old, new)| old != new) {
                        self.patch(path, field, old, new).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn patch(
        &self,
        path: &str,
        field: &str,
        old: &Value,
        new: &Value,
    ) -> Result<(), Trouble> {
        let id = old.get("id").and_then(Value::as_str).unwrap_or_default();
        let place = format!("/{path}/{id}");
        if self.get(&place).await? != *old {
            return Err(changed(&format!("{}{place}", self.url)));
        }
        let body = json!({ field: new.get(field) });
        http::json(self.request(reqwest::Method::PATCH, &place).json(&body)).await.map(drop)
    }

    async fn hash(&self) -> Result<String, Trouble> {
        let status = self.get("/status").await?;
        let hash = status.get("configuration_hash").and_then(Value::as_str);
        hash.map(str::to_owned).ok_or_else(|| {
            Trouble::Wrong(format!("{}/status has no `configuration_hash`", self.url))
        })
    }

    /// All entities of a list, page by page.
    async fn list(&self, path: &str) -> Result<Vec<Value>, Trouble> {
        let mut entities = Vec::new();
        let mut next = Some(format!("{path}?size=1000"));
        while let Some(page) = next {
            let answer = self.get(&page).await?;
            entities.extend(
                answer.get("data").and_then(Value::as_array).into_iter().flatten().cloned(),
            );
            next = answer.get("next").and_then(Value::as_str).map(str::to_owned);
        }
        Ok(entities)
    }

    async fn get(&self, path: &str) -> Result<Value, Trouble> {
        http::json(self.request(reqwest::Method::GET, path)).await
    }

    fn request(&self, method: reqwest::Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        http::with_headers(request, &self.headers)
    }
}

fn changed(place: &str) -> Trouble {
    Trouble::Away(format!("{place} was changed meanwhile; it is read again"))
}
