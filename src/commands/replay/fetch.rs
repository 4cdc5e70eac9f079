//! Fetching history from Prometheus, chunk by chunk, and patience with a Prometheus that is busy.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::engine::Unknown;
use crate::notify::single_line;
use crate::prometheus::{Client, Instants, Plan, QueryOutcome, Range};

use super::super::say;
use super::words;

/// Instants of one request. Many more than the daemon asks for at once, because nobody waits for a decision, and Prometheus reads each
/// sample once per request; far below the 11 000 that it answers at most.
const CHUNK_STEPS: usize = 720;

/// The fewest instants that a chunk shrinks to, when Prometheus does not answer for more in time.
const FEWEST_STEPS: usize = 45;

/// How often a chunk is asked for before it is given up.
const ATTEMPTS: u32 = 4;

/// The wait before the second attempt; it doubles. All of them together outlast the restart of a Prometheus with little to read again.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// A chunk of history.
pub struct Fetched {
    /// What the plan's queries gave.
    pub range: Range,
    /// What the shares' query gave.
    pub shares: Option<Range>,
}

/// Fetches the history for a plan.
pub struct Fetch {
    client: Client,
    plan: Plan,
    shares: Option<Plan>,
    steps: usize,
    /// Queries that failed at every attempt of the chunk before: they are no reason to ask again.
    hopeless: BTreeSet<usize>,
}

impl Fetch {
    /// Nothing is asked yet.
    pub fn new(client: Client, plan: Plan, shares: Option<Plan>) -> Self {
        Self { client, plan, shares, steps: CHUNK_STEPS, hopeless: BTreeSet::new() }
    }

    /// Sends all chunks in order. The last thing sent is an error where Prometheus does not answer any more.
    pub async fn all(mut self, mut rest: Instants, out: mpsc::Sender<Result<Fetched, String>>) {
        while !rest.is_empty() {
            let fetched = self.next(rest).await;
            let done = fetched.as_ref().map_or(rest.len(), |fetched| fetched.range.instants().len());
            if out.send(fetched).await.is_err() {
                return;
            }
            rest = rest.after(done);
        }
    }

    async fn next(&mut self, rest: Instants) -> Result<Fetched, String> {
        let mut wait = FIRST_WAIT;
        let mut attempt = 1;
        loop {
            let instants = rest.first_of(self.steps);
            let (range, outcomes) = self.client.ask_range(&self.plan, instants).await;
            let failed: BTreeSet<usize> =
                outcomes.iter().enumerate().filter(|(_, outcome)| !outcome.is_ok()).map(|(index, _)| index).collect();
            let news = failed.difference(&self.hopeless).next().is_some();
            let nothing = failed.len() == outcomes.len() && !outcomes.is_empty();
            if !nothing && (!news || attempt == ATTEMPTS) {
                self.hopeless = failed;
                return Ok(Fetched { range, shares: self.shares(instants).await });
            }
            let why = why(&range, &failed);
            if attempt == ATTEMPTS {
                return Err(format!(
                    "the history from {} on was not answered in {ATTEMPTS} attempts ({why}); nothing is told of a part of it. \
                     Run it again when Prometheus answers, or for a shorter time (--from, --to)",
                    words::time(instants.first())
                ));
            }
            say(&format!("Prometheus did not answer all queries from {} on ({why}); trying again …", at(instants)));
            if timed_out(&outcomes) {
                // What is too much at once may be answered in parts.
                self.steps = (self.steps / 4).max(FEWEST_STEPS);
            }
            sleep(wait).await;
            wait *= 2;
            attempt += 1;
        }
    }

    /// What the metric of the shares says. It is not worth another attempt: where it is not there, shares are unknown.
    async fn shares(&self, instants: Instants) -> Option<Range> {
        let plan = self.shares.as_ref()?;
        Some(self.client.ask_range(plan, instants).await.0)
    }
}

fn at(instants: Instants) -> String {
    words::time(instants.first())
}

fn timed_out(outcomes: &[QueryOutcome]) -> bool {
    let timed_out = Unknown::TimedOut(Duration::ZERO).kind();
    outcomes.iter().any(|outcome| outcome.result == timed_out)
}

/// What was said of the first query that failed.
fn why(range: &Range, failed: &BTreeSet<usize>) -> String {
    let first = failed.first().copied().unwrap_or_default();
    let answer = range.steps().next().and_then(|(_, answers)| answers.into_iter().nth(first));
    match answer {
        Some(Err(unknown)) => single_line(&unknown.to_string()),
        _ => "no answer".to_owned(),
    }
}
