//! The page that Prometheus scrapes.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::counts::Count;
use super::traffic::Outcome;
use super::{Names, Source, State};

/// The buckets of `istio_request_duration_milliseconds`.
pub(super) const ISTIO_BUCKETS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1000.0,
    2500.0,
    5000.0,
    10000.0,
    30000.0,
    60000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

/// The buckets of `nginx_ingress_controller_request_duration_seconds`, in milliseconds.
pub(super) const INGRESS_BUCKETS: [f64; 11] =
    [5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0];

/// `name{label="value"}`.
pub(super) fn series(name: &str, labels: &[(&str, &str)]) -> String {
    let labels: Vec<_> = labels.iter().map(|(label, value)| format!("{label}={value:?}")).collect();
    format!("{name}{{{}}}", labels.join(","))
}

/// The series of one metric, all together as the format wants it.
#[derive(Default)]
struct Families {
    requests: String,
    durations: String,
}

/// The whole page.
pub(super) fn page(state: &State) -> String {
    let mut istio = Families::default();
    let mut nginx = Families::default();
    for ((names, name), source) in &state.sources {
        match names {
            Names::Istio => {
                for (outcome, count) in &source.counts.by_outcome {
                    istio_series(&mut istio, &state.namespace, name, source, outcome, count);
                }
            }
            Names::IngressNginx => ingress_series(&mut nginx, &state.namespace, name, source),
        }
    }
    let mut page = String::new();
    for (families, requests, durations) in [
        (istio, "istio_requests_total", "istio_request_duration_milliseconds"),
        (nginx, "nginx_ingress_controller_requests", "nginx_ingress_controller_request_duration_seconds"),
    ] {
        if !families.requests.is_empty() {
            let _ = write!(page, "# TYPE {requests} counter\n{}", families.requests);
            let _ = write!(page, "# TYPE {durations} histogram\n{}", families.durations);
        }
    }
    for (series, value) in &state.gauges {
        let _ = writeln!(page, "{series} {value}");
    }
    page
}

fn istio_series(
    families: &mut Families,
    namespace: &str,
    name: &str,
    source: &Source,
    outcome: &Outcome,
    count: &Count,
) {
    for reporter in ["source", "destination"] {
        if reporter == "destination" && !outcome.reached {
            continue;
        }
        let seen = |value| if outcome.reached { value } else { "unknown" };
        let labels = [
            ("reporter", reporter),
            ("source_workload", &outcome.caller),
            ("source_workload_namespace", "istio-system"),
            ("destination_workload", seen(name)),
            ("destination_workload_namespace", seen(namespace)),
            ("destination_app", seen(name)),
            ("destination_service_name", &source.service),
            ("destination_service_namespace", namespace),
            ("destination_service", &format!("{}.{namespace}.svc.cluster.local", source.service)),
            ("request_protocol", if outcome.grpc.is_empty() { "http" } else { "grpc" }),
            ("response_code", &outcome.code.to_string()),
            ("response_flags", outcome.flags),
            ("grpc_response_status", outcome.grpc),
            ("connection_security_policy", if reporter == "source" { "unknown" } else { "mutual_tls" }),
        ];
        let _ = writeln!(families.requests, "{} {}", series("istio_requests_total", &labels), count.requests.floor());
        histogram(&mut families.durations, "istio_request_duration_milliseconds", &labels, count, &ISTIO_BUCKETS, 1.0);
    }
}

fn ingress_series(families: &mut Families, namespace: &str, name: &str, source: &Source) {
    // ingress-nginx knows of no flags and no gRPC: what has the same status is one series.
    let mut by_status: BTreeMap<u16, Count> = BTreeMap::new();
    for (outcome, count) in &source.counts.by_outcome {
        let status = match (outcome.code, outcome.flags) {
            (0, "DC") => 499,
            (0, _) => 502,
            (code, _) => code,
        };
        by_status.entry(status).or_default().merge(count);
    }
    for (status, count) in &by_status {
        let labels = [
            ("controller_class", "k8s.io/ingress-nginx"),
            ("controller_namespace", "ingress-nginx"),
            ("namespace", namespace),
            ("ingress", name),
            ("service", &source.service),
            ("host", "example.test"),
            ("path", "/"),
            ("method", "GET"),
            ("status", &status.to_string()),
        ];
        let requests = series("nginx_ingress_controller_requests", &labels);
        let _ = writeln!(families.requests, "{requests} {}", count.requests.floor());
        let durations = "nginx_ingress_controller_request_duration_seconds";
        histogram(&mut families.durations, durations, &labels, count, &INGRESS_BUCKETS, 1000.0);
    }
}

/// A histogram's series. `per_unit` is how many milliseconds one unit of the metric has.
fn histogram(text: &mut String, name: &str, labels: &[(&str, &str)], count: &Count, bounds: &[f64], per_unit: f64) {
    let mut cumulative = 0.0;
    for (bound, requests) in bounds.iter().zip(&count.buckets) {
        cumulative += requests;
        let le = (bound / per_unit).to_string();
        let mut labels = labels.to_vec();
        labels.push(("le", &le));
        // Sums of parts may come out a hair above the whole.
        let shown = cumulative.min(count.requests).floor();
        let _ = writeln!(text, "{} {shown}", series(&format!("{name}_bucket"), &labels));
    }
    let mut all = labels.to_vec();
    all.push(("le", "+Inf"));
    let total = count.requests.floor();
    let _ = writeln!(text, "{} {total}", series(&format!("{name}_bucket"), &all));
    let _ = writeln!(text, "{} {}", series(&format!("{name}_sum"), labels), count.sum_ms / per_unit);
    let _ = writeln!(text, "{} {total}", series(&format!("{name}_count"), labels));
}
