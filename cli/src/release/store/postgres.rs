//! A record in PostgreSQL: one table, a row for each document.

use super::{Collection, Kept, Trouble};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::{Mutex, MutexGuard};
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

const TABLE: &str = "\
CREATE TABLE IF NOT EXISTS tse_route_record (
    collection text NOT NULL,
    id text NOT NULL,
    revision bigint NOT NULL,
    document jsonb NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (collection, id)
)";

/// A database, connected as long as it can be.
#[derive(Clone)]
pub(crate) struct Database {
    config: Config,
    client: Arc<Mutex<Option<Client>>>,
}

impl Database {
    pub(super) async fn open(address: &str) -> Result<Self, Trouble> {
        let config: Config =
            address.parse().map_err(|error| Trouble::Wrong(format!("PostgreSQL: {error}")))?;
        let database = Self { config, client: Arc::default() };
        let exists = "SELECT to_regclass('tse_route_record') IS NOT NULL";
        // Who may not make tables can have it made by someone else.
        let client = database.client().await?;
        let client = client.as_ref().ok_or_else(gone)?;
        let row = client.query_one(exists, &[]).await.map_err(|error| away(&error))?;
        if !row.get::<_, bool>(0) {
            client.batch_execute(TABLE).await.map_err(|error| away(&error))?;
        }
        drop(row);
        Ok(database.clone())
    }

    /// The connection, made anew where it has ended.
    async fn client(&self) -> Result<MutexGuard<'_, Option<Client>>, Trouble> {
        let mut client = self.client.lock().await;
        if client.as_ref().is_none_or(Client::is_closed) {
            *client = Some(self.connect().await?);
        }
        Ok(client)
    }

    async fn connect(&self) -> Result<Client, Trouble> {
        let tls = match self.config.get_ssl_mode() {
            SslMode::Disable => None,
            _ => MakeRustlsConnect::with_native_certs().ok().map(|(tls, _)| tls),
        };
        match tls {
            Some(tls) => {
                let (client, connection) =
                    self.config.connect(tls).await.map_err(|error| away(&error))?;
                tokio::spawn(connection);
                Ok(client)
            }
            None => {
                let (client, connection) =
                    self.config.connect(NoTls).await.map_err(|error| away(&error))?;
                tokio::spawn(connection);
                Ok(client)
            }
        }
    }

    pub(super) async fn get(
        &self,
        of: Collection,
        id: &str,
    ) -> Result<Option<Kept<Value>>, Trouble> {
        let query = "SELECT document::text, revision FROM tse_route_record WHERE collection = $1 AND id = $2";
        let client = self.client().await?;
        let client = client.as_ref().ok_or_else(gone)?;
        let row = client.query_opt(query, &[&of.word(), &id]).await;
        let Some(row) = row.map_err(|error| away(&error))? else { return Ok(None) };
        let revision: i64 = row.get(1);
        Ok(Some((parse(row.get(0))?, u64::try_from(revision).unwrap_or_default())))
    }

    pub(super) async fn put(
        &self,
        of: Collection,
        id: &str,
        value: &Value,
        revision: u64,
    ) -> Result<(), Trouble> {
        let statement = if revision == 0 {
            "INSERT INTO tse_route_record (collection, id, document, revision) \
             VALUES ($1, $2, $3::text::jsonb, $4::bigint + 1) ON CONFLICT DO NOTHING"
        } else {
            "UPDATE tse_route_record SET document = $3::text::jsonb, revision = revision + 1, changed_at = now() \
             WHERE collection = $1 AND id = $2 AND revision = $4::bigint"
        };
        let revision = i64::try_from(revision).unwrap_or(i64::MAX);
        let client = self.client().await?;
        let client = client.as_ref().ok_or_else(gone)?;
        let text = value.to_string();
        let changed = client.execute(statement, &[&of.word(), &id, &text, &revision]).await;
        match changed.map_err(|error| away(&error))? {
            0 => Err(Trouble::Lost(format!("{}/{id} was changed meanwhile", of.word()))),
            _ => Ok(()),
        }
    }

    pub(super) async fn list(&self, of: Collection) -> Result<Vec<Value>, Trouble> {
        let query = "SELECT document::text FROM tse_route_record WHERE collection = $1 ORDER BY id";
        let client = self.client().await?;
        let client = client.as_ref().ok_or_else(gone)?;
        let rows = client.query(query, &[&of.word()]).await.map_err(|error| away(&error))?;
        rows.into_iter().map(|row| parse(row.get(0))).collect()
    }
}

fn parse(text: String) -> Result<Value, Trouble> {
    serde_json::from_str(&text).map_err(|error| Trouble::Wrong(format!("PostgreSQL: {error}")))
}

fn gone() -> Trouble {
    Trouble::Away("PostgreSQL: the connection has ended".to_owned())
}

fn away(error: &tokio_postgres::Error) -> Trouble {
    let mut text = format!("PostgreSQL: {error}");
    if let Some(source) = std::error::Error::source(error) {
        text.push_str(&format!(": {source}"));
    }
    Trouble::Away(text)
}
