//! Tells an outside address that Ripcord is there: only while it leads and its ticks succeed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;

use crate::config;
use crate::notify::{Heartbeat, Pace};
use crate::telemetry;

/// What beats.
pub struct Heart {
    beating: Option<Beating>,
}

struct Beating {
    settings: config::Heartbeat,
    heartbeat: Arc<Heartbeat>,
    pace: Pace,
    /// Whether the last beat failed: it is tried again at the next tick.
    failed: Arc<AtomicBool>,
}

impl Heart {
    /// A heart for these settings; none beats not.
    pub fn new(settings: Option<&config::Heartbeat>) -> Self {
        let mut heart = Self { beating: None };
        heart.reconfigure(settings);
        heart
    }

    /// Takes over new settings.
    pub fn reconfigure(&mut self, settings: Option<&config::Heartbeat>) {
        if self.beating.as_ref().map(|b| &b.settings) == settings {
            return;
        }
        self.beating = settings.map(|settings| Beating {
            settings: settings.clone(),
            heartbeat: Arc::new(Heartbeat::new(settings)),
            pace: Pace::new(settings.interval),
            failed: Arc::default(),
        });
    }

    /// The tick that was due then has succeeded: one beat, if it is time for one. Nothing waits for it.
    pub fn beat(&mut self, due: Timestamp) {
        let Some(beating) = &mut self.beating else { return };
        if beating.failed.swap(false, Ordering::Relaxed) {
            beating.pace.failed();
        }
        if !beating.pace.due(due) {
            return;
        }
        let (heartbeat, failed) = (beating.heartbeat.clone(), beating.failed.clone());
        tokio::spawn(async move {
            match heartbeat.beat().await {
                Ok(()) => telemetry::Event::Beat.emit(),
                Err(error) => {
                    failed.store(true, Ordering::Relaxed);
                    telemetry::Event::BeatFailed { error: &error }.emit();
                }
            }
        });
    }
}
