//! Plays the parts of a cluster that move after a Deployment has changed: its controller, and the traffic.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::fixtures::env_value;
use super::log::Log;
use super::{World, eventually};

/// The time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long a rollout that finishes at once may take to do so.
const FINISH_TIMEOUT: Duration = Duration::from_secs(20);

/// How a rollout goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rollout {
    /// Seen at once, complete after this time.
    Finish(Duration),
    /// Seen at once, never complete.
    Never,
    /// Seen at once; after this time it is reported as stuck (`ProgressDeadlineExceeded`).
    Stuck(Duration),
    /// Not even seen: the controller is gone.
    Absent,
}

/// Plays the Deployment controller for a story's namespace. It ends when dropped.
pub struct Controller {
    rollout: Arc<Mutex<Rollout>>,
    task: JoinHandle<()>,
}

impl Controller {
    /// Starts it.
    pub fn start(world: &World, rollout: Rollout) -> anyhow::Result<Self> {
        let rollout = Arc::new(Mutex::new(rollout));
        let task = tokio::spawn(play(world.api(), rollout.clone(), world.log("controller")?));
        Ok(Self { rollout, task })
    }

    /// From now on, also for a rollout that is under way.
    pub fn set(&self, rollout: Rollout) {
        *self.rollout.lock().expect("no holder panics") = rollout;
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How far a rollout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Unseen,
    Started,
    Finished,
    Stuck,
}

async fn play(api: Api<Deployment>, rollout: Arc<Mutex<Rollout>>, log: Log) {
    // By name, uid and generation: when it was first seen, and what was last written.
    let mut seen: HashMap<(String, String, i64), (Instant, Phase)> = HashMap::new();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let list = match api.list(&ListParams::default()).await {
            Ok(list) => list,
            Err(error) => {
                log.line(format!("Listing failed: {error}"));
                continue;
            }
        };
        for deployment in list {
            let meta = &deployment.metadata;
            let name = meta.name.clone().unwrap_or_default();
            let generation = meta.generation.unwrap_or_default();
            let key = (name.clone(), meta.uid.clone().unwrap_or_default(), generation);
            let (since, written) = seen.entry(key).or_insert((Instant::now(), Phase::Unseen));
            let paused = deployment.spec.paused == Some(true);
            let want = match *rollout.lock().expect("no holder panics") {
                Rollout::Absent => *written,
                Rollout::Finish(after) if since.elapsed() >= after && !paused => Phase::Finished,
                Rollout::Stuck(after) if since.elapsed() >= after && !paused => Phase::Stuck,
                _ if *written == Phase::Finished => Phase::Finished,
                _ => Phase::Started,
            };
            if want == *written {
                continue;
            }
            match write_status(&api, &name, &status(&deployment, generation, want)).await {
                Ok(_) => {
                    log.line(format!("{name} generation {generation}: {want:?}"));
                    *written = want;
                }
                Err(error) => log.line(format!("Writing the status of {name} failed: {error}")),
            }
        }
    }
}

/// Writes a Deployment's status: what is in it, and the rest stays.
pub async fn write_status(api: &Api<Deployment>, name: &str, status: &Value) -> kube::Result<Deployment> {
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(json!({"status": status}))).await
}

/// Finishes the rollout of one Deployment: for stories without a `Controller`, in which one finishes and another does not.
pub async fn finish(world: &World, name: &str) -> anyhow::Result<()> {
    let api = world.api();
    let deployment: Deployment = api.get(name).await?;
    let generation = deployment.metadata.generation.unwrap_or_default();
    write_status(&api, name, &status(&deployment, generation, Phase::Finished)).await?;
    Ok(())
}

/// Waits until the `Controller` has finished a Deployment's rollout; until the next change it does not write it any more.
pub async fn finished(world: &World, name: &str) -> anyhow::Result<()> {
    let api = world.api();
    eventually(FINISH_TIMEOUT, &format!("the rollout of {name} is complete"), async || {
        api.get(name).await.is_ok_and(|d| is_complete(&d))
    })
    .await
}

/// Whether a rollout is complete, as `kubectl rollout status` tells it.
pub fn is_complete(deployment: &Deployment) -> bool {
    let (spec, status) = (&deployment.spec, deployment.status.clone().unwrap_or_default());
    let wanted = spec.replicas.unwrap_or(1);
    status.observed_generation >= deployment.metadata.generation
        && status.updated_replicas == Some(wanted)
        && status.replicas == Some(wanted)
        && status.available_replicas == Some(wanted)
}

/// The status as the real controller writes it.
fn status(deployment: &Deployment, generation: i64, phase: Phase) -> Value {
    let wanted = deployment.spec.replicas.unwrap_or(1);
    let condition = |kind: &str, status: bool, reason: &str, message: &str| json!({"type": kind, "status": if status { "True" } else { "False" }, "reason": reason, "message": message});
    let (updated, extra, progressing) = match phase {
        Phase::Finished => {
            (wanted, 0, condition("Progressing", true, "NewReplicaSetAvailable", "The new ReplicaSet has progressed."))
        }
        Phase::Stuck => (
            0,
            1,
            condition(
                "Progressing",
                false,
                "ProgressDeadlineExceeded",
                "The new ReplicaSet has timed out progressing.",
            ),
        ),
        Phase::Unseen | Phase::Started => {
            (0, 1, condition("Progressing", true, "ReplicaSetUpdated", "The new ReplicaSet is progressing."))
        }
    };
    // The old pods serve until the new ones are there (maxUnavailable 0), which are one more at first (maxSurge 1).
    json!({
        "observedGeneration": generation,
        "replicas": wanted + extra,
        "updatedReplicas": updated + extra,
        "readyReplicas": wanted,
        "availableReplicas": wanted,
        "unavailableReplicas": (extra != 0).then_some(extra),
        "conditions": [condition("Available", true, "MinimumReplicasAvailable", "Minimum availability."), progressing],
    })
}

/// Lets something follow a Deployment's share: calls a closure with the value of `ISTIO_PERCENTAGE` whenever it has changed, a while
/// after the change. It ends when dropped.
pub struct Mover {
    task: JoinHandle<()>,
}

impl Mover {
    /// Starts it. The first value is passed on too.
    pub fn start(world: &World, deployment: &str, delay: Duration, moved: impl Fn(u32) + Send + 'static) -> Self {
        let (api, name) = (world.api(), deployment.to_owned());
        let task = tokio::spawn(async move {
            let mut last = None;
            loop {
                let share = match api.get_opt(&name).await {
                    Ok(Some(d)) => env_value(&d, "controller", "ISTIO_PERCENTAGE").and_then(|v| v.parse().ok()),
                    _ => None,
                };
                if let Some(share) = share
                    && last != Some(share)
                {
                    last = Some(share);
                    tokio::time::sleep(delay).await;
                    moved(share);
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        Self { task }
    }
}

impl Drop for Mover {
    fn drop(&mut self) {
        self.task.abort();
    }
}
