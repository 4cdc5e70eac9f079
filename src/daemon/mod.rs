//! The daemon: one event loop that hands inputs to the engine and carries out its actions. It holds no policy.
//!
//! - `core`: the engine with the journal and the outbox in their order: what may begin when; `simulation` runs it through bad nights
//! - `role`: who leads; `trouble`: what is wrong with Ripcord itself; `notices`: what it tells of itself
//! - `by_hand`: what a command measures that is carried out without the daemon
//! - `clock`: the time; `world`: the settings in use and what is made of them
//! - `ticker`: measures; `owed`: which ticks were missed; `shares`: reads the cluster; `changes`: moves the traffic; `readiness`: tries whether a rollback would work; `announce`: leaves Events; `heartbeat`: says that it is there
//! - `signals`: what the operating system says; `show`: what is shown; `stop`: the end
//!
//! Every task but the event loop only sends messages to it. A task that dies ends the process.

mod announce;
mod by_hand;
mod changes;
mod clock;
mod core;
mod heartbeat;
mod notices;
mod owed;
#[cfg(test)]
mod pages;
mod readiness;
mod role;
mod shares;
mod show;
mod signals;
#[cfg(test)]
mod simulation;
mod stop;
mod ticker;
mod trouble;
mod world;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::config::{Finding, ObjectName, Settings, StatePlace};
use crate::engine::{
    Engine, GuardState, Input, Language, Notification, Record, Tick, TickKind, TriggerView, Verdict, Watched,
};
use crate::http::{self, Curves, Refusal, Request, Snapshot};
use crate::kubernetes::{
    Cluster, Election, ElectionEvent, Kind as ObjectKind, Leadership, LeaseSettings, LossReason, ObjectRef, election,
};
use crate::notify::{Addresses, Contents, DeliveryEvent, Losses, Outbox};
use crate::prometheus::QueryOutcome;
use crate::state::{ConfigMapPlace, FilePlace, Keeper, Place, Report};
use crate::telemetry::{self, Metrics};

pub use clock::Clock;
// The parts of a tick, for `benches/tick`.
pub use shares::Seen;
pub use ticker::observe;
pub use world::World;

use self::core::{Core, Effect, Post};
use changes::{Changes, Reported};
use heartbeat::Heart;
use readiness::Tried;
use role::Role;
use shares::Shares;
use signals::{Signal, Signals};
use ticker::{CatchUp, Measured};
use trouble::{Kind, Troubles};

/// The document is written at least this often while a replica leads: that much history, besides the time that it was away, is replayed
/// after a crash. It is also how a leader that was cut off learns of it on a quiet night.
const CHECKPOINT: Duration = Duration::from_secs(60);

/// Messages that may wait for the event loop. It handles one in well under a millisecond; a full channel slows the senders down.
const MESSAGES: usize = 256;

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
    /// Decide and tell, change nothing. It keeps its state in memory and takes no lease: it must not be in the way of the real one.
    pub dry_run: bool,
    /// A person's own, for one command: it carries out what it is asked for, and neither measures nor decides by itself.
    pub by_hand: bool,
    /// The metrics of this process.
    pub metrics: Metrics,
    /// Where the HTTP server is to be known to listen, once it does.
    pub listening: Option<oneshot::Sender<std::net::SocketAddr>>,
    /// Ends the daemon as SIGTERM would, when it is sent or dropped; `None` leaves that to the signals.
    pub stop: Option<oneshot::Receiver<()>>,
}

/// What the tasks tell the event loop.
struct Inbox {
    reports: mpsc::UnboundedReceiver<Reported>,
    deliveries: mpsc::UnboundedReceiver<DeliveryEvent>,
    kept: mpsc::UnboundedReceiver<Report>,
    elections: mpsc::UnboundedReceiver<ElectionEvent>,
    requests: mpsc::Receiver<Request>,
    measured: mpsc::Receiver<Measured>,
    tried: mpsc::Receiver<Tried>,
}

/// A request that is carried out and not written yet.
struct Asked {
    ticket: u64,
    /// The incident that tells of it.
    incident: Option<String>,
    answer: oneshot::Sender<Result<Option<String>, Refusal>>,
}

