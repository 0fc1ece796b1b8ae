//! What every gateway is asked for, and what it may answer.

use super::abi::Status;
use super::head::Head;
use crate::effect::Effect;
use crate::engine::Bytes;

/// A gateway, as the filter uses it.
pub trait Host {
    /// Whether a [`Head`] has all that the methods take from it.
    fn has_whole_head(&self) -> bool;
    /// The first value of a header; `name` is in lower case.
    fn header<'h>(&self, head: &'h Head, name: &str) -> Option<Bytes<'h>>;
    /// All `Cookie` headers, joined by `;`.
    fn cookies<'h>(&self, head: &'h Head) -> Option<Bytes<'h>>;
    /// All `baggage` headers, joined by `,`.
    fn baggage<'h>(&self, head: &'h Head) -> Option<Bytes<'h>>;
    /// The client's path with its query, as sent.
    fn target<'h>(&self, head: &'h Head) -> Option<Bytes<'h>>;
    /// The method, as sent.
    fn method<'h>(&self, head: &'h Head) -> Option<Bytes<'h>>;
    /// The host that the client asked for, perhaps with a port.
    fn authority<'h>(&self, head: &'h Head) -> Option<Bytes<'h>>;
    /// The scheme that the client used.
    fn scheme<'h>(&self, head: &'h Head) -> Option<Bytes<'h>>;
    /// The client's address, without port.
    fn client_address(&self) -> Option<Vec<u8>>;
    /// When a decision can depend on the body.
    fn bodies(&self) -> Bodies;
    /// Whether the request carries an internal header of the client's own that this gateway cannot
    /// take away, so that it must not go on.
    fn is_forged(&self) -> bool;
    /// Why the gateway will not follow a decision, where that is known beforehand.
    fn refuses(&self, effect: &Effect) -> Option<Refusal>;
    /// Makes the gateway follow a decision; a later one of the same request takes its place.
    fn route(&self, effect: &Effect) -> Routing;
    /// Lets a request go on that no rule has matched, without a client's own internal header.
    fn pass(&self, head: &Head) -> Result<(), Status>;
    /// Takes back a decision of this request, since with its body no rule matches.
    fn retract(&self, effect: &Effect);
    /// Whether another filter may have decided over this one since, without seeing the body.
    fn has_others(&self) -> bool;
    /// Makes the decision readable for the gateway's access log.
    fn publish(&self, effect: &Effect);
    /// Lets the gateway itself show that a configuration cannot be used; false where the filter has to.
    fn show_invalid_configuration(&self) -> bool;
    /// Whether the answer at hand is that of the upstream that was chosen.
    fn was_followed(&self) -> bool;
    /// Whose answer the response at hand is, as far as the gateway tells.
    fn origin(&self) -> Origin;
    /// Whether the filter is called for the trailers of a response.
    fn shows_trailers(&self) -> bool;
    /// The status of the response at hand.
    fn status(&self) -> Option<u16>;
    /// Failed requests that the filter was not called for, by the number of their circuit breaker;
    /// each is told once.
    fn failures(&self) -> Vec<(usize, u32)>;
    /// Whether the gateway counts the filter's metrics.
    fn counts(&self) -> bool;
}

/// When a decision can depend on the body of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bodies {
    /// The request is held back until the body is there.
    Held,
    /// The request is decided as if it had no body, and once more when the body arrives.
    Late,
    /// Never, because of what the gateway lacks.
    Never(Refusal),
}

/// Whose answer a response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An upstream's.
    Upstream,
    /// The gateway's, because the upstream did not answer as it should have.
    InItsPlace,
    /// The gateway's, for reasons of its own or of the client's.
    Gateway,
}

/// What became of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routing {
    /// The gateway goes there; the filter changes the request and shows the decision.
    Taken,
    /// The gateway does all of it by itself.
    HandedOver,
    /// The gateway stays with the service's own upstream.
    Refused(Refusal),
}

/// Why a decision was not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Kong needs the bridge plugin, and it is not there.
    BridgeMissing,
    /// Kong needs the bridge plugin, and the one that is there belongs to another release.
    BridgeForeign,
    /// The gateway refused a call that it should not.
    HostFailure,
}

impl Refusal {
    /// The word for headers, metrics and logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::BridgeMissing | Self::BridgeForeign => "bridge-missing",
            Self::HostFailure => "host-failure",
        }
    }

    /// A sentence for the log.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::BridgeMissing => {
                "Kong cannot follow this configuration without the plugin tse-route-bridge, which \
                 is not loaded: the service's own upstream serves. Name it in KONG_PLUGINS"
            }
            Self::BridgeForeign => {
                "Kong cannot follow this configuration without the plugin tse-route-bridge, and \
                 the one that is loaded speaks another protocol: the service's own upstream \
                 serves. Install the filter and the plugin of the same release"
            }
            Self::HostFailure => {
                "the gateway refused to route to the chosen upstream: the service's own serves"
            }
        }
    }
}

/// A number that a gateway hands over as text.
pub(super) fn parse_number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
