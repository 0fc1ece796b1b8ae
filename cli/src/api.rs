//! The commands as functions, for programs that have neither files nor a terminal: text and data in,
//! data out.
//!
//! Answers are JSON, as `--output json` prints it; places in texts are counted in UTF-16 code units,
//! as browsers count them.

use super::cases;
use super::decision::{Engine, OWN};
use super::diagnostic::{Diagnostic, word};
use super::explain::Explanation;
use super::files::{File, Subject};
use super::import;
use super::request::Sample;
use super::simulate::{Outage, Simulation, Traffic};
use super::source::{Source, Span};
use super::world::Moment;
use serde_json::{Value, json};
use tse_route::Loaded;
use tse_route::config::{self, HashOn, Rollout, Timestamp};
use tse_route::engine::{self, Choice, Rule};

/// How many clients [`Document::moves`] shows one by one.
const SHOWN: u64 = 240;

/// The configurations of a text, ready to be asked.
pub struct Document {
    file: File,
    /// By configuration; none where it cannot be used.
    engines: Vec<Option<Engine>>,
    faults: Vec<Diagnostic>,
}

impl Document {
    /// Reads a text of any kind that `tse-route check` reads.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let file = File::of(Source::new("configuration", text.to_owned()));
        let mut faults = file.diagnostics.clone();
        let engines = file.subjects.iter().map(|subject| {
            let checked = subject.check();
            let usable = checked.is_usable();
            faults.extend(checked.diagnostics);
            usable.then(|| Engine::new(checked.loaded, Timestamp::default()))
        });
        let engines = engines.collect();
        faults.sort_by_key(|fault| fault.span.start);
        Self { file, engines, faults }
    }

    /// All that is wrong with the text, and what its configurations are.
    #[must_use]
    pub fn check(&self) -> Value {
        let places = Places::of(&self.file.source.text);
        let faults = self.faults.iter().map(|fault| places.mark(fault, &self.file.source));
        let configurations =
            self.file.subjects.iter().zip(&self.engines).map(|(subject, engine)| {
                let rules = engine.iter().flat_map(|engine| summary(&engine.loaded));
                json!({
                    "label": subject.label,
                    "usable": engine.is_some(),
                    "rules": rules.collect::<Vec<_>>(),
                })
            });
        json!({
            "faults": faults.collect::<Vec<_>>(),
            "configurations": configurations.collect::<Vec<_>>(),
        })
    }

    /// How a request is decided at this time, in milliseconds since 1970, and why; the request is a
    /// case of `explain --cases`, as JSON.
    ///
    /// # Errors
    /// What is wrong with the request or the configuration.
    pub fn explain(&mut self, configuration: usize, case: &str, at: u64) -> Result<Value, String> {
        self.decide(configuration, case, at, Explanation::of)
    }

    /// How a request is decided, as [`Document::explain`] has it, but not why.
    ///
    /// # Errors
    /// What is wrong with the request or the configuration.
    pub fn decision(&mut self, configuration: usize, case: &str, at: u64) -> Result<Value, String> {
        self.decide(configuration, case, at, Explanation::brief)
    }

    fn decide(
        &mut self,
        configuration: usize,
        case: &str,
        at: u64,
        explain: impl Fn(&Engine, &Sample, u64) -> Explanation,
    ) -> Result<Value, String> {
        let case = one_case(case)?;
        let engine = self.engine_mut(configuration)?;
        engine.at = case.at.unwrap_or(Timestamp(at));
        let answer = explain(engine, &case.sample, case.seed).json();
        let differences = case.differences(&answer);
        Ok(json!({ "answer": answer, "differences": differences }))
    }

    /// A simulation of so many requests: of the given case, or, without one, of requests that are made
    /// up for each rule in turn.
    ///
    /// # Errors
    /// What is wrong with the request or the configuration.
    pub fn simulation(
        &self,
        configuration: usize,
        case: Option<&str>,
        requests: u64,
        at: u64,
    ) -> Result<Running, String> {
        let engine = self.engine_at(configuration, at)?;
        let (traffic, without) = match case {
            Some(case) => (Traffic::given(one_case(case)?.sample, &engine), Vec::new()),
            None => Traffic::made_up(&engine),
        };
        Ok(Running { simulation: Simulation::new(engine, None, traffic, requests, at), without })
    }

    /// The shares of a rule's upstreams at so many times from one to the other, evenly spread.
    ///
    /// # Errors
    /// Where there is no such rule in a usable configuration.
    pub fn shares(
        &self,
        configuration: usize,
        rule: usize,
        (from, to): (u64, u64),
        times: u32,
    ) -> Result<Value, String> {
        let engine = self.engine(configuration)?;
        let (_, rule) = found(engine, rule)?;
        let steps = u64::from(times.max(2)) - 1;
        let times: Vec<u64> =
            (0..=steps).map(|step| from + to.saturating_sub(from) * step / steps).collect();
        let mut shares = vec![Vec::with_capacity(times.len()); rule.targets().len()];
        for time in &times {
            let now = share_of(rule, Timestamp(*time));
            for (line, share) in shares.iter_mut().zip(now) {
                line.push(share);
            }
        }
        Ok(json!({ "times": times, "upstreams": names(rule), "shares": shares }))
    }

    /// Who moves when the weights of a rule become these, in hundredths, at this time.
    ///
    /// # Errors
    /// Where there is no such rule in a usable configuration, or the weights cannot be its own.
    pub fn moves(
        &self,
        configuration: usize,
        rule: usize,
        weights: &[u32],
        clients: u64,
        at: u64,
    ) -> Result<Value, String> {
        let engine = self.engine_at(configuration, at)?;
        let (position, found_rule) = found(&engine, rule)?;
        let names: Vec<String> = names(found_rule).into_iter().map(str::to_owned).collect();
        let subject = self.file.subjects.get(configuration).ok_or("no such configuration")?;
        let next = Engine::new(reweighted(subject, rule, weights)?, engine.at);
        let mut traffic = Traffic::of_rule(&engine, position)
            .ok_or("no request could be made up that this rule matches")?;
        let mut world = Moment::new(engine.at, 0);
        let shown = (0..SHOWN).map(|number| {
            let request = traffic.request(number);
            let before = engine.decide(request, &mut world);
            let after = next.decide(request, &mut world);
            [(&engine, before), (&next, after)].map(|(engine, choice)| upstream(engine, choice))
        });
        let shown: Vec<_> = shown.collect();
        let mut simulation = Simulation::new(engine, Some(next), traffic, clients, 0);
        simulation.advance(clients);
        let report = simulation.report().json();
        Ok(json!({
            "upstreams": names,
            "clients": shown,
            "moves": report.get("moves"),
            "requests": clients,
        }))
    }

    /// What the circuit breakers of a rule make of an upstream that fails for a while.
    ///
    /// # Errors
    /// Where there is no such rule with circuit breakers in a usable configuration.
    pub fn outage(
        &self,
        configuration: usize,
        rule: usize,
        upstream: &str,
        error_rate: f64,
        at: u64,
    ) -> Result<Value, String> {
        let engine = self.engine_at(configuration, at)?;
        let (position, _) = found(&engine, rule)?;
        Outage { rule: position, upstream, error_rate }.run(&engine).ok_or_else(|| {
            "this rule has no circuit breakers, or no request could be made up that it matches"
                .to_owned()
        })
    }

    fn engine(&self, configuration: usize) -> Result<&Engine, String> {
        let engine = self.engines.get(configuration).and_then(Option::as_ref);
        engine.ok_or_else(|| "the configuration cannot be used".to_owned())
    }

    fn engine_mut(&mut self, configuration: usize) -> Result<&mut Engine, String> {
        let engine = self.engines.get_mut(configuration).and_then(Option::as_mut);
        engine.ok_or_else(|| "the configuration cannot be used".to_owned())
    }

    /// An engine of its own.
    fn engine_at(&self, configuration: usize, at: u64) -> Result<Engine, String> {
        let loaded = self.engine(configuration)?.loaded.clone();
        Ok(Engine::new(loaded, Timestamp(at)))
    }
}

