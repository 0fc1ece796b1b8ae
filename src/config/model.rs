//! What an operator writes.

use super::baggage::BaggageChanges;
use super::condition::{Condition, Delimiter};
use super::delivery::{CircuitBreaker, CookieName, CookiePath, HashOn, Rollout};
use super::read::{Field, Whole, keywords, mismatch, object};
use super::report::Cursor;
use super::values::{HeaderName, HeaderValue, Share, Text, UpstreamName};
use super::written::{ChangedHeader, HeaderSwitch, InternalHeader, MAX_HEADERS};
use serde_json::Value;

/// The most rules that a configuration may have.
pub const MAX_RULES: usize = 10_000;
/// The most upstreams that a rule may have.
pub const MAX_UPSTREAMS: usize = 256;

object! {
    /// A whole configuration.
    pub struct Config {
        /// Free text.
        description: Option<String> = { None },
        /// The rules; the one with the largest `weight` whose condition holds decides.
        rules: Vec<Rule> = { Vec::new() },
        /// Stored lists of values that conditions refer to by `global_config_id`.
        global_configs: Vec<GlobalConfig> = { Vec::new() },
        /// How many bytes of a body are buffered for `body` conditions; a larger body has no parameters.
        body_max_bytes: Whole<1, 16_777_216> = { Whole::new(65_536) },
        /// The request header that carries the chosen upstream, on Envoy and with `route_by: header`; a client's own is removed.
        upstream_header: InternalHeader = { InternalHeader::default() },
        /// The response headers that show the decision; `true` is those with their usual names, `false` none.
        response_headers: ResponseHeaders = { ResponseHeaders::default() },
        /// The gateway; `auto` finds it out at run time.
        host: HostChoice = { HostChoice::Auto },
        /// How the gateway is made to use the upstream; `header` only sets the request header.
        route_by: RouteBy = { RouteBy::Auto },
        /// Whether the decision is made readable for the gateway's access log; on Kong the bridge makes it so in any case.
        access_log: bool = { true },
        /// Whether circuit breakers count in the gateway's shared memory, so that all workers act as one; Kong needs a zone for it.
        shared_memory: bool = { false },
        /// Whether the filter counts in Envoy's metrics; on Kong the bridge plugin counts, and has a switch of its own.
        metrics: bool = { true },
        /// Whether every decision is explained in the log, at the level `debug`, which the gateway's own log must have too.
        log_decisions: bool = { false },
    }
}

keywords! {
    /// The gateway that the filter runs in.
    pub enum HostChoice {
        /// Found out at run time.
        Auto = "auto",
        /// Kong Gateway.
        Kong = "kong",
        /// Envoy, and the gateways made of it.
        Envoy = "envoy",
    }
}

keywords! {
    /// How the gateway is made to use the chosen upstream.
    pub enum RouteBy {
        /// The gateway's own way.
        Auto = "auto",
        /// Only by the request header `upstream_header`, for a tier behind that routes by it.
        Header = "header",
    }
}

object! {
    /// One rule.
    pub struct Rule [at most MAX_RULES] {
        /// A label for logs and metrics, and with `hash_on` part of what decides who goes where.
        name: Option<String> = { None },
        /// Whether the rule counts; a disabled one is checked and then ignored.
        enabled: bool = { true },
        /// The rule's priority: the larger is tried first, equal ones in the order of the list, with a warning.
        weight: Whole<0, 100> = { Whole::new(0) },
        /// What a request must be like, by location; no item means always.
        condition: Option<Condition> = { None },
        /// Whether all items must hold (`AND`) or one is enough (`OR`).
        match_type: MatchType = { MatchType::And },
        /// The weighted upstreams that share the rule's traffic.
        upstream: Upstreams = required,
        /// What the weights of the upstreams are shares of.
        weight_total: Whole<1, 1_000_000_000> = { Whole::new(100) },
        /// What a client is recognised by, so that it stays with its upstream.
        hash_on: HashOn = { HashOn::None },
        /// The header of `hash_on: header`, which needs it.
        hash_on_header: Option<HeaderName> = { None },
        /// The cookie of `hash_on: cookie` and of `hash_fallback: cookie`, which need it.
        hash_on_cookie: Option<CookieName> = { None },
        /// The path of the cookie that is issued.
        hash_on_cookie_path: CookiePath = { CookiePath::default() },
        /// Whether the cookie that is issued is for encrypted connections only (`Secure`).
        hash_on_cookie_secure: bool = { false },
        /// The query parameter of `hash_on: query_arg`, which needs it.
        hash_on_query_arg: Option<String> = { None },
        /// What a client is recognised by where `hash_on` finds nothing; needs `hash_on`, and not `cookie` there.
        hash_fallback: HashOn = { HashOn::None },
        /// The header of `hash_fallback: header`, which needs it.
        hash_fallback_header: Option<HeaderName> = { None },
        /// The query parameter of `hash_fallback: query_arg`, which needs it.
        hash_fallback_query_arg: Option<String> = { None },
        /// Weights that change by the clock.
        rollout: Option<Rollout> = { None },
        /// When an upstream that fails is taken out.
        circuit_breaker: Option<CircuitBreaker> = { None },
    }
}

