//! The host functions of proxy-wasm ABI 0.2.1, declared here because an SDK's wrappers panic on
//! every status that they don't expect, and a panic takes down all requests of the worker.
//!
//! Nothing here fails: a refusal is a value. Names and values are bytes, since clients send any.
//!
//! What is declared here and called is imported, and a gateway does not load a filter that imports
//! what it does not have. Kong's ngx_wasm_module declares `proxy_get_log_level` with another number
//! of parameters than everyone else, so that it must never be among them.

#![allow(unsafe_code)]

use std::mem::ManuallyDrop;
use std::ptr::{null, null_mut};

/// The answer of a host function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u32);

impl Status {
    const OK: u32 = 0;
    /// There is no such thing.
    pub const NOT_FOUND: Self = Self(1);
    /// Somebody else has changed the value meanwhile.
    pub const CAS_MISMATCH: Self = Self(8);

    fn result(self) -> Result<(), Self> {
        if self.0 == Self::OK { Ok(()) } else { Err(self) }
    }
}

/// Which headers.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum Map {
    /// Those of the request.
    Request = 0,
    /// Those of the response.
    Response = 2,
    /// Those at the end of the response.
    ResponseTrailers = 3,
}

/// Which buffer.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum Buffer {
    /// The body of the request.
    RequestBody = 0,
    /// The configuration of the plugin.
    PluginConfiguration = 7,
}

/// What a metric counts.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum MetricKind {
    /// Events.
    Counter = 0,
    /// A state.
    Gauge = 1,
    /// Sizes of things.
    Histogram = 2,
}

mod import {
    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        pub fn proxy_log(level: u32, message: *const u8, size: usize) -> u32;
        pub fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
        pub fn proxy_get_buffer_bytes(
            buffer: u32,
            start: usize,
            max: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
        pub fn proxy_get_header_map_value(
            map: u32,
            key: *const u8,
            key_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub fn proxy_replace_header_map_value(
            map: u32,
            key: *const u8,
            key_size: usize,
            value: *const u8,
            value_size: usize,
        ) -> u32;
        pub fn proxy_add_header_map_value(
            map: u32,
            key: *const u8,
            key_size: usize,
            value: *const u8,
            value_size: usize,
        ) -> u32;
        pub fn proxy_remove_header_map_value(map: u32, key: *const u8, key_size: usize) -> u32;
        pub fn proxy_get_property(
            path: *const u8,
            path_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub fn proxy_set_property(
            path: *const u8,
            path_size: usize,
            value: *const u8,
            value_size: usize,
        ) -> u32;
        pub fn proxy_call_foreign_function(
            name: *const u8,
            name_size: usize,
            arguments: *const u8,
            arguments_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub fn proxy_get_shared_data(
            key: *const u8,
            key_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
            cas: *mut u32,
        ) -> u32;
        pub fn proxy_set_shared_data(
            key: *const u8,
            key_size: usize,
            value: *const u8,
            value_size: usize,
            cas: u32,
        ) -> u32;
        pub fn proxy_define_metric(kind: u32, name: *const u8, size: usize, id: *mut u32) -> u32;
        pub fn proxy_increment_metric(id: u32, offset: i64) -> u32;
        pub fn proxy_record_metric(id: u32, value: u64) -> u32;
        pub fn proxy_send_local_response(
            status: u32,
            details: *const u8,
            details_size: usize,
            body: *const u8,
            body_size: usize,
            headers: *const u8,
            headers_size: usize,
            grpc_status: i32,
        ) -> u32;
        pub fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    }

    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        pub fn random_get(data: *mut u8, size: usize) -> u32;
        pub fn fd_fdstat_get(descriptor: u32, stat: *mut [u64; 3]) -> u32;
    }
}

/// Writes a line to the gateway's log; one that the gateway does not take is lost.
pub fn log(level: u32, message: &str) {
    unsafe { import::proxy_log(level, message.as_ptr(), message.len()) };
}

/// The time of day in nanoseconds since the epoch; 0 where the gateway does not tell.
pub fn now() -> u64 {
    let mut time = 0;
    unsafe { import::proxy_get_current_time_nanoseconds(&mut time) };
    time
}

/// Up to `max` bytes from the start of a buffer.
pub fn buffer(buffer: Buffer, max: usize) -> Result<Vec<u8>, Status> {
    returned(|data, size| unsafe {
        import::proxy_get_buffer_bytes(buffer as u32, 0, max, data, size)
    })
}

/// The first value of a header.
pub fn header(map: Map, name: &[u8]) -> Option<Vec<u8>> {
    let value = returned(|data, size| unsafe {
        import::proxy_get_header_map_value(map as u32, name.as_ptr(), name.len(), data, size)
    });
    value.ok()
}

/// All headers, as the ABI lays them out; [`pairs`] takes them apart.
pub fn headers(map: Map) -> Result<Vec<u8>, Status> {
    returned(|data, size| unsafe { import::proxy_get_header_map_pairs(map as u32, data, size) })
}

/// Sets a header in place of all of that name.
pub fn set_header(map: Map, name: &[u8], value: &[u8]) -> Result<(), Status> {
    Status(unsafe {
        import::proxy_replace_header_map_value(
            map as u32,
            name.as_ptr(),
            name.len(),
            value.as_ptr(),
            value.len(),
        )
    })
    .result()
}

/// Adds a header beside those of that name.
pub fn add_header(map: Map, name: &[u8], value: &[u8]) -> Result<(), Status> {
    Status(unsafe {
        import::proxy_add_header_map_value(
            map as u32,
            name.as_ptr(),
            name.len(),
            value.as_ptr(),
            value.len(),
        )
    })
    .result()
}

/// Removes all headers of that name.
pub fn remove_header(map: Map, name: &[u8]) -> Result<(), Status> {
    Status(unsafe { import::proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) })
        .result()
}

/// A property; its path is written with a zero byte between the segments.
pub fn property(path: &[u8]) -> Result<Vec<u8>, Status> {
    returned(|data, size| unsafe {
        import::proxy_get_property(path.as_ptr(), path.len(), data, size)
    })
}

/// Sets a property; its path is written with a zero byte between the segments.
pub fn set_property(path: &[u8], value: &[u8]) -> Result<(), Status> {
    Status(unsafe {
        import::proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len())
    })
    .result()
}