/// A simulation on its way.
pub struct Running {
    simulation: Simulation,
    without: Vec<String>,
}

impl Running {
    /// Sends at most so many requests more; returns how many have been sent.
    pub fn advance(&mut self, requests: u64) -> u64 {
        self.simulation.advance(requests)
    }

    /// What has been found so far, and the rules for which no request could be made up.
    pub fn report(&mut self) -> Value {
        let mut report = self.simulation.report().json();
        if let Some(report) = report.as_object_mut() {
            report.insert("without".to_owned(), json!(self.without));
        }
        report
    }
}

/// What other gateways know of traffic splitting as a KongPlugin, and what was not carried over.
#[must_use]
pub fn import(text: &str) -> Value {
    // What cannot be carried over stands beside the rest: the page shows both.
    let options = import::Options { lossy: true, ..import::Options::default() };
    let imported = import::import(&[import::Text::new("import", text)], &options);
    let mut remarks: Vec<Value> = imported
        .remarks
        .iter()
        .map(|remark| {
            json!({
                "severity": word(remark.severity),
                "line": remark.line,
                "column": remark.column,
                "message": remark.message,
            })
        })
        .collect();
    let form = import::Form::Kongplugin;
    let yaml = match imported.yaml(form) {
        Ok(yaml) if imported.is_sound() => yaml,
        Ok(_) => String::new(),
        Err(message) => {
            remarks
                .push(json!({ "severity": "error", "line": 1, "column": 1, "message": message }));
            String::new()
        }
    };
    json!({ "yaml": yaml, "remarks": remarks, "note": imported.note(form) })
}

