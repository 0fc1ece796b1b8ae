//! Releases in a world of its own: every way in which a runner can be killed, every fault of a
//! gateway, of Prometheus and of the record, with what must hold whatever happens.

use super::counting::{Measured, Part, Series, Side};
use super::document::Orders;
use super::document::{Moment, Release, Table, told};
use super::machine::Question;
use super::machine::{Answer, Situation, TRANSITIONS, Target, decide, transition};
use super::phase::{Event, Phase};
use super::plan::{Plan, Step, read};
use super::runner::{Outcome, World, run};
use super::trouble::Trouble;
use crate::source::Source;
use proptest::prelude::*;

/// A world whose clock goes as fast as it is asked to.
struct Model {
    now: u64,
    gateways: Vec<Table>,
    record: Option<Release>,
    orders: Orders,
    /// Shares of errors: stable, canary.
    rates: (f64, f64),
    /// Requests a second.
    traffic: f64,
    counters: [[f64; 2]; 2],
    answer: Answer,
    /// The runner dies at this operation: before its effect, or after it.
    death: Option<(usize, bool)>,
    operations: usize,
    dead: bool,
    /// Whether gateways and Prometheus answer, by the time in milliseconds.
    gateways_away: std::ops::Range<u64>,
    prometheus_away: std::ops::Range<u64>,
    /// When someone else changes the weights.
    intruder: Option<u64>,
    /// The largest share that the canary had.
    most: u64,
    /// Requests that the canary got before it was verified.
    early: f64,
    plan_shares: Vec<u64>,
}

impl Model {
    fn new(plan: &Plan) -> Self {
        let table = Table::from([("blue".to_owned(), 10_000), ("green".to_owned(), 0)]);
        Self {
            now: 1_000_000,
            gateways: vec![table; plan.gateways.len()],
            record: None,
            orders: Orders::default(),
            rates: (0.01, 0.01),
            traffic: 2_000.0,
            counters: [[0.0; 2]; 2],
            answer: Answer::Yes,
            death: None,
            operations: 0,
            dead: false,
            gateways_away: 0..0,
            prometheus_away: 0..0,
            intruder: None,
            most: 0,
            early: 0.0,
            plan_shares: (0..plan.steps.len())
                .filter_map(|step| plan.share_at(step))
                .map(|share| share.in_hundredths())
                .collect(),
        }
    }

    /// An operation with an effect, in which the runner may die.
    fn effect<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> Result<T, Trouble> {
        let killed = || Err(Trouble::Lost("killed".to_owned()));
        if self.dead {
            return killed();
        }
        self.operations += 1;
        match self.death {
            Some((at, after)) if at == self.operations => {
                self.dead = true;
                if after {
                    act(self);
                }
                killed()
            }
            _ => Ok(act(self)),
        }
    }

    fn away(&self, range: &std::ops::Range<u64>) -> bool {
        range.contains(&self.now)
    }

    fn pass(&mut self, milliseconds: u64) {
        let seconds = milliseconds as f64 / 1_000.0;
        let each = self.traffic * seconds / self.gateways.len() as f64;
        for table in &self.gateways {
            let share = table["green"] as f64 / (table["green"] + table["blue"]) as f64;
            for (side, share, rate) in [(0, 1.0 - share, self.rates.0), (1, share, self.rates.1)] {
                self.counters[side][0] += each * share * (1.0 - rate);
                self.counters[side][1] += each * share * rate;
            }
            let verified = self.record.as_ref().is_some_and(|release| {
                release.doing.as_ref().is_some_and(|doing| doing.share > 0)
                    || release.history.iter().any(|entry| entry.event == Event::Verified)
            });
            if !verified {
                self.early += each * share;
            }
        }
        self.now += milliseconds;
        if self.intruder.is_some_and(|at| self.now >= at) {
            self.intruder = None;
            for table in &mut self.gateways {
                *table = Table::from([("blue".to_owned(), 4_300), ("green".to_owned(), 5_700)]);
            }
        }
    }
}

impl World for Model {
    fn now(&self) -> Moment {
        Moment(self.now)
    }

