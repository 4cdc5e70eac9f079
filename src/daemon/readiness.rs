//! Whether a rollback would work: tried at the start and every few minutes, by the replica that leads. Nothing is changed by it, and nobody
//! is paged by the probes themselves.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::FuturesOrdered;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::{mpsc, watch};

use crate::config::{Guard, Settings};
use crate::engine::{Problem, ReadinessReport, StepResult};
use crate::kubernetes::{Access, ChangePlan, Cluster, Permit, Purpose};
use crate::notify;

use super::clock::Clock;
use super::world::World;

/// The wait before another try where something failed: a problem is believed when it is met twice, and known soon.
const TRY_AGAIN: Duration = Duration::from_secs(30);

/// So often in a row. What fails for longer was told, and is tried at its interval again.
const TRIES_SOON: u32 = 3;

/// Guards that are tried at once. Each costs the API server a handful of dry runs, and nobody waits for them.
const CONCURRENT_TRIES: usize = 4;

/// What was found.
pub struct Tried {
    /// Of each guard.
    pub guards: Vec<ReadinessReport>,
    /// The receivers that cannot be reached, each with the reason.
    pub unreachable: Vec<(String, String)>,
    /// The settings that it was tried by.
    pub world: Arc<World>,
}

/// Tries again and again, while this replica leads; it ends when nobody listens.
pub async fn keep_trying(
    cluster: Cluster,
    mut worlds: watch::Receiver<Arc<World>>,
    mut leads: watch::Receiver<bool>,
    clock: Clock,
    permit: Permit,
    out: mpsc::Sender<Tried>,
) {
    let mut failed = 0u32;
    loop {
        if leads.wait_for(|leads| *leads).await.is_err() {
            return;
        }
        let world = worlds.borrow_and_update().clone();
        let tried = try_all(&cluster, &world, clock, &permit).await;
        let all_well = tried.guards.iter().all(|guard| guard.problems.is_empty()) && tried.unreachable.is_empty();
        if out.send(tried).await.is_err() {
            return;
        }
        let interval = world.settings.readiness.interval;
        failed = if all_well { 0 } else { failed.saturating_add(1) };
        let wait = if (1..=TRIES_SOON).contains(&failed) { TRY_AGAIN.min(interval) } else { interval };
        tokio::select! {
            () = clock.sleep(wait) => {}
            changed = worlds.changed() => if changed.is_err() { return },
            changed = leads.changed() => if changed.is_err() { return },
        }
    }
}

async fn try_all(cluster: &Cluster, world: &Arc<World>, clock: Clock, permit: &Permit) -> Tried {
    let settings = &world.settings;
    let guards = async {
        let mut tried = Vec::new();
        for some in settings.guards.chunks(CONCURRENT_TRIES) {
            let mut under_way = FuturesOrdered::new();
            for guard in some {
                under_way.push_back(try_guard(cluster, guard, clock, permit));
            }
            tried.extend(under_way.collect::<Vec<_>>().await.into_iter().flatten());
        }
        tried
    };
    let (own, mut guards, receivers) =
        futures::join!(own_access(cluster, settings), guards, notify::probe(&settings.receivers).boxed());
    for guard in &mut guards {
        guard.warnings.extend(own.iter().cloned());
    }
    let unreachable = receivers.into_iter().filter_map(|(name, probed)| Some((name, probed.err()?))).collect();
    Tried { guards, unreachable, world: world.clone() }
}

/// What Ripcord itself may not do: a rollback works without it, and something else does not.
async fn own_access(cluster: &Cluster, settings: &Settings) -> Vec<String> {
    // What the steps need is asked for with their guard; what only a first start needs was there, or is not needed.
    let needed: Vec<Access> = Access::of(settings)
        .into_iter()
        .filter(|access| !matches!(access.purpose, Purpose::Traffic | Purpose::FirstStart))
        .collect();
    let missing = missing(cluster, &needed).await;
    missing.into_iter().map(|problem| problem.error).collect()
}

async fn try_guard(cluster: &Cluster, guard: &Guard, clock: Clock, permit: &Permit) -> Option<ReadinessReport> {
    let plan = ChangePlan::rehearsal(guard, clock.now(), permit.clone());
    let needed = Access::of_steps(&guard.steps);
    // Boxed: the compiler does not see by itself that they may go from thread to thread.
    let (rehearsed, mut problems, warnings) = futures::join!(
        cluster.rehearse(&plan).boxed(),
        missing(cluster, &needed),
        cluster.gitops(&guard.steps).boxed()
    );
    // What was not tried, because this replica may not write now, says nothing.
    if rehearsed.iter().any(|step| step.result == StepResult::Planned) {
        return None;
    }
    for step in rehearsed.into_iter().filter(|step| step.result == StepResult::Failed) {
        problems.push(Problem { step: step.step, error: step.detail.unwrap_or_default() });
    }
    Some(ReadinessReport { guard: guard.name.clone(), problems, warnings })
}

/// The permissions that are not there. That they cannot be asked for is said of none of them: the dry runs say more then.
async fn missing(cluster: &Cluster, needed: &[Access]) -> Vec<Problem> {
    let mut asked = FuturesOrdered::new();
    for access in needed {
        asked.push_back(async move { (access, cluster.may(access).await) });
    }
    let mut missing = Vec::new();
    while let Some((access, may)) = asked.next().await {
        if matches!(may, Ok(false)) {
            let error = format!(
                "not permitted: grant {access} to Ripcord's ServiceAccount (ripcord render rbac writes the Role)"
            );
            missing.push(Problem { step: "permissions".to_owned(), error });
        }
    }
    missing
}
