//! The story: what is done to the world, and what is told of it and of Ripcord.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures::future::join_all;
use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::config::Guard;
use crate::daemon::Clock;
use crate::engine::{Progress, duration_in_words};
use crate::kubernetes::{self, ChangePlan, Cluster, Outcome};

use super::cluster::{Objects, deployment_path};
use super::mesh::{FAILING_BY_FAULT, Mesh};
use super::receiver::Page;
use super::screen::{Screen, Who, bar};
use super::setting::{self, BAD, GOOD, SHARE, SPEED};
use super::status::{self, Api, Status};
use super::verdict::{Deployments, last_line};

/// The trigger that the story is about.
const TRIGGER: &str = "error_rate";

/// How long all is quiet, and how long the new share is fine, by the fast clock.
const QUIET: Duration = Duration::from_secs(20);
const FINE: Duration = Duration::from_secs(20);

/// The time between two looks at the status, by the wall's clock: a few per tick.
const LOOK: Duration = Duration::from_millis(100);

/// The time to the next look after one that failed.
const AFTER_TROUBLE: Duration = Duration::from_secs(1);

/// The width of the hold's bar.
const BAR: usize = 16;

/// The story and everybody in it.
pub struct Story {
    screen: Screen,
    clock: Clock,
    api: Api,
    mesh: Arc<Mesh>,
    objects: Arc<Objects>,
    cluster: Cluster,
    guards: Vec<Guard>,
    arriving: UnboundedReceiver<Page>,
    pages: Vec<Page>,
    /// How many entries of each guard's timeline are told.
    told: BTreeMap<String, usize>,
    waiting_for: &'static str,
    /// Why the status could not be read the last time.
    trouble: Option<anyhow::Error>,
}

