//! The facts of a replay. They are the JSON as they stand here; docs/replay.md says what each field means.

use jiff::Timestamp;
use serde::Serialize;

use crate::engine::{Event, Severity, TriggerAction, TriggerFacts, TriggerSettings};

use super::curve::{Curve, Excerpt};

/// The version of the JSON. A field may be added without another one.
pub const VERSION: &str = "1";

/// What the engine would have done, by one or two settings.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The version of this shape.
    pub version: &'static str,
    /// Where the history is from: an address or a file.
    pub source: String,
    /// The first instant that is told about.
    pub from: Timestamp,
    /// The last one.
    pub to: Timestamp,
    /// One replay, or two that are compared.
    pub replays: Vec<Replay>,
    /// What differs, where there are two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comparison: Option<super::compare::Comparison>,
}

/// What the engine would have done by one setting.
#[derive(Debug, Serialize)]
pub struct Replay {
    /// `a`, or `b` for the one that it is compared with.
    pub name: &'static str,
    /// What was typed over the configuration.
    pub overrides: Vec<String>,
    /// The time from one tick to the next, in seconds.
    pub step_seconds: f64,
    /// Ticks that are told about.
    pub ticks: u64,
    /// The guards, in the order of their names.
    pub guards: Vec<GuardReport>,
    /// Pages of the watchdog: blind, and sees again.
    pub watchdog: Vec<Page>,
}

/// One guard.
#[derive(Debug, Serialize)]
pub struct GuardReport {
    /// Its name.
    pub guard: String,
    /// Seconds with a trigger in breach, of those that roll back (of all, where none does).
    pub breach_seconds: f64,
    /// Seconds with a trigger unknown, of the same ones.
    pub unknown_seconds: f64,
    /// Why most of the unknown time is unknown, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mostly_unknown: Option<String>,
    /// Seconds for which the share of the traffic is known. The rest is judged by the plain levels.
    pub share_known_seconds: f64,
    /// What would have happened, in order.
    pub trips: Vec<Trip>,
    /// Its triggers.
    pub triggers: Vec<TriggerReport>,
}

/// What a trip would have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TripKind {
    /// The traffic would have been moved back.
    Rollback,
    /// The traffic was at the target already: a page, and nothing to move.
    AtTarget,
    /// A trigger that only pages.
    Page,
}

/// One time that something would have been done.
#[derive(Debug, Clone, Serialize)]
pub struct Trip {
    /// The incident's id.
    pub incident: String,
    /// What would have been done.
    pub kind: TripKind,
    /// When.
    pub time: Timestamp,
    /// Whether that was before the first instant that is told about; its end was not.
    pub before_from: bool,
    /// What the page would have said.
    pub summary: String,
    /// The triggers that fired, with their numbers at that moment.
    pub triggers: Vec<TriggerFacts>,
    /// When the breach began that was held until then.
    pub first_breach: Timestamp,
    /// Seconds from the first breach to the trip.
    pub time_to_trip_seconds: f64,
    /// The share before, in percent; absent when not known, or for a page.
    pub from_percentage: Option<u8>,
    /// The share that it goes to, in percent; absent for a page.
    pub to_percentage: Option<u8>,
    /// Seconds from the first breach until all its triggers were clear again; absent when they were not by the end.
    pub lasted_seconds: Option<f64>,
    /// When the incident would have closed by itself, as one of a dry run does; absent when not by the end.
    pub closed: Option<Timestamp>,
    /// Every page of it.
    pub pages: Vec<Page>,
    /// Triggers whose breach goes on.
    #[serde(skip)]
    pub going_on: Vec<String>,
}

/// One page that would have been sent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page {
    /// When.
    pub time: Timestamp,
    /// What happened.
    pub event: Event,
    /// How urgent.
    pub severity: Severity,
    /// The line that says it.
    pub summary: String,
}

/// One trigger.
#[derive(Debug, Serialize)]
pub struct TriggerReport {
    /// Its name.
    pub trigger: String,
    /// What it does when it fires.
    pub action: TriggerAction,
    /// How long it must hold, in seconds.
    pub for_seconds: f64,
    /// The plain threshold, in words.
    pub threshold: String,
    /// The worst value, in the unit of the threshold.
    pub worst: Option<f64>,
    /// The same in words.
    pub worst_text: Option<String>,
    /// When that was.
    pub worst_at: Option<Timestamp>,
    /// How long it said what.
    pub time: Time,
    /// The longest that a breach was held, in seconds.
    pub longest_hold_seconds: f64,
    /// Times that it held for at least half of what it must, and did not fire.
    pub near_misses: Vec<NearMiss>,
    /// Times that it held for long enough, and nothing was done about it.
    pub withheld: Vec<WithheldOnce>,
    /// For the charts.
    #[serde(skip)]
    pub settings: TriggerSettings,
    /// The signal from the first instant to the last.
    #[serde(skip)]
    pub curve: Curve,
    /// What was around its trips and near misses.
    #[serde(skip)]
    pub excerpts: Vec<Excerpt>,
}

/// How long a trigger said what, in seconds.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Time {
    /// In breach.
    pub breach_seconds: f64,
    /// Between the levels.
    pub band_seconds: f64,
    /// Clear.
    pub clear_seconds: f64,
    /// Unknown.
    pub unknown_seconds: f64,
    /// Why it was unknown, the longest first.
    pub unknown: Vec<UnknownTime>,
}

/// How long a trigger was unknown for one reason.
#[derive(Debug, PartialEq, Serialize)]
pub struct UnknownTime {
    /// The reason, as one word.
    pub reason: &'static str,
    /// For how long, in seconds.
    pub seconds: f64,
    /// What was said the first time.
    pub example: String,
}

/// A breach that was held for long and did not fire.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NearMiss {
    /// When the breach began.
    pub from: Timestamp,
    /// When it was over; absent when it was not by the end of the history.
    pub to: Option<Timestamp>,
    /// The longest that it was held, in seconds.
    pub held_seconds: f64,
    /// When that was.
    pub held_at: Timestamp,
    /// How long it must be held, in seconds.
    pub for_seconds: f64,
    /// The worst value meanwhile, in words.
    pub worst_text: String,
    /// Seconds that were unknown meanwhile. They do not count.
    pub unknown_seconds: f64,
    /// Why it did not fire, in words.
    pub why_not: Vec<String>,
}

/// A trigger that held for long enough, and nothing was done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WithheldOnce {
    /// When.
    pub time: Timestamp,
    /// Why, as one word.
    pub reason: &'static str,
    /// Why, in words.
    pub text: String,
}

impl GuardReport {
    /// The trips of one kind.
    pub fn of(&self, kind: TripKind) -> impl Iterator<Item = &Trip> {
        self.trips.iter().filter(move |trip| trip.kind == kind)
    }

    /// All near misses, the one that came closest first.
    pub fn near_misses(&self) -> Vec<(&TriggerReport, &NearMiss)> {
        let mut all: Vec<_> =
            self.triggers.iter().flat_map(|t| t.near_misses.iter().map(move |near| (t, near))).collect();
        let closeness = |near: &NearMiss| near.held_seconds / near.for_seconds;
        all.sort_by(|(_, a), (_, b)| closeness(b).total_cmp(&closeness(a)));
        all
    }
}
