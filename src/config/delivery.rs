//! Progressive delivery: stickiness, rollouts, circuit breakers.

use super::read::{Field, Whole, as_object, keywords, mismatch, object, quote};
use super::report::Cursor;
use super::values::{Share, UpstreamName};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The most stages that a rollout may have.
pub const MAX_STAGES: usize = 1_000;

keywords! {
    /// What a client is recognised by; the names are those of Kong's Upstreams.
    pub enum HashOn {
        /// By nothing: every request is chosen for at random.
        None = "none",
        /// By the request header `hash_on_header`.
        Header = "header",
        /// By the cookie `hash_on_cookie`, which is issued where it is missing.
        Cookie = "cookie",
        /// By the query parameter `hash_on_query_arg`.
        QueryArg = "query_arg",
        /// By the client's address.
        Ip = "ip",
        /// By the authenticated consumer: the header `X-Consumer-ID` that Kong's plugins set.
        Consumer = "consumer",
        /// By the path.
        Path = "path",
    }
}

/// A point in time, in milliseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The last second that RFC 3339 can write: the end of the year 9999.
    const LAST: u64 = 253_402_300_799;

    /// Reads RFC 3339, as in `2026-03-01T09:00:00+01:00`, or seconds since the epoch.
    pub fn parse(text: &str) -> Option<Self> {
        Self::of_milliseconds(milliseconds(text)?)
    }

    /// None before the epoch and after the year 9999.
    fn of_milliseconds(milliseconds: f64) -> Option<Self> {
        let last = Self::LAST as f64 * 1_000.0;
        // Whole milliseconds of this size are exact.
        (0.0..=last + 999.0).contains(&milliseconds).then_some(Self(milliseconds as u64))
    }
}

/// Milliseconds since the epoch, perhaps before it.
fn milliseconds(text: &str) -> Option<f64> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<f64>().ok().map(|seconds| seconds * 1_000.0);
    }
    let nanoseconds = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
    Some((nanoseconds.div_euclid(1_000_000)) as f64)
}

impl Field for Timestamp {
    fn read<'v>(value: &'v Value, at: &mut Cursor<'v>) -> Self {
        let milliseconds = match value {
            Value::String(text) => milliseconds(text),
            Value::Number(number) => number.as_f64().map(|seconds| (seconds * 1_000.0).floor()),
            _ => None,
        };
        let time = milliseconds.and_then(Self::of_milliseconds);
        time.unwrap_or_else(|| {
            let accepted = match milliseconds {
                None => "RFC 3339, as in `2026-03-01T09:00:00Z`, or seconds since the epoch",
                Some(_) => "a time from 1970-01-01T00:00:00Z to 9999-12-31T23:59:59Z",
            };
            mismatch(value, accepted, at);
            Self::default()
        })
    }

    #[cfg(feature = "schema")]
    fn schema() -> Value {
        serde_json::json!({
            "type": ["string", "number"],
            "minimum": 0,
            "maximum": Self::LAST,
            "pattern": "^([0-9]+|[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2}))$",
        })
    }
}

/// A length of time, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub u64);

impl Span {
    /// The longest span: ten years, of 366 days each.
    const LONGEST: u64 = 10 * 366 * 86_400_000;

    /// A span of so many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000))
    }

    /// Reads a duration as Gateway API writes it (GEP-2257): `30s`, `10m`, `1h30m`, `500ms`; days (`2d`) besides.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit())?;
            let (number, unit_and_rest) = rest.split_at_checked(digits)?;
            let unit =
                unit_and_rest.find(|c: char| c.is_ascii_digit()).unwrap_or(unit_and_rest.len());
            let (unit, after) = unit_and_rest.split_at_checked(unit)?;
            let milliseconds = match unit {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return None,
            };
            if number.is_empty() {
                return None;
            }
            // More than can be counted is more than is accepted.
            let number = number.parse::<u64>().unwrap_or(u64::MAX);
            total = total.saturating_add(number.saturating_mul(milliseconds));
            rest = after;
        }
        (!text.is_empty()).then_some(Self(total))
    }
}

