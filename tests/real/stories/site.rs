//! Many rollbacks side by side: one Prometheus and one API server for many components, each with a Ripcord, a state, ways to fail and
//! receivers of its own; and the verdict on a rollback that was disturbed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::stage::LONG;
use crate::support::apiserver::{ApiProxy, Identity};
use crate::support::controller::{Controller, Rollout};
use crate::support::fixtures::{self, Config};
use crate::support::history::{Follower, History};
use crate::support::hook::Hook;
use crate::support::mailbox::{Mailbox, Message, Security};
use crate::support::mesh::{Mesh, Traffic, Workload};
use crate::support::prometheus::Prometheus;
use crate::support::proxy::{FaultProxy, Recorded, Upstream};
use crate::support::ripcord::Ripcord;
use crate::support::{World, eventually};

/// The pages of a rollback that works, in their order.
pub const STORY: [&str; 3] = ["rollback.started", "rollback.succeeded", "rollback.verified"];

/// How long nothing may be written until the journal is called quiet: several times what a write takes.
const QUIET: Duration = Duration::from_millis(400);

/// The most Ripcords that all cases of all stories run at once. Each takes some hundredths of a core, and its share of the API server
/// and of this process; a machine with two cores that has many more to run is late with everything, and a leader that is late is none.
const MOST: usize = 8;

/// Room for one Ripcord each.
static ROOM: Semaphore = Semaphore::const_new(MOST);

/// How often everything is done.
const ROUNDS: &str = "RIPCORD_CRASH_ROUNDS";

/// From what the random moments come.
const SEED: &str = "RIPCORD_CRASH_SEED";

/// Where this is set, the tables are printed.
const PRINT: &str = "RIPCORD_CRASH_TABLE";

/// How often everything is done: once, unless the variable says otherwise.
pub fn rounds() -> u32 {
    std::env::var(ROUNDS).ok().and_then(|n| n.parse().ok()).unwrap_or(1).max(1)
}

/// The first of the seeds: the same in each run, unless the variable says otherwise.
pub fn seed() -> u64 {
    std::env::var(SEED).ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// What all share.
pub struct Site<'a> {
    pub world: &'a World,
    pub mesh: Arc<Mesh>,
    pub prometheus: Prometheus<'a>,
    pub controller: Controller,
    history: History,
    healer: Follower,
    identity: Identity,
}

impl<'a> Site<'a> {
    /// The traffic of these components, healthy, with 200 requests a second, and a controller that finishes rollouts soon. Where the share
    /// of one is 0 its traffic is healthy from then on.
    pub async fn set(world: &'a World, components: &[String]) -> anyhow::Result<Self> {
        let mesh = Arc::new(Mesh::start(world).await?);
        for name in components {
            mesh.workload(name).set(Traffic::healthy(200.0));
        }
        // Twice as often as Ripcord looks, so that its short windows hold several.
        let builder = Prometheus::builder(world).target("mesh", mesh.address()).interval(Duration::from_millis(500));
        let prometheus = builder.start().await?;
        let history = History::start(world).await?;
        let workloads = mesh.clone();
        let healer = Follower::start(world, move |deployment: Deployment| {
            if fixtures::env_value(&deployment, "controller", "ISTIO_PERCENTAGE").as_deref() == Some("0") {
                workloads.workload(&deployment.name_any()).set(Traffic::healthy(200.0));
            }
        })
        .await?;
        let controller = Controller::start(world, Rollout::Finish(Duration::from_millis(300)))?;
        let identity = super::super::deploy::least_identity_for(world, components).await?;
        Ok(Self { world, mesh, prometheus, controller, history, healer, identity })
    }
}

/// One component and what is around its Ripcord.
pub struct Case<'a> {
    site: &'a Site<'a>,
    /// The part of the story's world that is this one's.
    pub world: World,
    pub component: String,
    /// Its Ripcord's way to the API server.
    pub api: ApiProxy,
    kubeconfig: PathBuf,
    /// What a webhook arrives at, and the way there.
    pub hook: Hook,
    pub front: FaultProxy,
    pub mailbox: Mailbox,
    _room: SemaphorePermit<'static>,
}

