//! Where history comes from, and how it gets to the engines.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::config;
use crate::engine::{Evidence, Name, Reading};
use crate::prometheus::{Answer, Client, Instants, Plan};
use crate::telemetry::TRAFFIC_PERCENTAGE;

use super::super::Failure;
use super::fetch::{Fetch, Fetched};
use super::progress::Progress;
use super::run::{Run, Shares};

/// What the reading of a guard's share is called.
const SHARE: &str = "share";

/// Chunks that wait for the engine, besides the one that is being fetched.
const CHUNKS_AHEAD: usize = 2;

/// Where history comes from.
pub enum Source {
    /// A Prometheus, asked for ranges.
    Prometheus(Client),
}

/// What is known of the shares of the past.
#[derive(Debug, Clone, Copy)]
pub enum AssumedShare {
    /// All of it was this share, in percent.
    Always(u8),
    /// What Ripcord's own metric says, where it was scraped.
    AsRecorded,
}

/// One engine and what it asks.
pub struct Member {
    /// The engine.
    pub run: Run,
    /// Its guards.
    pub guards: Vec<config::Guard>,
    /// Its queries.
    pub plan: Plan,
}

impl Source {
    /// Takes all members through the same instants. All of them ask the same queries.
    pub async fn walk(
        &self,
        members: &mut [Member],
        instants: Instants,
        share: AssumedShare,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        match self {
            Self::Prometheus(client) => walk_prometheus(client, members, instants, share, progress).await,
        }
    }
}

async fn walk_prometheus(
    client: &Client,
    members: &mut [Member],
    instants: Instants,
    share: AssumedShare,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let Some(first) = members.first() else { return Ok(()) };
    let shares = match share {
        AssumedShare::Always(_) => None,
        AssumedShare::AsRecorded => Some(Plan::of_gauge(TRAFFIC_PERCENTAGE, &first.guards, SHARE)),
    };
    let (out, mut chunks) = mpsc::channel::<Result<Fetched, String>>(CHUNKS_AHEAD);
    let fetch = Fetch::new(client.clone(), first.plan.clone(), shares.clone());
    // The next chunk is fetched while the engines work on this one.
    let fetching = tokio::spawn(fetch.all(instants, out));
    while let Some(fetched) = chunks.recv().await {
        let fetched = fetched.map_err(|error| Failure::Failed(anyhow::anyhow!(error)))?;
        let recorded = fetched.shares.as_ref().map(|range| range.steps());
        let mut recorded = recorded.into_iter().flatten();
        for (at, answers) in fetched.range.steps() {
            let shares = match (share, recorded.next(), &shares) {
                (AssumedShare::AsRecorded, Some((_, answers)), Some(plan)) => recorded_shares(plan, &answers),
                (AssumedShare::Always(share), ..) => always(&members[0].guards, share),
                _ => Shares::new(),
            };
            for member in &mut *members {
                member.run.tick(at, member.plan.readings(&answers), &shares);
            }
            progress.at(at);
        }
    }
    fetching.await.map_err(|e| Failure::Failed(anyhow::anyhow!("the history was not fetched to its end: {e}")))
}

/// The same share for all.
fn always(guards: &[config::Guard], share: u8) -> Shares {
    guards.iter().map(|guard| (guard.name.as_str().into(), share)).collect()
}

/// What the metric says at one instant.
fn recorded_shares(plan: &Plan, answers: &[Answer]) -> Shares {
    let readings: BTreeMap<Name, BTreeMap<Name, Reading>> = plan.readings(answers);
    readings.into_iter().filter_map(|(guard, readings)| Some((guard, share_in(readings.get(SHARE)?)?))).collect()
}

fn share_in(reading: &Reading) -> Option<u8> {
    match reading.window {
        // A share is a whole number; anything else is no share of ours.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Ok(Evidence::Value(value)) if (0.0..=100.0).contains(&value) => Some(value.round() as u8),
        _ => None,
    }
}

/// The aligned instants from `from` to `to`, as the daemon's ticks are aligned.
pub fn aligned(from: Timestamp, to: Timestamp, step: Duration) -> Instants {
    let just_before = from.checked_sub(Duration::from_millis(1)).unwrap_or(from);
    Instants::between(crate::daemon::Clock::aligned_after(just_before, step), to, step)
}
