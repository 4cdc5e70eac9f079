//! What the daemon shows of itself, and what it can be asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::oneshot;

use crate::config::{Links, SecretFile, Settings};
use crate::engine::{Command, GuardStatus, Incident, RollbackSettings};

/// A person's request, and where the answer goes.
#[derive(Debug)]
pub struct Request {
    /// The guard.
    pub guard: String,
    /// What is asked.
    pub command: Command,
    /// When it is done: the incident that tells of it, where there is one. Otherwise why not.
    pub answer: oneshot::Sender<Result<Option<String>, Refusal>>,
}

/// Why a request is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The guard's state has no room for it.
    Ignored(String),
    /// Another replica leads, or none does yet.
    NotLeading {
        /// Who leads, as far as this replica knows.
        leader: Option<String>,
    },
}

/// The daemon's state at one moment. It serializes to the body of `GET /api/v1/status`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Snapshot {
    /// The version of the program.
    pub version: &'static str,
    /// Whether it changes nothing.
    pub dry_run: bool,
    /// Whether it decides and acts; otherwise it stands by.
    pub leads: bool,
    /// Who leads, as far as it knows; absent without leader election.
    pub leader: Option<String>,
    /// When it started.
    pub started_at: Timestamp,
    /// The last tick that was decided on.
    pub last_tick: Option<Timestamp>,
    /// The time from one tick to the next.
    #[serde(skip)]
    pub interval: Duration,
    /// The file with the token that requests want.
    #[serde(skip)]
    pub token_file: Option<SecretFile>,
    /// What the page says of the configuration in use.
    #[serde(skip)]
    pub configured: Arc<Configured>,
    /// When the configuration in use was loaded.
    pub config_loaded_at: Timestamp,
    /// Whether the last try to load one worked.
    pub config_reload_success: bool,
    /// When the state was last written; absent while it was not, and where none is kept.
    pub state_saved_at: Option<Timestamp>,
    /// Why the state cannot be written or read; absent while it can.
    pub state_error: Option<String>,
    /// The guards, in the order of their names.
    pub guards: Vec<GuardStatus>,
    /// The incidents, open and kept, the newest first.
    #[serde(skip)]
    pub incidents: Vec<Incident>,
    /// What waits for each receiver.
    pub receivers: Vec<Queue>,
    /// The latest notifications that were lost, the oldest first.
    pub lost: Vec<Lost>,
}

/// What the page says of a configuration: made once for each, and shared.
#[derive(Debug, Clone, Default)]
pub struct Configured {
    /// Addresses for people.
    pub links: Links,
    /// The guards by name.
    pub guards: BTreeMap<String, ConfiguredGuard>,
}

/// What the page says of a guard's configuration.
#[derive(Debug, Clone)]
pub struct ConfiguredGuard {
    /// Where oncall reads what to do.
    pub runbook: Option<String>,
    /// What its rollback does.
    pub rollback: RollbackSettings,
}

impl Configured {
    /// What the page says of these settings.
    pub fn of(settings: &Settings) -> Arc<Self> {
        let guards = settings.guards.iter().map(|guard| {
            let rollback = guard.engine.rollback.clone();
            (guard.name.clone(), ConfiguredGuard { runbook: guard.runbook.clone(), rollback })
        });
        Arc::new(Self { links: settings.links.clone(), guards: guards.collect() })
    }
}

/// A notification that its receiver did not get.
#[derive(Debug, Clone, Serialize)]
pub struct Lost {
    /// The receiver.
    pub receiver: String,
    /// When it was given up.
    pub time: Timestamp,
    /// What it told.
    pub event: &'static str,
    /// Its line.
    pub summary: String,
    /// Why it is lost.
    pub reason: String,
}

/// What waits for one receiver.
#[derive(Debug, Clone, Serialize)]
pub struct Queue {
    /// The receiver.
    pub receiver: String,
    /// How many notifications wait.
    pub waiting: usize,
    /// How long the oldest has waited.
    pub oldest_seconds: f64,
}
