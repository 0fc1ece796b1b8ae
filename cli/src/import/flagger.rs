//! Flagger: Canary.
//!
//! Flagger moves a share of the requests to the canary, step by step; then it makes the primary the new
//! version and sends everything back to it. The ramp leaves everything on the canary.

use super::draft::{Draft, Item, Otherwise, Rule, Upstream};
use super::hosts;
use super::istio::condition_items;
use super::kubernetes::{self, Backend, Metadata};
use super::plan::{self, Hook, Move, Plan};
use super::progressive::{self, Stages};
use super::reading::{Import, head};
use crate::source::{Node, Span};
use serde_json::{Value, json};
use tse_route::config::quote;

/// What drives Flagger, and is not about where requests go.
const MACHINERY: &[&str] = &[
    "provider",
    "autoscalerRef",
    "ingressRef",
    "routeRef",
    "upstreamRef",
    "progressDeadlineSeconds",
    "revertOnDeletion",
];

/// Seconds between two steps where nothing is said, and the least that count.
const INTERVAL: f64 = 60.0;
const SHORTEST: f64 = 10.0;

/// Imports one Canary; none where it cannot be carried over.
pub(super) fn import(node: &Node, import: &mut Import) -> Option<Draft> {
    let metadata = kubernetes::manifest(node, import);
    kubernetes::annotations(node, import);
    let spec = import.object(node, "spec")?;
    import.skip(spec, MACHINERY);
    let prometheus = import.text(spec, "metricsServer");
    if import.flag(spec, "suspend") == Some(true) {
        import.told(node);
        import.warning(head(spec), "a suspended Canary is left out");
        return None;
    }
    let target = import.object(spec, "targetRef").and_then(|target| {
        import.skip(target, &["apiVersion", "kind"]);
        let name = import.text(target, "name");
        import.done(target, "`targetRef`");
        name
    });
    let skips = import.flag(spec, "skipAnalysis") == Some(true);
    let service = import.object(spec, "service");
    let service = service.map(|node| Service::read(node, import));
    let analysis = match import.object(spec, "analysis") {
        Some(analysis) => Some(analysis),
        None => import.object(spec, "canaryAnalysis"),
    };
    let apex = service.as_ref().and_then(|service| service.name).or(target);
    let (Some(apex), Some(service)) = (apex, service) else {
        import.error(head(spec), "a Canary needs `targetRef` and `service`");
        return None;
    };
    let (primary, canary) = (format!("{apex}-primary"), format!("{apex}-canary"));
    let mut upstream = |service_name: &str| {
        let backend = Backend {
            service: service_name,
            namespace: metadata.namespace,
            port: service.port.clone(),
            subset: None,
        };
        backend.upstream(spec, import)
    };
    let (primary, canary) = (upstream(&primary)?, upstream(&canary)?);
    let analysis = analysis.map(|analysis| Analysis::read(analysis, &metadata, import));
    import.done(spec, "a Canary");
    let label = metadata.label();
    if import.options.release {
        let upstreams =
            vec![Upstream::new(Some(primary.clone()), 100), Upstream::new(Some(canary.clone()), 0)];
        let [place] = service.conditions.as_slice() else {
            let message = "hosts and matches that need rules of their own cannot be carried over: a \
                           release changes the weights of one rule";
            import.error(head(spec), message);
            return None;
        };
        let rule = Rule {
            name: Some(label.clone()),
            items: place.clone(),
            upstreams,
            delivery: analysis.as_ref().map(|analysis| analysis.hash.clone()).unwrap_or_default(),
            file: import.file,
            span: head(spec),
            ..Rule::default()
        };
        let mut plan =
            Plan { stable: primary.clone(), canary, watch: Some(0.0), ..Plan::default() };
        if let Some(analysis) = analysis.filter(|_| !skips) {
            analysis.carry_over(&mut plan, prometheus, import);
        }
        import.warning(head(spec), plan::STAYS);
        return Some(Draft {
            name: metadata.name.to_owned(),
            namespace: metadata.given_namespace.map(str::to_owned),
            description: format!("imported from Canary {label}, for {primary}"),
            otherwise: Otherwise::Upstream(primary),
            names_of_an_ingress: true,
            rules: vec![rule],
            plan: Some(plan),
            file: import.file,
            span: head(spec),
            ..Draft::default()
        });
    }
    let start = progressive::start(spec, import)?;
    let breaker = analysis.as_ref().and_then(|analysis| analysis.breaker(&primary));
    let mut stages = Stages::default();
    let mut selected: Option<(Vec<Vec<Item>>, Stages)> = None;
    match &analysis {
        // Without an analysis the new version is served at once.
        Some(analysis) if !skips => {
            let interval = analysis.interval;
            if analysis.iterations > 0 {
                let end = analysis.iterations as f64 * interval;
                stages.set(end, 100);
                if !analysis.matches.is_empty() {
                    let mut all = Stages::default();
                    all.set(0.0, 100);
                    selected = Some((analysis.matches.clone(), all));
                }
            } else {
                let mut time = 0.0;
                for weight in &analysis.weights {
                    stages.set(time, *weight);
                    time += interval;
                }
                stages.set(time, 100);
            }
        }
        _ => stages.set(0.0, 100),
    }
    let mut message = "after its last step Flagger makes the primary the new version and sends \
                       everything there; the ramp sends everything to the canary"
        .to_owned();
    if breaker.is_some() {
        message.push_str(
            ". Flagger gives up for good after `threshold` failed checks; the circuit breaker takes the \
             canary out at the first, and tries it again",
        );
    }
    import.warning(head(spec), message);
    let upstreams =
        vec![Upstream::new(Some(primary.clone()), 100), Upstream::new(Some(canary.clone()), 0)];
    let delivery = |stages: &Stages| {
        let mut delivery =
            analysis.as_ref().map(|analysis| analysis.hash.clone()).unwrap_or_default();
        delivery.push(("rollout", stages.rollout(&start, &canary)));
        delivery.extend(breaker.clone().map(|breaker| ("circuit_breaker", breaker)));
        delivery
    };
    let mut rules = Vec::new();
    for place in &service.conditions {
        let rule = |items: Vec<Item>, stages: &Stages| Rule {
            name: Some(label.clone()),
            items: place.iter().cloned().chain(items).collect(),
            upstreams: upstreams.clone(),
            delivery: delivery(stages),
            file: import.file,
            span: head(spec),
            ..Rule::default()
        };
        if let Some((matches, all)) = &selected {
            rules.extend(matches.iter().map(|items| rule(items.clone(), all)));
        }
        rules.push(rule(Vec::new(), &stages));
    }
    Some(Draft {
        name: metadata.name.to_owned(),
        namespace: metadata.given_namespace.map(str::to_owned),
        description: format!("imported from Canary {label}, for {primary}"),
        otherwise: Otherwise::Upstream(primary),
        names_of_an_ingress: true,
        rules,
        file: import.file,
        span: head(spec),
        ..Draft::default()
    })
}

