//! Random triggers and random histories for them.

use std::time::Duration;

use proptest::prelude::*;

use super::super::super::*;
use super::super::scenario::error_rate;

/// One tick as it is given to the engine.
#[derive(Debug, Clone)]
pub struct Step {
    /// Milliseconds since the youngest tick so far; none repeats it, less goes back behind it.
    pub gap: i64,
    /// Milliseconds from its instant to when it is handled.
    pub lag: i64,
    pub live: bool,
    pub share: Option<u8>,
    /// What is seen: nothing where the guard is not in the tick at all.
    pub seen: Option<Sight>,
}

/// What a tick holds of the guard.
#[derive(Debug, Clone)]
pub enum Sight {
    Reading(Reading),
    /// The guard, and nothing of its trigger.
    NoReading,
}

/// A history begins at any millisecond of two intervals.
#[derive(Debug, Clone)]
pub struct History {
    pub start: i64,
    pub steps: Vec<Step>,
}

fn unknown() -> impl Strategy<Value = Unknown> {
    prop_oneof![
        Just(Unknown::NoSeries),
        Just(Unknown::NoTraffic),
        Just(Unknown::TooFewRequests { requests: 3.0, needed: 200.0 }),
        Just(Unknown::NotANumber),
        Just(Unknown::SeveralSeries(2)),
        Just(Unknown::QueryFailed("503".to_owned())),
        Just(Unknown::TimedOut(Duration::from_secs(5))),
        Just(Unknown::Warning("partial".to_owned())),
        Just(Unknown::Stale(Duration::from_secs(90))),
        Just(Unknown::Baseline(Box::new(Unknown::NoTraffic))),
        Just(Unknown::NotObserved),
        Just(Unknown::Cluster("503".to_owned())),
    ]
}

/// Around the levels, so that all verdicts are frequent. Failures may be a little more than all: both numbers are extrapolated.
fn ratio() -> impl Strategy<Value = f64> {
    prop_oneof![4 => Just(0.0), 4 => 0.0..0.005, 4 => 0.005..0.012, 10 => 0.01..0.05, 1 => Just(1.0), 1 => Just(1.01)]
}

fn counts() -> BoxedStrategy<Evidence> {
    let total = prop_oneof![1 => Just(0.0), 2 => 1.0..999.0, 8 => 1000.0..50_000.0, 1 => Just(f64::NAN)];
    let any = (ratio(), total).prop_map(|(ratio, total)| Evidence::Counts { failed: ratio * total, total });
    // Little traffic in whole requests, around the least failures that count.
    let few = (0_u32..9, 9_u32..400)
        .prop_map(|(failed, total)| Evidence::Counts { failed: f64::from(failed), total: f64::from(total) });
    prop_oneof![3 => any, 1 => few].boxed()
}

fn quantiles() -> BoxedStrategy<Evidence> {
    let value = prop_oneof![8 => 0.08..0.30, 1 => Just(f64::NAN)];
    let requests = prop_oneof![1 => Just(0.0), 3 => 1.0..199.0, 9 => 201.0..5000.0];
    (value, requests).prop_map(|(value, requests)| Evidence::Quantile { value, requests }).boxed()
}

fn values() -> BoxedStrategy<Evidence> {
    prop_oneof![9 => 20.0..200.0, 1 => Just(f64::INFINITY)].prop_map(Evidence::Value).boxed()
}

fn reading(evidence: BoxedStrategy<Evidence>, base: f64, burn_rates: usize) -> BoxedStrategy<Reading> {
    let seen = |evidence: BoxedStrategy<Evidence>| prop_oneof![19 => evidence, 1 => values()].prop_map(Ok);
    let window = prop_oneof![9 => seen(evidence.clone()), 1 => unknown().prop_map(Err)].boxed();
    let burn = prop::collection::vec((window.clone(), window.clone()), burn_rates);
    let baseline = prop_oneof![12 => Just(Ok(base)), 1 => Just(Ok(0.0)), 1 => unknown().prop_map(Err)];
    let confirm = proptest::option::weighted(0.97, window.clone());
    (window, confirm, proptest::option::weighted(0.97, baseline), burn)
        .prop_map(|(window, confirm, baseline, burn)| Reading { window, confirm, baseline, burn })
        .boxed()
}

/// Around the stages. Never 0 %, where there is nothing to roll back and firing looks otherwise.
fn share() -> impl Strategy<Value = Option<u8>> + Clone {
    prop::sample::select(vec![None, Some(1), Some(4), Some(5), Some(6), Some(20), Some(21), Some(100)])
}

