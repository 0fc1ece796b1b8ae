//! The commands and their flags.

use super::output::{CheckFormat, Format};
use clap::{Parser, Subcommand};
use tse_route::config::Timestamp;

/// Conditional, weighted traffic splitting for Kong and Envoy: ask before you deploy.
///
/// Every command uses the engine of the gateway filter itself.
#[derive(Debug, Parser)]
#[command(
    name = "tse-route",
    version,
    max_term_width = 100,
    after_long_help = "Exit codes: 0 all is well; 1 faults were found; 2 wrong usage, or a file that cannot be read.\n\
        Results go to the standard output, all else to the standard error. Colours only on a terminal; NO_COLOR=1 turns them off."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Check(CheckArgs),
    Explain(ExplainArgs),
    Simulate(SimulateArgs),
    Import(ImportArgs),
    #[cfg(feature = "release")]
    Release(ReleaseArgs),
    #[cfg(feature = "release")]
    Weights(WeightsArgs),
    /// Print the JSON Schema of the configuration
    #[command(after_help = "Examples:\n  \
        tse-route schema > tse-route.schema.json\n  \
        tse-route schema --kong > tse-route.meta.json")]
    Schema {
        /// The file that Kong reads beside the filter (JSON Schema draft 4)
        #[arg(long)]
        kong: bool,
    },
    /// Print a shell's completion script
    #[command(after_help = "Examples:\n  \
        tse-route completions bash > /etc/bash_completion.d/tse-route\n  \
        tse-route completions zsh > ~/.zfunc/_tse-route")]
    Completions {
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    #[command(after_help = "Examples:\n  \
        tse-route man | man -l -\n  \
        tse-route man check > tse-route-check.1")]
    Man {
        /// The command whose page is wanted instead of the program's
        command: Option<String>,
    },
}

/// Validate configurations
///
/// Reads a configuration as JSON or YAML, KongPlugin and KongClusterPlugin manifests, Kong
/// declarative files and Envoy bootstraps, several in one file where that is usual, and shows every
/// fault with its place. Of a folder it reads every file that ends in `.yaml`, `.yml` or `.json`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    tse-route check examples/envoy.yaml\n  \
    tse-route check --strict examples/first/split.yaml examples/kubernetes/2*.yaml\n  \
    tse-route check --ignore-unrelated --output github examples\n  \
    kubectl get kongplugin -A -o yaml | tse-route check -\n\n\
    Exit codes: 0 all is well; 1 faults were found; 2 wrong usage, or a file that cannot be read.")]
pub(crate) struct CheckArgs {
    /// Files and folders to look at; `-` is the standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,
    /// Fail on warnings too
    #[arg(long)]
    pub strict: bool,
    /// Leave out files that have nothing of tse-route in them
    #[arg(long)]
    pub ignore_unrelated: bool,
    /// For people, for programs, for code scanners (SARIF 2.1.0), or as marks in GitHub's pull requests
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub output: CheckFormat,
}

/// Show how one request is decided, and why
///
/// For every rule: whether it matches and, where it does not, which item failed on which value. With
/// several upstreams the draw is by weight: `--seed` makes another one.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    tse-route explain -c config.yaml --request 'GET /x?uid=1' -H 'version: v2'\n  \
    tse-route explain -c kong.yml --plugin 'route shop' --request /cart --cookie 'user=7'\n  \
    tse-route explain -c config.yaml --request 'POST /orders' --body '{\"vip\": true}' --output json\n  \
    tse-route explain -c config.yaml --cases cases.yaml\n\n\
    In the probabilities, `(service)` is the service's own upstream.\n\
    Exit codes: 0 decided; 1 the configuration cannot be used, or a case is decided otherwise; 2 wrong usage, or a file that cannot be read.")]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    #[command(flatten)]
    pub request: RequestArgs,
    /// A file of requests with what is expected of them, as a list of cases in YAML or JSON; a case
    /// that is decided otherwise is a fault
    #[arg(long, value_name = "FILE", conflicts_with_all = ["request", "headers", "cookie", "body", "client_ip", "scheme", "seed"])]
    pub cases: Option<String>,
    /// The time of the request: RFC 3339, or seconds since 1970; without it the present
    #[arg(long, value_name = "TIME", value_parser = super::world::time)]
    pub at: Option<Timestamp>,
    /// Where the draw among several upstreams starts
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub output: Output,
}

/// Send many requests through the engine, and compare the split with the configured one
///
/// Without a request, a file of keys or an access log, a request is made up for each rule that
/// matches it, and the rules get requests in turn. Rules that stick to a client (`hash_on`) get
/// another client with every request.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    tse-route simulate -c config.yaml\n  \
    tse-route simulate -c config.yaml --requests 10000000 --at 2030-01-31T08:00:00Z\n  \
    tse-route simulate -c config.yaml --request '/x?uid={key}' --keys users.txt\n  \
    tse-route simulate -c config.yaml --access-log access.log --output json\n  \
    tse-route simulate -c config.yaml --weights-to next.yaml\n\n\
    A p-value is the probability of a deviation at least as large from weights that are kept: one\n\
    below 0.001 is hardly chance.\n\
    Exit codes: 0 simulated; 1 a configuration cannot be used; 2 wrong usage, or a file that cannot be read.")]