/// What of its service says where requests go.
struct Service<'n> {
    name: Option<&'n str>,
    port: Option<String>,
    /// Alternatives of hosts and matches.
    conditions: Vec<Vec<Item>>,
}

impl<'n> Service<'n> {
    fn read(node: &'n Node, import: &mut Import) -> Self {
        let name = import.text(node, "name");
        let port = import.text_or_number(node, "port");
        // The Services and routes that Flagger makes.
        import.skip(
            node,
            &[
                "portName",
                "targetPort",
                "appProtocol",
                "portDiscovery",
                "headless",
                "gateways",
                "gatewayRefs",
                "delegation",
                "meshName",
                "backends",
                "apex",
                "primary",
                "canary",
                "unmanagedMetadata",
                "trafficDistribution",
            ],
        );
        let listed = import.texts(node, "hosts");
        let hostnames: Vec<String> = listed
            .iter()
            .filter_map(|node| node.text())
            .filter(|host| *host != "*")
            .map(str::to_ascii_lowercase)
            .collect();
        let matches = import.objects(node, "match");
        let mut wanted = Vec::new();
        for condition in &matches {
            wanted.extend(condition_items(condition, import));
        }
        if matches.is_empty() {
            wanted.push(Vec::new());
        }
        let mut conditions = Vec::new();
        for (_, host) in hosts::alternatives(&hostnames) {
            for items in &wanted {
                conditions.push(host.iter().chain(items).cloned().collect());
            }
        }
        import.done(node, "the service");
        Self { name, port, conditions }
    }
}

