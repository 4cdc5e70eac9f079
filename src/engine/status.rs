//! What the engine would say of itself: for the API, the metrics and the log.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::assessment::Assessment;
use super::guard::{Guard, GuardState, Trigger};
use super::incident::Incident;
use super::input::Problem;
use super::recorded::RecordedBaselines;
use super::settings::{Levels, TriggerAction, TriggerSettings, Unit};
use super::trigger::Verdict;
use super::words;

/// One guard.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GuardStatus {
    /// The guard's name.
    pub guard: String,
    /// Its state.
    pub state: GuardState,
    /// The share of the traffic on the new path, in percent; absent when not known.
    pub percentage: Option<u8>,
    /// Why the share is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percentage_unknown: Option<String>,
    /// Until when the guard is paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_until: Option<Timestamp>,
    /// The tick that it was last measured at.
    pub last_tick: Option<Timestamp>,
    /// Its triggers.
    pub triggers: Vec<TriggerStatus>,
    /// The incident that is open.
    pub incident: Option<Incident>,
    /// The step of the migration that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shift: Option<Incident>,
    /// Whether a rollback would work, as it was last tried; absent when it was not tried yet.
    pub ready: Option<bool>,
    /// When it was last tried.
    pub ready_checked_at: Option<Timestamp>,
    /// Why it would not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// What is worth a look about it all the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Whether an acknowledgement now ends the tries of a rollback that fails: for who confirms one.
    #[serde(skip)]
    pub acknowledging_gives_up: bool,
}

/// One trigger. Its words are made when somebody asks for them.
#[derive(Debug, Clone, PartialEq)]
pub struct TriggerStatus {
    /// What its words are made by.
    settings: TriggerSettings,
    assessment: Option<Assessment>,
    /// What is recorded for it, where its baseline is a recorded one.
    pub recorded: Option<RecordedBaselines>,
    /// The verdict, as one word.
    pub verdict: &'static str,
    /// Why the verdict is unknown, as one word.
    pub unknown: Option<&'static str>,
    /// The value, in the unit of the threshold.
    pub value: Option<f64>,
    /// The threshold that holds at the present share.
    pub threshold: f64,
    /// For how long a breach has been observed, in seconds.
    pub held_seconds: f64,
    /// For how long it must be, in seconds.
    pub for_seconds: f64,
    /// Whether its page is firing.
    pub firing: bool,
    /// Since when it is firing: tells this page from the one before.
    pub firing_since: Option<Timestamp>,
    /// When a person said to have seen that page; absent where none is firing, and until somebody does.
    pub acknowledged_at: Option<Timestamp>,
    /// Where its baseline comes from, in words.
    pub baseline_source: Option<String>,
}

impl TriggerStatus {
    /// The trigger's name.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// What the verdict rests on, in words.
    pub fn reason(&self) -> String {
        self.assessment.as_ref().map_or_else(|| "no tick yet".to_owned(), |a| a.reason(&self.settings))
    }

    /// The value in words.
    pub fn text(&self) -> String {
        self.assessment.as_ref().map_or_else(String::new, |a| a.text(&self.settings))
    }

    /// Whether its page is firing, and nobody has said to have seen it.
    pub fn is_unacknowledged(&self) -> bool {
        self.firing && self.acknowledged_at.is_none()
    }

    /// What its words are made by: its settings without their stages and burn rates.
    pub fn settings(&self) -> &TriggerSettings {
        &self.settings
    }

    /// The trigger's name as words: `error rate`, `latency P95`.
    pub fn label(&self) -> String {
        words::label(&self.settings)
    }

    /// Whether the sensor fails: not where there is too little traffic to see by, nor where none is expected.
    pub fn is_blind(&self, share: Option<u8>) -> bool {
        match self.assessment.as_ref().map(|a| &a.verdict) {
            Some(Verdict::Unknown(unknown)) if share == Some(0) => !unknown.is_expected_at_zero(),
            Some(Verdict::Unknown(unknown)) => !unknown.is_quiet(),
            _ => false,
        }
    }

    /// The threshold in words.
    pub fn threshold_text(&self) -> String {
        words::threshold(&self.settings, self.threshold)
    }
}

