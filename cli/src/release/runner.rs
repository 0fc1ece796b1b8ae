//! Drives a release: observes, lets [`decide`] decide, acts and records, over and over.
//!
//! Every change of weights is written down before it is begun (`doing`) and after it has been read
//! back. Whoever goes on after a runner that was killed does the same change again first, which does
//! nothing where it was done.

use super::counting::{self, Look, Measured};
use super::document::{Doing, Entry, Moment, Orders, Point, Release, Table, told};
use super::evidence::mean_worse;
use super::machine::{Answer, Question, Situation, Target, aim, decide, transition};
use super::phase::{Event, Phase};
use super::plan::{Place, Plan};
use super::trouble::Trouble;

/// What a runner sees and moves. All of it may fail, and may be done twice.
pub(crate) trait World {
    fn now(&self) -> Moment;
    /// Waits until the next look, or less where something wakes it.
    async fn rest(&mut self, milliseconds: u64);
    /// Writes the release down, with its environments.
    async fn save(&mut self, release: &Release) -> Result<(), Trouble>;
    async fn orders(&mut self) -> Result<Orders, Trouble>;
    /// The weights of the rule in each gateway, in the order of the plan.
    async fn weights(&mut self) -> Result<Vec<Table>, Trouble>;
    /// Sets the weights of one gateway, if they are one of `from`, and reads them back.
    async fn set(&mut self, gateway: usize, from: &[Table], to: &Table) -> Result<(), Trouble>;
    /// Asks Prometheus.
    async fn measure(&mut self, is_first: bool) -> Result<Measured, Trouble>;
    /// Asks a phase's question once more; what was answered is remembered as long as the phase lasts.
    async fn ask(&mut self, release: &Release, question: Question) -> Answer;
    /// Shows what there is to see.
    fn show(&mut self, release: &Release, trouble: Option<&str>);
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The release is at an end.
    Ended,
    /// It waits for an approval, and was told not to.
    Waiting,
    /// Another runner has it.
    Lost(String),
}

/// Runs a release until its end.
pub(crate) async fn run(
    world: &mut impl World,
    plan: &Plan,
    release: &mut Release,
    leave_at_approval: bool,
) -> Outcome {
    let mut runner =
        Runner { world, plan, release, looked: None, trouble: None, is_approved: false };
    loop {
        match runner.turn().await {
            Ok(()) => {}
            Err(Trouble::Lost(why)) => return Outcome::Lost(why),
            Err(trouble) => runner.trouble = Some(trouble.text().to_owned()),
        }
        runner.world.show(runner.release, runner.trouble.as_deref());
        if runner.release.phase.is_end() {
            return Outcome::Ended;
        }
        if leave_at_approval && runner.release.phase == Phase::Approval && !runner.is_approved {
            return Outcome::Waiting;
        }
        runner.world.rest(plan.every.0).await;
    }
}

struct Runner<'r, W> {
    world: &'r mut W,
    plan: &'r Plan,
    release: &'r mut Release,
    /// When Prometheus was last asked.
    looked: Option<Moment>,
    /// What did not work in this turn.
    trouble: Option<String>,
    /// Whether this step needs nobody's approval any more.
    is_approved: bool,
}

