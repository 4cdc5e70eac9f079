//! The rules of verdict, clock and firing once more: slow, obvious, and written from the design's text alone.
//!
//! Nothing is remembered but the whole history; every answer is worked out from it anew.

use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::super::*;
use super::scenario::{INTERVAL, error_rate, guard, settings, start};

#[derive(Clone, Copy, PartialEq, Debug)]
enum Says {
    Breach,
    Band,
    Clear,
    Unknown,
}

/// What one window says: how bad it is, larger being worse, and whether that is enough to tell.
struct Window {
    /// For the threshold and the clear level: little traffic replaces the ratio.
    careful: f64,
    /// As it is.
    plain: f64,
    failures: bool,
    enough: bool,
}

/// The threshold and the clear level on the same scale, larger being worse.
fn levels(trigger: &TriggerSettings, share: Option<u8>) -> (f64, f64) {
    let mut levels = trigger.levels;
    if let Some(share) = share {
        for stage in trigger.stages.iter().rev() {
            if share <= stage.up_to {
                levels = stage.levels;
            }
        }
    }
    match (trigger.measure, trigger.side) {
        (Measure::Availability, _) => (1.0 - levels.threshold, 1.0 - levels.clear),
        (_, Side::Above) => (levels.threshold, levels.clear),
        (_, Side::Below) => (-levels.threshold, -levels.clear),
    }
}

/// The smaller root of `(p - x)² = z² x (1 - x) / n`: Wilson's interval is where that holds.
fn wilson(p: f64, n: f64) -> f64 {
    let z = 2.575_829_303_548_901_f64;
    let (a, b, c) = (1.0 + z * z / n, -(2.0 * p + z * z / n), p * p);
    (-b - (b * b - 4.0 * a * c).max(0.0).sqrt()) / (2.0 * a)
}

/// One window, or nothing where it is not known.
fn window(
    trigger: &TriggerSettings,
    seen: &Result<Evidence, Unknown>,
    baseline: Option<&Result<f64, Unknown>>,
    threshold: f64,
    is_confirm: bool,
) -> Option<Window> {
    let against = |now: f64| -> Option<f64> {
        let base = *baseline?.as_ref().ok()?;
        (base.is_finite() && base > 0.0).then(|| now / base - 1.0)
    };
    let value = match (trigger.measure, *seen.as_ref().ok()?) {
        (Measure::FailureRatio | Measure::Availability, Evidence::Counts { failed, total }) => {
            if !failed.is_finite() || !total.is_finite() || total <= 0.0 {
                return None;
            }
            let ratio = failed / total;
            let enough = trigger.literal || total * threshold >= 10.0;
            let mut careful = ratio;
            if !enough && !is_confirm {
                careful = wilson(ratio, total);
                // Fewer than five failures are never beyond, and are inside if their bound is.
                if failed < 5.0 {
                    careful = careful.min(threshold);
                }
            }
            return Some(Window { careful, plain: ratio, failures: failed > 0.0, enough });
        }
        (Measure::Quantile { q } | Measure::QuantileDegradation { q }, Evidence::Quantile { value, requests }) => {
            let enough = trigger.literal || requests * (1.0 - q) >= 10.0;
            if !value.is_finite() || !requests.is_finite() || requests <= 0.0 || (!enough && !is_confirm) {
                return None;
            }
            let value = if matches!(trigger.measure, Measure::Quantile { .. }) { value } else { against(value)? };
            return Some(Window { careful: value, plain: value, failures: true, enough });
        }
        (Measure::Value, Evidence::Value(value)) => value,
        (Measure::ValueDegradation, Evidence::Value(value)) => against(value)?,
        (Measure::ValueDrop, Evidence::Value(value)) => -against(value)?,
        _ => return None,
    };
    let value = if trigger.side == Side::Below { -value } else { value };
    value.is_finite().then_some(Window { careful: value, plain: value, failures: true, enough: true })
}