/// A trigger as the API shows it.
#[derive(Serialize)]
struct Shown<'a> {
    trigger: &'a str,
    /// What it does when it fires.
    action: TriggerAction,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<&'static str>,
    reason: String,
    value: Option<f64>,
    text: String,
    threshold: f64,
    threshold_text: String,
    /// What the value is compared with, in the signal's own unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<f64>,
    /// Where that comes from, in words: `fixed`, `recorded 2026-01-02, 7d, 120345 requests, version 3`, `a day ago`.
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline_source: Option<&'a str>,
    /// The unit of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline_unit: Option<Unit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded: Option<&'a RecordedBaselines>,
    held_seconds: f64,
    for_seconds: f64,
    firing: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged_at: Option<Timestamp>,
}

impl Serialize for TriggerStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let shown = Shown {
            trigger: self.name(),
            action: self.settings.action,
            verdict: self.verdict,
            unknown: self.unknown,
            reason: self.reason(),
            value: self.value,
            text: self.text(),
            threshold: self.threshold,
            threshold_text: self.threshold_text(),
            baseline: self.assessment.as_ref().and_then(|a| a.baseline),
            baseline_source: self.baseline_source.as_deref(),
            baseline_unit: self.settings.baseline.is_some().then_some(self.settings.unit),
            recorded: self.recorded.as_ref(),
            held_seconds: self.held_seconds,
            for_seconds: self.for_seconds,
            firing: self.firing,
            acknowledged_at: self.acknowledged_at,
        };
        shown.serialize(serializer)
    }
}

/// One trigger as it stands, without copies: for who looks at all of them after every tick.
#[derive(Debug, Clone, Copy)]
pub struct TriggerView<'a> {
    /// The guard's name.
    pub guard: &'a str,
    /// The trigger's settings.
    pub settings: &'a TriggerSettings,
    /// What it said at the last tick; `None` before the first.
    pub verdict: Option<&'a Verdict>,
    /// The value, in the unit of the threshold.
    pub value: Option<f64>,
    /// The levels that hold at the present share.
    pub levels: Levels,
    /// For how long a breach has been observed; `None` while there is none.
    pub held: Option<Duration>,
}

pub(super) fn view<'a>(guard: &'a Guard, trigger: &'a Trigger) -> TriggerView<'a> {
    let mut levels = trigger.settings.levels_at(guard.share.as_ref().ok().copied());
    // Of several burn rates it is the one that was judged by.
    levels.threshold = trigger.assessment.as_ref().map_or(levels.threshold, |a| a.threshold);
    TriggerView {
        guard: guard.name(),
        settings: &trigger.settings,
        verdict: trigger.assessment.as_ref().map(|a| &a.verdict),
        value: trigger.assessment.as_ref().and_then(|a| a.value),
        levels,
        held: trigger.clocks.held,
    }
}

pub(super) fn of(guard: &Guard) -> GuardStatus {
    GuardStatus {
        guard: guard.name().to_owned(),
        state: guard.state,
        percentage: guard.share.as_ref().ok().copied(),
        percentage_unknown: guard.share.as_ref().err().map(ToString::to_string),
        paused_until: guard.paused_until(),
        last_tick: guard.last_tick,
        triggers: guard.triggers.iter().map(trigger).collect(),
        incident: guard.incident.as_ref().map(Incident::shown),
        shift: guard.shift.as_ref().map(Incident::shown),
        ready: guard.readiness.ready(),
        ready_checked_at: guard.readiness.checked_at,
        problems: guard.readiness.problems.clone(),
        warnings: guard.readiness.warnings.clone(),
        acknowledging_gives_up: guard.acknowledging_gives_up(),
    }
}

fn trigger(trigger: &Trigger) -> TriggerStatus {
    let settings = &trigger.settings;
    let assessment = trigger.assessment.as_ref();
    TriggerStatus {
        settings: settings.for_words(),
        assessment: assessment.cloned(),
        recorded: settings.recorded(&trigger.recorded),
        baseline_source: settings.baseline_source(&trigger.recorded),
        verdict: assessment.map_or("unknown", |a| a.verdict.word()),
        unknown: match assessment.map(|a| &a.verdict) {
            Some(Verdict::Unknown(unknown)) => Some(unknown.kind()),
            Some(_) => None,
            None => Some("not_observed"),
        },
        value: assessment.and_then(|a| a.value),
        threshold: assessment.map_or(settings.levels.threshold, |a| a.threshold),
        held_seconds: trigger.clocks.held.unwrap_or_default().as_secs_f64(),
        for_seconds: settings.hold_for.as_secs_f64(),
        firing: trigger.firing.is_some(),
        firing_since: trigger.firing.as_ref().map(|story| story.opened_at),
        acknowledged_at: trigger.firing.as_ref().and_then(|story| story.acknowledged_at),
    }
}
