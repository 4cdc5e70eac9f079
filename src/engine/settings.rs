//! What the engine must know of the configuration, validated before it gets here.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::action::{Next, Severity};

/// The engine's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The time from one tick to the next.
    pub interval: Duration,
    /// How long a trigger may be unknown before the watchdog is called blind.
    pub blind_after: Duration,
    /// How old a live tick may be when it is handled. An older one, of a process that was stopped for a while say, cannot fire.
    pub live_for: Duration,
    /// Decide and tell, change nothing.
    pub dry_run: bool,
    /// Whether somebody wants to be told in Chinese: every notification then says it in both languages.
    pub chinese: bool,
    /// The guards, by name, in the order of their names.
    pub guards: Vec<GuardSettings>,
}

/// One guard.
#[derive(Debug, Clone, PartialEq)]
pub struct GuardSettings {
    /// The guard's name.
    pub name: String,
    /// Its triggers, the ones that roll back and the ones that page.
    pub triggers: Vec<TriggerSettings>,
    /// Its rollback.
    pub rollback: RollbackSettings,
}

/// What a guard's rollback does, as far as deciding goes.
#[derive(Debug, Clone, PartialEq)]
pub struct RollbackSettings {
    /// The rungs of the ladder, in percent, falling; one for a plain rollback. Never empty.
    pub percentages: Vec<u8>,
    /// How long the triggers have to become clear after the change.
    pub verify_within: Duration,
    /// For how long after the change an undone rollback is paged.
    pub drift_watch: Duration,
    /// The names of the steps, as `deployment_env sealos-system/terminal-controller`.
    pub steps: Vec<String>,
}

impl RollbackSettings {
    /// What comes after the change.
    pub(super) fn next(&self) -> Option<Next> {
        Some(Next::Verify { within_seconds: self.verify_within.as_secs_f64() })
    }
}

/// One trigger.
#[derive(Debug, Clone, PartialEq)]
pub struct TriggerSettings {
    /// The trigger's name within its guard.
    pub name: String,
    /// What it does when it fires.
    pub action: TriggerAction,
    /// How urgent its page is.
    pub severity: Severity,
    /// What is measured, as a text that only has to differ when that does: a trigger on other series starts from nothing.
    pub source: String,
    /// What is compared.
    pub measure: Measure,
    /// Which side of the threshold is bad.
    pub side: Side,
    /// The threshold and the clear level.
    pub levels: Levels,
    /// Other levels while the share is small, by rising `up_to`.
    pub stages: Vec<Stage>,
    /// The burn rates, by falling urgency; empty for any other measure.
    pub burn_rates: Vec<BurnRate>,
    /// The window; zero for a trigger on a plain value. Of burn rates the longest.
    pub window: Duration,
    /// The confirm window, for a ratio or a quantile.
    pub confirm_window: Option<Duration>,
    /// How long a breach must be observed.
    pub hold_for: Duration,
    /// How long clear must last to reset the clock.
    pub clear_for: Duration,
    /// Take ratios as they are, however few the requests.
    pub literal: bool,
    /// The unit of the measure, for the words.
    pub unit: Unit,
    /// Where what it is compared with comes from; `None` for a trigger without a baseline.
    pub baseline: Option<BaselineSource>,
}

impl TriggerSettings {
    /// What words of it are made by: a copy that is small, because every tick makes one of each trigger.
    pub(super) fn for_words(&self) -> Self {
        Self {
            name: self.name.clone(),
            source: String::new(),
            stages: Vec::new(),
            burn_rates: Vec::new(),
            baseline: self.baseline.clone(),
            ..*self
        }
    }
}

/// What a trigger does when it fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriggerAction {
    /// Roll the guard back.
    Rollback,
    /// Tell people.
    Page,
}

/// How a trigger's number is made of its evidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Measure {
    /// Failed requests of all requests.
    FailureRatio,
    /// Good requests of all requests.
    Availability,
    /// Failed requests of all requests, less what the baseline has of them: a part of one, in absolute terms.
    FailureRise,
    /// Failed requests of all requests as a multiple of what an objective allows.
    BurnRate {
        /// The error budget: the part of all requests that may fail, between 0 and 1.
        budget: f64,
    },
    /// A quantile, in seconds.
    Quantile {
        /// Which one, between 0 and 1.
        q: f64,
    },
    /// `now / baseline - 1` of a quantile.
    QuantileDegradation {
        /// Which one, between 0 and 1.
        q: f64,
    },
    /// The value itself.
    Value,
    /// `now / baseline - 1` of a value that is bad when it grows.
    ValueDegradation,
    /// `1 - now / baseline` of a value that is bad when it shrinks (throughput).
    ValueDrop,
}

/// Where a baseline comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum BaselineSource {
    /// The configuration has the number.
    Fixed,
    /// It was taken from a period of the past. The engine keeps it: a reading has none.
    Recorded {
        /// What is measured, as a text that only has to differ when that does: a baseline of other series is not used.
        of: String,
        /// From which age on a person is told that it is too old.
        max_age: Duration,
    },
    /// The same signal this long ago.
    Offset(Duration),
    /// Other series at the same time, in words.
    Control(String),
}

/// A rate at which an error budget is used up, and the two windows that must both see it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BurnRate {
    /// Beyond this multiple of the budget is a breach.
    pub above: f64,
    /// The window.
    pub window: Duration,
    /// The much shorter window that says whether it is still so.
    pub confirm_window: Duration,
}

/// Which side of the threshold is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// More is worse.
    Above,
    /// Less is worse.
    Below,
}

/// The two levels of a trigger, in the unit of its measure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Levels {
    /// Beyond it is a breach.
    pub threshold: f64,
    /// Inside it is clear. Never on the bad side of the threshold.
    pub clear: f64,
}

/// Levels that hold while the share is at most `up_to`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stage {
    /// The share, in percent, up to which (inclusive) the levels hold.
    pub up_to: u8,
    /// The levels.
    pub levels: Levels,
}

/// The unit of a measure, for the words of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A part of one, said in percent.
    Ratio,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// Requests per second.
    PerSecond,
    /// No unit.
    None,
}
