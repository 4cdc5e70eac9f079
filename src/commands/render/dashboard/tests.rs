use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::*;
use crate::cli::Scrape;
use crate::commands::render::{known_metrics, metrics_of};
use crate::config::{self, LoadOptions};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn rendered(which: Dashboard, config: &str) -> Value {
    let settings =
        config::load(&[file(config)], Vec::new(), LoadOptions { syntax_only: true }).expect("a configuration");
    let own = Own::of(&Scrape { job: "ripcord".to_owned(), selector: None });
    dashboard(which, &settings, &own)
}

/// Every dashboard of every configuration that is shipped.
fn all() -> Vec<(String, Value)> {
    let configs = ["config/ripcord.yaml", "config/minimal.yaml"];
    let of = |config: &str| {
        [Dashboard::Migration, Dashboard::Ripcord]
            .map(|which| (format!("{which:?} of {config}"), rendered(which, config)))
    };
    configs.into_iter().flat_map(of).collect()
}

fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().expect("panels").iter()
}

#[test]
fn the_shipped_files_are_what_the_shipped_configuration_renders() {
    for (which, name) in [(Dashboard::Migration, "migration"), (Dashboard::Ripcord, "ripcord")] {
        let shipped = std::fs::read_to_string(file(&format!("deploy/grafana/{name}.json"))).expect("a dashboard");
        let made = format!("{:#}\n", rendered(which, "config/ripcord.yaml"));
        assert_eq!(shipped, made, "ripcord render dashboard {name} --config config/ripcord.yaml");
    }
}

#[test]
fn panels_have_ids_of_their_own_and_do_not_lie_over_one_another() {
    for (name, dashboard) in all() {
        let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
        for panel in panels(&dashboard) {
            assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{name}: {}", panel["title"]);
            let of = |side: &str| panel["gridPos"][side].as_u64().expect("a number");
            assert!(of("x") + of("w") <= 24 && of("h") > 0 && of("w") > 0, "{name}: {}", panel["title"]);
            for x in of("x")..of("x") + of("w") {
                for y in of("y")..of("y") + of("h") {
                    assert!(cells.insert((x, y)), "{name}: {} lies over another", panel["title"]);
                }
            }
        }
        assert!(ids.len() > 8, "{name}");
    }
}

#[test]
fn everything_asks_the_data_source_that_the_reader_chooses() {
    let wanted = serde_json::json!({"type": "prometheus", "uid": "${datasource}"});
    for (name, dashboard) in all() {
        let variables = dashboard["templating"]["list"].as_array().expect("variables");
        let named: Vec<&str> = variables.iter().filter_map(|v| v["name"].as_str()).collect();
        assert_eq!(named, ["datasource", "guard"], "{name}");
        assert_eq!(variables[1]["datasource"], wanted, "{name}");
        assert_eq!(dashboard["annotations"]["list"][1]["datasource"], wanted, "{name}");
        for panel in panels(&dashboard).filter(|panel| panel["type"] != "row") {
            let title = &panel["title"];
            assert_eq!(panel["datasource"], wanted, "{name}: {title}");
            let targets = panel["targets"].as_array().expect("targets");
            let letters: BTreeSet<&str> = targets.iter().filter_map(|t| t["refId"].as_str()).collect();
            assert!(letters.len() == targets.len() && !targets.is_empty(), "{name}: {title}");
            for target in targets {
                assert_eq!(target["datasource"], wanted, "{name}: {title}");
                assert!(target["legendFormat"].as_str().is_some_and(|legend| !legend.is_empty()), "{name}: {title}");
                let rest = target["expr"].as_str().expect("a query").replace("$guard", "");
                assert!(
                    !rest.is_empty() && !rest.contains('$'),
                    "{name}: {title} has a variable that is not there: {rest}"
                );
            }
        }
    }
}

#[test]
fn they_are_of_the_kinds_that_a_current_grafana_has() {
    let kinds = ["row", "timeseries", "stat", "state-timeline"];
    for (name, dashboard) in all() {
        assert!(dashboard["schemaVersion"].as_u64() >= Some(39), "{name}");
        assert!(dashboard["uid"].as_str().is_some_and(|uid| uid.len() <= 40), "{name}");
        assert!(dashboard["id"].is_null(), "{name}: an id is given by the server that it is imported into");
        for panel in panels(&dashboard) {
            assert!(panel["type"].as_str().is_some_and(|kind| kinds.contains(&kind)), "{name}: {}", panel["type"]);
            assert!(panel.get("libraryPanel").is_none() && panel["title"].is_string(), "{name}");
            if panel["type"] != "row" {
                assert!(panel["description"].as_str().is_some_and(|d| !d.is_empty()), "{name}: {}", panel["title"]);
                let defaults = &panel["fieldConfig"]["defaults"];
                assert!(
                    defaults["unit"].is_string() && defaults["thresholds"]["steps"][0]["value"].is_null(),
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn every_metric_is_one_that_there_is() {
    for (name, dashboard) in all() {
        let annotation = &dashboard["annotations"]["list"][1]["expr"];
        let targets = panels(&dashboard).flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
        for expr in targets.map(|target| &target["expr"]).chain([annotation]) {
            let metrics = metrics_of(expr.as_str().expect("a query"));
            assert!(!metrics.is_empty(), "{name}: {expr}");
            for metric in metrics {
                assert!(known_metrics().contains(&metric), "{name}: {metric}");
            }
        }
    }
}

/// Guards of which one calls by a name of everybody's what is another thing.
const SEVERAL: &str = r#"
prometheus: {url: "http://prometheus:9090"}
defaults:
  traffic: [{config_map: {namespace: x, name: "${guard}", data: {percentage: "${percentage}"}}}]
  triggers: {latency: {signal: latency, degraded_by: 50%, baseline: {fixed: 100ms}}}
guards:
  a: {match: {app: a}}
  b: {match: {app: b}}
  c: {match: {app: c}, triggers: {latency: {signal: latency, above: 300ms}}}
  d: {match: {app: d}, triggers: {latency: {window: 10m}}}
receivers: {oncall: {webhook: {url: "http://alerts:8080/x"}}}
"#;

#[test]
fn each_latency_has_the_limit_of_its_own_kind() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("ripcord.yaml");
    std::fs::write(&config, SEVERAL).expect("written");
    let dashboard = rendered(Dashboard::Migration, config.to_str().expect("a name"));
    let is_it = |panel: &&Value| panel["title"] == "Latency" && panel["type"] != "row";
    let panel = panels(&dashboard).find(is_it).expect("a panel");
    let of = |kind: &str| -> Vec<String> {
        let targets = panel["targets"].as_array().into_iter().flatten();
        let named = targets.filter(|target| target["legendFormat"].as_str().is_some_and(|l| l.starts_with(kind)));
        named
            .filter_map(|target| Some(target["expr"].as_str()?.replace("job=\"ripcord\",guard=~\"$guard\",", "")))
            .collect()
    };
    let limits = of("limit");
    assert_eq!(limits.len(), 3, "{limits:#?}");
    assert_eq!(limits[0], "max by (guard, trigger) (ripcord_trigger_threshold{trigger=\"latency\",guard=\"c\"})");
    let baselines = of("baseline");
    assert_eq!(baselines.len(), 2, "{baselines:#?}");
    assert!(baselines[0].contains("guard=~\"a|b\",window=\"5m\""), "{baselines:#?}");
    assert!(baselines[1].contains("guard=\"d\",window=\"10m\""), "{baselines:#?}");
}
