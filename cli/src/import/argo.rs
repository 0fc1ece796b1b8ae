//! Argo Rollouts: the steps of a canary, and the switch of a blue-green deployment.

use super::draft::{Draft, Item, Otherwise, Rule, Upstream};
use super::kubernetes::{self, Backend};
use super::plan::{self, Analysis, Move, Plan};
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
    // How many runs of analyses are kept.
    "analysis",
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

/// What of a blue-green deployment is about pods and not about requests.
const OF_THE_COLOURS: &[&str] = &[
    "previewReplicaCount",
    "antiAffinity",
    "maxUnavailable",
    "previewMetadata",
    "activeMetadata",
    "scaleDownDelaySeconds",
    "scaleDownDelayRevisionLimit",
    "abortScaleDownDelaySeconds",
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

/// What a plan has in the place of an analysis.
const WHILE_IT_IS_WATCHED: &str = "the plan's own `analysis` compares the canary with stable";
const BEFORE_IT_IS_WATCHED: &str = "what has to hold before the switch is the plan's `verify`";

/// Imports one Rollout; none where it cannot be carried over.
pub(super) fn import(node: &Node, import: &mut Import) -> Option<Draft> {
    let metadata = kubernetes::manifest(node, import);
    kubernetes::annotations(node, import);
    let spec = import.object(node, "spec")?;
    import.skip(spec, OF_THE_PODS);
    let strategy = import.object(spec, "strategy");
    let mut chosen = None;
    if let Some(strategy) = strategy {
        let canary = import.object(strategy, "canary");
        let blue_green = if canary.is_none() { import.object(strategy, "blueGreen") } else { None };
        chosen = match (canary, blue_green) {
            (Some(canary), _) => Some((canary, Steps::of_a_canary(canary, import))),
            (None, Some(colours)) => Some((colours, Steps::of_colours(colours, import))),
            (None, None) => None,
        };
        import.done(strategy, "a Rollout's strategy");
    }
    import.done(spec, "a Rollout");
    let Some((at, steps)) = chosen else {
        let message =
            "a Rollout without `strategy.canary` and `strategy.blueGreen` cannot be carried over";
        import.lost(head(spec), message);
        return None;
    };
    let (Some(stable), Some(canary)) = (steps.stable, steps.canary) else {
        import.lost(head(at), steps.without_services);
        return None;
    };
    let mut upstream = |service: &str| {
        let namespace = metadata.namespace;
        Backend { service, namespace, port: None, subset: None }.upstream(at, import)
    };
    let (stable, canary) = (upstream(stable)?, upstream(canary)?);
    let start = if import.options.release { None } else { Some(progressive::start(at, import)?) };
    let upstreams = vec![
        Upstream::new(Some(stable.clone()), steps.most),
        Upstream::new(Some(canary.clone()), 0),
    ];
    let rule = |name: String, items: Vec<Item>, stages: &Stages| Rule {
        name: Some(name),
        items,
        upstreams: upstreams.clone(),
        delivery: start.iter().map(|start| ("rollout", stages.rollout(start, &canary))).collect(),
        file: import.file,
        span: head(at),
        ..Rule::default()
    };
    let label = metadata.label();
    let mut rules: Vec<Rule> = steps
        .headers
        .iter()
        .map(|route| {
            let stages = steps.stages.with_all(route.from, route.to, steps.most);
            rule(format!("{label} {}", route.name), route.items.clone(), &stages)
        })
        .collect();
    rules.push(rule(label.clone(), Vec::new(), &steps.stages));
    let plan = import.options.release.then(|| {
        let mut plan = Plan {
            stable: stable.clone(),
            canary,
            watch: if steps.is_analysed { None } else { Some(0.0) },
            analysis: steps.is_analysed.then(Analysis::default),
            ..Plan::default()
        };
        plan.take(steps.moves, steps.most, import);
        import.warning(head(at), plan::STAYS);
        plan
    });
    Some(Draft {
        name: metadata.name.to_owned(),
        namespace: metadata.given_namespace.map(str::to_owned),
        description: format!("imported from Rollout {label}, for {stable}"),
        otherwise: Otherwise::Upstream(stable),
        names_of_an_ingress: true,
        rules,
        plan,
        file: import.file,
        span: head(at),
        ..Draft::default()
    })
}

/// The steps, by the clock and as they are.
struct Steps<'n> {
    stable: Option<&'n str>,
    canary: Option<&'n str>,
    /// What is wrong where one of them is missing.
    without_services: &'static str,
    /// What weights are shares of.
    most: u64,
    stages: Stages,
    headers: Vec<HeaderRoute>,
    moves: Vec<Move>,
    /// Whether an analysis judges the new version.
    is_analysed: bool,
}

/// Requests that are sent to the canary for a while.
struct HeaderRoute {
    name: String,
    items: Vec<Item>,
    from: f64,
    to: Option<f64>,
}

