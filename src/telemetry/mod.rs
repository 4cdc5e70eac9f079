//! What Ripcord tells of itself: one typed event gives one log line and one metric.
//!
//! - `names`: every metric, with its help text
//! - `events`: what can be told, and how each of it becomes a line and a metric
//! - `gauges`: the present values, set at every tick
//!
//! Log levels: ERROR, a person must look; WARN, handled, and may need one; INFO, a state changed; DEBUG, each tick.

mod events;
mod gauges;
pub(crate) mod names;

use std::io::IsTerminal as _;

use anyhow::Context as _;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;
use tracing_subscriber::EnvFilter;

pub use events::{Event, count_from_zero};
pub use gauges::{Gauges, Status};
pub use names::TRAFFIC_PERCENTAGE;

/// Bucket bounds for the duration of a query or a tick, in seconds: a query takes milliseconds and at most its time-out.
const FAST_BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Bucket bounds for the duration of a rollback, in seconds: mostly the rollout of pods.
const SLOW_BUCKETS: [f64; 10] = [0.5, 1.0, 2.5, 5.0, 15.0, 30.0, 60.0, 120.0, 180.0, 300.0];

/// A gauge that nothing sets any more (of a guard that a reload took away) is no longer shown after this.
const FORGET_GAUGES_AFTER: std::time::Duration = std::time::Duration::from_secs(600);

/// The environment variable that says what is logged, like `debug` or `ripcord=debug,kube=info`.
pub const LOG_VARIABLE: &str = "RIPCORD_LOG";

/// What is logged where the environment says nothing. Each error of the API server is told by the step that met it; the client library
/// would log it a second time.
const DEFAULT_LOG: &str = "warn,ripcord=info,kube_client=off,tower_http=off";

/// Sets up the log on stderr: text on a terminal, JSON otherwise.
pub fn start_log() -> anyhow::Result<()> {
    let filter = match std::env::var(LOG_VARIABLE) {
        Ok(text) if !text.trim().is_empty() => filter(text.trim())
            .with_context(|| format!("{LOG_VARIABLE}={text:?}: write error, warn, info, debug or trace"))?,
        _ => EnvFilter::new(DEFAULT_LOG),
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if std::io::stderr().is_terminal() {
        log.with_target(false).try_init()
    } else {
        log.json().flatten_event(true).with_target(false).try_init()
    };
    started.map_err(|e| anyhow::anyhow!("cannot start the log: {e}"))
}

/// A level is Ripcord's own; what the libraries say is asked for by name, as in `info,kube_client=debug`.
fn filter(text: &str) -> anyhow::Result<EnvFilter> {
    if text.contains(['=', ',']) {
        return Ok(EnvFilter::try_new(format!("{DEFAULT_LOG},{text}"))?);
    }
    let level: tracing::Level = text.parse().map_err(|_| anyhow::anyhow!("{text} is no level"))?;
    Ok(EnvFilter::try_new(format!("{DEFAULT_LOG},ripcord={level}"))?)
}

/// The metrics of this process.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
    process: Collector,
}

impl Metrics {
    /// Makes the metrics known to the whole process. There can be only one.
    pub fn start() -> anyhow::Result<Self> {
        let handle = PrometheusBuilder::new()
            .set_buckets(&FAST_BUCKETS)
            .and_then(|b| b.set_buckets_for_metric(Matcher::Full(names::ROLLBACK_DURATION.to_owned()), &SLOW_BUCKETS))
            .context("the buckets of the histograms")?
            .idle_timeout(metrics_util::MetricKindMask::GAUGE, Some(FORGET_GAUGES_AFTER))
            .install_recorder()
            .context("the metrics can be started once in a process")?;
        names::describe();
        let process = Collector::default();
        process.describe();
        Ok(Self { handle, process })
    }

    /// Folds what was recorded into the buckets. Left undone, it would pile up where nobody reads the metrics.
    pub fn keep_up(&self) {
        self.handle.run_upkeep();
    }

    /// The metrics in Prometheus' text format.
    pub fn render(&self) -> String {
        self.process.collect();
        self.handle.run_upkeep();
        self.handle.render()
    }
}
