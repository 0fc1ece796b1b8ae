//! The host functions that the filter imports.

use super::abi::{
    BAD_ARGUMENT, BUFFER_PLUGIN_CONFIGURATION, BUFFER_REQUEST_BODY, Map, WASI_BAD_DESCRIPTOR,
    deserialise, serialise,
};
use super::faults::Answers;
use super::gateway::{Answer, Change, Gateway, Local, Refused, dotted};
use super::guest::{Guest, Line, State};
use super::module::module;
use super::shared::SharedMemory;
use std::sync::LazyLock;
use wasmtime::{Caller, Error, InstancePre, Linker, Val, ValType};

/// A host function that the harness can answer.
struct Import {
    name: &'static str,
    handler: fn(&mut Guest<'_>, Arguments<'_>) -> Answer<()>,
    /// The first of the two arguments that say where returned bytes are wanted.
    returns: Option<usize>,
}

const IMPORTS: &[Import] = &[
    Import { name: "proxy_log", handler: log, returns: None },
    Import { name: "proxy_get_current_time_nanoseconds", handler: time, returns: None },
    Import { name: "proxy_get_buffer_bytes", handler: buffer, returns: Some(3) },
    Import { name: "proxy_get_header_map_pairs", handler: headers, returns: Some(1) },
    Import { name: "proxy_get_header_map_value", handler: header, returns: Some(3) },
    Import { name: "proxy_replace_header_map_value", handler: set_header, returns: None },
    Import { name: "proxy_add_header_map_value", handler: add_header, returns: None },
    Import { name: "proxy_remove_header_map_value", handler: remove_header, returns: None },
    Import { name: "proxy_get_property", handler: property, returns: Some(2) },
    Import { name: "proxy_set_property", handler: set_property, returns: None },
    Import { name: "proxy_call_foreign_function", handler: foreign_function, returns: Some(4) },
    Import { name: "proxy_send_local_response", handler: answer, returns: None },
    Import { name: "proxy_get_shared_data", handler: shared_data, returns: Some(2) },
    Import { name: "proxy_set_shared_data", handler: set_shared_data, returns: None },
    Import { name: "proxy_define_metric", handler: define_metric, returns: None },
    Import { name: "proxy_increment_metric", handler: increment_metric, returns: None },
    Import { name: "proxy_record_metric", handler: record_metric, returns: None },
    Import { name: "proxy_set_tick_period_milliseconds", handler: set_tick, returns: None },
    Import { name: "random_get", handler: random, returns: None },
    Import { name: "fd_fdstat_get", handler: fdstat, returns: None },
];

/// What only a panic calls: it always works, so that a test can say why it failed.
const LAST_WORDS: &[Import] = &[
    Import { name: "environ_get", handler: |_, _| Ok(()), returns: None },
    Import { name: "environ_sizes_get", handler: environ_sizes, returns: None },
    Import { name: "fd_write", handler: fd_write, returns: None },
    Import { name: "proc_exit", handler: exit, returns: None },
];

/// The host functions that the filter imports and the harness can answer.
pub fn imported() -> impl Iterator<Item = &'static str> {
    let is_imported = |name: &str| module().imports().any(|import| import.name() == name);
    IMPORTS.iter().map(|import| import.name).filter(move |name| is_imported(name))
}

/// The filter with the harness behind its imports.
pub fn linked() -> &'static InstancePre<State> {
    static LINKED: LazyLock<InstancePre<State>> = LazyLock::new(|| {
        let mut linker = Linker::new(module().engine());
        for import in module().imports() {
            let name = import.name().to_owned();
            let ty = import.ty().func().expect("a filter imports functions only").clone();
            let known = IMPORTS.iter().chain(LAST_WORDS).find(|known| known.name == name);
            linker
                .func_new(import.module(), import.name(), ty, move |caller, values, results| {
                    let answer = match known {
                        Some(import) => dispatch(import, caller, Arguments(values)),
                        None => Err(unmodelled(caller, &name)),
                    };
                    let status = match answer {
                        Ok(()) => 0,
                        Err(Refused::Status(status)) => status,
                        Err(Refused::Trap(why)) => return Err(Error::msg(why)),
                    };
                    if let Some(result) = results.first_mut() {
                        *result = Val::I32(status.cast_signed());
                    }
                    Ok(())
                })
                .expect("each import once");
        }
        linker.instantiate_pre(module()).expect("every import is defined")
    });
    &LINKED
}

