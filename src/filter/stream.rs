//! The life of a request.

use super::clock::Clock;
use super::draws::Draws;
use super::plugin::Plugin;
use super::request::{Incoming, Surroundings};
use crate::config::{HostChoice, RequestHeaders, RouteBy};
use crate::effect::{ERROR_HEADER, Effect};
use crate::engine::{Body, BodyFault, Choice, Outcome, Rule, Verdict};
use crate::host::abi::{self, Buffer, Map};
use crate::host::{self, Host, Refusal, Routing};
use crate::observe::{log as output, metrics};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;
use std::borrow::Cow;
use std::rc::Rc;

/// One request.
pub struct Stream {
    plugin: Rc<Plugin>,
    draws: Draws,
    awaits: Awaits,
    decided: Option<Choice>,
    /// When a request whose answer is to be counted was sent, in milliseconds since the epoch.
    sent: Option<u64>,
    /// The value of the cookie that the client is to be given.
    issued: Option<u128>,
    shown: Shown,
    /// What the headers that a provisional decision has changed were before, every value of them.
    undo: Vec<(Box<str>, Vec<Vec<u8>>)>,
}

/// Whether the decision waits for the body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Awaits {
    Nothing,
    /// The request is held back; nothing of the body has come yet.
    FirstBytes,
    /// The request is held back; some of the body is there.
    LastBytes,
    /// The request goes on as if it had no body, until it comes.
    Provisionally,
}

/// What the response is to show.
#[derive(Clone, Copy)]
enum Shown {
    Nothing,
    Decision(Choice),
    Error(&'static str),
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let host = self.plugin.host();
        let holds = host.holds_requests();
        let body = if end_of_stream || !holds { Body::None } else { Body::Pending };
        let mut verdict = self.decide(host, body);
        if verdict.outcome == Outcome::NeedsBody {
            if !self.announces_too_much() {
                self.awaits = Awaits::FirstBytes;
                return Action::Pause;
            }
            // Held back, it might fill Envoy's buffer before the filter sees how much it is, and
            // the client would get a 413.
            verdict = self.decide(host, Body::Unreadable);
        }
        if verdict.asked_for_body && !holds {
            self.awaits = Awaits::Provisionally;
        }
        self.apply(host, verdict.outcome);
        Action::Continue
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        match self.awaits {
            Awaits::Nothing => Action::Continue,
            Awaits::Provisionally => self.decide_on_body(size),
            Awaits::FirstBytes | Awaits::LastBytes if !end_of_stream && size <= self.limit() => {
                self.awaits = Awaits::LastBytes;
                Action::Pause
            }
            Awaits::FirstBytes | Awaits::LastBytes => self.decide_on_body(size),
        }
    }

    /// Trailers end a body without a last piece of it.
    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        match self.awaits {
            Awaits::Nothing | Awaits::Provisionally => Action::Continue,
            Awaits::FirstBytes | Awaits::LastBytes => self.decide_on_body(self.limit()),
        }
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        self.count_answer();
        self.issue_cookie();
        match self.shown {
            Shown::Nothing => {}
            Shown::Decision(choice) => {
                let effect = self.plugin.effects.of(choice);
                for (name, value) in effect.map(Effect::response_headers).unwrap_or_default() {
                    // A response that cannot be marked is still the right response.
                    let _ = abi::set_header(Map::Response, name.as_bytes(), value.as_bytes());
                }
            }
            Shown::Error(word) => {
                if let Some(name) = self.plugin.effects.error_header() {
                    let _ = abi::set_header(Map::Response, name.as_bytes(), word.as_bytes());
                }
            }
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        self.count_silence();
        if self.awaits == Awaits::FirstBytes {
            output::error_once_a_minute(
                "body-not-delivered",
                "a request ended while a rule waited for its body; if this happens to every \
                 request with a body, the plugin's configuration in Envoy lacks \
                 `allow_on_headers_stop_iteration: true`",
            );
        }
    }
}

impl Stream {
    pub fn new(plugin: Rc<Plugin>) -> Self {
        Self {
            plugin,
            draws: Draws::default(),
            awaits: Awaits::Nothing,
            decided: None,
            sent: None,
            issued: None,
            shown: Shown::Nothing,
            undo: Vec::new(),
        }
    }

