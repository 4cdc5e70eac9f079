//! An hour of bad luck at ten times the speed: does the program's memory, or anything else that it holds, grow?
//!
//! `cargo bench --bench soak`. A real Prometheus, a real API server, real receivers, the real program with leader election and its state in a
//! ConfigMap; 20 guards at a tick a second instead of every ten. All the time something fails at random, from a seed: guards go bad and are
//! rolled back, an operator re-arms them and moves the traffic up again, receivers hang, refuse or are gone, Prometheus stands still, the API
//! server hangs, refuses or is gone, the configuration is reloaded.
//!
//! It begins with a history: as many closed incidents as are kept of each guard. Otherwise they would come one by one, and memory with them.
//!
//! `RIPCORD_SOAK_MINUTES` (6) says how long, `RIPCORD_SOAK_SEED` (1) with which luck. The exit code is 1 when memory grows, or when something
//! is left undone in the end.

#[path = "../tests/real/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ListParams;
use rustix::process::Signal;
use serde_json::{Value, json};

use support::apiserver::ApiProxy;
use support::controller::{Controller, Rollout};
use support::fixtures::{self, Config};
use support::hook::{Behaviour, Hook};
use support::mailbox::{self, Mailbox, Security};
use support::mesh::{Mesh, Traffic};
use support::prometheus::Prometheus;
use support::proxy::Fault;
use support::ripcord::Ripcord;
use support::{Story, World, eventually};

/// What is guarded: as many components as a large installation has.
const GUARDS: usize = 20;

/// How long it runs unless it is told otherwise: an hour at ten times the speed.
const MINUTES: u64 = 6;

/// Closed incidents of each guard at the beginning: as many as are kept.
const HISTORY: usize = 20;

/// The time between two samples.
const SAMPLE_EVERY: Duration = Duration::from_secs(5);

/// The samples to one line of the table.
const SAMPLES_PER_LINE: usize = 6;

/// Memory grows when the last third's median is above the second third's by more than this part and these KiB. The first third is for
/// buffers and queues that grow to the size that they need.
const GROWTH: f64 = 0.10;
const GROWTH_KIB: f64 = 4096.0;

/// How long a guard stays latched before the operator comes.
const OPERATOR_AFTER: Duration = Duration::from_secs(8);

/// How long what was begun may take to end once nothing fails any more: the longest backoff is a minute.
const SETTLE: Duration = Duration::from_secs(120);

const TOKEN: &str = "open-sesame";

fn main() -> ExitCode {
    let minutes = variable("RIPCORD_SOAK_MINUTES", MINUTES);
    let limit = Duration::from_secs(minutes * 60 + 600);
    support::run::run_all(vec![Story::new("soak", soak).within(limit)])
}

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

async fn soak(world: World) -> anyhow::Result<()> {
    let length = Duration::from_secs(60 * variable("RIPCORD_SOAK_MINUTES", MINUTES));
    let seed = variable("RIPCORD_SOAK_SEED", 1);
    let mut bed = Bed::set(&world, seed).await?;
    let begun = Instant::now();
    let mut samples = Vec::new();
    println!("{GUARDS} guards, {} minutes, seed {seed}", length.as_secs() / 60);
    println!("minute |  RSS KiB | anonymous | fds | threads | state bytes | rollbacks | pages");
    while begun.elapsed() < length {
        let until = begun.elapsed() + SAMPLE_EVERY;
        while begun.elapsed() < until {
            bed.something_fails().await?;
            bed.something_is_mended().await?;
            bed.operate().await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let sample = bed.sample(begun.elapsed()).await?;
        samples.push(sample);
        if samples.len().is_multiple_of(SAMPLES_PER_LINE) {
            println!("{}", line(samples.last().context("a sample")?));
        }
    }
    bed.settle().await?;
    report(&samples, bed.cpu_seconds().await?)
}

/// What can fail, and until when it does.
struct Bed<'a> {
    world: &'a World,
    luck: fastrand::Rng,
    mesh: Mesh,
    prometheus: Prometheus<'a>,
    api: ApiProxy,
    _controller: Controller,
    hook: Hook,
    mailbox: Mailbox,
    configs: [Config; 2],
    ripcord: Ripcord,
    /// By part: when it is mended.
    broken: BTreeMap<Part, Instant>,
    latched: BTreeMap<String, Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Hook,
    Mailbox,
    Prometheus,
    Api,
}

