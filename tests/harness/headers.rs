//! Headers: names and values of any bytes, repeated ones in their order.

use std::fmt;

/// A list of headers, looked up without regard to case.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Vec<u8>, Vec<u8>)>);

impl Headers {
    /// The first value of a header.
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// The first value of a header as text, with its odd bytes escaped.
    pub fn text(&self, name: impl AsRef<[u8]>) -> Option<String> {
        self.get(name).map(|value| value.escape_ascii().to_string())
    }

    /// Every value of a header.
    pub fn all(&self, name: impl AsRef<[u8]>) -> impl Iterator<Item = &[u8]> {
        let same = move |other: &[u8]| other.eq_ignore_ascii_case(name.as_ref());
        self.0.iter().filter(move |(name, _)| same(name)).map(|(_, value)| value.as_slice())
    }

    /// Every name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))
    }

    /// Adds a header beside those of that name.
    pub fn add(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.0.push((name.as_ref().to_vec(), value.as_ref().to_vec()));
    }

    /// Puts a header in the place of the first of that name and drops the others.
    pub fn set(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let name = name.as_ref();
        let place = self.0.iter().position(|(other, _)| other.eq_ignore_ascii_case(name));
        self.remove(name);
        let place = place.unwrap_or(self.0.len());
        self.0.insert(place, (name.to_vec(), value.as_ref().to_vec()));
    }

    /// Removes all headers of that name.
    pub fn remove(&mut self, name: impl AsRef<[u8]>) {
        self.0.retain(|(other, _)| !other.eq_ignore_ascii_case(name.as_ref()));
    }

    /// The same headers with their names in lower case.
    pub fn in_lower_case(&self) -> Self {
        Self(self.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.to_vec())).collect())
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self
            .iter()
            .map(|(name, value)| format!("{}: {}", name.escape_ascii(), value.escape_ascii()));
        f.debug_list().entries(lines).finish()
    }
}