struct Daemon {
    core: Core,
    role: Role,
    leadership: Leadership,
    /// Whether there are other replicas.
    elects: bool,
    keeper: Option<Keeper>,
    /// Where the state is, for people.
    place: Option<String>,
    /// What the leader has written, on a standby.
    written_by_the_leader: Option<Engine>,
    saved_at: Option<Timestamp>,
    state_error: Option<String>,
    checkpoint: Instant,
    troubles: Troubles,
    world: watch::Sender<Arc<World>>,
    catch_up: watch::Sender<CatchUp>,
    /// Who waits to hear that a request is carried out, and for which ticket.
    asked: Vec<Asked>,
    /// Which changes wait until the objects that they saved are written.
    saving: Vec<(u64, oneshot::Sender<()>)>,
    /// Missed ticks that were handed to the engine since the last live one: how many, the first and the last.
    replayed: Option<(u64, Timestamp, Timestamp)>,
    changes: Changes,
    outbox: Outbox,
    losses: Losses,
    /// Whether the outbox holds this replica's pages about itself only, which it may send without leading.
    own_pages: Arc<AtomicBool>,
    heart: Heart,
    cluster: Cluster,
    clock: Clock,
    dry_run: bool,
    by_hand: bool,
    /// Whether this replica leads, for who acts only then.
    leading: watch::Sender<bool>,
    watched: watch::Sender<Vec<Watched>>,
    started_at: Timestamp,
    loaded_at: Timestamp,
    reload_success: bool,
    last_tick: Option<Timestamp>,
    snapshot: watch::Sender<Snapshot>,
    curves: Curves,
    gauges: telemetry::Gauges,
    metrics: Metrics,
    listen: std::net::SocketAddr,
    /// The receivers that could not be reached the last time.
    unreachable: BTreeSet<String>,
    /// Whether something changed that is not shown yet.
    dirty: bool,
}

