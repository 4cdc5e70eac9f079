//! The queries of a plan, each with its series found already: an instant then costs a few steps per series.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use regex::Regex;

use crate::engine::Unknown;

use super::super::super::expression::{Aggregation, Expression, Function, Matcher, Operator, VectorSelector};
use super::super::super::plan::{self, Answer, Plan, Query};
use super::super::millis;
use super::functions::{Bucket, count, histogram_quantile, increase, upper_bound};
use super::series::{Series, Window};
use super::written::{self, Over};
use super::{LOOKBACK, OpenMetrics};

/// The label with the upper bound of a histogram's bucket.
const BOUND: &str = "le";

/// What is said of other PromQL.
const CANNOT_ANSWER: &str = "a file cannot answer written PromQL";

/// What is said to be possible.
const CAN_ANSWER: &str = "it knows a selector like up{job=\"a\"}, alone or in max(), min(), sum(), avg() or count()";

/// The queries of a plan over the samples of a file. It remembers where it was: instants that rise are the fastest.
#[derive(Debug)]
pub struct Prepared<'a> {
    queries: Vec<Question<'a>>,
}

/// A query as it is answered.
#[derive(Debug)]
enum Question<'a> {
    BuiltIn(Ranges<'a>),
    /// With which number of the plan it is.
    Values {
        number: usize,
        aggregation: Option<Over>,
        series: Vec<Member<'a>>,
    },
    Never(Unknown),
}

/// A built-in query with its series.
#[derive(Debug)]
struct Ranges<'a> {
    aggregation: Aggregation,
    function: Function,
    window: i64,
    offset: i64,
    series: Vec<Member<'a>>,
    rows: Vec<Row>,
}

/// A series, and into which row and bucket its number goes.
#[derive(Debug)]
struct Member<'a> {
    series: &'a Series,
    near: Window,
    row: usize,
    bucket: usize,
}

/// A row of an answer: which number of the plan it is, and the upper bounds by which its numbers are kept apart. Without a histogram there
/// is one.
#[derive(Debug)]
struct Row {
    number: usize,
    bounds: Vec<f64>,
    /// By bound, what the series of this instant gave so far.
    numbers: Vec<Option<f64>>,
}

impl<'a> Prepared<'a> {
    pub(super) fn new(file: &'a OpenMetrics, plan: &Plan) -> Self {
        let question = |query: &Query| match &query.built_in {
            Some(expression) => Ranges::new(file, expression, query).map(Question::BuiltIn),
            None => {
                let promql = &query.promql;
                Question::written(file, query).map_err(|_| format!("{CANNOT_ANSWER}: {promql}; {CAN_ANSWER}"))
            }
        };
        let queries = plan.queries().iter().map(|query| {
            let question = question(query);
            question.unwrap_or_else(|reason| Question::Never(Unknown::QueryFailed(reason)))
        });
        Self { queries: queries.collect() }
    }

    /// What a Prometheus with the samples would answer to each query, in their order.
    pub fn answers(&mut self, at: Timestamp) -> Vec<Answer> {
        let at = at.as_millisecond();
        self.queries.iter_mut().map(|question| question.answer(at)).collect()
    }
}

impl<'a> Question<'a> {
    /// What a person wrote; the error says why it cannot be answered.
    fn written(file: &'a OpenMetrics, query: &Query) -> Result<Self, String> {
        let number = query.number(|_| "").ok_or("its rows are told apart")?;
        let written = written::parse(&query.promql)?;
        let series = select(file, &written.selector)?.into_iter().map(Member::new).collect();
        Ok(Self::Values { number, aggregation: written.aggregation, series })
    }

    fn answer(&mut self, at: i64) -> Answer {
        match self {
            Self::BuiltIn(ranges) => Ok(ranges.answer(at)),
            Self::Never(unknown) => Err(unknown.clone()),
            Self::Values { number, aggregation, series } => {
                let newest = series.iter_mut().filter_map(|member| {
                    member.series.newest_near(at, millis(LOOKBACK), &mut member.near).map(|(_, value)| value)
                });
                let mut values: Vec<f64> = newest.collect();
                if let Some(over) = aggregation {
                    values = over.of(&values).into_iter().collect();
                }
                Ok(values.into_iter().map(|value| (*number, value)).collect())
            }
        }
    }
}

