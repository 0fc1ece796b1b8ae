//! Where a release can be, and what can happen to it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a release is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Phase {
    /// Written down; nothing has happened.
    Created,
    /// Asks the hooks `confirm-rollout`.
    Confirming,
    /// Asks the hooks `pre-rollout`, the checks and the verification service.
    Verifying,
    /// The weights of a step are set; they are not seen everywhere yet.
    Settling,
    /// The time of a step counts.
    Watching,
    /// Waits for someone's approval; the canary is watched on.
    Approval,
    /// Asks the hooks `confirm-promotion`; the canary is watched on.
    ConfirmingPromotion,
    /// The canary has everything; the hooks `post-rollout` are called.
    Promoting,
    /// Stable has everything; the hooks `post-rollout` are called.
    RollingBack,
    Promoted,
    RolledBack,
    /// It was turned down before the canary got its first request.
    Refused,
    /// Someone else has changed the weights: they stay as they were found.
    Stopped,
}

impl Phase {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 13] = [
        Self::Created,
        Self::Confirming,
        Self::Verifying,
        Self::Settling,
        Self::Watching,
        Self::Approval,
        Self::ConfirmingPromotion,
        Self::Promoting,
        Self::RollingBack,
        Self::Promoted,
        Self::RolledBack,
        Self::Refused,
        Self::Stopped,
    ];

    /// Whether nothing follows.
    pub(crate) const fn is_end(self) -> bool {
        matches!(self, Self::Promoted | Self::RolledBack | Self::Refused | Self::Stopped)
    }

    /// Whether the canary gets requests and is judged.
    pub(crate) const fn is_watched(self) -> bool {
        matches!(self, Self::Settling | Self::Watching | Self::Approval | Self::ConfirmingPromotion)
    }

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Confirming => "confirming",
            Self::Verifying => "verifying",
            Self::Settling => "settling",
            Self::Watching => "watching",
            Self::Approval => "approval",
            Self::ConfirmingPromotion => "confirming-promotion",
            Self::Promoting => "promoting",
            Self::RollingBack => "rolling-back",
            Self::Promoted => "promoted",
            Self::RolledBack => "rolled-back",
            Self::Refused => "refused",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Event {
    /// The gateways have the rule, and the canary has no weight yet.
    Begun,
    /// Something cannot be as it is.
    Unfit,
    Confirmed,
    Denied,
    Verified,
    VerificationFailed,
    /// The weights are seen in the gateways' metrics, and the hooks `rollout` agree.
    Settled,
    /// A step is over, and the next one has a weight.
    NextStep,
    /// A step is over, and the next one waits for approval.
    NeedsApproval,
    /// All steps are over.
    StepsDone,
    /// The canary is worse.
    Worse,
    /// There was no verdict in time, and the plan says to go back.
    Undecided,
    /// A hook `rollout` or `rollback` wants to go back.
    HookObjected,
    /// Someone wants to go back.
    Aborted,
    /// Someone wants to have the canary everywhere now.
    PromotedByHand,
    /// The weights are not those that were set.
    WeightsChanged,
    /// All is done.
    Finished,
}

impl Event {
    /// Whether it goes back, and so comes before a change of weights that has not succeeded yet.
    pub(crate) const fn is_back(self) -> bool {
        matches!(
            self,
            Self::Worse | Self::Undecided | Self::HookObjected | Self::Aborted | Self::Denied
        )
    }
}
