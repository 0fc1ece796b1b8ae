//! A record in a folder: a JSON file for each document.

use super::{Collection, Kept, Trouble};
use crate::weights::write;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A folder with a folder for each kind of documents.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) fn open(path: PathBuf) -> Result<Self, Trouble> {
        let folder = Self { path };
        for of in
            [Collection::Releases, Collection::Environments, Collection::Orders, Collection::Leases]
        {
            let path = folder.path.join(of.word());
            fs::create_dir_all(&path).map_err(|error| away(&path, &error))?;
        }
        Ok(folder)
    }

    pub(super) fn get(&self, of: Collection, id: &str) -> Result<Option<Kept<Value>>, Trouble> {
        read(&self.file(of, id))
    }

    pub(super) fn put(
        &self,
        of: Collection,
        id: &str,
        value: Value,
        revision: u64,
    ) -> Result<(), Trouble> {
        // One writer at a time: held until the file is closed.
        let lock = self.path.join(".lock");
        let lock = File::create(&lock).and_then(|file| {
            file.lock()?;
            Ok(file)
        });
        let _lock = lock.map_err(|error| away(&self.path, &error))?;
        let path = self.file(of, id);
        let now = read(&path)?.map_or(0, |(_, revision)| revision);
        if now != revision {
            return Err(Trouble::Lost(format!("{} was changed meanwhile", path.display())));
        }
        let mut value = value;
        if let Some(fields) = value.as_object_mut() {
            fields.insert("revision".to_owned(), json!(revision + 1));
        }
        let mut text =
            serde_json::to_vec_pretty(&value).map_err(|error| Trouble::Wrong(error.to_string()))?;
        text.push(b'\n');
        write(&path, &text).map_err(|error| away(&path, &error))
    }

    pub(super) fn list(&self, of: Collection) -> Result<Vec<Value>, Trouble> {
        let folder = self.path.join(of.word());
        let mut values = Vec::new();
        for entry in fs::read_dir(&folder).map_err(|error| away(&folder, &error))? {
            let path = entry.map_err(|error| away(&folder, &error))?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                values.extend(read(&path)?.map(|(value, _)| value));
            }
        }
        Ok(values)
    }

    fn file(&self, of: Collection, id: &str) -> PathBuf {
        self.path.join(of.word()).join(format!("{id}.json"))
    }
}

fn read(path: &Path) -> Result<Option<Kept<Value>>, Trouble> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(away(path, &error)),
    };
    let mut value: Value = serde_json::from_slice(&text)
        .map_err(|error| Trouble::Wrong(format!("{}: {error}", path.display())))?;
    let revision = value.as_object_mut().and_then(|fields| fields.remove("revision"));
    Ok(Some((value, revision.and_then(|revision| revision.as_u64()).unwrap_or_default())))
}

fn away(path: &Path, error: &std::io::Error) -> Trouble {
    Trouble::Away(format!("{}: {error}", path.display()))
}