pub(crate) struct SimulateArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// How many requests [default: 100000, or one for each key or line of the log]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000_000))]
    pub requests: Option<u64>,
    /// A file with one client's key in each line; it takes the place of `{key}` in the request, and
    /// stands where the rules' `hash_on` looks
    #[arg(long, value_name = "FILE")]
    pub keys: Option<String>,
    /// An access log in common or combined format, whose requests are sent
    #[arg(long, value_name = "FILE", conflicts_with_all = ["keys", "request", "headers", "cookie", "body", "client_ip"])]
    pub access_log: Option<String>,
    /// A second configuration: how many clients would move if it came next
    #[arg(long, value_name = "FILE")]
    pub weights_to: Option<String>,
    #[command(flatten)]
    pub request: RequestArgs,
    /// The time of all requests: RFC 3339, or seconds since 1970; without it the present
    #[arg(long, value_name = "TIME", value_parser = super::world::time)]
    pub at: Option<Timestamp>,
    /// Where the draws start
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub output: Output,
}

/// Translate what other gateways know of traffic splitting
///
/// Reads Gateway API HTTPRoutes and GRPCRoutes, Ingresses with ingress-nginx's canary annotations,
/// Kong's `canary` plugin, APISIX's `traffic-split` and ApisixRoutes, Istio's VirtualServices, Traefik's
/// TraefikServices, and the steps of Argo's Rollouts and of Flagger's Canaries. What a source decides
/// apart, such as the listeners of two Gateways, becomes one configuration each. What cannot be carried over is an error
/// at its place: nothing is dropped in silence.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    tse-route import httproute.yaml > plugin.yaml\n  \
    kubectl get gateway,httproute -A -o yaml | tse-route import - --parent shop/gateway\n  \
    tse-route import httproute.yaml --format envoy > envoy.yaml\n  \
    tse-route import rollout.yaml --format plan > plan.yaml\n  \
    kubectl get ingress -n shop -o yaml | tse-route import - --lossy\n  \
    tse-route import apisix.yaml --name shop-split | tse-route check -\n\n\
    Exit codes: 0 translated; 1 something cannot be carried over; 2 wrong usage, or a file that cannot be read.")]
pub(crate) struct ImportArgs {
    /// Files and folders to translate; `-` is the standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,
    /// What to print
    #[arg(long = "format", value_name = "FORM", default_value = "kongplugin")]
    pub form: super::import::Form,
    /// Leave out what cannot be carried over, with a warning instead of an error
    #[arg(long)]
    pub lossy: bool,
    /// The name of the plugin
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Of what the source decides apart, only this: a Gateway, its port or listener, a Service, or a
    /// part of such a name
    #[arg(long, value_name = "NAME")]
    pub parent: Option<String>,
    /// Leave the steps of a Rollout or a Canary to a release plan, which `--format plan` prints: the rule
    /// has no ramp, and the canary gets nothing yet
    #[arg(long)]
    pub release: bool,
    /// When ramps start whose source does not say it: RFC 3339, or seconds since 1970
    #[arg(long, value_name = "TIME")]
    pub start: Option<String>,
    /// How upstreams for Services of Kubernetes are called
    /// [default: {service}.{namespace}.{port}.svc, as the Ingress Controller calls them for Ingresses]
    #[arg(long, value_name = "TEMPLATE")]
    pub upstream: Option<String>,
    #[command(flatten)]
    pub output: Output,
}

/// Bring a new version up: verify it, give it traffic in steps, watch it, go back if it is worse
///
/// The plan is a YAML file. Everything that is done is written down before and after it is done, so
/// that a run that was killed is gone on with by the next one, and so that people and pipelines can
/// ask what became of a release.
#[cfg(feature = "release")]
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    tse-route release plan shop.yaml --rps 50\n  \
    tse-route release run shop.yaml --report report.md\n  \
    tse-route release status shop.yaml --output json\n  \
    tse-route release approve shop.yaml\n\n\
    Exit codes: 0 promoted, or done; 1 the plan has faults; 2 wrong usage, or what cannot be reached;\n\
    3 rolled back; 4 waits for approval; 5 refused, or stopped.")]
pub(crate) struct ReleaseArgs {
    #[command(subcommand)]
    pub command: ReleaseCommand,
}

