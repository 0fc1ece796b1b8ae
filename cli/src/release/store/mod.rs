//! Where releases are written down: documents with revisions, so that nobody overwrites what he
//! has not seen.

mod file;
mod firestore;
mod postgres;

use super::document::Orders;
use super::document::{Environment, Moment, Release};
use super::plan::Record;
use super::trouble::Trouble;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What kinds of documents there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Collection {
    Releases,
    Environments,
    /// What people want of a release.
    Orders,
    /// Who runs a release.
    Leases,
}

impl Collection {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Releases => "releases",
            Self::Environments => "environments",
            Self::Orders => "orders",
            Self::Leases => "leases",
        }
    }
}

/// A document with its revision; 0 is that of one that is not there.
pub(crate) type Kept<T> = (T, u64);

/// A record of any kind.
#[derive(Clone)]
pub(crate) enum Store {
    File(file::Folder),
    Postgres(postgres::Database),
    Firestore(firestore::Firestore),
}

impl Store {
    /// # Errors
    /// The record cannot be reached.
    pub(crate) async fn open(record: &Record) -> Result<Self, Trouble> {
        match record {
            Record::File(folder) => Ok(Self::File(file::Folder::open(folder.clone())?)),
            Record::Postgres(address) => {
                Ok(Self::Postgres(postgres::Database::open(address).await?))
            }
            Record::Firestore { url, project, database, token } => {
                let opened = firestore::Firestore::open(url, project, database, token.clone());
                Ok(Self::Firestore(opened?))
            }
        }
    }

    async fn get_value(&self, of: Collection, id: &str) -> Result<Option<Kept<Value>>, Trouble> {
        match self {
            Self::File(folder) => folder.get(of, id),
            Self::Postgres(database) => database.get(of, id).await,
            Self::Firestore(firestore) => firestore.get(of, id).await,
        }
    }

    /// Writes a document if it still has the revision.
    async fn put_value(
        &self,
        of: Collection,
        id: &str,
        value: Value,
        revision: u64,
    ) -> Result<(), Trouble> {
        match self {
            Self::File(folder) => folder.put(of, id, value, revision),
            Self::Postgres(database) => database.put(of, id, &value, revision).await,
            Self::Firestore(firestore) => firestore.put(of, id, &value, revision).await,
        }
    }

    async fn list_values(&self, of: Collection) -> Result<Vec<Value>, Trouble> {
        match self {
            Self::File(folder) => folder.list(of),
            Self::Postgres(database) => database.list(of).await,
            Self::Firestore(firestore) => firestore.list(of).await,
        }
    }

    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        of: Collection,
        id: &str,
    ) -> Result<Option<Kept<T>>, Trouble> {
        let Some((value, revision)) = self.get_value(of, id).await? else { return Ok(None) };
        Ok(Some((read(of, id, value)?, revision)))
    }

    /// Writes a document if it still has the revision; the new revision is the next number.
    pub(crate) async fn put<T: Serialize>(
        &self,
        of: Collection,
        id: &str,
        document: &T,
        revision: u64,
    ) -> Result<u64, Trouble> {
        let value = serde_json::to_value(document)
            .map_err(|error| Trouble::Wrong(format!("{id}: {error}")))?;
        self.put_value(of, id, value, revision).await?;
        Ok(revision + 1)
    }

    /// All releases, the last one that began first.
    pub(crate) async fn releases(&self) -> Result<Vec<Release>, Trouble> {
        let values = self.list_values(Collection::Releases).await?;
        let mut releases: Vec<Release> = values
            .into_iter()
            .map(|value| read(Collection::Releases, "", value))
            .collect::<Result<_, _>>()?;
        releases.sort_by_key(|release| std::cmp::Reverse((release.began, release.attempt)));
        Ok(releases)
    }

    pub(crate) async fn environments(&self) -> Result<Vec<Environment>, Trouble> {
        let values = self.list_values(Collection::Environments).await?;
        values.into_iter().map(|value| read(Collection::Environments, "", value)).collect()
    }

    /// Changes what people want of a release, whoever else changes it meanwhile.
    pub(crate) async fn order(
        &self,
        id: &str,
        change: impl Fn(&mut Orders),
    ) -> Result<(), Trouble> {
        for _ in 0..20 {
            let kept: Option<Kept<Orders>> = self.get(Collection::Orders, id).await?;
            let (mut orders, revision) = kept.unwrap_or_default();
            change(&mut orders);
            match self.put(Collection::Orders, id, &orders, revision).await {
                Err(Trouble::Lost(_)) => {}
                done => return done.map(drop),
            }
        }
        Err(Trouble::Away(format!("{id}: others are changing its orders all the time")))
    }
}

fn read<T: DeserializeOwned>(of: Collection, id: &str, value: Value) -> Result<T, Trouble> {
    serde_json::from_value(value).map_err(|error| {
        Trouble::Wrong(format!("the record's {}/{id} cannot be read: {error}", of.word()))
    })
}

/// The name of a document: letters, digits and a few marks; others as `%` and two digits.
pub(crate) fn document_id(parts: &[&str]) -> String {
    let mut id = String::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            id.push('~');
        }
        for byte in part.bytes() {
            if byte.is_ascii_alphanumeric() || b"._-".contains(&byte) {
                id.push(char::from(byte));
            } else {
                id.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    id
}

/// The document of an attempt.
pub(crate) fn release_id(release: &str, attempt: u32) -> String {
    if attempt == 1 {
        document_id(&[release])
    } else {
        document_id(&[release, &attempt.to_string()])
    }
}

/// Who runs a release, and until when, unless he says so again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub(crate) struct Lease {
    /// For people.
    pub holder: String,
    pub host: String,
    pub process: u32,
    pub until: Moment,
}
