//! What a trigger is judged by, as PromQL for a person: for recording rules and panels. The same expressions as in a tick's plan, for one
//! guard each.

use std::time::Duration;

use crate::config::{Selector, SignalKind};

use super::plan::{millionths, shape};
use super::promql::{self, Number};

/// The queries of one signal over one window.
#[derive(Debug, Clone, PartialEq)]
pub enum Judged {
    /// Failed requests, and all of them, in the window.
    Counts {
        /// The failed ones; nothing where none ever failed.
        failed: String,
        /// All.
        requests: String,
    },
    /// A quantile, in seconds.
    Quantile {
        /// The quantile.
        value: String,
        /// Which, between 0 and 1.
        quantile: f64,
    },
    /// Requests per second.
    Rate(String),
    /// A number of its own.
    Written(String),
}

/// What a signal of this kind is judged by.
pub fn judged(kind: &SignalKind, window: Duration) -> Judged {
    let counts = |number, selector| Judged::Counts {
        failed: query(number, selector, window),
        requests: query(Number::Requests, selector, window),
    };
    match kind {
        SignalKind::ErrorRate(selector) | SignalKind::Availability(selector) => counts(Number::Failed, selector),
        SignalKind::ClientErrorRate(selector) => counts(Number::ClientErrors, selector),
        SignalKind::Latency { selector, quantile } => Judged::Quantile {
            value: query(Number::Quantile(millionths(*quantile)), selector, window),
            quantile: *quantile,
        },
        SignalKind::Throughput(selector) => Judged::Rate(request_rate(selector, window)),
        SignalKind::Promql(query) => Judged::Written(query.clone()),
    }
}

/// Requests per second of these series.
pub fn request_rate(selector: &Selector, window: Duration) -> String {
    query(Number::Rate, selector, window)
}

fn query(number: Number, selector: &Selector, window: Duration) -> String {
    let values = selector.labels.iter().map(|(label, value)| (label.as_str(), [value.as_str()].into()));
    promql::expression(&shape(number, selector, window, Duration::ZERO), &values.collect()).to_string()
}
