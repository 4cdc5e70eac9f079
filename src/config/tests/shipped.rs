//! The files in `config/` are valid.

use std::fs;
use std::path::{Path, PathBuf};

use super::{LoadOptions, lines, load};
use crate::config::{Settings, StatePlace};
use crate::engine::{Levels, Severity, Stage, TriggerAction};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config")
}

fn shipped(names: &[&str], syntax_only: bool) -> Settings {
    let paths: Vec<PathBuf> = names.iter().map(|name| folder().join(name)).collect();
    let settings = load(&paths, [], LoadOptions { syntax_only }).unwrap_or_else(|f| panic!("{}", lines(&f)));
    assert!(settings.warnings.is_empty(), "{}", lines(&settings.warnings));
    settings
}

#[test]
fn the_sealos_preset_is_valid_without_any_secret() {
    let settings = shipped(&["ripcord.yaml"], false);
    let names: Vec<&str> = settings.guards.iter().map(|g| g.name.as_str()).collect();
    assert_eq!(names, ["db-adminer", "resources", "terminal", "webhook"]);
    let terminal = &settings.guards[2].engine;
    assert_eq!(
        terminal.rollback.steps,
        ["deployment_env sealos-system/terminal-controller", "config_map sealos-system/terminal-controller-config"]
    );
    let by = |name: &str| terminal.triggers.iter().find(|t| t.name == name).expect("a trigger");
    let stage = Stage { up_to: 5, levels: Levels { threshold: 0.005, clear: 0.005 } };
    assert_eq!(by("error_rate").stages, [stage]);
    assert_eq!(by("proxy_memory").action, TriggerAction::Page);
    assert_eq!(by("proxy_memory").severity, Severity::Warning);
    assert_eq!(settings.state.map(|s| s.to_string()).as_deref(), Some("the ConfigMap sealos-system/ripcord-state"));
    let lease = settings.leader_election.map(|l| l.lease.to_string());
    assert_eq!(lease.as_deref(), Some("sealos-system/ripcord"));
}

#[test]
fn the_second_layer_is_valid_over_the_preset() {
    let settings = shipped(&["ripcord.yaml", "oncall.yaml"], true);
    assert_eq!(settings.receivers.len(), 4);
    assert!(settings.http.token_file.is_some());
    assert!(settings.heartbeat.is_some());
}

#[test]
fn the_smallest_is_valid() {
    let settings = shipped(&["minimal.yaml"], false);
    assert_eq!(settings.guards.len(), 1);
    assert!(matches!(settings.state, Some(StatePlace::File(_))));
}

#[test]
fn every_shipped_file_is_tested_and_no_line_is_too_long() {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder()).expect("the folder") {
        let path = entry.expect("a file").path();
        let text = fs::read_to_string(&path).expect("text");
        for (number, line) in text.lines().enumerate() {
            assert!(line.chars().count() <= 120, "{}:{}: {line}", path.display(), number + 1);
        }
        names.extend(path.file_name().map(|n| n.to_string_lossy().into_owned()));
    }
    names.sort();
    assert_eq!(names, ["kustomization.yaml", "minimal.yaml", "oncall.yaml", "ripcord.yaml"]);
}
