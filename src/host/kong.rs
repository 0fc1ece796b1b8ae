//! Kong: the decision goes out as a request header, and the bridge plugin acts on it in Kong's
//! balancer phase.
//!
//! No `kong.*` property is read or set: those run Lua inside a call of the filter, which has killed
//! workers. `ngx.*`, `request.*`, `source.*` and headers are answered by nginx itself.

use super::abi::{self, Map, Status};
use super::bridge::{Bridge, DECISION, FAILURES, Greeting, UNFOLLOWED};
use super::gateway::{Bodies, Host, Origin, Refusal, Routing, parse_number};
use super::head::Head;
use crate::config::{Config, RequestHeaders, RouteBy};
use crate::effect::{ERROR_HEADER, Effect, ascii_json};
use crate::engine::Bytes;
use serde_json::json;
use std::borrow::Cow;

/// A Kong Gateway, as one configuration uses it.
pub struct Kong(Side);

/// Whether there is a bridge.
enum Side {
    Bridged {
        bridge: Bridge,
        /// A decision that says nothing.
        nothing: Box<[u8]>,
        /// What says that the configuration cannot be used.
        invalid: Box<[u8]>,
    },
    /// Only a header of one value can be set that the client has not sent.
    Alone {
        refusal: Refusal,
        /// The request header of `route_by: header`; none where another upstream is needed.
        header: Option<Box<str>>,
        /// The internal headers, as nginx's variables know them: in any spelling with `_` for `-`.
        forged: [Box<[u8]>; 2],
    },
}

impl Kong {
    /// The Kong of a configuration; `greeting` is what the bridge says in it.
    pub fn new(config: &Config, greeting: &Greeting) -> Self {
        let alone = |refusal| Side::Alone {
            refusal,
            header: (config.route_by == RouteBy::Header)
                .then(|| config.upstream_header.as_str().into()),
            forged: [config.upstream_header.as_str(), DECISION].map(variable),
        };
        Self(match greeting {
            Greeting::Absent => alone(Refusal::BridgeMissing),
            Greeting::Foreign(_) => alone(Refusal::BridgeForeign),
            Greeting::Bridge(bridge) => Side::Bridged {
                nothing: ascii_json(&json!({ "id": bridge.id })),
                invalid: ascii_json(&json!({
                    "id": bridge.id,
                    "error": "invalid-config",
                    "headers": { "error": ERROR_HEADER },
                })),
                bridge: bridge.clone(),
            },
        })
    }
}

/// The property of a request header in any of the spellings that nginx and Kong take for the same.
fn variable(header: &str) -> Box<[u8]> {
    let name = header.to_ascii_lowercase().replace('-', "_");
    format!("ngx\0http_{name}").into_bytes().into()
}

/// Hands a decision to the bridge.
fn hand_over(message: &[u8]) -> Routing {
    match abi::set_header(Map::Request, DECISION.as_bytes(), message) {
        Ok(()) => Routing::HandedOver,
        Err(_) => Routing::Refused(Refusal::HostFailure),
    }
}

fn property<'h>(path: &[u8]) -> Option<Bytes<'h>> {
    abi::property(path).ok().map(Cow::Owned)
}

impl Host for Kong {
    /// Much of what is asked for are properties here.
    fn has_whole_head(&self) -> bool {
        false
    }