/// What is wrong with the filter's imports on a gateway: such a filter is not loaded there.
pub fn misfits(gateway: &dyn Gateway) -> Vec<String> {
    let faults = module().imports().filter_map(|import| {
        let name = import.name();
        if !["env", "wasi_snapshot_preview1"].contains(&import.module()) {
            return Some(format!("nothing is imported from {}: {name}", import.module()));
        }
        let Some(declared) = gateway.signature(name) else {
            return Some(format!("there is no host function {name}"));
        };
        let ty = import.ty();
        let wanted: String = ty.func().expect("a function").params().map(letter).collect();
        (wanted != declared).then(|| format!("{name} takes ({declared}), not ({wanted})"))
    });
    faults.collect()
}

fn letter(ty: ValType) -> char {
    match ty {
        ValType::I32 => 'i',
        ValType::I64 => 'I',
        _ => '?',
    }
}

fn unmodelled(mut caller: Caller<'_, State>, name: &str) -> Refused {
    caller.data_mut().gateway.unmodelled(name)
}

/// Answers a call, or answers it wrongly where that is wanted.
fn dispatch(import: &Import, caller: Caller<'_, State>, arguments: Arguments<'_>) -> Answer<()> {
    let mut guest = Guest::new(caller);
    if LAST_WORDS.iter().any(|last| last.name == import.name) {
        return (import.handler)(&mut guest, arguments);
    }
    let state = guest.state();
    let phase = state.phase();
    let Some(wrong) = state.faults.answer(import.name, phase) else {
        return (import.handler)(&mut guest, arguments);
    };
    match (wrong, import.returns) {
        (Answers::Status(0), _) => Ok(()),
        (Answers::Status(status), _) => Err(Refused::Status(status)),
        (Answers::NoMemory { size }, Some(at)) => {
            guest.write_word(arguments.word(at), 0)?;
            guest.write_word(arguments.word(at + 1), size)
        }
        (Answers::Bytes(bytes), Some(at)) => {
            guest.give(arguments.word(at), arguments.word(at + 1), &bytes)
        }
        // Nothing is returned here; and chance has been replaced by what it came to.
        (_, None) | (Answers::Random, _) => Ok(()),
    }
}

/// The arguments of a call.
#[derive(Clone, Copy)]
struct Arguments<'a>(&'a [Val]);

impl Arguments<'_> {
    fn word(self, index: usize) -> u32 {
        self.0[index].i32().expect("an i32 by the signature").cast_unsigned()
    }

    fn long(self, index: usize) -> i64 {
        self.0[index].i64().expect("an i64 by the signature")
    }

    /// The bytes whose place and size are the arguments from this one on.
    fn bytes(self, guest: &Guest<'_>, index: usize) -> Answer<Vec<u8>> {
        guest.read(self.word(index), self.word(index + 1))
    }

    fn map(self) -> Answer<Map> {
        Map::from_number(self.word(0)).ok_or(Refused::Status(BAD_ARGUMENT))
    }
}

/// How a call on headers is written down: `get_header version`, `set_response_header X-Rule`.
fn note(guest: &mut Guest<'_>, verb: &str, map: Map, name: &[u8]) {
    let kind = if map == Map::Response { "response_" } else { "" };
    guest.state().note(format!("{verb}_{kind}header {}", name.escape_ascii()));
}

fn log(guest: &mut Guest<'_>, arguments: Arguments<'_>) -> Answer<()> {
    let text = guest.text(arguments.word(1), arguments.word(2))?;
    let level = arguments.word(0);
    guest.state().note("log".to_owned());
    if level > 5 {
        return Err(Refused::Status(BAD_ARGUMENT));
    }
    guest.state().log.push(Line { level, text });
    Ok(())
}

fn time(guest: &mut Guest<'_>, arguments: Arguments<'_>) -> Answer<()> {
    guest.state().note("get_time".to_owned());
    let now = guest.state().clock;
    guest.write(arguments.word(0), &now.to_le_bytes())
}

