//! `tse-route explain`: one request's decision, rule by rule.

use super::Failure;
use super::args::{ConfigArgs, ExplainArgs};
use super::cases;
use super::decision::{Engine, OWN, probabilities};
use super::output::{self, BAD, BOLD, DIM, Format, GOOD, percent, quoted, styled};
use super::request::Sample;
use super::source::Source;
use super::world::{self, Moment};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry::{Occupied, Vacant};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use tse_route::config::{self, Config, HashOn, Header, Location, Operator};
use tse_route::engine::{BaggageChange, Choice, ItemTrace, KeyTrace};

pub(crate) fn run(args: &ExplainArgs) -> Result<(), Failure> {
    if let Some(file) = &args.cases {
        return run_cases(args, file);
    }
    let engine = Engine::load(&args.config, args.at)?;
    let sample = Sample::of(&args.request)?;
    let explanation = Explanation::of(&engine, &sample, args.seed);
    match args.output.format {
        Format::Json => output::json(&explanation.json()),
        Format::Human => output::human(&explanation.human()),
    }
}

/// Decides the cases of a file, and compares.
fn run_cases(args: &ExplainArgs, file: &str) -> Result<(), Failure> {
    let source = Source::read(file).map_err(Failure::Usage)?;
    let cases = cases::read(&source).map_err(|faults| {
        for fault in &faults {
            output::note(&fault.human(&source));
        }
        Failure::Faults
    })?;
    let mut engines: HashMap<Option<String>, Engine> = HashMap::new();
    let mut results = Vec::new();
    let mut text = String::new();
    let mut changed = 0;
    for case in &cases {
        let plugin = case.plugin.clone().or_else(|| args.config.plugin.clone());
        let engine = match engines.entry(plugin) {
            Occupied(entry) => entry.into_mut(),
            Vacant(entry) => {
                let plugin = entry.key().clone();
                let config = ConfigArgs { config: args.config.config.clone(), plugin };
                entry.insert(Engine::load(&config, args.at)?)
            }
        };
        engine.at = case.at.or(args.at).unwrap_or_else(world::now);
        let explanation = Explanation::brief(engine, &case.sample, case.seed).json();
        let differences = case.differences(&explanation);
        let (word, style) = match (case.expects(), differences.is_empty()) {
            (_, false) => ("changed", BAD),
            (true, true) => ("ok", GOOD),
            (false, true) => ("not compared", DIM),
        };
        changed += usize::from(!differences.is_empty());
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}: {}", case.name, styled(style, word));
        for difference in &differences {
            let _ = writeln!(text, "    {difference}");
        }
        results.push(json!({
            "name": case.name,
            "result": word,
            "differences": differences,
            "answer": explanation,
        }));
    }
    match args.output.format {
        Format::Json => output::json(&json!({ "changed": changed, "cases": results }))?,
        Format::Human => {
            let _ = writeln!(text, "\n{} cases, {changed} of them decided otherwise", cases.len());
            output::human(&text)?;
        }
    }
    if changed > 0 { Err(Failure::Faults) } else { Ok(()) }
}

/// A decision with its reasons.
pub(crate) struct Explanation {
    rule: Option<Label>,
    upstream: Option<String>,
    probabilities: Vec<(String, f64)>,
    key: Option<Key>,
    changes: Changes,
    /// What became of every rule; none where only the decision is wanted.
    trace: Option<Vec<Step>>,
}

/// What the filter writes, where the gateway follows it.
#[derive(Default)]
struct Changes {
    response: Vec<(String, String)>,
    set: Vec<(String, String)>,
    add: Vec<(String, String)>,
    remove: Vec<String>,
    baggage: Option<BaggageChange>,
}

/// What the client is recognised by.
struct Key {
    source: String,
    trace: KeyTrace,
}

/// How a rule is called.
struct Label {
    index: usize,
    name: Option<String>,
    weight: u64,
}

/// What became of one rule.
struct Step {
    rule: Label,
    result: Fate,
    match_type: &'static str,
    items: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Decides,
    Fails,
    /// It would match, but another rule has decided.
    Overtaken,
    /// It would not have matched either.
    NotReached,
    Disabled,
}

