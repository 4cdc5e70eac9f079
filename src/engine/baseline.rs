//! How a value compares with its baseline.

/// How much worse than its baseline a value is that is bad when it grows: `now / baseline - 1`. `None` where the baseline is no
/// positive number.
pub fn degradation(now: f64, baseline: f64) -> Option<f64> {
    (baseline.is_finite() && baseline > 0.0).then(|| now / baseline - 1.0)
}

/// How far below its baseline a value is that is bad when it shrinks: `1 - now / baseline`.
pub fn drop_below(now: f64, baseline: f64) -> Option<f64> {
    degradation(now, baseline).map(|d| -d)
}