    /// The largest body that is looked at, in bytes.
    fn limit(&self) -> usize {
        usize::try_from(self.plugin.loaded.config.body_max_bytes.get()).unwrap_or(usize::MAX)
    }

    /// Whether the request says itself that its body is over the limit.
    fn announces_too_much(&self) -> bool {
        let length = abi::header(Map::Request, b"content-length").unwrap_or_default();
        let length = std::str::from_utf8(&length).ok().and_then(|text| text.parse::<u64>().ok());
        length.is_some_and(|length| length > self.plugin.loaded.config.body_max_bytes.get())
    }

    fn decide(&mut self, host: &dyn Host, body: Body<'_>) -> Verdict {
        let incoming = Incoming { host, body };
        let clock = Clock::default();
        self.draws.rewind();
        let mut world = Surroundings {
            host,
            plugin: &self.plugin,
            draws: &mut self.draws,
            clock: &clock,
            knows_failures: false,
        };
        let table = &self.plugin.loaded.table;
        let verdict = table.decide(&incoming, &mut world);
        self.issued = verdict.issued;
        self.sent = match verdict.outcome {
            Outcome::Routed(choice)
                if self.plugin.metrics.is_some() || table.breaker(choice).is_some() =>
            {
                Some(clock.now())
            }
            _ => None,
        };
        if let Some(fault) = verdict.body_fault {
            report_body(host, fault);
        }
        if self.plugin.loaded.config.log_decisions {
            output::explain(&self.plugin.loaded, &verdict);
        }
        verdict
    }

    /// The final decision, with the body of which `size` bytes are there.
    fn decide_on_body(&mut self, size: usize) -> Action {
        let host = self.plugin.host();
        let limit = self.limit();
        let body = match abi::buffer(Buffer::RequestBody, limit) {
            Ok(bytes) if size <= limit => Body::Whole(Cow::Owned(bytes)),
            Ok(_) | Err(_) => Body::Unreadable,
        };
        let (sent, issued) = (self.sent, self.issued);
        let outcome = self.decide(host, body).outcome;
        if self.awaits != Awaits::Provisionally {
            self.apply(host, outcome);
        } else if self.differs(outcome) && self.can_follow(host, outcome) {
            self.take_back(host, outcome);
            self.apply(host, outcome);
        } else {
            // The first decision stays in force, and what was refused stays refused.
            (self.sent, self.issued) = (sent, issued);
        }
        self.awaits = Awaits::Nothing;
        Action::Continue
    }

    /// Whether the gateway can still go where the body leads.
    fn can_follow(&self, host: &dyn Host, outcome: Outcome) -> bool {
        let is_to_return = self.upstream_of(self.decided).is_some()
            && self.upstream_of(outcome.choice()).is_none();
        let follows = !is_to_return || self.routes_by_header_only() || host.can_unroute();
        if !follows {
            output::error_once_a_minute(
                "body-too-late",
                "the body decides for the service's own upstream, and this Kong cannot go back \
                 to it without the plugin tse-route-bridge: the first decision stays in force",
            );
        }
        follows
    }

    fn routes_by_header_only(&self) -> bool {
        self.plugin.loaded.config.route_by == RouteBy::Header
    }

    fn upstream_of(&self, choice: Option<Choice>) -> Option<&str> {
        choice.and_then(|choice| self.plugin.effects.of(choice)).and_then(Effect::upstream)
    }

    /// Tells the metrics and the circuit breaker, where there are any, how the request went.
    fn count_answer(&mut self) {
        let (Some(sent), Some(choice)) = (self.sent.take(), self.decided) else { return };
        let host = self.plugin.host();
        let now = Clock::default().now();
        let status = host.status();
        let latency = now.saturating_sub(sent);
        if let Some(breaker) = self.plugin.loaded.table.breaker(choice) {
            let failed = status.is_some_and(|status| status >= 500);
            let answer = breaker.1.answer(failed, latency);
            self.plugin.breakers.record(host, breaker, (sent, now), answer);
        }
        if let Some(metrics) = &self.plugin.metrics {
            let status = status.unwrap_or_default();
            metrics.count_response(choice, status);
            // What the gateway answers itself says nothing of the upstream; hardly any of that is
            // a success, and to ask costs more than all else here.
            if status < 400 || host.comes_from_upstream() {
                metrics.count_latency(choice, latency);
            }
        }
    }