impl<'n> Steps<'n> {
    fn of_a_canary(canary: &'n Node, import: &mut Import) -> Self {
        let mut steps = Self {
            stable: import.text(canary, "stableService"),
            canary: import.text(canary, "canaryService"),
            without_services: "a Rollout without `stableService` and `canaryService` cannot be carried over: its \
                               versions have no Services of their own",
            most: 100,
            stages: Stages::default(),
            headers: Vec::new(),
            moves: Vec::new(),
            is_analysed: false,
        };
        import.skip(canary, OF_THE_CANARYS_PODS);
        match import.object(canary, "trafficRouting") {
            Some(routing) => {
                import.skip(routing, GATEWAYS);
                steps.most =
                    import.whole(routing, "maxTrafficWeight", 1_000_000).unwrap_or(100).max(1);
                import.done(routing, "`trafficRouting`");
            }
            None => {
                let message = "without `trafficRouting` a Rollout splits by the number of pods; here the \
                               weights are exact";
                import.warning(head(canary), message);
            }
        }
        steps.analysis(canary, "analysis", WHILE_IT_IS_WATCHED, import);
        let mut time = 0.0;
        let mut ended = false;
        for step in import.objects(canary, "steps") {
            if ended {
                import.told(step);
                continue;
            }
            ended = steps.step(step, &mut time, import);
        }
        if !ended {
            let most = steps.most;
            steps.stages.set(time, most);
        } else if steps.stages.is_empty() {
            // It ends before it has begun.
            steps.stages.set(0.0, 0);
        }
        import.done(canary, "a canary");
        steps
    }

    /// Everything at once, from the active service to the one for previews.
    fn of_colours(colours: &'n Node, import: &mut Import) -> Self {
        let mut steps = Self {
            stable: import.text(colours, "activeService"),
            canary: import.text(colours, "previewService"),
            without_services: "without `activeService` and `previewService` one of the versions has no \
                               Service of its own, which cannot be carried over",
            most: 100,
            stages: Stages::default(),
            headers: Vec::new(),
            moves: Vec::new(),
            is_analysed: false,
        };
        import.skip(colours, OF_THE_COLOURS);
        let by_itself = import.flag(colours, "autoPromotionEnabled").unwrap_or(true);
        let seconds = import.whole(colours, "autoPromotionSeconds", u64::from(u32::MAX));
        let mut seconds = seconds.unwrap_or(0) as f64;
        if !by_itself {
            if seconds > 0.0 {
                let message =
                    "`autoPromotionSeconds` does not count with `autoPromotionEnabled: false`";
                import.warning(head(colours), message);
            }
            seconds = 0.0;
            let message = "a person is waited for before the switch: here it is made at `--start`";
            let message = if import.options.release { plan::BY_HAND } else { message };
            import.warning(head(colours), message);
        }
        steps.analysis(colours, "prePromotionAnalysis", BEFORE_IT_IS_WATCHED, import);
        steps.analysis(colours, "postPromotionAnalysis", WHILE_IT_IS_WATCHED, import);
        steps.moves.push(Move::Wait(seconds, head(colours)));
        steps.stages.set(seconds, steps.most);
        import.done(colours, "a blue-green deployment");
        steps
    }

    /// Names an analysis, which is made of queries.
    fn analysis(&mut self, owner: &Node, field: &str, instead: &str, import: &mut Import) {
        let Some(entry) = import.entry(owner, field) else { return };
        import.told(&entry.value);
        let templates = entry.value.list("templates").iter();
        let names: Vec<&str> = templates
            .filter_map(|node| {
                node.text_of("templateName").or_else(|| node.text_of("clusterTemplateName"))
            })
            .collect();
        let names = match names.as_slice() {
            [] => String::new(),
            names => format!(" ({})", names.join(", ")),
        };
        let instead = if import.options.release {
            instead
        } else {
            "`circuit_breaker` is the closest there is"
        };
        let message = format!("`{field}`{names} cannot be carried over; {instead}");
        import.lost(entry.key_span.clone(), message);
        // What was judged stays judged, by the plan's own means.
        self.is_analysed = true;
    }

    /// Takes one step; whether it is the last that the clock can take.
    fn step(&mut self, step: &Node, time: &mut f64, import: &mut Import) -> bool {
        if let Some(weight) = import.whole(step, "setWeight", self.most) {
            self.stages.set(*time, weight);
            self.moves.push(Move::Weight(weight, head(step)));
        }
        // `pause: {}` and `pause:` are the same.
        let is_pause = step.entry("pause").is_some();
        let pause = import.object(step, "pause");
        let mut ended = false;
        if is_pause {
            let length = pause.and_then(|pause| import.text_or_number(pause, "duration"));
            let seconds = length.as_deref().map(progressive::duration);
            match seconds {
                Some(Some(seconds)) => {
                    *time += seconds;
                    self.moves.push(Move::Wait(seconds, head(step)));
                }
                Some(None) => {
                    let text = quote(length.as_deref().unwrap_or_default());
                    let message = format!(
                        "found the duration {text}; accepted is one as in `30s` or `1h30m`"
                    );
                    import.error(head(step), message);
                }
                None if import.options.release => self.moves.push(Move::Approval(head(step))),
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
        if import.options.release
            && let Some(entry) = import.entry(step, "setHeaderRoute")
        {
            import.told(&entry.value);
            let message = "`setHeaderRoute` cannot be carried over: a release changes the weights of one \
                           rule, and these requests need another";
            import.lost(entry.key_span.clone(), message);
        } else if let Some(route) = import.object(step, "setHeaderRoute") {
            self.header_route(route, *time, import);
        }
        self.analysis(step, "analysis", WHILE_IT_IS_WATCHED, import);
        for field in ["setCanaryScale", "replicaProgressThreshold"] {
            if let Some(entry) = import.entry(step, field) {
                import.told(&entry.value);
                let message = format!("`{field}` is about pods and is left out");
                import.warning(entry.key_span.clone(), message);
            }
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