/// What the process holds at one moment.
struct Sample {
    at: Duration,
    rss_kib: f64,
    /// The part of it that the program has asked for; the rest is its own file, which is large in a debug build.
    anon_kib: f64,
    fds: usize,
    threads: usize,
    state_bytes: usize,
    rollbacks: f64,
    pages: usize,
}

fn component(n: usize) -> String {
    format!("component-{n:02}")
}

/// The state of a Ripcord that has had a long year.
fn history(namespace: &str) -> anyhow::Result<ConfigMap> {
    let incident = |guard: &str, n: usize| {
        let at = format!("2026-01-{:02}T00:00:00Z", n + 1);
        let line = |text: &str| json!({"time": at, "text": text.repeat(3)});
        json!({
            "id": format!("{guard}-202601{:02}T000000Z", n + 1), "guard": guard, "opened_at": at, "closed_at": at, "kind": "rollback",
            "reason": "error rate 20.1 % (limit 1 %) for 5s; availability 79.9 % (limit 99 %) for 5s", "triggers": [],
            "from_percentage": 25, "to_percentage": 0, "attempt": 1, "steps": [], "error": null, "accepted_at": at,
            "completed_at": at, "verification": "recovered", "acknowledged_at": null,
            "timeline": vec![line("the triggers are clear at 0 % since the change"); 6], "failures": 0, "pages": 3,
            "fresh_clear_since": at, "seen_above_target": 0, "reverted": false,
        })
    };
    let closed = |guard: &str| (0..HISTORY).map(|n| incident(guard, n)).collect::<Vec<_>>();
    let guards: BTreeMap<String, Value> =
        (0..GUARDS).map(component).map(|name| (name.clone(), json!({"closed": closed(&name)}))).collect();
    let document = json!({
        "version": 1, "writer": "before", "saved_at": "2026-02-01T00:00:00Z", "engine": {"guards": guards}, "outbox": {},
    });
    let object = json!({
        "metadata": {"name": "ripcord-state", "namespace": namespace}, "data": {"state.json": document.to_string()},
    });
    Ok(serde_json::from_value(object)?)
}

impl<'a> Bed<'a> {
    async fn set(world: &'a World, seed: u64) -> anyhow::Result<Self> {
        let mesh = Mesh::start(world).await?;
        for name in (0..GUARDS).map(component) {
            mesh.workload(&name).set(Traffic::healthy(100.0));
            fixtures::create_deployment(world, &name).await?;
        }
        let prometheus = Prometheus::start(world, mesh.address()).await?;
        let api = ApiProxy::start(world).await?;
        api.forget_requests();
        let controller = Controller::start(world, Rollout::Finish(Duration::from_millis(300)))?;
        let hook = Hook::start(world).await?;
        let mailbox = Mailbox::start(world, Security::Plain, false).await?;
        let namespace = &world.namespace;
        let mut config = Config::new(world, &prometheus.url())
            .webhook("oncall", &hook)
            .email(world, "mail", &mailbox, Security::Plain, false, &["a@sealos.test", "b@sealos.test"])?
            .unset("state.file")
            .set("state.config_map", json!({"namespace": namespace, "name": "ripcord-state"}))
            .set(
                "leader_election",
                json!({"lease": {"namespace": namespace, "name": "ripcord"}, "lease_duration": "3s"}),
            )
            .set("http.token_file", json!(world.write("token", TOKEN)?));
        for name in (0..GUARDS).map(component) {
            config = config.guard(&name, &name);
        }
        // A reload goes from one to the other: a guard less, and another clock.
        let other = config
            .clone()
            .unset(&format!("guards.{}", component(GUARDS - 1)))
            .set("defaults.triggers.latency.for", "7s");
        world.create(&history(namespace)?).await?;
        let kubeconfig = api.kubeconfig(world, world.apiserver.admin_identity())?;
        let mut ripcord = Ripcord::start(world, &config.to_string(), &kubeconfig)?;
        ripcord.wait_ready().await?;
        eventually(SETTLE, "the history is read", async || {
            let known = ripcord.incidents().await?.as_array().map_or(0, Vec::len);
            ensure!(known == GUARDS * HISTORY, "{known} incidents");
            anyhow::Ok(())
        })
        .await?;
        Ok(Self {
            world,
            luck: fastrand::Rng::with_seed(seed),
            mesh,
            prometheus,
            api,
            _controller: controller,
            hook,
            mailbox,
            configs: [config, other],
            ripcord,
            broken: BTreeMap::new(),
            latched: BTreeMap::new(),
        })
    }

