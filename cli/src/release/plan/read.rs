//! Reading a plan.

use super::reader::Reader;
use super::{
    ALL, Analysis, Call, Expect, Gateway, GatewayKind, Millis, Place, Plan, Record, Step,
    Undecided, Verify, What,
};
use crate::diagnostic::Diagnostic;
use crate::source::{Node, Source};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tse_route::config::Share;

const FIELDS: [&str; 14] = [
    "release",
    "rule",
    "stable",
    "canary",
    "labels",
    "gateways",
    "verify",
    "steps",
    "blue_green",
    "analysis",
    "hooks",
    "record",
    "every",
    "description",
];
const CALL: [&str; 11] = [
    "url", "method", "headers", "body", "status", "header", "json", "command", "within", "every",
    "name",
];
const BLUE_GREEN_WATCH: Millis = Millis(300_000);

/// Reads a plan; without one, the faults say why. Names of files are meant beside the plan's.
pub(crate) fn read(
    source: &Source,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Plan, Vec<Diagnostic>> {
    let (documents, faults) = source.documents();
    if !faults.is_empty() {
        let faults = faults.into_iter().map(|f| Diagnostic::error(f.span, f.message));
        return Err(faults.collect());
    }
    let mut at = Reader::new(env);
    let [document] = documents.as_slice() else {
        let message =
            format!("found {} documents; accepted is one, a release's plan", documents.len());
        return Err(vec![Diagnostic::error(0..0, message)]);
    };
    let plan = plan(&mut at, document, source);
    match plan {
        Some(plan) if at.faults.is_empty() => Ok(plan),
        _ => {
            at.faults.sort_by_key(|fault| fault.span.start);
            Err(at.faults)
        }
    }
}

fn plan(at: &mut Reader<'_>, node: &Node, source: &Source) -> Option<Plan> {
    at.object(node, &FIELDS)?;
    let folder = Path::new(&source.name).parent().unwrap_or(Path::new("")).to_owned();
    let release = at.required(node, "release", name);
    let rule = at.required(node, "rule", |at, node| at.text(node));
    let stable = at.required(node, "stable", |at, node| at.text(node));
    let canary = at.required(node, "canary", |at, node| at.text(node));
    if stable.is_some() && stable == canary {
        let node = node.get("canary").unwrap_or(node);
        at.within("canary", |at| at.mismatch::<()>(node, "another upstream than `stable`"));
    }
    let labels = at.optional(node, "labels", |at, node| at.texts(node));
    let gateways = at.required(node, "gateways", |at, node| {
        let found = at.list(node, "a list of gateways", |at, node| gateway(at, node, &folder))?;
        if node.elements().is_empty() {
            return at.mismatch(node, "at least one gateway");
        }
        Some(found)
    });
    let verify = at.optional(node, "verify", verify);
    let steps = steps_or_blue_green(at, node);
    let analysis = at.required(node, "analysis", analysis);
    let hooks = at.optional(node, "hooks", hooks);
    let record = at.optional(node, "record", |at, node| record(at, node, &folder));
    let every = at.optional(node, "every", |at, node| at.some_time(node));
    Some(Plan {
        text: source.text.clone(),
        release: release?,
        rule: rule?,
        stable: stable?,
        canary: canary?,
        labels: labels.unwrap_or_default(),
        gateways: gateways?,
        verify: verify.unwrap_or_default(),
        steps: steps?,
        analysis: analysis?,
        hooks: hooks.unwrap_or_default(),
        record: record.unwrap_or_else(|| Record::File(folder.join("releases"))),
        every: every.unwrap_or(Millis(2_000)),
    })
}

/// A name that can be that of a file and of a document.
fn name(at: &mut Reader<'_>, node: &Node) -> Option<String> {
    let text = at.text(node)?;
    let sound = text.len() <= 100
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if sound {
        return Some(text);
    }
    at.mismatch(node, "a name of at most 100 letters, digits, dots, dashes and underscores")
}

fn gateway(at: &mut Reader<'_>, node: &Node, folder: &Path) -> Option<Gateway> {
    at.object(node, &["file", "kong", "headers", "kubernetes", "plugin"])?;
    let kinds: Vec<&str> = ["file", "kong", "kubernetes"]
        .into_iter()
        .filter(|kind| node.get(kind).is_some())
        .collect();
    let [kind] = *kinds else {
        return at.mismatch(node, "one of `file`, `kong` and `kubernetes`");
    };
    let headers = at.optional(node, "headers", |at, node| at.texts(node));
    let kind = match kind {
        "file" => GatewayKind::File(at.required(node, "file", |at, node| path(at, node, folder))?),
        "kong" => GatewayKind::Kong {
            url: at.required(node, "kong", |at, node| at.url(node))?,
            headers: headers.unwrap_or_default(),
        },
        _ => at.required(node, "kubernetes", |at, node| {
            at.object(node, &["kind", "namespace", "name", "context"])?;
            let kinds = ["KongPlugin", "KongClusterPlugin", "EnvoyExtensionPolicy", "WasmPlugin"];
            let words: Vec<(&str, &str)> = kinds.iter().map(|kind| (*kind, *kind)).collect();
            let kind = at.required(node, "kind", |at, node| at.word(node, &words));
            let namespace = at.optional(node, "namespace", |at, node| at.text(node));
            let name = at.required(node, "name", |at, node| at.text(node));
            let context = at.optional(node, "context", |at, node| at.text(node));
            Some(GatewayKind::Kubernetes {
                kind: kind?.to_owned(),
                namespace,
                name: name?,
                context,
            })
        })?,
    };
    let plugin = at.optional(node, "plugin", |at, node| at.text(node));
    Some(Gateway { kind, plugin })
}

fn path(at: &mut Reader<'_>, node: &Node, folder: &Path) -> Option<PathBuf> {
    at.text(node).map(|text| folder.join(text))
}

fn verify(at: &mut Reader<'_>, node: &Node) -> Option<Verify> {
    at.object(node, &["within", "checks", "service"])?;
    let within = at.optional(node, "within", |at, node| at.some_time(node));
    let within = within.unwrap_or(Millis(60_000));
    let checks = at.optional(node, "checks", |at, node| {
        at.list(node, "a list of checks", |at, node| call(at, node, within, "GET"))
    });
    let service = at.optional(node, "service", |at, node| {
        call(at, node, Millis(30 * 60_000), "POST")
            .filter(|call| matches!(call.what, What::Http { .. }))
    });
    Some(Verify { checks: checks.unwrap_or_default(), service })
}

fn call(at: &mut Reader<'_>, node: &Node, within: Millis, method: &str) -> Option<Call> {
    at.object(node, &CALL)?;
    let what = match (node.get("url").is_some(), node.get("command").is_some()) {
        (true, false) => {
            let url = at.required(node, "url", |at, node| at.url(node));
            let asked = at.optional(node, "method", |at, node| at.text(node));
            let asked = asked.unwrap_or_else(|| method.to_owned()).to_ascii_uppercase();
            if reqwest::Method::from_bytes(asked.as_bytes()).is_err() {
                let node = node.get("method").unwrap_or(node);
                at.within("method", |at| at.mismatch::<()>(node, "an HTTP method"));
            }
            let headers = at.optional(node, "headers", headers).unwrap_or_default();
            let body = at.optional(node, "body", |at, node| at.text(node));
            let status = at.optional(node, "status", statuses).unwrap_or_default();
            let expected = at.optional(node, "header", headers_with_any_value);
            let json = at.optional(node, "json", values).unwrap_or_default();
            let expect = Expect { status, headers: expected.unwrap_or_default(), json };
            What::Http { url: url?, method: asked, headers, body, expect }
        }
        (false, true) => {
            for field in ["method", "headers", "body", "status", "header", "json"] {
                if let Some(entry) = node.entry(field) {
                    at.within(field, |at| at.error(&entry.key_span, "belongs to a `url`"));
                }
            }
            at.required(node, "command", |at, node| {
                if node.text().is_some() {
                    let text = at.text(node)?;
                    return Some(What::Command(vec!["sh".to_owned(), "-c".to_owned(), text]));
                }
                let words = at.list(node, "a command", |at, node| at.text(node))?;
                if words.is_empty() {
                    return at.mismatch(node, "a program with its arguments");
                }
                Some(What::Command(words))
            })?
        }
        _ => return at.mismatch(node, "one of `url` and `command`"),
    };
    let within = at.optional(node, "within", |at, node| at.some_time(node)).unwrap_or(within);
    let every = at.optional(node, "every", |at, node| at.some_time(node));
    Some(Call { what, within, every: every.unwrap_or(Millis(2_000)) })
}

fn headers(at: &mut Reader<'_>, node: &Node) -> Option<Vec<(String, String)>> {
    let headers = at.texts(node)?;
    for (name, value) in &headers {
        let sound = reqwest::header::HeaderName::from_bytes(name.as_bytes()).is_ok()
            && reqwest::header::HeaderValue::from_str(value).is_ok();
        if !sound {
            let span = node.entry(name).map_or(0..0, |entry| entry.key_span.clone());
            at.within(name, |at| at.error(&span, "accepted is a header with its value"));
        }
    }
    Some(headers)
}

fn headers_with_any_value(at: &mut Reader<'_>, node: &Node) -> Option<Vec<(String, String)>> {
    headers(at, node)
}

fn statuses(at: &mut Reader<'_>, node: &Node) -> Option<Vec<u16>> {
    const ACCEPTED: &str = "a status from 100 to 599, or a list of them";
    let one = |at: &mut Reader<'_>, node: &Node| {
        let status = node.scalar().and_then(Value::as_u64).filter(|s| (100..600).contains(s));
        match status.and_then(|status| u16::try_from(status).ok()) {
            Some(status) => Some(status),
            None => at.mismatch(node, ACCEPTED),
        }
    };
    if node.scalar().is_some() {
        return one(at, node).map(|status| vec![status]);
    }
    at.list(node, ACCEPTED, one)
}

