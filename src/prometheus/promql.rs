//! The built-in queries: from what is wanted to the expression that gives it.
//!
//! Counts and not ratios are asked for, so that the number of requests is known. `increase` and `rate` come before `sum`: only there
//! are counter resets handled. A request whose client left (Istio: response flag `DC`; nginx: status 499) says nothing about the
//! service and is left out everywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::config::MetricNames;

use super::expression::{Aggregation, Expression, Function, Matcher, Operator, VectorSelector, duration};

/// The gRPC status codes that are the server's fault: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS. The
/// same set that OpenTelemetry's conventions call errors of a server; the others are the caller's, like a 4xx.
const GRPC_SERVER_FAULTS: &str = "2|4|12|13|14|15";

/// The statuses that a broken route or a lost right gives: nothing there (Istio: flag NR), not known, not allowed. Other 4xx are what
/// clients do.
const MISSING_ROUTES: &str = "401|403|404";

/// What is asked of the series of one selector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Number {
    /// Failed requests in the window.
    Failed,
    /// Requests in the window that were answered as the client's fault where a route or a right is missing.
    ClientErrors,
    /// All requests in the window.
    Requests,
    /// Requests per second over the window.
    Rate,
    /// A quantile of the duration, in seconds. In millionths, so that it can be a key.
    Quantile(u32),
    /// The requests that the quantile rests on.
    Timed,
    /// Samples in the window of the series that has the most: how often it was scraped.
    Scrapes,
}

/// A period, and how far apart the instants in it are that are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Steps {
    /// How long it is.
    pub period: Duration,
    /// From one instant to the next.
    pub step: Duration,
}

impl Steps {
    /// How many instants it has.
    pub fn count(self) -> f64 {
        self.period.as_secs_f64() / self.step.as_secs_f64()
    }

    /// A query asked at each of them, and what comes of it put into one function over all.
    pub fn over(self, function: &str, query: &str) -> String {
        // On a line of its own, because the query may end with a comment.
        let end = if query.contains('#') { "\n" } else { "" };
        format!("{function}(({query}{end})[{}:{}])", duration(self.period), duration(self.step))
    }
}

/// Everything but the label values of a built-in query.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shape {
    /// What is asked.
    pub number: Number,
    /// Whose names the series have.
    pub names: MetricNames,
    /// Whether the caller's side is meant.
    pub caller: bool,
    /// The window.
    pub window: Duration,
    /// How long ago.
    pub offset: Duration,
    /// The labels that select, in order.
    pub labels: Vec<String>,
}

/// The expression of a shape for the given values of each of its labels, grouped by those labels.
pub fn expression(shape: &Shape, values: &BTreeMap<&str, BTreeSet<&str>>) -> Expression {
    let given = |label: &String| {
        let values: Vec<&str> = values.get(label.as_str()).into_iter().flatten().copied().collect();
        Matcher::one_of(label, &values)
    };
    let series = |metric: &str, more: &[Fixed]| VectorSelector {
        metric: metric.to_owned(),
        matchers: side(shape)
            .iter()
            .chain(more)
            .map(|(label, operator, value)| Matcher::new(label, *operator, value))
            .chain(shape.labels.iter().map(given))
            .collect(),
    };
    let (counter, histogram) = metrics(shape.names);
    let (aggregation, function, selectors) = match shape.number {
        Number::Requests => (Aggregation::Sum, Function::Increase, vec![series(counter, &[])]),
        Number::Rate => (Aggregation::Sum, Function::Rate, vec![series(counter, &[])]),
        Number::Scrapes => (Aggregation::Max, Function::CountOverTime, vec![series(counter, &[])]),
        Number::Timed => (Aggregation::Sum, Function::Increase, vec![series(&format!("{histogram}_count"), &[])]),
        Number::Failed => {
            let alternatives = failed(shape.names).iter().map(|more| series(counter, more)).collect();
            (Aggregation::Sum, Function::Increase, alternatives)
        }
        Number::ClientErrors => {
            let refused = (status(shape.names), Operator::Matches, MISSING_ROUTES);
            (Aggregation::Sum, Function::Increase, vec![series(counter, &[refused])])
        }
        Number::Quantile(millionths) => {
            let quantile = f64::from(millionths) / 1e6;
            let aggregation = Aggregation::Quantile { quantile, units_per_second: units_per_second(shape.names) };
            (aggregation, Function::Rate, vec![series(&format!("{histogram}_bucket"), &[])])
        }
    };
    let (window, offset, by) = (shape.window, shape.offset, shape.labels.clone());
    Expression { aggregation, function, selectors, window, offset, by }
}

