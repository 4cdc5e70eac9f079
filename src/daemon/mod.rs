//! The daemon: one event loop that hands inputs to the engine and carries out its actions. It holds no policy.
//!
//! - `clock`: the time; `world`: the settings in use and what is made of them
//! - `ticker`: measures; `shares`: reads the cluster; `changes`: moves the traffic; `signals`: what the operating system says
//!
//! Every task but the event loop only sends messages to it. A task that dies ends the process.

mod changes;
mod clock;
mod shares;
mod signals;
mod ticker;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::config::{Finding, Settings, Step};
use crate::engine::{Action, ChangeReport, Engine, Event, GuardState, Input, Notification, Record, Severity};
use crate::http::{self, Queue, Request, Snapshot};
use crate::kubernetes::{Announcement, AnnouncementType, Cluster, Kind, ObjectRef};
use crate::notify::{DeliveryEvent, MemoryStore, Outbox};
use crate::telemetry::{self, Metrics};

pub use clock::Clock;

use changes::Changes;
use shares::Shares;
use signals::{Signal, Signals};
use ticker::Measured;
use world::World;

/// How long a stop waits for what is in flight: changes first, then notifications. Kubernetes kills 30 s after it asked, by default.
const GRACE: Duration = Duration::from_secs(25);

/// The part of it that is kept for the notifications.
const GRACE_FOR_NOTIFICATIONS: Duration = Duration::from_secs(8);

/// How often a stop looks whether the changes have ended.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Messages that may wait for the event loop. It handles one in well under a millisecond; a full channel slows the senders down.
const MESSAGES: usize = 256;

/// Guards that the first notification names.
const NAMED_GUARDS: usize = 10;

/// Loads the configuration anew.
pub type Load = Box<dyn Fn() -> Result<Settings, Vec<Finding>> + Send + Sync>;

/// What a daemon needs to begin.
pub struct Setup {
    /// The configuration.
    pub settings: Settings,
    /// Loads it again, on SIGHUP.
    pub load: Load,
    /// The cluster whose traffic is moved.
    pub cluster: Cluster,
    /// The time.
    pub clock: Clock,
    /// Decide and tell, change nothing.
    pub dry_run: bool,
    /// The metrics of this process.
    pub metrics: Metrics,
    /// Where the HTTP server is to be known to listen, once it does.
    pub listening: Option<oneshot::Sender<std::net::SocketAddr>>,
    /// Ends the daemon as SIGTERM would, when it is sent or dropped; `None` leaves that to the signals.
    pub stop: Option<oneshot::Receiver<()>>,
}

struct Daemon {
    engine: Engine,
    world: watch::Sender<Arc<World>>,
    changes: Changes,
    outbox: Outbox,
    cluster: Cluster,
    clock: Clock,
    dry_run: bool,
    started_at: Timestamp,
    loaded_at: Timestamp,
    reload_success: bool,
    last_tick: Option<Timestamp>,
    snapshot: watch::Sender<Snapshot>,
    metrics: Metrics,
    listen: std::net::SocketAddr,
    /// Whether something changed that is not shown yet.
    dirty: bool,
}