struct Analysis {
    /// Seconds.
    interval: f64,
    iterations: u64,
    weights: Vec<u64>,
    matches: Vec<Vec<Item>>,
    metrics: Metrics,
    hooks: Vec<Hook>,
    hash: Vec<(&'static str, Value)>,
    span: Span,
}

impl Analysis {
    fn read(node: &Node, metadata: &Metadata, import: &mut Import) -> Self {
        let interval =
            import.text(node, "interval").map(|text| (text, progressive::duration(text)));
        let interval = match interval {
            Some((_, Some(seconds))) => seconds.max(SHORTEST),
            // As Flagger takes what it cannot read.
            _ => INTERVAL,
        };
        let iterations = import.whole(node, "iterations", 100_000).unwrap_or(0);
        let mut wanted = Vec::new();
        if import.options.release
            && let Some(entry) = import.entry(node, "match")
        {
            import.told(&entry.value);
            let message = "`match` of an analysis cannot be carried over: a release changes the weights of \
                           one rule, and these requests need another";
            import.lost(entry.key_span.clone(), message);
        } else {
            for condition in import.objects(node, "match") {
                wanted.extend(condition_items(condition, import));
            }
        }
        let weights = weights(node, import);
        // Of the way back, on which the primary is the new version already.
        import.skip(
            node,
            &["threshold", "stepWeightPromotion", "primaryReadyThreshold", "canaryReadyThreshold"],
        );
        if import.flag(node, "mirror") == Some(true) {
            import.lost(head(node), "`mirror` cannot be carried over");
        }
        let metrics = Metrics::read(node, import);
        // A ramp has nobody to ask.
        let hooks = if import.options.release { hooks(node, metadata, import) } else { Vec::new() };
        let hash = affinity(node, import);
        import.done(node, "the analysis");
        let span = head(node);
        Self { interval, iterations, weights, matches: wanted, metrics, hooks, hash, span }
    }

    /// The built-in metrics as a circuit breaker.
    fn breaker(&self, fallback: &str) -> Option<Value> {
        let window = self.metrics.window?;
        let mut breaker = serde_json::Map::new();
        if let Some(least) = self.metrics.success {
            let rate = ((100.0 - least) * 100.0).round() / 10_000.0;
            breaker.insert("max_error_rate".to_owned(), json!(rate.max(0.0)));
        }
        if let Some(most) = self.metrics.duration {
            // The 99th percentile, in milliseconds: one answer of a hundred may be slower.
            breaker.insert("max_latency".to_owned(), json!(format!("{}ms", most.round() as u64)));
            breaker.insert("max_slow_rate".to_owned(), json!(0.01));
        }
        breaker.insert("window".to_owned(), json!(format!("{}s", window.max(1.0) as u64)));
        breaker.insert("cooldown".to_owned(), json!(format!("{}s", self.interval.max(1.0) as u64)));
        breaker.insert("fallback".to_owned(), json!(fallback));
        Some(Value::Object(breaker))
    }