    /// Counts a request for which no answer came.
    fn count_silence(&mut self) {
        let (Some(_), Some(choice)) = (self.sent.take(), self.decided) else { return };
        if let Some(metrics) = &self.plugin.metrics {
            metrics.count_response(choice, 0);
        }
    }

    /// Gives the client the cookie that it will be recognised by.
    fn issue_cookie(&self) {
        let rule = self.decided.and_then(|choice| self.plugin.loaded.table.rule(choice));
        let cookie = rule.and_then(Rule::cookie);
        if let (Some(id), Some(cookie)) = (self.issued, cookie) {
            // A client without the cookie is given one the next time.
            let _ = abi::add_header(Map::Response, b"set-cookie", cookie.issue(id).as_bytes());
        }
    }

    fn differs(&self, outcome: Outcome) -> bool {
        outcome.choice() != self.decided
    }

    /// Makes a decision come true.
    fn apply(&mut self, host: &dyn Host, outcome: Outcome) {
        let plugin = Rc::clone(&self.plugin);
        let header = plugin.loaded.config.upstream_header.as_str();
        let decision =
            outcome.choice().and_then(|choice| Some((choice, plugin.effects.of(choice)?)));
        let Some((choice, effect)) = decision else {
            refuse_forged(host, header);
            if let Some(metrics) = &plugin.metrics {
                metrics.count_unmatched();
            }
            return;
        };
        let by_header = plugin.loaded.config.route_by == RouteBy::Header;
        let routing = if by_header {
            set_internal(host, header, effect)
        } else {
            route(host, header, effect)
        };
        self.decided = Some(choice);
        match routing {
            Routing::Taken | Routing::TakenAndShown => {
                if let Some(metrics) = &plugin.metrics {
                    metrics.count_request(choice);
                }
                self.change_request(effect.request_headers());
            }
            // The answer will be another upstream's: no circuit breaker counts it.
            Routing::Refused(_) | Routing::RefusedAndShown => self.sent = None,
        }
        match routing {
            Routing::Taken => {
                self.shown = Shown::Decision(choice);
                if plugin.loaded.config.access_log {
                    host.publish(effect);
                }
            }
            Routing::Refused(refusal) => {
                output::error_once_a_minute(refusal.word(), refusal.sentence());
                metrics::count_error(host, refusal.word());
                self.shown = Shown::Error(refusal.word());
            }
            Routing::TakenAndShown | Routing::RefusedAndShown => {}
        }
    }

    /// Takes back a provisional decision that the body has overruled.
    fn take_back(&mut self, host: &dyn Host, outcome: Outcome) {
        if self.decided.take().is_none() {
            return;
        }
        // Another decision replaces the first by itself.
        if !self.routes_by_header_only() && outcome.choice().is_none() {
            host.unroute();
        }
        for (name, values) in self.undo.drain(..) {
            let name = name.as_bytes();
            let undone = match values.split_first() {
                None => abi::remove_header(Map::Request, name),
                Some((first, others)) => others
                    .iter()
                    .map(|value| abi::add_header(Map::Request, name, value))
                    .fold(abi::set_header(Map::Request, name, first), Result::and),
            };
            if undone.is_err() {
                report_host("the gateway did not restore a request header");
            }
        }
        // What the filter shows itself it has published itself.
        if self.plugin.loaded.config.access_log
            && let Shown::Decision(choice) = self.shown
            && let Some(effect) = self.plugin.effects.of(choice)
        {
            host.unpublish(effect);
        }
        self.shown = Shown::Nothing;
    }

    /// Changes the headers of the request: `remove`, then `set`, then `add`.
    fn change_request(&mut self, changes: &RequestHeaders) {
        if self.awaits == Awaits::Provisionally && *changes != RequestHeaders::default() {
            self.remember(changes);
        }
        let removed = changes
            .remove
            .iter()
            .map(|name| abi::remove_header(Map::Request, name.as_str().as_bytes()));
        let set = changes.set.iter().map(|header| {
            abi::set_header(
                Map::Request,
                header.name.as_str().as_bytes(),
                header.value.0.as_bytes(),
            )
        });
        let added = changes.add.iter().map(|header| {
            abi::add_header(
                Map::Request,
                header.name.as_str().as_bytes(),
                header.value.0.as_bytes(),
            )
        });
        let failures = removed.chain(set).chain(added).filter(Result::is_err).count();
        if failures > 0 {
            report_host("the gateway refused to change a request header");
        }
    }

