//! Headers: names and values of any bytes, repeated ones in their order.

use std::fmt;

/// A list of headers, looked up without regard to case.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<Header>);

#[derive(Clone, PartialEq, Eq)]
struct Header {
    name: Vec<u8>,
    value: Vec<u8>,
    /// Nobody in the gateway sees it any more, and the upstream gets it all the same.
    hidden: bool,
}

impl Header {
    fn new(name: &[u8], value: &[u8]) -> Self {
        Self { name: name.to_vec(), value: value.to_vec(), hidden: false }
    }

    fn is(&self, name: &[u8]) -> bool {
        !self.hidden && self.name.eq_ignore_ascii_case(name)
    }
}

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
        let same = move |header: &&Header| header.is(name.as_ref());
        self.0.iter().filter(same).map(|header| header.value.as_slice())
    }

    /// Every name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let visible = self.0.iter().filter(|header| !header.hidden);
        visible.map(|header| (header.name.as_slice(), header.value.as_slice()))
    }

    /// Adds a header beside those of that name.
    pub fn add(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.0.push(Header::new(name.as_ref(), value.as_ref()));
    }

    /// Puts a header in the place of the first of that name and drops the others.
    pub fn set(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let name = name.as_ref();
        let place = self.0.iter().position(|other| other.is(name));
        self.remove(name);
        let place = place.unwrap_or(self.0.len());
        self.0.insert(place, Header::new(name, value.as_ref()));
    }

    /// Removes all headers of that name.
    pub fn remove(&mut self, name: impl AsRef<[u8]>) {
        self.0.retain(|other| !other.is(name.as_ref()));
    }

    /// Hides all headers of that name, which leaves them to the upstream.
    pub fn hide(&mut self, name: impl AsRef<[u8]>) {
        self.0.iter_mut().filter(|other| other.is(name.as_ref())).for_each(|other| {
            other.hidden = true;
        });
    }

    /// Clears all headers of that name as OpenResty's Lua does, in a response: nobody is sent them,
    /// and who looks at nginx's list finds one without a value, even where there was none.
    pub fn blank(&mut self, name: impl AsRef<[u8]>) {
        let name = name.as_ref();
        self.add(name, b"");
        self.0.iter_mut().filter(|other| other.is(name)).for_each(|other| {
            other.value.clear();
            other.hidden = true;
        });
    }

    /// The first value of a header, hidden or not.
    pub fn listed(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        let same = |header: &&Header| header.name.eq_ignore_ascii_case(name.as_ref());
        self.0.iter().find(same).map(|header| header.value.as_slice())
    }

    /// Puts a header in the place of the first of that name and hides the others.
    pub fn overwrite(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let name = name.as_ref();
        let place = self.0.iter().position(|other| other.is(name));
        self.hide(name);
        match place {
            Some(place) => self.0[place] = Header::new(name, value.as_ref()),
            None => self.add(name, value),
        }
    }

    /// All of them, as the upstream gets them.
    pub fn with_hidden(&self) -> Self {
        let shown = |header: &Header| Header { hidden: false, ..header.clone() };
        Self(self.0.iter().map(shown).collect())
    }

    /// The same headers with their names in lower case.
    pub fn in_lower_case(&self) -> Self {
        let lower = |(name, value): (&[u8], &[u8])| Header::new(&name.to_ascii_lowercase(), value);
        Self(self.iter().map(lower).collect())
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
