//! Tests of the configuration, by topic. Most are tables: what is written over a good configuration, and what is said of it.

mod files;
mod guards;
mod heartbeat;
mod layers;
mod random;
mod receivers;
mod settings;
mod shipped;
mod state;
mod steps;
mod triggers;
mod units;

use std::fs;
use std::path::PathBuf;

use super::{Finding, LoadOptions, Settings, load};

/// A good configuration with something of everything.
const BASE: &str = r#"
prometheus: {url: "http://prometheus:9090"}
guards:
  shop:
    match: {destination_workload: "${deployment}"}
    caller_match: {source_workload: gateway, destination_service_name: shop}
    vars: {deployment: shop-web}
    triggers:
      error_rate: {signal: error_rate, above: 1%, clear_below: 0.5%}
      latency: {signal: latency, degraded_by: 50%, clear_below: 25%, baseline: {fixed: 120ms}}
      availability: {signal: availability, below: 99%, clear_above: 99.5%}
      load: {signal: throughput, degraded_by: 20%, baseline: {offset: 1d}, action: page}
      memory: {promql: 'max(memory{pod=~"${deployment}-.*"})', above: 128Mi}
    traffic:
      - deployment_env: {namespace: shop, name: "${deployment}", container: web, env: {SHARE: "${percentage}"}}
receivers:
  people: {webhook: {url: "http://receiver/"}}
"#;

/// Loads texts, each as a file of its own over the ones before.
fn load_texts(texts: &[&str], env: &[(&str, &str)], options: LoadOptions) -> Result<Settings, Vec<Finding>> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let paths: Vec<PathBuf> = texts
        .iter()
        .enumerate()
        .map(|(i, text)| {
            let path = folder.path().join(format!("{i}.yaml"));
            fs::write(&path, text).expect("a file in it");
            path
        })
        .collect();
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let short = |mut finding: Finding| {
        finding.file = finding.file.map(|file| PathBuf::from(file.file_name().unwrap_or_default()));
        finding
    };
    match load(&paths, env, options) {
        Ok(mut settings) => {
            settings.warnings = settings.warnings.into_iter().map(short).collect();
            Ok(settings)
        }
        Err(findings) => Err(findings.into_iter().map(short).collect()),
    }
}

/// What is said of a text over the good configuration, a line each.
fn errors(over: &str) -> Vec<String> {
    match load_texts(&[BASE, over], &[], LoadOptions::default()) {
        Ok(_) => Vec::new(),
        Err(findings) => {
            assert!(!findings.is_empty(), "refused without a reason: {over}");
            findings.iter().map(Finding::to_string).collect()
        }
    }
}

/// The settings that a text over the good configuration gives.
fn settings(over: &str) -> Settings {
    match load_texts(&[BASE, over], &[], LoadOptions::default()) {
        Ok(settings) => settings,
        Err(findings) => panic!("{over}\n{}", lines(&findings)),
    }
}

fn lines(findings: &[Finding]) -> String {
    findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("\n")
}

/// Checks that each text gives exactly one error, and that it says this.
fn check_errors(table: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (over, expected) in table {
        let found = errors(over);
        if found.len() != 1 || !found[0].contains(expected) {
            wrong.push(format!("written:  {over}\nexpected: {expected}\nfound:    {}", found.join("\n          ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Checks that each text is accepted with a warning that says this.
fn check_warnings(table: &[(&str, &str)]) {
    for (over, expected) in table {
        let warnings = lines(&settings(over).warnings);
        assert!(warnings.contains(expected), "written:  {over}\nexpected: {expected}\nfound:    {warnings}");
    }
}

/// A trigger of the good configuration's guard, written over.
fn trigger(name: &str, keys: &str) -> String {
    format!("guards: {{shop: {{triggers: {{{name}: {{{keys}}}}}}}}}")
}