/// The JSON Schema of a configuration.
#[must_use]
pub fn schema() -> Value {
    config::schema()
}

fn one_case(case: &str) -> Result<cases::Case, String> {
    let list = Source::new("request.json", format!("[{case}]"));
    let said = |faults: Vec<Diagnostic>| {
        let messages: Vec<String> = faults.into_iter().map(|fault| fault.message).collect();
        messages.join("\n")
    };
    cases::read(&list).map_err(said)?.pop().ok_or_else(|| "no request".to_owned())
}

/// A rule by its place in the configuration, with its position in the table.
fn found(engine: &Engine, index: usize) -> Result<(usize, &Rule), String> {
    let mut rules = engine.loaded.table.rules().iter().enumerate();
    rules
        .find(|(_, rule)| rule.index() == index)
        .ok_or_else(|| format!("rules[{index}] is disabled, or does not exist"))
}

/// What a page must know of the rules to offer what suits them.
fn summary(loaded: &Loaded) -> Vec<Value> {
    let rules = loaded.config.rules.iter().enumerate();
    let summary = rules.map(|(index, rule)| {
        let compiled = loaded.table.rules().iter().find(|found| found.index() == index);
        let rollout = rule.rollout.as_ref().zip(compiled.and_then(Rule::rollout_end));
        let upstreams = rule.upstream.0.iter().map(|upstream| {
            json!({
                "name": upstream.name.as_ref().map(|name| &name.0),
                "weight": upstream.weight.in_hundredths(),
            })
        });
        json!({
            "index": index,
            "name": rule.name,
            "weight": rule.weight.get(),
            "enabled": rule.enabled,
            "weight_total": rule.weight_total.get() * 100,
            "upstreams": upstreams.collect::<Vec<_>>(),
            "hash_on": (rule.hash_on != HashOn::None).then(|| rule.hash_on.word()),
            "rollout": rollout.map(|(Rollout { start, .. }, end)| json!([start.0, end])),
            "breakers": compiled.is_some_and(Rule::has_breakers),
        })
    });
    summary.collect()
}

/// The names of a rule's upstreams; the service's own among them.
fn names(rule: &Rule) -> Vec<&str> {
    rule.targets().iter().map(|target| target.name().unwrap_or(OWN)).collect()
}

fn upstream(engine: &Engine, choice: Option<Choice>) -> String {
    choice.and_then(|choice| engine.upstream(choice)).unwrap_or(OWN).to_owned()
}

/// The shares of a rule's upstreams at a time.
fn share_of(rule: &Rule, at: Timestamp) -> Vec<f64> {
    let shares = rule.shares(&mut Moment::new(at, 0));
    let total: u64 = shares.iter().map(|share| share.in_hundredths()).sum();
    shares.iter().map(|share| share.in_hundredths() as f64 / total.max(1) as f64).collect()
}

/// A configuration with other weights for one of its rules, which hold whatever the time is.
fn reweighted(subject: &Subject, rule: usize, weights: &[u32]) -> Result<Loaded, String> {
    let mut value = subject.node.value();
    let fields = value.get_mut("rules").and_then(|rules| rules.get_mut(rule));
    let fields = fields.and_then(Value::as_object_mut).ok_or("no such rule")?;
    fields.remove("rollout");
    let upstreams = fields.get_mut("upstream").and_then(Value::as_array_mut);
    for (upstream, weight) in upstreams.into_iter().flatten().zip(weights) {
        if let Some(upstream) = upstream.as_object_mut() {
            upstream.insert("weight".to_owned(), json!(f64::from(*weight) / 100.0));
        }
    }
    let (config, report) = config::read(&value);
    let (table, report) = engine::compile(&config, report);
    if let Some(error) = report.errors().next() {
        return Err(error.to_string());
    }
    Ok(Loaded { config, table, report })
}

/// Offsets of a text in UTF-16 code units.
struct Places<'t>(&'t str);

impl<'t> Places<'t> {
    fn of(text: &'t str) -> Self {
        Self(text)
    }

    fn units(&self, offset: usize) -> usize {
        self.0.get(..offset).unwrap_or(self.0).encode_utf16().count()
    }

    fn mark(&self, fault: &Diagnostic, source: &Source) -> Value {
        let Span { start, end } = fault.span;
        let mut mark = fault.json(source);
        if let Some(mark) = mark.as_object_mut() {
            mark.remove("file");
            mark.insert("from".to_owned(), json!(self.units(start)));
            mark.insert("to".to_owned(), json!(self.units(end.max(start))));
        }
        mark
    }
}