impl Field for Span {
    fn read<'v>(value: &'v Value, at: &mut Cursor<'v>) -> Self {
        let parsed = match value {
            Value::String(text) => Self::parse(text),
            Value::Number(number) => number
                .as_f64()
                .filter(|seconds| *seconds >= 0.0)
                .map(|seconds| Self((seconds * 1_000.0).round() as u64)),
            _ => None,
        };
        match parsed {
            Some(span) if span.0 <= Self::LONGEST => span,
            Some(_) => {
                mismatch(value, "at most 3660d, which is ten years", at);
                Self::default()
            }
            None => {
                mismatch(value, "seconds, or a duration as in `500ms`, `30s`, `10m`, `1h30m`", at);
                Self::default()
            }
        }
    }

    #[cfg(feature = "schema")]
    fn schema() -> Value {
        serde_json::json!({
            "type": ["string", "number"],
            "minimum": 0,
            "maximum": Self::LONGEST / 1_000,
            "pattern": "^([0-9]+(ms|s|m|h|d))+$",
        })
    }
}

/// Weights by the name of the upstream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NamedWeights(pub Vec<(String, Share)>);

impl Field for NamedWeights {
    fn read<'v>(value: &'v Value, at: &mut Cursor<'v>) -> Self {
        let accepted = "an object from names of upstreams to weights, as in `{\"canary\": 10}`";
        let Some(object) = as_object(value, accepted, at) else { return Self::default() };
        if object.is_empty() {
            mismatch(value, accepted, at);
        }
        let weights = object
            .iter()
            .map(|(name, weight)| (name.clone(), at.field(name, |at| Share::read(weight, at))));
        Self(weights.collect())
    }

    #[cfg(feature = "schema")]
    fn schema() -> Value {
        serde_json::json!({
            "type": "object",
            "additionalProperties": Share::schema(),
            "minProperties": 1,
        })
    }
}

object! {
    /// Weights that change by the clock: either `stages`, or the shorthand `duration`, `steps` and `to`.
    pub struct Rollout {
        /// When it starts; before, the configured weights hold. Quote RFC 3339: YAML may take it for a date.
        start: Timestamp = required,
        /// The stages, in the order of `after`: either these, or `duration`, `steps` and `to`.
        stages: Option<Vec<Stage>> = { None },
        /// How long the shorthand takes from the configured weights to `to`.
        duration: Option<Span> = { None },
        /// In how many equal steps it does; 1000 without it.
        steps: Option<Whole<1, 10_000>> = { None },
        /// The weights at its end, by the names of upstreams.
        to: Option<NamedWeights> = { None },
    }
}

object! {
    /// A stage of a rollout.
    pub struct Stage [at most MAX_STAGES] {
        /// How long after `start` it begins.
        after: Span = required,
        /// The weights from then on, by the names of upstreams; those that are not named share the rest as configured.
        weights: NamedWeights = required,
    }
}

object! {
    /// When an upstream is taken out, and how it comes back.
    pub struct CircuitBreaker {
        /// Over how long answers are counted, at least `100ms`; they leave it a tenth of it at a time.
        window: Span = { Span::seconds(10) },
        /// Below so many answers in the window nothing is concluded.
        min_requests: Whole<1, 1_000_000> = { Whole::new(20) },
        /// The largest share of failed answers (5xx, no connection): 0.05 is 5 %.
        max_error_rate: Option<Rate> = { None },
        /// The longest time to the headers of an answer that is not slow; needs `max_slow_rate`.
        max_latency: Option<Span> = { None },
        /// The largest share of slow answers; needs `max_latency`.
        max_slow_rate: Option<Rate> = { None },
        /// How long an upstream stays out before it is probed.
        cooldown: Span = { Span::seconds(30) },
        /// The upstream that takes the share, one of the rule's or not; without it the rule's others do in proportion.
        fallback: Option<UpstreamName> = { None },
    }
}

/// A share of answers, from 0 to 1, in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate(pub u32);

impl Rate {
    /// The rate of everything.
    pub const ALL: u32 = 1_000_000;
}