/// The writes of the journal so far, and since when there were no more.
pub struct LastWrite {
    writes: usize,
    seen: SystemTime,
}

impl Default for LastWrite {
    fn default() -> Self {
        Self { writes: 0, seen: SystemTime::now() }
    }
}

impl<'a> Case<'a> {
    /// One of many components of the site, with 25 % of its traffic on Istio, once there is room for its replicas.
    pub async fn set(site: &'a Site<'a>, component: &str, replicas: u32) -> anyhow::Result<Self> {
        Self::set_in(site, component, replicas, site.world.part(component)?).await
    }

    /// The only one: its logs are those of the story.
    pub async fn alone(site: &'a Site<'a>, component: &str, replicas: u32) -> anyhow::Result<Self> {
        Self::set_in(site, component, replicas, site.world.clone()).await
    }

    async fn set_in(site: &'a Site<'a>, component: &str, replicas: u32, world: World) -> anyhow::Result<Self> {
        let room = ROOM.acquire_many(replicas).await?;
        let (api, kubeconfig) = way(site, &world).await?;
        let hook = Hook::start(&world).await?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        let upstream = Upstream { url: hook.url("").trim_end_matches('/').to_owned(), client };
        let front = FaultProxy::start(upstream, world.log("hook-proxy")?).await?;
        let mailbox = Mailbox::start(&world, Security::Plain, false).await?;
        fixtures::create_deployment(&world, component).await?;
        fixtures::create_config_map(&world, component).await?;
        let component = component.to_owned();
        Ok(Self { site, world, component, api, kubeconfig, hook, front, mailbox, _room: room })
    }