/// What one item was asked and what it answered.
struct Line {
    path: String,
    location: Location,
    key: Option<String>,
    operator: Operator,
    value: Option<String>,
    answer: ItemTrace,
}

impl Explanation {
    /// The decision with what became of every rule.
    pub(crate) fn of(engine: &Engine, sample: &Sample, seed: u64) -> Self {
        let brief = Self::brief(engine, sample, seed);
        Self { trace: Some(brief.steps(engine, sample)), ..brief }
    }

    fn steps(&self, engine: &Engine, sample: &Sample) -> Vec<Step> {
        let config = &engine.loaded.config;
        let table = &engine.loaded.table;
        let deciding = self.rule.as_ref().map(|label| label.index);
        let decided = table.rules().iter().position(|rule| Some(rule.index()) == deciding);
        let mut trace: Vec<Step> = table
            .trace(sample)
            .rules
            .into_iter()
            .enumerate()
            .filter_map(|(position, rule)| {
                let configured = config.rules.get(rule.index)?;
                let result = match (decided, rule.holds == Some(true)) {
                    (Some(decided), _) if decided == position => Fate::Decides,
                    (Some(decided), true) if decided < position => Fate::Overtaken,
                    (Some(decided), false) if decided < position => Fate::NotReached,
                    _ => Fate::Fails,
                };
                Some(Step {
                    rule: Label::of(rule.index, configured),
                    result,
                    match_type: configured.match_type.word(),
                    items: lines(config, rule.index, configured, rule.items),
                })
            })
            .collect();
        let disabled = config.rules.iter().enumerate().filter(|(_, rule)| !rule.enabled);
        trace.extend(disabled.map(|(index, rule)| Step {
            rule: Label::of(index, rule),
            result: Fate::Disabled,
            match_type: rule.match_type.word(),
            items: Vec::new(),
        }));
        trace
    }

    /// The decision alone.
    pub(crate) fn brief(engine: &Engine, sample: &Sample, seed: u64) -> Self {
        let config = &engine.loaded.config;
        let table = &engine.loaded.table;
        let mut world = Moment::new(engine.at, seed);
        let verdict = engine.verdict(sample, &mut world);
        let choice = verdict.outcome.choice();
        let key = choice.and_then(|choice| table.trace_rule(choice.rule, sample)?.key);
        let rule = choice.and_then(|choice| engine.rule(choice));
        Self {
            rule: rule
                .and_then(|rule| Some(Label::of(rule.index(), config.rules.get(rule.index())?))),
            upstream: choice.and_then(|choice| engine.upstream(choice)).map(str::to_owned),
            probabilities: rule.map(|rule| probabilities(rule, &mut world)).unwrap_or_default(),
            key: rule
                .zip(key)
                .and_then(|(rule, trace)| Some(Key::of(config.rules.get(rule.index())?, trace))),
            changes: choice
                .map(|choice| Changes::of(engine, choice, verdict.issued))
                .unwrap_or_default(),
            trace: None,
        }
    }

    fn is_by_chance(&self) -> bool {
        self.key.is_none() && self.is_divided()
    }

    fn is_divided(&self) -> bool {
        self.probabilities.iter().filter(|(_, share)| *share > 0.0).count() > 1
    }

    pub(crate) fn json(&self) -> Value {
        let probabilities: Map<String, Value> =
            self.probabilities.iter().map(|(name, share)| (name.clone(), json!(share))).collect();
        let mut json = json!({
            "rule": self.rule.as_ref().map(Label::json),
            "upstream": self.upstream,
            "by_chance": self.is_by_chance(),
            "probabilities": probabilities,
            "hash": self.key.as_ref().map(Key::json),
            "response_headers": self.changes.response,
            "request_headers": {
                "remove": self.changes.remove,
                "set": self.changes.set,
                "add": self.changes.add,
                "baggage": self.changes.baggage.as_ref().map(of_baggage),
            },
        });
        if let (Some(json), Some(trace)) = (json.as_object_mut(), &self.trace) {
            json.insert("trace".to_owned(), trace.iter().map(Step::json).collect());
        }
        json
    }

