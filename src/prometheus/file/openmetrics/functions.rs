//! What PromQL's functions make of samples, as Prometheus 2.42 does it (`promql/functions.go`, `promql/quantile.go`).

use super::series::Growth;

/// A sample farther from the edge of the range than this many average distances ends the series: it began or ended inside the range.
const EXTRAPOLATION_THRESHOLD: f64 = 1.1;

/// `increase` over the range from `from` to `to` (milliseconds of Unix time): the growth between the samples, extrapolated to the
/// edges of the range where the series seems to go on, but not to before the counter was zero.
pub(super) fn increase(growth: &Growth, from: i64, to: i64) -> f64 {
    let sampled = seconds(growth.last_at - growth.first_at);
    let average = sampled / count(growth.samples - 1);
    let mut to_start = seconds(growth.first_at - from);
    let to_end = seconds(to - growth.last_at);
    if growth.grown > 0.0 && growth.first >= 0.0 {
        to_start = to_start.min(sampled * (growth.first / growth.grown));
    }
    let threshold = average * EXTRAPOLATION_THRESHOLD;
    let beyond = |distance: f64| if distance < threshold { distance } else { average / 2.0 };
    let extrapolated = sampled + beyond(to_start) + beyond(to_end);
    growth.grown * (extrapolated / sampled)
}

/// The upper bound of a histogram's bucket, from its label `le`. None where it is no number.
pub(super) fn upper_bound(le: &str) -> Option<f64> {
    let bound: f64 = le.parse().ok()?;
    // A number that is too large for a float is an error in Prometheus; only the text says that infinity is meant.
    let said = le.trim_start_matches(['+', '-']).to_ascii_lowercase().starts_with("inf");
    (!bound.is_nan() && (bound.is_finite() || said)).then_some(bound)
}

/// A bucket: its upper bound, and how many are not above it.
pub(super) type Bucket = (f64, f64);

/// `histogram_quantile` over buckets by rising upper bound, each bound once, with their cumulative counts. `quantile` is between 0 and 1.
pub(super) fn histogram_quantile(quantile: f64, buckets: &mut [Bucket]) -> f64 {
    let [.., (before_last, _), (last, observations)] = *buckets else { return f64::NAN };
    if last != f64::INFINITY {
        return f64::NAN;
    }
    // A count that is lower than the one of a smaller bucket comes from buckets that were scraped at different times.
    let mut highest = buckets[0].1;
    for (_, count) in &mut buckets[1..] {
        if *count > highest {
            highest = *count;
        } else if *count < highest {
            *count = highest;
        }
    }
    let observations = buckets.last().map_or(observations, |(_, count)| *count);
    if observations == 0.0 {
        return f64::NAN;
    }
    let mut rank = quantile * observations;
    let inside = &buckets[..buckets.len() - 1];
    // The search in the very order of Go's, so that a count that is no number leads to the same bucket.
    let (mut found, mut end) = (0, inside.len());
    while found < end {
        let middle = usize::midpoint(found, end);
        if inside[middle].1 >= rank { end = middle } else { found = middle + 1 }
    }
    let Some(&(end, mut within)) = inside.get(found) else { return before_last };
    let mut start = 0.0;
    match found.checked_sub(1) {
        None if end <= 0.0 => return end,
        None => {}
        Some(below) => {
            let (bound, count) = inside[below];
            start = bound;
            within -= count;
            rank -= count;
        }
    }
    start + (end - start) * (rank / within)
}

#[allow(clippy::cast_precision_loss)]
fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