    /// Remembers the headers that are about to change: all of their values, which are only in the
    /// whole map.
    fn remember(&mut self, changes: &RequestHeaders) {
        let headers = abi::headers(Map::Request).unwrap_or_default();
        let set = changes.set.iter().chain(&changes.add).map(|header| &header.name);
        for name in set.chain(&changes.remove) {
            let of_this_name = |(other, value): (&[u8], &[u8])| {
                other.eq_ignore_ascii_case(name.as_str().as_bytes()).then(|| value.to_vec())
            };
            let values = abi::pairs(&headers).filter_map(of_this_name).collect();
            self.undo.push((name.as_str().into(), values));
        }
    }
}

/// Counts a body that could not be looked at; where nothing is counted, the log has to say it.
fn report_body(host: &dyn Host, fault: BodyFault) {
    let (reason, sentence) = match fault {
        BodyFault::Unreadable => (
            "body-unreadable",
            "a rule asked for a body that is larger than `body_max_bytes`, or that Kong keeps in a \
             file because it is larger than `client_body_buffer_size`",
        ),
        BodyFault::Unparsable => (
            "body-unparsable",
            "a rule asked for a parameter of a body that is neither JSON nor a form",
        ),
    };
    if host.counts() {
        metrics::count_error(host, reason);
    } else {
        output::error_once_a_minute(reason, sentence);
    }
}

/// Routes in the gateway's own way. Where that reads the internal header, the decision replaces a
/// client's own.
fn route(host: &dyn Host, header: &str, effect: &Effect) -> Routing {
    if effect.upstream().is_none() || !host.routes_by_header() {
        refuse_forged(host, header);
    }
    host.route(header, effect)
}

/// Sets the internal header and nothing else, for a tier behind that routes by it.
fn set_internal(host: &dyn Host, header: &str, effect: &Effect) -> Routing {
    let Some(upstream) = effect.upstream() else {
        refuse_forged(host, header);
        return Routing::Taken;
    };
    match abi::set_header(Map::Request, header.as_bytes(), upstream.as_bytes()) {
        Ok(()) => {
            // The header that it took the place of may have picked the route already.
            host.forget_route();
            Routing::Taken
        }
        Err(_) => Routing::Refused(Refusal::HostFailure),
    }
}

/// Removes a client's own internal header, and lets the gateway forget what it may have made of it.
fn refuse_forged(host: &dyn Host, header: &str) {
    if abi::header(Map::Request, header.as_bytes()).is_some() {
        if abi::remove_header(Map::Request, header.as_bytes()).is_err() {
            report_host("the gateway did not remove a client's own internal header");
        }
        host.forget_route();
    }
}

/// Says that the gateway refused a call that it should not, and that the request goes on.
fn report_host(sentence: &str) {
    output::error_once_a_minute(Refusal::HostFailure.word(), sentence);
}

/// A request under a configuration that cannot be used: the service's own upstream serves.
pub struct Broken {
    internal_header: Rc<str>,
    shown: bool,
}

impl Broken {
    const REASON: &str = "invalid-config";

    pub fn new(internal_header: Rc<str>) -> Self {
        Self { internal_header, shown: false }
    }
}

impl Context for Broken {}

impl HttpContext for Broken {
    /// A client that sends the internal header must not choose what the filter does not.
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        output::error_once_a_minute(
            Self::REASON,
            "the configuration cannot be used, its faults were logged when it was loaded: \
             the service's own upstream serves",
        );
        let host = host::current(HostChoice::Auto);
        refuse_forged(host, &self.internal_header);
        self.shown = host.show_invalid_configuration();
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        if !self.shown {
            let reason = Self::REASON.as_bytes();
            let _ = abi::set_header(Map::Response, ERROR_HEADER.as_bytes(), reason);
        }
        Action::Continue
    }
}
