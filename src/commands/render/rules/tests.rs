use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::*;
use crate::cli::{Configured, Scrape};
use crate::commands::render::known_metrics;
use crate::config::{self, LoadOptions};

fn repository(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(repository(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn settings(file: &Path) -> Settings {
    config::load(&[file.to_owned()], Vec::new(), LoadOptions { syntax_only: true }).expect("a valid configuration")
}

fn preset() -> Settings {
    settings(&repository("config/ripcord.yaml"))
}

fn options(format: RulesFormat) -> RenderRules {
    let configured = Configured { files: vec!["config/ripcord.yaml".into()] };
    let scrape = Scrape { job: "ripcord".to_owned(), selector: None };
    RenderRules { configured, format, namespace: "sealos-system".to_owned(), scrape }
}

fn own(selector: Option<&str>) -> Own {
    Own::of(&Scrape { job: "ripcord".to_owned(), selector: selector.map(str::to_owned) })
}

#[test]
fn the_shipped_files_are_what_the_shipped_configuration_renders() {
    let groups = groups(&preset(), &own(None));
    let rendered = file(&head(&options(RulesFormat::Prometheus)), &groups);
    assert_eq!(read("deploy/prometheus/rules.yaml"), rendered, "make it anew, as its first lines say");
    let rendered = custom_resource(&head(&options(RulesFormat::PrometheusRule)), "sealos-system", &groups);
    assert_eq!(read("deploy/prometheus/prometheusrule.yaml"), rendered, "make it anew, as its first lines say");
}

#[test]
fn a_custom_resource_holds_the_same_groups_and_has_the_documented_fields() {
    let parse = |name: &str| serde_saphyr::from_str::<Value>(&read(name)).expect("YAML");
    let (rules, resource) = (parse("deploy/prometheus/rules.yaml"), parse("deploy/prometheus/prometheusrule.yaml"));
    assert_eq!(resource["spec"]["groups"], rules["groups"]);
    assert_eq!(
        (&resource["apiVersion"], &resource["kind"]),
        (&"monitoring.coreos.com/v1".into(), &"PrometheusRule".into())
    );
    let monitor = parse("deploy/prometheus/servicemonitor.yaml");
    let service = parse("deploy/base/service.yaml");
    assert_eq!(
        (&monitor["apiVersion"], &monitor["kind"]),
        (&"monitoring.coreos.com/v1".into(), &"ServiceMonitor".into())
    );
    // https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.ServiceMonitorSpec
    let fields = |value: &Value| value.as_object().expect("a map").keys().cloned().collect::<BTreeSet<String>>();
    assert_eq!(
        fields(&monitor["spec"]),
        ["endpoints", "jobLabel", "namespaceSelector", "selector"].map(String::from).into()
    );
    let endpoint = &monitor["spec"]["endpoints"][0];
    assert_eq!(endpoint["port"], service["spec"]["ports"][0]["name"], "the Service's port by its name");
    for (label, value) in monitor["spec"]["selector"]["matchLabels"].as_object().expect("labels") {
        assert_eq!(service["metadata"]["labels"][label], *value);
    }
    assert_eq!(monitor["spec"]["namespaceSelector"]["matchNames"][0], monitor["metadata"]["namespace"]);
    // What becomes the job is the value of this label of the Service, and the rules ask for that job.
    let job = monitor["spec"]["jobLabel"].as_str().expect("a label");
    assert_eq!(service["metadata"]["labels"][job], "ripcord");
}

#[test]
fn every_metric_is_one_that_there_is() {
    for group in groups(&preset(), &own(Some("namespace=\"x\""))) {
        for rule in group.rules {
            for metric in crate::commands::render::metrics_of(&rule.expr) {
                assert!(known_metrics().contains(&metric), "{}: {metric}", rule.name);
            }
        }
    }
}

#[test]
fn every_alert_says_what_it_must_and_has_its_place_in_the_runbook() {
    let mut settings = preset();
    settings.links.runbook = Some("https://wiki.example.org/ripcord".to_owned());
    let runbook = read("docs/monitoring.md");
    let alerts = alerts::rules(&settings, &own(None));
    let mut explained: BTreeSet<&str> = runbook.lines().filter_map(|line| line.strip_prefix("### Ripcord")).collect();
    for rule in &alerts {
        let alert = rule.alert.as_ref().expect("an alert");
        let names: Vec<&str> = alert.annotations.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["summary", "description", "runbook_url"], "{}", rule.name);
        let link = format!("https://wiki.example.org/ripcord#{}", rule.name.to_lowercase());
        assert_eq!(alert.annotations[2].1, link);
        assert_eq!(rule.labels.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["severity"]);
        assert!(
            explained.remove(rule.name.trim_start_matches("Ripcord")),
            "docs/monitoring.md has no ### {}",
            rule.name
        );
    }
    // The preset has no recorded baseline.
    assert_eq!(explained, ["BaselineTooOld"].into());
    settings.links.runbook = None;
    assert!(
        alerts::rules(&settings, &own(None)).iter().all(|r| r.alert.as_ref().is_some_and(|a| a.annotations.len() == 2))
    );
}

#[test]
fn thresholds_follow_the_configuration() {
    let mut settings = preset();
    settings.evaluation.interval = std::time::Duration::from_secs(30);
    settings.evaluation.offset = std::time::Duration::from_secs(60);
    settings.evaluation.blind_after = std::time::Duration::from_secs(240);
    settings.readiness.interval = std::time::Duration::from_secs(900);
    let text = file("", &groups(&settings, &own(Some("cluster=\"eu\""))));
    for part in ["> 270\n", "for: 20m", "for: 30m", "interval: 30s", "{job=\"ripcord\",cluster=\"eu\"}"] {
        assert!(text.contains(part), "{part}");
    }
}

#[test]
fn names_cannot_break_out_of_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("x.yaml");
    std::fs::write(
        &config,
        r#"
prometheus: {url: "http://x"}
guards:
  a:
    match: {"app": "a\"} or vector(1) #\n {{ $value }}"}
    triggers:
      t: {signal: error_rate, above: 1%}
      q: {promql: "vector(1) # a comment", above: 1, action: page}
    traffic: [{config_map: {namespace: x, name: x, data: {p: "${percentage}"}}}]
receivers: {x: {webhook: {url: "http://x"}}}
"#,
    )
    .unwrap();
    let text = file("", &groups(&settings(&config), &own(None)));
    let parsed: Value = serde_saphyr::from_str(&text).expect("YAML");
    let rules = parsed["groups"][0]["rules"].as_array().expect("rules");
    assert!(rules.iter().any(|r| r["expr"] == "vector(1) # a comment"), "{text}");
    assert!(rules.iter().any(|r| r["expr"].to_string().contains(r#"or vector(1) #\\n"#)), "{text}");
}
