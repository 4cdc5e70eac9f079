//! A command that is carried out without the daemon: only the shares are read, once. Nothing is measured, so that nothing fires; whoever
//! commands knows why.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::engine::{Observation, Tick, TickKind};
use crate::kubernetes::Cluster;

use super::clock::Clock;
use super::ticker::Measured;
use super::world::World;

/// Reads every guard's share as soon as this process leads, and tells it as a tick of the past. It never ends.
pub async fn look_once(
    cluster: Cluster,
    worlds: watch::Receiver<Arc<World>>,
    mut leads: watch::Receiver<bool>,
    clock: Clock,
    out: mpsc::Sender<Measured>,
) {
    if leads.wait_for(|leads| *leads).await.is_ok() {
        let world = worlds.borrow().clone();
        let mut shares = Vec::new();
        for guard in &world.settings.guards {
            shares.push(cluster.share(&guard.steps));
        }
        let shares = futures::future::join_all(shares).await;
        let seen = |share| Observation { share, ..Observation::nothing() };
        let names = world.settings.guards.iter().map(|guard| crate::config::lasting(&guard.name));
        let guards = names.zip(shares.into_iter().map(seen)).collect();
        let now = clock.now();
        let tick = Tick { at: now, kind: TickKind::History, guards };
        // Nobody listens any more when the command has ended.
        let _ = out.send(Measured { tick, due: now, queries: Vec::new(), missed: 0, generation: 0, world }).await;
    }
    std::future::pending().await
}