    fn breaks(&mut self, part: Part, seconds: std::ops::Range<u64>) -> bool {
        if self.broken.contains_key(&part) {
            return false;
        }
        let length = Duration::from_secs(self.luck.u64(seconds));
        self.broken.insert(part, Instant::now() + length);
        true
    }

    /// Twice a second one die is cast; on average a guard goes bad every three seconds, and something around Ripcord fails every five.
    async fn something_fails(&mut self) -> anyhow::Result<()> {
        match self.luck.u32(0..60) {
            0..10 => {
                let name = component(self.luck.usize(0..GUARDS));
                self.mesh.workload(&name).set(Traffic::healthy(100.0).errors(0.3));
            }
            10..12 if self.breaks(Part::Hook, 2..20) => match self.luck.u32(0..5) {
                0 => self.hook.set(Behaviour::Hang),
                1 => self.hook.set(Behaviour::Status(500, None)),
                2 => self.hook.set(Behaviour::Status(429, Some(3))),
                3 => self.hook.set(Behaviour::Close),
                _ => self.hook.gone(),
            },
            12..14 if self.breaks(Part::Mailbox, 2..20) => match self.luck.u32(0..4) {
                0 => self.mailbox.set(mailbox::Behaviour::Hang),
                1 => self.mailbox.set(mailbox::Behaviour::Temporary),
                2 => self.mailbox.set(mailbox::Behaviour::HangAfterMessage),
                _ => self.mailbox.gone(),
            },
            14 if self.breaks(Part::Prometheus, 2..8) => self.prometheus.pause().await?,
            15..17 if self.breaks(Part::Api, 1..8) => match self.luck.u32(0..5) {
                0 => self.api.all(Fault::Hang),
                1 => self.api.all(Fault::kubernetes(500)),
                2 => self.api.rule(|r| r.method == "PATCH", Fault::kubernetes(409)),
                3 => self.api.rule(|r| r.method == "PATCH", Fault::LoseAnswer),
                _ => self.api.gone(),
            },
            17 => {
                let config = &self.configs[self.luck.usize(0..2)];
                self.ripcord.write_config(&config.to_string())?;
                self.ripcord.signal(Signal::HUP)?;
            }
            18 => {
                // A receiver that has never heard of this token loses a page for good.
                self.hook.set_next(&[Behaviour::Status(401, None)]);
            }
            _ => {}
        }
        Ok(())
    }

    async fn something_is_mended(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        let due: Vec<Part> = self.broken.iter().filter(|(_, until)| **until <= now).map(|(part, _)| *part).collect();
        for part in due {
            self.broken.remove(&part);
            match part {
                Part::Hook => {
                    self.hook.set(Behaviour::Accept);
                    self.hook.back().await?;
                }
                Part::Mailbox => {
                    self.mailbox.set(mailbox::Behaviour::Accept);
                    self.mailbox.back().await?;
                }
                Part::Prometheus => self.prometheus.resume()?,
                Part::Api => {
                    self.api.clear();
                    self.api.back().await?;
                }
            }
        }
        Ok(())
    }