fn buffer(guest: &mut Guest<'_>, arguments: Arguments<'_>) -> Answer<()> {
    let state = guest.state();
    let bytes = match arguments.word(0) {
        BUFFER_REQUEST_BODY => {
            state.note("get_body".to_owned());
            let (gateway, exchange) = state.in_request()?;
            gateway.body(exchange)?
        }
        BUFFER_PLUGIN_CONFIGURATION => {
            state.note("get_configuration".to_owned());
            state.configuration.clone()
        }
        other => return Err(Refused::trap(format!("buffer {other} is none of the filter's"))),
    };
    let start = bytes.len().min(arguments.word(1) as usize);
    let end = bytes.len().min(start.saturating_add(arguments.word(2) as usize));
    if start == end {
        return Ok(()); // nothing is written where there is nothing to return
    }
    guest.give(arguments.word(3), arguments.word(4), &bytes[start..end])
}

fn headers(guest: &mut Guest<'_>, arguments: Arguments<'_>) -> Answer<()> {
    let map = arguments.map()?;
    guest.state().note(format!("get_headers {map:?}").to_ascii_lowercase());
    let (gateway, exchange) = guest.state().in_request()?;
    let serialised = serialise(&gateway.headers(exchange, map)?);
    guest.give(arguments.word(1), arguments.word(2), &serialised)
}

fn header(guest: &mut Guest<'_>, arguments: Arguments<'_>) -> Answer<()> {
    let (map, name) = (arguments.map()?, arguments.bytes(guest, 1)?);
    note(guest, "get", map, &name);
    let (gateway, exchange) = guest.state().in_request()?;
    let value = gateway.header(exchange, map, &name)?;
    guest.give(arguments.word(3), arguments.word(4), &value)
}

fn set_header(guest: &mut Guest<'_>, arguments: Arguments<'_>) -> Answer<()> {
    let value = arguments.bytes(guest, 3)?;
    change(guest, arguments, "set", Change::Set(&value))
}

fn add_header(guest: &mut Guest<'_>, arguments: Arguments<'_>) -> Answer<()> {
    let value = arguments.bytes(guest, 3)?;
    change(guest, arguments, "add", Change::Add(&value))
}

fn remove_header(guest: &mut Guest<'_>, arguments: Arguments<'_>) -> Answer<()> {
    change(guest, arguments, "remove", Change::Remove)
}

fn change(
    guest: &mut Guest<'_>,
    arguments: Arguments<'_>,
    verb: &str,
    change: Change<'_>,
) -> Answer<()> {
    let (map, name) = (arguments.map()?, arguments.bytes(guest, 1)?);
    note(guest, verb, map, &name);
    let (gateway, exchange) = guest.state().in_request()?;
    gateway.change(exchange, map, &name, change)
}

fn property(guest: &mut Guest<'_>, arguments: Arguments<'_>) -> Answer<()> {
    let path = arguments.bytes(guest, 0)?;
    guest.state().note(format!("get_property {}", dotted(&path)));
    let (gateway, exchange) = guest.state().parts();
    let value = gateway.property(exchange, &path)?;
    guest.give(arguments.word(2), arguments.word(3), &value)
}

fn set_property(guest: &mut Guest<'_>, arguments: Arguments<'_>) -> Answer<()> {
    let (path, value) = (arguments.bytes(guest, 0)?, arguments.bytes(guest, 2)?);
    guest.state().note(format!("set_property {}", dotted(&path)));
    let (gateway, exchange) = guest.state().parts();
    gateway.set_property(exchange, &path, &value)
}

fn foreign_function(guest: &mut Guest<'_>, arguments: Arguments<'_>) -> Answer<()> {
    let name = arguments.bytes(guest, 0)?;
    guest.state().note(format!("call {}", name.escape_ascii()));
    let (gateway, exchange) = guest.state().parts();
    let result = gateway.foreign_function(exchange, &name)?;
    guest.give(arguments.word(4), arguments.word(5), &result)
}

fn answer(guest: &mut Guest<'_>, arguments: Arguments<'_>) -> Answer<()> {
    let status =
        u16::try_from(arguments.word(0)).ok().filter(|status| (100..=999).contains(status));
    let status = status.ok_or(Refused::Status(BAD_ARGUMENT))?;
    guest.state().note(format!("answer {status}"));
    let headers = deserialise(&arguments.bytes(guest, 5)?);
    let body = arguments.bytes(guest, 3)?;
    // A debug build of ngx_wasm_module insists.
    assert_eq!(arguments.word(7), u32::MAX, "no gRPC status");
    let (gateway, exchange) = guest.state().in_request()?;
    gateway.answer(exchange, Local { status, headers, body })
}