/// Runs until a signal ends it. The error is why it could not go on.
pub async fn run(setup: Setup) -> anyhow::Result<()> {
    let Setup { settings, load, cluster, clock, dry_run, by_hand, metrics, listening, stop } = setup;
    let (reports_to, reports) = mpsc::unbounded_channel();
    let (delivery_to, deliveries) = mpsc::unbounded_channel();
    let (kept_to, kept) = mpsc::unbounded_channel();
    let (elections_to, elections) = mpsc::unbounded_channel();
    let (requests_to, requests) = mpsc::channel(MESSAGES);
    let (measured_to, measured) = mpsc::channel(1);
    let (tried_to, tried) = mpsc::channel(1);
    let mut inbox = Inbox { reports, deliveries, kept, elections, requests, measured, tried };
    let mut signals = Signals::listen().context("cannot listen for signals")?;

    let listen = settings.http.listen;
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen} (http.listen): is another Ripcord running?"))?;
    let address = listener.local_addr().context("the address of the HTTP server")?;

    let identity = election::new_identity();
    let lease = settings.leader_election.as_ref().filter(|_| !dry_run);
    let election = lease.map(|lease| {
        let ObjectName { namespace, name } = lease.lease.clone();
        let object = ObjectRef { kind: ObjectKind::Lease, namespace, name };
        let lease = LeaseSettings { object, duration: lease.lease_duration };
        Election::start(cluster.clone(), lease, identity.clone(), elections_to)
    });
    let leadership = election.as_ref().map_or_else(Leadership::alone, Election::leadership);
    let (keeper, place) = match keep(&settings, &cluster, dry_run, kept_to)? {
        Some((keeper, place)) => (Some(keeper), Some(place)),
        None => (None, None),
    };
    let own_pages = Arc::new(AtomicBool::new(true));
    let may_send = {
        let (leadership, own_pages) = (leadership.clone(), own_pages.clone());
        Arc::new(move || own_pages.load(Ordering::SeqCst) || leadership.may_act())
    };
    let outbox = Outbox::start(&settings.receivers, Addresses::of_settings(&settings), delivery_to, may_send)
        .map_err(|findings| anyhow::anyhow!("{}", list(&findings)))?;
    let world = World::new(settings)?;
    let now = clock.now();
    telemetry::Event::Started { guards: world.settings.guards.len(), dry_run }.emit();
    for finding in &world.settings.warnings {
        tracing::warn!(%finding, "Worth a second look");
    }
    telemetry::Event::Reloaded { at: now, guards: world.settings.guards.len() }.emit();

    let writer = keeper.as_ref().map(|_| identity);
    let (snapshot, snapshots) = watch::channel(Snapshot::default());
    let curves = Curves::default();
    let (catch_up, owed) = watch::channel(CatchUp::default());
    let heart = Heart::new(world.settings.heartbeat.as_ref());
    let core = Core::new(world.engine_settings(dry_run), writer);
    let (world, worlds) = watch::channel(world);
    let (leading, leads) = watch::channel(false);
    let (watched, watches) = watch::channel(Vec::new());
    let mut daemon = Daemon {
        core,
        role: Role::Standby,
        elects: election.is_some(),
        keeper,
        place,
        written_by_the_leader: None,
        saved_at: None,
        state_error: None,
        checkpoint: Instant::now(),
        troubles: Troubles::default(),
        changes: Changes::new(cluster.clone(), clock, reports_to, leadership.permit()),
        leadership,
        world,
        catch_up,
        asked: Vec::new(),
        saving: Vec::new(),
        replayed: None,
        outbox,
        losses: Losses::default(),
        own_pages,
        heart,
        cluster: cluster.clone(),
        clock,
        dry_run,
        by_hand,
        leading,
        watched,
        started_at: now,
        loaded_at: now,
        reload_success: true,
        last_tick: None,
        snapshot,
        curves: curves.clone(),
        gauges: telemetry::Gauges::default(),
        metrics: metrics.clone(),
        listen,
        unreachable: BTreeSet::new(),
        dirty: false,
    };
    daemon.publish();
    if !daemon.elects {
        daemon.elected();
    }

    let mut tasks = JoinSet::new();
    if by_hand {
        tasks.spawn(async move {
            let _open = (owed, watches, tried_to);
            by_hand::look_once(cluster, worlds, leads, clock, measured_to).await;
        });
    } else {
        let shares = Shares::new(watches);
        tasks.spawn(shares.clone().keep_reading(cluster.clone(), worlds.clone(), clock));
        let permit = daemon.leadership.permit();
        tasks.spawn(readiness::keep_trying(cluster, worlds.clone(), leads, clock, permit, tried_to));
        tasks.spawn(ticker::tick(clock, worlds, owed, shares, measured_to));
    }
    let now = Arc::new(move || clock.now());
    let server = http::Server { snapshots, curves, metrics, requests: requests_to, now };
    tasks.spawn(http::serve(listener, server));
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
        let patience = daemon.core.patient_until();
        tokio::select! {
            biased;
            signal = signals.next() => match signal {
                Signal::Stop => break Ok(()),
                Signal::Reload => daemon.reload(&load),
                Signal::Status => daemon.log_status(),
            },
            () = &mut stop => break Ok(()),
            // Who leads comes before what the leader is to do.
            event = inbox.elections.recv(), if daemon.elects => match event {
                Some(event) => daemon.election(event),
                None => break Err(anyhow::anyhow!("the task that stands for election died")),
            },
            report = inbox.kept.recv(), if daemon.keeper.is_some() => match report.map(|report| daemon.kept(report)) {
                Some(Ok(())) => {}
                Some(Err(fenced)) => break Err(fenced),
                None => break Err(anyhow::anyhow!("the task that keeps the state died")),
            },
            () = until(patience) => daemon.out_of_patience(),
            Some(reported) = inbox.reports.recv() => daemon.reported(reported),
            Some(request) = inbox.requests.recv() => daemon.request(request),
            Some(measured) = inbox.measured.recv() => {
                daemon.tick(measured);
                if let Some(guard) = daemon.changes.died().await {
                    break Err(anyhow::anyhow!("the task that changes the guard {guard} died"));
                }
            },
            Some(tried) = inbox.tried.recv() => daemon.tried(tried),
            Some(event) = inbox.deliveries.recv() => daemon.delivery(&event),
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

    signals.abort_on_next();
    daemon.stop(&mut inbox, election).await;
    ended
}