    /// Traffic that was moved back is well; after a while somebody re-arms the guard and moves it up again. What does not work now is done
    /// at the next look.
    async fn operate(&mut self) {
        let deployments = self.world.api::<Deployment>();
        if let Ok(all) = deployments.list(&ListParams::default()).await {
            for moved in
                all.iter().filter(|d| fixtures::env_value(d, "controller", "ISTIO_PERCENTAGE").as_deref() == Some("0"))
            {
                if let Some(name) = &moved.metadata.name {
                    self.mesh.workload(name).set(Traffic::healthy(100.0));
                }
            }
        }
        let Ok(status) = self.ripcord.status().await else { return };
        for guard in status["guards"].as_array().into_iter().flatten() {
            let name = guard["guard"].as_str().unwrap_or_default().to_owned();
            let latched = matches!(guard["state"].as_str(), Some("rolled_back" | "not_recovered"));
            if !latched {
                self.latched.remove(&name);
                // One that was re-armed by hand while something failed.
                continue;
            }
            let since = *self.latched.entry(name.clone()).or_insert_with(Instant::now);
            if since.elapsed() < OPERATOR_AFTER {
                continue;
            }
            let path = format!("/api/v1/guards/{name}/rearm");
            if self.ripcord.post(&path, Some(TOKEN), &json!({})).await.is_ok_and(|(status, _)| status == 200) {
                self.latched.remove(&name);
                // It is well at 25 % too, until the next bad luck.
                let _ = fixtures::set_share(&deployments, &name, "25").await;
            }
        }
    }

    async fn sample(&mut self, at: Duration) -> anyhow::Result<Sample> {
        if let Some(ended) = self.ripcord.exited()? {
            anyhow::bail!("Ripcord ended ({ended})");
        }
        let process = format!("/proc/{}", self.ripcord.pid());
        let status = fs::read_to_string(format!("{process}/status"))?;
        let number = |key: &str| -> anyhow::Result<f64> {
            let line = status.lines().find(|l| l.starts_with(key)).with_context(|| format!("{key} in {status}"))?;
            Ok(line.split_whitespace().nth(1).context("a number")?.parse()?)
        };
        let state = self.world.api::<ConfigMap>().get_opt("ripcord-state").await?.and_then(|c| c.data);
        let metrics = self.ripcord.metrics().await?;
        Ok(Sample {
            at,
            rss_kib: number("VmRSS:")?,
            anon_kib: number("RssAnon:")?,
            fds: fs::read_dir(format!("{process}/fd"))?.count(),
            threads: number("Threads:")? as usize,
            state_bytes: state.iter().flatten().map(|(_, text)| text.len()).sum(),
            rollbacks: sum(&metrics, "ripcord_rollbacks_total{", "result=\"started\""),
            pages: self.hook.accepted().len() + self.mailbox.messages().len(),
        })
    }

    async fn cpu_seconds(&self) -> anyhow::Result<f64> {
        self.ripcord.metric("process_cpu_seconds_total", &[]).await?.context("process_cpu_seconds_total")
    }

    /// Nothing fails any more: everything that was begun ends.
    async fn settle(&mut self) -> anyhow::Result<()> {
        for part in self.broken.values_mut() {
            *part = Instant::now();
        }
        self.something_is_mended().await?;
        for name in (0..GUARDS).map(component) {
            self.mesh.workload(&name).set(Traffic::healthy(100.0));
        }
        self.ripcord.write_config(&self.configs[0].to_string())?;
        self.ripcord.signal(Signal::HUP)?;
        eventually(SETTLE, "everything that was begun has ended", async || {
            self.operate().await;
            let status = self.ripcord.status().await.map_err(|e| e.to_string())?;
            let left = undone(&status);
            if left.is_empty() { Ok(()) } else { Err(left.join(", ")) }
        })
        .await
    }
}

