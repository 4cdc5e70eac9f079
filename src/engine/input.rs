//! What the engine is told.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Settings;
use super::drift::Drift;
use super::recorded::Measurement;

/// Everything that can happen to the engine. The set is closed: what is not here cannot influence a decision.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// What was measured at one tick.
    Tick(Tick),
    /// How far a change that the engine asked for has come.
    Change(ChangeReport),
    /// What was found when it was tried whether a guard's rollback would work.
    Readiness(ReadinessReport),
    /// What a person asked for.
    Command {
        /// The guard it is for.
        guard: String,
        /// What is asked.
        command: Command,
    },
    /// New settings. What did not change keeps its clocks, incidents and latches.
    Reconfigure(Settings),
}

/// The name of a guard or of a trigger. It lives as long as the process, because every tick of a thousand guards says all of them.
pub type Name = &'static str;

/// The measurements of one tick. All of them are of the same instant.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    /// The instant the measurements are of.
    pub at: Timestamp,
    /// Whether the tick is of now or of the past.
    pub kind: TickKind,
    /// One observation per guard name. A guard that is absent was not observed.
    pub guards: BTreeMap<Name, Observation>,
}

/// Whether a tick may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TickKind {
    /// Of now: it may fire.
    Live,
    /// Fetched afterwards: it may advance a clock, it never fires.
    History,
}

/// What was seen of one guard at one tick.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// The share of the guard's traffic on the new path, in percent, as read from the cluster.
    pub share: Result<u8, Unknown>,
    /// One reading per trigger name. A trigger that is absent was not observed.
    pub readings: BTreeMap<Name, Reading>,
    /// What of the last rollback is not there any more, while it is watched. Empty also where that cannot be read.
    pub drift: Vec<Drift>,
}

impl Observation {
    /// What is known of a guard that was not observed.
    pub fn nothing() -> Self {
        Self { share: Err(Unknown::NotObserved), readings: BTreeMap::new(), drift: Vec::new() }
    }
}

/// What was measured for one trigger.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The measurement over the trigger's window (or the instant, for a value).
    pub window: Result<Evidence, Unknown>,
    /// The measurement over the much shorter confirm window; `None` for a trigger that has none.
    pub confirm: Option<Result<Evidence, Unknown>>,
    /// What the trigger compares with; `None` for a trigger without a baseline.
    pub baseline: Option<Result<f64, Unknown>>,
    /// The measurements over the two windows of each burn rate, in the order of the settings; empty for any other trigger.
    pub burn: Vec<Burn>,
}

/// The measurements over the window and over the confirm window of a burn rate.
pub type Burn = (Result<Evidence, Unknown>, Result<Evidence, Unknown>);

/// A measurement, with the number of requests it rests on where that is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Evidence {
    /// Failed and total requests. Not integers: Prometheus extrapolates an increase to the edges of its window.
    Counts {
        /// Requests that failed.
        failed: f64,
        /// All requests.
        total: f64,
    },
    /// A quantile and the number of requests it was computed from.
    Quantile {
        /// The quantile, in seconds.
        value: f64,
        /// The number of requests.
        requests: f64,
    },
    /// Any other number.
    Value(f64),
}

/// An object as it was before a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedObject {
    /// Which: `Deployment sealos-system/terminal-controller`.
    pub object: String,
    /// The object as YAML that `kubectl apply` takes, without what the server adds.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub yaml: String,
}

/// Why something is not known. Unknown is never a reason to act.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reason", content = "detail", rename_all = "snake_case")]
pub enum Unknown {
    /// The query gave no series: wrong labels, nothing scraped, or fewer than two scrapes in the window.
    NoSeries,
    /// The series are there and counted no request.
    NoTraffic,
    /// Too few requests to tell.
    TooFewRequests {
        /// Requests in the window.
        requests: f64,
        /// Requests that it would take.
        needed: f64,
    },
    /// The answer is NaN or infinite.
    NotANumber,
    /// The query gave several series where one number is wanted.
    SeveralSeries(usize),
    /// Prometheus, or the way to it, refused or failed.
    QueryFailed(String),
    /// No answer in time.
    TimedOut(Duration),
    /// Prometheus answered and warned that the answer may be incomplete.
    Warning(String),
    /// The data is older than it may be.
    Stale(Duration),
    /// The baseline is not known.
    Baseline(Box<Unknown>),
    /// No baseline is recorded yet.
    NotRecorded,
    /// The baselines that are recorded are of something else than is measured.
    RecordedOfOther,
    /// Nothing was measured for it at this tick.
    NotObserved,
    /// The cluster could not be read, or what it holds is no share.
    Cluster(String),
    /// After a change: the window still reaches back to before it.
    TooEarly,
}