/// Runs until a signal ends it. The error is why it could not go on.
pub async fn run(setup: Setup) -> anyhow::Result<()> {
    let Setup { settings, load, cluster, clock, dry_run, metrics, listening, stop } = setup;
    let (reports_to, mut reports) = mpsc::unbounded_channel::<ChangeReport>();
    let (delivery_to, mut deliveries) = mpsc::unbounded_channel::<DeliveryEvent>();
    let (requests_to, mut requests) = mpsc::channel::<Request>(MESSAGES);
    let (measured_to, mut measured) = mpsc::channel::<Measured>(1);
    let mut signals = Signals::listen().context("cannot listen for signals")?;

    let listen = settings.http.listen;
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen} (http.listen): is another Ripcord running?"))?;
    let address = listener.local_addr().context("the address of the HTTP server")?;
    let outbox = Outbox::start(
        &settings.receivers,
        settings.links.clone(),
        runbooks(&settings),
        Arc::new(MemoryStore::default()),
        delivery_to,
    )
    .map_err(|findings| anyhow::anyhow!("{}", list(&findings)))?;
    let world = World::new(settings)?;
    let now = clock.now();
    telemetry::Event::Started { guards: world.settings.guards.len(), dry_run }.emit();
    for finding in &world.settings.warnings {
        tracing::warn!(%finding, "Worth a second look");
    }
    telemetry::Event::Reloaded { at: now, guards: world.settings.guards.len() }.emit();

    let engine = Engine::new(world.engine_settings(dry_run));
    let (snapshot, snapshots) = watch::channel(Snapshot::default());
    let (world, worlds) = watch::channel(world);
    let mut daemon = Daemon {
        engine,
        changes: Changes::new(cluster.clone(), clock, reports_to),
        world,
        outbox,
        cluster: cluster.clone(),
        clock,
        dry_run,
        started_at: now,
        loaded_at: now,
        reload_success: true,
        last_tick: None,
        snapshot,
        metrics: metrics.clone(),
        listen,
        dirty: false,
    };
    daemon.publish();
    daemon.outbox.send(&daemon.started());

    let mut tasks = JoinSet::new();
    let shares = Shares::default();
    tasks.spawn(shares.clone().keep_reading(cluster, worlds.clone(), clock));
    tasks.spawn(ticker::tick(clock, worlds, shares, measured_to));
    let now = Arc::new(move || clock.now());
    let server = http::Server { snapshots, metrics, requests: requests_to, now };
    tasks.spawn(async move {
        if let Err(error) = http::serve(listener, server).await {
            tracing::error!(%error, "The HTTP server ended");
        }
    });
    if let Some(listening) = listening {
        // Nobody may be waiting to know.
        let _ = listening.send(address);
    }
    let mut stop = std::pin::pin!(async move {
        match stop {
            Some(stop) => {
                let _ = stop.await;
            }
            None => std::future::pending().await,
        }
    });

    let ended = loop {
        tokio::select! {
            biased;
            signal = signals.next() => match signal {
                Signal::Stop => break Ok(()),
                Signal::Reload => daemon.reload(&load),
                Signal::Status => daemon.log_status(),
            },
            () = &mut stop => break Ok(()),
            Some(report) = reports.recv() => daemon.handle(Input::Change(report)),
            Some(request) = requests.recv() => daemon.request(request),
            Some(measured) = measured.recv() => {
                daemon.tick(measured);
                if let Some(guard) = daemon.changes.died().await {
                    break Err(anyhow::anyhow!("the task that changes the guard {guard} died"));
                }
            },
            Some(event) = deliveries.recv() => daemon.delivery(&event),
            Some(ended) = tasks.join_next() => break Err(match ended {
                Ok(()) => anyhow::anyhow!("a task ended that never should"),
                Err(error) => anyhow::Error::from(error).context("a task died"),
            }),
            // Last, so that it is done once when many messages come at once.
            () = std::future::ready(()), if daemon.dirty => daemon.publish(),
        }
    };
    if let Err(error) = &ended {
        tracing::error!(error = format!("{error:#}"), "Ending: what is in flight is finished first");
    }

    // No more decisions. What is in flight is finished, as far as the grace period goes.
    signals.abort_on_next();
    let until = tokio::time::Instant::now() + GRACE;
    telemetry::Event::Stopping { rolling_back: &daemon.rolling_back() }.emit();
    while daemon.changes.count() > 0 {
        tokio::select! {
            Some(report) = reports.recv() => daemon.handle(Input::Change(report)),
            Some(event) = deliveries.recv() => daemon.delivery(&event),
            () = tokio::time::sleep_until(until - GRACE_FOR_NOTIFICATIONS) => break,
            // A change that has ended sends nothing more.
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }
    // A change that has just ended may have left reports.
    while let Ok(report) = reports.try_recv() {
        daemon.handle(Input::Change(report));
    }
    daemon.outbox.send(&daemon.stopping());
    let left = until.saturating_duration_since(tokio::time::Instant::now());
    let undelivered = daemon.outbox.drain(left.min(GRACE_FOR_NOTIFICATIONS)).await;
    while let Ok(event) = deliveries.try_recv() {
        daemon.delivery(&event);
    }
    telemetry::Event::Stopped { undelivered: undelivered.len() }.emit();
    ended
}

impl Daemon {
    /// Hands one input to the engine and carries out what it says.
    fn handle(&mut self, input: Input) {
        let actions = self.engine.handle(input, self.clock.now());
        self.carry_out(actions);
        self.dirty = true;
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        let world = self.world.borrow().clone();
        for action in actions {
            match action {
                // The state is kept in memory.
                Action::Journal => {}
                Action::Change(order) => {
                    if let Some(guard) = world.guard(&order.guard) {
                        self.changes.begin(order, guard);
                    }
                }
                Action::AbandonChange { guard, incident } => self.changes.abandon(&guard, &incident),
                Action::Notify(notification) => {
                    self.outbox.send(&notification);
                    self.announce(&world, &notification);
                }
                Action::Record(record) => telemetry::Event::Decided(&record).emit(),
            }
        }
    }