/// The task that keeps the state, and where it does so. A dry run keeps none.
fn keep(
    settings: &Settings,
    cluster: &Cluster,
    dry_run: bool,
    reports: mpsc::UnboundedSender<Report>,
) -> anyhow::Result<Option<(Keeper, String)>> {
    Ok(match &settings.state {
        _ if dry_run => None,
        None => None,
        Some(StatePlace::File(path)) => {
            let place = FilePlace::open(path).context("cannot run")?;
            let name = place.name();
            Some((Keeper::start(place, reports), name))
        }
        Some(StatePlace::ConfigMap(object)) => {
            let place = ConfigMapPlace::new(cluster.clone(), object);
            let name = place.name();
            Some((Keeper::start(place, reports), name))
        }
    })
}

impl Daemon {
    /// Hands one input to the engine and carries out what it says.
    fn handle(&mut self, input: Input) {
        let effects = self.core.handle(input, self.clock.now(), Instant::now(), &self.outbox);
        self.carry_out(effects);
        self.dirty = true;
    }

    /// Hands a tick to the engine, and notes what every trigger says of it for the charts.
    fn handle_tick(&mut self, tick: Tick, due: Timestamp) {
        self.handle(Input::Tick(tick));
        if !self.by_hand {
            let interval = self.world.borrow().settings.evaluation.interval;
            self.curves.note(due, interval, self.core.engine().triggers());
        }
    }

    /// What became of a change.
    fn reported(&mut self, reported: Reported) {
        let input = Input::Change(reported.report);
        let effects = self.core.handle(input, self.clock.now(), Instant::now(), &self.outbox);
        // Without a document there is nothing to wait for: the sender is dropped.
        self.saving.extend(ticket(&effects).zip(reported.written));
        self.carry_out(effects);
        self.dirty = true;
    }

    /// What was found when it was tried whether rollbacks would work.
    fn tried(&mut self, tried: Tried) {
        if !self.leads() || !Arc::ptr_eq(&tried.world, &self.world.borrow()) {
            return;
        }
        for report in tried.guards {
            self.handle(Input::Readiness(report));
        }
        // A receiver that is being restarted is away for one look.
        let again = tried.unreachable.iter().filter(|(name, _)| self.unreachable.contains(name));
        let errors: Vec<String> = again.map(|(name, error)| format!("{name}: {error}")).collect();
        if !errors.is_empty() {
            self.troubles.note(Kind::NotReached, &errors.join("; "), self.clock.now());
        } else if tried.unreachable.is_empty() {
            self.no_longer(Kind::NotReached);
        }
        self.unreachable = tried.unreachable.into_iter().map(|(name, _)| name).collect();
    }

    /// Tells something about Ripcord itself.
    fn tell(&mut self, notification: &Notification) {
        self.tell_all_but(notification, None);
    }

    fn tell_all_but(&mut self, notification: &Notification, except: Option<&str>) {
        let mut notification = notification.clone();
        notification.dry_run = self.dry_run;
        if !self.world.borrow().settings.wants(Language::Chinese) {
            notification.chinese = None;
        }
        let (now, at) = (self.clock.now(), Instant::now());
        if self.role == Role::Leading {
            let effects = self.core.tell(&notification, except, now, at, &self.outbox);
            self.carry_out(effects);
        } else {
            // Nothing is written by who does not lead.
            Post::put(&self.outbox, &notification, 0, except);
        }
        self.dirty = true;
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        self.answer();
        let world = self.world.borrow().clone();
        for effect in effects {
            match effect {
                Effect::Write { ticket, document } => {
                    self.checkpoint = Instant::now();
                    if let Some(keeper) = &self.keeper {
                        keeper.save(ticket, document);
                    }
                }
                Effect::Begin(order) => {
                    if let Some(guard) = world.guard(&order.guard) {
                        self.changes.begin(order, guard);
                    }
                }
                Effect::Abandon { guard, incident } => self.changes.abandon(&guard, &incident),
                Effect::Announce(notification) => {
                    if !self.dry_run {
                        announce::announce(&self.cluster, &world, &notification);
                    }
                }
                Effect::Record(record) => telemetry::Event::Decided(&record).emit(),
            }
        }
    }