impl Field for Rate {
    fn read<'v>(value: &'v Value, at: &mut Cursor<'v>) -> Self {
        match value.as_f64() {
            Some(rate) if (0.0..=1.0).contains(&rate) && value.is_number() => {
                Self((rate * f64::from(Self::ALL)).round() as u32)
            }
            _ => {
                mismatch(value, "a number from 0 to 1, where 0.05 is 5 %", at);
                Self::default()
            }
        }
    }

    #[cfg(feature = "schema")]
    fn schema() -> Value {
        serde_json::json!({ "type": "number", "minimum": 0, "maximum": 1 })
    }
}

/// The name of a cookie: a `token` (RFC 6265, section 4.1.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CookieName(pub String);

impl CookieName {
    /// What browsers ask of a cookie whose name begins like this one, in any case (RFC 6265bis,
    /// section 4.1.3), before they keep it.
    pub(super) fn demand(&self) -> Option<CookieDemand> {
        let name = self.0.to_ascii_lowercase();
        [
            ("__host-", CookieDemand::SecureAtRoot),
            ("__secure-", CookieDemand::Secure),
            ("__http-", CookieDemand::Secure),
        ]
        .into_iter()
        .find_map(|(prefix, demand)| name.starts_with(prefix).then_some(demand))
    }
}

/// What browsers ask of a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CookieDemand {
    /// It has the attribute `Secure`.
    Secure,
    /// And its path is `/`.
    SecureAtRoot,
}

impl Field for CookieName {
    fn read<'v>(value: &'v Value, at: &mut Cursor<'v>) -> Self {
        let text = value.as_str().unwrap_or_default();
        if super::values::HeaderName::parse(text).is_none() {
            mismatch(value, "the name of a cookie: letters, digits and !#$%&'*+-.^_`|~", at);
        }
        Self(text.to_owned())
    }

    #[cfg(feature = "schema")]
    fn schema() -> Value {
        super::values::HeaderName::schema()
    }
}

/// The path of a cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookiePath(pub String);

impl Default for CookiePath {
    fn default() -> Self {
        Self("/".to_owned())
    }
}

impl Field for CookiePath {
    fn read<'v>(value: &'v Value, at: &mut Cursor<'v>) -> Self {
        match value.as_str() {
            // RFC 6265, section 4.1.1: no controls, no semicolon.
            Some(path)
                if path.starts_with('/')
                    && path.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b';') =>
            {
                Self(path.to_owned())
            }
            Some(path) => {
                at.error(format!(
                    "found {}; accepted is a path that starts with `/`, without semicolons",
                    quote(path)
                ));
                Self::default()
            }
            None => {
                mismatch(value, "a path that starts with `/`", at);
                Self::default()
            }
        }
    }

    #[cfg(feature = "schema")]
    fn schema() -> Value {
        serde_json::json!({ "type": "string", "pattern": "^/[ -:<-~]*$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        for (text, milliseconds) in [
            ("0", Some(0)),
            ("1767225600", Some(1_767_225_600_000)),
            ("2026-01-01T00:00:00Z", Some(1_767_225_600_000)),
            ("2026-01-01T01:00:00+01:00", Some(1_767_225_600_000)),
            ("2026-01-01T00:00:00.250Z", Some(1_767_225_600_250)),
            ("2026-01-01", None),
            ("tomorrow", None),
            ("1969-12-31T00:00:00Z", None),
            ("+5", None),
            ("", None),
            ("9999-12-31T23:59:59Z", Some(253_402_300_799_000)),
            ("253402300800", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(Timestamp::parse(text), milliseconds.map(Timestamp), "{text}");
        }
    }

    #[test]
    fn spans_are_read_as_they_are_written() {
        for (text, milliseconds) in [
            ("500ms", Some(500)),
            ("30s", Some(30_000)),
            ("1h30m", Some(5_400_000)),
            ("2d", Some(172_800_000)),
            ("0s", Some(0)),
            ("", None),
            ("10", None),
            ("m", None),
            ("1x", None),
            ("-1s", None),
            ("99999999999999999999s", Some(u64::MAX)),
        ] {
            assert_eq!(Span::parse(text), milliseconds.map(Span), "{text}");
        }
    }
}
