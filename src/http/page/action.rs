//! What a person can ask for on the page, and when.

use crate::engine::{GuardState, GuardStatus, TriggerStatus};

/// Something that a person can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// See that it goes back.
    Rollback,
    /// Do nothing for a while.
    Pause,
    /// End that.
    Resume,
    /// Watch again after a rollback.
    Rearm,
    /// Say to have seen it.
    Acknowledge,
}

impl Action {
    const ALL: [Self; 5] = [Self::Acknowledge, Self::Rearm, Self::Resume, Self::Pause, Self::Rollback];

    /// As an address has it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Rearm => "rearm",
            Self::Acknowledge => "ack",
        }
    }

    /// From an address.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }

    /// As a button has it.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Rollback => "Roll back",
            Self::Pause => "Pause",
            Self::Resume => "Resume",
            Self::Rearm => "Re-arm",
            Self::Acknowledge => "Acknowledge",
        }
    }

    /// Where it is confirmed. Names of guards are such that they can stand in an address.
    pub(super) fn path(self, guard: &str) -> String {
        format!("/guards/{guard}/{}", self.as_str())
    }

    /// Whether there is any sense in it now. Whether it is done is for the engine to say.
    pub(super) fn makes_sense(self, guard: &GuardStatus) -> bool {
        let paused = guard.paused_until.is_some();
        match self {
            Self::Rollback => true,
            Self::Pause => !paused,
            Self::Resume => paused,
            Self::Rearm => match guard.state {
                GuardState::RolledBack | GuardState::NotRecovered => true,
                GuardState::Watching => guard.incident.is_some(),
                GuardState::RollingBack | GuardState::Verifying | GuardState::Paused => false,
            },
            Self::Acknowledge => {
                Self::is_incident_to_acknowledge(guard) || guard.triggers.iter().any(TriggerStatus::is_unacknowledged)
            }
        }
    }

    /// Whether nobody has said to have seen the guard's incident; or somebody has, and can still end the tries of a rollback that fails.
    pub(super) fn is_incident_to_acknowledge(guard: &GuardStatus) -> bool {
        let retrying = guard.state == GuardState::RollingBack && guard.acknowledging_gives_up;
        guard.incident.as_ref().is_some_and(|incident| incident.acknowledged_at.is_none() || retrying)
    }

    /// What makes sense now, the gentlest first.
    pub(super) fn of(guard: &GuardStatus) -> Vec<Self> {
        Self::ALL.into_iter().filter(|action| action.makes_sense(guard)).collect()
    }
}