    async fn rest(&mut self, milliseconds: u64) {
        self.pass(milliseconds);
        assert!(self.now < 100_000_000, "it never ends: {:?}", self.record);
    }

    async fn save(&mut self, release: &Release) -> Result<(), Trouble> {
        let release = release.clone();
        self.effect(|model| {
            // The record never says what was not done.
            if release.doing.is_none() && release.phase != Phase::Stopped {
                for (found, table) in release.found.iter().zip(&model.gateways) {
                    let recorded = release.table_at(found, release.share);
                    let is_foreign = table["blue"] == 4_300;
                    assert!(
                        recorded == *table || is_foreign,
                        "{} {}",
                        told(&recorded),
                        told(table)
                    );
                }
            }
            model.record = Some(release);
        })
    }

    async fn orders(&mut self) -> Result<Orders, Trouble> {
        Ok(self.orders.clone())
    }

    async fn weights(&mut self) -> Result<Vec<Table>, Trouble> {
        if self.away(&self.gateways_away) {
            return Err(Trouble::Away("the gateway does not answer".to_owned()));
        }
        Ok(self.gateways.clone())
    }

    async fn set(&mut self, gateway: usize, from: &[Table], to: &Table) -> Result<(), Trouble> {
        if self.away(&self.gateways_away) {
            return Err(Trouble::Away("the gateway does not answer".to_owned()));
        }
        if !from.contains(&self.gateways[gateway]) {
            return Err(Trouble::Wrong(format!("found {}", told(&self.gateways[gateway]))));
        }
        if self.gateways[gateway] == *to {
            return Ok(());
        }
        self.effect(|model| {
            let doing = model.record.as_ref().and_then(|release| release.doing.as_ref());
            let doing = doing.expect("a change that is written down before it is done");
            // The canary never has more than its step.
            let green = to["green"];
            assert!(green <= doing.share, "{green}");
            assert!(green == 0 || green == 10_000 || model.plan_shares.contains(&green));
            model.most = model.most.max(green);
            model.gateways[gateway] = to.clone();
        })
    }

    async fn measure(&mut self, _: bool) -> Result<Measured, Trouble> {
        if self.away(&self.prometheus_away) {
            return Err(Trouble::Away("Prometheus does not answer".to_owned()));
        }
        let mut series = Vec::new();
        for (side, kind) in [(0, Side::Stable), (1, Side::Canary)] {
            for (part, what) in [(0, Part::Good), (1, Part::Bad)] {
                series.push(Series {
                    key: format!("{side} {part}"),
                    measure: "errors",
                    side: kind,
                    part: what,
                    samples: vec![(Moment(self.now), self.counters[side][part].floor())],
                });
            }
        }
        let shown =
            self.gateways.iter().map(|one| (one["blue"] as f64, one["green"] as f64)).collect();
        Ok(Measured { series, shown })
    }

    async fn ask(&mut self, _: &Release, question: Question) -> Answer {
        use super::plan::Place;
        match question {
            Question::Hooks(Place::Rollback) => Answer::NotYet,
            _ => self.answer.clone(),
        }
    }

    fn show(&mut self, _: &Release, _: Option<&str>) {}
}

fn plan(steps: &str, analysis: &str) -> Plan {
    let text = format!(
        "release: r\nrule: shop\nstable: blue\ncanary: green\ngateways: [{{file: a}}, {{file: b}}]\n{steps}\nanalysis: {analysis}\n"
    );
    read(&Source::new("plan.yaml", text), &|_| None).expect("a plan")
}

fn usual() -> Plan {
    plan(
        "steps: [{weight: 5, for: 20s}, {weight: 50, for: 20s}]",
        "{prometheus: 'http://prometheus', every: 2s, errors: {margin: 1}}",
    )
}

/// One runner's life; what is left is in the record.
fn live(model: &mut Model, plan: &Plan, leave: bool) -> Outcome {
    let mut release =
        model.record.clone().unwrap_or_else(|| Release::new(plan, 1, Moment(model.now)));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(run(model, plan, &mut release, leave))
}

