//! Asking outside: hooks, checks and the verification service.

use super::document::Moment;
use super::http;
use super::machine::Answer;
use super::machine::Question;
use super::plan::{Call, Expect, Place, Plan, What};
use reqwest::{Client, Method};
use serde_json::Value;
use std::collections::HashMap;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// One attempt's result.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Attempt {
    Yes,
    /// Asked again, until the time is over.
    NotYet(String),
    /// For good.
    No(String),
}

/// What is left to ask in a phase.
pub(crate) struct Caller {
    client: Client,
    /// The question that is being asked, and in which visit of which phase.
    asked: Option<(Question, Moment)>,
    states: HashMap<usize, State>,
    /// What an answer is waited for.
    pub waiting: Option<String>,
}

/// How far a call has come.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    is_done: bool,
    began: Option<u64>,
    last: Option<u64>,
}

impl Caller {
    pub(crate) fn new(client: &Client) -> Self {
        Self { client: client.clone(), asked: None, states: HashMap::new(), waiting: None }
    }

    /// Asks what is left of a question. `since` says when the phase began: in another phase all is
    /// asked anew.
    pub(crate) async fn ask(
        &mut self,
        plan: &Plan,
        question: Question,
        since: Moment,
        now: Moment,
        told: &Value,
    ) -> Answer {
        if self.asked != Some((question, since)) {
            self.asked = Some((question, since));
            self.states.clear();
        }
        self.waiting = None;
        for (index, (place, call, is_service)) in calls(plan, question).into_iter().enumerate() {
            let mut state = self.states.get(&index).copied().unwrap_or_default();
            if state.is_done {
                continue;
            }
            let began = *state.began.get_or_insert(now.0);
            let is_due = state.last.is_none_or(|last| now.0 >= last + call.every.0);
            let mut answer = Answer::NotYet;
            if is_due {
                state.last = Some(now.0);
                let attempt = self.attempt(call, place, is_service, told).await;
                let over = now.0.saturating_sub(began) >= call.within.0;
                match attempt {
                    Attempt::Yes => state.is_done = true,
                    Attempt::No(why) => answer = Answer::No(format!("{place}: {call}: {why}")),
                    // Whoever asks for a rollback may do so at any time.
                    Attempt::NotYet(_) if question == Question::Hooks(Place::Rollback) => {}
                    Attempt::NotYet(why) if over => {
                        let why = format!("{place}: {call}: {why} (after {})", call.within);
                        answer = Answer::No(why);
                    }
                    Attempt::NotYet(why) => self.waiting = Some(format!("{place}: {call}: {why}")),
                }
            }
            self.states.insert(index, state);
            if question == Question::Hooks(Place::Rollback) {
                if state.is_done {
                    return Answer::Yes;
                }
            } else if !state.is_done {
                return answer;
            }
        }
        if question == Question::Hooks(Place::Rollback) { Answer::NotYet } else { Answer::Yes }
    }

    async fn attempt(&self, call: &Call, place: &str, is_service: bool, told: &Value) -> Attempt {
        match &call.what {
            What::Command(words) => command(words, call, place, told).await,
            What::Http { url, method, headers, body, expect } => {
                let parsed = Method::from_bytes(method.as_bytes()).unwrap_or(Method::GET);
                let is_get = parsed == Method::GET || parsed == Method::HEAD;
                let limit = Duration::from_millis(call.within.0.min(10_000));
                let request = self.client.request(parsed, url).timeout(limit);
                let request = http::with_headers(request, headers);
                let request = match body {
                    Some(body) => request.body(body.clone()),
                    None if is_get => request,
                    None => request.json(told),
                };
                let response = match http::send(request).await {
                    Ok(response) => response,
                    Err(trouble) => return Attempt::NotYet(trouble.text().to_owned()),
                };
                let status = response.status().as_u16();
                let found = response.headers().clone();
                let body = response.text().await.unwrap_or_default();
                if is_service {
                    return service_says(status, &body);
                }
                match unmet(expect, status, &found, &body) {
                    None => Attempt::Yes,
                    Some(why) => Attempt::NotYet(why),
                }
            }
        }
    }
}

/// What a question consists of: where it belongs, the call, and whether it is the service.
fn calls(plan: &Plan, question: Question) -> Vec<(&'static str, &Call, bool)> {
    let of = |place: Place| plan.calls(place).iter().map(move |call| (place.word(), call, false));
    match question {
        Question::Hooks(place) => of(place).collect(),
        Question::Verification => of(Place::PreRollout)
            .chain(plan.verify.checks.iter().map(|call| ("verify", call, false)))
            .chain(plan.verify.service.iter().map(|call| ("verification service", call, true)))
            .collect(),
    }
}

/// The service's answer: `{"verdict": "yes" | "no" | "wait", "reason": …}`.
fn service_says(status: u16, body: &str) -> Attempt {
    let answer: Value = serde_json::from_str(body).unwrap_or_default();
    let reason = answer.get("reason").and_then(Value::as_str).unwrap_or("no reason is told");
    match answer.get("verdict").and_then(Value::as_str) {
        Some("yes") if (200..300).contains(&status) => Attempt::Yes,
        Some("no") if (200..300).contains(&status) => Attempt::No(reason.to_owned()),
        Some("wait") => Attempt::NotYet(reason.to_owned()),
        _ => Attempt::NotYet(format!(
            "found status {status} and {}; accepted is a `verdict` of yes, no or wait",
            http::cut(body)
        )),
    }
}

