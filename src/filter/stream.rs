//! The life of a request.

use super::announced::Announced;
use super::answer::{Answer, Judgement, Sent, trailers_fail};
use super::clock::Clock;
use super::draws::Draws;
use super::plugin::Plugin;
use super::request::{Incoming, Surroundings};
use crate::config::RequestHeaders;
use crate::effect::{ERROR_HEADER, Effect};
use crate::engine::{BaggageChange, Body, BodyFault, Choice, Outcome, Rewritten, Rule, Verdict};
use crate::host::abi::{self, Buffer, Map};
use crate::host::{Action, Bodies, Head, Host, Origin, Refusal, Routing};
use crate::observe::{log as output, metrics};
use std::borrow::Cow;
use std::rc::Rc;

/// A request that is under way.
pub enum Request {
    /// One that is decided.
    Decided(Stream),
    /// One under a configuration that cannot be used.
    Undecided(Broken),
}

/// One request.
pub struct Stream {
    plugin: Rc<Plugin>,
    draws: Draws,
    awaits: Awaits,
    decided: Option<Choice>,
    /// None where the answer is not to be counted.
    sent: Option<Sent>,
    /// An answer that says in its trailers how it went, and how long its head took, in milliseconds.
    unfinished: Option<(Sent, u64)>,
    /// The value of the cookie that the client is to be given.
    issued: Option<u128>,
    shown: Shown,
}

/// Whether the decision waits for the body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Awaits {
    Nothing,
    /// The request is held back; nothing of the body has come yet.
    FirstBytes,
    /// The request is held back; some of the body is there.
    LastBytes,
    /// The request was decided as if it had no body, and is decided anew when one comes.
    Provisionally,
}

/// What the response is to show.
#[derive(Clone, Copy)]
enum Shown {
    Nothing,
    Decision(Choice),
    Error(&'static str),
}

/// The steps of a request.
impl Stream {
    pub fn request_headers(&mut self, is_all: bool) -> Action {
        let plugin = Rc::clone(&self.plugin);
        let host = plugin.host.as_ref();
        if host.is_forged() {
            refuse_forged(plugin.effects.error_header());
            return Action::Continue;
        }
        let bodies = host.bodies();
        let clock = Clock::default();
        plugin.count_failures(&clock);
        let body = if is_all || bodies != Bodies::Held { Body::None } else { Body::Pending };
        let head = plugin.head();
        let mut verdict = self.decide(&clock, &head, body);
        if verdict.outcome == Outcome::NeedsBody {
            let body = match Announced::read(&head) {
                Announced::Nothing => Body::None,
                // Held back, it might fill Envoy's buffer before the filter sees how much it is,
                // and the client would get a 413.
                Announced::Bytes(size) if size > self.limit() => Body::Unreadable,
                Announced::Bytes(_) | Announced::Something => {
                    self.awaits = Awaits::FirstBytes;
                    return Action::Pause;
                }
            };
            verdict = self.decide(&clock, &head, body);
        }
        // A gateway that decides on late bodies does not say whether there will be one.
        if is_all || bodies != Bodies::Held {
            self.complete(&clock);
        }
        match bodies {
            Bodies::Late if verdict.asked_for_body => self.awaits = Awaits::Provisionally,
            Bodies::Never(refusal) if verdict.asked_for_body => {
                self.refuse(refusal);
                return Action::Continue;
            }
            _ => {}
        }
        self.apply(&head, verdict.outcome);
        Action::Continue
    }

    pub fn request_body(&mut self, size: usize, is_all: bool) -> Action {
        match self.awaits {
            Awaits::Nothing => {
                if is_all {
                    self.complete(&Clock::default());
                }
                self.repeat();
                Action::Continue
            }
            Awaits::FirstBytes | Awaits::LastBytes if !is_all && size <= self.limit() => {
                self.awaits = Awaits::LastBytes;
                Action::Pause
            }
            Awaits::FirstBytes | Awaits::LastBytes | Awaits::Provisionally => {
                self.decide_on_body(size, is_all);
                Action::Continue
            }
        }
    }

    /// Trailers end a body without a last piece of it.
    pub fn request_trailers(&mut self) {
        match self.awaits {
            Awaits::Nothing | Awaits::Provisionally => self.complete(&Clock::default()),
            Awaits::FirstBytes | Awaits::LastBytes => self.decide_on_body(self.limit(), true),
        }
    }

    pub fn response_headers(&mut self) {
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
    }

    pub fn response_trailers(&mut self) {
        self.count_end(trailers_fail);
    }

    /// The request is over.
    pub fn log(&mut self) {
        self.count_silence();
        self.count_loss();
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
            unfinished: None,
            issued: None,
            shown: Shown::Nothing,
        }
    }

    /// The largest body that is looked at, in bytes.
    fn limit(&self) -> usize {
        usize::try_from(self.plugin.loaded.config.body_max_bytes.get()).unwrap_or(usize::MAX)
    }