fn values(at: &mut Reader<'_>, node: &Node) -> Option<Vec<(String, Value)>> {
    let entries = node.entries();
    if entries.is_empty() {
        return at.mismatch(node, "an object of paths and values, as in `status: UP`");
    }
    Some(entries.iter().map(|entry| (entry.key.clone(), entry.value.value())).collect())
}

fn steps_or_blue_green(at: &mut Reader<'_>, node: &Node) -> Option<Vec<Step>> {
    let all_at_once = |watch: Millis| vec![Step::Weight { share: ALL, watch }];
    let blue_green = node.entry("blue_green").filter(|entry| !entry.value.is_null());
    match (node.get("steps").is_some(), blue_green) {
        (true, Some(entry)) => {
            at.within("blue_green", |at| {
                at.error(&entry.key_span, "found beside `steps`; accepted is one of both");
            });
            None
        }
        (false, Some(_)) => at.optional(node, "blue_green", |at, node| {
            if node.scalar() == Some(&Value::Bool(true)) {
                return Some(all_at_once(BLUE_GREEN_WATCH));
            }
            if node.entries().is_empty() {
                return at.mismatch(node, "`true`, or an object with `for`");
            }
            at.object(node, &["for"])?;
            at.required(node, "for", |at, node| at.duration(node)).map(all_at_once)
        }),
        (_, None) => at.required(node, "steps", |at, node| {
            let steps = at.list(node, "a list of steps", step)?;
            if !matches!(steps.first(), Some(Step::Weight { .. })) && at.faults.is_empty() {
                return at.mismatch(
                    node,
                    "a list that begins with a `weight`; what is asked before is the hook `confirm-rollout`",
                );
            }
            check_order(at, node, &steps);
            Some(steps)
        }),
    }
}