impl Unknown {
    /// The kind as one word, for a metric label.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoSeries => "no_series",
            Self::NoTraffic => "no_traffic",
            Self::TooFewRequests { .. } => "too_few_requests",
            Self::NotANumber => "not_a_number",
            Self::SeveralSeries(_) => "several_series",
            Self::QueryFailed(_) => "query_failed",
            Self::TimedOut(_) => "timed_out",
            Self::Warning(_) => "warning",
            Self::Stale(_) => "stale",
            Self::Baseline(_) => "baseline",
            Self::NotRecorded | Self::RecordedOfOther => "not_recorded",
            Self::NotObserved => "not_observed",
            Self::Cluster(_) => "cluster",
            Self::TooEarly => "too_early",
        }
    }

    /// Whether the sensor works and there is simply too little traffic to see by.
    pub fn is_quiet(&self) -> bool {
        match self {
            Self::NoTraffic | Self::TooFewRequests { .. } => true,
            Self::Baseline(inner) => inner.is_quiet(),
            _ => false,
        }
    }

    /// Whether it is what one expects where the share is 0 %: nothing is counted, and the series may be gone.
    pub fn is_expected_at_zero(&self) -> bool {
        self.is_quiet() || *self == Self::NoSeries
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSeries => f.write_str(
                "the query gave no series (labels that match nothing, or fewer than two scrapes in the window)",
            ),
            Self::NoTraffic => f.write_str("no requests in the window"),
            Self::TooFewRequests { requests, needed } => {
                write!(f, "{requests:.0} requests in the window, too few to tell (needs {needed:.0})")
            }
            Self::NotANumber => f.write_str("the answer is not a number"),
            Self::SeveralSeries(n) => {
                write!(f, "the query gave {n} series where one number is wanted; aggregate it, for example with max()")
            }
            Self::QueryFailed(e) => write!(f, "the query failed: {e}"),
            Self::TimedOut(after) => write!(f, "Prometheus did not answer within {after:?}"),
            Self::Warning(w) => write!(f, "Prometheus warned about its answer: {w}"),
            Self::Stale(age) => write!(f, "the data is {age:?} old"),
            Self::Baseline(inner) => match **inner {
                Self::NotRecorded | Self::RecordedOfOther => inner.fmt(f),
                _ => write!(f, "the baseline is not known: {inner}"),
            },
            Self::NotRecorded => f.write_str("no baseline is recorded yet: run ripcord baseline record"),
            Self::RecordedOfOther => f.write_str(
                "the recorded baseline is of other series or of another quantile: run ripcord baseline record",
            ),
            Self::NotObserved => f.write_str("not measured at this tick"),
            Self::Cluster(e) => write!(f, "the cluster could not be read: {e}"),
            Self::TooEarly => f.write_str("the window still reaches back to before the change"),
        }
    }
}

/// What a person can ask of a guard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Roll back now.
    Rollback {
        /// Why, in the person's words.
        reason: String,
        /// To which share, in percent; the guard's own target when absent.
        percentage: Option<u8>,
        /// Not where the guard is latched, or at its target: for who asks again and again, as alerting systems do.
        once: bool,
    },
    /// Move traffic as the migration goes on: a step up or down.
    Shift {
        /// Why, in the person's words.
        reason: String,
        /// To which share, in percent.
        percentage: u8,
        /// Up even where a trigger is not clear or the rollback is not known to work.
        force: bool,
    },
    /// Watch again after a rollback.
    Rearm,
    /// Do nothing until `until`, or until resumed.
    Pause {
        /// When the pause ends by itself.
        until: Timestamp,
    },
    /// End a pause.
    Resume,
    /// A person has seen the incident: stop retrying, stop escalating.
    Acknowledge,
    /// Compare with these baselines from now on.
    RecordBaselines {
        /// One for each trigger that gets one.
        baselines: Vec<NewBaseline>,
    },
    /// Compare with a baseline that was recorded before.
    UseBaseline {
        /// The trigger.
        trigger: String,
        /// Which of its versions.
        version: u32,
    },
}

/// A baseline that was measured for a trigger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewBaseline {
    /// The trigger.
    pub trigger: String,
    /// What was measured.
    #[serde(flatten)]
    pub measured: Measurement,
}

/// Whether a guard's rollback would work, as it was tried.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadinessReport {
    /// The guard.
    pub guard: String,
    /// Why it would not; empty when it would.
    pub problems: Vec<Problem>,
    /// What would work and is still worth a look: a GitOps tool that will undo it, say.
    pub warnings: Vec<String>,
}

/// One reason why a rollback would fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The step, as `deployment_env sealos-system/terminal-controller`, or what else was tried.
    pub step: String,
    /// What was tried, on what, and what to do.
    pub error: String,
}

/// How far the change of one incident has come.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeReport {
    /// The guard.
    pub guard: String,
    /// The incident the change belongs to.
    pub incident: String,
    /// The attempt that the engine's order carried.
    pub attempt: u32,
    /// What happened.
    pub progress: Progress,
}

/// One thing that happened to a change.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// The objects were read as they are before the change.
    Saved(Vec<SavedObject>),
    /// A step was tried.
    Step(StepReport),
    /// Every step's change is accepted: traffic moves.
    Accepted,
    /// Every rollout is complete.
    Completed,
    /// A step or a rollout failed; nothing after it was tried.
    Failed {
        /// The step, as `deployment_env sealos-system/terminal-controller`.
        step: String,
        /// What was tried, on what, and what to do.
        error: String,
    },
}

/// What one step did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepReport {
    /// The step, as `deployment_env sealos-system/terminal-controller`.
    pub step: String,
    /// What came of it.
    pub result: StepResult,
    /// More about it, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepResult {
    /// Not tried yet.
    Planned,
    /// The object was changed and read back.
    Changed,
    /// The object was there already; nothing was sent.
    AlreadyThere,
    /// An optional object does not exist.
    Absent,
    /// A dry run: the server would have accepted the change.
    WouldChange,
    /// The step failed.
    Failed,
}

impl StepResult {
    /// The result as one word or two, for a person.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Changed => "changed",
            Self::AlreadyThere => "already there",
            Self::Absent => "absent",
            Self::WouldChange => "would change",
            Self::Failed => "failed",
        }
    }
}
