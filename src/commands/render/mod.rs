//! `ripcord render`: what belongs to a configuration and is kept elsewhere.
//!
//! - `rbac`: the permissions that it needs
//! - `rules`: recording and alerting rules for Prometheus
//! - `dashboard`: dashboards for Grafana, which show what the rules record
//! - the schema of configurations, which `config` has
//! - `grammar`: manual pages and completions, of what can be typed
//! - `scrape`: how Prometheus knows Ripcord's own series

mod dashboard;
mod grammar;
mod rbac;
mod rules;
mod scrape;

use crate::cli::{Render, RenderTarget, RulesFormat};
use crate::config;

use super::{Failure, load_apart, print};
use scrape::Own;

/// Writes it to stdout.
pub fn render(options: &Render) -> Result<(), Failure> {
    // Nothing of it depends on the files that a configuration names.
    match &options.target {
        RenderTarget::Rbac(options) => {
            let settings = load_apart(&options.configured)?;
            print(&rbac::render(&settings, &options.configured.files, &options.service_account))
        }
        RenderTarget::Rules(options) => {
            let settings = load_apart(&options.configured)?;
            let groups = rules::groups(&settings, &Own::of(&options.scrape));
            let head = rules::head(options);
            print(&match options.format {
                RulesFormat::Prometheus => rules::file(&head, &groups),
                RulesFormat::PrometheusRule => rules::custom_resource(&head, &options.namespace, &groups),
            })
        }
        RenderTarget::Dashboard(options) => {
            let settings = load_apart(&options.configured)?;
            let dashboard = dashboard::dashboard(options.which, &settings, &Own::of(&options.scrape));
            print(&format!("{dashboard:#}\n"))
        }
        RenderTarget::Schema => print(&format!("{:#}\n", config::schema())),
        RenderTarget::Man(options) => grammar::man(&options.folder),
        RenderTarget::Completions(options) => grammar::completions(options.shell),
    }
}

/// Metrics of others that rules and dashboards ask for: Istio's and the Ingress' (which `prometheus/promql.rs` names), the kubelet's
/// (cAdvisor), Prometheus' own, and those that every exporter has of its process.
#[cfg(test)]
const OF_OTHERS: [&str; 11] = [
    "istio_requests_total",
    "istio_request_duration_milliseconds_bucket",
    "nginx_ingress_controller_requests",
    "nginx_ingress_controller_request_duration_seconds_bucket",
    "container_memory_working_set_bytes",
    "container_cpu_usage_seconds_total",
    "up",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_max_fds",
];

/// Every metric that a query may name: Ripcord's own, what the rules record, and those of others.
#[cfg(test)]
fn known_metrics() -> std::collections::BTreeSet<String> {
    let own = regex::Regex::new("\"(ripcord_[a-z_]+)\"").expect("an expression");
    let own: Vec<String> =
        own.captures_iter(include_str!("../../telemetry/names.rs")).map(|found| found[1].to_owned()).collect();
    assert!(own.len() > 20, "{own:?}");
    let histograms = own.iter().filter(|name| name.ends_with("_duration_seconds"));
    let parts: Vec<String> =
        histograms.flat_map(|name| ["bucket", "sum", "count"].map(|part| format!("{name}_{part}"))).collect();
    let recorded = [rules::SUCCESS, rules::QUANTILE, rules::SIGNAL, rules::PATH_RATE];
    let others = OF_OTHERS.iter().chain(&recorded).map(|name| (*name).to_owned());
    own.into_iter().chain(parts).chain(others).collect()
}

/// The metrics that a query names. Each has braces behind it.
#[cfg(test)]
fn metrics_of(query: &str) -> Vec<String> {
    let metric = regex::Regex::new("([a-zA-Z_:][a-zA-Z0-9_:]*)\\{").expect("an expression");
    metric.captures_iter(query).map(|found| found[1].to_owned()).collect()
}
