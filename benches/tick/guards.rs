//! A thousand guards of four built-in triggers each, and what a Prometheus answers for them.

use std::fmt::Write as _;

use ripcord::config::{self, LoadOptions, Settings};

/// The guards.
pub const COUNT: usize = 1000;

/// Has no divisor in common with their number.
const STRIDE: usize = 389;

/// Names of the usual length.
pub fn name(n: usize) -> String {
    format!("component-{n:04}-controller")
}

/// Names so short that one query has room for all.
pub fn short_name(n: usize) -> String {
    format!("c{n:04}")
}

/// A configuration for all of them.
pub fn config(prometheus: &str, listen: &str, name: fn(usize) -> String) -> String {
    let mut text = format!(
        r#"
prometheus: {{url: "{prometheus}"}}
evaluation: {{interval: 1s}}
http: {{listen: "{listen}"}}
readiness: {{interval: 6h}}
defaults:
  match: {{destination_workload: "${{guard}}"}}
  caller_match: {{source_workload: istio-ingressgateway, destination_service_name: "${{guard}}"}}
  triggers:
    error_rate: {{signal: error_rate, above: 1%, clear_below: 0.5%}}
    latency: {{signal: latency, degraded_by: 50%, clear_below: 25%, baseline: {{fixed: 120ms}}}}
    availability: {{signal: availability, below: 99%, clear_above: 99.5%}}
    load: {{signal: throughput, below: 1/s, action: page}}
  traffic:
    - deployment_env:
        {{namespace: default, name: "${{guard}}", container: main, env: {{ISTIO_PERCENTAGE: "${{percentage}}"}}}}
guards:
"#
    );
    for n in 0..COUNT {
        let _ = writeln!(text, "  {}: {{}}", name(n));
    }
    text
}

/// The same, loaded.
pub fn settings(name: fn(usize) -> String) -> anyhow::Result<Settings> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("ripcord.yaml");
    std::fs::write(&file, config("http://127.0.0.1:9", "127.0.0.1:0", name))?;
    let loaded = config::load(&[file], [], LoadOptions::default());
    loaded.map_err(|f| anyhow::anyhow!("{}", f.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))
}

/// The body of the answer to one of their queries. Where they are `bad`, a fifth of all requests fail.
pub fn answer(query: &str, name: fn(usize) -> String, bad: bool) -> String {
    let by_caller = query.contains("destination_service_name");
    // In no order of their names, as Prometheus gives them.
    let rows: Vec<String> = (0..COUNT)
        .map(|n| n * STRIDE % COUNT)
        .map(|n| (n, name(n)))
        .filter(|(_, name)| query.contains(name.as_str()))
        .map(|(n, name)| {
            let labels = match by_caller {
                true => format!(r#""destination_service_name":"{name}","source_workload":"istio-ingressgateway""#),
                false => format!(r#""destination_workload":"{name}""#),
            };
            let noise = f64::from(u32::try_from(n).unwrap_or_default()) / 7.0;
            let value = if query.contains("histogram_quantile") {
                0.09 + noise / 1e5
            } else if query.contains("5..") {
                if bad { 2000.0 + noise } else { noise / 1e3 }
            } else if query.contains("(rate(") {
                30.0 + noise
            } else {
                10_000.0 + noise
            };
            format!(r#"{{"metric":{{{labels}}},"value":[1767323045.6,"{value}"]}}"#)
        })
        .collect();
    format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{}]}}}}"#, rows.join(","))
}
