//! The requests of a simulation.

use super::access_log;
use crate::Failure;
use crate::args::SimulateArgs;
use crate::decision::Engine;
use crate::output::{self, DOUBTFUL, styled};
use crate::request::Sample;
use crate::witness::{self, encode};
use std::fmt::Write as _;
use tse_route::config::{Config, HashOn};

/// What stands for the key in the request of the command line.
const PLACEHOLDER: &[u8] = b"{key}";

/// A source of requests.
pub(crate) struct Traffic {
    streams: Vec<Stream>,
    /// The keys of clients; none where they are made up.
    keys: Option<Vec<Vec<u8>>>,
    key: String,
    pub kind: Kind,
}

/// Where the requests come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One made up for each rule.
    MadeUp,
    /// That of the command line.
    Given,
    /// An access log.
    Log,
}

/// A request, and the places in it where the client's key stands.
struct Stream {
    sample: Sample,
    slots: Vec<Slot>,
}

/// A place in a request, and what stands around the key.
struct Slot {
    place: Place,
    before: Vec<u8>,
    after: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Header(usize),
    Cookies,
    /// In the query, percent-encoded.
    Query,
    Path,
    Address,
    Body,
}

impl Traffic {
    pub(super) fn of(args: &SimulateArgs, engine: &Engine) -> Result<Self, Failure> {
        if let Some(log) = &args.access_log {
            return Self::of_log(log);
        }
        let keys = args.keys.as_deref().map(read_keys).transpose()?;
        let given = &args.request;
        let is_given = given.request.is_some()
            || given.body.is_some()
            || given.client_ip.is_some()
            || given.scheme.is_some()
            || !given.headers.is_empty()
            || !given.cookie.is_empty();
        let traffic = if is_given {
            Self::given(Sample::of(given)?, engine)
        } else {
            let (traffic, without) = Self::made_up(engine);
            if !without.is_empty() {
                output::note(&format!(
                    "{}: no request could be made up for {}; --request can give one\n",
                    styled(DOUBTFUL, "warning"),
                    without.join(", ")
                ));
            }
            traffic
        };
        Ok(Self { keys, ..traffic })
    }

    /// One request again and again, with the key of another client each time.
    pub(crate) fn given(sample: Sample, engine: &Engine) -> Self {
        let streams = vec![Stream::new(sample, &engine.loaded.config)];
        Self { streams, keys: None, key: String::new(), kind: Kind::Given }
    }

    /// A request for each rule in turn; and the rules for which none could be made up.
    pub(crate) fn made_up(engine: &Engine) -> (Self, Vec<String>) {
        let (streams, without) = made_up(engine);
        (Self { streams, keys: None, key: String::new(), kind: Kind::MadeUp }, without)
    }

    /// A request that this rule matches, by its position in the table; none where none was found.
    pub(crate) fn of_rule(engine: &Engine, position: usize) -> Option<Self> {
        let streams = vec![made_up_for(engine, position)?];
        Some(Self { streams, keys: None, key: String::new(), kind: Kind::MadeUp })
    }

    fn of_log(file: &str) -> Result<Self, Failure> {
        let bytes =
            std::fs::read(file).map_err(|error| Failure::Usage(format!("{file}: {error}")))?;
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<Option<Sample>> =
            text.lines().filter(|line| !line.trim().is_empty()).map(access_log::parse).collect();
        let skipped = lines.iter().filter(|line| line.is_none()).count();
        if skipped > 0 {
            output::note(&format!(
                "{}: {file}: {skipped} lines are no requests and are left out\n",
                styled(DOUBTFUL, "warning")
            ));
        }
        let streams: Vec<Stream> = lines
            .into_iter()
            .flatten()
            .map(|sample| Stream { sample, slots: Vec::new() })
            .collect();
        if streams.is_empty() {
            return Err(Failure::Usage(format!(
                "{file}: no line is a request in common log format"
            )));
        }
        Ok(Self { streams, keys: None, key: String::new(), kind: Kind::Log })
    }

    /// How many requests there are, where that is given.
    pub(super) fn natural_length(&self) -> Option<u64> {
        let length = match (&self.keys, self.kind) {
            (Some(keys), Kind::MadeUp) => keys.len() * self.streams.len(),
            (Some(keys), _) => keys.len(),
            (None, Kind::Log) => self.streams.len(),
            (None, _) => return None,
        };
        u64::try_from(length).ok()
    }

