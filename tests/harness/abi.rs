//! The numbers and layouts of proxy-wasm ABI 0.2.1.

use super::headers::Headers;

/// There is no such thing.
pub const NOT_FOUND: u32 = 1;
/// The arguments make no sense here.
pub const BAD_ARGUMENT: u32 = 2;
/// Another worker has changed the value meanwhile.
pub const CAS_MISMATCH: u32 = 8;
/// The host failed.
pub const INTERNAL_FAILURE: u32 = 10;
/// WASI: the descriptor is not open.
pub const WASI_BAD_DESCRIPTOR: u32 = 8;

/// The body of the request.
pub const BUFFER_REQUEST_BODY: u32 = 0;
/// The configuration of the plugin.
pub const BUFFER_PLUGIN_CONFIGURATION: u32 = 7;

/// Which headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    Request,
    Response,
}

impl Map {
    /// The map that a number stands for.
    pub fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Request),
            2 => Some(Self::Response),
            _ => None,
        }
    }
}

/// The parameters of every host function that a filter may import, `i` for i32 and `I` for i64;
/// all but `proc_exit` return an i32.
const SIGNATURES: &[(&str, &str)] = &[
    ("proxy_log", "iii"),
    ("proxy_get_log_level", "i"),
    ("proxy_get_current_time_nanoseconds", "i"),
    ("proxy_set_effective_context", "i"),
    ("proxy_done", ""),
    ("proxy_set_tick_period_milliseconds", "i"),
    ("proxy_get_buffer_bytes", "iiiii"),
    ("proxy_set_buffer_bytes", "iiiii"),
    ("proxy_get_header_map_pairs", "iii"),
    ("proxy_get_header_map_value", "iiiii"),
    ("proxy_set_header_map_pairs", "iii"),
    ("proxy_add_header_map_value", "iiiii"),
    ("proxy_replace_header_map_value", "iiiii"),
    ("proxy_remove_header_map_value", "iii"),
    ("proxy_get_property", "iiii"),
    ("proxy_set_property", "iiii"),
    ("proxy_continue_stream", "i"),
    ("proxy_close_stream", "i"),
    ("proxy_send_local_response", "iiiiiiii"),
    ("proxy_http_call", "iiiiiiiiii"),
    ("proxy_grpc_call", "iiiiiiiiiiii"),
    ("proxy_grpc_stream", "iiiiiiiii"),
    ("proxy_grpc_send", "iiii"),
    ("proxy_grpc_cancel", "i"),
    ("proxy_grpc_close", "i"),
    ("proxy_get_status", "iii"),
    ("proxy_get_shared_data", "iiiii"),
    ("proxy_set_shared_data", "iiiii"),
    ("proxy_register_shared_queue", "iii"),
    ("proxy_dequeue_shared_queue", "iii"),
    ("proxy_enqueue_shared_queue", "iii"),
    ("proxy_resolve_shared_queue", "iiiii"),
    ("proxy_define_metric", "iiii"),
    ("proxy_get_metric", "ii"),
    ("proxy_record_metric", "iI"),
    ("proxy_increment_metric", "iI"),
    ("proxy_call_foreign_function", "iiiiii"),
    ("args_get", "ii"),
    ("args_sizes_get", "ii"),
    ("clock_time_get", "iIi"),
    ("environ_get", "ii"),
    ("environ_sizes_get", "ii"),
    ("fd_close", "i"),
    ("fd_fdstat_get", "ii"),
    ("fd_read", "iiii"),
    ("fd_seek", "iIii"),
    ("fd_write", "iiii"),
    ("proc_exit", "i"),
    ("random_get", "ii"),
];

/// The parameters of a host function.
pub fn signature(name: &str) -> Option<&'static str> {
    SIGNATURES.iter().find(|(known, _)| *known == name).map(|(_, parameters)| *parameters)
}

/// Headers as `proxy_get_header_map_pairs` hands them over: the number of pairs, the sizes of each
/// name and value, all 32 bits little-endian, and then the names and values, each with a zero byte
/// after it.
pub fn serialise(headers: &Headers) -> Vec<u8> {
    let word = |number: usize| u32::try_from(number).expect("headers are small").to_le_bytes();
    let mut bytes = word(headers.iter().count()).to_vec();
    for (name, value) in headers.iter() {
        bytes.extend(word(name.len()));
        bytes.extend(word(value.len()));
    }
    for (name, value) in headers.iter() {
        for text in [name, value] {
            bytes.extend_from_slice(text);
            bytes.push(0);
        }
    }
    bytes
}

/// Headers in the same layout, as a filter hands them over.
pub fn deserialise(bytes: &[u8]) -> Headers {
    let word = |at: usize| {
        let bytes = bytes[at..at + 4].try_into().expect("four bytes");
        u32::from_le_bytes(bytes) as usize
    };
    let mut headers = Headers::default();
    let mut at = 4 + word(0) * 8;
    for index in 0..word(0) {
        let mut take = |size: usize| {
            let text = &bytes[at..at + size];
            assert_eq!(bytes[at + size], 0, "a zero byte after each");
            at += size + 1;
            text
        };
        let (name, value) = (take(word(4 + index * 8)), take(word(8 + index * 8)));
        headers.add(name, value);
    }
    headers
}
