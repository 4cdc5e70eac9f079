//! The counters of one workload.

use std::collections::BTreeMap;

use super::traffic::{Outcome, Traffic};

/// Which quantile `Traffic::latency_ms` is.
const QUANTILE: f64 = 0.95;

/// How often something has happened so far. Not whole: half a request is half of one that is coming.
#[derive(Debug, Clone, Default)]
pub(super) struct Count {
    pub requests: f64,
    /// Requests by bucket, not cumulative; the last one is above all bounds.
    pub buckets: Vec<f64>,
    /// The sum of the durations, ms.
    pub sum_ms: f64,
}

impl Count {
    /// Adds another one.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.sum_ms += other.sum_ms;
        self.buckets.resize(other.buckets.len(), 0.0);
        for (own, others) in self.buckets.iter_mut().zip(&other.buckets) {
            *own += others;
        }
    }
}

/// All counters of one workload.
#[derive(Debug)]
pub(super) struct Counts {
    /// Upper bounds of the buckets, ms.
    bounds: &'static [f64],
    pub by_outcome: BTreeMap<Outcome, Count>,
}

impl Counts {
    pub fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, by_outcome: BTreeMap::new() }
    }

    /// Adds so many seconds of such traffic.
    pub fn add(&mut self, traffic: &Traffic, seconds: f64) {
        let spread = spread(self.bounds, traffic.latency_ms);
        for (outcome, share) in traffic.outcomes() {
            let success = outcome.code == 200 && outcome.grpc != "14";
            if share == 0.0 && !success && !traffic.error_series_from_start {
                continue;
            }
            let requests = traffic.rps * share * seconds;
            let count = self.by_outcome.entry(outcome).or_default();
            count.buckets.resize(self.bounds.len() + 1, 0.0);
            count.requests += requests;
            for (bucket, part) in &spread {
                count.buckets[*bucket] += requests * part;
                count.sum_ms += requests * part * middle(self.bounds, *bucket);
            }
        }
    }

    /// All of them start again from zero; the series stay.
    pub fn reset(&mut self) {
        for count in self.by_outcome.values_mut() {
            *count = Count { buckets: vec![0.0; self.bounds.len() + 1], ..Count::default() };
        }
    }
}

/// Which buckets such requests fall into, with their shares, so that `histogram_quantile` gives exactly `p95`.
///
/// With `f` the place of `p95` within its bucket (0 at the lower bound, 1 at the upper) and a share `a` of the requests below the
/// bucket, `c` above and the rest within, the interpolation gives `f = (q - a) / (1 - a - c)`. Solved with `c = 0` as far as that goes,
/// else with `a = 0`.
fn spread(bounds: &[f64], p95: f64) -> Vec<(usize, f64)> {
    let bucket = bounds.iter().position(|b| p95 <= *b).expect("a latency below the last bucket");
    assert!(bucket > 0, "{p95} ms lies in the first bucket");
    let f = (p95 - bounds[bucket - 1]) / (bounds[bucket] - bounds[bucket - 1]);
    if f <= QUANTILE {
        let below = (QUANTILE - f) / (1.0 - f);
        vec![(bucket - 1, below), (bucket, 1.0 - below)]
    } else {
        let within = QUANTILE / f;
        vec![(bucket, within), (bucket + 1, 1.0 - within)]
    }
}

fn middle(bounds: &[f64], bucket: usize) -> f64 {
    let lower = if bucket == 0 { 0.0 } else { bounds[bucket - 1] };
    bounds.get(bucket).map_or(lower, |upper| (lower + upper) / 2.0)
}
