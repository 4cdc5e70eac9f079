//! The ticks: at aligned times, measure everything for the same instant and hand it to the event loop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use crate::engine::{Observation, Tick, TickKind};
use crate::prometheus::QueryOutcome;

use super::clock::Clock;
use super::shares::Shares;
use super::world::World;

/// One tick's measurements.
pub struct Measured {
    /// What the engine gets.
    pub tick: Tick,
    /// When the tick was due.
    pub due: Timestamp,
    /// How the queries went.
    pub queries: Vec<QueryOutcome>,
    /// Ticks that were left out before this one.
    pub missed: i64,
    /// The settings that it was measured by.
    pub world: Arc<World>,
}

/// Measures at every tick, for ever; it ends when nobody listens.
pub async fn tick(clock: Clock, world: watch::Receiver<Arc<World>>, shares: Shares, out: mpsc::Sender<Measured>) {
    let mut last: Option<(Timestamp, Duration)> = None;
    loop {
        let interval = world.borrow().settings.evaluation.interval;
        let due = Clock::aligned_after(clock.now(), interval);
        clock.sleep_until(due).await;
        let present = world.borrow().clone();
        let missed = match last {
            Some((before, same)) if same == interval => missed(before, due, interval),
            _ => 0,
        };
        last = Some((due, interval));
        let measured = measure(&present, &shares, due, missed).await;
        if out.send(measured).await.is_err() {
            return;
        }
    }
}

async fn measure(world: &Arc<World>, shares: &Shares, due: Timestamp, missed: i64) -> Measured {
    let evaluation = &world.settings.evaluation;
    let at = due.checked_sub(evaluation.offset).unwrap_or(due);
    let (answers, queries) = world.prometheus.ask(&world.plan, at).await;
    let mut readings = world.plan.readings(&answers);
    let guards: BTreeMap<String, Observation> = world
        .settings
        .guards
        .iter()
        .map(|guard| {
            let share = shares.get(&guard.name, due, evaluation.interval);
            let readings = readings.remove(&guard.name).unwrap_or_default();
            (guard.name.clone(), Observation { share, readings })
        })
        .collect();
    Measured { tick: Tick { at, kind: TickKind::Live, guards }, due, queries, missed, world: world.clone() }
}

/// Aligned instants strictly between two ticks.
fn missed(before: Timestamp, due: Timestamp, interval: Duration) -> i64 {
    let between = due.as_millisecond() - before.as_millisecond();
    let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
    (between / interval - 1).max(0)
}
