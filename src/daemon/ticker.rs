//! The ticks: at aligned times, measure everything for the same instant and hand it to the event loop. What was missed is fetched and comes
//! first, as history.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::engine::{Observation, Tick, TickKind};
use crate::prometheus::{Answer, QueryOutcome, Range};
use crate::telemetry;

use super::clock::Clock;
use super::owed::{Owed, Schedule};
use super::shares::{Seen, Shares};
use super::world::World;

#[cfg(test)]
mod tests;

/// How long all requests for missed ticks may take that a live tick waits for, besides the last of them. Nothing is decided meanwhile, and
/// `/healthz` fails after half a minute and some intervals without a tick. An hour for a hundred guards takes a second or two.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the event loop says about the past. A new one replaces the one before, and with it whatever is still being fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CatchUp {
    /// Tells one order from the next; each tick carries that of its order.
    pub generation: u64,
    /// Ticks that measure later instants are owed; `None`: none of the past.
    pub since: Option<Timestamp>,
}

/// One tick's measurements. History comes before the live tick that it was missed before, in order.
pub struct Measured {
    /// What the engine gets.
    pub tick: Tick,
    /// When the tick was due.
    pub due: Timestamp,
    /// How the queries of a live tick went.
    pub queries: Vec<QueryOutcome>,
    /// Ticks that were not measured live since the live tick before. None for history.
    pub missed: i64,
    /// The settings that it was measured by.
    pub world: Arc<World>,
    /// The order that it was measured under.
    pub generation: u64,
}

/// Nobody listens any more.
struct Closed;

/// Measures at every tick, for ever; it ends when nobody listens.
pub async fn tick(
    clock: Clock,
    mut world: watch::Receiver<Arc<World>>,
    mut orders: watch::Receiver<CatchUp>,
    shares: Shares,
    out: mpsc::Sender<Measured>,
) {
    let mut owed = Owed::default();
    let mut generation = None;
    loop {
        let order = *orders.borrow_and_update();
        if generation.replace(order.generation) != Some(order.generation) {
            owed.begin(order.since);
        }
        let mut round = Round {
            clock,
            world: world.borrow_and_update().clone(),
            shares: &shares,
            generation: order.generation,
            owed: owed.clone(),
            history: Vec::new(),
            patience: PATIENCE,
        };
        // What was measured by other settings or under another order is of no use. It stays owed.
        let ended = tokio::select! {
            biased;
            changed = world.changed() => changed.map(|()| None).map_err(|_| Closed),
            changed = orders.changed() => changed.map(|()| None).map_err(|_| Closed),
            done = round.run(&out) => done.map(Some),
        };
        match ended {
            Ok(Some(())) => owed = round.owed,
            Ok(None) => {}
            Err(Closed) => return,
        }
    }
}

/// One live tick and what is owed before it.
struct Round<'a> {
    clock: Clock,
    world: Arc<World>,
    shares: &'a Shares,
    generation: u64,
    owed: Owed,
    history: Vec<Range>,
    /// What is left of it.
    patience: Duration,
}

/// What was measured live.
struct Live {
    due: Timestamp,
    answers: Vec<Answer>,
    queries: Vec<QueryOutcome>,
}