    fn human(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        for step in self.trace.iter().flatten() {
            let _ = write!(text, "{}", step.human());
        }
        let Some(rule) = &self.rule else {
            let _ = writeln!(
                text,
                "\n{}",
                styled(BOLD, "no rule matches: the request goes on untouched")
            );
            return text;
        };
        let upstream = self.upstream.as_deref().unwrap_or("the service's own upstream");
        let by_chance = match &self.key {
            _ if !self.is_divided() => String::new(),
            None => ", drawn by weight".to_owned(),
            Some(key) => format!(", by {}", key.human()),
        };
        let _ = writeln!(text, "\n{} decides: {}{by_chance}", rule.human(), styled(BOLD, upstream));
        for (name, share) in &self.probabilities {
            let name = if name == OWN { "(service)  the service's own upstream" } else { name };
            let _ = writeln!(text, "  {:>8}  {name}", percent(*share));
        }
        text
    }
}

impl Changes {
    fn of(engine: &Engine, choice: Choice, issued: Option<u128>) -> Self {
        let Some(effect) = engine.effect(choice) else { return Self::default() };
        let shown = effect.response_headers().iter();
        let mut response: Vec<(String, String)> =
            shown.map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let cookie = engine.rule(choice).and_then(|rule| rule.cookie());
        let issued = issued.zip(cookie);
        response.extend(issued.map(|(id, cookie)| ("Set-Cookie".to_owned(), cookie.issue(id))));
        let pair = |header: &Header| (header.name.as_str().to_owned(), header.value.0.clone());
        let changes = effect.request_headers();
        Self {
            response,
            set: changes.set.iter().map(pair).collect(),
            add: changes.add.iter().map(pair).collect(),
            remove: changes.remove.iter().map(|name| name.as_str().to_owned()).collect(),
            baggage: effect.baggage().cloned(),
        }
    }
}

/// A change to the baggage: members as they stand in the header, and keys of those that go.
fn of_baggage(change: &BaggageChange) -> Value {
    json!({ "remove": change.removed(), "set": change.set() })
}

impl Key {
    fn of(rule: &config::Rule, trace: KeyTrace) -> Self {
        let (on, header, query_arg) = if trace.by_fallback {
            (rule.hash_fallback, &rule.hash_fallback_header, &rule.hash_fallback_query_arg)
        } else {
            (rule.hash_on, &rule.hash_on_header, &rule.hash_on_query_arg)
        };
        let parameter = match on {
            HashOn::Header => header.as_ref().map(|name| name.as_str().to_owned()),
            HashOn::QueryArg => query_arg.clone(),
            HashOn::Cookie => rule.hash_on_cookie.as_ref().map(|name| name.0.clone()),
            HashOn::None | HashOn::Ip | HashOn::Consumer | HashOn::Path => None,
        };
        let source = match parameter {
            Some(parameter) => format!("{} {parameter}", on.word()),
            None => on.word().to_owned(),
        };
        Self { source, trace }
    }

    fn json(&self) -> Value {
        json!({
            "on": self.source,
            "key": String::from_utf8_lossy(&self.trace.key),
            "client": format!("{:016x}", self.trace.client),
        })
    }

    fn human(&self) -> String {
        format!(
            "the hash of {} {} ({:016x})",
            self.source,
            quoted(&self.trace.key),
            self.trace.client
        )
    }
}

impl Label {
    fn of(index: usize, rule: &config::Rule) -> Self {
        Self { index, name: rule.name.clone(), weight: rule.weight.get() }
    }

    fn json(&self) -> Value {
        json!({ "index": self.index, "name": self.name, "weight": self.weight })
    }

    fn human(&self) -> String {
        let name = self.name.as_ref().map(|name| format!(" {name:?}")).unwrap_or_default();
        format!("rules[{}]{name} (weight {})", self.index, self.weight)
    }
}

