//! A record in Firestore, by its REST API: a collection for each kind of documents.

use super::super::http;
use super::{Collection, Kept, Trouble};
use reqwest::{Client, Method, RequestBuilder, Url};
use serde_json::{Map, Value, json};

/// A database of Firestore.
#[derive(Clone)]
pub(crate) struct Firestore {
    client: Client,
    /// Up to and with `documents`.
    root: Url,
    /// Without one, the machine's own is asked for each time: it lasts an hour.
    token: Option<String>,
}

impl Firestore {
    pub(super) fn open(
        url: &str,
        project: &str,
        database: &str,
        token: Option<String>,
    ) -> Result<Self, Trouble> {
        let client = http::client().map_err(Trouble::Wrong)?;
        let mut root = Url::parse(url).map_err(|error| Trouble::Wrong(error.to_string()))?;
        if let Ok(mut path) = root.path_segments_mut() {
            path.pop_if_empty();
            path.extend(["v1", "projects", project, "databases", database, "documents"]);
        }
        Ok(Self { client, root, token })
    }

    pub(super) async fn get(
        &self,
        of: Collection,
        id: &str,
    ) -> Result<Option<Kept<Value>>, Trouble> {
        Ok(self.read(of, id).await?.map(|(value, revision, _)| (value, revision)))
    }

    /// A document with its revision and the time of its last change, which is Firestore's own.
    async fn read(
        &self,
        of: Collection,
        id: &str,
    ) -> Result<Option<(Value, u64, String)>, Trouble> {
        let request = self.request(Method::GET, self.place(of, Some(id))).await?;
        let response = http::send(request).await?;
        if response.status().as_u16() == 404 {
            return Ok(None);
        }
        let document = answer(response).await?;
        let time = document.get("updateTime").and_then(Value::as_str).unwrap_or_default();
        let (value, revision) = content(&document);
        Ok(Some((value, revision, time.to_owned())))
    }

    pub(super) async fn put(
        &self,
        of: Collection,
        id: &str,
        value: &Value,
        revision: u64,
    ) -> Result<(), Trouble> {
        let lost = || Trouble::Lost(format!("{}/{id} was changed meanwhile", of.word()));
        let mut place = self.place(of, Some(id));
        if revision == 0 {
            place.query_pairs_mut().append_pair("currentDocument.exists", "false");
        } else {
            let known = self.read(of, id).await?.ok_or_else(lost)?;
            if known.1 != revision {
                return Err(lost());
            }
            place.query_pairs_mut().append_pair("currentDocument.updateTime", &known.2);
        }
        let fields = json!({
            "revision": { "integerValue": (revision + 1).to_string() },
            "document": typed(value),
        });
        let request = self.request(Method::PATCH, place).await?.json(&json!({ "fields": fields }));
        let response = http::send(request).await?;
        // FAILED_PRECONDITION is a 400, ALREADY_EXISTS and ABORTED are 409.
        let status = response.status().as_u16();
        match answer(response).await {
            Ok(_) => Ok(()),
            Err(Trouble::Wrong(text)) if status == 409 || text.contains("FAILED_PRECONDITION") => {
                Err(lost())
            }
            Err(trouble) => Err(trouble),
        }
    }

