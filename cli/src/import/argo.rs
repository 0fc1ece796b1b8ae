//! Argo Rollouts: the steps of a canary.

use super::draft::{Draft, Item, Otherwise, Rule, Upstream};
use super::kubernetes::{self, Backend};
use super::progressive::{self, Stages};
use super::reading::{Import, head};
use super::text_match::TextMatch;
use crate::source::Node;
use tse_route::config::{Location, quote};

/// What is about pods and not about requests.
const OF_THE_PODS: &[&str] = &[
    "replicas",
    "selector",
    "template",
    "workloadRef",
    "minReadySeconds",
    "rollbackWindow",
    "revisionHistoryLimit",
    "progressDeadlineSeconds",
    "progressDeadlineAbort",
    "restartAt",
];

/// What of a canary is about pods and not about requests.
const OF_THE_CANARYS_PODS: &[&str] = &[
    "maxUnavailable",
    "maxSurge",
    "antiAffinity",
    "canaryMetadata",
    "stableMetadata",
    "scaleDownDelaySeconds",
    "scaleDownDelayRevisionLimit",
    "abortScaleDownDelaySeconds",
    "dynamicStableScale",
    "minPodsPerReplicaSet",
    "replicaProgressThreshold",
];

/// The gateways that a Rollout may drive, whose part the filter has now.
const GATEWAYS: &[&str] = &[
    "istio",
    "nginx",
    "alb",
    "smi",
    "ambassador",
    "appMesh",
    "traefik",
    "apisix",
    "plugins",
    "managedRoutes",
];

/// Imports one Rollout; none where it cannot be carried over.
pub(super) fn import(node: &Node, import: &mut Import) -> Option<Draft> {
    let metadata = kubernetes::manifest(node, import);
    kubernetes::annotations(node, import);
    let spec = import.object(node, "spec")?;
    import.skip(spec, OF_THE_PODS);
    let strategy = import.object(spec, "strategy");
    let canary = strategy.and_then(|strategy| import.object(strategy, "canary"));
    let steps = canary.map(|canary| Plan::read(canary, import));
    if let Some(strategy) = strategy {
        import.done(strategy, "a Rollout's strategy");
    }
    import.done(spec, "a Rollout");
    let (Some(canary), Some(plan)) = (canary, steps) else {
        import.lost(head(spec), "a Rollout without `strategy.canary` cannot be carried over");
        return None;
    };
    let (Some(stable_service), Some(canary_service)) = (plan.stable, plan.canary) else {
        let message = "without `stableService` and `canaryService` a Rollout splits by the number of \
                       pods, which cannot be carried over";
        import.lost(head(canary), message);
        return None;
    };
    let mut upstream = |service: &str| {
        let namespace = metadata.namespace;
        Backend { service, namespace, port: None, subset: None }.upstream(canary, import)
    };
    let (stable, canary_name) = (upstream(stable_service)?, upstream(canary_service)?);
    let start = progressive::start(canary, import)?;
    let upstreams = vec![
        Upstream::new(Some(stable.clone()), plan.most),
        Upstream::new(Some(canary_name.clone()), 0),
    ];
    let rule = |name: String, items: Vec<Item>, stages: &Stages| Rule {
        name: Some(name),
        items,
        upstreams: upstreams.clone(),
        delivery: vec![("rollout", stages.rollout(&start, &canary_name))],
        file: import.file,
        span: head(canary),
        ..Rule::default()
    };
    let label = metadata.label();
    let mut rules: Vec<Rule> = plan
        .headers
        .iter()
        .map(|route| {
            let stages = plan.stages.with_all(route.from, route.to, plan.most);
            rule(format!("{label} {}", route.name), route.items.clone(), &stages)
        })
        .collect();
    rules.push(rule(label.clone(), Vec::new(), &plan.stages));
    Some(Draft {
        name: metadata.name.to_owned(),
        namespace: metadata.given_namespace.map(str::to_owned),
        description: format!("imported from Rollout {label}, for {stable}"),
        otherwise: Otherwise::Upstream(stable),
        names_of_an_ingress: true,
        rules,
        file: import.file,
        span: head(canary),
        ..Draft::default()
    })
}

/// The steps by the clock.
struct Plan<'n> {
    stable: Option<&'n str>,
    canary: Option<&'n str>,
    /// What weights are shares of.
    most: u64,
    stages: Stages,
    headers: Vec<HeaderRoute>,
}

