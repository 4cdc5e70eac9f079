//! What the daemon shows of itself, and what it can be asked.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::oneshot;

use crate::config::SecretFile;
use crate::engine::{Command, GuardStatus, Incident};

/// A person's request, and where the answer goes.
#[derive(Debug)]
pub struct Request {
    /// The guard.
    pub guard: String,
    /// What is asked.
    pub command: Command,
    /// Nothing when it is done; otherwise why not.
    pub answer: oneshot::Sender<Result<(), String>>,
}

/// The daemon's state at one moment. It serializes to the body of `GET /api/v1/status`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Snapshot {
    /// The version of the program.
    pub version: &'static str,
    /// Whether it changes nothing.
    pub dry_run: bool,
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
    /// When the configuration in use was loaded.
    pub config_loaded_at: Timestamp,
    /// Whether the last try to load one worked.
    pub config_reload_success: bool,
    /// The guards, in the order of their names.
    pub guards: Vec<GuardStatus>,
    /// The incidents, open and kept, the newest first.
    #[serde(skip)]
    pub incidents: Vec<Incident>,
    /// What waits for each receiver.
    pub receivers: Vec<Queue>,
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
