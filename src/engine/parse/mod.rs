//! How the pieces of a request are taken apart: bytes in, bytes out, and nothing that a client
//! sends is an error.

pub(crate) mod authority;
pub(crate) mod baggage;
pub(crate) mod cookie;
pub(crate) mod percent;
pub(crate) mod query;
