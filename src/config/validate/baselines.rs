//! A trigger's `baseline`: what a degradation compares with.

use std::time::Duration;

use crate::config::field::{At, Field};
use crate::config::problems::Problems;
use crate::config::raw;
use crate::config::units::{self, say};
use crate::config::{Baseline, SignalKind};

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
    if b.recorded.is_written() {
        problems.error(
            &written.path.key("recorded"),
            format!(
                "this version cannot record baselines; write {}, or compare with {{offset: 1d}} or {{control: …}}",
                fixed_example(kind)
            ),
        );
        return None;
    }
    match (&b.fixed, &b.offset, &b.control) {
        (Field::Given(fixed), Field::Missing, Field::Missing) => {
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
        (Field::Missing, Field::Given(offset), Field::Missing) => {
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
        (Field::Missing, Field::Missing, Field::Given(control)) => {
            control_baseline(kind, control, signal, context, problems).map(Some)
        }
        (Field::Missing, Field::Missing, Field::Missing) => {
            problems.error(&written.path, "needs one of fixed, offset and control");
            None
        }
        (Field::Wrong, Field::Missing, Field::Missing)
        | (Field::Missing, Field::Wrong, Field::Missing)
        | (Field::Missing, Field::Missing, Field::Wrong) => None,
        _ => {
            problems.error(
                &written.path,
                "has several of fixed, offset and control; keep one (what several files say adds up)",
            );
            None
        }
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
