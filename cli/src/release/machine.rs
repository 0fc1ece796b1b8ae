//! The states of a release, and every way from one to the next, as data.
//!
//! [`TRANSITIONS`] says what may follow on what and what that does to the weights. [`decide`] says
//! which event has happened; `runner` acts and records.

use super::document::{Orders, Release};
use super::evidence::Verdict;
use super::phase::{Event, Phase};
use super::plan::{ALL, Place, Plan, Step, Undecided};

/// What the canary gets at a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// What it has.
    Same,
    /// The weight of the next step that has one.
    Step,
    All,
    Nothing,
}

/// A way from one phase to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transition {
    pub from: Phase,
    pub event: Event,
    pub target: Target,
    pub to: Phase,
}

const fn t(from: Phase, event: Event, target: Target, to: Phase) -> Transition {
    Transition { from, event, target, to }
}

/// All there is. An event that has no line for a phase does not happen in it.
pub(crate) const TRANSITIONS: &[Transition] = {
    use Event as E;
    use Phase as P;
    use Target::{All, Nothing, Same, Step};
    &[
        t(P::Created, E::Begun, Same, P::Confirming),
        t(P::Created, E::Unfit, Same, P::Refused),
        t(P::Created, E::Aborted, Same, P::Refused),
        t(P::Confirming, E::Confirmed, Same, P::Verifying),
        t(P::Confirming, E::Denied, Same, P::Refused),
        t(P::Confirming, E::Aborted, Same, P::Refused),
        t(P::Confirming, E::WeightsChanged, Same, P::Stopped),
        t(P::Verifying, E::Verified, Step, P::Settling),
        t(P::Verifying, E::VerificationFailed, Same, P::Refused),
        t(P::Verifying, E::Aborted, Same, P::Refused),
        t(P::Verifying, E::WeightsChanged, Same, P::Stopped),
        t(P::Settling, E::Settled, Same, P::Watching),
        t(P::Settling, E::Worse, Nothing, P::RollingBack),
        t(P::Settling, E::HookObjected, Nothing, P::RollingBack),
        t(P::Settling, E::Aborted, Nothing, P::RollingBack),
        t(P::Settling, E::PromotedByHand, All, P::Promoting),
        t(P::Settling, E::WeightsChanged, Same, P::Stopped),
        t(P::Watching, E::NextStep, Step, P::Settling),
        t(P::Watching, E::NeedsApproval, Same, P::Approval),
        t(P::Watching, E::StepsDone, Same, P::ConfirmingPromotion),
        t(P::Watching, E::Worse, Nothing, P::RollingBack),
        t(P::Watching, E::Undecided, Nothing, P::RollingBack),
        t(P::Watching, E::HookObjected, Nothing, P::RollingBack),
        t(P::Watching, E::Aborted, Nothing, P::RollingBack),
        t(P::Watching, E::PromotedByHand, All, P::Promoting),
        t(P::Watching, E::WeightsChanged, Same, P::Stopped),
        t(P::Approval, E::NextStep, Step, P::Settling),
        t(P::Approval, E::NeedsApproval, Same, P::Approval),
        t(P::Approval, E::StepsDone, Same, P::ConfirmingPromotion),
        t(P::Approval, E::Worse, Nothing, P::RollingBack),
        t(P::Approval, E::HookObjected, Nothing, P::RollingBack),
        t(P::Approval, E::Aborted, Nothing, P::RollingBack),
        t(P::Approval, E::PromotedByHand, All, P::Promoting),
        t(P::Approval, E::WeightsChanged, Same, P::Stopped),
        t(P::ConfirmingPromotion, E::Confirmed, All, P::Promoting),
        t(P::ConfirmingPromotion, E::Denied, Nothing, P::RollingBack),
        t(P::ConfirmingPromotion, E::Worse, Nothing, P::RollingBack),
        t(P::ConfirmingPromotion, E::HookObjected, Nothing, P::RollingBack),
        t(P::ConfirmingPromotion, E::Aborted, Nothing, P::RollingBack),
        t(P::ConfirmingPromotion, E::PromotedByHand, All, P::Promoting),
        t(P::ConfirmingPromotion, E::WeightsChanged, Same, P::Stopped),
        t(P::Promoting, E::Finished, Same, P::Promoted),
        t(P::Promoting, E::WeightsChanged, Same, P::Stopped),
        t(P::RollingBack, E::Finished, Same, P::RolledBack),
        t(P::RollingBack, E::WeightsChanged, Same, P::Stopped),
    ]
};

/// The transition that an event makes in a phase.
pub(crate) fn transition(from: Phase, event: Event) -> Option<Transition> {
    TRANSITIONS.iter().copied().find(|known| known.from == from && known.event == event)
}

/// What those who were asked have said, all of a phase's questions taken together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Answer {
    #[default]
    NotYet,
    Yes,
    No(String),
}

/// What is asked outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// The hooks of a place have to agree.
    Hooks(Place),
    /// The hooks `pre-rollout`, then the checks, then the verification service.
    Verification,
}

