//! The simulated traffic. What is counted in a span of time is a pure function of that span, of the shares and of the fault.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::cluster::Objects;

/// The requests that fail on a good day.
const FAILING_ALWAYS: f64 = 0.0002;

/// The part of the requests through Istio that fail while the fault is there: with a quarter of the traffic on Istio, 5 % of all.
pub const FAILING_BY_FAULT: f64 = 0.2;

/// The median duration of a request in milliseconds, and the shape of its log-logistic distribution. Together they put the P95 that the
/// buckets show a little above 120 ms.
const MEDIAN_MS: f64 = 48.0;
const SHAPE: f64 = 3.78;

/// How much longer the way through the Istio gateway takes.
const SLOWER_BY_ISTIO: f64 = 1.03;

/// The upper bounds of Istio's buckets, in milliseconds, without the last one, which has none.
const BOUNDS_MS: [f64; 19] = [
    0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 10e3, 30e3, 60e3, 300e3, 600e3, 1800e3,
    3600e3,
];

/// The traffic of all components.
pub struct Mesh {
    objects: Arc<Objects>,
    faults: Mutex<BTreeMap<String, Timestamp>>,
}

/// The traffic of one component: all of it, through Istio and through the Ingress, as the sidecars in its pods see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Traffic {
    /// Requests per second.
    pub per_second: f64,
    /// The share that goes through Istio, in percent, from each of these times on. The first holds before it too.
    pub shares: Vec<(Timestamp, u8)>,
    /// Since when requests through Istio fail.
    pub fault: Option<Timestamp>,
}

/// What is counted in a span of time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Counts {
    /// All requests.
    pub requests: f64,
    /// Those that failed.
    pub failed: f64,
    /// Those that took at most as long as each of the buckets' bounds.
    within: [f64; BOUNDS_MS.len()],
}

impl Mesh {
    /// The traffic of the cluster's components. Nothing fails yet.
    pub fn new(objects: Arc<Objects>) -> Self {
        Self { objects, faults: Mutex::default() }
    }

    /// From now on requests through Istio to this workload fail.
    pub fn break_istio(&self, workload: &str, since: Timestamp) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).insert(workload.to_owned(), since);
    }

    /// What is counted of a workload in the span that ends at `at`. `None` where there is no such workload.
    pub fn counts(&self, workload: &str, at: Timestamp, span: Duration) -> Option<Counts> {
        let fault = self.faults.lock().unwrap_or_else(PoisonError::into_inner).get(workload).copied();
        let traffic = Traffic {
            per_second: super::setting::requests_per_second(workload)?,
            shares: self.objects.shares(workload)?,
            fault,
        };
        Some(traffic.counts(at.checked_sub(span).ok()?, at))
    }
}

impl Traffic {
    /// What is counted between two times.
    pub fn counts(&self, from: Timestamp, to: Timestamp) -> Counts {
        let mut cuts: Vec<Timestamp> = self.shares.iter().map(|(since, _)| *since).chain(self.fault).collect();
        cuts.retain(|cut| from < *cut && *cut < to);
        cuts.extend([from, to]);
        cuts.sort();
        let mut counts = Counts::default();
        for piece in cuts.windows(2) {
            counts.add(self, piece[0], piece[1]);
        }
        counts
    }

    fn share_at(&self, at: Timestamp) -> f64 {
        let present = self.shares.iter().rev().find(|(since, _)| *since <= at).or_else(|| self.shares.first());
        present.map_or(0.0, |(_, share)| f64::from(*share) / 100.0)
    }
}

impl Counts {
    /// Adds a span in which nothing changes.
    fn add(&mut self, traffic: &Traffic, from: Timestamp, to: Timestamp) {
        let requests = traffic.per_second * to.duration_since(from).as_secs_f64();
        let by_istio = requests * traffic.share_at(from);
        let broken = traffic.fault.is_some_and(|since| since <= from);
        self.requests += requests;
        self.failed += (requests - by_istio) * FAILING_ALWAYS;
        self.failed += by_istio * if broken { FAILING_BY_FAULT } else { FAILING_ALWAYS };
        for (within, bound) in self.within.iter_mut().zip(BOUNDS_MS) {
            *within += (requests - by_istio) * part_within(bound, MEDIAN_MS);
            *within += by_istio * part_within(bound, MEDIAN_MS * SLOWER_BY_ISTIO);
        }
    }

    /// A quantile of the duration, in milliseconds, estimated as Prometheus' `histogram_quantile` does: linear within a bucket, and the last
    /// bound where it lies beyond it. NaN without any request.
    pub fn quantile(&self, q: f64) -> f64 {
        if self.requests <= 0.0 {
            return f64::NAN;
        }
        let rank = q * self.requests;
        let Some(bucket) = self.within.iter().position(|within| *within >= rank) else {
            return BOUNDS_MS[BOUNDS_MS.len() - 1];
        };
        let (start, before) = match bucket {
            0 => (0.0, 0.0),
            _ => (BOUNDS_MS[bucket - 1], self.within[bucket - 1]),
        };
        start + (BOUNDS_MS[bucket] - start) * (rank - before) / (self.within[bucket] - before)
    }
}

/// The part of the requests that take at most `bound`: the log-logistic distribution.
fn part_within(bound: f64, median: f64) -> f64 {
    1.0 / (1.0 + (bound / median).powf(-SHAPE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    /// 40 requests per second; 25 % on Istio from second 100 on, 0 % again from second 400 on; broken from second 200 on.
    fn traffic() -> Traffic {
        Traffic { per_second: 40.0, shares: vec![(at(0), 0), (at(100), 25), (at(400), 0)], fault: Some(at(200)) }
    }

    #[test]
    fn requests_are_counted_and_fail_only_on_istio_while_it_is_broken() {
        let ratio = |from, to| {
            let counts = traffic().counts(at(from), at(to));
            assert!((counts.requests - 40.0 * (to - from) as f64).abs() < 1e-6);
            counts.failed / counts.requests
        };
        let good = FAILING_ALWAYS;
        let bad = 0.25 * FAILING_BY_FAULT + 0.75 * good;
        for (from, to, wanted) in [
            (-300, 0, good),
            (0, 100, good),
            (100, 200, good),
            (200, 400, bad),
            (400, 500, good),
            (150, 250, (good + bad) / 2.0),
            (350, 450, (good + bad) / 2.0),
        ] {
            assert!((ratio(from, to) - wanted).abs() < 1e-9, "from {from} to {to}: {}", ratio(from, to));
        }
    }

    #[test]
    fn counts_of_two_spans_add_up() {
        let (whole, first, second) =
            (traffic().counts(at(0), at(500)), traffic().counts(at(0), at(234)), traffic().counts(at(234), at(500)));
        assert!((whole.failed - first.failed - second.failed).abs() < 1e-6);
        for (whole, (first, second)) in whole.within.iter().zip(first.within.iter().zip(second.within)) {
            assert!((whole - first - second).abs() < 1e-6);
        }
    }

    #[test]
    fn the_latency_is_good_on_either_way() {
        for (from, to) in [(0, 100), (200, 400)] {
            let p95 = traffic().counts(at(from), at(to)).quantile(0.95);
            assert!((115.0..135.0).contains(&p95), "{p95} ms");
        }
        assert!(Counts::default().quantile(0.95).is_nan());
    }
}
