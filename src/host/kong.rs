//! Kong: its balancer has run before the filter does, so that another upstream takes the bridge
//! plugin, which runs the balancer again.

use super::abi::{self, Map, Status};
use super::envoy::is_certainly_envoy;
use super::gateway::{Host, Refusal, Routing, parse_number};
use crate::effect::Effect;

/// A Kong Gateway.
pub struct Kong {
    switch: Switch,
    /// Whether it keeps `kong.ctx.shared`.
    shares: bool,
}

/// What switches the upstream on this Kong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Switch {
    /// The bridge plugin.
    Bridge,
    /// The property `kong.service.upstream`: the filter runs before the balancer.
    Property,
    /// Nothing: the property is accepted and ignored, or there is none.
    Nothing,
}

static WITH_BRIDGE: Kong = Kong { switch: Switch::Bridge, shares: true };
static WITH_PROPERTY: Kong = Kong { switch: Switch::Property, shares: true };
static WITHOUT_SWITCH: Kong = Kong { switch: Switch::Nothing, shares: true };
/// A Kong that says nothing of itself: 3.4 and 3.5, or what only the configuration takes for one.
pub(super) static MUTE: Kong = Kong { switch: Switch::Nothing, shares: false };

/// What a worker found out about its gateway.
pub(super) struct Found {
    /// Which Kong it is; none for an Envoy.
    pub kong: Option<&'static Kong>,
    /// Whether that was a clear answer; otherwise the next request may get one.
    pub is_certain: bool,
}

/// The version of the bridge's protocol that this filter speaks.
const PROTOCOL: &[u8] = b"1";

/// Asks for Kong's version and for the bridge: once per worker, because each costs microseconds.
pub(super) fn find() -> Found {
    let version = match abi::property(b"kong\0version") {
        Ok(version) => version,
        // Kong 3.4 and 3.5 don't know the property either, and Envoy's way of routing traps there.
        Err(status) => {
            let kong = (!is_certainly_envoy()).then_some(&MUTE);
            return Found { kong, is_certain: status == Status::NOT_FOUND };
        }
    };
    let bridge = abi::property(b"kong\0tse_route\0bridge");
    let kong = if bridge.as_deref() == Ok(PROTOCOL) {
        &WITH_BRIDGE
    } else if version.starts_with(b"3.6.") || version.starts_with(b"3.7.") {
        &WITH_PROPERTY
    } else {
        &WITHOUT_SWITCH
    };
    let is_certain = matches!(bridge, Ok(_) | Err(Status::NOT_FOUND));
    Found { kong: Some(kong), is_certain }
}

impl Host for Kong {
    /// nginx joins all Cookie headers in one variable.
    fn cookies(&self) -> Option<Vec<u8>> {
        abi::property(b"ngx\0http_cookie").ok()
    }

    /// The property is raw in every version; what the pseudo-header is, is not said anywhere.
    fn target(&self) -> Option<Vec<u8>> {
        abi::property(b"request\0path").ok()
    }

    fn method(&self) -> Option<Vec<u8>> {
        abi::property(b"request\0method").ok()
    }

    /// Kong's `:authority` and `request.host` are the machine's own name.
    fn authority(&self) -> Option<Vec<u8>> {
        abi::header(Map::Request, b"host")
    }

    /// Honours X-Forwarded-Proto from trusted addresses only.
    fn scheme(&self) -> Option<Vec<u8>> {
        abi::property(b"kong\0request\0forwarded_scheme")
            .or_else(|_| abi::property(b"request\0scheme"))
            .ok()
    }

    /// After Kong's real-ip handling; without port.
    fn client_address(&self) -> Option<Vec<u8>> {
        abi::property(b"source\0address").ok()
    }

    /// A paused request hangs for good.
    fn holds_requests(&self) -> bool {
        false
    }

