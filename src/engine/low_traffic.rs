//! What few requests can tell.

/// A ratio resolves a threshold when the threshold itself would be at least this many failures; a quantile when at least this many
/// requests lie beyond it. With fewer, one request more or less decides.
pub const RESOLVING: f64 = 10.0;

/// The least failures that can be a breach where the ratio does not resolve the threshold: fewer are an incident of one user.
pub const MIN_FAILURES: f64 = 5.0;

/// The normal quantile of a two-sided confidence of 99 %.
const Z: f64 = 2.575_829_303_548_901;

/// Whether `requests` are enough to tell a ratio from `threshold`.
pub fn resolves_ratio(requests: f64, threshold: f64) -> bool {
    requests * threshold >= RESOLVING
}

/// How many requests it takes to tell a ratio from `threshold`.
pub fn needed_for_ratio(threshold: f64) -> f64 {
    RESOLVING / threshold
}

/// How many requests it takes to compute the quantile `q`.
pub fn needed_for_quantile(q: f64) -> f64 {
    RESOLVING / (1.0 - q)
}

/// The lower end of the Wilson score interval (confidence 99 %) of the true ratio, given `failed` of `total`.
///
/// E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927). `total` must be positive.
pub fn wilson_lower_bound(failed: f64, total: f64) -> f64 {
    let p = (failed / total).clamp(0.0, 1.0);
    let z2 = Z * Z;
    let centre = p + z2 / (2.0 * total);
    let spread = Z * ((p * (1.0 - p) + z2 / (4.0 * total)) / total).sqrt();
    ((centre - spread) / (1.0 + z2 / total)).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked out from Wilson's formula outside this code, to six places.
    #[test]
    fn wilson_agrees_with_the_formula_worked_out_elsewhere() {
        let cases = [
            // failed, total, lower bound
            (0.0, 10.0, 0.0),
            (1.0, 10.0, 0.011_852),
            (5.0, 10.0, 0.184_226),
            (10.0, 10.0, 0.601_146),
            (5.0, 100.0, 0.016_848),
            (50.0, 1000.0, 0.035_025),
        ];
        for (failed, total, expected) in cases {
            let got = wilson_lower_bound(failed, total);
            assert!((got - expected).abs() < 1e-6, "{failed}/{total}: {got} and not {expected}");
        }
    }

    #[test]
    fn the_bound_never_exceeds_the_ratio_and_rises_with_it() {
        let mut last = 0.0;
        for failed in 0..=200 {
            let bound = wilson_lower_bound(f64::from(failed), 200.0);
            assert!(bound <= f64::from(failed) / 200.0 + 1e-12);
            assert!(bound >= last);
            last = bound;
        }
    }
}