    /// Writes the document because something that is kept has changed by itself.
    fn save(&mut self) {
        if self.role == Role::Leading
            && let Some(write) = self.core.save(self.clock.now(), &self.outbox)
        {
            self.carry_out(vec![write]);
        }
    }

    fn election(&mut self, event: ElectionEvent) {
        self.dirty = true;
        match event {
            // A tick may have seen it first.
            ElectionEvent::Elected => {
                if self.role == Role::Standby {
                    self.elected();
                }
            }
            ElectionEvent::Lost(reason) => {
                let had_it = self.role != Role::Standby;
                self.stand_by(&reason.to_string());
                if had_it && matches!(reason, LossReason::NotRenewed { .. }) {
                    self.troubles.note(Kind::CutOff, &reason.to_string(), self.clock.now());
                }
            }
            ElectionEvent::Holder(Some(_)) => self.in_touch(),
            ElectionEvent::Holder(None) => {}
            ElectionEvent::Failing(error) => {
                telemetry::Event::LeaseFailing { error: &error }.emit();
                if self.role == Role::Standby {
                    let kind = if self.leader().is_none() { Kind::CutOff } else { Kind::OutOfSight };
                    self.troubles.note(kind, &error, self.clock.now());
                }
            }
            ElectionEvent::Recovered => {
                telemetry::Event::LeaseRecovered.emit();
                if self.leader().is_some() {
                    self.in_touch();
                }
            }
        }
    }

    /// Somebody leads, and this replica sees it.
    fn in_touch(&mut self) {
        self.no_longer(Kind::CutOff);
        self.no_longer(Kind::OutOfSight);
    }

    /// What has waited too long for the journal begins.
    fn out_of_patience(&mut self) {
        let effects = self.core.out_of_patience(Instant::now(), &self.outbox);
        self.carry_out(effects);
        // A place that hangs says nothing of itself.
        let error = format!("{} does not answer", self.place.as_deref().unwrap_or("its place"));
        self.troubles.note(Kind::NotSaved, &error, self.clock.now());
        self.dirty = true;
    }

    /// What became of the document. The error is that another process has written it and this one has no way to know who leads.
    fn kept(&mut self, report: Report) -> anyhow::Result<()> {
        self.dirty = true;
        let now = self.clock.now();
        match report {
            Report::Taken(taken) => {
                if self.role == Role::TakingUp {
                    self.lead(*taken);
                }
            }
            Report::NotTaken { error } => {
                if self.role == Role::TakingUp {
                    telemetry::Event::NotRestored { error: &error }.emit();
                    self.troubles.note(Kind::NotRead, &error, now);
                    self.state_error = Some(error);
                }
            }
            Report::Seen(document) => {
                let saved_at = document.as_ref().map(|d| d.saved_at);
                for kind in [Kind::NotSaved, Kind::NotRead] {
                    // Another replica has done it since.
                    if self.troubles.since(kind) < saved_at {
                        self.no_longer(kind);
                    }
                }
                self.seen(document.map(|d| d.engine));
            }
            Report::Saved { ticket, left_out } => {
                telemetry::Event::Journalled { left_out }.emit();
                self.saved_at = Some(now);
                self.state_error = None;
                self.no_longer(Kind::NotSaved);
                let effects = self.core.settled(ticket, &self.outbox);
                self.carry_out(effects);
            }
            Report::Failed { ticket, error } => {
                telemetry::Event::NotJournalled { error: &error }.emit();
                if self.role == Role::Leading {
                    self.troubles.note(Kind::NotSaved, &error, now);
                    self.state_error = Some(error);
                    let effects = self.core.settled(ticket, &self.outbox);
                    self.carry_out(effects);
                }
            }
            Report::Conflict { error } => {
                telemetry::Event::Fenced { error: &error }.emit();
                if !self.elects {
                    self.stand_by("another process writes the state");
                    anyhow::bail!(
                        "{error}. Only one Ripcord can use this state: stop the other, or give each a state of its own, or configure \
                         leader_election in both"
                    );
                }
                if self.role != Role::Standby {
                    // If the lease is this one's all the same, it takes up at the next tick what was written meanwhile.
                    self.stand_by("another replica has written the state");
                }
            }
        }
        Ok(())
    }