impl<'a> Ranges<'a> {
    fn new(file: &'a OpenMetrics, expression: &Expression, query: &Query) -> Result<Self, String> {
        let histogram = matches!(expression.aggregation, Aggregation::Quantile { .. });
        let mut rows: Vec<Row> = Vec::new();
        let mut by_number: HashMap<usize, usize> = HashMap::new();
        let mut members: Vec<Member<'_>> = Vec::new();
        let mut known: HashSet<*const Series> = HashSet::new();
        for selector in &expression.selectors {
            for series in select(file, selector)? {
                // `or`: of the series that both sides have, the left one's counts.
                if !known.insert(series) {
                    continue;
                }
                let bound = if histogram { upper_bound(series.label(BOUND)) } else { Some(0.0) };
                let Some(bound) = bound else { continue };
                // A label that is missing has no value. What several labels select and no guard asks for is left out.
                let Some(number) = query.number(|label| series.label(label)) else { continue };
                let row = *by_number.entry(number).or_insert_with(|| {
                    rows.push(Row { number, bounds: Vec::new(), numbers: Vec::new() });
                    rows.len() - 1
                });
                let bounds = &mut rows[row].bounds;
                let bucket = bounds.iter().position(|known| *known == bound).unwrap_or_else(|| {
                    bounds.push(bound);
                    bounds.len() - 1
                });
                members.push(Member { row, bucket, ..Member::new(series) });
            }
        }
        for row in &mut rows {
            row.numbers = vec![None; row.bounds.len()];
        }
        Ok(Self {
            aggregation: expression.aggregation,
            function: expression.function,
            window: millis(expression.window),
            offset: millis(expression.offset),
            series: members,
            rows,
        })
    }

    fn answer(&mut self, at: i64) -> Vec<plan::Row> {
        let to = at.saturating_sub(self.offset);
        let from = to.saturating_sub(self.window);
        for row in &mut self.rows {
            row.numbers.fill(None);
        }
        for member in &mut self.series {
            member.near = member.series.window(from, to, member.near);
            let number = match self.function {
                Function::CountOverTime => Some(member.near.len()).filter(|samples| *samples > 0).map(count),
                Function::Increase => member.series.growth(member.near).map(|growth| increase(&growth, from, to)),
                Function::Rate => {
                    let growth = member.series.growth(member.near);
                    growth.map(|growth| increase(&growth, from, to) / per_second(self.window))
                }
            };
            let Some(number) = number else { continue };
            let slot = &mut self.rows[member.row].numbers[member.bucket];
            *slot = Some(match (*slot, self.aggregation) {
                (None, _) => number,
                (Some(known), Aggregation::Max) => known.max(number),
                (Some(known), Aggregation::Sum | Aggregation::Quantile { .. }) => known + number,
            });
        }
        let value = |row: &Row| match self.aggregation {
            Aggregation::Sum | Aggregation::Max => row.numbers[0],
            Aggregation::Quantile { quantile, units_per_second } => {
                row.quantile(quantile).map(|value| value / f64::from(units_per_second))
            }
        };
        self.rows.iter().filter_map(|row| Some((row.number, value(row)?))).collect()
    }
}

impl Row {
    /// A quantile of the buckets that have a number; none where none has.
    fn quantile(&self, quantile: f64) -> Option<f64> {
        let numbers = self.bounds.iter().zip(&self.numbers);
        let mut buckets: Vec<Bucket> = numbers.filter_map(|(bound, number)| Some((*bound, (*number)?))).collect();
        buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        (!buckets.is_empty()).then(|| histogram_quantile(quantile, &mut buckets))
    }
}

impl<'a> Member<'a> {
    fn new(series: &'a Series) -> Self {
        Self { series, near: Window::default(), row: 0, bucket: 0 }
    }
}

#[allow(clippy::cast_precision_loss)]
fn per_second(window: i64) -> f64 {
    window as f64 / 1000.0
}

/// The series that a selector means.
fn select<'a>(file: &'a OpenMetrics, selector: &VectorSelector) -> Result<Vec<&'a Series>, String> {
    let tests = selector.matchers.iter().map(Test::new).collect::<Result<Vec<_>, _>>()?;
    Ok(file.named(&selector.metric).filter(|series| tests.iter().all(|test| test.passes(series))).collect())
}

/// A matcher, ready to be used.
enum Test<'a> {
    Text { label: &'a str, value: &'a str, wanted: bool },
    Pattern { label: &'a str, pattern: Regex, wanted: bool },
}

impl<'a> Test<'a> {
    fn new(matcher: &'a Matcher) -> Result<Self, String> {
        let (label, value) = (matcher.label.as_str(), matcher.value.as_str());
        let wanted = matches!(matcher.operator, Operator::Equal | Operator::Matches);
        match matcher.operator {
            Operator::Equal | Operator::NotEqual => Ok(Self::Text { label, value, wanted }),
            Operator::Matches | Operator::MatchesNot => {
                // PromQL's regular expressions are always for the whole value.
                let pattern = Regex::new(&format!("^(?:{value})$"));
                let pattern = pattern.map_err(|e| format!("{value} is no regular expression that can be used: {e}"))?;
                Ok(Self::Pattern { label, pattern, wanted })
            }
        }
    }

    fn passes(&self, series: &Series) -> bool {
        match self {
            Self::Text { label, value, wanted } => (series.label(label) == *value) == *wanted,
            Self::Pattern { label, pattern, wanted } => pattern.is_match(series.label(label)) == *wanted,
        }
    }
}