impl Round<'_> {
    async fn run(&mut self, out: &mpsc::Sender<Measured>) -> Result<(), Closed> {
        let live = self.measure().await;
        let schedule = self.schedule();
        let missed = self.owed.handed_over(live.due, schedule);
        // The present shares: nobody wrote down those of the past.
        let settings = &self.world.settings;
        let shares = self.shares.at(&settings.guards, live.due, settings.evaluation.interval);
        for range in std::mem::take(&mut self.history) {
            for (at, answers) in range.steps() {
                let tick = self.observe(at, TickKind::History, &answers, &shares);
                self.send(out, tick, schedule.due(at), Vec::new(), 0).await?;
            }
        }
        let tick = self.observe(schedule.at(live.due), TickKind::Live, &live.answers, &shares);
        self.send(out, tick, live.due, live.queries, missed).await
    }

    fn schedule(&self) -> Schedule {
        let evaluation = &self.world.settings.evaluation;
        Schedule { interval: evaluation.interval, offset: evaluation.offset }
    }

    /// Fetches what is owed and measures a live tick that is still one then.
    async fn measure(&mut self) -> Live {
        let schedule = self.schedule();
        loop {
            self.catch_up(None).await;
            let due = schedule.due_after(self.clock.now());
            self.clock.sleep_until(due).await;
            if !self.is_present(due) {
                // The process was stopped, or the clock was set.
                continue;
            }
            let (answers, queries) = self.world.prometheus.ask(&self.world.plan, schedule.at(due)).await;
            if self.owed.is_refused() && any_answered(&queries) {
                self.owed.answers_again();
                self.catch_up(Some(due)).await;
                if self.owed.is_refused() {
                    let error =
                        "Prometheus answers for the present and not for the past: what was missed stays unknown";
                    telemetry::Event::NotReplayed { error }.emit();
                    self.owed.give_up(due, schedule);
                } else if !self.is_present(due) {
                    // It took so long that this tick is history too.
                    continue;
                }
            }
            return Live { due, answers, queries };
        }
    }

    /// Whether the tick that is due then is the present one.
    fn is_present(&self, due: Timestamp) -> bool {
        let now = self.clock.now();
        due <= now && now < due.checked_add(self.schedule().interval).unwrap_or(due)
    }

    /// Fetches what is owed before the live tick that is due at `live`, or before whichever is the next one.
    async fn catch_up(&mut self, live: Option<Timestamp>) {
        let schedule = self.schedule();
        loop {
            let live = live.unwrap_or_else(|| schedule.due_after(self.clock.now()));
            let Some(instants) = self.owed.next(live, schedule) else { break };
            if self.patience.is_zero() {
                let error = format!("it takes too long: what was missed since {} stays unknown", instants.first());
                telemetry::Event::NotReplayed { error: &error }.emit();
                self.owed.give_up(live, schedule);
                break;
            }
            let begun = Instant::now();
            let (range, queries) = self.world.prometheus.ask_range(&self.world.plan, instants).await;
            self.patience = self.patience.saturating_sub(begun.elapsed());
            if !any_answered(&queries) {
                let error =
                    format!("Prometheus does not answer: what was missed since {} is fetched later", instants.first());
                telemetry::Event::NotReplayed { error: &error }.emit();
                self.owed.refused();
                break;
            }
            self.owed.fetched(instants);
            self.history.push(range);
        }
    }

    fn observe(&self, at: Timestamp, kind: TickKind, answers: &[Answer], shares: &[Seen]) -> Tick {
        observe(&self.world, at, kind, answers, shares)
    }

    async fn send(
        &self,
        out: &mpsc::Sender<Measured>,
        tick: Tick,
        due: Timestamp,
        queries: Vec<QueryOutcome>,
        missed: i64,
    ) -> Result<(), Closed> {
        let (world, generation) = (self.world.clone(), self.generation);
        out.send(Measured { tick, due, queries, missed, world, generation }).await.map_err(|_| Closed)
    }
}

/// What was measured of all guards at one instant. The shares are in the order of the guards.
pub fn observe(world: &World, at: Timestamp, kind: TickKind, answers: &[Answer], shares: &[Seen]) -> Tick {
    let mut readings = world.plan.readings(answers);
    let guards = world.settings.guards.iter().zip(shares).map(|(guard, Seen { share, drift })| {
        let (name, readings) = readings
            .remove_entry(guard.name.as_str())
            .unwrap_or_else(|| (crate::config::lasting(&guard.name), BTreeMap::new()));
        (name, Observation { share: share.clone(), readings, drift: drift.clone() })
    });
    Tick { at, kind, guards: guards.collect() }
}

/// Whether Prometheus is there at all.
fn any_answered(queries: &[QueryOutcome]) -> bool {
    queries.is_empty() || queries.iter().any(QueryOutcome::is_ok)
}