impl Fate {
    fn word(self) -> &'static str {
        match self {
            Self::Decides => "decides",
            Self::Fails => "fails",
            Self::Overtaken => "overtaken",
            Self::NotReached => "not reached",
            Self::Disabled => "disabled",
        }
    }

    fn human(self) -> String {
        match self {
            Self::Decides => styled(GOOD, "matches and decides"),
            Self::Fails => styled(BAD, "does not match"),
            Self::Overtaken => styled(DIM, "would match, but an earlier rule decides"),
            Self::NotReached => styled(DIM, "not reached, and would not match"),
            Self::Disabled => styled(DIM, "disabled"),
        }
    }
}

impl Step {
    fn json(&self) -> Value {
        json!({
            "rule": self.rule.json(),
            "result": self.result.word(),
            "match_type": self.match_type,
            "items": self.items.iter().map(Line::json).collect::<Vec<_>>(),
        })
    }

    fn human(&self) -> String {
        let mut text = format!("{} {}\n", self.rule.human(), self.result.human());
        if self.result == Fate::Disabled {
            return text;
        }
        if self.items.is_empty() {
            text.push_str("    no condition: always\n");
        }
        if self.items.len() > 1 && self.match_type == "OR" {
            text.push_str("    one of these is enough:\n");
        }
        for line in &self.items {
            text.push_str(&line.human());
        }
        text
    }
}

impl Line {
    fn found(&self) -> Option<String> {
        self.answer.found.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    fn json(&self) -> Value {
        let mut line = json!({
            "path": self.path,
            "location": self.location.word(),
            "key": self.key,
            "operator": self.operator.word(),
            "value": self.value,
            "found": self.found(),
            "holds": self.answer.holds,
        });
        if let Some(line) = line.as_object_mut().filter(|_| self.answer.is_undecided) {
            line.insert("undecided".to_owned(), true.into());
        }
        line
    }

    fn human(&self) -> String {
        let mark = match self.answer.holds {
            Some(true) => styled(GOOD, "yes"),
            Some(false) => styled(BAD, "no "),
            None => styled(BAD, "?  "),
        };
        let key = self.key.as_ref().map(|key| format!(" {key}")).unwrap_or_default();
        let value = self.value.as_ref().map(|value| format!(" {}", config::quote(value)));
        let found = match &self.answer.found {
            Some(bytes) => quoted(bytes),
            None => "absent".to_owned(),
        };
        let undecided = if self.answer.is_undecided {
            ", which would take more steps than a request may take"
        } else {
            ""
        };
        format!(
            "    {mark} {}{key} {}{}: found {found}{undecided}\n",
            self.location.word(),
            self.operator.word(),
            value.unwrap_or_default(),
        )
    }
}

/// The items of a rule beside their answers.
fn lines(config: &Config, index: usize, rule: &config::Rule, answers: Vec<ItemTrace>) -> Vec<Line> {
    let locations = rule.condition.iter().flat_map(|condition| &condition.locations);
    let items = locations.flat_map(|(location, items)| {
        let single = matches!(items, config::Items::One(_));
        items.as_slice().iter().enumerate().map(move |(position, item)| {
            let place = if single { String::new() } else { format!("[{position}]") };
            (format!("rules[{index}].condition.{}{place}", location.word()), *location, item)
        })
    });
    items
        .zip(answers)
        .map(|((path, location, item), answer)| Line {
            path,
            location,
            key: item.key.clone(),
            operator: item.operator,
            value: value(config, item),
            answer,
        })
        .collect()
}

/// What an item compares with: its own value, its list, or the stored one.
fn value(config: &Config, item: &config::Item) -> Option<String> {
    if let Some(listed) = &item.listed {
        return Some(listed.join(","));
    }
    let stored = item.global_config_id.as_ref().and_then(|id| {
        config.global_configs.iter().find(|global| global.id == *id).map(|global| &global.value)
    });
    let value = stored.or(item.value.as_ref()).filter(|_| item.operator.takes_value());
    value.map(|value| value.0.clone())
}
