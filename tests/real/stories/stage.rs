//! What the stories share: a guarded component with traffic, and Ripcord watching it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::Value;

use crate::support::apiserver::ApiProxy;
use crate::support::controller::{Controller, Mover, Rollout};
use crate::support::fixtures::{self, Config};
use crate::support::hook::{Call, Hook};
use crate::support::mesh::Traffic;
use crate::support::mesh::{Mesh, Workload};
use crate::support::prometheus::Prometheus;
use crate::support::proxy::Recorded;
use crate::support::ripcord::Ripcord;
use crate::support::{World, eventually};

/// Enough for a hold of seconds, a rollout and a verification on a busy machine.
pub const LONG: Duration = Duration::from_secs(60);

/// The component of most stories.
pub const COMPONENT: &str = "terminal-controller";

/// Its guard.
pub const GUARD: &str = "terminal";

/// Everything around Ripcord.
pub struct Stage<'a> {
    pub world: &'a World,
    pub mesh: Mesh,
    pub prometheus: Prometheus<'a>,
    pub api: ApiProxy,
    pub hook: Hook,
    pub controller: Controller,
    pub kubeconfig: PathBuf,
}

impl<'a> Stage<'a> {
    /// A healthy component with 25 % of its traffic on Istio, 200 requests a second, its ConfigMap, a controller that finishes rollouts at once,
    /// and an identity for Ripcord that may do what `deploy/overlays/sealos/rbac.yaml` says and nothing else.
    pub async fn set(world: &'a World) -> anyhow::Result<Self> {
        Self::set_with(world, Traffic::healthy(200.0)).await
    }

    pub async fn set_with(world: &'a World, traffic: Traffic) -> anyhow::Result<Self> {
        let mesh = Mesh::start(world).await?;
        mesh.workload(COMPONENT).set(traffic);
        let prometheus = Prometheus::start(world, mesh.address()).await?;
        fixtures::create_deployment(world, COMPONENT).await?;
        fixtures::create_config_map(world, COMPONENT).await?;
        let controller = Controller::start(world, Rollout::Finish(Duration::from_millis(500)))?;
        let identity = super::super::deploy::least_identity(world).await?;
        let api = ApiProxy::start(world).await?;
        let kubeconfig = api.kubeconfig(world, &identity)?;
        let hook = Hook::start(world).await?;
        Ok(Self { world, mesh, prometheus, api, hook, controller, kubeconfig })
    }

    pub fn workload(&self) -> Workload {
        self.mesh.workload(COMPONENT)
    }

    /// From now on the component's traffic is `healthy` once its share is 0: the cause of the trouble lies with Istio.
    pub fn recovers_at_zero(&self) -> Mover {
        let workload = self.workload();
        Mover::start(self.world, COMPONENT, Duration::ZERO, move |share| {
            if share == 0 {
                workload.set(Traffic::healthy(200.0));
            }
        })
    }

    /// One guard, and everything told to the hook.
    pub fn config(&self) -> Config {
        Config::new(self.world, &self.prometheus.url())
            .guard(GUARD, COMPONENT)
            .with_config_map()
            .webhook("oncall", &self.hook)
    }

    /// Starts Ripcord and waits until the guard was measured and every trigger is clear.
    pub async fn watch(&self, config: &Config) -> anyhow::Result<Ripcord> {
        let mut ripcord = self.start(config)?;
        ripcord.wait_ready().await?;
        self.all_clear(&ripcord).await?;
        Ok(ripcord)
    }

    /// Waits until it was tried that the guard's rollback would work.
    pub async fn ready(&self, ripcord: &Ripcord) -> anyhow::Result<()> {
        eventually(LONG, "a rollback would work", async || match ripcord.status().await {
            Ok(status) if status["guards"][0]["ready"] == true => Ok(()),
            Ok(status) => Err(status["guards"][0]["problems"].to_string()),
            Err(e) => Err(e.to_string()),
        })
        .await
    }

    pub fn start(&self, config: &Config) -> anyhow::Result<Ripcord> {
        Ripcord::start(self.world, &config.to_string(), &self.kubeconfig)
    }

    /// Kills it, as a crash would, and starts it anew after a while.
    pub async fn crash(&self, mut ripcord: Ripcord, config: &Config, away: Duration) -> anyhow::Result<Ripcord> {
        ripcord.kill();
        tokio::time::sleep(away).await;
        let mut ripcord = self.start(config)?;
        ripcord.wait_ready().await?;
        until_leads(&ripcord).await?;
        Ok(ripcord)
    }

    /// Waits until the kept state has no notification that waits. A crash between a receiver's answer and the writing down of it sends the
    /// notification once more, under its key: what counts calls over a crash waits for this first. `crashes` tells the other stories.
    pub async fn nothing_waits(&self, config: &Config) -> anyhow::Result<()> {
        eventually(LONG, "no notification waits in the kept state", async || {
            let document = self.kept(config).await.map_err(|e| e.to_string())?;
            let waiting = document["outbox"]["entries"].as_array().ok_or("no outbox")?;
            if waiting.is_empty() { Ok(()) } else { Err(format!("{waiting:?}")) }
        })
        .await
    }