    fn tick(&mut self, measured: Measured) {
        self.metrics.keep_up();
        if !Arc::ptr_eq(&measured.world, &self.world.borrow()) {
            // Measured by settings that a reload has replaced since; the next tick is measured by the new ones.
            return;
        }
        for query in &measured.queries {
            telemetry::Event::Queried { result: query.result, took: query.took }.emit();
        }
        if measured.missed > 0 {
            telemetry::Event::Missed { ticks: measured.missed }.emit();
        }
        self.last_tick = Some(measured.due);
        self.handle(Input::Tick(measured.tick));
        let (mut known, mut unknown) = (0, 0);
        for trigger in self.engine.status().iter().flat_map(|g| &g.triggers) {
            if trigger.unknown.is_none() {
                known += 1;
            } else {
                unknown += 1;
            }
        }
        let took = Duration::try_from(self.clock.now().duration_since(measured.due)).unwrap_or_default();
        telemetry::Event::Evaluated { due: measured.due, took, known, unknown }.emit();
    }

    fn request(&mut self, request: Request) {
        let input = Input::Command { guard: request.guard, command: request.command };
        let actions = self.engine.handle(input, self.clock.now());
        let refused = actions.iter().find_map(|action| match action {
            Action::Record(Record::Ignored { reason, .. }) => Some(reason.clone()),
            _ => None,
        });
        self.carry_out(actions);
        self.publish();
        // Whoever asked may have gone.
        let _ = request.answer.send(refused.map_or(Ok(()), Err));
    }

    fn delivery(&mut self, event: &DeliveryEvent) {
        telemetry::Event::Delivery(event).emit();
        self.dirty = true;
    }

    fn reload(&mut self, load: &Load) {
        let refuse = |daemon: &mut Self, findings: &[Finding]| {
            daemon.reload_success = false;
            telemetry::Event::ReloadRefused { findings }.emit();
            daemon.publish();
        };
        let settings = match load() {
            Ok(settings) => settings,
            Err(findings) => return refuse(self, &findings),
        };
        if settings.http.listen != self.listen {
            tracing::warn!(listen = %settings.http.listen, "http.listen is read at the start only: restart to use it");
        }
        let world = match World::new(settings) {
            Ok(world) => world,
            Err(error) => return refuse(self, &[Finding::at(String::new(), error.to_string())]),
        };
        let settings = &world.settings;
        if let Err(findings) = self.outbox.reconfigure(&settings.receivers, settings.links.clone(), runbooks(settings))
        {
            return refuse(self, &findings);
        }
        let engine = world.engine_settings(self.dry_run);
        let guards = settings.guards.len();
        self.world.send_replace(world);
        self.reload_success = true;
        self.loaded_at = self.clock.now();
        telemetry::Event::Reloaded { at: self.loaded_at, guards }.emit();
        self.handle(Input::Reconfigure(engine));
    }

    /// Leaves an Event on the Deployments of a rollback's guard, beside everything else.
    fn announce(&self, world: &World, notification: &Notification) {
        let (Some(guard), Some(_)) = (&notification.guard, &notification.rollback) else { return };
        let about_a_rollback = notification.event.as_str().starts_with("rollback.");
        if self.dry_run || !about_a_rollback {
            return;
        }
        let warning = !matches!(notification.event, Event::RollbackSucceeded | Event::RollbackVerified);
        let announcement = Announcement {
            type_: if warning { AnnouncementType::Warning } else { AnnouncementType::Normal },
            reason: reason_word(notification.event),
            note: notification.summary.clone(),
            time: notification.time,
        };
        let steps = world.guard(guard).map(|g| g.steps.as_slice()).unwrap_or_default();
        for step in steps {
            let Step::DeploymentEnv(step) = step else { continue };
            let object =
                ObjectRef { kind: Kind::Deployment, namespace: step.namespace.clone(), name: step.name.clone() };
            let (cluster, announcement) = (self.cluster.clone(), announcement.clone());
            tokio::spawn(async move {
                if let Err(error) = cluster.tell(&object, &announcement).await {
                    telemetry::Event::NotAnnounced { object: &object.to_string(), error: &error }.emit();
                }
            });
        }
    }