fn recorded(model: &Model) -> &Release {
    model.record.as_ref().expect("a record")
}

fn greens(model: &Model) -> Vec<u64> {
    model.gateways.iter().map(|table| table["green"]).collect()
}

#[test]
fn a_good_canary_is_promoted() {
    let (plan, mut model) = (usual(), Model::new(&usual()));
    assert_eq!(live(&mut model, &plan, false), Outcome::Ended);
    let release = recorded(&model);
    assert_eq!((release.phase, greens(&model)), (Phase::Promoted, vec![10_000; 2]));
    let events: Vec<Event> = release.history.iter().map(|entry| entry.event).collect();
    use Event::*;
    assert_eq!(
        events,
        [Begun, Confirmed, Verified, Settled, NextStep, Settled, StepsDone, Confirmed, Finished]
    );
    assert_eq!(model.early, 0.0);
}

#[test]
fn a_bad_canary_is_rolled_back_at_its_first_step() {
    let (plan, mut model) = (usual(), Model::new(&usual()));
    model.rates.1 = 0.06;
    live(&mut model, &plan, false);
    let release = recorded(&model);
    assert_eq!((release.phase, greens(&model)), (Phase::RolledBack, vec![0; 2]));
    assert_eq!(model.most, 500);
    let began = release.history.iter().find(|entry| entry.event == Event::Verified);
    let took = release
        .history
        .iter()
        .find(|entry| entry.event == Event::Worse)
        .map(|worse| worse.at.0 - began.expect("a first step").at.0);
    assert!(took.is_some_and(|took| took < 20_000), "{took:?}");
}

#[test]
fn an_unverified_canary_gets_nothing() {
    let (plan, mut model) = (usual(), Model::new(&usual()));
    model.answer = Answer::No("status 500".to_owned());
    live(&mut model, &plan, false);
    assert_eq!((recorded(&model).phase, model.most), (Phase::Refused, 0));
}

#[test]
fn without_data_nothing_is_promoted() {
    let (plan, mut model) = (usual(), Model::new(&usual()));
    model.prometheus_away = 1_020_000..1_400_000;
    live(&mut model, &plan, false);
    let release = recorded(&model);
    assert_eq!(release.phase, Phase::Promoted);
    let away = 1_030_000..1_400_000;
    assert!(release.history.iter().all(|entry| !away.contains(&entry.at.0)), "held");
    // A gateway that nobody asks anything: for ever held, here until someone aborts.
    let mut model = Model::new(&plan);
    model.traffic = 0.0;
    model.orders.abort = true;
    live(&mut model, &plan, false);
    assert_eq!(recorded(&model).phase, Phase::Refused);
}

#[test]
fn undecided_is_what_the_plan_says() {
    for (word, phase) in [("continue", Phase::Promoted), ("rollback", Phase::RolledBack)] {
        let analysis = format!(
            "{{prometheus: 'http://p', every: 2s, errors: {{margin: 1}}, deadline: 60s, undecided: {word}}}"
        );
        let plan = plan("steps: [{weight: 5, for: 20s}]", &analysis);
        let mut model = Model::new(&plan);
        // At the margin there is no verdict.
        model.rates = (0.01, 0.02);
        model.traffic = 200.0;
        live(&mut model, &plan, false);
        assert_eq!(recorded(&model).phase, phase, "{word}");
    }
}

#[test]
fn an_approval_is_waited_for() {
    let plan = plan(
        "steps: [{weight: 5, for: 4s}, {pause: approval}, {weight: 50, for: 4s}]",
        "{prometheus: 'http://p', every: 2s, errors: {margin: 1}}",
    );
    let mut model = Model::new(&plan);
    assert_eq!(live(&mut model, &plan, true), Outcome::Waiting);
    assert_eq!(greens(&model), [500; 2]);
    assert_eq!(live(&mut model, &plan, true), Outcome::Waiting);
    // Of another step.
    model.orders.approved = vec![0];
    assert_eq!(live(&mut model, &plan, true), Outcome::Waiting);
    model.orders.approved = vec![1];
    assert_eq!(live(&mut model, &plan, true), Outcome::Ended);
    assert_eq!(recorded(&model).phase, Phase::Promoted);
    // The canary is watched while it waits.
    let mut model = Model::new(&plan);
    live(&mut model, &plan, true);
    model.rates.1 = 0.2;
    live(&mut model, &plan, false);
    assert_eq!(recorded(&model).phase, Phase::RolledBack);
}