fn step(at: &mut Reader<'_>, node: &Node) -> Option<Step> {
    at.object(node, &["weight", "for", "pause"])?;
    if node.get("pause").is_some() {
        if let Some(entry) = node.entry("weight").or(node.entry("for")) {
            at.error(&entry.key_span, "found beside `pause`; accepted is a step for each");
        }
        return at
            .required(node, "pause", |at, node| at.word(node, &[("approval", Step::Approval)]));
    }
    let share = at.required(node, "weight", |at, node| {
        let hundredths = at.number(node, 0.01, 100.0)? * Share::SCALE as f64;
        if (hundredths - hundredths.round()).abs() > 1e-6 {
            return at.mismatch(node, "a percentage with at most two decimals");
        }
        Some(Share::hundredths(hundredths.round() as u64))
    });
    let watch = at.required(node, "for", |at, node| at.duration(node));
    Some(Step::Weight { share: share?, watch: watch? })
}

/// Weights only grow: going back is a rollback.
fn check_order(at: &mut Reader<'_>, node: &Node, steps: &[Step]) {
    let mut last = Share::default();
    if steps.len() < node.elements().len() {
        return;
    }
    for (index, (step, node)) in steps.iter().zip(node.elements()).enumerate() {
        let Step::Weight { share, .. } = *step else { continue };
        if share <= last {
            let node = node.get("weight").unwrap_or(node);
            let accepted = format!("more than the step before has, {last}");
            at.within(&format!("[{index}].weight"), |at| at.mismatch::<()>(node, &accepted));
        }
        last = share;
    }
}