fn verdict(trigger: &TriggerSettings, reading: &Reading, share: Option<u8>) -> Says {
    let (threshold, clear) = levels(trigger, share);
    let baseline = reading.baseline.as_ref();
    let Some(over_window) = window(trigger, &reading.window, baseline, threshold, false) else {
        return Says::Unknown;
    };
    if over_window.careful < clear {
        return Says::Clear;
    }
    let beyond = over_window.careful > threshold;
    if trigger.confirm_window.is_none() {
        return if beyond { Says::Breach } else { Says::Band };
    }
    let Some(over_confirm) = reading.confirm.as_ref().and_then(|c| window(trigger, c, baseline, threshold, true))
    else {
        return Says::Unknown;
    };
    if beyond && over_confirm.plain > threshold && over_confirm.failures {
        Says::Breach
    } else if over_confirm.plain < clear && over_confirm.enough {
        Says::Clear
    } else {
        Says::Band
    }
}

/// How long the breach was observed, from the whole history of verdicts.
fn held(history: &[(Timestamp, Says)], clear_for: Duration) -> Option<Duration> {
    let known: Vec<_> = history.iter().filter(|tick| tick.1 != Says::Unknown).collect();
    // The time that a known tick adds: since the known tick before it, at most two intervals.
    let seen = |index: usize| {
        let since = Duration::try_from(known[index].0.duration_since(known[index - 1].0)).unwrap();
        since.min(2 * INTERVAL)
    };
    let clear_run = |end: usize| {
        let mut first = end;
        while first > 0 && known[first - 1].1 == Says::Clear {
            first -= 1;
        }
        (first + 1..=end).map(seen).sum::<Duration>()
    };
    let resets = |index: usize| known[index].1 == Says::Clear && clear_run(index) >= clear_for;
    let after_reset = (0..known.len()).rev().find(|&index| resets(index)).map_or(0, |index| index + 1);
    let first = (after_reset..known.len()).find(|&index| known[index].1 == Says::Breach)?;
    Some((first + 1..known.len()).filter(|&index| known[index].1 != Says::Clear).map(seen).sum())
}

