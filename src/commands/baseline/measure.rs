//! What a period says of a trigger, as its baseline.

use std::time::Duration;

use jiff::Timestamp;

use crate::config::{self, Guard, Settings, Signal};
use crate::engine::{BaselineSource, Counted, Evidence, Measurement, TriggerSettings, Unknown};
use crate::prometheus::{Client, ClientError, Plan, Steps};

/// How long the queries for one baseline may take: a week of many series is read from disk, once a month and while somebody waits.
/// Prometheus itself gives a query up after two minutes by default (`--query.timeout`).
const TIMEOUT: Duration = Duration::from_secs(120);

/// Instants that are looked at in a period, at most: enough for one every five minutes of a week, which is the usual window.
const MOST_STEPS: u32 = 2016;

/// A trigger that takes a recorded baseline.
pub struct Wanted<'a> {
    pub guard: &'a Guard,
    pub trigger: &'a TriggerSettings,
    pub signal: &'a Signal,
    /// The period that is asked for.
    pub over: Duration,
}

impl Wanted<'_> {
    /// `terminal: latency`.
    pub fn name(&self) -> String {
        format!("{}: {}", self.guard.name, self.trigger.name)
    }
}

/// A client with time for long periods.
pub fn client(settings: &Settings) -> Result<Client, ClientError> {
    Client::new(&config::Prometheus { timeout: TIMEOUT, ..settings.prometheus.clone() })
}

/// Measures one trigger over the period that ends at `to`. The error is why nothing is known.
pub async fn measure(
    client: &Client,
    wanted: &Wanted<'_>,
    interval: Duration,
    to: Timestamp,
) -> Result<Measurement, String> {
    let steps = steps(wanted.over, wanted.signal.window.max(interval));
    let (guard, trigger) = (wanted.guard.name.as_str(), wanted.trigger.name.as_str());
    let plan = Plan::of_period(guard, trigger, wanted.signal, steps);
    let (answers, _) = client.ask(&plan, to).await;
    let reading = plan.readings(&answers).remove(guard).and_then(|mut of_guard| of_guard.remove(trigger));
    let reading = reading.ok_or_else(|| Unknown::NotObserved.to_string())?;
    let seen = match reading.confirm {
        Some(Ok(Evidence::Value(count))) => count,
        Some(Err(unknown)) => return Err(explained(&unknown)),
        _ => return Err(Unknown::NotObserved.to_string()),
    };
    let (value, count, counted) = match reading.window {
        Ok(Evidence::Quantile { value, requests }) => (value, requests, Counted::Requests),
        Ok(Evidence::Counts { failed, total }) if total > 0.0 => (failed / total, total, Counted::Requests),
        Ok(Evidence::Counts { .. }) => return Err(explained(&Unknown::NoTraffic)),
        Ok(Evidence::Value(value)) => (value, seen, Counted::Samples),
        Err(unknown) => return Err(explained(&unknown)),
    };
    let of = wanted.trigger.baseline.as_ref().and_then(BaselineSource::digest).unwrap_or_default();
    let covered = (seen / steps.count()).min(1.0);
    let from = to.checked_sub(wanted.over).unwrap_or(Timestamp::MIN);
    Ok(Measurement { value, count, counted, covered, from, to, of })
}

/// The instants of a period: no more than is useful, and in whole seconds.
fn steps(period: Duration, least: Duration) -> Steps {
    let even = (period / MOST_STEPS).max(least);
    let step = if even.subsec_nanos() == 0 { even } else { Duration::from_secs(even.as_secs() + 1) };
    Steps { period, step }
}

/// Why nothing is known, and what to do.
fn explained(unknown: &Unknown) -> String {
    let hint = match unknown {
        Unknown::NoSeries => {
            "Prometheus may hold too little of this period: then wait until it holds all of it, or record less (--over). Otherwise compare match \
             with the labels there"
        }
        Unknown::NoTraffic => "record a period with traffic: --over, --to",
        Unknown::SeveralSeries(_) => "the query must give one series",
        Unknown::TimedOut(_) | Unknown::QueryFailed(_) => {
            "where Prometheus finds the period too long, record a shorter one (--over)"
        }
        _ => return unknown.to_string(),
    };
    // The period is what is asked over, and not the trigger's window.
    format!("{unknown}; {hint}").replace("in the window", "in the period")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_has_no_more_steps_than_are_useful() {
        let (hour, week, year) = (3600, 7 * 24 * 3600, 366 * 24 * 3600);
        for (period, least, step) in
            [(hour, 10, 10), (week, 300, 300), (week, 10, 300), (year, 300, 15686), (2 * hour, 7, 7)]
        {
            let seconds = Duration::from_secs;
            assert_eq!(steps(seconds(period), seconds(least)).step, seconds(step), "{period} {least}");
        }
    }
}