/// Phases of like readings, because independent ones would hardly ever hold a breach for long; and few different ones, because it is the
/// return to a breach after something else that the clocks are about. The share changes between any two ticks.
fn history(readings: BoxedStrategy<Reading>) -> impl Strategy<Value = History> {
    let gap = prop_oneof![
        2 => -40_000_i64..0,
        2 => Just(0),
        4 => 1_i64..10_000,
        60 => Just(10_000),
        2 => Just(20_000),
        6 => 10_001_i64..60_000,
    ];
    let lag = prop_oneof![20 => Just(0_i64), 1 => 1..=30_000_i64, 1 => 30_001..90_000_i64];
    let tick = (gap, lag, prop::bool::weighted(0.85), proptest::option::weighted(0.1, share()));
    let sight = prop_oneof![
        28 => readings.prop_map(|reading| Some(Sight::Reading(reading))),
        1 => Just(Some(Sight::NoReading)),
        1 => Just(None)
    ];
    let sights = prop::collection::vec(sight, 5);
    let length = prop_oneof![prop::collection::vec(tick.clone(), 1..4), prop::collection::vec(tick, 4..14)];
    let phases = prop::collection::vec((prop::sample::select(vec![0_usize, 0, 1, 1, 2, 3, 4]), length), 1..14);
    (0..20_000_i64, share(), sights, phases).prop_map(|(start, mut now, sights, phases)| {
        let mut steps = Vec::new();
        for (seen, ticks) in phases {
            for (gap, lag, live, share) in ticks {
                now = share.unwrap_or(now);
                steps.push(Step { gap, lag, live, share: now, seen: sights[seen].clone() });
            }
        }
        History { start, steps }
    })
}

fn triggers() -> impl Strategy<Value = (TriggerSettings, BoxedStrategy<Reading>)> {
    let levels = |threshold, clear| Levels { threshold, clear };
    let stages = |first, second| vec![Stage { up_to: 5, levels: first }, Stage { up_to: 20, levels: second }];
    let ratio = error_rate;
    let available =
        TriggerSettings { measure: Measure::Availability, side: Side::Below, levels: levels(0.99, 0.9949), ..ratio() };
    let latency = |measure, threshold, clear| TriggerSettings { measure, levels: levels(threshold, clear), ..ratio() };
    let degraded = latency(Measure::QuantileDegradation { q: 0.95 }, 0.5, 0.25);
    let single = |measure, threshold, clear| TriggerSettings {
        confirm_window: None,
        window: Duration::ZERO,
        ..latency(measure, threshold, clear)
    };
    let counted = |trigger| (trigger, reading(counts(), 1.0, 0));
    let valued = |trigger, base| (trigger, reading(values(), base, 0));
    let risen = TriggerSettings { measure: Measure::FailureRise, ..ratio() };
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let burn_rate =
        |above, window, confirm| BurnRate { above, window: minutes(window), confirm_window: minutes(confirm) };
    let burning = TriggerSettings {
        measure: Measure::BurnRate { budget: 0.001 },
        burn_rates: vec![burn_rate(14.4, 60, 5), burn_rate(6.0, 360, 30)],
        window: minutes(360),
        confirm_window: None,
        ..ratio()
    };
    let kinds = vec![
        counted(ratio()),
        counted(TriggerSettings { stages: stages(levels(0.005, 0.0025), levels(0.02, 0.01)), ..ratio() }),
        counted(TriggerSettings { literal: true, ..ratio() }),
        counted(TriggerSettings { stages: stages(levels(0.98, 0.99), levels(0.995, 0.998)), ..available.clone() }),
        counted(available),
        (
            TriggerSettings { stages: stages(levels(0.005, 0.0025), levels(0.02, 0.01)), ..risen },
            reading(counts(), 0.003, 0),
        ),
        (burning, reading(counts(), 1.0, 2)),
        (latency(Measure::Quantile { q: 0.95 }, 0.15, 0.12), reading(quantiles(), 1.0, 0)),
        (
            TriggerSettings { stages: stages(levels(0.25, 0.2), levels(1.0, 0.5)), ..degraded.clone() },
            reading(quantiles(), 0.12, 0),
        ),
        (TriggerSettings { literal: true, ..degraded }, reading(quantiles(), 0.12, 0)),
        valued(single(Measure::Value, 100.0, 60.0), 1.0),
        valued(TriggerSettings { side: Side::Below, ..single(Measure::Value, 60.0, 100.0) }, 1.0),
        valued(single(Measure::ValueDegradation, 0.5, 0.25), 80.0),
        valued(single(Measure::ValueDrop, 0.4, 0.2), 120.0),
    ];
    let clocks = (prop::sample::select(vec![0_u64, 20, 60, 120]), prop::sample::select(vec![0_u64, 10, 30, 60]));
    (prop::sample::select(kinds), clocks).prop_map(|((trigger, readings), (hold_for, clear_for))| {
        let clocks = (Duration::from_secs(hold_for), Duration::from_secs(clear_for));
        (TriggerSettings { hold_for: clocks.0, clear_for: clocks.1, ..trigger }, readings)
    })
}

/// A trigger and what happens to it.
pub fn cases() -> impl Strategy<Value = (TriggerSettings, History)> {
    triggers().prop_flat_map(|(trigger, readings)| (Just(trigger), history(readings)))
}
