//! What an operator writes: the plan of a release.

mod read;
mod reader;

use serde_json::{Map, Value, json};
use std::fmt;
use std::path::PathBuf;
use tse_route::config::Share;

pub(crate) use read::read;

/// All of one's traffic, in hundredths of a per cent.
pub(crate) const ALL: Share = Share::whole(100);

/// A release, as it is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Its text as it was written, before the environment's values stand in it.
    pub text: String,
    pub release: String,
    pub rule: String,
    pub stable: String,
    pub canary: String,
    pub labels: Vec<(String, String)>,
    pub gateways: Vec<Gateway>,
    pub verify: Verify,
    pub steps: Vec<Step>,
    pub analysis: Option<Analysis>,
    pub hooks: Vec<(Place, Vec<Call>)>,
    pub record: Record,
    /// How often the gateways are asked.
    pub every: Millis,
}

/// A length of time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Millis(pub u64);

/// Where the rule lives.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Gateway {
    pub kind: GatewayKind,
    /// Which of the configurations there, where several have the rule.
    pub plugin: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum GatewayKind {
    /// A file that the gateway reads, or that is applied to it.
    File(PathBuf),
    /// Kong's Admin API.
    Kong { url: String, headers: Vec<(String, String)> },
    /// An object of the Kubernetes API.
    Kubernetes { kind: String, namespace: Option<String>, name: String, context: Option<String> },
}

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            GatewayKind::File(path) => write!(f, "{}", path.display())?,
            GatewayKind::Kong { url, .. } => write!(f, "{url}")?,
            GatewayKind::Kubernetes { kind, namespace, name, .. } => match namespace {
                Some(namespace) => write!(f, "{kind} {namespace}/{name}")?,
                None => write!(f, "{kind} {name}")?,
            },
        }
        match &self.plugin {
            Some(plugin) => write!(f, " ({plugin})"),
            None => Ok(()),
        }
    }
}

/// What has to hold before the canary gets its first request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Verify {
    /// All of these, each asked until it holds or its time is over.
    pub checks: Vec<Call>,
    /// A service that says yes or no.
    pub service: Option<Call>,
}

/// Something outside that is asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub what: What,
    /// How long an answer may take, repeated attempts and waiting included.
    pub within: Millis,
    /// How long to wait between two attempts.
    pub every: Millis,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    Http {
        url: String,
        method: String,
        headers: Vec<(String, String)>,
        body: Option<String>,
        expect: Expect,
    },
    /// A program and its arguments.
    Command(Vec<String>),
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Http { url, method, .. } => write!(f, "{method} {url}"),
            What::Command(words) => write!(f, "{}", words.join(" ")),
        }
    }
}

/// What an answer has to be like.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Expect {
    /// One of these; without any, 200 to 299.
    pub status: Vec<u16>,
    pub headers: Vec<(String, String)>,
    /// Values in the body by their path, as in `checks[0].state`.
    pub json: Vec<(String, Value)>,
}

/// One thing to do after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Gives the canary so much, and watches it for a while.
    Weight { share: Share, watch: Millis },
    /// Waits until someone approves.
    Approval,
}

/// How the canary is judged.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Analysis {
    pub prometheus: String,
    pub headers: Vec<(String, String)>,
    /// Labels that the series must have besides the rule's.
    pub selector: Vec<(String, String)>,
    /// How often Prometheus is asked: about its own scrape interval.
    pub every: Millis,
    /// By how many shares of one the canary may fail more often.
    pub errors: f64,
    /// What is slow, in milliseconds, and how much more often the canary may be.
    pub slow: Option<(Millis, f64)>,
    /// The accepted probability of a wrong verdict.
    pub alpha: f64,
    /// How long a step may wait for a verdict after its own time is over.
    pub deadline: Millis,
    /// What is done then.
    pub undecided: Undecided,
}

/// What is done with a canary that is neither shown to be worse nor shown not to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undecided {
    Hold,
    Continue,
    Rollback,
}

/// Flagger's places for hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    ConfirmRollout,
    PreRollout,
    Rollout,
    ConfirmPromotion,
    PostRollout,
    Rollback,
}

impl Place {
    pub(crate) const ALL: [Self; 6] = [
        Self::ConfirmRollout,
        Self::PreRollout,
        Self::Rollout,
        Self::ConfirmPromotion,
        Self::PostRollout,
        Self::Rollback,
    ];

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::ConfirmRollout => "confirm-rollout",
            Self::PreRollout => "pre-rollout",
            Self::Rollout => "rollout",
            Self::ConfirmPromotion => "confirm-promotion",
            Self::PostRollout => "post-rollout",
            Self::Rollback => "rollback",
        }
    }
}

/// Where it is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// A folder.
    File(PathBuf),
    /// A database, by its connection string.
    Postgres(String),
    Firestore {
        url: String,
        project: String,
        database: String,
        token: Option<String>,
    },
}

impl Plan {
    /// The calls of a place.
    pub(crate) fn calls(&self, place: Place) -> &[Call] {
        let found = self.hooks.iter().find(|(known, _)| *known == place);
        found.map(|(_, calls)| calls.as_slice()).unwrap_or_default()
    }

    pub(crate) fn step(&self, index: usize) -> Option<Step> {
        self.steps.get(index).copied()
    }

    /// The share that a step gives the canary.
    pub(crate) fn share_at(&self, index: usize) -> Option<Share> {
        match self.step(index)? {
            Step::Weight { share, .. } => Some(share),
            Step::Approval => None,
        }
    }

    /// What hooks and services are told.
    pub(crate) fn told(&self) -> Value {
        let labels: Map<String, Value> =
            self.labels.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        json!({
            "release": self.release,
            "rule": self.rule,
            "stable": self.stable,
            "canary": self.canary,
            "labels": labels,
        })
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        let mut written = 0;
        for (size, unit) in units {
            if rest >= size && written < 2 {
                write!(f, "{}{unit}", rest / size)?;
                rest %= size;
                written += 1;
            }
        }
        Ok(())
    }
}
