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

    /// statsmodels 0.15.0, `proportion_confint(failed, total, alpha=0.01, method="wilson")[0]`. scipy 1.17.1 gives the same for whole numbers:
    /// `binomtest(failed, total).proportion_ci(confidence_level=0.99, method="wilson").low`.
    const PUBLISHED: [(f64, f64, f64); 27] = [
        // failed, total, lower bound
        (0.0, 1.0, 0.0),
        (1.0, 1.0, 0.130_977_543_280),
        (0.0, 10.0, 0.0),
        (1.0, 10.0, 0.011_851_503_411),
        (5.0, 10.0, 0.184_225_518_247),
        (9.0, 10.0, 0.492_768_228_767),
        (10.0, 10.0, 0.601_145_906_695),
        (20.0, 20.0, 0.750_894_598_901),
        (0.0, 100.0, 0.0),
        (1.0, 100.0, 0.001_175_145_427),
        (5.0, 100.0, 0.016_848_316_043),
        (15.0, 148.0, 0.053_644_869_614),
        (5.0, 150.0, 0.011_200_312_821),
        (8.0, 150.0, 0.022_287_313_257),
        (4.0, 299.0, 0.003_988_705_050),
        (5.0, 299.0, 0.005_603_128_458),
        (9.0, 1000.0, 0.003_914_003_182),
        (50.0, 1000.0, 0.035_025_075_723),
        (0.0, 1e6, 0.0),
        (1.0, 1e6, 0.000_000_117_405),
        (10_000.0, 1e6, 0.009_746_939_529),
        (10_500.0, 1e6, 0.010_240_673_947),
        (1e6, 1e6, 0.999_993_365_147),
        // Prometheus extrapolates, so that requests are no whole numbers.
        (4.2, 87.3, 0.014_809_865_406),
        (5.0416, 149.66, 0.011_366_738_276),
        (0.4, 1.7, 0.012_843_837_849),
        (12.5, 312.5, 0.019_733_889_414),
    ];

    #[test]
    fn wilson_is_what_is_published() {
        for (failed, total, expected) in PUBLISHED {
            let got = wilson_lower_bound(failed, total);
            assert!((got - expected).abs() < 1e-11, "{failed}/{total}: {got} and not {expected}");
        }
    }

    /// The normal quantile of 99.5 %, as any table has it, and what its square is compared with in the textbooks: chi squared at 99 %.
    #[test]
    fn the_confidence_is_99_percent() {
        assert!((Z - 2.575_829).abs() < 1e-6);
        assert!((Z * Z - 6.634_897).abs() < 1e-6);
    }

    /// A distribution-free interval of a quantile: between which two of `requests` sorted values the true one lies with 99 %, whatever the
    /// distribution; `None` where the largest is not large enough. `scipy.stats.binom` 1.17.1; David and Nagaraja, "Order Statistics", 7.1.
    const P95: [(u32, u32, Option<u32>); 6] = [
        // requests, the lower and the upper one
        (50, 43, None),
        (100, 89, None),
        (200, 181, Some(198)),
        (500, 462, Some(488)),
        (1000, 931, Some(968)),
        (2000, 1874, Some(1925)),
    ];

    /// The probability that so many of `requests` values lie below the quantile `q`, for 0 to `requests`.
    fn below(requests: u32, q: f64) -> Vec<f64> {
        let mut log = f64::from(requests) * (1.0 - q).ln();
        let mut probabilities = vec![log.exp()];
        for count in 1..=requests {
            log += (f64::from(requests - count + 1) / f64::from(count)).ln() + (q / (1.0 - q)).ln();
            probabilities.push(log.exp());
        }
        probabilities
    }

    #[test]
    fn a_quantile_has_an_upper_end_where_it_resolves() {
        for (requests, lower, upper) in P95 {
            let below = below(requests, 0.95);
            let at_most = |count: u32| below.iter().take(count as usize + 1).sum::<f64>();
            let least = |count: u32| below.iter().skip(count as usize).sum::<f64>();
            let got = (1..=requests).rev().find(|&count| at_most(count - 1) <= 0.005);
            assert_eq!(got, Some(lower), "{requests} requests");
            assert_eq!((1..=requests).find(|&count| least(count) <= 0.005), upper, "{requests} requests");
            assert_eq!(upper.is_some(), f64::from(requests) >= needed_for_quantile(0.95) - 1e-9, "{requests} requests");
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
