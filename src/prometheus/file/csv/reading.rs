//! What the rows of a guard say for one of its triggers.

use std::time::Duration;

use crate::config::{Baseline, Signal, SignalKind};
use crate::engine::{Evidence, Reading, Unknown, needed_for_quantile, needed_for_ratio};

use super::super::millis;
use super::table::Table;

/// Why a baseline of other series is not known.
const NO_OTHER_SERIES: &str =
    "a table has no other series to compare with, which baseline.control asks for; OpenMetrics text can have them";

/// What there is for a trigger.
pub(super) struct Said<'a> {
    /// The rows of its guard, if there are any.
    pub(super) table: Option<&'a Table>,
    /// Its own column, if it has one.
    pub(super) own: Option<usize>,
    /// What it measures.
    pub(super) signal: &'a Signal,
    /// Its least threshold.
    pub(super) threshold: f64,
}

impl Said<'_> {
    /// The reading at an instant.
    pub(super) fn reading(&self, at: i64) -> Reading {
        let over = |window| self.evidence(window, at);
        Reading {
            window: over(self.signal.window),
            confirm: self.signal.confirm_window.map(over),
            baseline: self.signal.baseline.as_ref().and_then(|baseline| self.baseline(baseline, at)),
            burn: self.signal.burn_rates.iter().map(|rate| (over(rate.window), over(rate.confirm_window))).collect(),
        }
    }

    fn evidence(&self, window: Duration, at: i64) -> Result<Evidence, Unknown> {
        let table = self.table.ok_or(Unknown::NoSeries)?;
        let window = millis(window);
        let counts = |(failed, total)| Evidence::Counts { failed, total };
        match (&self.signal.kind, self.own) {
            (SignalKind::ErrorRate(_) | SignalKind::Availability(_), _) => table.failed(at, window).map(counts),
            (SignalKind::ClientErrorRate(_), _) => table.client_errors(at, window).map(counts),
            (SignalKind::Latency { .. }, _) => {
                table.latency(at, window).map(|(value, requests)| Evidence::Quantile { value, requests })
            }
            (SignalKind::Throughput(_) | SignalKind::Promql(_), Some(own)) => table.value(own, at).map(Evidence::Value),
            (SignalKind::Throughput(_), None) => table.rate(at, window).map(Evidence::Value),
            (SignalKind::Promql(_), None) => Err(Unknown::NoSeries),
        }
    }

    /// What is compared with; none where the engine knows it itself.
    fn baseline(&self, baseline: &Baseline, at: i64) -> Option<Result<f64, Unknown>> {
        match baseline {
            Baseline::Fixed(value) => Some(Ok(*value)),
            Baseline::Offset(offset) => Some(self.earlier(*offset, at)),
            Baseline::Control(_) => Some(Err(Unknown::QueryFailed(NO_OTHER_SERIES.to_owned()))),
            Baseline::Recorded(_) => None,
        }
    }

    /// The signal so long ago. A ratio or a quantile of too few requests is none, as of a server.
    fn earlier(&self, offset: Duration, at: i64) -> Result<f64, Unknown> {
        let (value, requests, needed) =
            match (self.evidence(self.signal.window, at.saturating_sub(millis(offset)))?, &self.signal.kind) {
                (Evidence::Quantile { value, requests }, SignalKind::Latency { quantile, .. }) => {
                    (value, requests, needed_for_quantile(*quantile))
                }
                (Evidence::Counts { failed, total }, _) => (failed / total, total, needed_for_ratio(self.threshold)),
                (Evidence::Quantile { value, .. } | Evidence::Value(value), _) => return Ok(value),
            };
        if requests < needed { Err(Unknown::TooFewRequests { requests, needed }) } else { Ok(value) }
    }
}