impl Story {
    /// A story that begins now.
    pub fn new(
        clock: Clock,
        daemon: SocketAddr,
        mesh: Arc<Mesh>,
        objects: Arc<Objects>,
        cluster: Cluster,
        guards: Vec<Guard>,
        arriving: UnboundedReceiver<Page>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            screen: Screen::stdout(clock.now()),
            clock,
            api: Api::new(daemon)?,
            mesh,
            objects,
            cluster,
            guards,
            arriving,
            pages: Vec::new(),
            told: BTreeMap::new(),
            waiting_for: "the beginning",
            trouble: None,
        })
    }

    /// What it waits for, and what stands in the way where that is known.
    pub fn waiting_for(&self) -> String {
        let trouble = self.trouble.as_ref().map(|error| format!(" ({error:#})")).unwrap_or_default();
        format!("{}{trouble}", self.waiting_for)
    }

    /// Tells it, and returns its last line.
    pub async fn tell(&mut self) -> anyhow::Result<String> {
        self.introduce()?;
        self.until("the first tick", |s| Ok(s.last_tick.is_some()), |_| None).await?;
        self.say(Who::Ripcord, &format!("watches {BAD} and {GOOD}; both get all their traffic through the Ingress"))?;
        self.clock.sleep(QUIET).await;

        self.shift().await?;
        let before = self.deployments()?;
        self.clock.sleep(FINE).await;
        self.break_istio()?;

        let breach = |s: &Status| Ok(error_rate(s)?.verdict == "breach");
        let status = self.until("the first breach", breach, |_| None).await?;
        let trigger = error_rate(&status)?;
        let text = format!(
            "{BAD}: error rate {} over 5 minutes, and still so: if it stays above {} for {}, Ripcord rolls back",
            trigger.value(),
            trigger.threshold_text,
            seconds(trigger.for_seconds)
        );
        self.screen.say(tick(&status), Who::Ripcord, &text)?;
        let acts = |s: &Status| Ok(s.guard(BAD)?.state != "watching");
        self.until("the end of the hold", acts, |s| error_rate(s).ok().map(hold)).await?;

        let moved = |s: &Status| Ok(!matches!(s.guard(BAD)?.state.as_str(), "watching" | "rolling_back"));
        self.until("the rollouts of the rollback", moved, |_| None).await?;
        self.show_page("rollback.started").await?;

        let clear = |s: &Status| Ok(error_rate(s)?.verdict == "clear" || s.guard(BAD)?.state != "verifying");
        let status = self.until("the recovery", clear, |s| error_rate(s).ok().map(recovery)).await?;
        let trigger = error_rate(&status)?;
        let text = format!("{BAD}: error rate {} over 5 minutes; {}", trigger.value(), trigger.reason);
        self.screen.say(tick(&status), Who::Ripcord, &text)?;
        let verified = |s: &Status| Ok(s.guard(BAD)?.state != "verifying");
        let status = self.until("the verification", verified, |_| None).await?;
        while !self.pages.iter().any(|page| page.event() == "rollback.verified") {
            self.waiting_for = "the last page";
            let page = self.arriving.recv().await.context("the receiver ended")?;
            self.got(page)?;
        }
        last_line(&before, &self.deployments()?, &status, &self.pages)
    }

    fn introduce(&mut self) -> anyhow::Result<()> {
        for line in [
            format!("Ripcord's demo: a traffic migration that goes wrong, {SPEED} times faster than it would be (about half a minute)."),
            "Simulated, in this process: a mesh and its Prometheus, a cluster's API server, a receiver of pages.".to_owned(),
            "Real: all of Ripcord, with the times of a real configuration. It queries, decides, patches and pages as it would.".to_owned(),
            format!("Its status can be read while it runs: curl -s {}", self.api.url()),
            String::new(),
        ] {
            self.screen.plain(&line)?;
        }
        Ok(())
    }

    /// Moves both guards' traffic, by the guards' own steps.
    async fn shift(&mut self) -> anyhow::Result<()> {
        self.waiting_for = "the step up";
        self.say(
            Who::Operator,
            &format!("moves {SHARE} % of {BAD} and {SHARE} % of {GOOD} from the Ingress to Istio"),
        )?;
        let now = self.clock.now();
        let cluster = &self.cluster;
        let changes = self.guards.iter().map(|guard| async move {
            let plan = ChangePlan {
                steps: guard.steps.clone(),
                vars: kubernetes::variables(&guard.name, &guard.vars, SHARE, "a step of the migration", "", now),
                rollback: false,
                rollout_timeout: guard.rollout_timeout,
                dry_run: false,
                patience: kubernetes::CALL_TIMEOUT,
                permit: Arc::new(|| true),
            };
            let mut failure = None;
            let report = |progress| {
                if let Progress::Failed { error, .. } = progress {
                    failure = Some(error);
                }
            };
            let outcome = cluster.carry_out(&plan, report, std::future::pending()).await;
            (outcome, failure)
        });
        for (outcome, failure) in join_all(changes).await {
            if outcome != Outcome::Completed {
                bail!("the step up did not work: {}", failure.unwrap_or_default());
            }
        }
        self.say(Who::World, &format!("the new pods serve: {SHARE} % of the traffic goes through Istio"))
    }

    fn break_istio(&mut self) -> anyhow::Result<()> {
        let now = self.clock.now();
        self.mesh.break_istio(&setting::deployment(BAD), now);
        let (part, all) = (FAILING_BY_FAULT * 100.0, FAILING_BY_FAULT * f64::from(SHARE));
        let text =
            format!("{BAD}: {part} % of the requests through Istio fail from now on: {all} % of all its requests");
        Ok(self.screen.say(now, Who::World, &text)?)
    }

    /// Looks at the status until it is so, and tells what happens meanwhile.
    async fn until(
        &mut self,
        what: &'static str,
        done: impl Fn(&Status) -> anyhow::Result<bool>,
        progress: impl Fn(&Status) -> Option<String>,
    ) -> anyhow::Result<Status> {
        self.waiting_for = what;
        loop {
            let status = match self.api.status().await {
                Ok(status) => status,
                Err(error) => {
                    // An overloaded machine answers later. A daemon that has ended says so by another way, and in less than this.
                    self.trouble = Some(error);
                    tokio::time::sleep(AFTER_TROUBLE).await;
                    continue;
                }
            };
            self.trouble = None;
            self.tell_timelines(&status)?;
            while let Ok(page) = self.arriving.try_recv() {
                self.got(page)?;
            }
            if done(&status)? {
                return Ok(status);
            }
            if let Some(text) = progress(&status) {
                self.screen.change(tick(&status), &text)?;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn tell_timelines(&mut self, status: &Status) -> anyhow::Result<()> {
        for guard in &status.guards {
            let Some(incident) = &guard.incident else { continue };
            let told = self.told.entry(guard.guard.clone()).or_default();
            for entry in incident.timeline.iter().skip(*told) {
                let detail = incident.detail(entry).map(|detail| format!(" ({detail})")).unwrap_or_default();
                self.screen.say(entry.time, Who::Ripcord, &format!("{}{detail}", entry.text))?;
            }
            *told = incident.timeline.len();
        }
        Ok(())
    }

    fn got(&mut self, page: Page) -> anyhow::Result<()> {
        self.say(Who::Oncall, &format!("is paged: {}", page.event()))?;
        self.pages.push(page);
        Ok(())
    }

    async fn show_page(&mut self, event: &str) -> anyhow::Result<()> {
        self.waiting_for = "a page";
        let page = loop {
            if let Some(page) = self.pages.iter().find(|page| page.event() == event) {
                break page;
            }
            let page = self.arriving.recv().await.context("the receiver ended")?;
            self.got(page)?;
        };
        for line in super::pages::in_full(page)? {
            self.screen.plain(&line)?;
        }
        Ok(())
    }

    fn say(&mut self, who: Who, text: &str) -> anyhow::Result<()> {
        Ok(self.screen.say(self.clock.now(), who, text)?)
    }

    fn deployments(&self) -> anyhow::Result<Deployments> {
        let read = |guard: &str| {
            let path = deployment_path(&setting::deployment(guard));
            self.objects.read(&path).with_context(|| format!("the Deployment of {guard} is gone"))
        };
        Ok(Deployments { bad: read(BAD)?, good: read(GOOD)? })
    }
}

fn error_rate(status: &Status) -> anyhow::Result<&status::Trigger> {
    status.guard(BAD)?.trigger(TRIGGER).with_context(|| format!("{BAD} has no trigger {TRIGGER}"))
}

/// When the bad guard was last measured.
fn tick(status: &Status) -> Timestamp {
    let tick = status.guard(BAD).ok().and_then(|guard| guard.last_tick).or(status.last_tick);
    tick.unwrap_or_default()
}

/// `error rate 4.8 % (limit 1 %)  held 2m10s of 5m0s  [######----------]`.
fn hold(trigger: &status::Trigger) -> String {
    format!(
        "error rate {} (limit {})  held {} of {}  {}",
        trigger.value(),
        trigger.threshold_text,
        seconds(trigger.held_seconds),
        seconds(trigger.for_seconds),
        bar(trigger.held_seconds / trigger.for_seconds, BAR)
    )
}

/// `error rate 4.1 % over 5 minutes; waiting for data after the change`.
fn recovery(trigger: &status::Trigger) -> String {
    format!("error rate {} over 5 minutes; waiting for data after the change", trigger.value())
}

fn seconds(seconds: f64) -> String {
    duration_in_words(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}