/// A number of samples as a float.
#[allow(clippy::cast_precision_loss)]
pub(super) fn count(samples: usize) -> f64 {
    samples as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples every 10 s from `first_at` to `last_at` (seconds), the range being the minute from 0 to 60.
    fn increased(first_at: i64, last_at: i64, first: f64, grown: f64) -> f64 {
        let samples = usize::try_from((last_at - first_at) / 10).unwrap() + 1;
        increase(&Growth { samples, first_at: first_at * 1000, last_at: last_at * 1000, first, grown }, 0, 60_000)
    }

    /// Worked out by hand.
    #[test]
    fn an_increase_goes_to_the_edges_of_its_range() {
        let cases = [
            // first at, last at, first value, growth; the increase, and why
            (0, 60, 100.0, 60.0, 60.0, "the samples are at the edges"),
            (5, 55, 100.0, 50.0, 60.0, "5 s each are less than 11 s: 50 / 50 * 60"),
            (20, 60, 100.0, 40.0, 45.0, "20 s are more than 11 s: half a distance, 40 / 40 * 45"),
            (10, 40, 100.0, 30.0, 45.0, "10 s and half a distance: 30 / 30 * 45"),
            (5, 55, 2.0, 50.0, 57.0, "it was zero 2 s before: 50 / 50 * (50 + 2 + 5)"),
            (5, 55, 0.0, 50.0, 55.0, "it was zero at the first sample"),
            (5, 55, -2.0, 50.0, 60.0, "what is below zero is no counter"),
            (5, 55, 0.0, 0.0, 0.0, "nothing grew"),
            (
                20,
                60,
                5.0,
                40.0,
                45.0,
                "zero was 5 s before, nearer than the edge and less than 11 s: 40 / 40 * (40 + 5)",
            ),
        ];
        for (first_at, last_at, first, grown, expected, why) in cases {
            let got = increased(first_at, last_at, first, grown);
            assert!((got - expected).abs() < 1e-9, "{why}: {got} and not {expected}");
        }
    }

    /// Worked out by hand.
    #[test]
    fn a_quantile_lies_in_its_bucket() {
        let inf = f64::INFINITY;
        let cases: [(f64, &[Bucket], f64); 13] = [
            (0.5, &[(10.0, 50.0), (20.0, 100.0), (inf, 100.0)], 10.0),
            (0.75, &[(10.0, 50.0), (20.0, 100.0), (inf, 100.0)], 15.0),
            (0.25, &[(10.0, 50.0), (20.0, 100.0), (inf, 100.0)], 5.0),
            // Beyond the last bound that is a number: that bound.
            (0.95, &[(10.0, 50.0), (20.0, 90.0), (inf, 100.0)], 20.0),
            // A first bucket that is not above zero has no width.
            (0.1, &[(-5.0, 50.0), (20.0, 90.0), (inf, 100.0)], -5.0),
            (0.1, &[(0.0, 50.0), (20.0, 90.0), (inf, 100.0)], 0.0),
            // A count that falls is raised to the one before: 50, 50, 100.
            (0.5, &[(10.0, 50.0), (20.0, 40.0), (inf, 100.0)], 10.0),
            // No requests, one bucket, no bucket, no +Inf, a count that is none.
            (0.5, &[(10.0, 0.0), (inf, 0.0)], f64::NAN),
            (0.5, &[(inf, 100.0)], f64::NAN),
            (0.5, &[], f64::NAN),
            (0.5, &[(10.0, 50.0), (20.0, 100.0)], f64::NAN),
            (0.5, &[(10.0, f64::NAN), (inf, f64::NAN)], 10.0),
            (1.0, &[(10.0, 50.0), (inf, 50.0)], 10.0),
        ];
        for (quantile, buckets, expected) in cases {
            let got = histogram_quantile(quantile, &mut buckets.to_vec());
            assert!(
                got.total_cmp(&expected).is_eq() || (got - expected).abs() < 1e-12,
                "{quantile} of {buckets:?}: {got}"
            );
        }
    }

    #[test]
    fn a_bound_is_a_number() {
        let cases = [
            ("+Inf", Some(f64::INFINITY)),
            ("Inf", Some(f64::INFINITY)),
            ("5", Some(5.0)),
            ("5.0", Some(5.0)),
            ("1e3", Some(1000.0)),
            ("-1", Some(-1.0)),
            ("", None),
            ("five", None),
            ("1e999", None),
            ("NaN", None),
        ];
        for (le, bound) in cases {
            assert_eq!(upper_bound(le), bound, "{le}");
        }
    }
}
