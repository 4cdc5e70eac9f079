//! What the engine asks for. Nothing happens but through these.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::guard::GuardState;
use super::input::{StepReport, Unknown};
use super::language::{Chinese, Language};
use super::telling::{Movement, Said};

/// One thing for the daemon to do. The order in the returned list is the order to begin them in.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a tick makes a handful, and each lives for microseconds")]
pub enum Action {
    /// Save the state before beginning what follows in the list.
    Journal,
    /// Carry out a guard's steps.
    Change(ChangeOrder),
    /// Stop trying the change of this incident; what was sent stays sent.
    AbandonChange {
        /// The guard.
        guard: String,
        /// The incident whose change is to stop.
        incident: String,
    },
    /// Tell people.
    Notify(Notification),
    /// Say what was decided, and why: for the log and the metrics.
    Record(Record),
}

/// What every summary of a dry run begins with.
const DRY_RUN: &str = "[dry run] ";

impl Action {
    /// In a dry run every page says so, and none is as urgent as a real one.
    pub(super) fn mark_dry_run(&mut self) {
        let Self::Notify(notification) = self else { return };
        notification.dry_run = true;
        notification.severity = notification.severity.min(Severity::Warning);
        notification.summary.insert_str(0, DRY_RUN);
        if let Some(opening) = &mut notification.opening {
            opening.severity = opening.severity.min(Severity::Warning);
            opening.summary.insert_str(0, DRY_RUN);
        }
        let said = Said::WouldHaveRolledBack { way: Movement { from: None, to: 0 } };
        notification.advice = said.words("", Language::English).advice;
        notification.next = None;
        if let Some(chinese) = &mut notification.chinese {
            chinese.summary.insert_str(0, DRY_RUN);
            chinese.opening.iter_mut().for_each(|opening| opening.insert_str(0, DRY_RUN));
            chinese.advice = said.words("", Language::Chinese).advice;
        }
    }

    /// Nobody wants it.
    pub(super) fn leave_chinese_out(&mut self) {
        if let Self::Notify(notification) = self {
            notification.chinese = None;
        }
    }

    /// What is begun first. The journal comes before what it must outlive, and no change waits for a page.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Journal => 0,
            Self::AbandonChange { .. } | Self::Change(_) => 1,
            Self::Notify(_) => 2,
            Self::Record(_) => 3,
        }
    }
}

/// An order to move a guard's traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeOrder {
    /// The guard.
    pub guard: String,
    /// The incident it belongs to.
    pub incident: String,
    /// Counts the tries of this incident, from 1. A report of an older attempt is ignored.
    pub attempt: u32,
    /// The share to go to, in percent.
    pub percentage: u8,
    /// Why, for the objects' own records.
    pub reason: String,
    /// When the rollback was decided.
    pub decided_at: Timestamp,
    /// How long to wait before beginning: nothing for the first attempt, the backoff for the others.
    pub delay: Duration,
    /// Whether nothing may really be changed.
    pub dry_run: bool,
    /// Whether it is a rollback; otherwise a step of the migration.
    pub rollback: bool,
    /// Whether the objects are to be saved before: not where an attempt before has changed some.
    pub save: bool,
    /// The objects that were saved already, as [`SavedObject::object`](super::SavedObject) names them: the others are before they are changed.
    pub saved: Vec<String>,
}

/// What people are told. It serializes to the body of the webhook format `generic` (less its links).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// Stable over retries and restarts.
    pub id: String,
    /// What happened.
    pub event: Event,
    /// How urgent it is.
    pub severity: Severity,
    /// When it happened.
    pub time: Timestamp,
    /// The guard; absent for what concerns several or none.
    pub guard: Option<String>,
    /// Every guard concerned, where it is not just one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guards: Vec<String>,
    /// The story it belongs to.
    pub incident: Option<String>,
    /// One line that says all that matters.
    pub summary: String,
    /// What the reader should do now.
    pub advice: String,
    /// The trigger that it is about.
    pub trigger: Option<TriggerFacts>,
    /// The rollback that it is about.
    pub rollback: Option<RollbackFacts>,
    /// What Ripcord does next by itself, where something depends on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Next>,
    /// What the first page of its story said, where this is a later one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opening: Option<Opening>,
    /// The alerts of its story that it acknowledges or ends besides the one that it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settles: Vec<Alert>,
    /// Whether nothing was really changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// The same in Chinese, where somebody wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chinese: Option<Box<Chinese>>,
}

/// The numbers of a trigger at the moment of a notification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TriggerFacts {
    /// The trigger's name.
    pub name: String,
    /// The measured value: a ratio, seconds, or the signal's own unit. Absent when not known.
    pub value: Option<f64>,
    /// The threshold, in the same unit.
    pub threshold: f64,
    /// The threshold in words: `1 %`, `+50 %`.
    pub threshold_text: String,
    /// For how long the breach was observed, in seconds.
    pub held_seconds: f64,
    /// What the value was compared with, in the signal's own unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<f64>,
    /// Where that comes from, in words: `fixed`, `recorded 2026-01-02, 7d, 120345 requests, version 3`, `a day ago`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline_source: Option<String>,
    /// The value in words: `3.1 %`, `+62 % (195 ms, baseline 120 ms)`.
    pub text: String,
}