/// None where the release is to go by the clock alone.
fn analysis(at: &mut Reader<'_>, node: &Node) -> Option<Option<Analysis>> {
    if node.text() == Some("none") {
        return Some(None);
    }
    if node.text().is_some() {
        return at.mismatch(node, "an object, or `none` to go by the clock alone");
    }
    at.object(
        node,
        &[
            "prometheus",
            "headers",
            "selector",
            "every",
            "errors",
            "slow",
            "confidence",
            "deadline",
            "undecided",
        ],
    )?;
    let prometheus = at.required(node, "prometheus", |at, node| at.url(node));
    let headers = at.optional(node, "headers", headers).unwrap_or_default();
    let selector = at.optional(node, "selector", |at, node| at.texts(node)).unwrap_or_default();
    let every = at.optional(node, "every", |at, node| at.some_time(node));
    let errors = at.optional(node, "errors", |at, node| {
        at.object(node, &["margin"])?;
        at.required(node, "margin", points)
    });
    let slow = at.optional(node, "slow", |at, node| {
        at.object(node, &["over", "margin"])?;
        let over = at.required(node, "over", |at, node| at.some_time(node));
        let margin = at.required(node, "margin", points);
        Some((over?, margin?))
    });
    let confidence = at.optional(node, "confidence", |at, node| at.number(node, 50.0, 99.9999));
    let deadline = at.optional(node, "deadline", |at, node| at.duration(node));
    let undecided = at.optional(node, "undecided", |at, node| {
        at.word(
            node,
            &[
                ("hold", Undecided::Hold),
                ("continue", Undecided::Continue),
                ("rollback", Undecided::Rollback),
            ],
        )
    });
    Some(Some(Analysis {
        prometheus: prometheus?,
        headers,
        selector,
        every: every.unwrap_or(Millis(5_000)),
        errors: errors.unwrap_or(0.005),
        slow,
        alpha: 1.0 - confidence.unwrap_or(99.0) / 100.0,
        deadline: deadline.unwrap_or(Millis(30 * 60_000)),
        undecided: undecided.unwrap_or(Undecided::Hold),
    }))
}

/// Percentage points as a share of one.
fn points(at: &mut Reader<'_>, node: &Node) -> Option<f64> {
    at.number(node, 0.01, 50.0).map(|points| points / 100.0)
}

