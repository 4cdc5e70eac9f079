//! The guarded services while their traffic moves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::config::{MetricNames, Settings, SignalKind, Step};
use crate::engine::Measure;
use crate::prometheus::Matcher;
use crate::telemetry::names;

use super::super::rules::{PATH_RATE, QUANTILE, SIGNAL, SUCCESS, duration};
use super::super::scrape::Own;
use super::CHOSEN;
use super::panel::{Board, Kind, Panel};

/// Where Istio's control plane runs.
const CONTROL_PLANE: &str = "namespace=\"istio-system\",pod=~\"istiod-.*\",container=\"discovery\"";

/// The panels.
pub fn board(settings: &Settings, own: &Own) -> Board {
    let mut board = Board::default();
    split(&mut board, settings, own);
    success(&mut board, settings, own);
    latency(&mut board, settings, own);
    held(&mut board, own);
    resources(&mut board, settings, own);
    board
}

/// Triggers of one name and one window that are measured alike.
struct Alike {
    /// What tells them, as Ripcord's own series are labelled: another guard may mean something else by the same name.
    triggers: String,
    /// What tells the recorded series whose value they are judged by.
    judged: String,
}

/// All triggers that are measured so.
fn alike(settings: &Settings, is: impl Fn(&Measure) -> bool) -> Vec<Alike> {
    let mut found: BTreeMap<(&str, Duration), Vec<&str>> = BTreeMap::new();
    for guard in &settings.guards {
        for trigger in guard.engine.triggers.iter().filter(|trigger| is(&trigger.measure)) {
            let window = guard.signals.get(&trigger.name).map_or(Duration::ZERO, |signal| signal.window);
            found.entry((&trigger.name, window)).or_default().push(&guard.name);
        }
    }
    let matchers = found.into_iter().map(|((name, window), guards)| {
        let mut triggers = Matcher::one_of("trigger", &[name]).to_string();
        if guards.len() < settings.guards.len() {
            triggers = format!("{triggers},{}", Matcher::one_of("guard", &guards));
        }
        let judged = format!("{triggers},{}", Matcher::one_of("window", &[&duration(window)]));
        Alike { triggers, judged }
    });
    matchers.collect()
}

/// The largest value of a gauge of Ripcord's: replicas that do not know it say NaN.
fn largest(own: &Own, metric: &str, more: &str) -> String {
    format!("max by (guard, trigger) ({})", own.with(metric, &format!("{CHOSEN}{more}")))
}

fn split(board: &mut Board, settings: &Settings, own: &Own) {
    board.row("Split");
    let share = own.with(names::TRAFFIC_PERCENTAGE, CHOSEN);
    let panel = Panel::new(
        Kind::Curves,
        "Share on the new path",
        "percent",
        "As it is set in the cluster, in percent of the traffic",
    )
    .between(0.0, 100.0)
    .query("{{guard}}", format!("max by (guard) ({share} >= 0)"));
    board.add(8, 8, &panel);
    let panel = Panel::new(
        Kind::Curves,
        "Requests by path",
        "reqps",
        "What is counted on each path: by Istio's or the Ingress' own metrics, and on which side",
    )
    .zero_based()
    .query("{{guard}} {{path}}", format!("{PATH_RATE}{{{CHOSEN}}}"));
    board.add(8, 8, &panel);
    let kinds = settings.guards.iter().flat_map(|guard| guard.signals.values()).filter_map(|s| s.kind.selector());
    if kinds.clone().any(|selector| selector.names == MetricNames::Istio) {
        let panel = Panel::new(
            Kind::Curves,
            "Requests by application",
            "reqps",
            "Everything that Istio sees, also what no guard watches",
        )
        .zero_based()
        .query(
            "{{destination_app}}",
            "sum by (destination_app) (rate(istio_requests_total{reporter=\"destination\"}[5m]))",
        );
        board.add(8, 8, &panel);
    }
}

fn success(board: &mut Board, settings: &Settings, own: &Own) {
    let limits = [
        (alike(settings, |m| matches!(m, Measure::FailureRatio)), "1 - "),
        (alike(settings, |m| matches!(m, Measure::Availability)), ""),
    ];
    let is_ratio = |kind: &SignalKind| {
        matches!(kind, SignalKind::ErrorRate(_) | SignalKind::Availability(_) | SignalKind::ClientErrorRate(_))
    };
    if !settings.guards.iter().flat_map(|guard| guard.signals.values()).any(|signal| is_ratio(&signal.kind)) {
        return;
    }
    board.row("Success");
    let mut panel = Panel::new(
        Kind::Curves,
        "Success rate",
        "percentunit",
        "Good requests of all requests over each window that a trigger looks at, and the limit that holds at the present share",
    )
    .query("{{guard}} {{trigger}} {{window}}", format!("{SUCCESS}{{{CHOSEN}}}"));
    for (alike, from) in limits.iter().flat_map(|(all, from)| all.iter().map(move |alike| (alike, from))) {
        let threshold = largest(own, names::TRIGGER_THRESHOLD, &format!(",{}", alike.triggers));
        panel = panel.query("limit {{guard}} {{trigger}}", format!("{from}{threshold}"));
    }
    board.add(24, 9, &panel);
}