/// The rollback at the moment of a notification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackFacts {
    /// The share it started from; absent when the cluster could not be read.
    pub from_percentage: Option<u8>,
    /// The share it goes to.
    pub to_percentage: u8,
    /// Whether somebody undid it since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undone: bool,
    /// The steps and what came of them so far.
    pub steps: Vec<StepReport>,
    /// What went wrong, where something did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What the first page of a story said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// How urgent it was.
    pub severity: Severity,
    /// Its one line.
    pub summary: String,
}

/// An alert that an incident opened besides its own. Each is acknowledged and ended apart: who has seen that the rollback began has not
/// seen that it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Alert {
    /// The rollback fails.
    Failed,
    /// A rung did not help, or whether it did cannot be seen.
    NotRecovered {
        /// The share that the rung went to, in percent.
        percentage: u8,
    },
    /// Somebody undid the rollback.
    Reverted,
}

/// What Ripcord does next by itself.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Next {
    /// It checks whether the rollback helped.
    Verify {
        /// How long the triggers have to become clear after the change, in seconds.
        within_seconds: f64,
    },
    /// It tries again.
    Retry {
        /// After how long, in seconds; later tries wait longer.
        in_seconds: f64,
    },
    /// It takes the next rung of the ladder.
    Rung {
        /// The share that it goes to, in percent.
        percentage: u8,
    },
    /// Nothing, until a person re-arms the guard.
    Rearm,
    /// Nothing, until then or until a person resumes the guard.
    Resume {
        /// When the pause ends.
        until: Timestamp,
    },
    /// Nothing but to tell when it is over.
    Tell,
}

/// How urgent a notification is. Ordered: `Info < Warning < Critical`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// For the record.
    Info,
    /// Somebody should look in the morning.
    Warning,
    /// Somebody should look now.
    Critical,
}

impl Severity {
    /// The severity as it is written in a configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Everything that people are told about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Event {
    /// A rollback was decided and begins.
    #[serde(rename = "rollback.started")]
    RollbackStarted,
    /// Every step is changed and rolled out.
    #[serde(rename = "rollback.succeeded")]
    RollbackSucceeded,
    /// A step failed; it is being retried.
    #[serde(rename = "rollback.failed")]
    RollbackFailed,
    /// The triggers are clear on data younger than the change.
    #[serde(rename = "rollback.verified")]
    RollbackVerified,
    /// They are not, or it cannot be seen.
    #[serde(rename = "rollback.not_recovered")]
    RollbackNotRecovered,
    /// Somebody undid the rollback.
    #[serde(rename = "rollback.reverted")]
    RollbackReverted,
    /// A trigger that only pages fires.
    #[serde(rename = "page.firing")]
    PageFiring,
    /// It is clear again.
    #[serde(rename = "page.resolved")]
    PageResolved,
    /// Triggers have been unknown for too long.
    #[serde(rename = "watchdog.blind")]
    WatchdogBlind,
    /// They are known again.
    #[serde(rename = "watchdog.sees")]
    WatchdogSees,
    /// A rollback would fail.
    #[serde(rename = "watchdog.not_ready")]
    WatchdogNotReady,
    /// It would work again.
    #[serde(rename = "watchdog.ready")]
    WatchdogReady,
    /// Ripcord started.
    #[serde(rename = "watchdog.started")]
    WatchdogStarted,
    /// Ripcord stops on request.
    #[serde(rename = "watchdog.stopping")]
    WatchdogStopping,
    /// A person paused a guard.
    #[serde(rename = "guard.paused")]
    GuardPaused,
    /// A guard watches again.
    #[serde(rename = "guard.rearmed")]
    GuardRearmed,
    /// A person has seen the incident.
    #[serde(rename = "guard.acknowledged")]
    GuardAcknowledged,
    /// A receiver did not get a notification and never will.
    #[serde(rename = "notification.lost")]
    NotificationLost,
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 18] = [
        Self::RollbackStarted,
        Self::RollbackSucceeded,
        Self::RollbackFailed,
        Self::RollbackVerified,
        Self::RollbackNotRecovered,
        Self::RollbackReverted,
        Self::PageFiring,
        Self::PageResolved,
        Self::WatchdogBlind,
        Self::WatchdogSees,
        Self::WatchdogNotReady,
        Self::WatchdogReady,
        Self::WatchdogStarted,
        Self::WatchdogStopping,
        Self::GuardPaused,
        Self::GuardRearmed,
        Self::GuardAcknowledged,
        Self::NotificationLost,
    ];

    /// The event's name as it is sent, like `rollback.started`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RollbackStarted => "rollback.started",
            Self::RollbackSucceeded => "rollback.succeeded",
            Self::RollbackFailed => "rollback.failed",
            Self::RollbackVerified => "rollback.verified",
            Self::RollbackNotRecovered => "rollback.not_recovered",
            Self::RollbackReverted => "rollback.reverted",
            Self::PageFiring => "page.firing",
            Self::PageResolved => "page.resolved",
            Self::WatchdogBlind => "watchdog.blind",
            Self::WatchdogSees => "watchdog.sees",
            Self::WatchdogNotReady => "watchdog.not_ready",
            Self::WatchdogReady => "watchdog.ready",
            Self::WatchdogStarted => "watchdog.started",
            Self::WatchdogStopping => "watchdog.stopping",
            Self::GuardPaused => "guard.paused",
            Self::GuardRearmed => "guard.rearmed",
            Self::GuardAcknowledged => "guard.acknowledged",
            Self::NotificationLost => "notification.lost",
        }
    }
}

