//! The filter's side of a host call: its memory, and what the host knows of it.

use super::exchange::{Exchange, Phase};
use super::faults::{Faults, Random};
use super::gateway::{Answer, Gateway, Refused};
use std::collections::HashMap;
use wasmtime::{Caller, Extern, Memory};

/// A line of the gateway's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub level: u32,
    pub text: String,
}

/// Everything that the host knows.
pub struct State {
    pub gateway: Box<dyn Gateway>,
    pub exchanges: HashMap<u32, Exchange>,
    /// The context whose callback is running; none, or one without exchange, in the root context.
    pub active: Option<u32>,
    pub configuration: Vec<u8>,
    /// Whether the filter has asked for ticks.
    pub ticks: bool,
    pub faults: Faults,
    /// Nanoseconds since the epoch.
    pub clock: u64,
    pub random: Random,
    pub log: Vec<Line>,
    /// The host calls outside of requests.
    pub root_calls: Vec<String>,
    /// What the filter wrote to its standard error: the last words of a panic.
    pub stderr: Vec<u8>,
}

impl State {
    pub fn new(gateway: Box<dyn Gateway>, faults: Faults) -> Self {
        Self {
            gateway,
            exchanges: HashMap::new(),
            active: None,
            configuration: Vec::new(),
            ticks: false,
            faults,
            clock: 1_700_000_000_000_000_000,
            random: Random(1),
            log: Vec::new(),
            root_calls: Vec::new(),
            stderr: Vec::new(),
        }
    }

    /// The gateway, and the request at hand.
    pub fn parts(&mut self) -> (&mut dyn Gateway, Option<&mut Exchange>) {
        let exchange = self.active.and_then(|context| self.exchanges.get_mut(&context));
        (self.gateway.as_mut(), exchange)
    }

    /// The gateway, and the request that there must be.
    pub fn in_request(&mut self) -> Answer<(&mut dyn Gateway, &mut Exchange)> {
        let (gateway, exchange) = self.parts();
        let exchange = exchange.ok_or_else(|| Refused::trap("called in the root context"))?;
        Ok((gateway, exchange))
    }

    pub fn phase(&mut self) -> Phase {
        self.parts().1.map_or(Phase::Root, |exchange| exchange.phase)
    }

    /// Writes a call down.
    pub fn note(&mut self, call: String) {
        match self.parts().1 {
            Some(exchange) => exchange.calls.push(call),
            None => self.root_calls.push(call),
        }
    }
}

/// The filter during a host call.
pub struct Guest<'c> {
    caller: Caller<'c, State>,
    memory: Memory,
}

impl<'c> Guest<'c> {
    pub fn new(mut caller: Caller<'c, State>) -> Self {
        let memory = caller.get_export("memory").and_then(Extern::into_memory);
        Self { memory: memory.expect("a filter exports its memory"), caller }
    }

    pub fn state(&mut self) -> &mut State {
        self.caller.data_mut()
    }

    /// Bytes of the filter's memory.
    pub fn read(&self, data: u32, size: u32) -> Answer<Vec<u8>> {
        let (data, size) = (data as usize, size as usize);
        let bytes = self.memory.data(&self.caller).get(data..data + size);
        bytes.map(<[u8]>::to_vec).ok_or_else(|| outside(data, size))
    }

    /// Text that is the filter's own, not a client's.
    pub fn text(&self, data: u32, size: u32) -> Answer<String> {
        Ok(String::from_utf8_lossy(&self.read(data, size)?).into_owned())
    }

    pub fn read_word(&self, place: u32) -> Answer<u32> {
        let bytes = self.read(place, 4)?;
        Ok(u32::from_le_bytes(bytes.try_into().expect("four bytes")))
    }

    pub fn write(&mut self, place: u32, bytes: &[u8]) -> Answer<()> {
        let written = self.memory.write(&mut self.caller, place as usize, bytes);
        written.map_err(|_| outside(place as usize, bytes.len()))
    }

    pub fn write_word(&mut self, place: u32, word: u32) -> Answer<()> {
        self.write(place, &word.to_le_bytes())
    }

    /// Returns bytes: in memory that the filter has to allocate, with their place and size where it
    /// wants them.
    pub fn give(&mut self, data: u32, size: u32, bytes: &[u8]) -> Answer<()> {
        let place = if bytes.is_empty() && !self.state().gateway.allocates_nothing() {
            0
        } else {
            self.allocate(bytes.len())?
        };
        self.write(place, bytes)?;
        self.write_word(data, place)?;
        self.write_word(size, u32::try_from(bytes.len()).expect("less than the memory"))
    }

    fn allocate(&mut self, size: usize) -> Answer<u32> {
        let size = u32::try_from(size).expect("less than the memory");
        let export = self.caller.get_export("proxy_on_memory_allocate").and_then(Extern::into_func);
        let allocate = export.expect("a filter exports proxy_on_memory_allocate");
        let allocate = allocate.typed::<u32, u32>(&self.caller).expect("it takes and returns i32");
        let place = allocate.call(&mut self.caller, size);
        place.map_err(|error| Refused::trap(format!("in proxy_on_memory_allocate: {error:?}")))
    }
}

fn outside(place: usize, size: usize) -> Refused {
    Refused::trap(format!("{size} bytes at {place:#x} are not in the filter's memory"))
}