/// Calls a function that only this kind of gateway has.
pub fn call_foreign_function(name: &[u8]) -> Result<(), Status> {
    returned(|data, size| unsafe {
        import::proxy_call_foreign_function(name.as_ptr(), name.len(), null_mut(), 0, data, size)
    })
    .map(drop)
}

/// Answers the request in the place of any upstream, with a body of text.
pub fn answer(status: u32, headers: &[(&str, &str)], body: &str) -> Result<(), Status> {
    let headers = serialised(headers);
    Status(unsafe {
        import::proxy_send_local_response(
            status,
            null(),
            0,
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            -1, // no gRPC status of its own
        )
    })
    .result()
}

/// A value of the memory that all workers share, and the number of its change.
pub fn shared_data(key: &[u8]) -> Result<(Vec<u8>, u32), Status> {
    let mut cas = 0;
    let value = returned(|data, size| unsafe {
        import::proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &mut cas)
    })?;
    Ok((value, cas))
}

/// Sets a value of the memory that all workers share, unless it has changed since `cas`; 0 sets it
/// in any case.
pub fn set_shared_data(key: &[u8], value: &[u8], cas: u32) -> Result<(), Status> {
    Status(unsafe {
        import::proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas)
    })
    .result()
}

/// The number of a metric of this name.
pub fn define_metric(kind: MetricKind, name: &str) -> Result<u32, Status> {
    let mut id = 0;
    Status(unsafe { import::proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &mut id) })
        .result()
        .map(|()| id)
}

/// Adds to a metric.
pub fn increment_metric(id: u32, offset: i64) -> Result<(), Status> {
    Status(unsafe { import::proxy_increment_metric(id, offset) }).result()
}

/// Sets a gauge, or adds a value to a histogram.
pub fn record_metric(id: u32, value: u64) -> Result<(), Status> {
    Status(unsafe { import::proxy_record_metric(id, value) }).result()
}

