//! Which part of a request a condition looks at.

use super::body::{self, Keys, Parameter};
use super::parse::{authority, baggage, cookie, query};
use super::patterns::{Found, Searches};
use super::request::{Body, Bytes, Request};
use crate::config::{Item, Location, SystemKey};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::ops::Range;

/// A part of a request; two items that look at the same part share one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Attribute {
    /// A header, by its name in lower case.
    Header(Box<str>),
    Query(Box<[u8]>),
    Cookie(Box<[u8]>),
    /// A member of the baggage, by its key.
    Baggage(Box<[u8]>),
    /// A parameter of the body by its key, or the whole body.
    Body(Option<Box<str>>),
    Domain,
    ClientIp,
    HttpScheme,
    Path,
    Method,
}

impl Attribute {
    /// The part that a sound item looks at.
    pub(crate) fn of(location: Location, item: &Item) -> Self {
        let key = item.key.as_deref().unwrap_or_default();
        match location {
            Location::Header => Self::Header(key.into()),
            Location::Query => Self::Query(key.as_bytes().into()),
            Location::Cookie => Self::Cookie(key.as_bytes().into()),
            Location::Baggage => Self::Baggage(key.as_bytes().into()),
            Location::Body => Self::Body((!key.is_empty()).then(|| key.into())),
            Location::Path => Self::Path,
            Location::Method => Self::Method,
            Location::System => match SystemKey::from_word(key) {
                Some(SystemKey::ClientIp) => Self::ClientIp,
                Some(SystemKey::HttpScheme) => Self::HttpScheme,
                Some(SystemKey::ClientUa) => Self::Header("user-agent".into()),
                Some(SystemKey::Domain) | None => Self::Domain,
            },
        }
    }

    pub(crate) fn is_body(&self) -> bool {
        matches!(self, Self::Body(_))
    }

    /// A configured value in the form that the attribute has: hosts and schemes are compared in
    /// lower case, methods in upper case.
    pub(crate) fn normalised<'v>(&self, value: &'v str) -> Cow<'v, str> {
        match self {
            Self::Domain | Self::HttpScheme => Cow::Owned(value.to_ascii_lowercase()),
            Self::Method => Cow::Owned(value.to_ascii_uppercase()),
            _ => Cow::Borrowed(value),
        }
    }
}

/// The parts of a request that a table's rules look at, each once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attributes {
    list: Box<[Attribute]>,
    /// Those that are parameters of JSON bodies, by their positions in the list.
    keys: Keys,
    /// The patterns that are searched for in them.
    searches: Searches,
}

impl Attributes {
    pub(crate) fn new(list: Vec<Attribute>, searches: Searches) -> Self {
        let keys = list.iter().enumerate().filter_map(|(position, attribute)| match attribute {
            Attribute::Body(Some(key)) => Some((position, &**key)),
            _ => None,
        });
        let keys = Keys::new(keys);
        Self { list: list.into(), keys, searches }
    }

    /// Lets searches that are counted end where they begin to cost.
    #[cfg(test)]
    pub(crate) fn starve(&mut self) {
        self.searches.starve();
    }

    pub(crate) fn get(&self, position: usize) -> Option<&Attribute> {
        self.list.get(position)
    }

    /// How many different headers they are read from.
    pub(crate) fn head(&self) -> HeadParts {
        let mut parts = HeadParts::default();
        let (mut has_target, mut has_cookies, mut has_baggage) = (false, false, false);
        for attribute in &self.list {
            match attribute {
                Attribute::Header(_)
                | Attribute::Domain
                | Attribute::HttpScheme
                | Attribute::Method => parts.count += 1,
                Attribute::Query(_) | Attribute::Path => has_target = true,
                Attribute::Cookie(_) => has_cookies = true,
                Attribute::Baggage(_) => has_baggage = true,
                Attribute::Body(_) | Attribute::ClientIp => {}
            }
        }
        parts.has_repeated = has_cookies || has_baggage;
        parts.count +=
            [has_target, has_cookies, has_baggage].map(usize::from).iter().sum::<usize>();
        parts
    }
}

/// What rules look at of the heads of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadParts {
    /// How many different headers; `:path`, `:method`, `:authority` and `:scheme` are such.
    pub count: usize,
    /// Whether cookies or baggage are among them, which may stand in several headers of one name.
    pub has_repeated: bool,
}

/// What is known of an attribute of one request.
#[derive(Clone, Debug)]
enum Slot<'r> {
    Absent,
    /// The body has not arrived yet.
    Pending,
    Value(Bytes<'r>),
    /// A piece of the request's target.
    OfTarget(Range<usize>),
    /// A piece of the joined cookies.
    OfCookies(Range<usize>),
    /// A piece of the joined baggage.
    OfBaggage(Range<usize>),
    /// A piece of the body.
    OfBody(Range<usize>),
}

