//! A built-in query as data. It is rendered as PromQL for a server, and evaluated as it is where a file takes the server's place: so both
//! mean the same series.

use std::fmt;
use std::time::Duration;

/// A built-in query: one function over the ranges of some series, aggregated by some labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    /// What becomes of the series' numbers.
    pub aggregation: Aggregation,
    /// What is made of each series.
    pub function: Function,
    /// Which series: those of any of these selectors.
    pub selectors: Vec<VectorSelector>,
    /// The range.
    pub window: Duration,
    /// How long ago it ends.
    pub offset: Duration,
    /// The labels that tell the rows apart.
    pub by: Vec<String>,
}

/// What becomes of the numbers of several series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aggregation {
    /// Their sum.
    Sum,
    /// The largest.
    Max,
    /// A quantile in seconds, of the series as a histogram's buckets.
    Quantile {
        /// Which, between 0 and 1.
        quantile: f64,
        /// How many units of the buckets' bounds are a second.
        units_per_second: u32,
    },
}

/// What is made of the range of one series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// How much the counter grew.
    Increase,
    /// That, per second.
    Rate,
    /// How many samples there are.
    CountOverTime,
}

/// Which series are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VectorSelector {
    /// Their name.
    pub metric: String,
    /// What else must hold.
    pub matchers: Vec<Matcher>,
}

/// What the value of one label must be. A label that is missing has the value "".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matcher {
    /// The label.
    pub label: String,
    /// How it is compared.
    pub operator: Operator,
    /// With what: a text, or a regular expression for the whole value.
    pub value: String,
}

/// How a label is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Matches,
    /// `!~`
    MatchesNot,
}

impl Matcher {
    /// A matcher.
    pub fn new(label: &str, operator: Operator, value: &str) -> Self {
        Self { label: label.to_owned(), operator, value: value.to_owned() }
    }

    /// A matcher for any of these values, taken literally.
    pub fn one_of(label: &str, values: &[&str]) -> Self {
        match values {
            [only] => Self::new(label, Operator::Equal, only),
            several => {
                let alternatives: Vec<String> = several.iter().map(|value| escaped(value)).collect();
                Self::new(label, Operator::Matches, &alternatives.join("|"))
            }
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (function, range) = (self.function, range(self.window, self.offset));
        let series: Vec<String> =
            self.selectors.iter().map(|selector| format!("{function}({selector}{range})")).collect();
        let (series, by) = (series.join(" or "), self.by.join(", "));
        match self.aggregation {
            Aggregation::Sum => write!(f, "sum by ({by}) ({series})"),
            Aggregation::Max => write!(f, "max by ({by}) ({series})"),
            Aggregation::Quantile { quantile, units_per_second } => {
                let comma = if by.is_empty() { "" } else { ", " };
                write!(f, "histogram_quantile({quantile}, sum by (le{comma}{by}) ({series}))")?;
                if units_per_second == 1 { Ok(()) } else { write!(f, " / {units_per_second}") }
            }
        }
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Increase => "increase",
            Self::Rate => "rate",
            Self::CountOverTime => "count_over_time",
        })
    }
}

impl fmt::Display for VectorSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let matchers: Vec<String> = self.matchers.iter().map(Matcher::to_string).collect();
        write!(f, "{}{{{}}}", self.metric, matchers.join(","))
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operator = match self.operator {
            Operator::Equal => "=",
            Operator::NotEqual => "!=",
            Operator::Matches => "=~",
            Operator::MatchesNot => "!~",
        };
        write!(f, "{}{operator}\"{}\"", self.label, quoted(&self.value))
    }
}

fn range(window: Duration, offset: Duration) -> String {
    let offset = if offset.is_zero() { String::new() } else { format!(" offset {}", duration(offset)) };
    format!("[{}]{offset}", duration(window))
}

pub(super) fn duration(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{}s", duration.as_secs())
    } else {
        format!("{}ms", duration.as_millis())
    }
}

/// A text inside a PromQL string.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// A text that a regular expression takes literally.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
