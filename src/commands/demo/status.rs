//! The daemon's status, read through its API like anybody else reads it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Deserialize;

/// How long one answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The API of the demo's daemon.
pub struct Api {
    client: reqwest::Client,
    url: String,
}

/// What of `GET /api/v1/status` the story needs.
#[derive(Debug, Clone, Deserialize)]
pub struct Status {
    /// The last tick.
    pub last_tick: Option<Timestamp>,
    /// The guards.
    pub guards: Vec<Guard>,
}

/// One guard.
#[derive(Debug, Clone, Deserialize)]
pub struct Guard {
    /// Its name.
    pub guard: String,
    /// Its state, as one word.
    pub state: String,
    /// The tick that it was last measured at.
    pub last_tick: Option<Timestamp>,
    /// Its triggers.
    pub triggers: Vec<Trigger>,
    /// Its open incident.
    pub incident: Option<Incident>,
}

/// One trigger.
#[derive(Debug, Clone, Deserialize)]
pub struct Trigger {
    /// Its name.
    pub trigger: String,
    /// What it says, as one word.
    pub verdict: String,
    /// What that rests on.
    pub reason: String,
    /// The value in words.
    pub text: String,
    /// The limit in words.
    pub threshold_text: String,
    /// For how long the breach has been observed, in seconds.
    pub held_seconds: f64,
    /// For how long it must be.
    pub for_seconds: f64,
}

/// One incident.
#[derive(Debug, Clone, Deserialize)]
pub struct Incident {
    /// When it began.
    pub opened_at: Timestamp,
    /// When every rollout was complete.
    pub completed_at: Option<Timestamp>,
    /// Where it went.
    pub to_percentage: u8,
    /// What verification said, as one word.
    pub verification: Option<String>,
    /// The triggers that fired, as they were then.
    pub triggers: Vec<Fired>,
    /// The steps.
    pub steps: Vec<Step>,
    /// What happened, in order.
    pub timeline: Vec<Entry>,
}

/// A trigger at the moment when it fired.
#[derive(Debug, Clone, Deserialize)]
pub struct Fired {
    /// For how long the breach was observed, in seconds.
    pub held_seconds: f64,
}

/// One step.
#[derive(Debug, Clone, Deserialize)]
pub struct Step {
    /// Its name.
    pub step: String,
    /// More about what came of it.
    pub detail: Option<String>,
}

/// One thing that happened.
#[derive(Debug, Clone, Deserialize)]
pub struct Entry {
    /// When.
    pub time: Timestamp,
    /// What.
    pub text: String,
}

impl Api {
    /// The API at an address.
    pub fn new(address: SocketAddr) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .user_agent(crate::USER_AGENT)
            .timeout(ANSWER_WITHIN)
            .no_proxy()
            .build()
            .context("cannot make an HTTP client")?;
        Ok(Self { client, url: format!("http://{address}/api/v1/status") })
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The status now.
    pub async fn status(&self) -> anyhow::Result<Status> {
        let answer = self.client.get(&self.url).send().await.context("cannot read the daemon's status")?;
        answer.error_for_status().context("the daemon's status")?.json().await.context("the daemon's status")
    }
}

impl Status {
    /// One guard.
    pub fn guard(&self, name: &str) -> anyhow::Result<&Guard> {
        self.guards.iter().find(|g| g.guard == name).with_context(|| format!("the status has no guard {name}"))
    }
}

impl Guard {
    /// One of its triggers.
    pub fn trigger(&self, name: &str) -> Option<&Trigger> {
        self.triggers.iter().find(|t| t.trigger == name)
    }
}

impl Trigger {
    /// The value in words, without the counts that it comes from.
    pub fn value(&self) -> &str {
        self.text.split(" (").next().unwrap_or_default()
    }
}

impl Incident {
    /// What is known besides about a step that an entry of the timeline tells of.
    pub fn detail(&self, entry: &Entry) -> Option<&str> {
        self.steps.iter().find(|step| entry.text.starts_with(&format!("{}: ", step.step)))?.detail.as_deref()
    }
}