#[derive(Debug, Clone)]
struct Step {
    /// Seconds since the tick before; nothing repeats it.
    gap: u64,
    live: bool,
    share: Option<u8>,
    reading: Reading,
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

/// Around the levels, so that all verdicts are frequent.
fn ratio() -> impl Strategy<Value = f64> {
    prop_oneof![2 => Just(0.0), 2 => 0.0..0.005, 2 => 0.005..0.012, 5 => 0.01..0.05, 1 => Just(1.0)]
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

fn reading(evidence: BoxedStrategy<Evidence>, base: f64) -> impl Strategy<Value = Reading> {
    let seen = |evidence: BoxedStrategy<Evidence>| prop_oneof![9 => evidence, 1 => values()].prop_map(Ok);
    let window = prop_oneof![9 => seen(evidence.clone()), 1 => unknown().prop_map(Err)];
    let confirm = prop_oneof![9 => seen(evidence), 1 => unknown().prop_map(Err)];
    let baseline = prop_oneof![12 => Just(Ok(base)), 1 => Just(Ok(0.0)), 1 => unknown().prop_map(Err)];
    (window, proptest::option::weighted(0.97, confirm), proptest::option::weighted(0.97, baseline))
        .prop_map(|(window, confirm, baseline)| Reading { window, confirm, baseline, burn: Vec::new() })
}

/// Phases of like readings, because independent ones would hardly ever hold a breach for long.
fn history(readings: BoxedStrategy<Reading>) -> impl Strategy<Value = Vec<Step>> {
    let share = prop_oneof![4 => Just(Some(25)), 2 => Just(Some(4)), 1 => Just(None)];
    let gap = prop_oneof![1 => Just(0_u64), 1 => 1_u64..10, 12 => Just(10), 2 => 11_u64..60];
    let tick = (gap, prop::bool::weighted(0.8));
    let phase = (readings, share, prop::collection::vec(tick, 1..14));
    prop::collection::vec(phase, 1..9).prop_map(|phases| {
        let steps = phases.into_iter().flat_map(|(reading, share, ticks)| {
            let step = move |(gap, live)| Step { gap, live, share, reading: reading.clone() };
            ticks.into_iter().map(step).collect::<Vec<_>>()
        });
        steps.collect()
    })
}

fn triggers() -> impl Strategy<Value = (TriggerSettings, BoxedStrategy<Reading>)> {
    let ratio = error_rate;
    let stage = Stage { up_to: 5, levels: Levels { threshold: 0.005, clear: 0.0025 } };
    let latency =
        |measure, threshold, clear| TriggerSettings { measure, levels: Levels { threshold, clear }, ..error_rate() };
    let single = |measure, threshold, clear| TriggerSettings {
        confirm_window: None,
        window: Duration::ZERO,
        ..latency(measure, threshold, clear)
    };
    let kinds = vec![
        (ratio(), reading(counts(), 1.0).boxed()),
        (TriggerSettings { stages: vec![stage], ..ratio() }, reading(counts(), 1.0).boxed()),
        (TriggerSettings { literal: true, ..ratio() }, reading(counts(), 1.0).boxed()),
        (
            TriggerSettings {
                measure: Measure::Availability,
                side: Side::Below,
                levels: Levels { threshold: 0.99, clear: 0.9949 },
                ..ratio()
            },
            reading(counts(), 1.0).boxed(),
        ),
        (latency(Measure::Quantile { q: 0.95 }, 0.15, 0.12), reading(quantiles(), 1.0).boxed()),
        (latency(Measure::QuantileDegradation { q: 0.95 }, 0.5, 0.25), reading(quantiles(), 0.12).boxed()),
        (single(Measure::Value, 100.0, 60.0), reading(values(), 1.0).boxed()),
        (TriggerSettings { side: Side::Below, ..single(Measure::Value, 60.0, 100.0) }, reading(values(), 1.0).boxed()),
        (single(Measure::ValueDegradation, 0.5, 0.25), reading(values(), 80.0).boxed()),
        (single(Measure::ValueDrop, 0.4, 0.2), reading(values(), 120.0).boxed()),
    ];
    let clocks = (prop::sample::select(vec![0_u64, 20, 60, 120]), prop::sample::select(vec![0_u64, 10, 30, 60]));
    (prop::sample::select(kinds), clocks).prop_map(|((trigger, readings), (hold_for, clear_for))| {
        let clocks = (Duration::from_secs(hold_for), Duration::from_secs(clear_for));
        (TriggerSettings { hold_for: clocks.0, clear_for: clocks.1, ..trigger }, readings)
    })
}

fn cases() -> impl Strategy<Value = (TriggerSettings, Vec<Step>)> {
    triggers().prop_flat_map(|(trigger, readings)| (Just(trigger), history(readings)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_agrees_with_the_oracle((trigger, steps) in cases()) {
        let mut engine = Engine::new(settings(vec![guard("terminal", vec![trigger.clone()])]));
        let mut history: Vec<(Timestamp, Says)> = Vec::new();
        let mut fired = false;
        let mut share = None;
        let mut at = start();
        for step in steps {
            at += Duration::from_secs(step.gap);
            // A repeated tick says nothing new, even if it is live and the first was not; but one of the past does where nothing was
            // known yet.
            let known = history.iter().rfind(|tick| tick.1 != Says::Unknown);
            let new = match step.live {
                true => history.last().is_none_or(|last| last.0 < at),
                false => known.is_none_or(|known| known.0 < at),
            };
            if new {
                // The past of the share is not known: it stays what it was.
                share = if step.live { step.share } else { step.share.or(share) };
                history.push((at, verdict(&trigger, &step.reading, share)));
            }
            let says = history.last().unwrap().1;
            let expected_held = held(&history, trigger.clear_for);
            let fires = new
                && step.live
                && says == Says::Breach
                && expected_held.is_some_and(|held| held >= trigger.hold_for)
                && !fired;

            let observation = Observation {
                share: step.share.ok_or(Unknown::NotObserved),
                readings: [(super::scenario::lasting(&trigger.name), step.reading)].into(),
                drift: Vec::new(),
            };
            let kind = if step.live { TickKind::Live } else { TickKind::History };
            let tick = Tick { at, kind, guards: [("terminal", observation)].into() };
            let actions = engine.handle(Input::Tick(tick), at);
            let changes = actions.iter().filter(|a| matches!(a, Action::Change(_))).count();

            let status = &engine.status()[0].triggers[0];
            let word = format!("{says:?}").to_lowercase();
            prop_assert_eq!(status.verdict, word, "verdict at {}: {}", at, status.reason);
            let got_held = Duration::from_secs_f64(status.held_seconds);
            prop_assert_eq!(got_held, expected_held.unwrap_or_default(), "held at {}", at);
            prop_assert_eq!(changes, usize::from(fires), "fires at {}", at);
            fired |= fires;
        }
    }
}