    fn no_longer(&mut self, kind: Kind) {
        if let Some(notification) = self.troubles.over(kind, self.clock.now()) {
            self.tell(&notification);
        }
    }

    fn tick(&mut self, measured: Measured) {
        self.metrics.keep_up();
        if !Arc::ptr_eq(&measured.world, &self.world.borrow()) {
            // Measured by settings that a reload has replaced since; the next tick is measured by the new ones.
            return;
        }
        if measured.generation != self.catch_up.borrow().generation {
            // The history that has to come before it is being fetched.
            return;
        }
        if measured.tick.kind == TickKind::History {
            if self.by_hand {
                // All that is measured then: the shares.
                self.last_tick = Some(measured.due);
            }
            let (ticks, from, _) = self.replayed.unwrap_or((0, measured.due, measured.due));
            self.replayed = Some((ticks + 1, from, measured.due));
            return self.handle_tick(measured.tick, measured.due);
        }
        for query in &measured.queries {
            telemetry::Event::Queried { result: query.result, took: query.took }.emit();
        }
        if let Some((ticks, from, to)) = self.replayed.take() {
            telemetry::Event::Replayed { ticks, from, to }.emit();
        }
        if measured.missed > 0 {
            telemetry::Event::Missed { ticks: measured.missed }.emit();
        }
        self.last_tick = Some(measured.due);
        let mut tick = measured.tick;
        if self.role != Role::Leading {
            // A standby keeps its eyes open, and nothing fires.
            tick.kind = TickKind::History;
        }
        self.handle_tick(tick, measured.due);
        let is_known = |trigger: &TriggerView<'_>| matches!(trigger.verdict, Some(verdict) if !matches!(verdict, Verdict::Unknown(_)));
        let known = self.core.engine().triggers().filter(is_known).count();
        let unknown = self.core.engine().triggers().count() - known;
        let now = self.clock.now();
        let took = Duration::try_from(now.duration_since(measured.due)).unwrap_or_default();
        telemetry::Event::Evaluated { due: measured.due, took, known, unknown }.emit();
        self.look_after_itself(now);
        if self.leads() && self.leadership.may_act() && measured.queries.iter().any(QueryOutcome::is_ok) {
            self.heart.beat(measured.due);
        }
    }

    /// What is done at each tick besides deciding.
    fn look_after_itself(&mut self, now: Timestamp) {
        let blind_after = self.world.borrow().settings.evaluation.blind_after;
        for notification in self.troubles.due(blind_after, now) {
            self.tell(&notification);
        }
        self.tell_of_losses(now);
        match self.role {
            Role::Leading if self.checkpoint.elapsed() >= CHECKPOINT => self.save(),
            // It holds the lease and does not lead: its document was written by somebody else, and is taken up now.
            Role::Standby if self.elects && self.leadership.may_act() => self.elected(),
            Role::Standby => {
                if let Some(keeper) = &self.keeper {
                    keeper.look();
                }
            }
            _ => {}
        }
    }

    /// Tells the other receivers what one did not get.
    fn tell_of_losses(&mut self, now: Timestamp) {
        for lost in self.losses.due(now) {
            self.tell_all_but(&lost.notification, Some(&lost.receiver));
        }
    }

    fn request(&mut self, request: Request) {
        if !self.leads() {
            let refusal = Refusal::NotLeading { leader: self.leader() };
            // Whoever asked may have gone.
            let _ = request.answer.send(Err(refusal));
            return;
        }
        let guard = request.guard;
        let input = Input::Command { guard: guard.clone(), command: request.command };
        let effects = self.core.handle(input, self.clock.now(), Instant::now(), &self.outbox);
        let refused = effects.iter().find_map(|effect| match effect {
            Effect::Record(Record::Ignored { reason, .. }) => Some(Refusal::Ignored(reason.clone())),
            _ => None,
        });
        let written = ticket(&effects);
        let incident = self.story_of(&guard);
        self.carry_out(effects);
        self.publish();
        match (refused, written) {
            // What is said to be done outlives a crash: the answer waits for the journal, as everything does.
            (None, Some(ticket)) => self.asked.push(Asked { ticket, incident, answer: request.answer }),
            (refused, _) => {
                let _ = request.answer.send(refused.map_or(Ok(incident), Err));
            }
        }
    }