#[cfg(feature = "release")]
#[derive(Debug, Subcommand)]
pub(crate) enum ReleaseCommand {
    /// Run a release, or go on with one, until its end
    Run(RunArgs),
    /// Show where a release is
    Status(PlanArgs),
    /// Approve the step that a release waits at
    Approve(PlanArgs),
    /// Stay where it is; a canary that is worse is still rolled back
    Pause(PlanArgs),
    /// Go on after a pause
    Resume(PlanArgs),
    /// Give the canary everything now, whatever is left of the plan
    Promote(PlanArgs),
    /// Go back to stable
    Abort(PlanArgs),
    /// Show all releases and environments of the record
    History(PlanArgs),
    /// Show what would happen, and how soon which damage would be found
    Plan {
        /// The plan
        #[arg(value_name = "PLAN")]
        plan: String,
        /// How many requests a second the rule gets
        #[arg(long, value_name = "N", default_value_t = 50.0, value_parser = positive)]
        rps: f64,
        /// How many of a hundred answers of stable are errors
        #[arg(long, value_name = "PERCENT", default_value_t = 0.1, value_parser = positive)]
        errors: f64,
        #[command(flatten)]
        output: Output,
    },
    /// Print the report of a release
    Report {
        /// The plan
        #[arg(value_name = "PLAN")]
        plan: String,
        /// As one HTML file with plots, instead of Markdown
        #[arg(long)]
        html: bool,
    },
}

/// What `release run` is told.
#[cfg(feature = "release")]
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// The plan
    #[arg(value_name = "PLAN")]
    pub plan: String,
    /// End with exit code 4 where an approval is waited for, instead of waiting; another run goes on
    #[arg(long)]
    pub exit_at_approval: bool,
    /// Begin anew what has ended
    #[arg(long)]
    pub again: bool,
    /// Write a report there at the end: HTML if its name ends so, or else Markdown
    #[arg(long, value_name = "FILE")]
    pub report: Option<String>,
    #[command(flatten)]
    pub output: Output,
}

/// A plan, and how to answer.
#[cfg(feature = "release")]
#[derive(Debug, clap::Args)]
pub(crate) struct PlanArgs {
    /// The plan
    #[arg(value_name = "PLAN")]
    pub plan: String,
    #[command(flatten)]
    pub output: Output,
}

#[cfg(feature = "release")]
fn positive(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    number
        .filter(|number| *number > 0.0 && *number <= 1e6)
        .ok_or_else(|| "accepted is a number above 0".to_owned())
}

/// Change the weights of one rule where it is written
///
/// Reads any file that `check` reads, and changes nothing but the numbers: comments and order stay.
/// The file is replaced in one step, which is what a watching Envoy waits for. Without a weight, the
/// rule's weights are shown.
#[cfg(feature = "release")]
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    tse-route weights kong.yml checkout\n  \
    tse-route weights listeners.yaml checkout blue=95 green=5\n  \
    tse-route weights http://127.0.0.1:8001 10 green=100 blue=0 --plugin 'route cart'\n\n\
    A rule goes by its name, or by its weight where it has none. `(own)` is the service's own upstream.\n\
    Exit codes: 0 done; 1 the weights cannot be changed; 2 wrong usage, or a file that cannot be read.")]
pub(crate) struct WeightsArgs {
    /// The file with the rule, or the URL of Kong's Admin API
    #[arg(value_name = "FILE|URL")]
    pub file: String,
    /// The rule: its name, or the weight of one without a name
    #[arg(value_name = "RULE")]
    pub rule: String,
    /// Which upstream gets how much of the rule's `weight_total`
    #[arg(value_name = "NAME=WEIGHT", value_parser = super::weights::change)]
    pub changes: Vec<(String, tse_route::config::Share)>,
    /// Which of the file's configurations, where several have the rule: its name, or a part of it
    #[arg(long, value_name = "NAME")]
    pub plugin: Option<String>,
    /// A header for the Admin API, as in `Kong-Admin-Token: …`; may be given again
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    pub headers: Vec<String>,
    #[command(flatten)]
    pub output: Output,
}

/// Which configuration.
#[derive(Debug, clap::Args)]
pub(crate) struct ConfigArgs {
    /// The file with the configuration, of any kind that `check` reads
    #[arg(short, long, value_name = "FILE")]
    pub config: String,
    /// Which of the file's configurations, where it has several: its name, or a part of it
    #[arg(long, value_name = "NAME")]
    pub plugin: Option<String>,
}

/// What the request is like.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct RequestArgs {
    /// Method and path, or a path, or a whole URL [default: GET /]
    #[arg(long, value_name = "REQUEST")]
    pub request: Option<String>,
    /// A header, as in `version: v2`; may be given again
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    pub headers: Vec<String>,
    /// Cookies, as in `a=1; b=2`; may be given again
    #[arg(long, value_name = "COOKIE")]
    pub cookie: Vec<String>,
    /// The body; `@FILE` reads it from a file. Without a content type of a form it is taken for JSON
    #[arg(long, value_name = "BODY")]
    pub body: Option<String>,
    /// The client's address
    #[arg(long, value_name = "ADDRESS")]
    pub client_ip: Option<String>,
    /// The scheme that the client used
    #[arg(long, value_name = "SCHEME")]
    pub scheme: Option<String>,
}

/// For whom the output is.
#[derive(Debug, clap::Args)]
pub(crate) struct Output {
    /// For people or for programs
    #[arg(long = "output", value_name = "FORMAT", default_value = "human")]
    pub format: Format,
}
