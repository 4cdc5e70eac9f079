//! A signal over time, with so few points that thirty days draw like an hour, and each spike still there.

use jiff::Timestamp;

use crate::engine::TriggerView;
pub use crate::http::Band;

/// The most points of one curve. A screen has about as many columns, and a file with some dozens of such curves stays small.
const MOST_POINTS: usize = 1500;

/// One trigger at one tick.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// The instant.
    pub at: Timestamp,
    /// The value, where it is known.
    pub value: Option<f64>,
    /// The threshold and the clear level that held.
    pub levels: [f64; 2],
    /// For how long a breach was held, in seconds.
    pub held: f64,
    /// What it said.
    pub band: Band,
}

impl Point {
    /// What a view shows at `at`.
    pub fn of(view: &TriggerView<'_>, at: Timestamp) -> Self {
        Self {
            at,
            value: view.value,
            levels: [view.levels.threshold, view.levels.clear],
            held: view.held.unwrap_or_default().as_secs_f64(),
            band: Band::of(view.verdict),
        }
    }
}

/// Several points as one: what was lowest and highest, in the order they came in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// The first instant of it.
    pub at: Timestamp,
    /// The lowest and the highest value, whichever came first; twice the same where it is one.
    pub ends: Option<(f64, f64)>,
    /// The levels, as they were last.
    pub levels: [f64; 2],
    /// The longest hold, in seconds.
    pub held: f64,
    /// The worst that was said.
    pub band: Band,
}

/// A signal over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    buckets: Vec<Bucket>,
    per_bucket: usize,
    in_last: usize,
    step: f64,
}

impl Curve {
    /// A curve that so many ticks will come to, `step` seconds apart.
    pub fn new(ticks: usize, step: f64) -> Self {
        // A bucket of several ticks has two points.
        let per_bucket = if ticks <= MOST_POINTS { 1 } else { ticks.div_ceil(MOST_POINTS / 2) };
        Self { buckets: Vec::new(), per_bucket, in_last: 0, step }
    }

    /// The curve of points that are there already.
    pub fn of(points: &[Point], step: f64) -> Self {
        let mut curve = Self::new(points.len(), step);
        points.iter().for_each(|point| curve.add(*point));
        curve
    }

    /// Adds the next tick.
    pub fn add(&mut self, point: Point) {
        let value = point.value.filter(|value| value.is_finite());
        if self.in_last == 0 || self.in_last == self.per_bucket {
            self.in_last = 1;
            self.buckets.push(Bucket {
                at: point.at,
                ends: value.map(|value| (value, value)),
                levels: point.levels,
                held: point.held,
                band: point.band,
            });
            return;
        }
        self.in_last += 1;
        let Some(bucket) = self.buckets.last_mut() else { return };
        bucket.levels = point.levels;
        bucket.held = bucket.held.max(point.held);
        bucket.band = bucket.band.max(point.band);
        let Some(value) = value else { return };
        bucket.ends = Some(match bucket.ends {
            None => (value, value),
            // The new one comes last; of the two before stays the one on the other side.
            Some((a, b)) if value > a.max(b) => (a.min(b), value),
            Some((a, b)) if value < a.min(b) => (a.max(b), value),
            Some(ends) => ends,
        });
    }

    /// The buckets, in order.
    pub fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    /// Whether a bucket stands for several ticks.
    pub fn is_thinned(&self) -> bool {
        self.per_bucket > 1
    }

    /// The seconds that a bucket stands for.
    #[allow(clippy::cast_precision_loss)]
    pub fn bucket_seconds(&self) -> f64 {
        self.step * self.per_bucket as f64
    }
}

/// A part of a signal at its full detail.
#[derive(Debug, Clone, PartialEq)]
pub struct Excerpt {
    /// When the breach that it is about began.
    pub began: Timestamp,
    /// Whether it fired. Else it was a near miss.
    pub fired: bool,
    /// How much of its `for` it held: what is shown where there is no room for all.
    pub closeness: f64,
    /// The signal.
    pub curve: Curve,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(n: usize, value: Option<f64>, band: Band) -> Point {
        let at = Timestamp::from_second(1_800_000_000 + 15 * i64::try_from(n).unwrap()).unwrap();
        Point { at, value, levels: [0.01, 0.005], held: 0.0, band }
    }

    #[test]
    fn few_points_stay_as_they_are() {
        let points: Vec<_> = (0..1500).map(|n| point(n, Some(0.5), Band::Clear)).collect();
        let curve = Curve::of(&points, 15.0);
        assert_eq!((curve.buckets().len(), curve.is_thinned()), (1500, false));
    }

    #[test]
    fn of_thirty_days_every_spike_and_every_moment_in_breach_is_left() {
        const TICKS: usize = 172_800;
        let mut curve = Curve::new(TICKS, 15.0);
        for n in 0..TICKS {
            let spike = match n {
                100_000 => Some(0.9),
                100_001 => Some(-0.3),
                _ => Some(0.001),
            };
            let band = if n == 50_000 { Band::Breach } else { Band::Clear };
            curve.add(point(n, spike, band));
        }
        assert!(curve.buckets().len() <= 750, "{}", curve.buckets().len());
        assert_eq!(curve.buckets().iter().filter(|b| b.ends == Some((0.9, -0.3))).count(), 1, "in their order");
        assert_eq!(curve.buckets().iter().filter(|b| b.band == Band::Breach).count(), 1);
    }

    #[test]
    fn what_is_not_known_leaves_a_gap() {
        let curve = Curve::of(&[point(0, None, Band::Unknown), point(1, Some(f64::NAN), Band::Unknown)], 15.0);
        assert!(curve.buckets().iter().all(|bucket| bucket.ends.is_none()));
    }
}