/// The memory that all workers share, where the gateway has any.
fn memory(guest: &mut Guest<'_>) -> Answer<SharedMemory> {
    let memory = guest.state().gateway.memory().cloned();
    memory.ok_or_else(|| Refused::trap("no shared memory (could not resolve namespace)"))
}

fn shared_data(guest: &mut Guest<'_>, arguments: Arguments<'_>) -> Answer<()> {
    let key = arguments.bytes(guest, 0)?;
    guest.state().note("get_shared".to_owned());
    let (value, cas) = memory(guest)?.get(&key)?;
    guest.give(arguments.word(2), arguments.word(3), &value)?;
    guest.write_word(arguments.word(4), cas)
}

fn set_shared_data(guest: &mut Guest<'_>, arguments: Arguments<'_>) -> Answer<()> {
    let (key, value) = (arguments.bytes(guest, 0)?, arguments.bytes(guest, 2)?);
    guest.state().note("set_shared".to_owned());
    let zero_forces = guest.state().gateway.zero_forces();
    memory(guest)?.set(&key, &value, arguments.word(4), zero_forces)
}

fn define_metric(guest: &mut Guest<'_>, arguments: Arguments<'_>) -> Answer<()> {
    let name = guest.text(arguments.word(1), arguments.word(2))?;
    guest.state().note(format!("define_metric {name}"));
    let id = guest.state().gateway.define_metric(arguments.word(0), &name)?;
    guest.write_word(arguments.word(3), id)
}

fn increment_metric(guest: &mut Guest<'_>, arguments: Arguments<'_>) -> Answer<()> {
    guest.state().note("increment_metric".to_owned());
    guest.state().gateway.increment_metric(arguments.word(0), arguments.long(1))
}

fn record_metric(guest: &mut Guest<'_>, arguments: Arguments<'_>) -> Answer<()> {
    guest.state().note("record_metric".to_owned());
    guest.state().gateway.record_metric(arguments.word(0), arguments.long(1))
}

fn set_tick(guest: &mut Guest<'_>, arguments: Arguments<'_>) -> Answer<()> {
    guest.state().note(format!("set_tick {}", arguments.word(0)));
    guest.state().ticks = true;
    guest.state().gateway.set_tick()
}

fn random(guest: &mut Guest<'_>, arguments: Arguments<'_>) -> Answer<()> {
    guest.state().note("random".to_owned());
    let random = &mut guest.state().random;
    let bytes: Vec<u8> = (0..arguments.word(1)).map(|_| random.next().to_le_bytes()[0]).collect();
    guest.write(arguments.word(0), &bytes)
}

fn fdstat(guest: &mut Guest<'_>, arguments: Arguments<'_>) -> Answer<()> {
    guest.state().note(format!("fdstat {}", arguments.word(0)));
    if !guest.state().gateway.knows_standard_output() {
        return Err(Refused::Status(WASI_BAD_DESCRIPTOR));
    }
    // The first of the rights, eight bytes in: it can be written to.
    let mut stat = [0; 24];
    stat[8] = 64;
    guest.write(arguments.word(1), &stat)
}

fn environ_sizes(guest: &mut Guest<'_>, arguments: Arguments<'_>) -> Answer<()> {
    guest.write_word(arguments.word(0), 0)?;
    guest.write_word(arguments.word(1), 0)
}

fn fd_write(guest: &mut Guest<'_>, arguments: Arguments<'_>) -> Answer<()> {
    let mut written = 0;
    for index in 0..arguments.word(2) {
        let piece = arguments.word(1) + index * 8;
        let (data, size) = (guest.read_word(piece)?, guest.read_word(piece + 4)?);
        let bytes = guest.read(data, size)?;
        guest.state().stderr.extend(bytes);
        written += size;
    }
    guest.write_word(arguments.word(3), written)
}

fn exit(_: &mut Guest<'_>, arguments: Arguments<'_>) -> Answer<()> {
    Err(Refused::trap(format!("the filter exits with {}", arguments.word(0))))
}