/// What an answer lacks.
fn unmet(
    expect: &Expect,
    status: u16,
    headers: &reqwest::header::HeaderMap,
    body: &str,
) -> Option<String> {
    let accepted = if expect.status.is_empty() {
        (200..300).contains(&status)
    } else {
        expect.status.contains(&status)
    };
    if !accepted {
        return Some(format!("status {status}: {}", http::cut(body)));
    }
    for (name, value) in &expect.headers {
        let found = headers.get(name).map(|found| String::from_utf8_lossy(found.as_bytes()));
        if found.as_deref() != Some(value) {
            return Some(format!(
                "the header {name} is {}, not {value}",
                found.as_deref().unwrap_or("missing")
            ));
        }
    }
    if expect.json.is_empty() {
        return None;
    }
    let Ok(document) = serde_json::from_str::<Value>(body) else {
        return Some(format!("the answer is not JSON: {}", http::cut(body)));
    };
    for (path, value) in &expect.json {
        let found = at(&document, path);
        if found != Some(value) {
            let found = found.map_or("missing".to_owned(), Value::to_string);
            return Some(format!("{path} is {found}, not {value}"));
        }
    }
    None
}

/// The value at a path as in `checks[0].state`.
fn at<'v>(document: &'v Value, path: &str) -> Option<&'v Value> {
    let mut value = document;
    for step in path.split(['.', '[']) {
        value = match step.strip_suffix(']') {
            Some(index) => value.get(index.parse::<usize>().ok()?)?,
            None => value.get(step)?,
        };
    }
    Some(value)
}

async fn command(words: &[String], call: &Call, place: &str, told: &Value) -> Attempt {
    let Some((program, arguments)) = words.split_first() else {
        return Attempt::No("no command".to_owned());
    };
    let text = |name: &str| told.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let child = Command::new(program)
        .args(arguments)
        .env("TSE_ROUTE_RELEASE", text("release"))
        .env("TSE_ROUTE_RULE", text("rule"))
        .env("TSE_ROUTE_STABLE", text("stable"))
        .env("TSE_ROUTE_CANARY", text("canary"))
        .env("TSE_ROUTE_PLACE", place)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return Attempt::No(error.to_string()),
    };
    if let Some(mut input) = child.stdin.take() {
        // A command need not read what it is told.
        let _ = input.write_all(told.to_string().as_bytes()).await;
    }
    let limit = Duration::from_millis(call.within.0);
    match tokio::time::timeout(limit, child.wait_with_output()).await {
        Err(_) => Attempt::No(format!("no end within {}", call.within)),
        Ok(Err(error)) => Attempt::No(error.to_string()),
        Ok(Ok(output)) if output.status.success() => Attempt::Yes,
        Ok(Ok(output)) => {
            let said = [output.stderr, output.stdout].concat();
            let said = String::from_utf8_lossy(&said).trim().to_owned();
            let last = said.lines().last().unwrap_or_default();
            Attempt::NotYet(format!("{}: {}", output.status, http::cut(last)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_are_compared_with_what_is_expected() {
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert("x-version", "1.4".parse().expect("a value"));
        let body = r#"{"status": "UP", "checks": [{"state": true}]}"#;
        let expect = |json: &[(&str, Value)], header: &str, status: &[u16]| Expect {
            status: status.to_vec(),
            headers: vec![("X-Version".to_owned(), header.to_owned())],
            json: json.iter().map(|(path, value)| ((*path).to_owned(), value.clone())).collect(),
        };
        let good = [("status", json!("UP")), ("checks[0].state", json!(true))];
        let table = [
            (expect(&good, "1.4", &[]), 200, None),
            (expect(&good, "1.4", &[418]), 418, None),
            (expect(&good, "1.4", &[]), 404, Some("status 404")),
            (expect(&good, "1.5", &[]), 200, Some("X-Version is 1.4")),
            (expect(&[("checks[1].state", json!(true))], "1.4", &[]), 200, Some("missing")),
            (expect(&[("status", json!("DOWN"))], "1.4", &[]), 200, Some("is \"UP\"")),
        ];
        for (expect, status, message) in table {
            let why = unmet(&expect, status, &headers, body);
            assert_eq!(why.is_some(), message.is_some(), "{why:?}");
            assert!(why.unwrap_or_default().contains(message.unwrap_or_default()));
        }
        assert!(unmet(&expect(&good, "1.4", &[]), 200, &headers, "no").is_some());
    }

    #[test]
    fn a_service_says_yes_no_or_wait() {
        assert_eq!(service_says(200, r#"{"verdict": "yes"}"#), Attempt::Yes);
        let no = r#"{"verdict": "no", "reason": "slow"}"#;
        assert_eq!(service_says(200, no), Attempt::No("slow".to_owned()));
        assert!(matches!(service_says(500, no), Attempt::NotYet(_)));
        assert!(matches!(service_says(200, r#"{"verdict": "wait"}"#), Attempt::NotYet(_)));
        assert!(matches!(service_says(200, "yes"), Attempt::NotYet(_)));
    }
}
