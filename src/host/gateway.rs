//! What every gateway is asked for, and what it may answer.

use crate::effect::Effect;

/// A gateway, as the filter uses it.
pub trait Host {
    /// All `Cookie` headers, joined by `;`.
    fn cookies(&self) -> Option<Vec<u8>>;
    /// The client's path with its query, as sent.
    fn target(&self) -> Option<Vec<u8>>;
    /// The method, as sent.
    fn method(&self) -> Option<Vec<u8>>;
    /// The host that the client asked for, perhaps with a port.
    fn authority(&self) -> Option<Vec<u8>>;
    /// The scheme that the client used.
    fn scheme(&self) -> Option<Vec<u8>>;
    /// The client's address, without port.
    fn client_address(&self) -> Option<Vec<u8>>;
    /// Whether a request can be held back until its body is there. If not, it is decided as if it
    /// had none, and once more when the body arrives.
    fn holds_requests(&self) -> bool;
    /// Makes the gateway use the upstream of a decision. `header` is the internal request header.
    fn route(&self, header: &str, effect: &Effect) -> Routing;
    /// Whether the internal request header is what the gateway's own way of routing reads.
    fn routes_by_header(&self) -> bool;
    /// Whether [`Host::unroute`] can take a request back to the service's own upstream.
    fn can_unroute(&self) -> bool;
    /// Takes back what [`Host::route`] did earlier in this request.
    fn unroute(&self);
    /// Lets the gateway pick its route again, after a client's own internal header was removed.
    fn forget_route(&self);
    /// Makes the decision readable for the gateway's access log.
    fn publish(&self, effect: &Effect);
    /// Takes back what [`Host::publish`] did earlier in this request.
    fn unpublish(&self, effect: &Effect);
    /// Lets the gateway itself show that a configuration cannot be used; false where the filter has to.
    fn show_invalid_configuration(&self) -> bool;
    /// Whether the response at hand comes from an upstream and not from the gateway itself, as far
    /// as the gateway tells.
    fn comes_from_upstream(&self) -> bool;
    /// The status of the response at hand.
    fn status(&self) -> Option<u16>;
    /// Failed requests that the filter was not called for, by the number of their circuit breaker,
    /// of the configuration with this number; each is told once.
    fn failures(&self, id: u32) -> Vec<(usize, u32)>;
    /// Whether the gateway counts the filter's metrics.
    fn counts(&self) -> bool;
}

/// What became of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routing {
    /// The gateway goes there; the filter shows the decision in the response.
    Taken,
    /// The gateway goes there, and shows the decision in the response itself.
    TakenAndShown,
    /// The gateway stays with the service's own upstream, and says so in the response itself.
    RefusedAndShown,
    /// The gateway stays with the service's own upstream.
    Refused(Refusal),
}

/// Why a decision was not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Kong needs the bridge plugin, and it does not answer.
    BridgeMissing,
    /// The gateway refused a call that it should not.
    HostFailure,
}

impl Refusal {
    /// The word for headers, metrics and logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::BridgeMissing => "bridge-missing",
            Self::HostFailure => "host-failure",
        }
    }

    /// A sentence for the log.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::BridgeMissing => {
                "Kong cannot switch the upstream without the plugin tse-route-bridge, which does \
                 not answer: the service's own upstream serves. Name it in KONG_PLUGINS"
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