/// The value of an attribute.
pub(crate) enum Value<'s> {
    Absent,
    Present(&'s [u8]),
    Pending,
}

/// A request's attributes: each is read when it is first asked for, and then remembered.
pub(crate) struct Facts<'r, 't, R> {
    request: &'r R,
    attributes: &'t Attributes,
    slots: Slots<'r>,
    target: Option<Option<Bytes<'r>>>,
    cookies: Option<Option<Bytes<'r>>>,
    baggage: Option<Option<Bytes<'r>>>,
    body: Option<body::Parsed<'r>>,
    /// What was found of the patterns of attributes.
    found: SmallVec<[(usize, Found); 1]>,
    /// Whether an item was not decided, because the search for its pattern ended early.
    is_unsure: bool,
    /// The position of the first rule with such an item.
    unsure: Option<usize>,
}

impl<'r, 't, R: Request> Facts<'r, 't, R> {
    pub(crate) fn new(request: &'r R, attributes: &'t Attributes) -> Self {
        Self {
            request,
            attributes,
            slots: Slots::default(),
            target: None,
            cookies: None,
            baggage: None,
            body: None,
            found: SmallVec::new(),
            is_unsure: false,
            unsure: None,
        }
    }

    /// What was seen of the body, if a rule asked for it.
    pub(crate) fn body(&self) -> Option<&body::Parsed<'r>> {
        self.body.as_ref()
    }

    /// Whether the attribute with this number has been read.
    #[inline(always)]
    pub(crate) fn is_read(&self, index: usize) -> bool {
        self.slots.get(index).is_some()
    }

    /// The value of the attribute with this number.
    pub(crate) fn value(&mut self, index: usize) -> Value<'_> {
        if !self.is_read(index)
            && let Some(attribute) = self.attributes.get(index)
        {
            let read = self.read(index, attribute);
            self.slots.insert(index, self.attributes.list.len(), read);
        }
        self.known(index)
    }

    /// Searches the value of an attribute that was read for its patterns, if that was not done.
    pub(crate) fn search(&mut self, index: usize) -> Option<&Found> {
        let place = match self.found.iter().position(|(searched, _)| *searched == index) {
            Some(place) => place,
            None => {
                let Value::Present(value) = self.known(index) else { return None };
                let found = self.attributes.searches.find(index, value);
                self.found.push((index, found));
                self.found.len() - 1
            }
        };
        self.found.get(place).map(|(_, found)| found)
    }

    /// What was found of the patterns of an attribute that was searched.
    pub(crate) fn found(&self, index: usize) -> Option<&Found> {
        self.found.iter().find(|(searched, _)| *searched == index).map(|(_, found)| found)
    }

    /// Remembers that an item was not decided.
    pub(crate) fn give_up(&mut self) {
        self.is_unsure = true;
    }

    /// Whether an item was not decided since this was last asked.
    pub(crate) fn has_given_up(&mut self) -> bool {
        std::mem::take(&mut self.is_unsure)
    }

    /// Remembers the rule that was just asked, if it is the first with an item that was not decided.
    pub(crate) fn note_unsure(&mut self, rule: usize) {
        if self.is_unsure {
            self.unsure = self.unsure.or(Some(rule));
        }
    }

    /// The position of the first rule with an item that was not decided.
    pub(crate) fn unsure(&self) -> Option<usize> {
        self.unsure
    }

    /// The value of an attribute that was read.
    #[inline(always)]
    pub(crate) fn known(&self, index: usize) -> Value<'_> {
        let bytes = match self.slots.get(index) {
            None | Some(Slot::Absent) => None,
            Some(Slot::Pending) => return Value::Pending,
            Some(Slot::Value(bytes)) => Some(&**bytes),
            Some(Slot::OfTarget(range)) => part(&self.target, range),
            Some(Slot::OfCookies(range)) => part(&self.cookies, range),
            Some(Slot::OfBaggage(range)) => part(&self.baggage, range),
            Some(Slot::OfBody(range)) => self
                .body
                .as_ref()
                .and_then(body::Parsed::whole)
                .and_then(|body| body.get(range.clone())),
        };
        bytes.map_or(Value::Absent, Value::Present)
    }

    fn read(&mut self, index: usize, attribute: &Attribute) -> Slot<'r> {
        let request = self.request;
        match attribute {
            Attribute::Header(name) => request.header(name).map_or(Slot::Absent, Slot::Value),
            Attribute::Method => request.method().map_or(Slot::Absent, |method| {
                Slot::Value(with_case(method, u8::is_ascii_lowercase, <[u8]>::make_ascii_uppercase))
            }),
            Attribute::HttpScheme => request.scheme().map_or(Slot::Absent, |scheme| {
                Slot::Value(with_case(scheme, u8::is_ascii_uppercase, <[u8]>::make_ascii_lowercase))
            }),
            Attribute::ClientIp => request.client_address().map_or(Slot::Absent, Slot::Value),
            Attribute::Domain => request.host().map_or(Slot::Absent, |host| {
                let host = match host {
                    Cow::Borrowed(host) => Cow::Borrowed(authority::without_port(host)),
                    Cow::Owned(mut host) => {
                        host.truncate(authority::without_port(&host).len());
                        Cow::Owned(host)
                    }
                };
                Slot::Value(with_case(host, u8::is_ascii_uppercase, <[u8]>::make_ascii_lowercase))
            }),
            Attribute::Path => match self.target() {
                Some(target) => Slot::OfTarget(0..query::path_of(target).len()),
                None => Slot::Absent,
            },
            Attribute::Query(name) => match self.target().map(|target| query::find(target, name)) {
                Some(Some(query::Found::AsSent(range))) => Slot::OfTarget(range),
                Some(Some(query::Found::Decoded(value))) => Slot::Value(Cow::Owned(value)),
                Some(None) | None => Slot::Absent,
            },
            Attribute::Cookie(name) => {
                let cookies = self.cookies.get_or_insert_with(|| request.cookies());
                match cookies.as_deref().and_then(|cookies| cookie::find(cookies, name)) {
                    Some(range) => Slot::OfCookies(range),
                    None => Slot::Absent,
                }
            }
            Attribute::Baggage(key) => {
                let members = self.baggage.get_or_insert_with(|| request.baggage());
                match members.as_deref().and_then(|members| baggage::find(members, key)) {
                    Some(query::Found::AsSent(range)) => Slot::OfBaggage(range),
                    Some(query::Found::Decoded(value)) => Slot::Value(Cow::Owned(value)),
                    None => Slot::Absent,
                }
            }
            Attribute::Body(key) => self.read_body(index, key.as_deref()),
        }
    }

    fn target(&mut self) -> Option<&[u8]> {
        let request = self.request;
        self.target.get_or_insert_with(|| request.target()).as_deref()
    }

    fn read_body(&mut self, index: usize, key: Option<&str>) -> Slot<'r> {
        let request = self.request;
        let body = self.body.get_or_insert_with(|| body::Parsed::new(request.body()));
        match (body.raw(), key) {
            (Body::Pending, _) => Slot::Pending,
            (Body::None | Body::Unreadable, _) => Slot::Absent,
            (Body::Whole(bytes), None) => Slot::OfBody(0..bytes.len()),
            (Body::Whole(_), Some(_)) => {
                let content_type = || request.header("content-type");
                match body.parameter(&self.attributes.keys, index, content_type) {
                    Some(Parameter::AsSent(range)) => Slot::OfBody(range),
                    Some(Parameter::Decoded(value)) => Slot::Value(Cow::Owned(value)),
                    None => Slot::Absent,
                }
            }
        }
    }
}