    fn decide(&mut self, clock: &Clock, head: &Head, body: Body<'_>) -> Verdict {
        let incoming = Incoming { host: self.plugin.host.as_ref(), head, body };
        self.draws.rewind();
        let mut world = Surroundings { plugin: &self.plugin, draws: &mut self.draws, clock };
        let table = &self.plugin.loaded.table;
        let verdict = table.decide(&incoming, &mut world);
        self.issued = verdict.issued;
        self.sent = match verdict.outcome {
            Outcome::Routed(choice) if self.plugin.counts() || table.breaker(choice).is_some() => {
                Some(Sent { decided: clock.now(), complete: None })
            }
            _ => None,
        };
        if let Some(fault) = verdict.body_fault {
            report_body(self.plugin.host.as_ref(), fault);
        }
        if let Some(rule) = verdict.undecided.and_then(|position| table.rules().get(position)) {
            report_undecided(self.plugin.host.as_ref(), rule);
        }
        if self.plugin.loaded.config.log_decisions {
            output::explain(&self.plugin.loaded, &verdict);
        }
        verdict
    }

    /// The final decision, with the body of which `size` bytes are there, all or the first.
    fn decide_on_body(&mut self, size: usize, is_all: bool) {
        let limit = self.limit();
        let body = match abi::buffer(Buffer::RequestBody, limit) {
            Ok(bytes) if size <= limit => Body::Whole(Cow::Owned(bytes)),
            Ok(_) | Err(_) => Body::Unreadable,
        };
        self.awaits = Awaits::Nothing;
        let clock = Clock::default();
        let head = self.plugin.head();
        let outcome = self.decide(&clock, &head, body).outcome;
        if is_all {
            self.complete(&clock);
        }
        match (self.decided, outcome.choice()) {
            (Some(earlier), Some(choice)) if choice == earlier => self.repeat(),
            (Some(earlier), None) => {
                self.decided = None;
                self.shown = Shown::Nothing;
                if let Some(effect) = self.plugin.effects.of(earlier) {
                    self.plugin.host.retract(effect);
                }
            }
            _ => self.apply(&head, outcome),
        }
    }

    /// Makes a decision anew over those that other filters of the chain have made since.
    fn repeat(&self) {
        let host = self.plugin.host.as_ref();
        if host.has_others()
            && let Some(choice) = self.decided
            && let Some(effect) = self.plugin.effects.of(choice)
        {
            // Refused, another filter's decision stays in force, and the bridge shows that one.
            let _ = host.route(effect);
        }
    }

    /// The request's last byte has passed: from now on the upstream takes the time.
    fn complete(&mut self, clock: &Clock) {
        if let Some(sent) = &mut self.sent {
            sent.complete = Some(clock.now());
        }
    }

    /// Tells the metrics and the circuit breaker, where there are any, how the request went.
    fn count_answer(&mut self) {
        let (Some(sent), Some(choice)) = (self.sent.take(), self.decided) else { return };
        let plugin = Rc::clone(&self.plugin);
        let host = plugin.host.as_ref();
        let now = Clock::default().now();
        let answer = Answer::at(host);
        let waited = sent.waited(now);
        // Another upstream's answer says nothing of the one that was chosen.
        if plugin.loaded.table.breaker(choice).is_some() && host.was_followed() {
            let latency = waited.unwrap_or_default();
            match answer.judge() {
                Judgement::Unrelated => {}
                Judgement::InTrailers => self.unfinished = Some((sent, latency)),
                judgement => {
                    let failed = judgement == Judgement::Failed;
                    plugin.count_judged(choice, (sent.decided, now), failed, latency);
                }
            }
        }
        if let Some(metrics) = plugin.metrics() {
            metrics.count_response(choice, answer.status);
            // What the gateway answers itself says nothing of the upstream; hardly any of that is
            // a success, and to ask costs more than all else here.
            if let Some(waited) = waited
                && (answer.status < 400 || answer.origin() == Origin::Upstream)
            {
                metrics.count_latency(choice, waited);
            }
        }
    }

    /// Tells the circuit breaker how a request went whose answer said so at its end.
    fn count_end(&mut self, failed: impl FnOnce() -> bool) {
        let (Some((sent, latency)), Some(choice)) = (self.unfinished.take(), self.decided) else {
            return;
        };
        let now = Clock::default().now();
        self.plugin.count_judged(choice, (sent.decided, now), failed(), latency);
    }

    /// Counts an answer whose end did not come: a failure if the upstream broke it off, and nobody's
    /// if the client did.
    fn count_loss(&mut self) {
        if self.unfinished.is_some() && self.plugin.host.origin() == Origin::InItsPlace {
            self.count_end(|| true);
        }
    }