    /// Takes its Deployment away: with many of them the controller would have much to look at.
    pub async fn clear_away(&self) -> anyhow::Result<()> {
        self.world.api::<Deployment>().delete(&self.component, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Another way to the API server, for another replica, and who goes there.
    pub async fn another_way(&self) -> anyhow::Result<(ApiProxy, PathBuf)> {
        way(self.site, &self.world).await
    }

    /// Quick windows, a state of its own in a ConfigMap, and everything told to the hook and to the mailbox.
    pub fn config(&self) -> anyhow::Result<Config> {
        let mut config = Config::new(&self.world, &self.site.prometheus.url())
            .guard(&self.component, &self.component)
            .with_config_map()
            .webhook("hook", &self.hook)
            .set("receivers.hook.webhook.url", format!("{}/hook", self.front.url()))
            .email(&self.world, "mail", &self.mailbox, Security::Plain, false, &["sre@sealos.test"])?
            .set("state", json!({"config_map": self.object("state")}));
        for trigger in ["error_rate", "latency", "availability"] {
            for (key, value) in [("window", "4s"), ("confirm_window", "2s"), ("for", "2s")] {
                config = config.set(&format!("defaults.triggers.{trigger}.{key}"), value);
            }
        }
        Ok(config)
    }

    /// Where an object of this component alone is: its state, its Lease.
    pub fn object(&self, what: &str) -> Value {
        json!({"namespace": self.world.namespace, "name": format!("{}-{what}", self.component)})
    }

    /// Starts a Ripcord that goes by the case's own way.
    pub fn start(&self, config: &Config) -> anyhow::Result<Ripcord> {
        Ripcord::start(&self.world, &config.to_string(), &self.kubeconfig)
    }

    pub fn workload(&self) -> Workload {
        self.site.mesh.workload(&self.component)
    }

    /// From now on three of ten requests fail, until the share is 0.
    pub fn break_it(&self) {
        self.workload().set(Traffic::healthy(200.0).errors(0.3));
    }

    pub async fn deployment(&self) -> anyhow::Result<Deployment> {
        Ok(self.world.api().get(&self.component).await?)
    }

    /// Whether a request is about the Deployment.
    pub fn is_deployment(&self, request: &Recorded) -> bool {
        request.path.ends_with(&format!("/deployments/{}", self.component))
    }

    /// Whether it is about the ConfigMap that a rollback changes.
    pub fn is_config_map(&self, request: &Recorded) -> bool {
        request.path.ends_with(&format!("/configmaps/{}-config", self.component))
    }

    /// Whether it writes the state.
    pub fn is_journal(&self, request: &Recorded) -> bool {
        is_journal(&self.component, request)
    }

    /// Waits until everything so far is told and written.
    pub async fn quiet(&self, ripcord: &Ripcord) -> anyhow::Result<()> {
        self.quiet_by(ripcord, &self.api).await
    }

    /// The same for one that goes another way.
    pub async fn quiet_by(&self, ripcord: &Ripcord, way: &ApiProxy) -> anyhow::Result<()> {
        let mut last = LastWrite::default();
        eventually(LONG, "everything is told and written", async || self.is_quiet(ripcord, way, &mut last).await).await
    }

    /// Whether everything so far is told and written; `last` is what an earlier look saw.
    pub async fn is_quiet(&self, ripcord: &Ripcord, way: &ApiProxy, last: &mut LastWrite) -> Result<(), String> {
        let writes = way.count(|r| self.is_journal(r));
        if last.writes != writes {
            *last = LastWrite { writes, seen: SystemTime::now() };
        }
        let waiting = waiting(ripcord).await.map_err(|e| e.to_string())?;
        let quiet_for = last.seen.elapsed().unwrap_or_default();
        if writes > 0 && waiting == 0 && quiet_for >= QUIET { Ok(()) } else { Err(format!("{waiting} wait")) }
    }

    /// Waits until the rollback is over: verified, latched, and told.
    pub async fn over(&self, ripcord: &Ripcord) -> anyhow::Result<()> {
        eventually(LONG, "the rollback is verified and told", async || self.is_over(ripcord).await).await
    }

    pub async fn is_over(&self, ripcord: &Ripcord) -> Result<(), String> {
        let status = ripcord.status().await.map_err(|e| e.to_string())?;
        let state = status["guards"][0]["state"].as_str().unwrap_or_default().to_owned();
        let waiting = waiting(ripcord).await.map_err(|e| e.to_string())?;
        let told = self.arrivals().into_iter().map(|(_, arrivals)| sequence(&arrivals)).collect::<Vec<_>>();
        let last = STORY[STORY.len() - 1];
        if state == "rolled_back" && waiting == 0 && told.iter().all(|t| t.iter().any(|e| e == last)) {
            return Ok(());
        }
        Err(format!("{state}, {waiting} wait, told {told:?}"))
    }

    /// What arrived at each receiver and was taken, in order, but for what is about Ripcord itself.
    pub fn arrivals(&self) -> [(&'static str, Vec<Arrival>); 2] {
        let hook = self.hook.accepted().into_iter().map(|c| Arrival {
            id: c.header("idempotency-key").to_owned(),
            event: c.event().to_owned(),
            incident: c.body["incident"].as_str().unwrap_or_default().to_owned(),
            body: String::from_utf8_lossy(&c.raw).into_owned(),
        });
        let mail = self.mailbox.messages();
        let both = [("webhook", hook.collect::<Vec<_>>()), ("mail", mail.iter().map(Arrival::of_mail).collect())];
        both.map(|(receiver, all)| (receiver, all.into_iter().filter(|a| !a.event.starts_with("watchdog.")).collect()))
    }

    /// What was changed and told, against what one rollback has to be that tells this story.
    pub async fn judge(&self, ripcord: &Ripcord, ways: &[&ApiProxy], story: &[&str]) -> anyhow::Result<Verdict> {
        self.site.healer.check()?;
        let mut wrong = Vec::new();
        let mut expect = |right: bool, text: String| {
            if !right {
                wrong.push(text);
            }
        };
        let deployment = self.deployment().await?;
        let generation = deployment.metadata.generation;
        expect(generation == Some(2), format!("the Deployment is of generation {generation:?}, not 2"));
        let share = fixtures::env_value(&deployment, "controller", "ISTIO_PERCENTAGE");
        expect(share.as_deref() == Some("0"), format!("the Deployment's share is {share:?}"));
        let versions = self.site.history.of(&format!("{}-config", self.component))?;
        expect(versions.len() == 2, format!("the ConfigMap was changed {} times: {versions:?}", versions.len() - 1));
        let share = versions.last().and_then(|v| v.get("istio_percentage")).cloned();
        expect(share.as_deref() == Some("0"), format!("the ConfigMap's share is {share:?}"));

        let incidents = ripcord.incidents().await?;
        let incidents = incidents.as_array().context("a list of incidents")?;
        expect(incidents.len() == 1, format!("{} incidents: {incidents:?}", incidents.len()));
        let incident = incidents.first().map_or("", |i| i["id"].as_str().unwrap_or_default());
        let status = ripcord.status().await?;
        let state = &status["guards"][0]["state"];
        expect(state == "rolled_back", format!("the guard is {state}"));
        let lost = &status["lost"];
        expect(lost.as_array().is_some_and(Vec::is_empty), format!("lost: {lost}"));

        let mut told = Vec::new();
        let mut repeated = 0;
        for (receiver, arrivals) in self.arrivals() {
            let first = sequence(&arrivals);
            expect(first == story, format!("{receiver}: the first arrivals are {first:?}"));
            let mut known: BTreeMap<&str, &Arrival> = BTreeMap::new();
            for arrival in &arrivals {
                expect(arrival.incident == incident, format!("{receiver}: of another incident: {}", arrival.body));
                expect(!arrival.id.is_empty(), format!("{receiver}: without an id: {}", arrival.body));
                match known.get(arrival.id.as_str()) {
                    Some(before) => {
                        repeated += 1;
                        // A failure that was told while it could not be written is not known to the next leader, which tells its
                        // own: the same page with another error in it.
                        let other_error = before.event == "rollback.failed" && arrival.event == before.event;
                        let same = before.body == arrival.body || other_error;
                        expect(same, format!("{receiver}: a repeat differs: {} and {}", before.body, arrival.body));
                    }
                    None => {
                        known.insert(&arrival.id, arrival);
                    }
                }
            }
            expect(known.len() == story.len(), format!("{receiver}: ids {:?}", known.keys().collect::<Vec<_>>()));
            told.push((receiver, arrivals.iter().map(|a| a.event.clone()).collect()));
        }
        let patches = |accepted: bool| {
            let is = |r: &Recorded| {
                let ours = self.is_deployment(r) || self.is_config_map(r);
                r.method == "PATCH"
                    && !r.is_dry_run()
                    && ours
                    && (!accepted || r.answered.is_some_and(|(status, _)| status == 200))
            };
            ways.iter().map(|way| way.count(is)).sum()
        };
        Ok(Verdict { sent: patches(false), accepted: patches(true), told, repeated, wrong })
    }
}

async fn way(site: &Site<'_>, world: &World) -> anyhow::Result<(ApiProxy, PathBuf)> {
    let api = ApiProxy::start(world).await?;
    let kubeconfig = api.kubeconfig(world, &site.identity)?;
    Ok((api, kubeconfig))
}

/// Whether a request writes the state of a component's Ripcord: the first time it is created.
pub fn is_journal(component: &str, request: &Recorded) -> bool {
    let name = format!("{component}-state");
    match request.method.as_str() {
        "PATCH" => request.path.ends_with(&format!("/configmaps/{name}")),
        "POST" => request.path.ends_with("/configmaps") && request.json()["metadata"]["name"] == name,
        _ => false,
    }
}

/// How many notifications wait, for all receivers.
pub async fn waiting(ripcord: &Ripcord) -> anyhow::Result<u64> {
    let status = ripcord.status().await?;
    let queues = status["receivers"].as_array().context("receivers")?;
    Ok(queues.iter().filter_map(|q| q["waiting"].as_u64()).sum())
}

/// A notification as it arrived.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// What makes a repeat recognisable: the Idempotency-Key, the Message-ID.
    pub id: String,
    pub event: String,
    pub incident: String,
    pub body: String,
}

impl Arrival {
    pub fn of_mail(mail: &Message) -> Self {
        let line = |name: &str| {
            let found = mail.body.lines().find_map(|l| l.strip_prefix(name));
            found.unwrap_or_default().trim().to_owned()
        };
        Self {
            id: mail.header("message-id").to_owned(),
            event: line("Event: "),
            incident: line("Incident: "),
            body: mail.body.clone(),
        }
    }
}

/// The events in the order of their first arrival.
pub fn sequence(arrivals: &[Arrival]) -> Vec<String> {
    let mut first: Vec<String> = Vec::new();
    for arrival in arrivals {
        if !first.contains(&arrival.event) {
            first.push(arrival.event.clone());
        }
    }
    first
}

/// What became of a disturbed rollback.
#[derive(Debug)]
pub struct Verdict {
    /// Patches of what a rollback changes that were sent, and those that the API server accepted and whose sender could know it.
    pub sent: usize,
    pub accepted: usize,
    /// By receiver, the events as they were taken.
    pub told: Vec<(&'static str, Vec<String>)>,
    /// How many of these were repeats.
    pub repeated: usize,
    /// What is not as it has to be.
    pub wrong: Vec<String>,
}

impl Verdict {
    /// `started succeeded 2x verified`, for one receiver.
    pub fn events(&self, receiver: &str) -> String {
        let Some((_, events)) = self.told.iter().find(|(r, _)| *r == receiver) else { return String::new() };
        let mut text = String::new();
        for event in ["rollback.started", "rollback.failed", "rollback.succeeded", "rollback.verified"] {
            let word = event.trim_start_matches("rollback.");
            match events.iter().filter(|e| e.as_str() == event).count() {
                0 => {}
                1 => _ = write!(text, "{word} "),
                n => _ = write!(text, "{n}x {word} "),
            }
        }
        text.trim_end().to_owned()
    }
}

/// A table that is shown when the story fails, and printed where `RIPCORD_CRASH_TABLE` is set.
pub struct Table {
    title: String,
    rows: Vec<(Vec<String>, bool)>,
}

impl Table {
    pub fn new(title: &str, head: &[&str]) -> Self {
        Self { title: title.to_owned(), rows: vec![(head.iter().map(|h| (*h).to_owned()).collect(), true)] }
    }

    pub fn row(&mut self, cells: Vec<String>, good: bool) {
        self.rows.push((cells, good));
    }

    /// Shows it; an error when a row is not good.
    pub fn end(self, world: &World) -> anyhow::Result<()> {
        let columns = self.rows.iter().map(|(cells, _)| cells.len()).max().unwrap_or(0);
        let width = |c: usize| self.rows.iter().filter_map(|(cells, _)| cells.get(c)).map(|t| t.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|c| width(c).unwrap_or(0)).collect();
        let mut text = format!("{}\n", self.title);
        for (cells, _) in &self.rows {
            let line: Vec<_> = cells.iter().zip(&widths).map(|(cell, &w)| format!("{cell:w$}")).collect();
            let _ = writeln!(text, "  {}", line.join(" | ").trim_end());
        }
        world.log("table")?.line(&text);
        if std::env::var_os(PRINT).is_some() {
            println!("{text}");
        }
        let bad: Vec<_> = self.rows.iter().filter(|(_, good)| !good).map(|(cells, _)| cells.join(" | ")).collect();
        if !bad.is_empty() {
            bail!("{} of {} are not as they have to be:\n{}", bad.len(), self.rows.len() - 1, bad.join("\n"));
        }
        ensure!(self.rows.len() > 1, "nothing was tried");
        Ok(())
    }
}