    fn header<'h>(&self, head: &'h Head, name: &str) -> Option<Bytes<'h>> {
        head.header(name.as_bytes())
    }

    /// nginx joins all Cookie headers in one variable.
    fn cookies<'h>(&self, _: &'h Head) -> Option<Bytes<'h>> {
        property(b"ngx\0http_cookie")
    }

    /// nginx joins repeated headers in their variable since 1.23 (Kong since 3.6); before, it has the
    /// first.
    fn baggage<'h>(&self, _: &'h Head) -> Option<Bytes<'h>> {
        property(b"ngx\0http_baggage")
    }

    /// As the client sent it; what the pseudo-header has is decoded and normalised.
    fn target<'h>(&self, _: &'h Head) -> Option<Bytes<'h>> {
        property(b"request\0path")
    }

    fn method<'h>(&self, _: &'h Head) -> Option<Bytes<'h>> {
        property(b"request\0method")
    }

    /// Kong's `:authority` and `request.host` are the machine's own name.
    fn authority<'h>(&self, head: &'h Head) -> Option<Bytes<'h>> {
        head.header(b"host")
    }

    /// What Kong will tell the upstream: it honours X-Forwarded-Proto from trusted addresses only.
    fn scheme<'h>(&self, _: &'h Head) -> Option<Bytes<'h>> {
        property(b"ngx\0upstream_x_forwarded_proto")
            .filter(|forwarded| !forwarded.is_empty())
            .or_else(|| property(b"request\0scheme"))
    }

    /// After Kong's real-ip handling; without port.
    fn client_address(&self) -> Option<Vec<u8>> {
        abi::property(b"source\0address").ok()
    }

    /// A paused request hangs for good. A decision that a body has overruled is replaced before the
    /// bridge reads it; alone, the filter could not take a header back.
    fn bodies(&self) -> Bodies {
        match &self.0 {
            Side::Bridged { .. } => Bodies::Late,
            Side::Alone { refusal, .. } => Bodies::Never(*refusal),
        }
    }

    /// The bridge has cleared them before any plugin ran. What a filter removes still reaches the
    /// upstream, and of a header that was sent twice it can overwrite only the first.
    fn is_forged(&self) -> bool {
        match &self.0 {
            Side::Bridged { .. } => false,
            Side::Alone { forged, .. } => forged.iter().any(|name| abi::property(name).is_ok()),
        }
    }

    fn refuses(&self, effect: &Effect) -> Option<Refusal> {
        let Side::Alone { refusal, header, .. } = &self.0 else { return None };
        let leaves = effect.upstream().is_some() && header.is_none();
        let changes =
            *effect.request_headers() != RequestHeaders::default() || effect.baggage().is_some();
        (leaves || changes).then_some(*refusal)
    }

    fn route(&self, effect: &Effect) -> Routing {
        if let Some(refusal) = self.refuses(effect) {
            return Routing::Refused(refusal);
        }
        let header = match &self.0 {
            Side::Bridged { .. } => return hand_over(effect.message()),
            Side::Alone { header, .. } => header,
        };
        let (Some(header), Some(upstream)) = (header, effect.upstream()) else {
            return Routing::Taken;
        };
        match abi::set_header(Map::Request, header.as_bytes(), upstream.as_bytes()) {
            Ok(()) => Routing::Taken,
            Err(_) => Routing::Refused(Refusal::HostFailure),
        }
    }

    /// Without a header there is no decision.
    fn pass(&self, _: &Head) -> Result<(), Status> {
        Ok(())
    }

    fn retract(&self, effect: &Effect) {
        if let Side::Bridged { bridge, nothing, .. } = &self.0 {
            // An earlier filter of the chain may have put its own decision there again.
            let is_own = !bridge.has_others
                || abi::header(Map::Request, DECISION.as_bytes()).as_deref()
                    == Some(effect.message());
            if is_own {
                // Refused, the earlier decision stays in force, and the bridge shows it.
                let _ = hand_over(nothing);
            }
        }
    }

    fn has_others(&self) -> bool {
        matches!(&self.0, Side::Bridged { bridge, .. } if bridge.has_others)
    }

    /// The bridge shares what it follows with the log plugins; alone, the filter cannot.
    fn publish(&self, _: &Effect) {}

    /// Through the bridge it is also counted, and shown on answers that nginx makes itself.
    fn show_invalid_configuration(&self) -> bool {
        match &self.0 {
            Side::Bridged { invalid, .. } => hand_over(invalid) == Routing::HandedOver,
            Side::Alone { .. } => false,
        }
    }

    /// The bridge tells in a header of the response that no client is to see.
    fn was_followed(&self) -> bool {
        match &self.0 {
            Side::Alone { .. } => true,
            Side::Bridged { .. } => {
                let name = UNFOLLOWED.as_bytes();
                // Where Lua has cleared a header, a filter still finds it, without a value.
                let is_followed =
                    abi::header(Map::Response, name).is_none_or(|value| value.is_empty());
                if !is_followed {
                    // A client that sees it learns no more than the error header tells.
                    let _ = abi::remove_header(Map::Response, name);
                }
                is_followed
            }
        }
    }

    /// For what nginx answers itself no filter is called.
    fn origin(&self) -> Origin {
        Origin::Upstream
    }

    fn shows_trailers(&self) -> bool {
        false
    }

    /// nginx lists the status of every try; the last one answered.
    fn status(&self) -> Option<u16> {
        let statuses = abi::property(b"ngx\0upstream_status").ok()?;
        let last = statuses.rsplit(|byte| matches!(byte, b',' | b':')).next()?;
        parse_number(last.trim_ascii())
    }

    /// For an answer that nginx makes itself no filter is called: the bridge has counted those, and
    /// tells of them with the next request.
    fn failures(&self) -> Vec<(usize, u32)> {
        match &self.0 {
            Side::Alone { .. } => Vec::new(),
            Side::Bridged { bridge, .. } => {
                let told = abi::header(Map::Request, FAILURES.as_bytes()).unwrap_or_default();
                bridge.failures(&told)
            }
        }
    }

    /// Under the name `tse-route` a metric of the filter would break Kong's `/metrics`.
    fn counts(&self) -> bool {
        false
    }
}
