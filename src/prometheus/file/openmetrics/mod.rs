//! Samples of an OpenMetrics or Prometheus text file.
//!
//! - `text`: the lines of the file; a small parser of our own, because the crates for it refuse several samples of one series (which a
//!   history is), skip what they do not understand, or have another licence
//! - `selector`: a metric's name with its labels, in samples and in PromQL
//! - `series`: the samples of one series, and windows of them
//! - `functions`: `increase`, `rate`, `histogram_quantile`
//! - `prepared`: the queries of a plan, ready to be answered for many instants
//! - `written`: the little of written PromQL that a file can answer

mod functions;
mod prepared;
mod selector;
mod series;
mod text;
mod written;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use super::super::client::MAX_SAMPLE_AGE;
use super::super::plan::{Answer, Plan};
use super::Problem;
use super::millis;

pub use prepared::Prepared;
use series::Series;

/// The series that holds a guard's share, as Ripcord itself exports it.
const SHARE: &str = "ripcord_traffic_percentage";

/// How old the newest sample of a plain value may be: as old as of a server.
const LOOKBACK: Duration = MAX_SAMPLE_AGE;

/// Samples with their times, as Prometheus would have scraped them.
#[derive(Debug)]
pub struct OpenMetrics {
    series: Vec<Series>,
    /// The series of each metric, by its name.
    by_name: HashMap<String, Vec<usize>>,
}

impl OpenMetrics {
    /// Reads a file's text. Each sample needs its time. In OpenMetrics, which ends with `# EOF`, times are seconds; in Prometheus' older
    /// text format they are milliseconds. A series' samples need not be in order.
    ///
    /// The error is everything that is wrong, with its lines.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let series = text::parse(text)?;
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, series) in series.iter().enumerate() {
            by_name.entry(series.name().to_owned()).or_default().push(index);
        }
        Ok(Self { series, by_name })
    }

    /// The times of the first and the last sample; none where there is no sample.
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let first = self.series.iter().filter_map(Series::first).min()?;
        let last = self.series.iter().filter_map(Series::last).max()?;
        Some((Timestamp::from_millisecond(first).ok()?, Timestamp::from_millisecond(last).ok()?))
    }

    /// What a Prometheus with these samples would answer to the queries of a plan. For more than a few instants, `prepare` once.
    pub fn answers(&self, plan: &Plan, at: Timestamp) -> Vec<Answer> {
        self.prepare(plan).answers(at)
    }

    /// Finds the series of each query of a plan, so that each instant costs little.
    pub fn prepare(&self, plan: &Plan) -> Prepared<'_> {
        Prepared::new(self, plan)
    }

    /// The share of a guard's traffic on the new path, in percent, as Ripcord exported it (`ripcord_traffic_percentage`): of several replicas
    /// that know one, the highest. None where no sample of the last two minutes says one.
    pub fn share(&self, guard: &str, at: Timestamp) -> Option<u8> {
        let at = at.as_millisecond();
        let of_guard = self.named(SHARE).filter(|series| series.label("guard") == guard);
        let newest = of_guard.filter_map(|series| series.newest(at, millis(LOOKBACK)));
        newest.filter_map(|(_, share)| whole_percent(share)).max()
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &Series> {
        self.by_name.get(name).into_iter().flatten().map(|&index| &self.series[index])
    }
}

/// A share in whole percent, if it is one.
fn whole_percent(share: f64) -> Option<u8> {
    (0..=100).find(|percent| f64::from(*percent) == share)
}