/// A matcher that does not depend on the guard.
type Fixed = (&'static str, Operator, &'static str);

/// The counter and the histogram of requests.
fn metrics(names: MetricNames) -> (&'static str, &'static str) {
    match names {
        MetricNames::Istio => ("istio_requests_total", "istio_request_duration_milliseconds"),
        MetricNames::IngressNginx => {
            ("nginx_ingress_controller_requests", "nginx_ingress_controller_request_duration_seconds")
        }
    }
}

/// The label with the status of a request.
fn status(names: MetricNames) -> &'static str {
    match names {
        MetricNames::Istio => "response_code",
        MetricNames::IngressNginx => "status",
    }
}

/// How many of the histogram's units are a second.
fn units_per_second(names: MetricNames) -> u32 {
    match names {
        MetricNames::Istio => 1000,
        MetricNames::IngressNginx => 1,
    }
}

/// Which requests are looked at at all.
fn side(shape: &Shape) -> &'static [Fixed] {
    const CLIENT_STAYED: Fixed = ("response_flags", Operator::MatchesNot, "(.*,)?DC(,.*)?");
    match (shape.names, shape.caller) {
        (MetricNames::Istio, false) => &[("reporter", Operator::Equal, "destination"), CLIENT_STAYED],
        (MetricNames::Istio, true) => &[("reporter", Operator::Equal, "source"), CLIENT_STAYED],
        // The ingress controller is the caller's side by its nature.
        (MetricNames::IngressNginx, _) => &[("status", Operator::NotEqual, "499")],
    }
}

/// Which of those failed: the ones of any of these alternatives, which exclude one another.
fn failed(names: MetricNames) -> &'static [&'static [Fixed]] {
    match names {
        MetricNames::Istio => &[
            &[("response_code", Operator::Matches, "5..|0")],
            &[
                ("response_code", Operator::MatchesNot, "5..|0"),
                ("grpc_response_status", Operator::Matches, GRPC_SERVER_FAULTS),
            ],
        ],
        MetricNames::IngressNginx => &[&[("status", Operator::Matches, "5..")]],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(shape: &Shape, values: &BTreeMap<&str, BTreeSet<&str>>) -> String {
        expression(shape, values).to_string()
    }

    fn shape(number: Number, names: MetricNames) -> Shape {
        Shape {
            number,
            names,
            caller: false,
            window: Duration::from_secs(300),
            offset: Duration::ZERO,
            labels: vec!["app".to_owned()],
        }
    }

    #[test]
    fn queries_read_as_a_person_would_write_them() {
        let one: BTreeMap<_, _> = [("app", ["a"].into())].into();
        let two: BTreeMap<_, _> = [("app", ["a", "b.c"].into())].into();
        assert_eq!(
            render(&shape(Number::Requests, MetricNames::Istio), &one),
            r#"sum by (app) (increase(istio_requests_total{reporter="destination",response_flags!~"(.*,)?DC(,.*)?",app="a"}[300s]))"#
        );
        assert_eq!(
            render(&shape(Number::Failed, MetricNames::IngressNginx), &two),
            r#"sum by (app) (increase(nginx_ingress_controller_requests{status!="499",status=~"5..",app=~"a|b\\.c"}[300s]))"#
        );
        let mut yesterday = shape(Number::Quantile(950_000), MetricNames::Istio);
        yesterday.offset = Duration::from_secs(86_400);
        assert_eq!(
            render(&yesterday, &one),
            r#"histogram_quantile(0.95, sum by (le, app) (rate(istio_request_duration_milliseconds_bucket{reporter="destination",response_flags!~"(.*,)?DC(,.*)?",app="a"}[300s] offset 86400s))) / 1000"#
        );
    }

    #[test]
    fn label_values_cannot_break_out_of_their_string() {
        let hostile: BTreeMap<_, _> = [("app", ["a\"} or vector(1) #\n\\"].into())].into();
        let query = render(&shape(Number::Rate, MetricNames::Istio), &hostile);
        assert!(query.contains(r#"app="a\"} or vector(1) #\n\\""#), "{query}");
    }
}