/// All that a decision depends on besides the plan and the release.
#[derive(Clone, Debug, Default)]
pub(crate) struct Situation {
    pub orders: Orders,
    /// The weights are not those that were set: what was found.
    pub foreign: Option<String>,
    /// Something that will not go away by itself, before anything has begun.
    pub unfit: Option<String>,
    /// What the phase's question has brought.
    pub answer: Answer,
    /// A hook `rollback` wants to go back.
    pub objection: Option<String>,
    /// Whether the gateways' metrics show the weights.
    pub is_seen: bool,
    /// Whether anything is known of the present: Prometheus answers and has new samples.
    pub is_known: bool,
}

/// What has happened, and why; none while there is nothing but to wait.
pub(crate) fn decide(plan: &Plan, release: &Release, now: &Situation) -> Option<(Event, String)> {
    let phase = release.phase;
    let allowed = |event: Event| transition(phase, event).is_some();
    let happened = |event: Event, why: &str| allowed(event).then(|| (event, why.to_owned()));
    if let Some(found) = &now.foreign
        && let Some(stop) = happened(Event::WeightsChanged, found)
    {
        return Some(stop);
    }
    if now.orders.abort
        && let Some(abort) = happened(Event::Aborted, "aborted by hand")
    {
        return Some(abort);
    }
    if phase.is_watched() {
        let verdict = plan.analysis.as_ref().map(|analysis| release.watch.verdict(analysis.alpha));
        if verdict == Some(Verdict::Worse) {
            return happened(Event::Worse, "the canary is worse than stable");
        }
        if let Some(objection) = &now.objection {
            return happened(Event::HookObjected, objection);
        }
    }
    if now.orders.promote
        && let Some(promotion) = happened(Event::PromotedByHand, "promoted by hand")
    {
        return Some(promotion);
    }
    match phase {
        Phase::Created => match &now.unfit {
            Some(why) => happened(Event::Unfit, why),
            None => now.is_seen.then_some((Event::Begun, String::new())),
        },
        Phase::Confirming => answered(now, Event::Confirmed, Event::Denied),
        Phase::Verifying => answered(now, Event::Verified, Event::VerificationFailed),
        Phase::Settling if now.is_seen => answered(now, Event::Settled, Event::HookObjected),
        Phase::ConfirmingPromotion if !now.orders.paused && may_go_on(plan, now) => {
            answered(now, Event::Confirmed, Event::Denied)
        }
        Phase::Watching if !now.orders.paused => step_over(plan, release, now),
        Phase::Approval
            if !now.orders.paused
                && now.orders.approved.contains(&release.step)
                && may_go_on(plan, now) =>
        {
            Some((next(plan, release), "approved".to_owned()))
        }
        Phase::Promoting | Phase::RollingBack => {
            (now.answer != Answer::NotYet).then_some((Event::Finished, String::new()))
        }
        _ => None,
    }
}

fn answered(now: &Situation, yes: Event, no: Event) -> Option<(Event, String)> {
    match &now.answer {
        Answer::NotYet => None,
        Answer::Yes => Some((yes, String::new())),
        Answer::No(why) => Some((no, why.clone())),
    }
}

/// What is not known is not acted on, unless the plan goes by the clock alone.
fn may_go_on(plan: &Plan, now: &Situation) -> bool {
    plan.analysis.is_none() || now.is_known
}

fn step_over(plan: &Plan, release: &Release, now: &Situation) -> Option<(Event, String)> {
    let Some(Step::Weight { watch, .. }) = plan.step(release.step) else {
        return Some((next(plan, release), String::new()));
    };
    let watched = release.watch.watched;
    if watched < watch.0 {
        return None;
    }
    let Some(analysis) = &plan.analysis else {
        return Some((next(plan, release), "the step's time is over".to_owned()));
    };
    if !now.is_known || release.watch.answers <= 0.0 {
        return None;
    }
    if release.watch.verdict(analysis.alpha) == Verdict::NotWorse {
        return Some((next(plan, release), "the canary is not worse than stable".to_owned()));
    }
    if watched < watch.0.saturating_add(analysis.deadline.0) {
        return None;
    }
    let why = format!("no verdict {} after the step's time", analysis.deadline);
    match analysis.undecided {
        Undecided::Hold => None,
        Undecided::Continue => Some((next(plan, release), why)),
        Undecided::Rollback => Some((Event::Undecided, why)),
    }
}

/// What follows on a step that is over.
fn next(plan: &Plan, release: &Release) -> Event {
    match plan.step(release.step + 1) {
        Some(Step::Weight { .. }) => Event::NextStep,
        Some(Step::Approval) => Event::NeedsApproval,
        None => Event::StepsDone,
    }
}

/// The step and the canary's share after a transition.
pub(crate) fn aim(plan: &Plan, release: &Release, transition: Transition) -> (usize, u64) {
    let advances = matches!(transition.event, Event::NextStep | Event::NeedsApproval);
    let step = if advances { release.step + 1 } else { release.step };
    let share = match transition.target {
        Target::Same => release.share,
        Target::Step => plan.share_at(step).map_or(release.share, |share| share.in_hundredths()),
        Target::All => ALL.in_hundredths(),
        Target::Nothing => 0,
    };
    (step, share)
}