#[test]
fn blue_green_is_judged_by_what_was_before() {
    let plan = plan("blue_green: {for: 20s}", "{prometheus: 'http://p', every: 2s}");
    for (rate, phase) in [(0.01, Phase::Promoted), (0.05, Phase::RolledBack)] {
        let mut model = Model::new(&plan);
        model.rates.1 = rate;
        model.orders.paused = false;
        live(&mut model, &plan, false);
        assert_eq!(recorded(&model).phase, phase);
    }
}

#[test]
fn someone_elses_weights_stay() {
    let (plan, mut model) = (usual(), Model::new(&usual()));
    model.intruder = Some(1_015_000);
    live(&mut model, &plan, false);
    let release = recorded(&model);
    assert_eq!((release.phase, greens(&model)), (Phase::Stopped, vec![5_700; 2]));
    assert!(release.why.contains("found blue 43, green 57"), "{}", release.why);
}

#[test]
fn a_canary_that_has_weight_already_is_refused() {
    let (plan, mut model) = (usual(), Model::new(&usual()));
    model.gateways[1].insert("green".to_owned(), 100);
    live(&mut model, &plan, false);
    assert_eq!(recorded(&model).phase, Phase::Refused);
    assert_eq!(greens(&model), [0, 100]);
}

#[test]
fn a_gateway_that_is_away_is_waited_for() {
    let plan = usual();
    for start in (1_000_000..1_060_000).step_by(2_000) {
        for rate in [0.01, 0.2] {
            let mut model = Model::new(&plan);
            model.rates.1 = rate;
            model.gateways_away = start..start + 60_000;
            live(&mut model, &plan, false);
            let phase = if rate < 0.1 { Phase::Promoted } else { Phase::RolledBack };
            assert_eq!(recorded(&model).phase, phase, "away at {start}");
        }
    }
}