    fn route(&self, _header: &str, effect: &Effect) -> Routing {
        match (self.switch, effect.upstream()) {
            (Switch::Bridge, _) => {
                if abi::set_property(b"kong\0tse_route\0route", effect.message()).is_err() {
                    return Routing::Refused(Refusal::HostFailure);
                }
                if !effect.depends_on_result() {
                    return Routing::TakenAndShown;
                }
                match abi::property(b"kong\0tse_route\0result").as_deref() {
                    Ok(b"routed" | b"own") => Routing::TakenAndShown,
                    _ => Routing::RefusedAndShown,
                }
            }
            (Switch::Property | Switch::Nothing, None) => Routing::Taken,
            (Switch::Property, Some(upstream)) => {
                match abi::set_property(b"kong\0service\0upstream", upstream.as_bytes()) {
                    Ok(()) => Routing::Taken,
                    Err(_) => Routing::Refused(Refusal::HostFailure),
                }
            }
            (Switch::Nothing, Some(_)) => Routing::Refused(Refusal::BridgeMissing),
        }
    }

    fn routes_by_header(&self) -> bool {
        false
    }

    /// The property can name an Upstream, and not the lack of one.
    fn can_unroute(&self) -> bool {
        self.switch != Switch::Property
    }

    fn unroute(&self) {
        if self.switch == Switch::Bridge {
            // A refusal leaves the earlier decision in force, which the bridge keeps showing.
            let _ = abi::set_property(b"kong\0tse_route\0route", b"{}");
        }
    }

    /// Kong picks its route before any filter runs and never again.
    fn forget_route(&self) {}

    /// What goes through the bridge is published by the bridge.
    fn publish(&self, effect: &Effect) {
        self.share(effect, |value| value);
    }

    /// Nothing can be removed from `kong.ctx.shared`, only emptied.
    fn unpublish(&self, effect: &Effect) {
        self.share(effect, |_| "");
    }

    /// Through the bridge it is also counted, and shown on answers that nginx makes itself.
    fn show_invalid_configuration(&self) -> bool {
        self.switch == Switch::Bridge
            && abi::set_property(
                b"kong\0tse_route\0route",
                br#"{"error":"invalid-config","headers":{"error":"X-Kong-Route-Error"}}"#,
            )
            .is_ok()
    }

    /// For what nginx answers itself no filter is called.
    fn comes_from_upstream(&self) -> bool {
        true
    }

    /// nginx lists the status of every try; the last one answered.
    fn status(&self) -> Option<u16> {
        let statuses = abi::property(b"ngx\0upstream_status").ok()?;
        let last = statuses.rsplit(|byte| matches!(byte, b',' | b':')).next()?;
        parse_number(last.trim_ascii())
    }

    /// For an answer that nginx makes itself no filter is called: the bridge has counted those.
    fn failures(&self, id: u32) -> Vec<(usize, u32)> {
        if self.switch != Switch::Bridge {
            return Vec::new();
        }
        let path = format!("kong\0tse_route\0failures\0{id}");
        // `number=count` pairs, separated by commas; nothing where nothing failed.
        let failures = abi::property(path.as_bytes()).unwrap_or_default();
        let pair = |pair: &[u8]| {
            let equals = pair.iter().position(|byte| *byte == b'=')?;
            Some((parse_number(pair.get(..equals)?)?, parse_number(pair.get(equals + 1..)?)?))
        };
        failures.split(|byte| *byte == b',').filter_map(pair).collect()
    }

    /// Under the name `tse-route` a metric of the filter would break Kong's `/metrics`.
    fn counts(&self) -> bool {
        false
    }
}

impl Kong {
    /// Writes a decision, or something in its place, into `kong.ctx.shared`.
    fn share(&self, effect: &Effect, written: fn(&str) -> &str) {
        if !self.shares {
            return;
        }
        let rule = written(effect.rule());
        let _ = abi::set_property(b"kong\0ctx\0shared\0tse_route_rule", rule.as_bytes());
        if let Some(upstream) = effect.upstream().map(written) {
            let path = b"kong\0ctx\0shared\0tse_route_upstream";
            let _ = abi::set_property(path, upstream.as_bytes());
        }
    }
}
