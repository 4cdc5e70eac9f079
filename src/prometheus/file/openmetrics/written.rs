//! The little of written PromQL that a file can answer: a selector of a metric, alone or in one aggregation over all that it selects.
//! That is how most people write a plain value; for more there is Prometheus.

use super::super::super::expression::VectorSelector;
use super::functions::count;
use super::selector::{self, Dialect};

/// A written query.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Written {
    /// Over which all series are aggregated; each is a row where there is none.
    pub(super) aggregation: Option<Over>,
    /// Which series.
    pub(super) selector: VectorSelector,
}

/// An aggregation over all series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    Max,
    Min,
    Sum,
    Avg,
    Count,
}

const AGGREGATIONS: [(&str, Over); 5] =
    [("max", Over::Max), ("min", Over::Min), ("sum", Over::Sum), ("avg", Over::Avg), ("count", Over::Count)];

/// Reads a query. The error says why a file cannot answer it.
pub(super) fn parse(promql: &str) -> Result<Written, String> {
    let text = promql.trim();
    for (name, over) in AGGREGATIONS {
        let inside = text.strip_prefix(name).and_then(|rest| rest.trim_start().strip_prefix('(')?.strip_suffix(')'));
        if let Some(inside) = inside {
            return Ok(Written { aggregation: Some(over), selector: selector::parse(inside, Dialect::PromQl)? });
        }
    }
    Ok(Written { aggregation: None, selector: selector::parse(text, Dialect::PromQl)? })
}

impl Over {
    /// The aggregated value, as Prometheus 2.42 has it; none for no values.
    pub(super) fn of(self, values: &[f64]) -> Option<f64> {
        let better = |is_better: fn(f64, f64) -> bool| {
            values
                .iter()
                .copied()
                .reduce(|best, value| if is_better(value, best) || best.is_nan() { value } else { best })
        };
        match self {
            Self::Max => better(|value, best| value > best),
            Self::Min => better(|value, best| value < best),
            Self::Sum => values.iter().copied().reduce(|sum, value| sum + value),
            Self::Avg => values.iter().copied().reduce(|sum, value| sum + value).map(|sum| sum / count(values.len())),
            Self::Count => (!values.is_empty()).then(|| count(values.len())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_value_can_be_answered() {
        let cases = [
            ("up", None, "up{}"),
            (" up{job=\"a\"} ", None, "up{job=\"a\"}"),
            ("max(up{job=~\"a|b\"})", Some(Over::Max), "up{job=~\"a|b\"}"),
            ("sum ( up )", Some(Over::Sum), "up{}"),
            ("max_memory", None, "max_memory{}"),
            ("max", None, "max{}"),
        ];
        for (promql, aggregation, selector) in cases {
            let written = parse(promql).unwrap();
            assert_eq!(
                (written.aggregation, written.selector.to_string().as_str()),
                (aggregation, selector),
                "{promql}"
            );
        }
        for promql in [
            "rate(up[5m])",
            "up > 1",
            "max(up) + 1",
            "max(rate(up[5m]))",
            "max by (a) (up)",
            "1",
            "up offset 5m",
            "max()",
        ] {
            assert!(parse(promql).is_err(), "{promql}");
        }
    }

    #[test]
    fn what_is_no_number_counts_as_in_prometheus() {
        let nan = f64::NAN;
        assert_eq!(Over::Max.of(&[nan, 1.0, 2.0, nan]), Some(2.0));
        assert_eq!(Over::Min.of(&[3.0, nan, 2.0]), Some(2.0));
        assert!(Over::Sum.of(&[3.0, nan]).is_some_and(f64::is_nan));
        assert_eq!(Over::Avg.of(&[3.0, 1.0]), Some(2.0));
        assert_eq!(Over::Count.of(&[3.0, nan]), Some(2.0));
        assert_eq!(Over::Count.of(&[]), None);
    }
}
