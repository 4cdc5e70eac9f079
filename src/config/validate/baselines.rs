//! A trigger's `baseline`: what a degradation compares with.

use std::time::Duration;

use crate::config::field::{At, Field};
use crate::config::problems::Problems;
use crate::config::raw;
use crate::config::units::{self, say};
use crate::config::{Baseline, Recording, Signal, SignalKind, defaults};
use crate::engine::BaselineSource;

use super::levels::{Key, Kind};
use super::selectors;
use super::triggers::Context;

/// What a degradation compares with: `Some(None)` for a trigger that is none.
pub(super) fn baseline(
    kind: Kind,
    at: &At<raw::Trigger>,
    window: Duration,
    signal: Option<&SignalKind>,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Option<Option<Baseline>> {
    let key = if at.value.rises_by.is_written() { Key::RisesBy } else { Key::DegradedBy };
    let compares = at.value.degraded_by.is_written() || at.value.rises_by.is_written();
    let written = match (&at.value.baseline, compares) {
        (Field::Missing, false) => return Some(None),
        (Field::Missing, true) => {
            problems.error(
                &at.path,
                format!("needs a baseline for {}, like baseline: {}", key.name(), fixed_example(kind)),
            );
            return None;
        }
        (Field::Wrong, _) => return None,
        (Field::Given(baseline), false) => {
            problems.error(
                &baseline.path,
                "is for degraded_by and rises_by; leave it out, or write one of these in place of the threshold",
            );
            return None;
        }
        (Field::Given(baseline), true) => baseline,
    };
    let b = &written.value;
    let ways = [b.fixed.is_written(), b.offset.is_written(), b.control.is_written(), b.recorded.is_written()];
    match ways.iter().filter(|written| **written).count() {
        0 => {
            problems.error(&written.path, "needs one of fixed, recorded, offset and control");
            return None;
        }
        1 => {}
        _ => {
            problems.error(
                &written.path,
                "has several of fixed, recorded, offset and control; keep one (what several files say adds up)",
            );
            return None;
        }
    }
    match (&b.fixed, &b.offset, &b.control) {
        (Field::Given(fixed), ..) => {
            let parsed = match kind {
                Kind::Latency => units::latency(&fixed.value),
                Kind::Throughput => units::rate(&fixed.value),
                Kind::ClientErrorRate => units::share(&fixed.value),
                _ => units::quantity(&fixed.value).and_then(|(value, _)| match value > 0.0 {
                    true => Ok(value),
                    false => {
                        Err(format!("{} is out of range; a baseline must be above 0, to be divided by", fixed.value))
                    }
                }),
            };
            problems.take(&fixed.path, parsed).map(|value| Some(Baseline::Fixed(value)))
        }
        (_, Field::Given(offset), _) => {
            if kind == Kind::Promql {
                problems
                    .error(&offset.path, "does not go with promql; write {fixed: …}, or put the offset into the query");
                return None;
            }
            if offset.value < window {
                let message = format!(
                    "{} is shorter than window ({}): it would compare the signal with itself",
                    say(offset.value),
                    say(window)
                );
                problems.error(&offset.path, message);
                return None;
            }
            Some(Some(Baseline::Offset(offset.value)))
        }
        (.., Field::Given(control)) => control_baseline(kind, control, signal, context, problems).map(Some),
        _ => {
            recording(b.recorded.get()?, window, context, problems).map(|recording| Some(Baseline::Recorded(recording)))
        }
    }
}

/// How a baseline is recorded.
fn recording(
    at: &At<raw::Recording>,
    window: Duration,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Option<Recording> {
    let over = at.value.over.or_default(defaults::RECORDED_OVER);
    let over = over.filter(|over| {
        let least = window.max(context.interval);
        if *over < least {
            let place = at.value.over.get().map_or_else(|| at.path.key("over"), |at| at.path.clone());
            let message =
                format!("{} is shorter than what a tick measures ({}); write like 7d", say(*over), say(least));
            problems.error(&place, message);
        }
        *over >= least
    });
    let max_age = at.value.max_age.or_default(defaults::RECORDED_MAX_AGE);
    let max_age = max_age.filter(|age| {
        if age.is_zero() {
            problems.error(&at.path.key("max_age"), "0s is too short: it would be too old at once; write like 30d");
        }
        !age.is_zero()
    });
    Some(Recording { over: over?, max_age: max_age? })
}

/// The same for the engine: where the number comes from, and in which words.
pub(super) fn source(signal: &Signal) -> Option<BaselineSource> {
    Some(match signal.baseline.as_ref()? {
        Baseline::Fixed(_) => BaselineSource::Fixed,
        Baseline::Offset(offset) => BaselineSource::Offset(*offset),
        Baseline::Control(selector) => BaselineSource::Control(selector.to_string()),
        Baseline::Recorded(recording) => {
            BaselineSource::Recorded { of: signal.kind.identity(), max_age: recording.max_age }
        }
    })
}

/// What is measured, as a text for the clocks. When a baseline is recorded, and when it is too old, changes nothing about that.
pub(super) fn clock_source(signal: &Signal) -> String {
    match signal.baseline {
        Some(Baseline::Recorded(_)) => {
            let same = Recording { over: Duration::ZERO, max_age: Duration::ZERO };
            format!("{:?}", Signal { baseline: Some(Baseline::Recorded(same)), ..signal.clone() })
        }
        _ => format!("{signal:?}"),
    }
}

fn fixed_example(kind: Kind) -> &'static str {
    match kind {
        Kind::Throughput => "{fixed: 20/s}",
        Kind::ClientErrorRate => "{offset: 1d}",
        Kind::Promql => "{fixed: 100Mi}",
        _ => "{fixed: 120ms}",
    }
}

fn control_baseline(
    kind: Kind,
    control: &At<raw::Control>,
    signal: Option<&SignalKind>,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Option<Baseline> {
    if kind == Kind::Promql {
        problems.error(
            &control.path,
            "does not go with promql; write {fixed: …}, or divide by the other series in the query",
        );
        return None;
    }
    let metrics = selectors::metric_names(&control.value.metrics, problems);
    control.value.r#match.required(&control.path, "needs match, the labels of the series to compare with", problems);
    let metrics = metrics?.unwrap_or(context.metrics);
    let selector = selectors::selector(&control.value.r#match, metrics, false, context.vars, problems)??;
    let own = match signal {
        Some(
            SignalKind::Latency { selector, .. }
            | SignalKind::Throughput(selector)
            | SignalKind::ClientErrorRate(selector),
        ) => Some(selector),
        _ => None,
    };
    if own == Some(&selector) {
        problems.error(&control.path, "selects the guard's own series: it would compare the signal with itself");
        return None;
    }
    Some(Baseline::Control(selector))
}