impl<W: World> Runner<'_, W> {
    /// Observes, decides, acts and records, once.
    async fn turn(&mut self) -> Result<(), Trouble> {
        self.trouble = None;
        let mut now = Situation { orders: self.orders().await?, ..Situation::default() };
        let looked = self.look(&mut now).await?;
        if let Some(doing) = self.release.doing.clone() {
            if !doing.event.is_back() {
                self.give_up(&doing, &now).await?;
            }
            return self.finish_doing().await;
        }
        self.observe_weights(&mut now).await?;
        if decide(self.plan, self.release, &now).is_none() {
            self.ask(&mut now).await;
        }
        match decide(self.plan, self.release, &now) {
            Some((event, why)) => self.begin(event, why).await?,
            None if looked => self.world.save(self.release).await?,
            None => return Ok(()),
        }
        self.finish_doing().await
    }

    /// Going back comes before a change that has not succeeded everywhere yet. Some gateways may have
    /// it: so it is left from where the change leads, not from where it began.
    async fn give_up(&mut self, doing: &Doing, now: &Situation) -> Result<(), Trouble> {
        let Some(change) = transition(self.release.phase, doing.event) else { return Ok(()) };
        let (step, _) = aim(self.plan, self.release, change);
        let mut ahead = Release { phase: change.to, step, doing: None, ..self.release.clone() };
        let Some((event, why)) =
            decide(self.plan, &ahead, now).filter(|(event, _)| event.is_back())
        else {
            return Ok(());
        };
        ahead.history.push(Entry {
            at: self.world.now(),
            from: self.release.phase,
            event: doing.event,
            to: change.to,
            step,
            share: self.release.share,
            why: "begun, and given up before all gateways had it".to_owned(),
        });
        let kept = std::mem::replace(self.release, ahead);
        self.begin(event, why).await.inspect_err(|_| *self.release = kept)
    }

    async fn orders(&mut self) -> Result<Orders, Trouble> {
        let orders = self.world.orders().await?;
        self.is_approved = orders.approved.contains(&self.release.step);
        if self.release.paused != orders.paused {
            self.release.paused = orders.paused;
            self.world.save(self.release).await?;
        }
        Ok(orders)
    }

    /// Asks Prometheus if it is time to; whether there was anything new.
    async fn look(&mut self, now: &mut Situation) -> Result<bool, Trouble> {
        let Some(analysis) = &self.plan.analysis else {
            return Ok(self.clock(now));
        };
        let moment = self.world.now();
        let is_due = self.looked.is_none_or(|last| moment.0 >= last.0 + analysis.every.0);
        if !is_due && self.release.phase != Phase::Settling {
            // What was known a moment ago still is.
            now.is_known = self.looked.is_some();
            return Ok(false);
        }
        let is_first = self.release.watch.newest.is_none();
        let measured = match self.world.measure(is_first).await {
            Ok(measured) => measured,
            Err(Trouble::Lost(why)) => return Err(Trouble::Lost(why)),
            Err(trouble) => {
                self.looked = None;
                self.trouble = Some(trouble.text().to_owned());
                if let (Trouble::Wrong(why), Phase::Created) = (&trouble, self.release.phase) {
                    now.unfit = Some(why.clone());
                }
                return Ok(false);
            }
        };
        let doing = self.release.doing.as_ref().is_some_and(|doing| doing.share > 0);
        let is_given = self.release.share > 0 || doing;
        let longest = 3 * analysis.every.0.max(5_000);
        let watch = &mut self.release.watch;
        let look = counting::take(watch, &measured, longest, is_given);
        if look.is_fresh {
            self.looked = Some(moment);
            if matches!(self.release.phase, Phase::Watching | Phase::Approval) {
                watch.watched += look.time;
                watch.answers += look.canary;
            }
            self.plot(moment);
        }
        now.is_known = self
            .looked
            .is_some_and(|last| moment.0.saturating_sub(last.0) <= 3 * analysis.every.0.max(5_000));
        now.is_seen = self.is_shown(&measured, look);
        Ok(look.is_fresh)
    }

    /// Without an analysis the time is the clock's.
    fn clock(&mut self, now: &mut Situation) -> bool {
        let moment = self.world.now();
        let before = self.release.watch.newest.replace(moment);
        if self.release.phase == Phase::Watching {
            let passed = before.map_or(0, |before| moment.0.saturating_sub(before.0));
            self.release.watch.watched += passed.min(3 * self.plan.every.0.max(5_000));
        }
        now.is_seen = true;
        false
    }

    /// Whether the gateways' metrics show the weights: by the weights themselves where a gateway
    /// tells them, or else by whether the canary gets requests.
    fn is_shown(&self, measured: &Measured, look: Look) -> bool {
        let Some((before, newest)) = look.between else { return false };
        let since = self.release.since;
        if measured.shown.is_empty() {
            // All that was counted has to be from after the change.
            return before >= since && (look.canary > 0.0) == (self.release.share > 0);
        }
        if newest <= since {
            return false;
        }
        let Some(found) = self.release.found.first() else { return true };
        let table = self.release.table_at(found, self.release.share);
        let of = |name: &String| table.get(name).copied().unwrap_or_default() as f64;
        let wanted = (of(&self.release.stable), of(&self.release.canary));
        // A gateway may have another `weight_total`: the ratio is what matters.
        let agrees = |(stable, canary): &(f64, f64)| {
            (stable * wanted.1 - canary * wanted.0).abs()
                < 1e-6 * (1.0 + stable + canary) * (1.0 + wanted.0 + wanted.1)
        };
        measured.shown.iter().all(agrees)
    }

    fn plot(&mut self, at: Moment) {
        let watch = &mut self.release.watch;
        let logs: Vec<(f64, f64)> = watch.measures.values().map(|one| one.logs()).collect();
        let rates = watch
            .measures
            .iter()
            .map(|(name, one)| (name.clone(), (one.total.stable.rate(), one.total.canary.rate())))
            .collect();
        let not_worse = logs.iter().map(|(_, not_worse)| *not_worse).fold(f64::MAX, f64::min);
        let evidence = (mean_worse(&logs), not_worse);
        watch.points.push(Point { at, share: self.release.share, rates, evidence });
        // Half of the points show as much: a document may not grow without end.
        if watch.points.len() > 600 {
            let mut keep = false;
            watch.points.retain(|_| {
                keep = !keep;
                keep
            });
        }
    }

    /// Compares the weights with what they should be.
    async fn observe_weights(&mut self, now: &mut Situation) -> Result<(), Trouble> {
        let phase = self.release.phase;
        let weights = match self.world.weights().await {
            Ok(weights) => weights,
            Err(Trouble::Wrong(why)) if phase == Phase::Created => {
                now.unfit = Some(why);
                return Ok(());
            }
            Err(Trouble::Wrong(why)) => {
                now.foreign = Some(why);
                return Ok(());
            }
            Err(trouble) => return Err(trouble),
        };
        if phase == Phase::Created {
            let has_some =
                |table: &&Table| table.get(&self.release.canary).is_some_and(|weight| *weight > 0);
            if let Some(table) = weights.iter().find(has_some) {
                now.unfit = Some(format!(
                    "found {}; accepted is a canary without any weight yet",
                    told(table)
                ));
            }
            let both_nothing = |table: &&Table| {
                self.release
                    .table_at(table, 10_000)
                    .get(&self.release.canary)
                    .is_none_or(|weight| *weight == 0)
            };
            if let Some(table) = weights.iter().find(both_nothing) {
                now.unfit =
                    Some(format!("found {}; accepted is a stable with a weight", told(table)));
            }
            if now.unfit.is_none() {
                self.release.found = weights;
                now.is_seen = true;
            }
            return Ok(());
        }
        for (index, (found, table)) in self.release.found.iter().zip(&weights).enumerate() {
            let expected = self.release.table_at(found, self.release.share);
            if *table != expected {
                now.foreign = Some(format!(
                    "{}: found {}; the release had set {}",
                    self.plan.gateways.get(index).map(ToString::to_string).unwrap_or_default(),
                    told(table),
                    told(&expected)
                ));
            }
        }
        Ok(())
    }

    /// Asks what the phase has to know.
    async fn ask(&mut self, now: &mut Situation) {
        let question = match self.release.phase {
            Phase::Confirming => Question::Hooks(Place::ConfirmRollout),
            Phase::Verifying => Question::Verification,
            Phase::Settling if now.is_seen => Question::Hooks(Place::Rollout),
            Phase::ConfirmingPromotion if !now.orders.paused => {
                Question::Hooks(Place::ConfirmPromotion)
            }
            Phase::Promoting | Phase::RollingBack => Question::Hooks(Place::PostRollout),
            Phase::Watching | Phase::Approval => {
                if !self.plan.calls(Place::Rollback).is_empty() {
                    let answer =
                        self.world.ask(self.release, Question::Hooks(Place::Rollback)).await;
                    if answer == Answer::Yes {
                        now.objection = Some("a hook `rollback` asks for it".to_owned());
                    }
                }
                return;
            }
            _ => return,
        };
        now.answer = self.world.ask(self.release, question).await;
    }

    /// Writes down what is going to be done.
    async fn begin(&mut self, event: Event, why: String) -> Result<(), Trouble> {
        let Some(transition) = transition(self.release.phase, event) else { return Ok(()) };
        let (_, share) = aim(self.plan, self.release, transition);
        let before = self.release.doing.replace(Doing { event, share, why });
        if transition.target == Target::Same {
            // Nothing is done to a gateway: the transition is written down at once.
            return Ok(());
        }
        // What is not written down is not begun.
        let saved = self.world.save(self.release).await;
        if saved.is_err() {
            self.release.doing = before;
        }
        saved
    }

    /// Does what was begun, reads it back, and writes it down.
    async fn finish_doing(&mut self) -> Result<(), Trouble> {
        let Some(doing) = self.release.doing.clone() else { return Ok(()) };
        let Some(transition) = transition(self.release.phase, doing.event) else {
            self.release.doing = None;
            return Ok(());
        };
        let (step, _) = aim(self.plan, self.release, transition);
        if transition.target != Target::Same
            && let Err(trouble) = self.set_all(doing.share).await
        {
            let Trouble::Wrong(found) = trouble else { return Err(trouble) };
            return self.stop(found).await;
        }
        let now = self.world.now();
        self.release.history.push(Entry {
            at: now,
            from: self.release.phase,
            event: doing.event,
            to: transition.to,
            step,
            share: doing.share,
            why: doing.why.clone(),
        });
        if step != self.release.step || transition.to == Phase::Settling {
            self.release.watch.watched = 0;
            self.release.watch.answers = 0.0;
        }
        self.release.doing = None;
        self.release.phase = transition.to;
        self.release.step = step;
        self.release.share = doing.share;
        self.release.since = now;
        if !doing.why.is_empty() {
            self.release.why = doing.why;
        }
        if transition.to.is_end() {
            self.release.ended = Some(now);
        }
        self.world.save(self.release).await
    }

    /// Sets all gateways; those that have the weights already are left alone. From any share that
    /// the release itself may have left there: what is not done in one gateway may be in another.
    async fn set_all(&mut self, share: u64) -> Result<(), Trouble> {
        for (index, found) in self.release.found.clone().iter().enumerate() {
            let to = self.release.table_at(found, share);
            let mut from = vec![self.release.table_at(found, self.release.share), to.clone()];
            // A change that was begun and then given up for going back.
            from.extend(
                (0..self.plan.steps.len())
                    .filter_map(|step| self.plan.share_at(step))
                    .map(|share| self.release.table_at(found, share.in_hundredths())),
            );
            from.push(self.release.table_at(found, 10_000));
            self.world.set(index, &from, &to).await?;
        }
        Ok(())
    }

    /// Someone else has changed the weights in the middle of a change.
    async fn stop(&mut self, found: String) -> Result<(), Trouble> {
        let event = Event::WeightsChanged;
        let from = self.release.phase;
        let now = self.world.now();
        self.release.history.push(Entry {
            at: now,
            from,
            event,
            to: Phase::Stopped,
            step: self.release.step,
            share: self.release.share,
            why: found.clone(),
        });
        self.release.doing = None;
        self.release.phase = Phase::Stopped;
        self.release.why = found;
        self.release.ended = Some(now);
        self.world.save(self.release).await
    }
}
