//! The text of the built-in queries.
//!
//! Counts and not ratios are asked for, so that the number of requests is known. `increase` and `rate` come before `sum`: only there
//! are counter resets handled. A request whose client left (Istio: response flag `DC`; nginx: status 499) says nothing about the
//! service and is left out everywhere.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::MetricNames;

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

/// Renders a query for the given values of each of the shape's labels, grouped by those labels.
pub fn render(shape: &Shape, values: &BTreeMap<&str, Vec<&str>>) -> String {
    let by = shape.labels.join(", ");
    let selected: Vec<String> = shape
        .labels
        .iter()
        .map(|label| matcher(label, values.get(label.as_str()).map_or(&[][..], Vec::as_slice)))
        .collect();
    let range = range(shape.window, shape.offset);
    let series = |metric: &str, more: &[&str]| {
        let matchers: Vec<&str> = side(shape).iter().copied().chain(more.iter().copied()).collect();
        let all: Vec<&str> = matchers.into_iter().chain(selected.iter().map(String::as_str)).collect();
        format!("{metric}{{{}}}{range}", all.join(","))
    };
    let (counter, histogram) = metrics(shape.names);
    match (shape.number, shape.names) {
        (Number::Requests, _) => format!("sum by ({by}) (increase({}))", series(counter, &[])),
        (Number::Rate, _) => format!("sum by ({by}) (rate({}))", series(counter, &[])),
        (Number::Scrapes, _) => format!("max by ({by}) (count_over_time({}))", series(counter, &[])),
        (Number::Timed, _) => format!("sum by ({by}) (increase({}))", series(&format!("{histogram}_count"), &[])),
        (Number::Failed, MetricNames::Istio) => {
            let grpc = format!("grpc_response_status=~\"{GRPC_SERVER_FAULTS}\"");
            format!(
                "sum by ({by}) (increase({}) or increase({}))",
                series(counter, &["response_code=~\"5..|0\""]),
                series(counter, &["response_code!~\"5..|0\"", &grpc]),
            )
        }
        (Number::Failed, MetricNames::IngressNginx) => {
            format!("sum by ({by}) (increase({}))", series(counter, &["status=~\"5..\""]))
        }
        (Number::ClientErrors, names) => {
            let status = match names {
                MetricNames::Istio => "response_code",
                MetricNames::IngressNginx => "status",
            };
            let refused = format!("{status}=~\"{MISSING_ROUTES}\"");
            format!("sum by ({by}) (increase({}))", series(counter, &[&refused]))
        }
        (Number::Quantile(millionths), names) => {
            let quantile = f64::from(millionths) / 1e6;
            let buckets = series(&format!("{histogram}_bucket"), &[]);
            let grouping = if by.is_empty() { "le".to_owned() } else { format!("le, {by}") };
            let query = format!("histogram_quantile({quantile}, sum by ({grouping}) (rate({buckets})))");
            match names {
                MetricNames::Istio => format!("{query} / 1000"),
                MetricNames::IngressNginx => query,
            }
        }
    }
}

/// The counter and the histogram of requests.
fn metrics(names: MetricNames) -> (&'static str, &'static str) {
    match names {
        MetricNames::Istio => ("istio_requests_total", "istio_request_duration_milliseconds"),
        MetricNames::IngressNginx => {
            ("nginx_ingress_controller_requests", "nginx_ingress_controller_request_duration_seconds")
        }
    }
}

/// The matchers that do not depend on the guard.
fn side(shape: &Shape) -> &'static [&'static str] {
    match (shape.names, shape.caller) {
        (MetricNames::Istio, false) => &["reporter=\"destination\"", "response_flags!~\"(.*,)?DC(,.*)?\""],
        (MetricNames::Istio, true) => &["reporter=\"source\"", "response_flags!~\"(.*,)?DC(,.*)?\""],
        // The ingress controller is the caller's side by its nature.
        (MetricNames::IngressNginx, _) => &["status!=\"499\""],
    }
}

fn range(window: Duration, offset: Duration) -> String {
    let offset = if offset.is_zero() { String::new() } else { format!(" offset {}", duration(offset)) };
    format!("[{}]{offset}", duration(window))
}

fn duration(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{}s", duration.as_secs())
    } else {
        format!("{}ms", duration.as_millis())
    }
}

fn matcher(label: &str, values: &[&str]) -> String {
    match values {
        [only] => format!("{label}=\"{}\"", quoted(only)),
        several => {
            let regex: Vec<String> = several.iter().map(|value| escaped(value)).collect();
            format!("{label}=~\"{}\"", quoted(&regex.join("|")))
        }
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

#[cfg(test)]
mod tests {
    use super::*;

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
        let one: BTreeMap<_, _> = [("app", vec!["a"])].into();
        let two: BTreeMap<_, _> = [("app", vec!["a", "b.c"])].into();
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
        let hostile: BTreeMap<_, _> = [("app", vec!["a\"} or vector(1) #\n\\"])].into();
        let query = render(&shape(Number::Rate, MetricNames::Istio), &hostile);
        assert!(query.contains(r#"app="a\"} or vector(1) #\n\\""#), "{query}");
    }
}