    /// Counts a request for which no answer came.
    fn count_silence(&mut self) {
        let (Some(_), Some(choice)) = (self.sent.take(), self.decided) else { return };
        if let Some(metrics) = self.plugin.metrics() {
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

    /// Makes a decision come true.
    fn apply(&mut self, head: &Head, outcome: Outcome) {
        let plugin = Rc::clone(&self.plugin);
        let host = plugin.host.as_ref();
        let decision =
            outcome.choice().and_then(|choice| Some((choice, plugin.effects.of(choice)?)));
        let Some((choice, effect)) = decision else {
            if host.pass(head).is_err() {
                report_host("the gateway did not remove a client's own internal header");
            }
            if let Some(metrics) = plugin.metrics() {
                metrics.count_unmatched();
            }
            return;
        };
        let routing = host.route(effect);
        if let Routing::Refused(refusal) = routing {
            return self.refuse(refusal);
        }
        self.decided = Some(choice);
        if let Some(metrics) = plugin.metrics() {
            metrics.count_request(choice);
        }
        if routing == Routing::Taken {
            change_request(effect.request_headers());
            if let Some(change) = effect.baggage() {
                change_baggage(host, change);
            }
            self.shown = Shown::Decision(choice);
            if plugin.loaded.config.access_log {
                host.publish(effect);
            }
        }
    }

    /// Lets the service's own upstream serve and says why.
    fn refuse(&mut self, refusal: Refusal) {
        output::error_once_a_minute(refusal.word(), refusal.sentence());
        metrics::count_error(self.plugin.host.as_ref(), refusal.word());
        // The answer will be another upstream's: no circuit breaker counts it.
        self.sent = None;
        self.shown = Shown::Error(refusal.word());
    }
}

/// Changes the headers of the request: `remove`, then `set`, then `add`.
fn change_request(changes: &RequestHeaders) {
    let removed = changes
        .remove
        .iter()
        .map(|name| abi::remove_header(Map::Request, name.as_str().as_bytes()));
    let set = changes.set.iter().map(|header| {
        abi::set_header(Map::Request, header.name.as_str().as_bytes(), header.value.0.as_bytes())
    });
    let added = changes.add.iter().map(|header| {
        abi::add_header(Map::Request, header.name.as_str().as_bytes(), header.value.0.as_bytes())
    });
    let failures = removed.chain(set).chain(added).filter(Result::is_err).count();
    if failures > 0 {
        report_host("the gateway refused to change a request header");
    }
}

/// Changes members of the request's baggage. One header takes the place of all.
fn change_baggage(host: &dyn Host, change: &BaggageChange) {
    // Not the head that was read before: `set` may just have changed it.
    let head = Head::new(true);
    let changed = match change.apply(host.baggage(&head).as_deref()) {
        Rewritten::Untouched => Ok(()),
        Rewritten::Removed => abi::remove_header(Map::Request, b"baggage"),
        Rewritten::To(baggage) => abi::set_header(Map::Request, b"baggage", &baggage),
    };
    if changed.is_err() {
        report_host("the gateway refused to change a request header");
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

/// Counts a request on which a pattern was not searched for to the end, and says of which rule.
fn report_undecided(host: &dyn Host, rule: &Rule) {
    const WORD: &str = "regex-budget";
    metrics::count_error(host, WORD);
    let sentence = format!(
        "rules[{}] looks for a pattern in a value that would take more steps than a request may \
         take: the item holds neither way",
        rule.index()
    );
    output::error_once_a_minute(WORD, &sentence);
}

/// Answers a request whose own internal header would go on: whoever reads it behind this gateway
/// would take it for a decision. Kong sends the answer whatever the filter then returns, and a pause
/// without an answer would hang the request.
fn refuse_forged(error_header: Option<&str>) {
    const WORD: &str = "forged-header";
    output::error_once_a_minute(
        WORD,
        "a request that carries the filter's internal header itself was answered with 400, since \
         Kong keeps a filter from taking it away; with the plugin tse-route-bridge it is taken away",
    );
    let error = error_header.map(|name| (name, WORD));
    let headers: Vec<_> = error.into_iter().chain([("content-type", "text/plain")]).collect();
    let reason = "tse-route: a request must not carry the gateway's internal routing header";
    if abi::answer(400, &headers, reason).is_err() {
        report_host("the gateway did not refuse a client's own internal header");
    }
}

/// Says that the gateway refused a call that it should not, and that the request goes on.
fn report_host(sentence: &str) {
    output::error_once_a_minute(Refusal::HostFailure.word(), sentence);
}

/// A request under a configuration that cannot be used: the service's own upstream serves.
pub struct Broken {
    host: Rc<dyn Host>,
    shows: bool,
}

impl Broken {
    const REASON: &str = "invalid-config";

    pub fn new(host: Rc<dyn Host>) -> Self {
        Self { host, shows: false }
    }
}

impl Broken {
    /// A client that sends the internal header must not choose what the filter does not.
    pub fn request_headers(&mut self) {
        output::error_once_a_minute(
            Self::REASON,
            "the configuration cannot be used, its faults were logged when it was loaded: \
             the service's own upstream serves",
        );
        if self.host.is_forged() {
            refuse_forged(Some(ERROR_HEADER));
            return;
        }
        if self.host.pass(&Head::new(false)).is_err() {
            report_host("the gateway did not remove a client's own internal header");
        }
        self.shows = !self.host.show_invalid_configuration();
    }

    pub fn response_headers(&self) {
        if self.shows {
            let reason = Self::REASON.as_bytes();
            let _ = abi::set_header(Map::Response, ERROR_HEADER.as_bytes(), reason);
        }
    }
}