    fn log_status(&self) {
        for guard in self.engine.status() {
            tracing::info!(
                guard = guard.guard,
                state = guard.state.as_str(),
                percentage = guard.percentage,
                incident = guard.incident.map(|i| i.id),
                "Status of the guard"
            );
            for trigger in guard.triggers {
                tracing::info!(
                    guard = guard.guard,
                    trigger = trigger.trigger,
                    verdict = trigger.verdict,
                    value = trigger.text,
                    threshold = trigger.threshold_text,
                    held_seconds = trigger.held_seconds,
                    for_seconds = trigger.for_seconds,
                    reason = trigger.reason,
                    "Status of the trigger"
                );
            }
        }
    }

    /// Shows the present state to whoever looks.
    fn publish(&mut self) {
        self.dirty = false;
        let guards = self.engine.status();
        let queues: Vec<Queue> = self
            .outbox
            .depths()
            .into_iter()
            .map(|d| Queue {
                receiver: d.receiver,
                waiting: d.length,
                oldest_seconds: d.oldest.unwrap_or_default().as_secs_f64(),
            })
            .collect();
        let world = self.world.borrow();
        telemetry::Status {
            guards: &guards,
            queues: &queues,
            reload_success: self.reload_success,
            loaded_at: self.loaded_at,
        }
        .publish();
        self.snapshot.send_replace(Snapshot {
            version: crate::VERSION,
            dry_run: self.dry_run,
            started_at: self.started_at,
            last_tick: self.last_tick,
            interval: world.settings.evaluation.interval,
            token_file: world.settings.http.token_file.clone(),
            config_loaded_at: self.loaded_at,
            config_reload_success: self.reload_success,
            guards,
            incidents: self.engine.incidents(),
            receivers: queues,
        });
    }

    /// A notification about Ripcord itself.
    fn notice(&self, event: Event, summary: String) -> Notification {
        let now = self.clock.now();
        Notification {
            id: format!("{}-{}", event.as_str(), now.strftime("%Y%m%dT%H%M%S%.3fZ")),
            event,
            severity: Severity::Info,
            time: now,
            guard: None,
            guards: Vec::new(),
            incident: None,
            summary,
            advice: "Nothing.".to_owned(),
            trigger: None,
            rollback: None,
            dry_run: self.dry_run,
        }
    }

    /// The first notification.
    fn started(&self) -> Notification {
        let guards: Vec<String> = self.world.borrow().settings.guards.iter().map(|g| g.name.clone()).collect();
        let mut named = guards.iter().take(NAMED_GUARDS).cloned().collect::<Vec<_>>().join(", ");
        if guards.len() > NAMED_GUARDS {
            named.push_str(&format!(" and {} more", guards.len() - NAMED_GUARDS));
        }
        self.notice(Event::WatchdogStarted, format!("Ripcord {} watches {named}", crate::VERSION))
    }

    /// The guards whose rollback is not done.
    fn rolling_back(&self) -> Vec<String> {
        let all = self.engine.status().into_iter();
        all.filter(|g| g.state == GuardState::RollingBack).map(|g| g.guard).collect()
    }

    /// The last notification. A rollback that is not done makes it urgent: nobody goes on with it.
    fn stopping(&self) -> Notification {
        let unfinished = self.rolling_back();
        if unfinished.is_empty() {
            return self
                .notice(Event::WatchdogStopping, "Ripcord stops: nothing is watched until it runs again".to_owned());
        }
        let summary = format!("Ripcord stops with a rollback that is not done: {}", unfinished.join(", "));
        Notification {
            severity: Severity::Critical,
            advice: "Look at the share of these guards now: what was sent stays sent, the rest is not done.".to_owned(),
            guards: unfinished,
            ..self.notice(Event::WatchdogStopping, summary)
        }
    }
}

/// `rollback.not_recovered` as Kubernetes writes reasons: `RipcordRollbackNotRecovered`.
fn reason_word(event: Event) -> String {
    let words = event.as_str().split(['.', '_']).map(|word| {
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + letters.as_str())
    });
    std::iter::once("Ripcord".to_owned()).chain(words).collect()
}

fn runbooks(settings: &Settings) -> BTreeMap<String, String> {
    settings.guards.iter().filter_map(|g| Some((g.name.clone(), g.runbook.clone()?))).collect()
}

fn list(findings: &[Finding]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
