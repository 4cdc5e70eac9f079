//! What the targets share: a configuration with something of everything, and a way to load a text.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use ripcord::config::{self, Finding, LoadOptions, Settings};

/// A guard with every kind of signal and baseline, and a second one.
const CONFIGURATION: &str = r#"
prometheus: {url: "http://prometheus:9090"}
defaults:
  match: {destination_workload: "${guard}"}
  triggers:
    error_rate: {signal: error_rate, above: 1%}
    availability: {signal: availability, below: 99%}
    latency: {signal: latency, degraded_by: 50%, baseline: {offset: 5m}}
    load: {signal: throughput, degraded_by: 30%, baseline: {offset: 5m}, action: page}
    routes: {signal: client_error_rate, rises_by: 5%, baseline: {offset: 5m}}
    budget: {signal: error_rate, slo: {objective: 99.9%, burn_rates: [{above: 14.4, window: 1h, confirm_window: 5m}]}}
    memory: {promql: "max(memory)", above: 128}
    plain: {promql: 'up{job=~"a|b"}', above: 128}
  traffic:
    - deployment_env: {namespace: shop, name: "${guard}", container: web, env: {SHARE: "${percentage}"}}
guards:
  a: {}
  b:
    metrics: ingress_nginx
    triggers:
      latency: {degraded_by: 50%, baseline: {control: {match: {destination_workload: c}}}}
"#;

/// The settings that measurements are made for.
pub static SETTINGS: LazyLock<Settings> =
    LazyLock::new(|| load(CONFIGURATION.as_bytes(), []).unwrap_or_else(|f| panic!("{f:?}")));

/// Loads a text as a configuration's only file. No file that it names is looked at.
pub fn load(text: &[u8], env: impl IntoIterator<Item = (String, String)>) -> Result<Settings, Vec<Finding>> {
    // In memory, where there is such a folder: it is written anew for each text.
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let file = folder.join(format!("ripcord-fuzz-{}.yaml", std::process::id()));
    fs::write(&file, text).expect("a file can be written");
    let loaded = config::load(std::slice::from_ref(&file), env, LoadOptions { syntax_only: true });
    let _ = fs::remove_file(file);
    loaded
}