/// Requests that are sent to the canary for a while.
struct HeaderRoute {
    name: String,
    items: Vec<Item>,
    from: f64,
    to: Option<f64>,
}

impl<'n> Plan<'n> {
    fn read(canary: &'n Node, import: &mut Import) -> Self {
        let mut plan = Self {
            stable: import.text(canary, "stableService"),
            canary: import.text(canary, "canaryService"),
            most: 100,
            stages: Stages::default(),
            headers: Vec::new(),
        };
        import.skip(canary, OF_THE_CANARYS_PODS);
        match import.object(canary, "trafficRouting") {
            Some(routing) => {
                import.skip(routing, GATEWAYS);
                plan.most =
                    import.whole(routing, "maxTrafficWeight", 1_000_000).unwrap_or(100).max(1);
                import.done(routing, "`trafficRouting`");
            }
            None => {
                let message = "without `trafficRouting` a Rollout splits by the number of pods; here the \
                               weights are exact";
                import.warning(head(canary), message);
            }
        }
        if let Some(entry) = import.entry(canary, "analysis") {
            import.told(&entry.value);
            let message =
                "`analysis` cannot be carried over; `circuit_breaker` is the closest there is";
            import.lost(entry.key_span.clone(), message);
        }
        let mut time = 0.0;
        let mut ended = false;
        for step in import.objects(canary, "steps") {
            if ended {
                import.told(step);
                continue;
            }
            ended = plan.step(step, &mut time, import);
        }
        if !ended {
            let most = plan.most;
            plan.stages.set(time, most);
        }
        import.done(canary, "a canary");
        plan
    }

    /// Takes one step; whether it is the last that the clock can take.
    fn step(&mut self, step: &Node, time: &mut f64, import: &mut Import) -> bool {
        if let Some(weight) = import.whole(step, "setWeight", self.most) {
            self.stages.set(*time, weight);
        }
        // `pause: {}` and `pause:` are the same.
        let is_pause = step.entry("pause").is_some();
        let pause = import.object(step, "pause");
        let mut ended = false;
        if is_pause {
            let length = pause.and_then(|pause| import.text_or_number(pause, "duration"));
            let seconds = length.as_deref().map(progressive::duration);
            match seconds {
                Some(Some(seconds)) => *time += seconds,
                Some(None) => {
                    let text = quote(length.as_deref().unwrap_or_default());
                    let message = format!(
                        "found the duration {text}; accepted is one as in `30s` or `1h30m`"
                    );
                    import.error(head(step), message);
                }
                None => {
                    let message = "a pause without an end waits for a person, which cannot be carried \
                                   over: the ramp stays where it is";
                    import.lost(head(step), message);
                    ended = true;
                }
            }
            if let Some(pause) = pause {
                import.done(pause, "a pause");
            }
        }
        if let Some(route) = import.object(step, "setHeaderRoute") {
            self.header_route(route, *time, import);
        }
        if let Some(entry) = import.entry(step, "setCanaryScale") {
            import.told(&entry.value);
            let message = "`setCanaryScale` is about pods and is left out";
            import.warning(entry.key_span.clone(), message);
        }
        import.done(step, "a step");
        ended
    }

    fn header_route(&mut self, route: &Node, time: f64, import: &mut Import) {
        let name = import.text(route, "name").unwrap_or_default().to_owned();
        let mut items = Vec::new();
        let mut sound = true;
        for wanted in import.objects(route, "match") {
            let header = import.text(wanted, "headerName");
            let value = import.object(wanted, "headerValue");
            let value = value.and_then(|value| TextMatch::read(value, import));
            sound &= import.done(wanted, "a match");
            match (header, value) {
                (Some(header), Some(value)) => items.push(value.item(Location::Header, header)),
                _ => {
                    import.error(head(wanted), "a match needs `headerName` and `headerValue`");
                    sound = false;
                }
            }
        }
        import.done(route, "`setHeaderRoute`");
        // Without a match, and with another one, the route of this name ends.
        for other in self.headers.iter_mut().filter(|other| other.name == name) {
            other.to.get_or_insert(time);
        }
        if sound && !items.is_empty() {
            self.headers.push(HeaderRoute { name, items, from: time, to: None });
        }
    }
}