fn latency(board: &mut Board, settings: &Settings, own: &Own) {
    let absolute = alike(settings, |m| matches!(m, Measure::Quantile { .. }));
    let compared = alike(settings, |m| matches!(m, Measure::QuantileDegradation { .. }));
    if absolute.is_empty() && compared.is_empty() {
        return;
    }
    board.row("Latency");
    let mut panel = Panel::new(
        Kind::Curves,
        "Latency",
        "s",
        "The quantile over each window that a trigger looks at, what it is compared with, and the limit that holds at the present share",
    )
    .zero_based()
    .query("{{guard}} {{trigger}} {{window}} p{{quantile}}", format!("{QUANTILE}{{{CHOSEN}}}"));
    for Alike { triggers, .. } in absolute {
        let threshold = largest(own, names::TRIGGER_THRESHOLD, &format!(",{triggers}"));
        panel = panel.query("limit {{guard}} {{trigger}}", threshold);
    }
    for Alike { triggers, judged } in compared {
        // Degradation is now / baseline - 1, so this is the baseline that the engine compares with, whatever kind it is of.
        let degradation = largest(own, names::TRIGGER_VALUE, &format!(",{triggers}"));
        let now = format!("max by (guard, trigger) ({QUANTILE}{{{CHOSEN},{judged}}})");
        let baseline = format!("{now} / (1 + {degradation})");
        let threshold = largest(own, names::TRIGGER_THRESHOLD, &format!(",{triggers}"));
        panel = panel
            .query("baseline {{guard}} {{trigger}}", baseline.clone())
            .query("limit {{guard}} {{trigger}}", format!("{baseline} * (1 + {threshold})"));
    }
    board.add(24, 9, &panel);
}

fn held(board: &mut Board, own: &Own) {
    board.row("How near");
    let of = |metric: &str| largest(own, metric, "");
    let panel = Panel::new(
        Kind::Curves,
        "Held",
        "percentunit",
        "For how long a breach has been observed, as a part of the time after which the trigger fires",
    )
    .between(0.0, 1.0)
    .query("{{guard}} {{trigger}}", format!("{} / ({} > 0)", of(names::TRIGGER_HELD), of(names::TRIGGER_FOR)));
    board.add(12, 8, &panel);
    let panel = Panel::new(
        Kind::Curves,
        "Value against limit",
        "none",
        "Each trigger's value in the unit of its limit; nothing while it is unknown",
    )
    .query("{{guard}} {{trigger}}", of(names::TRIGGER_VALUE))
    .query("limit {{guard}} {{trigger}}", of(names::TRIGGER_THRESHOLD));
    board.add(12, 8, &panel);
}

fn resources(board: &mut Board, settings: &Settings, own: &Own) {
    board.row("Resources");
    let mut pods = BTreeSet::new();
    for step in settings.guards.iter().flat_map(|guard| &guard.steps) {
        if let Step::DeploymentEnv(step) = step {
            pods.insert((step.namespace.as_str(), step.name.as_str()));
        }
    }
    if !pods.is_empty() {
        let namespaces: BTreeSet<&str> = pods.iter().map(|(namespace, _)| *namespace).collect();
        let namespaces = Matcher::one_of("namespace", &namespaces.into_iter().collect::<Vec<_>>());
        // Names of Deployments hold no character that means something in a regular expression but the dot, which means any.
        let names: Vec<&str> = pods.iter().map(|(_, name)| *name).collect();
        let sidecars = format!("{namespaces},pod=~\"({})-.*\",container=\"istio-proxy\"", names.join("|"));
        used(board, "Sidecars", "The istio-proxy containers of the guarded Deployments", &sidecars);
    }
    used(board, "Control plane", "istiod, which all sidecars depend on", CONTROL_PLANE);
    let written =
        |measure: &Measure| matches!(measure, Measure::Value | Measure::ValueDegradation | Measure::ValueDrop);
    let written = alike(settings, written);
    if !written.is_empty() {
        let mut panel = Panel::new(
            Kind::Curves,
            "Other signals",
            "none",
            "What the triggers on a query of their own or on throughput see",
        )
        .query("{{guard}} {{trigger}}", format!("{SIGNAL}{{{CHOSEN}}}"));
        for Alike { triggers, .. } in written {
            let threshold = largest(own, names::TRIGGER_THRESHOLD, &format!(",{triggers}"));
            panel = panel.query("limit {{guard}} {{trigger}}", threshold);
        }
        board.add(24, 8, &panel);
    }
}

/// Processor and memory of some containers.
fn used(board: &mut Board, title: &str, description: &str, containers: &str) {
    let panel = Panel::new(Kind::Curves, &format!("{title}: processor"), "none", &format!("{description}; in cores"))
        .zero_based()
        .query("{{pod}}", format!("sum by (pod) (rate(container_cpu_usage_seconds_total{{{containers}}}[5m]))"));
    board.add(12, 8, &panel);
    let panel = Panel::new(Kind::Curves, &format!("{title}: memory"), "bytes", description)
        .zero_based()
        .query("{{pod}}", format!("sum by (pod) (container_memory_working_set_bytes{{{containers}}})"));
    board.add(12, 8, &panel);
}