    /// The state's document, where this configuration keeps it.
    async fn kept(&self, config: &Config) -> anyhow::Result<Value> {
        let text = match config.get("state.file").and_then(Value::as_str) {
            Some(file) => std::fs::read_to_string(file)?,
            None => {
                let name =
                    config.get("state.config_map.name").and_then(Value::as_str).context("a place of the state")?;
                let map = self.world.api::<ConfigMap>().get(name).await?;
                map.data.unwrap_or_default().remove("state.json").context("a document")?
            }
        };
        Ok(serde_json::from_str(&text)?)
    }

    pub async fn all_clear(&self, ripcord: &Ripcord) -> anyhow::Result<()> {
        all_clear(ripcord).await
    }

    pub async fn deployment(&self) -> anyhow::Result<Deployment> {
        Ok(self.world.api().get(COMPONENT).await?)
    }

    pub async fn env(&self, name: &str) -> anyhow::Result<Option<String>> {
        Ok(fixtures::env_value(&self.deployment().await?, "controller", name))
    }

    /// Patches that arrived at the API server and were no dry run; those of Ripcord's own state do not count.
    pub fn patches(&self) -> usize {
        self.api.count(is_change)
    }

    /// Patches that the API server accepted.
    pub fn accepted_patches(&self) -> usize {
        self.api.count(|r| is_change(r) && r.answered.is_some_and(|(status, _)| status == 200))
    }

    pub async fn told(&self, event: &str) -> anyhow::Result<Call> {
        self.hook.wait_event(event, LONG).await
    }

    /// The events that the hook accepted and that belong to a rollback or a page, in order.
    pub fn story(&self) -> Vec<String> {
        self.hook.accepted().iter().map(|c| c.event().to_owned()).filter(|e| !e.starts_with("watchdog.")).collect()
    }
}

fn is_change(request: &Recorded) -> bool {
    request.method == "PATCH" && !request.is_dry_run() && !request.path.ends_with("/ripcord-state")
}

/// Waits until the guard was measured and every trigger is clear.
pub async fn all_clear(ripcord: &Ripcord) -> anyhow::Result<()> {
    eventually(LONG, "every trigger is clear", async || {
        let status = ripcord.status().await.map_err(|e| e.to_string())?;
        let verdicts: Vec<String> = triggers(&status).map(|t| format!("{}={}", t["trigger"], t["verdict"])).collect();
        let clear = !verdicts.is_empty() && triggers(&status).all(|t| t["verdict"] == "clear");
        if clear && status["guards"][0]["percentage"].is_number() { Ok(()) } else { Err(format!("{verdicts:?}")) }
    })
    .await
}

pub fn triggers(status: &Value) -> impl Iterator<Item = &Value> {
    status["guards"].as_array().into_iter().flatten().flat_map(|g| g["triggers"].as_array().into_iter().flatten())
}

pub async fn trigger(ripcord: &Ripcord, name: &str) -> anyhow::Result<Value> {
    let status = ripcord.status().await?;
    let found = triggers(&status).find(|t| t["trigger"] == name).cloned();
    found.with_context(|| format!("no trigger {name} in {status}"))
}

pub async fn state(ripcord: &Ripcord) -> anyhow::Result<String> {
    Ok(ripcord.status().await?["guards"][0]["state"].as_str().unwrap_or_default().to_owned())
}

/// Waits until it has taken up what was there before, and acts.
pub async fn until_leads(ripcord: &Ripcord) -> anyhow::Result<()> {
    eventually(LONG, "it leads", async || {
        let status = ripcord.status().await.map_err(|e| e.to_string())?;
        if status["leads"] == true { Ok(()) } else { Err(status["leads"].to_string()) }
    })
    .await
}

pub async fn until_state(ripcord: &Ripcord, wanted: &str) -> anyhow::Result<()> {
    eventually(LONG, &format!("the guard is {wanted}"), async || match state(ripcord).await {
        Ok(state) if state == wanted => Ok(()),
        Ok(state) => Err(state),
        Err(e) => Err(e.to_string()),
    })
    .await
}

/// Waits until a trigger has held a breach for some seconds.
pub async fn until_held(ripcord: &Ripcord, name: &str, seconds: f64) -> anyhow::Result<f64> {
    eventually(LONG, &format!("{name} has held for {seconds} s"), async || {
        let held = trigger(ripcord, name).await.map_err(|e| e.to_string())?["held_seconds"].as_f64().unwrap_or(0.0);
        if held >= seconds { Ok(held) } else { Err(format!("{held} s")) }
    })
    .await
}

/// No notification came twice, and each has an id.
pub fn each_once(calls: &[Call]) -> anyhow::Result<()> {
    let mut keys: Vec<&str> = calls.iter().map(|c| c.header("idempotency-key")).collect();
    ensure!(keys.iter().all(|k| !k.is_empty()), "a call without an Idempotency-Key");
    keys.sort_unstable();
    let all = keys.len();
    keys.dedup();
    ensure!(keys.len() == all, "a notification came twice: {keys:?}");
    Ok(())
}
