//! What the tasks share: the settings in use and what is made of them.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Guard, Settings};
use crate::engine::{self, Language};
use crate::http::Configured;
use crate::prometheus::{Client, ClientError, Plan};
use crate::telemetry;

/// A tick is live for this many intervals, besides the time that its queries may take.
const LIVE_INTERVALS: u32 = 2;

/// The settings in use and what is made of them. It is never changed: a reload makes a new one.
pub struct World {
    /// The settings.
    pub settings: Settings,
    /// What the page says of them.
    pub configured: Arc<Configured>,
    /// The queries of a tick.
    pub plan: Plan,
    /// Where they are asked.
    pub prometheus: Client,
}

impl World {
    /// Makes everything that the settings call for.
    pub fn new(settings: Settings) -> Result<Arc<Self>, ClientError> {
        let plan = Plan::new(&settings.guards);
        let prometheus = Client::new(&settings.prometheus)?;
        Ok(Arc::new(Self { configured: Configured::of(&settings), settings, plan, prometheus }))
    }

    /// One guard's settings.
    pub fn guard(&self, name: &str) -> Option<&Guard> {
        self.settings.guards.iter().find(|g| g.name == name)
    }

    /// Shows the counters that alerts go by, before anything is counted in them.
    pub fn count_from_zero(&self) {
        telemetry::count_from_zero(
            self.settings.guards.iter().map(|guard| guard.name.as_str()),
            self.settings.receivers.iter().map(|receiver| receiver.name.as_str()),
        );
    }

    /// What the engine must know.
    pub fn engine_settings(&self, dry_run: bool) -> engine::Settings {
        let evaluation = &self.settings.evaluation;
        engine::Settings {
            interval: evaluation.interval,
            blind_after: evaluation.blind_after,
            live_for: live_for(evaluation.interval, self.settings.prometheus.timeout, evaluation.offset),
            dry_run,
            chinese: self.settings.wants(Language::Chinese),
            guards: self.settings.guards.iter().map(|g| g.engine.clone()).collect(),
        }
    }
}

fn live_for(interval: Duration, timeout: Duration, offset: Duration) -> Duration {
    interval * LIVE_INTERVALS + timeout + offset
}
