//! What the rows of a guard say for one of its triggers.

use crate::config::{Baseline, Signal, SignalKind};
use crate::engine::{Evidence, Reading, Unknown, needed_for_quantile};

use super::super::millis;
use super::table::Table;

/// Why a baseline of other series is not known.
const NO_OTHER_SERIES: &str =
    "a table has no other series to compare with, which baseline.control asks for; OpenMetrics text can have them";

/// The reading of a trigger at an instant, from the rows of its guard, if it has any, and its own column, if there is one.
pub(super) fn reading(table: Option<&Table>, own: Option<usize>, signal: &Signal, at: i64) -> Reading {
    let Some(table) = table else { return Reading { window: Err(Unknown::NoSeries), ..without_rows(signal) } };
    let over = |window, at| evidence(table, own, &signal.kind, millis(window), at);
    let baseline = signal.baseline.as_ref().map(|baseline| match baseline {
        Baseline::Fixed(value) => Ok(*value),
        Baseline::Offset(offset) => compared(&signal.kind, over(signal.window, at.saturating_sub(millis(*offset)))?),
        Baseline::Control(_) => Err(Unknown::QueryFailed(NO_OTHER_SERIES.to_owned())),
    });
    Reading { window: over(signal.window, at), confirm: signal.confirm_window.map(|window| over(window, at)), baseline }
}

/// The reading of a guard of which the table has no row.
fn without_rows(signal: &Signal) -> Reading {
    let baseline = signal.baseline.as_ref().map(|baseline| match baseline {
        Baseline::Fixed(value) => Ok(*value),
        _ => Err(Unknown::NoSeries),
    });
    Reading { window: Err(Unknown::NoSeries), confirm: signal.confirm_window.map(|_| Err(Unknown::NoSeries)), baseline }
}

fn evidence(
    table: &Table,
    own: Option<usize>,
    kind: &SignalKind,
    window: i64,
    at: i64,
) -> Result<Evidence, Unknown> {
    match kind {
        SignalKind::ErrorRate(_) | SignalKind::Availability(_) => {
            table.failures(at, window).map(|(failed, total)| Evidence::Counts { failed, total })
        }
        SignalKind::Latency { .. } => {
            table.latency(at, window).map(|(value, requests)| Evidence::Quantile { value, requests })
        }
        SignalKind::Throughput(_) | SignalKind::Promql(_) => match own {
            Some(column) => table.value(column, at).map(Evidence::Value),
            None if matches!(kind, SignalKind::Throughput(_)) => table.rate(at, window).map(Evidence::Value),
            None => Err(Unknown::NoSeries),
        },
    }
}

/// What was measured once as what is compared with now. A quantile of too few requests is none.
fn compared(kind: &SignalKind, then: Evidence) -> Result<f64, Unknown> {
    match (then, kind) {
        (Evidence::Quantile { value, requests }, SignalKind::Latency { quantile, .. }) => {
            let needed = needed_for_quantile(*quantile);
            if requests < needed { Err(Unknown::TooFewRequests { requests, needed }) } else { Ok(value) }
        }
        (Evidence::Quantile { value, .. } | Evidence::Value(value), _) => Ok(value),
        (Evidence::Counts { total, .. }, _) => Ok(total),
    }
}