keywords! {
    /// How the items of a condition are combined.
    pub enum MatchType {
        /// All items must hold.
        And = "AND",
        /// One item is enough.
        Or = "OR",
    }
}

object! {
    /// One of a rule's upstreams.
    pub struct Upstream {
        /// Kong Upstream or Envoy cluster; null or absent for the service's own upstream.
        name: Option<UpstreamName> = { None },
        /// The share of the rule's traffic, with at most two decimals; 0 means never.
        weight: Share = { Share::whole(100) },
        /// Changes to the request that goes to this upstream, as Gateway API's RequestHeaderModifier.
        request_headers: Option<RequestHeaders> = { None },
    }
}

object! {
    /// Changes to the headers of a request: `remove`, then `set`, then `add`, then `baggage`.
    pub struct RequestHeaders {
        /// Headers that replace what the client sent; in a value, `{rule}` and `{upstream}` stand for the labels of what was chosen.
        set: Vec<Header> = { Vec::new() },
        /// Headers that are added to what the client sent.
        add: Vec<Header> = { Vec::new() },
        /// Names of headers that are removed.
        remove: Vec<ChangedHeader> = { Vec::new() },
        /// Changes to members of the W3C baggage; all others stay as they came.
        baggage: Option<BaggageChanges> = { None },
    }
}

object! {
    /// A header with its value.
    pub struct Header [at most MAX_HEADERS] {
        /// The header's name.
        name: ChangedHeader = required,
        /// The header's value.
        value: HeaderValue = required,
    }
}

object! {
    /// A stored list of values.
    pub struct GlobalConfig {
        /// What conditions refer to by `global_config_id`; `1` and `"1"` are the same, and each stands once.
        id: Text = required,
        /// A label for people.
        name: Option<String> = { None },
        /// The values, separated by the delimiter.
        value: Text = required,
        /// What separates the values for `in` and `not in`; without it a comma.
        delimiter: Option<Delimiter> = { None },
    }
}

/// A rule's upstreams: at least one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Upstreams(pub Vec<Upstream>);

impl Field for Upstreams {
    fn read<'v>(value: &'v Value, at: &mut Cursor<'v>) -> Self {
        const ACCEPTED: &str = "a list of upstreams, each with `name` and `weight`";
        match value.as_array() {
            None => {
                mismatch(value, ACCEPTED, at);
                Self::default()
            }
            Some(list) if list.is_empty() || list.len() > MAX_UPSTREAMS => {
                at.error(format!(
                    "found a list of {}; accepted is a list of 1 to {MAX_UPSTREAMS} upstreams",
                    list.len()
                ));
                Self::default()
            }
            Some(_) => Self(Vec::read(value, at)),
        }
    }

    #[cfg(feature = "schema")]
    fn schema() -> Value {
        serde_json::json!({
            "type": "array",
            "items": Upstream::schema(),
            "minItems": 1,
            "maxItems": MAX_UPSTREAMS,
        })
    }
}

/// The response headers that show the decision.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ResponseHeaders {
    /// All of them under their usual names.
    #[default]
    Usual,
    /// None.
    Off,
    /// As named.
    Named(ResponseHeaderNames),
}

object! {
    /// Which response header shows what.
    pub struct ResponseHeaderNames {
        /// The header with the weight of the rule that decided; usually `X-Kong-Route-Rule`.
        rule: HeaderSwitch = { HeaderSwitch::Usual },
        /// The header with the name of the chosen upstream; usually `X-Kong-Route-Upstream`.
        upstream: HeaderSwitch = { HeaderSwitch::Usual },
        /// The header with the name of the rule that decided; none unless it is named here.
        name: HeaderSwitch = { HeaderSwitch::Off },
    }
}

impl Field for ResponseHeaders {
    fn read<'v>(value: &'v Value, at: &mut Cursor<'v>) -> Self {
        match value {
            Value::Bool(true) => Self::Usual,
            Value::Bool(false) => Self::Off,
            Value::Object(_) => Self::Named(ResponseHeaderNames::read(value, at)),
            _ => {
                mismatch(value, "`false`, or an object with `rule`, `upstream` and `name`", at);
                Self::Usual
            }
        }
    }

    #[cfg(feature = "schema")]
    fn schema() -> Value {
        super::schema_parts::merged(
            ResponseHeaderNames::schema(),
            serde_json::json!({ "type": ["object", "boolean"] }),
        )
    }
}
