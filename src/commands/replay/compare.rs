//! Two replays of the same history side by side.

use jiff::Timestamp;
use serde::Serialize;

use super::report::{GuardReport, Replay, Trip, TripKind};

/// What differs between the replays `a` and `b`, guard by guard.
#[derive(Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Every guard that is in one of them.
    pub guards: Vec<GuardComparison>,
}

/// One guard in both.
#[derive(Debug, PartialEq, Serialize)]
pub struct GuardComparison {
    /// Its name.
    pub guard: String,
    /// By the first settings; absent where these do not have the guard.
    pub a: Option<Figures>,
    /// By the second.
    pub b: Option<Figures>,
    /// Trips that are in both: the same trouble, met by both.
    pub both: Vec<Pair>,
    /// Trips that only the first settings have.
    pub only_a: Vec<One>,
    /// Trips that only the second settings have.
    pub only_b: Vec<One>,
}

/// What is compared of a guard.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figures {
    /// Rollbacks.
    pub rollbacks: usize,
    /// Trips with the traffic at the target already, and pages of triggers that only page.
    pub pages: usize,
    /// Breaches that held for at least half of what they must and did not fire.
    pub near_misses: usize,
    /// Seconds from the first breach to the trip, on average over all trips; absent without one.
    pub mean_time_to_trip_seconds: Option<f64>,
    /// Seconds in breach.
    pub breach_seconds: f64,
    /// Seconds unknown.
    pub unknown_seconds: f64,
    /// The longest that a breach was held, in seconds.
    pub longest_hold_seconds: f64,
}

/// A trip in both.
#[derive(Debug, PartialEq, Serialize)]
pub struct Pair {
    /// What it would have done.
    pub kind: TripKind,
    /// When by the first settings.
    pub a: Timestamp,
    /// When by the second.
    pub b: Timestamp,
    /// How many seconds the second ones come later; negative where they come first.
    pub b_later_seconds: f64,
}

/// A trip in one of them.
#[derive(Debug, PartialEq, Serialize)]
pub struct One {
    /// What it would have done.
    pub kind: TripKind,
    /// When.
    pub time: Timestamp,
    /// What the page would have said.
    pub summary: String,
}

/// Compares.
pub fn compare(a: &Replay, b: &Replay) -> Comparison {
    let in_b = |name: &str| b.guards.iter().find(|guard| guard.guard == name);
    let mut guards: Vec<_> = a.guards.iter().map(|guard| of_guard(Some(guard), in_b(&guard.guard))).collect();
    let in_a = |name: &str| a.guards.iter().any(|guard| guard.guard == name);
    guards.extend(b.guards.iter().filter(|guard| !in_a(&guard.guard)).map(|guard| of_guard(None, Some(guard))));
    Comparison { guards }
}

fn of_guard(a: Option<&GuardReport>, b: Option<&GuardReport>) -> GuardComparison {
    let mut only_a: Vec<&Trip> = a.iter().flat_map(|guard| &guard.trips).collect();
    let mut only_b: Vec<&Trip> = b.iter().flat_map(|guard| &guard.trips).collect();
    let mut both = Vec::new();
    only_a.retain(|trip| {
        let Some(at) = only_b.iter().position(|other| same_trouble(trip, other)) else { return true };
        let other = only_b.remove(at);
        let b_later_seconds = other.time.duration_since(trip.time).as_secs_f64();
        both.push(Pair { kind: trip.kind, a: trip.time, b: other.time, b_later_seconds });
        false
    });
    let one = |trip: &Trip| One { kind: trip.kind, time: trip.time, summary: trip.summary.clone() };
    GuardComparison {
        guard: a.or(b).map(|guard| guard.guard.clone()).unwrap_or_default(),
        a: a.map(figures),
        b: b.map(figures),
        both,
        only_a: only_a.into_iter().map(one).collect(),
        only_b: only_b.into_iter().map(one).collect(),
    }
}

/// Whether two trips are about the same breach: they do the same, a trigger fired in both, and the times from breach to end overlap.
fn same_trouble(a: &Trip, b: &Trip) -> bool {
    let end = |trip: &Trip| {
        trip.lasted_seconds.and_then(|seconds| {
            trip.first_breach.checked_add(std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default()).ok()
        })
    };
    let until = |trip: &Trip, other: &Trip| end(trip).is_none_or(|end| other.first_breach <= end);
    let shared = a.triggers.iter().any(|x| b.triggers.iter().any(|y| x.name == y.name));
    a.kind == b.kind && shared && until(a, b) && until(b, a)
}

fn figures(guard: &GuardReport) -> Figures {
    let trips = guard.trips.len();
    #[allow(clippy::cast_precision_loss)]
    let mean = |sum: f64| sum / trips as f64;
    Figures {
        rollbacks: guard.of(TripKind::Rollback).count(),
        pages: trips - guard.of(TripKind::Rollback).count(),
        near_misses: guard.triggers.iter().map(|t| t.near_misses.len()).sum(),
        mean_time_to_trip_seconds: (trips > 0)
            .then(|| mean(guard.trips.iter().map(|trip| trip.time_to_trip_seconds).sum())),
        breach_seconds: guard.breach_seconds,
        unknown_seconds: guard.unknown_seconds,
        longest_hold_seconds: guard.triggers.iter().map(|t| t.longest_hold_seconds).fold(0.0, f64::max),
    }
}