    /// How many different clients there are; none where each request has its own, and zero where
    /// that is not known.
    pub(super) fn clients(&self) -> Option<u64> {
        match (&self.keys, self.kind) {
            (_, Kind::Log) => Some(0),
            _ if self.streams.iter().any(|stream| stream.slots.is_empty()) => Some(0),
            (Some(keys), _) => u64::try_from(keys.len()).ok(),
            (None, _) => None,
        }
    }

    /// The request with this number.
    pub(crate) fn request(&mut self, number: u64) -> &Sample {
        static NOTHING: std::sync::LazyLock<Sample> = std::sync::LazyLock::new(Sample::default);
        let streams = u64::try_from(self.streams.len()).unwrap_or(1).max(1);
        let round = number / streams;
        let stream = usize::try_from(number % streams).ok().and_then(|at| self.streams.get_mut(at));
        let Some(stream) = stream else { return &NOTHING };
        if !stream.slots.is_empty() {
            let key: &[u8] = match &self.keys {
                Some(keys) => {
                    let position = round % u64::try_from(keys.len()).unwrap_or(1).max(1);
                    usize::try_from(position).ok().and_then(|at| keys.get(at)).map_or(&[], |k| k)
                }
                None => {
                    // An address is a key like any other, and can stand everywhere.
                    self.key.clear();
                    let [a, b, c, d] = u32::try_from(round % (1 << 32)).unwrap_or(0).to_be_bytes();
                    let a = a.wrapping_add(10);
                    // Writing to a string cannot fail.
                    let _ = write!(self.key, "{a}.{b}.{c}.{d}");
                    self.key.as_bytes()
                }
            };
            stream.take_key(key);
        }
        &stream.sample
    }
}

/// A request for each rule that one could be made up for, and the other rules.
fn made_up(engine: &Engine) -> (Vec<Stream>, Vec<String>) {
    let table = &engine.loaded.table;
    let mut streams = Vec::new();
    let mut without = Vec::new();
    for (position, rule) in table.rules().iter().enumerate() {
        match made_up_for(engine, position) {
            Some(stream) => streams.push(stream),
            None => without.push(format!("rules[{}]", rule.index())),
        }
    }
    if streams.is_empty() {
        streams
            .push(Stream::new(Sample::of_line("GET /").unwrap_or_default(), &engine.loaded.config));
    }
    (streams, without)
}

/// A request that this rule matches, whatever the client's key.
fn made_up_for(engine: &Engine, position: usize) -> Option<Stream> {
    let table = &engine.loaded.table;
    let config = &engine.loaded.config;
    let sample = witness::of(config, table, position)?;
    let mut stream = Stream::new(sample.clone(), config);
    stream.take_key(b"10.0.0.1");
    // The key must not spoil the condition.
    let holds = table.trace_rule(position, &stream.sample).and_then(|trace| trace.holds);
    let is_spoilt = holds != Some(true);
    Some(if is_spoilt { Stream { sample, slots: Vec::new() } } else { stream })
}

fn read_keys(file: &str) -> Result<Vec<Vec<u8>>, Failure> {
    let bytes = std::fs::read(file).map_err(|error| Failure::Usage(format!("{file}: {error}")))?;
    let mut seen = hashbrown::HashSet::new();
    let keys: Vec<Vec<u8>> = bytes
        .split(|byte| *byte == b'\n')
        .map(|line| line.trim_ascii())
        .filter(|line| !line.is_empty() && seen.insert(*line))
        .map(<[u8]>::to_vec)
        .collect();
    if keys.is_empty() {
        return Err(Failure::Usage(format!("{file}: no keys in it")));
    }
    Ok(keys)
}

