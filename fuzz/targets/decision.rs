#![no_main]
#![allow(missing_docs, unsafe_code)]

use tse_route_fuzz::{decision, timed};

libfuzzer_sys::fuzz_target!(|data: &[u8]| timed(decision, data));
