//! The memory that all workers of a gateway share.

use super::abi::{CAS_MISMATCH, NOT_FOUND};
use super::gateway::{Answer, Refused};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// The shared memory of a gateway; workers that are given clones of it share it.
#[derive(Clone, Debug, Default)]
pub struct SharedMemory(Rc<RefCell<Contents>>);

#[derive(Debug, Default)]
struct Contents {
    /// The values, with the number of their last change.
    values: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
    changes: u32,
    /// How many more changes come too late because another worker was faster.
    rivals: u32,
}

impl SharedMemory {
    /// Lets another worker be faster at the next so many changes.
    pub fn contend(&self, times: u32) {
        self.0.borrow_mut().rivals = times;
    }

    /// The keys that have values.
    pub fn keys(&self) -> Vec<String> {
        let contents = self.0.borrow();
        contents.values.keys().map(|key| key.escape_ascii().to_string()).collect()
    }

    /// Puts something else in the place of every value.
    pub fn overwrite(&self, value: &[u8]) {
        let mut contents = self.0.borrow_mut();
        let keys: Vec<_> = contents.values.keys().cloned().collect();
        keys.into_iter().for_each(|key| contents.put(key, value.to_vec()));
    }

    /// A value and the number of its last change.
    pub fn get(&self, key: &[u8]) -> Answer<(Vec<u8>, u32)> {
        self.0.borrow().values.get(key).cloned().ok_or(Refused::Status(NOT_FOUND))
    }

    /// Sets a value, unless it has changed since `cas`. What 0 means is the gateway's affair: only
    /// where there is no value, or in any case.
    pub fn set(&self, key: &[u8], value: &[u8], cas: u32, zero_forces: bool) -> Answer<()> {
        let mut contents = self.0.borrow_mut();
        if contents.rivals > 0 {
            contents.rivals -= 1;
            let current = contents.values.get(key).map(|(current, _)| current.clone());
            contents.put(key.to_vec(), current.unwrap_or_else(|| value.to_vec()));
        }
        let current = contents.values.get(key).map_or(0, |(_, changed)| *changed);
        if cas != current && !(cas == 0 && zero_forces) {
            return Err(Refused::Status(CAS_MISMATCH));
        }
        contents.put(key.to_vec(), value.to_vec());
        Ok(())
    }
}

impl Contents {
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.changes += 1;
        self.values.insert(key, (value, self.changes));
    }
}
