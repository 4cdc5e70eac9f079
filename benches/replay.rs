//! What thirty days at steps of 15 s cost the engine of a replay: one guard with four triggers, and a look at each of them after each tick.
//!
//! `cargo bench --bench replay`. The readings are made up, so that neither Prometheus nor a file is measured: a healthy service, with
//! twelve minutes of trouble each day.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use jiff::Timestamp;
use ripcord::config::{self, LoadOptions};
use ripcord::engine::{Engine, Evidence, Input, Name, Observation, Reading, Settings, Tick, TickKind};

const STEP: Duration = Duration::from_secs(15);

/// Thirty days.
const TICKS: u32 = 30 * 24 * 60 * 4;

/// Ticks of a day.
const DAY: u32 = 24 * 60 * 4;

/// Ticks of a day's trouble.
const TROUBLE: u32 = 12 * 4;

const CONFIG: &str = r#"
prometheus: {url: "http://prometheus:9090"}
guards:
  shop:
    match: {destination_workload: shop}
    caller_match: {source_workload: gateway, destination_service_name: shop}
    triggers:
      availability: {signal: availability, below: 99%}
      error_rate: {signal: error_rate, above: 1%}
      latency: {signal: latency, degraded_by: 50%, baseline: {fixed: 120ms}}
      memory: {promql: "memory", above: 128Mi, action: page}
    traffic:
      - config_map: {namespace: shop, name: shop, data: {share: "${percentage}"}}
receivers: {people: {webhook: {url: "http://receiver/"}}}
"#;

fn settings() -> Settings {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file: PathBuf = folder.path().join("ripcord.yaml");
    std::fs::write(&file, CONFIG).expect("a file in it");
    let settings = config::load(&[file], [], LoadOptions { syntax_only: true }).expect("a valid configuration");
    let guards: Vec<_> = settings.guards.into_iter().map(|guard| guard.engine).collect();
    assert_eq!(guards[0].triggers.len(), 4);
    Settings {
        interval: STEP,
        blind_after: settings.evaluation.blind_after,
        live_for: STEP * 2,
        dry_run: true,
        chinese: false,
        guards,
    }
}

fn reading(evidence: Evidence, confirms: bool, baseline: Option<f64>) -> Reading {
    Reading {
        window: Ok(evidence),
        confirm: confirms.then_some(Ok(evidence)),
        baseline: baseline.map(Ok),
        burn: Vec::new(),
    }
}

fn readings(tick: u32) -> BTreeMap<Name, Reading> {
    let failed = if tick % DAY < TROUBLE { 300.0 } else { 3.0 };
    let counts = Evidence::Counts { failed, total: 6000.0 };
    [
        ("availability", reading(counts, true, None)),
        ("error_rate", reading(counts, true, None)),
        ("latency", reading(Evidence::Quantile { value: 0.13, requests: 6000.0 }, true, Some(0.12))),
        ("memory", reading(Evidence::Value(1e8), false, None)),
    ]
    .into()
}

fn thirty_days(settings: &Settings) -> usize {
    let mut engine = Engine::new(settings.clone());
    let begin: Timestamp = "2026-01-02T00:00:00Z".parse().expect("a time");
    let guard: Name = "shop";
    let mut actions = 0;
    for tick in 0..TICKS {
        let at = begin + STEP * tick;
        let observation = Observation { share: Ok(25), readings: readings(tick), drift: Vec::new() };
        let tick = Tick { at, kind: TickKind::Live, guards: [(guard, observation)].into() };
        actions += engine.replay(Input::Tick(tick), at).len();
        for view in engine.triggers() {
            black_box((view.value, view.held));
        }
    }
    actions
}

fn replay(criterion: &mut Criterion) {
    let settings = settings();
    let mut group = criterion.benchmark_group("replay");
    group.sample_size(10);
    group.bench_function("30 days, 172 800 ticks, 4 triggers", |bencher| bencher.iter(|| thirty_days(&settings)));
    group.finish();
}

criterion_group!(benches, replay);
criterion_main!(benches);