/// Lets the gateway call the root context at hand every so many milliseconds.
pub fn set_tick_period(milliseconds: u32) -> Result<(), Status> {
    Status(unsafe { import::proxy_set_tick_period_milliseconds(milliseconds) }).result()
}

/// Random bits from the gateway, where it has any.
pub fn random() -> Option<u64> {
    let mut bytes = [0; 8];
    let status = Status(unsafe { import::random_get(bytes.as_mut_ptr(), bytes.len()) });
    status.result().ok().map(|()| u64::from_le_bytes(bytes))
}

/// Whether the gateway knows its standard output as a file that can be written to (WASI
/// `fd_fdstat_get`).
pub fn knows_standard_output() -> bool {
    /// `fd_write` among the rights, which are the second word.
    const WRITABLE: u64 = 64;
    let mut stat = [0; 3];
    let status = Status(unsafe { import::fd_fdstat_get(1, &mut stat) });
    let [_, rights, _] = stat;
    status.result().is_ok() && rights & WRITABLE != 0
}

/// What a host function returned in memory that the host has allocated here.
fn returned(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Vec<u8>, Status> {
    let (mut data, mut size) = (null_mut(), 0);
    Status(call(&mut data, &mut size)).result()?;
    // An empty value comes without memory.
    if data.is_null() || size == 0 {
        return Ok(Vec::new());
    }
    // The host got the memory from `proxy_on_memory_allocate`, as a vector of exactly this capacity.
    Ok(unsafe { Vec::from_raw_parts(data, size, size) })
}

/// The memory in which the gateway is about to hand something over; [`returned`] takes it.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    ManuallyDrop::new(Vec::with_capacity(size)).as_mut_ptr()
}

/// The names and values of serialised headers; what is cut off is left out.
///
/// The layout: the number of pairs, then the sizes of each name and value, all 32 bits
/// little-endian; then the names and values, each followed by a zero byte.
pub fn pairs(serialised: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let word = |at: usize| -> Option<usize> {
        let bytes = serialised.get(at..at.checked_add(4)?)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    let count = word(0).unwrap_or(0).min(serialised.len() / 8);
    let mut at = 4 + count * 8;
    let mut take = move |size: usize| {
        let piece = serialised.get(at..at.checked_add(size)?)?;
        at += size + 1;
        Some(piece)
    };
    (0..count).map_while(move |index| {
        let sizes = 4 + index * 8;
        Some((take(word(sizes)?)?, take(word(sizes + 4)?)?))
    })
}

/// The values of the serialised headers of this name, as [`pairs`] has them: what has another length
/// is passed over without a look at it.
pub fn values<'s>(serialised: &'s [u8], name: &[u8]) -> impl Iterator<Item = &'s [u8]> {
    let word = |bytes: &[u8; 4]| usize::try_from(u32::from_le_bytes(*bytes)).ok();
    let (count, rest) = serialised.split_first_chunk().unwrap_or((&[0; 4], &[]));
    let count = word(count).unwrap_or(0).min(serialised.len() / 8);
    let mut sizes = rest.as_chunks::<4>().0.as_chunks::<2>().0.iter().take(count);
    let mut at = 4 + count * 8;
    std::iter::from_fn(move || {
        loop {
            let [name_size, value_size] = sizes.next()?;
            let (name_size, value_size) = (word(name_size)?, word(value_size)?);
            let name_at = at;
            let value_at = name_at.checked_add(name_size)?.checked_add(1)?;
            let end = value_at.checked_add(value_size)?;
            at = end.checked_add(1)?;
            if name_size == name.len() && serialised.get(name_at..value_at - 1)? == name {
                return serialised.get(value_at..end);
            }
        }
    })
}

/// Headers as the ABI lays them out; the counterpart of [`pairs`].
fn serialised(headers: &[(&str, &str)]) -> Vec<u8> {
    // No header of the filter's own comes near to 4 GiB.
    let word = |size: usize| u32::try_from(size).unwrap_or_default().to_le_bytes();
    let mut bytes = word(headers.len()).to_vec();
    for (name, value) in headers {
        bytes.extend(word(name.len()));
        bytes.extend(word(value.len()));
    }
    for text in headers.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend(text.bytes());
        bytes.push(0);
    }
    bytes
}