impl Stream {
    /// Finds the places of the key: where the placeholder stands, and where rules look for it.
    fn new(mut sample: Sample, config: &Config) -> Self {
        let mut slots = Vec::new();
        let mut find = |place: Place, bytes: &[u8]| {
            let at = memchr::memmem::find(bytes, PLACEHOLDER)?;
            let (before, rest) = bytes.split_at_checked(at)?;
            let after = rest.get(PLACEHOLDER.len()..)?;
            slots.push(Slot { place, before: before.to_vec(), after: after.to_vec() });
            Some(())
        };
        for (index, (_, value)) in sample.headers.iter().enumerate() {
            find(Place::Header(index), value);
        }
        if let Some(cookies) = &sample.cookies {
            find(Place::Cookies, cookies);
        }
        let query = memchr::memchr(b'?', &sample.target).unwrap_or(usize::MAX);
        let in_path =
            memchr::memmem::find(&sample.target, PLACEHOLDER).is_some_and(|at| at < query);
        find(if in_path { Place::Path } else { Place::Query }, &sample.target);
        if let Some(address) = &sample.client_address {
            find(Place::Address, address);
        }
        if let Some(body) = &sample.body {
            find(Place::Body, body);
        }
        if slots.is_empty() {
            for rule in config.rules.iter().filter(|rule| rule.enabled) {
                let cookie = rule.hash_on_cookie.as_ref().map(|name| name.0.as_str());
                let header = rule.hash_on_header.as_ref().map(|name| name.as_str());
                let argument = rule.hash_on_query_arg.as_deref();
                let parameter = match rule.hash_on {
                    HashOn::Header => header,
                    HashOn::Cookie => cookie,
                    HashOn::QueryArg => argument,
                    HashOn::Consumer => Some("x-consumer-id"),
                    HashOn::None => continue,
                    HashOn::Ip | HashOn::Path => None,
                };
                slots.extend(slot(rule.hash_on, parameter, &mut sample, &slots));
            }
        }
        Self { sample, slots }
    }

    fn take_key(&mut self, key: &[u8]) {
        for slot in &self.slots {
            let field = match slot.place {
                Place::Header(index) => self.sample.headers.get_mut(index).map(|(_, value)| value),
                Place::Cookies => self.sample.cookies.as_mut(),
                Place::Query | Place::Path => Some(&mut self.sample.target),
                Place::Address => self.sample.client_address.as_mut(),
                Place::Body => self.sample.body.as_mut(),
            };
            let Some(field) = field else { continue };
            field.clear();
            field.extend_from_slice(&slot.before);
            match slot.place {
                Place::Query => field.extend_from_slice(&encode(key)),
                _ => field.extend_from_slice(key),
            }
            field.extend_from_slice(&slot.after);
        }
    }
}

/// The place where a rule looks for the key, if the request has nothing there already.
fn slot(on: HashOn, parameter: Option<&str>, sample: &mut Sample, taken: &[Slot]) -> Option<Slot> {
    let target_is_taken = taken.iter().any(|slot| matches!(slot.place, Place::Path | Place::Query));
    let has = |text: &[u8], name: &str| memchr::memmem::find(text, name.as_bytes()).is_some();
    match on {
        HashOn::None => None,
        HashOn::Header | HashOn::Consumer => {
            let name = parameter?;
            if sample.headers.iter().any(|(found, _)| found == name) {
                return None;
            }
            let index = sample.headers.len();
            sample.headers.push((name.to_owned(), Vec::new()));
            Some(Slot { place: Place::Header(index), before: Vec::new(), after: Vec::new() })
        }
        HashOn::Cookie => {
            let pair = format!("{}=", parameter?);
            let cookies = sample.cookies.get_or_insert_default();
            if has(cookies, &pair) || taken.iter().any(|slot| slot.place == Place::Cookies) {
                return None;
            }
            let separator = if cookies.is_empty() { "" } else { "; " };
            let before = [cookies.as_slice(), separator.as_bytes(), pair.as_bytes()].concat();
            Some(Slot { place: Place::Cookies, before, after: Vec::new() })
        }
        HashOn::QueryArg => {
            let pair = format!("{}=", parameter?);
            if target_is_taken || has(&sample.target, &pair) {
                return None;
            }
            let separator = if sample.target.contains(&b'?') { "&" } else { "?" };
            let before = [sample.target.as_slice(), separator.as_bytes(), pair.as_bytes()].concat();
            Some(Slot { place: Place::Query, before, after: Vec::new() })
        }
        HashOn::Path => {
            if target_is_taken {
                return None;
            }
            let query = memchr::memchr(b'?', &sample.target).unwrap_or(sample.target.len());
            let (path, query) = sample.target.split_at_checked(query)?;
            let path = path.strip_suffix(b"/").unwrap_or(path);
            let before = [path, b"/"].concat();
            Some(Slot { place: Place::Path, before, after: query.to_vec() })
        }
        HashOn::Ip => {
            if sample.client_address.is_some() {
                return None;
            }
            sample.client_address = Some(Vec::new());
            Some(Slot { place: Place::Address, before: Vec::new(), after: Vec::new() })
        }
    }
}