    fn carry_over(self, plan: &mut Plan, prometheus: Option<&str>, import: &mut Import) {
        plan.hooks = self.hooks;
        if self.iterations > 0 {
            // Blue/green: the canary is tried out past the gateway, and then gets everything.
            plan.before = self.iterations as f64 * self.interval;
            if self.metrics.window.is_some() {
                let message = "the metrics of an analysis with `iterations` are those of tests, which \
                               reach the canary past the gateway, and cannot be carried over; what has to \
                               hold before the switch is the plan's `verify`";
                import.lost(self.span, message);
            }
            return;
        }
        let mut moves = Vec::new();
        for weight in self.weights {
            moves.push(Move::Weight(weight, self.span.clone()));
            moves.push(Move::Wait(self.interval, self.span.clone()));
        }
        plan.take(moves, 100, import);
        if self.metrics.window.is_none() {
            return;
        }
        let mut said = Vec::new();
        // A margin that the plan accepts.
        let margin = |points: f64| ((points * 100.0).round() / 100.0).clamp(0.01, 50.0);
        let errors = match self.metrics.success {
            Some(least) => {
                let points = margin(100.0 - least);
                said.push(format!(
                    "a success rate of at least {least} % becomes errors that are more by less than \
                     {points} percentage points"
                ));
                points
            }
            None => {
                let points = plan::ERRORS;
                said.push(format!(
                    "errors, which Flagger does not look at here, may be more by {points} points"
                ));
                points
            }
        };
        let slow = self.metrics.duration.map(|most| {
            let over = (most.round() as u64).max(1);
            said.push(format!(
                "a 99th percentile of at most {most} ms becomes answers over {over} ms that are more by \
                 less than 1 point"
            ));
            (over, 1.0)
        });
        let message = format!(
            "Flagger compares with fixed bounds and gives up after `threshold` failed checks; a release \
             compares the canary with stable: {}",
            said.join(", and ")
        );
        import.warning(self.span, message);
        let prometheus = prometheus.map(str::to_owned);
        plan.analysis = Some(plan::Analysis { prometheus, errors, slow });
    }
}

/// The webhooks at the places that a plan has for them.
fn hooks(node: &Node, metadata: &Metadata, import: &mut Import) -> Vec<Hook> {
    let mut hooks = Vec::new();
    for webhook in import.objects(node, "webhooks") {
        let kind = import.text(webhook, "type").unwrap_or_default();
        let name = import.text(webhook, "name").map(str::to_owned);
        let url = import.text(webhook, "url").unwrap_or_default().to_owned();
        let timeout = import.text(webhook, "timeout").filter(|text| text.len() > 1);
        let retries = import.whole(webhook, "retries", 1_000).unwrap_or(0);
        let pairs = import.pairs(webhook, "metadata").into_iter();
        let given: serde_json::Map<String, Value> =
            pairs.map(|(entry, value)| (entry.key.clone(), json!(value))).collect();
        // Who is told of a failure.
        import.skip(webhook, &["muteAlert"]);
        if import.flag(webhook, "disableTLS") == Some(true) {
            import.lost(head(webhook), "`disableTLS: true` of a webhook cannot be carried over");
        }
        import.done(webhook, "a webhook");
        let place = match kind {
            "confirm-rollout" => "confirm-rollout",
            "pre-rollout" => "pre-rollout",
            "" | "rollout" => "rollout",
            "confirm-promotion" => "confirm-promotion",
            "post-rollout" => "post-rollout",
            "rollback" => "rollback",
            other => {
                let message = format!("a webhook of the type {other} cannot be carried over");
                import.lost(head(webhook), message);
                continue;
            }
        };
        if !url.starts_with("http://") && !url.starts_with("https://") {
            let message = "a webhook whose `url` is not one of HTTP cannot be carried over";
            import.lost(head(webhook), message);
            continue;
        }
        if place == "rollout" {
            let message =
                "Flagger calls a `rollout` webhook before each check, a release once in each step";
            import.warning(head(webhook), message);
        }
        let timeout = match timeout.map(|text| (text, progressive::duration(text))) {
            None => 10.0,
            Some((_, Some(seconds))) => seconds,
            Some((text, None)) => {
                let message = format!(
                    "found the duration {}; accepted is one as in `30s` or `1h30m`",
                    quote(text)
                );
                import.error(head(webhook), message);
                continue;
            }
        };
        let phase = match place {
            "confirm-rollout" => "Waiting",
            "post-rollout" => {
                let message = "a `post-rollout` webhook is told the phase `Succeeded`, also after a rollback: \
                               a plan's hook has one body";
                import.warning(head(webhook), message);
                "Succeeded"
            }
            _ => "Progressing",
        };
        let mut body = serde_json::Map::new();
        body.insert("name".to_owned(), json!(metadata.name));
        body.insert("namespace".to_owned(), json!(metadata.namespace));
        body.insert("phase".to_owned(), json!(phase));
        if !given.is_empty() {
            body.insert("metadata".to_owned(), Value::Object(given));
        }
        // A confirmation may take as long as it takes.
        let is_patient = place.starts_with("confirm-");
        let within = (!is_patient).then(|| (timeout * (retries as f64 + 1.0)).max(0.001));
        hooks.push(Hook { place, name, url, body: Value::Object(body), within });
    }
    hooks
}

/// The canary's weights, a step at a time.
fn weights(node: &Node, import: &mut Import) -> Vec<u64> {
    let step = import.whole(node, "stepWeight", 100).unwrap_or(0);
    let most = import.whole(node, "maxWeight", 100).filter(|most| *most > 0).unwrap_or(100);
    let mut listed = Vec::new();
    for element in import.list(node, "stepWeights") {
        match element.scalar().and_then(Value::as_u64).filter(|weight| *weight <= 100) {
            Some(weight) => listed.push(weight),
            None => import.error(head(element), "accepted is a whole number from 0 to 100"),
        }
    }
    if step == 0 {
        return listed;
    }
    let mut weights = Vec::new();
    let mut weight = 0;
    // A step is taken as long as the weight is below the most, and may go above it.
    while weight < most {
        weight = (weight + step).min(100);
        weights.push(weight);
    }
    weights
}

/// The built-in metrics.
#[derive(Default)]
struct Metrics {
    /// The least percentage of answers that are no errors.
    success: Option<f64>,
    /// The most milliseconds of the 99th percentile.
    duration: Option<f64>,
    /// The longest time that one of them looks back, in seconds; none without any.
    window: Option<f64>,
}

impl Metrics {
    fn read(node: &Node, import: &mut Import) -> Self {
        let mut metrics = Self::default();
        for metric in import.objects(node, "metrics") {
            let name = import.text(metric, "name").unwrap_or_default();
            if !matches!(name, "request-success-rate" | "request-duration") {
                import.told(metric);
                let message = format!("the metric {name} cannot be carried over");
                import.lost(head(metric), message);
                continue;
            }
            let length = import.text(metric, "interval").and_then(progressive::duration);
            let old = import.number(metric, "threshold").and_then(Value::as_f64);
            let range = import.object(metric, "thresholdRange");
            let bound = |name: &str, import: &mut Import| {
                let range = range?;
                import.number(range, name).and_then(Value::as_f64)
            };
            let limit = match name {
                "request-success-rate" => bound("min", import),
                _ => bound("max", import),
            };
            if let Some(range) = range {
                import.done(range, "`thresholdRange`");
            }
            import.done(metric, "the metric");
            let Some(limit) = limit.or(old).filter(|limit| *limit >= 0.0) else {
                import.error(head(metric), "a metric needs `thresholdRange`");
                continue;
            };
            let window = metrics.window.unwrap_or(0.0).max(length.unwrap_or(INTERVAL));
            metrics.window = Some(window);
            if name == "request-success-rate" {
                metrics.success = Some(limit);
            } else {
                metrics.duration = Some(limit);
            }
        }
        metrics
    }
}

/// A cookie that keeps clients on the canary once they were there, as a ramp that only grows does.
fn affinity(node: &Node, import: &mut Import) -> Vec<(&'static str, Value)> {
    let Some(affinity) = import.object(node, "sessionAffinity") else { return Vec::new() };
    let mut hash = vec![("hash_on", json!("cookie"))];
    let name = import.text(affinity, "cookieName");
    hash.extend(name.map(|name| ("hash_on_cookie", json!(name))));
    hash.extend(import.text(affinity, "path").map(|path| ("hash_on_cookie_path", json!(path))));
    import.done(affinity, "`sessionAffinity`");
    hash
}