/// A decision or a change of state, for the log and the metrics. Not acting is a decision too.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A guard went from one state to another.
    Transition {
        /// The guard.
        guard: String,
        /// The state it left.
        from: GuardState,
        /// The state it is in.
        to: GuardState,
        /// The incident, where there is one.
        incident: Option<String>,
        /// Why.
        reason: String,
    },
    /// A trigger's verdict changed.
    Verdict {
        /// The guard.
        guard: String,
        /// The trigger.
        trigger: String,
        /// The verdict, as one word.
        verdict: &'static str,
        /// What it rests on, in words.
        reason: String,
    },
    /// A trigger holds its breach for long enough, and nothing is done about it, for this reason.
    Withheld {
        /// The guard.
        guard: String,
        /// The trigger.
        trigger: String,
        /// Why nothing is done.
        reason: Withheld,
    },
    /// A step or a rollout failed, and there will be another attempt.
    Retrying {
        /// The guard.
        guard: String,
        /// The incident.
        incident: String,
        /// The attempt that failed.
        attempt: u32,
        /// The step.
        step: String,
        /// What was tried, on what, and what to do.
        error: String,
        /// The wait before the next attempt.
        delay: Duration,
    },
    /// An input was not used, for this reason.
    Ignored {
        /// The guard, where the input was for one.
        guard: Option<String>,
        /// Why it was not used.
        reason: String,
    },
    /// Whether a guard's rollback would work has changed, or what is worth a look about it.
    Readiness {
        /// The guard.
        guard: String,
        /// Whether it would.
        ready: bool,
        /// Why not, or what is worth a look.
        detail: String,
    },
    /// A trigger compares with another recorded baseline from now on.
    Baseline {
        /// The guard.
        guard: String,
        /// The trigger.
        trigger: String,
        /// The baseline, in words.
        detail: String,
    },
    /// A step of the migration ended: `shifted`, `failed`, `cut_short`.
    Shift {
        /// The guard.
        guard: String,
        /// The story of it.
        incident: String,
        /// How.
        result: &'static str,
        /// What happened, in words.
        detail: String,
    },
    /// A rollback ended or goes on: `succeeded`, `failed`, `verified`, `not_recovered`, `cannot_see`, `at_target`, `resumed`, `abandoned`.
    Rollback {
        /// The guard.
        guard: String,
        /// The incident.
        incident: String,
        /// How.
        result: &'static str,
        /// How long it took from the decision, once the rollouts are complete.
        took: Option<Duration>,
    },
}

/// Why a trigger that holds is not acted on.
#[derive(Debug, Clone, PartialEq)]
pub enum Withheld {
    /// The tick is of the past.
    History,
    /// The tick is too old to be called live.
    Late(Duration),
    /// The guard is paused.
    Paused,
    /// A rollback is under way.
    RollingBack,
    /// The guard was rolled back and is latched until a person re-arms it.
    Latched,
    /// There is nothing to move: the share is at the target already, and that was paged.
    AtTarget,
    /// At this tick the verdict is not breach.
    NotBreaching,
    /// What was seen is unknown.
    Unknown(Unknown),
}

impl Withheld {
    /// The kind as one word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::History => "history",
            Self::Late(_) => "late",
            Self::Paused => "paused",
            Self::RollingBack => "rolling_back",
            Self::Latched => "latched",
            Self::AtTarget => "at_target",
            Self::NotBreaching => "not_breaching",
            Self::Unknown(_) => "unknown",
        }
    }
}

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::History => f.write_str("the tick is of the past"),
            Self::Late(age) => write!(f, "the tick is {age:?} old"),
            Self::Paused => f.write_str("the guard is paused"),
            Self::RollingBack => f.write_str("a rollback is under way"),
            Self::Latched => f.write_str("the guard was rolled back and waits to be re-armed"),
            Self::AtTarget => f.write_str("the traffic is at the target already, and that was paged"),
            Self::NotBreaching => f.write_str("at this tick it is not breaching"),
            Self::Unknown(unknown) => write!(f, "unknown: {unknown}"),
        }
    }
}