/// A runner is killed at each of its effects in turn, before it and after it; the next one goes on.
#[test]
fn whoever_goes_on_after_a_killed_runner_ends_right() {
    let plan = usual();
    for (rate, abort) in [(0.01, false), (0.2, false), (0.01, true)] {
        let mut deaths = 0;
        loop {
            let mut alive = false;
            for after in [false, true] {
                let mut model = Model::new(&plan);
                model.rates.1 = rate;
                model.death = Some((deaths + 1, after));
                let outcome = live(&mut model, &plan, false);
                alive = !model.dead;
                if alive {
                    break;
                }
                assert!(matches!(outcome, Outcome::Lost(_)), "{outcome:?}");
                model.dead = false;
                model.death = None;
                model.orders.abort = abort;
                model.pass(7_000);
                live(&mut model, &plan, false);
                let release = recorded(&model);
                let ends: &[Phase] = match (rate < 0.1, abort) {
                    (true, false) => &[Phase::Promoted],
                    (false, _) => &[Phase::RolledBack],
                    // What was decided before the abort stays.
                    (true, true) => &[Phase::RolledBack, Phase::Refused, Phase::Promoted],
                };
                assert!(ends.contains(&release.phase), "{deaths} {after}: {}", release.phase);
                let all = if release.phase == Phase::Promoted { 10_000 } else { 0 };
                assert_eq!(greens(&model), [all; 2], "{deaths} {after}");
                assert_eq!(release.doing, None);
            }
            if alive {
                break;
            }
            deaths += 1;
        }
        assert!(deaths > 10, "{deaths} places to die at");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever happens together: killed runners, absences, orders, any damage. [`Model`] asserts
    /// on every change that the canary has no more than its step, that nothing is done that is not
    /// written down before, and that the record says nothing that was not done.
    #[test]
    fn what_must_hold_holds(
        deaths in prop::collection::vec((1_usize..40, any::<bool>()), 0..5),
        damage in prop::sample::select(vec![0.0, 0.0, 0.005, 0.05, 0.3]),
        gateways_away in 0_u64..120_000,
        prometheus_away in 0_u64..120_000,
        abort: bool,
        promote: bool,
        verified in prop::sample::select(vec![true, true, true, false]),
    ) {
        let plan = usual();
        let mut model = Model::new(&plan);
        model.rates.1 += damage;
        model.gateways_away = 1_000_000 + gateways_away..1_010_000 + gateways_away;
        model.prometheus_away = 1_000_000 + prometheus_away..1_030_000 + prometheus_away;
        if !verified {
            model.answer = Answer::No("no".to_owned());
        }
        for death in deaths {
            model.operations = 0;
            model.death = Some(death);
            live(&mut model, &plan, false);
            model.dead = false;
            model.pass(1_000);
        }
        model.death = None;
        model.orders.abort = abort;
        model.orders.promote = promote;
        live(&mut model, &plan, false);
        let release = recorded(&model);
        let all = if release.phase == Phase::Promoted { 10_000 } else { 0 };
        prop_assert!(release.phase.is_end() && release.phase != Phase::Stopped, "{}", release.why);
        prop_assert_eq!(greens(&model), vec![all; 2]);
        prop_assert_eq!(model.early, 0.0);
        if !verified {
            prop_assert_eq!(model.most, 0);
        }
    }

    /// Every decision has its line in the table.
    #[test]
    fn every_decision_is_a_transition(
        phase in prop::sample::select(Phase::ALL.to_vec()),
        step in 0_usize..3,
        flags: [bool; 8],
        answer in 0_u8..3,
        watched in 0_u64..100_000,
    ) {
        let plan = usual();
        let mut release = Release::new(&plan, 1, Moment(0));
        (release.phase, release.step) = (phase, step);
        release.watch.watched = watched;
        let text = |flag: bool| flag.then(|| "why".to_owned());
        let approved = if flags[0] { vec![step] } else { Vec::new() };
        let now = Situation {
            orders: Orders { approved, paused: flags[1], abort: flags[2], promote: flags[3] },
            foreign: text(flags[4]),
            unfit: text(flags[5]),
            answer: [Answer::NotYet, Answer::Yes, Answer::No("no".to_owned())][usize::from(answer)].clone(),
            objection: text(flags[6]),
            is_seen: flags[7],
            is_known: flags[0],
        };
        if let Some((event, _)) = decide(&plan, &release, &now) {
            prop_assert!(transition(phase, event).is_some(), "{phase} {event:?}");
            prop_assert!(!phase.is_end());
        }
    }
}

#[test]
fn the_transitions_are_a_machine() {
    for (index, one) in TRANSITIONS.iter().enumerate() {
        assert!(!one.from.is_end());
        let same = |other: &&super::machine::Transition| {
            (other.from, other.event) == (one.from, one.event)
        };
        assert_eq!(TRANSITIONS.iter().filter(same).count(), 1, "{index}");
        // Only these touch a gateway, and they lead where the change is waited for.
        let touches = one.target != Target::Same;
        let waits = matches!(one.to, Phase::Settling | Phase::Promoting | Phase::RollingBack);
        assert_eq!(touches, waits, "{one:?}");
        // Going back is going back to nothing.
        assert_eq!(one.target == Target::Nothing, one.to == Phase::RollingBack, "{one:?}");
    }
    for phase in Phase::ALL {
        let reached = TRANSITIONS.iter().any(|one| one.to == phase);
        assert!(reached || phase == Phase::Created, "{phase}");
        let left = TRANSITIONS.iter().any(|one| one.from == phase);
        assert_eq!(left, !phase.is_end(), "{phase}");
        // Whoever has traffic on the canary can always go back.
        let back = TRANSITIONS.iter().any(|one| one.from == phase && one.target == Target::Nothing);
        assert_eq!(back, phase.is_watched(), "{phase}");
    }
    let weights = usual().steps.iter().filter(|step| matches!(step, Step::Weight { .. })).count();
    assert_eq!(weights, 2);
}
