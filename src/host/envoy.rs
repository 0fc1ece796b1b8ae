//! Envoy: a route reads the chosen cluster from a request header (`cluster_header`).

use super::abi::{self, Map, Status};
use super::gateway::{Bodies, Host, Origin, Refusal, Routing, parse_number};
use super::head::Head;
use crate::config::{Config, RouteBy};
use crate::effect::Effect;
use crate::engine::Bytes;

/// The header with the host that the client asked for.
const AUTHORITY: &[u8] = b":authority";

/// How Envoy's details of an answer begin that it gives because of an upstream.
const UPSTREAM_FAULTS: [&[u8]; 3] = [b"upstream_", b"no_healthy_upstream", b"cluster_not_found"];

/// Envoy, and the gateways made of it, as one configuration uses it.
pub struct Envoy {
    /// The internal request header, which carries the chosen upstream.
    header: Box<str>,
    /// Whether a tier behind reads it instead of this one.
    only_sets_header: bool,
    /// Whether this is an Envoy, and not only said to be one.
    is_certain: bool,
}

impl Envoy {
    /// The Envoy of a configuration.
    pub fn new(config: &Config, is_certain: bool) -> Self {
        Self {
            header: config.upstream_header.as_str().into(),
            only_sets_header: config.route_by == RouteBy::Header,
            is_certain,
        }
    }

    /// Removes a client's own internal header, and lets Envoy forget what it may have made of it.
    fn remove(&self, is_there: bool) -> Result<(), Status> {
        if !is_there {
            return Ok(());
        }
        let removed = abi::remove_header(Map::Request, self.header.as_bytes());
        // Refused only by a gateway that has no route cache, and then there is nothing to clear.
        let _ = abi::call_foreign_function(b"clear_route_cache");
        removed
    }
}

/// Whether this is certainly an Envoy, found out without reading a property, so that it may be
/// asked in the root context.
///
/// Envoy knows standard output as a file and Kong's ngx_wasm_module does not; both answer
/// harmlessly (sources: `exports.cc` of proxy-wasm-cpp-host, `ngx_wasi_preview1_host.c`).
pub fn is_certainly_envoy() -> bool {
    abi::knows_standard_output()
}

impl Host for Envoy {
    fn has_whole_head(&self) -> bool {
        true
    }

    /// Envoy keeps `host` as `:authority`, and finds it by either name.
    fn header<'h>(&self, head: &'h Head, name: &str) -> Option<Bytes<'h>> {
        head.header(if name == "host" { AUTHORITY } else { name.as_bytes() })
    }

    /// Envoy hands over only the first of several headers; all of them are only in the whole head.
    fn cookies<'h>(&self, head: &'h Head) -> Option<Bytes<'h>> {
        head.joined(b"cookie", b';')
    }

    fn baggage<'h>(&self, head: &'h Head) -> Option<Bytes<'h>> {
        head.joined(b"baggage", b',')
    }

    fn target<'h>(&self, head: &'h Head) -> Option<Bytes<'h>> {
        head.header(b":path")
    }

    fn method<'h>(&self, head: &'h Head) -> Option<Bytes<'h>> {
        head.header(b":method")
    }

    fn authority<'h>(&self, head: &'h Head) -> Option<Bytes<'h>> {
        head.header(AUTHORITY)
    }

    /// Envoy keeps the scheme of the client in `x-forwarded-proto`; with `use_remote_address: true` it
    /// overwrites what an untrusted client sends there.
    fn scheme<'h>(&self, head: &'h Head) -> Option<Bytes<'h>> {
        head.header(b"x-forwarded-proto").or_else(|| head.header(b":scheme"))
    }

    fn client_address(&self) -> Option<Vec<u8>> {
        let address = abi::property(b"source\0address").ok()?;
        // `1.2.3.4:5678` or `[::1]:5678`; a pipe has no port and no colon.
        let end = address.iter().rposition(|byte| *byte == b':').unwrap_or(address.len());
        let host = address.get(..end)?;
        let bare = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]"));
        Some(bare.unwrap_or(host).to_vec())
    }

    fn bodies(&self) -> Bodies {
        Bodies::Held
    }

    /// It can take away whatever a client sends.
    fn is_forged(&self) -> bool {
        false
    }

    /// An Envoy that lacks the cluster answers 503 itself.
    fn refuses(&self, _: &Effect) -> Option<Refusal> {
        None
    }

    /// The decision takes the place of a client's own internal header.
    fn route(&self, effect: &Effect) -> Routing {
        let header = self.header.as_bytes();
        let Some(upstream) = effect.upstream() else {
            return match self.remove(abi::header(Map::Request, header).is_some()) {
                Ok(()) => Routing::Taken,
                Err(_) => Routing::Refused(Refusal::HostFailure),
            };
        };
        if abi::set_header(Map::Request, header, upstream.as_bytes()).is_err() {
            return Routing::Refused(Refusal::HostFailure);
        }
        // The route was picked before the filter ran, perhaps by the header that this one took the
        // place of. Since Envoy 1.33 nothing promises to pick it anew by itself: for this ABI a changed
        // header still does, but a gateway where it does not would send the request elsewhere in silence.
        match abi::call_foreign_function(b"clear_route_cache") {
            Err(_) if !self.only_sets_header => Routing::Refused(Refusal::HostFailure),
            _ => Routing::Taken,
        }
    }

    fn pass(&self, head: &Head) -> Result<(), Status> {
        self.remove(head.header(self.header.as_bytes()).is_some())
    }

    fn retract(&self, _: &Effect) {
        // Envoy holds a request until its decision is final.
    }

    fn has_others(&self) -> bool {
        false
    }

    /// `%FILTER_STATE(wasm.tse_route_rule:PLAIN)%`; without it the access log shows `-`. The upstream
    /// stands in the request's header, where access logs and spans find it, too.
    fn publish(&self, effect: &Effect) {
        let _ = abi::set_property(b"tse_route_rule", effect.rule().as_bytes());
    }

    /// Envoy refuses such a configuration in the first place.
    fn show_invalid_configuration(&self) -> bool {
        false
    }

    fn was_followed(&self) -> bool {
        true
    }

    /// Envoy says in one word what an answer is for (source: `stream_info.h`,
    /// `ResponseCodeDetails`); those for an upstream's fault begin alike.
    fn origin(&self) -> Origin {
        let Ok(details) = abi::property(b"response\0code_details") else { return Origin::Upstream };
        let is_fault = |start: &&[u8]| details.starts_with(start);
        match &*details {
            b"via_upstream" => Origin::Upstream,
            _ if UPSTREAM_FAULTS.iter().any(is_fault) => Origin::InItsPlace,
            _ => Origin::Gateway,
        }
    }

    fn shows_trailers(&self) -> bool {
        true
    }

    fn status(&self) -> Option<u16> {
        parse_number(&abi::header(Map::Response, b":status")?)
    }

    /// Envoy's own answers pass through the filter like any others.
    fn failures(&self) -> Vec<(usize, u32)> {
        Vec::new()
    }

    fn counts(&self) -> bool {
        self.is_certain
    }
}