    pub(super) async fn list(&self, of: Collection) -> Result<Vec<Value>, Trouble> {
        let mut values = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut place = self.place(of, None);
            place.query_pairs_mut().append_pair("pageSize", "300");
            if let Some(token) = &token {
                place.query_pairs_mut().append_pair("pageToken", token);
            }
            let request = self.request(Method::GET, place).await?;
            let page = answer(http::send(request).await?).await?;
            let documents = page.get("documents").and_then(Value::as_array);
            values.extend(documents.into_iter().flatten().map(|one| content(one).0));
            token = page.get("nextPageToken").and_then(Value::as_str).map(str::to_owned);
            if token.is_none() {
                return Ok(values);
            }
        }
    }

    fn place(&self, of: Collection, id: Option<&str>) -> Url {
        let mut place = self.root.clone();
        if let Ok(mut path) = place.path_segments_mut() {
            path.push(&format!("tse-route-{}", of.word()));
            path.extend(id);
        }
        place
    }

    async fn request(&self, method: Method, place: Url) -> Result<RequestBuilder, Trouble> {
        let token = match &self.token {
            Some(token) => token.clone(),
            None => self.own_token().await?,
        };
        Ok(self.client.request(method, place).bearer_auth(token))
    }

    /// The token of the machine's service account.
    async fn own_token(&self) -> Result<String, Trouble> {
        let host = std::env::var("GCE_METADATA_HOST")
            .unwrap_or_else(|_| "metadata.google.internal".to_owned());
        let url =
            format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token");
        let answer = http::json(self.client.get(url).header("Metadata-Flavor", "Google")).await?;
        let token = answer.get("access_token").and_then(Value::as_str);
        token.map(str::to_owned).ok_or_else(|| {
            Trouble::Wrong("the machine has no token for Firestore; accepted is `token`".to_owned())
        })
    }
}

async fn answer(response: reqwest::Response) -> Result<Value, Trouble> {
    let status = response.status();
    let text = response.text().await.map_err(|error| Trouble::Away(http::told(&error)))?;
    if status.is_success() {
        return serde_json::from_str(&text)
            .map_err(|error| Trouble::Wrong(format!("Firestore: {error}")));
    }
    let told: Value = serde_json::from_str(&text).unwrap_or_default();
    let word = told.pointer("/error/status").and_then(Value::as_str).unwrap_or_default();
    let message = told.pointer("/error/message").and_then(Value::as_str).unwrap_or_default();
    let text = format!("Firestore: {status} {word}: {message}");
    let is_wrong = status.is_client_error() && status.as_u16() != 429;
    Err(if is_wrong { Trouble::Wrong(text) } else { Trouble::Away(text) })
}

/// The document in a document, and its revision.
fn content(document: &Value) -> (Value, u64) {
    let field = |name: &str| document.get("fields").and_then(|fields| fields.get(name));
    let revision = field("revision").map(plain).and_then(|revision| revision.as_u64());
    (field("document").map(plain).unwrap_or_default(), revision.unwrap_or_default())
}

/// A value as Firestore writes it.
fn typed(value: &Value) -> Value {
    match value {
        Value::Null => json!({ "nullValue": null }),
        Value::Bool(flag) => json!({ "booleanValue": flag }),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => json!({ "integerValue": whole.to_string() }),
            None => json!({ "doubleValue": number.as_f64() }),
        },
        Value::String(text) => json!({ "stringValue": text }),
        Value::Array(values) => {
            let values: Vec<Value> = values.iter().map(typed).collect();
            json!({ "arrayValue": { "values": values } })
        }
        Value::Object(fields) => {
            let fields: Map<String, Value> =
                fields.iter().map(|(name, value)| (name.clone(), typed(value))).collect();
            json!({ "mapValue": { "fields": fields } })
        }
    }
}

/// A value from how Firestore writes it.
fn plain(value: &Value) -> Value {
    let Some((kind, content)) = value.as_object().and_then(|fields| fields.iter().next()) else {
        return Value::Null;
    };
    match kind.as_str() {
        "integerValue" => {
            content.as_str().and_then(|text| text.parse::<i64>().ok()).map(Value::from)
        }
        "booleanValue" | "doubleValue" | "stringValue" | "timestampValue" => Some(content.clone()),
        "arrayValue" => {
            let values = content.get("values").and_then(Value::as_array);
            Some(values.into_iter().flatten().map(plain).collect())
        }
        "mapValue" => {
            let fields = content.get("fields").and_then(Value::as_object);
            let fields = fields.into_iter().flatten();
            Some(fields.map(|(name, value)| (name.clone(), plain(value))).collect())
        }
        _ => None,
    }
    .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_there_and_back() {
        let value = json!({
            "text": "ä", "whole": -3, "part": 0.25, "flag": true, "nothing": null,
            "list": [1, {"deep": ["x"]}], "empty": [], "map": {},
        });
        assert_eq!(plain(&typed(&value)), value);
        assert_eq!(typed(&json!(7)), json!({ "integerValue": "7" }));
    }
}