/// What is not as it should be on a quiet day.
fn undone(status: &Value) -> Vec<String> {
    let mut left = Vec::new();
    if status["leads"] != true || !status["state_error"].is_null() {
        left.push(format!("leads: {}, state_error: {}", status["leads"], status["state_error"]));
    }
    for guard in status["guards"].as_array().into_iter().flatten().filter(|g| g["state"] != "watching") {
        left.push(format!("{} is {}", guard["guard"], guard["state"]));
    }
    for receiver in status["receivers"].as_array().into_iter().flatten().filter(|r| r["waiting"] != 0) {
        left.push(format!("{} waits for {}", receiver["waiting"], receiver["receiver"]));
    }
    left
}

/// The sum of the series of one name that hold a label.
fn sum(metrics: &str, name: &str, label: &str) -> f64 {
    let lines = metrics.lines().filter(|l| l.starts_with(name) && l.contains(label));
    lines.filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

fn line(sample: &Sample) -> String {
    format!(
        "{:6.1} | {:8.0} | {:9.0} | {:3} | {:7} | {:11} | {:9.0} | {:5}",
        sample.at.as_secs_f64() / 60.0,
        sample.rss_kib,
        sample.anon_kib,
        sample.fds,
        sample.threads,
        sample.state_bytes,
        sample.rollbacks,
        sample.pages
    )
}

fn report(samples: &[Sample], cpu_seconds: f64) -> anyhow::Result<()> {
    let third = samples.len() / 3;
    ensure!(third > 0, "too few samples to tell");
    let later = &samples[third..];
    let rss: Vec<f64> = samples.iter().map(|s| s.rss_kib).collect();
    let (second, last) = (median(&rss[third..2 * third]), median(&rss[2 * third..]));
    let range = |of: &dyn Fn(&Sample) -> usize| {
        let all = samples.iter().map(of);
        format!("{} to {}", all.clone().min().unwrap_or_default(), all.max().unwrap_or_default())
    };
    let end = samples.last().context("a sample")?;
    println!(
        "RSS: {} KiB; medians of the thirds: {:.0}, {second:.0}, {last:.0} KiB",
        range(&|s| s.rss_kib as usize),
        median(&rss[..third])
    );
    println!("RSS slope over the last two thirds: {:.1} KiB per minute", slope(later));
    println!("file descriptors: {}; threads: {}", range(&|s| s.fds), range(&|s| s.threads));
    println!("state: {} bytes", range(&|s| s.state_bytes));
    println!("rollbacks: {}; pages: {}; CPU: {cpu_seconds:.1} s", end.rollbacks, end.pages);
    ensure!(end.rollbacks >= end.at.as_secs_f64() / 60.0 * 3.0, "too few rollbacks for a soak: {}", end.rollbacks);
    let grown = last - second;
    ensure!(
        grown <= second * GROWTH || grown <= GROWTH_KIB,
        "memory grows: from a median of {second:.0} KiB in the second third to {last:.0} KiB in the last"
    );
    Ok(())
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Least squares: KiB per minute.
fn slope(samples: &[Sample]) -> f64 {
    let n = samples.len() as f64;
    let minutes = |s: &Sample| s.at.as_secs_f64() / 60.0;
    let mean_x = samples.iter().map(minutes).sum::<f64>() / n;
    let mean_y = samples.iter().map(|s| s.rss_kib).sum::<f64>() / n;
    let over: f64 = samples.iter().map(|s| (minutes(s) - mean_x) * (s.rss_kib - mean_y)).sum();
    let under: f64 = samples.iter().map(|s| (minutes(s) - mean_x).powi(2)).sum();
    if under == 0.0 { 0.0 } else { over / under }
}