fn hooks(at: &mut Reader<'_>, node: &Node) -> Option<Vec<(Place, Vec<Call>)>> {
    let words = Place::ALL.map(Place::word);
    at.object(node, &words)?;
    let mut hooks = Vec::new();
    for place in Place::ALL {
        // What is asked for a yes may take long to come.
        let within = match place {
            Place::ConfirmRollout | Place::ConfirmPromotion => Millis(24 * 3_600_000),
            _ => Millis(30_000),
        };
        let calls = at.optional(node, place.word(), |at, node| {
            at.list(node, "a list of hooks", |at, node| call(at, node, within, "POST"))
        });
        hooks.extend(calls.map(|calls| (place, calls)));
    }
    Some(hooks)
}

fn record(at: &mut Reader<'_>, node: &Node, folder: &Path) -> Option<Record> {
    at.object(node, &["file", "postgres", "firestore"])?;
    let kinds: Vec<&str> = ["file", "postgres", "firestore"]
        .into_iter()
        .filter(|kind| node.get(kind).is_some())
        .collect();
    match *kinds {
        ["file"] => at.required(node, "file", |at, node| path(at, node, folder)).map(Record::File),
        ["postgres"] => at.required(node, "postgres", |at, node| {
            let text = at.text(node)?;
            if text.parse::<tokio_postgres::Config>().is_err() {
                return at
                    .mismatch(node, "a connection string, as in postgres://user@host/database");
            }
            Some(Record::Postgres(text))
        }),
        ["firestore"] => at.required(node, "firestore", |at, node| {
            at.object(node, &["project", "database", "token", "url"])?;
            let project = at.required(node, "project", |at, node| at.text(node));
            let database = at.optional(node, "database", |at, node| at.text(node));
            let token = at.optional(node, "token", |at, node| at.text(node));
            let url = at.optional(node, "url", |at, node| at.url(node));
            Some(Record::Firestore {
                project: project?,
                database: database.unwrap_or_else(|| "(default)".to_owned()),
                token,
                url: url.unwrap_or_else(|| "https://firestore.googleapis.com".to_owned()),
            })
        }),
        _ => at.mismatch(node, "one of `file`, `postgres` and `firestore`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = "\
release: shop-1.4
rule: checkout
stable: blue
canary: green
labels: {version: 1.4, build: '381'}
gateways:
- file: listeners.yaml
- {kong: 'http://127.0.0.1:8001/', headers: {Kong-Admin-Token: '${TOKEN}'}, plugin: shop}
- kubernetes: {kind: KongPlugin, namespace: shop, name: checkout}
verify:
  within: 10s
  checks:
  - {url: 'http://green/health', json: {status: UP}}
  - command: [./smoke.sh, green]
steps:
- {weight: 0.5, for: 5m}
- pause: approval
- {weight: 50, for: 90s}
analysis: {prometheus: 'http://prometheus:9090', slow: {over: 500ms, margin: 1}}
hooks: {pre-rollout: [{command: 'echo hello'}]}
";

    fn env(name: &str) -> Option<String> {
        (name == "TOKEN").then(|| "secret".to_owned())
    }

    fn of(text: &str) -> Result<Plan, Vec<Diagnostic>> {
        read(&Source::new("plans/shop.yaml", text.to_owned()), &env)
    }

    #[test]
    fn a_plan_is_read() {
        let plan = of(PLAN).expect("a plan");
        assert_eq!((plan.release.as_str(), plan.gateways.len()), ("shop-1.4", 3));
        assert_eq!(plan.gateways[0].kind, GatewayKind::File("plans/listeners.yaml".into()));
        let headers = vec![("Kong-Admin-Token".to_owned(), "secret".to_owned())];
        let url = "http://127.0.0.1:8001".to_owned();
        assert_eq!(plan.gateways[1].kind, GatewayKind::Kong { url, headers });
        assert!(!plan.text.contains("secret"), "what is recorded");
        let steps = [
            Step::Weight { share: Share::hundredths(50), watch: Millis(300_000) },
            Step::Approval,
            Step::Weight { share: Share::whole(50), watch: Millis(90_000) },
        ];
        assert_eq!(plan.steps, steps);
        let analysis = plan.analysis.as_ref().expect("an analysis");
        assert_eq!((analysis.errors, analysis.slow), (0.005, Some((Millis(500), 0.01))));
        assert!((analysis.alpha - 0.01).abs() < 1e-12);
        assert_eq!(plan.calls(Place::PreRollout).len(), 1);
        assert_eq!(plan.record, Record::File("plans/releases".into()));
    }

    #[test]
    fn blue_green_is_one_step() {
        let steps = PLAN.split("steps:").next().expect("text");
        let of_text = |value: &str| of(&format!("{steps}blue_green: {value}\nanalysis: none\n"));
        let plan = of_text("true").expect("a plan");
        assert_eq!(plan.steps, [Step::Weight { share: ALL, watch: BLUE_GREEN_WATCH }]);
        assert_eq!(plan.analysis, None);
        let plan = of_text("{for: 1m}").expect("a plan");
        assert_eq!(plan.steps, [Step::Weight { share: ALL, watch: Millis(60_000) }]);
        assert!(of_text("false").is_err());
    }

    #[test]
    fn every_fault_has_its_place() {
        // What is put for what, and the line, the path and a piece of the message.
        let table: &[(&str, &str, usize, &str, &str)] = &[
            ("release: shop-1.4", "release: a/b", 1, "release", "letters"),
            ("rule: checkout", "rul: checkout", 2, "rul", "did you mean `rule`"),
            ("canary: green", "canary: blue", 4, "canary", "another upstream"),
            ("- file: listeners.yaml", "- {}", 7, "gateways[0]", "one of `file`"),
            ("'${TOKEN}'", "'${TOKEM}'", 8, "gateways[1].headers.Kong-Admin-Token", "no TOKEM"),
            ("kind: KongPlugin", "kind: Plugin", 9, "gateways[2].kubernetes.kind", "KongPlugin"),
            ("within: 10s", "within: ten", 11, "verify.within", "as in `500ms`"),
            ("'http://green/health'", "green/health", 13, "verify.checks[0].url", "a URL"),
            ("weight: 0.5", "weight: 0.005", 16, "steps[0].weight", "from 0.01 to 100"),
            ("weight: 0.5", "weight: 0.333", 16, "steps[0].weight", "two decimals"),
            ("weight: 50", "weight: 0.5", 18, "steps[2].weight", "more than the step before"),
            ("pause: approval", "pause: 5m", 17, "steps[1].pause", "approval"),
            ("margin: 1}", "margin: 0}", 19, "analysis.slow.margin", "from 0.01 to 50"),
            ("pre-rollout", "before", 20, "hooks.before", "unknown field"),
            ("{command: 'echo hello'}", "{}", 20, "hooks.pre-rollout[0]", "`url` and `command`"),
        ];
        for (old, new, line, path, message) in table {
            let text = PLAN.replacen(old, new, 1);
            assert_ne!(text, PLAN);
            let source = Source::new("plan.yaml", text);
            let faults = read(&source, &env).expect_err(new);
            let found = faults.iter().any(|fault| {
                source.position(fault.span.start).line == *line
                    && fault.path.as_deref() == Some(path)
                    && fault.message.contains(message)
            });
            assert!(found, "{new}: {faults:#?}");
        }
        let all = of("rule: [1]\nstepz: 1\n").expect_err("faults");
        let paths: Vec<_> = all.iter().filter_map(|fault| fault.path.as_deref()).collect();
        assert_eq!(
            paths,
            ["release", "stable", "canary", "gateways", "steps", "analysis", "rule", "stepz"]
        );
        assert!(of("a: 1\n---\nb: 2\n").is_err() && of("a: [").is_err() && of("").is_err());
    }
}
