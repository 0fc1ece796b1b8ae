//! Envoy: a route reads the chosen cluster from a request header (`cluster_header`).

use super::abi::{self, Map};
use super::gateway::{Host, Refusal, Routing, parse_number};
use crate::effect::Effect;

/// Envoy, and the gateways made of it.
pub struct Envoy;

/// The one Envoy there is.
pub static ENVOY: Envoy = Envoy;

/// Whether this is certainly an Envoy, found out without reading a property, so that it may be
/// asked in the root context.
///
/// Envoy knows standard output as a file and Kong's ngx_wasm_module does not; both answer
/// harmlessly (sources: `exports.cc` of proxy-wasm-cpp-host, `ngx_wasi_preview1_host.c`).
pub fn is_certainly_envoy() -> bool {
    abi::knows_standard_output()
}

impl Host for Envoy {
    /// Envoy hands over only the first of several headers; all of them are only in the whole map.
    fn cookies(&self) -> Option<Vec<u8>> {
        let headers = abi::headers(Map::Request).ok()?;
        let mut cookies: Option<Vec<u8>> = None;
        for (_, value) in abi::pairs(&headers).filter(|(name, _)| *name == b"cookie") {
            match &mut cookies {
                None => cookies = Some(value.to_vec()),
                Some(cookies) => {
                    cookies.push(b';');
                    cookies.extend_from_slice(value);
                }
            }
        }
        cookies
    }

    fn target(&self) -> Option<Vec<u8>> {
        abi::header(Map::Request, b":path")
    }

    fn method(&self) -> Option<Vec<u8>> {
        abi::header(Map::Request, b":method")
    }

    fn authority(&self) -> Option<Vec<u8>> {
        abi::header(Map::Request, b":authority")
    }

    /// Envoy keeps the scheme of the client in `x-forwarded-proto`; with `use_remote_address: true` it
    /// overwrites what an untrusted client sends there.
    fn scheme(&self) -> Option<Vec<u8>> {
        abi::header(Map::Request, b"x-forwarded-proto")
            .or_else(|| abi::header(Map::Request, b":scheme"))
    }

    fn client_address(&self) -> Option<Vec<u8>> {
        let address = abi::property(b"source\0address").ok()?;
        // `1.2.3.4:5678` or `[::1]:5678`; a pipe has no port and no colon.
        let end = address.iter().rposition(|byte| *byte == b':').unwrap_or(address.len());
        let host = address.get(..end)?;
        let bare = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]"));
        Some(bare.unwrap_or(host).to_vec())
    }

    fn holds_requests(&self) -> bool {
        true
    }

    fn route(&self, header: &str, effect: &Effect) -> Routing {
        let Some(upstream) = effect.upstream() else { return Routing::Taken };
        if abi::set_header(Map::Request, header.as_bytes(), upstream.as_bytes()).is_err() {
            return Routing::Refused(Refusal::HostFailure);
        }
        // The route was picked before the filter ran; since Envoy 1.33 nothing picks it anew by itself.
        match abi::call_foreign_function(b"clear_route_cache") {
            Ok(()) => Routing::Taken,
            Err(_) => Routing::Refused(Refusal::HostFailure),
        }
    }

    fn routes_by_header(&self) -> bool {
        true
    }

    fn can_unroute(&self) -> bool {
        true
    }

    fn unroute(&self) {
        // Envoy holds a request until its decision is final.
    }

    fn forget_route(&self) {
        // Refused only by a gateway that has no route cache, and then there is nothing to clear.
        let _ = abi::call_foreign_function(b"clear_route_cache");
    }

    fn publish(&self, effect: &Effect) {
        // `%FILTER_STATE(wasm.tse_route_upstream:PLAIN)%`; without it the access log shows `-`.
        let _ = abi::set_property(b"tse_route_rule", effect.rule().as_bytes());
        if let Some(upstream) = effect.upstream() {
            let _ = abi::set_property(b"tse_route_upstream", upstream.as_bytes());
        }
    }

    fn unpublish(&self, _: &Effect) {
        // Envoy holds a request until its decision is final.
    }

    /// Envoy refuses such a configuration in the first place.
    fn show_invalid_configuration(&self) -> bool {
        false
    }

    fn comes_from_upstream(&self) -> bool {
        abi::property(b"response\0code_details").is_ok_and(|details| details == b"via_upstream")
    }

    fn status(&self) -> Option<u16> {
        parse_number(&abi::header(Map::Response, b":status")?)
    }

    /// Envoy's own answers pass through the filter like any others.
    fn failures(&self, _: u32) -> Vec<(usize, u32)> {
        Vec::new()
    }

    fn counts(&self) -> bool {
        true
    }
}