/// A piece of something that was read as a whole.
#[inline(always)]
fn part<'s>(whole: &'s Option<Option<Bytes<'_>>>, range: &Range<usize>) -> Option<&'s [u8]> {
    whole.as_ref()?.as_deref()?.get(range.clone())
}

/// The bytes in the other case, copied only where one of borrowed ones is in the wrong one.
fn with_case(mut bytes: Bytes<'_>, is_wrong: fn(&u8) -> bool, convert: fn(&mut [u8])) -> Bytes<'_> {
    if bytes.iter().any(is_wrong) {
        convert(bytes.to_mut());
    }
    bytes
}

/// So many read attributes are searched from end to end.
const FEW: usize = 8;

/// What has been read, in the order of reading: few of perhaps thousands of attributes.
#[derive(Default)]
struct Slots<'r> {
    read: SmallVec<[(usize, Slot<'r>); FEW]>,
    /// Where in `read` an attribute is, counted from 1: filled once there are more than a few.
    places: Vec<u32>,
}

impl<'r> Slots<'r> {
    #[inline(always)]
    fn get(&self, index: usize) -> Option<&Slot<'r>> {
        let entry = if self.places.is_empty() {
            self.read.iter().find(|(read, _)| *read == index)
        } else {
            let place = self.places.get(index)?.checked_sub(1)?;
            self.read.get(place as usize)
        };
        entry.map(|(_, slot)| slot)
    }

    /// Adds one that has not been read, of so many attributes.
    fn insert(&mut self, index: usize, attributes: usize, slot: Slot<'r>) {
        self.read.push((index, slot));
        let new = match self.read.len() {
            0..=FEW => return,
            _ if self.places.is_empty() => {
                self.places = vec![0; attributes];
                0
            }
            length => length - 1,
        };
        for (place, (index, _)) in self.read.iter().enumerate().skip(new) {
            if let Some(entry) = self.places.get_mut(*index) {
                *entry = u32::try_from(place + 1).unwrap_or(0);
            }
        }
    }
}