    /// Answers those whose request is written, or nearly so.
    fn answer(&mut self) {
        let written = self.core.written();
        for Asked { incident, answer, .. } in self.asked.extract_if(.., |asked| asked.ticket <= written) {
            // Whoever asked may have gone.
            let _ = answer.send(Ok(incident));
        }
        for (_, saved) in self.saving.extract_if(.., |(ticket, _)| *ticket <= written) {
            let _ = saved.send(());
        }
    }

    /// The incident that tells what becomes of a guard now.
    fn story_of(&self, guard: &str) -> Option<String> {
        let status = self.core.engine().status().into_iter().find(|g| g.guard == guard)?;
        status.shift.or(status.incident).map(|incident| incident.id)
    }

    fn delivery(&mut self, event: &DeliveryEvent) {
        telemetry::Event::Delivery(event).emit();
        self.dirty = true;
        match event {
            DeliveryEvent::Retrying { .. } => return,
            DeliveryEvent::Accepted { .. } | DeliveryEvent::Withdrawn { .. } | DeliveryEvent::Escalated { .. } => {}
            DeliveryEvent::Dead { .. } | DeliveryEvent::Dropped { .. } => {
                self.losses.note(event);
                self.tell_of_losses(self.clock.now());
            }
        }
        self.save();
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
        self.say_what_needs_a_restart(&settings);
        let world = match World::new(settings) {
            Ok(world) => world,
            Err(error) => return refuse(self, &[Finding::at(String::new(), error.to_string())]),
        };
        let settings = &world.settings;
        if let Err(findings) = self.outbox.reconfigure(&settings.receivers, Addresses::of_settings(settings)) {
            return refuse(self, &findings);
        }
        self.heart.reconfigure(settings.heartbeat.as_ref());
        let engine = world.engine_settings(self.dry_run);
        let guards = settings.guards.len();
        self.world.send_replace(world);
        self.reload_success = true;
        self.loaded_at = self.clock.now();
        telemetry::Event::Reloaded { at: self.loaded_at, guards }.emit();
        if self.role == Role::Leading {
            self.handle(Input::Reconfigure(engine));
        } else {
            self.core.stand_by(engine);
            self.dirty = true;
        }
        self.owe();
    }

    /// Has the ticks fetched that are not in the clocks. Those that are on their way belong to what was before, and are measured again.
    fn owe(&self) {
        let since = self.core.engine().owed_since(self.clock.now());
        self.catch_up.send_modify(|owed| *owed = CatchUp { generation: owed.generation + 1, since: Some(since) });
    }

    /// What is read at the start only.
    fn say_what_needs_a_restart(&self, new: &Settings) {
        let world = self.world.borrow();
        let old = &world.settings;
        let changed = [
            ("http.listen", new.http.listen != self.listen),
            ("state", new.state != old.state),
            ("leader_election", new.leader_election != old.leader_election),
        ];
        for (key, _) in changed.iter().filter(|(_, changed)| *changed) {
            tracing::warn!(key, "This is read at the start only: restart to use it");
        }
    }

    /// The guards whose rollback is not done.
    fn rolling_back(&self) -> Vec<String> {
        let all = self.core.engine().status().into_iter();
        all.filter(|g| g.state == GuardState::RollingBack).map(|g| g.guard).collect()
    }
}

impl Post for Outbox {
    fn put(&self, notification: &Notification, ticket: u64, except: Option<&str>) {
        match except {
            Some(receiver) => self.put_except(notification, ticket, receiver),
            None => Self::put(self, notification, ticket),
        }
    }

    fn open(&self, ticket: u64) {
        Self::open(self, ticket);
    }

    fn contents(&self) -> Contents {
        Self::contents(self)
    }
}

/// The document that has to be written for these effects, if there is one.
fn ticket(effects: &[Effect]) -> Option<u64> {
    effects.iter().find_map(|effect| match effect {
        Effect::Write { ticket, .. } => Some(*ticket),
        _ => None,
    })
}

/// Waits until then, or for ever.
async fn until(then: Option<Instant>) {
    match then {
        Some(then) => sleep_until(then).await,
        None => std::future::pending().await,
    }
}

fn list(findings: &[Finding]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
