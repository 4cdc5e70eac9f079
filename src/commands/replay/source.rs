//! Where history comes from, and how it gets to the engines.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::config;
use crate::engine::{Evidence, Name, Reading};
use crate::prometheus::{Answer, Client, Csv, Instants, OpenMetrics, Plan, file};
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
    /// Samples of a file.
    OpenMetrics(OpenMetrics),
    /// A table of a file.
    Csv(Csv),
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
            Self::Prometheus(client) => return walk_prometheus(client, members, instants, share, progress).await,
            Self::OpenMetrics(samples) => {
                let mut prepared: Vec<_> = members.iter().map(|member| samples.prepare(&member.plan)).collect();
                for at in instants.iter() {
                    let shares = shares(&members[0].guards, share, |guard| samples.share(guard, at));
                    for (member, prepared) in members.iter_mut().zip(&mut prepared) {
                        member.run.tick(at, member.plan.readings(&prepared.answers(at)), &shares);
                    }
                    progress.at(at);
                }
            }
            Self::Csv(table) => {
                for at in instants.iter() {
                    let shares = shares(&members[0].guards, share, |guard| table.share(guard, at));
                    for member in &mut *members {
                        member.run.tick(at, table.readings(&member.guards, at), &shares);
                    }
                    progress.at(at);
                }
            }
        }
        Ok(())
    }

    /// The first and the last instant that a file knows of.
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        match self {
            Self::Prometheus(_) => None,
            Self::OpenMetrics(samples) => samples.span(),
            Self::Csv(table) => table.span(),
        }
    }
}

/// Reads a file. The error is everything that is wrong with it, a line each.
pub fn read(path: &Path, guards: &[config::Guard]) -> Result<Source, String> {
    let failed = |e: std::io::Error| format!("--input {}: cannot be read: {e}", path.display());
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > file::MAX_FILE_BYTES as u64 {
        return Err(format!(
            "--input {}: has {size} bytes, and at most {} are read: take a part of it",
            path.display(),
            file::MAX_FILE_BYTES
        ));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let read = match file::kind_of(path, &text) {
        file::Kind::OpenMetrics => OpenMetrics::parse(&text).map(Source::OpenMetrics),
        file::Kind::Csv => Csv::parse(&text, guards).map(Source::Csv),
    };
    read.map_err(|problems| {
        let lines =
            problems.iter().map(|problem| format!("error: {}:{}: {}", path.display(), problem.line, problem.text));
        lines.collect::<Vec<_>>().join("\n")
    })
}

/// What is known of the shares at one instant.
fn shares(guards: &[config::Guard], share: AssumedShare, recorded: impl Fn(&str) -> Option<u8>) -> Shares {
    let of = |guard: &config::Guard| match share {
        AssumedShare::Always(share) => Some(share),
        AssumedShare::AsRecorded => recorded(&guard.name),
    };
    guards.iter().filter_map(|guard| Some((config::lasting(&guard.name), of(guard)?))).collect()
}

async fn walk_prometheus(
    client: &Client,
    members: &mut [Member],
    instants: Instants,
    share: AssumedShare,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let Some(first) = members.first() else { return Ok(()) };
    let plan_of_shares = match share {
        AssumedShare::Always(_) => None,
        AssumedShare::AsRecorded => Some(Plan::of_gauge(TRAFFIC_PERCENTAGE, &first.guards, SHARE)),
    };
    let (out, mut chunks) = mpsc::channel::<Result<Fetched, String>>(CHUNKS_AHEAD);
    let fetch = Fetch::new(client.clone(), first.plan.clone(), plan_of_shares.clone());
    // The next chunk is fetched while the engines work on this one.
    let fetching = tokio::spawn(fetch.all(instants, out));
    while let Some(fetched) = chunks.recv().await {
        let fetched = fetched.map_err(|error| Failure::Failed(anyhow::anyhow!(error)))?;
        let recorded = fetched.shares.as_ref().map(|range| range.steps());
        let mut recorded = recorded.into_iter().flatten();
        for (at, answers) in fetched.range.steps() {
            let shares_now = match (share, recorded.next(), &plan_of_shares) {
                (AssumedShare::AsRecorded, Some((_, answers)), Some(plan)) => recorded_shares(plan, &answers),
                _ => shares(&members[0].guards, share, |_| None),
            };
            for member in &mut *members {
                member.run.tick(at, member.plan.readings(&answers), &shares_now);
            }
            progress.at(at);
        }
    }
    fetching.await.map_err(|e| Failure::Failed(anyhow::anyhow!("the history was not fetched to its end: {e}")))
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
