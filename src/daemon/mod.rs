//! The daemon: one event loop that hands inputs to the engine and carries out its actions. It holds no policy.
//!
//! - `run`: the start and the loop; `stop`: the end; `signals`: what the operating system says; `reload`: a configuration read anew
//! - `core`: the engine with the journal and the outbox in their order: what may begin when; `simulation` runs it through bad nights
//! - what comes in: `measured` and tried, `asked` by people, `written` or not, `role` (who leads), `delivery` (what became of what was told)
//! - `trouble`: what is wrong with Ripcord itself; `notices`: what it tells of itself; `pages`: every page as the receivers get it
//! - `by_hand`: what a command measures that is carried out without the daemon
//! - `clock`: the time; `world`: the settings in use and what is made of them
//! - `ticker`: measures; `owed`: which ticks were missed; `shares`: reads the cluster; `changes`: moves the traffic; `readiness`: tries whether a rollback would work; `announce`: leaves Events; `heartbeat`: says that it is there
//! - `show`: what is shown
//!
//! Every task but the event loop only sends messages to it. A task that dies ends the process.

mod announce;
mod asked;
mod by_hand;
mod changes;
mod clock;
mod core;
mod delivery;
mod heartbeat;
mod measured;
mod notices;
mod owed;
#[cfg(test)]
mod pages;
mod readiness;
mod reload;
mod role;
mod run;
mod shares;
mod show;
mod signals;
#[cfg(test)]
mod simulation;
mod stop;
mod ticker;
mod trouble;
mod world;
mod written;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::config::{Finding, Settings};
use crate::engine::{Engine, GuardState, Input, Sentence, Watched};
use crate::http::{Curves, Request, Snapshot};
use crate::kubernetes::{Cluster, ElectionEvent, Leadership};
use crate::notify::{DeadLetter, DeliveryEvent, Losses, Outbox};
use crate::state::{Keeper, Report};
use crate::telemetry::{self, Metrics};

pub use clock::Clock;
pub use run::run;
// The parts of a tick, for `benches/tick`.
pub use shares::Seen;
pub use ticker::observe;
pub use world::World;

use self::core::{Core, Effect};
use asked::Asked;
use changes::{Changes, Reported};
use heartbeat::Heart;
use readiness::Tried;
use role::Role;
use ticker::{CatchUp, Measured};
use trouble::Troubles;

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

struct Daemon {
    core: Core,
    role: Role,
    leadership: Leadership,
    /// Whether there are other replicas.
    elects: bool,
    keeper: Option<Keeper>,
    /// Where the state is, for people.
    place: Option<Sentence>,
    /// What the leader has written, on a standby.
    written_by_the_leader: Option<Engine>,
    /// What the leader could not deliver, on a standby.
    lost_by_the_leader: Vec<DeadLetter>,
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

impl Daemon {
    /// Hands one input to the engine and carries out what it says.
    fn handle(&mut self, input: Input) {
        let effects = self.core.handle(input, self.clock.now(), Instant::now(), &self.outbox);
        self.carry_out(effects);
        self.dirty = true;
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

    /// The guards whose rollback is not done.
    fn rolling_back(&self) -> Vec<String> {
        let all = self.core.engine().status().into_iter();
        all.filter(|g| g.state == GuardState::RollingBack).map(|g| g.guard).collect()
    }
}

/// The document that has to be written for these effects, if there is one.
fn ticket(effects: &[Effect]) -> Option<u64> {
    effects.iter().find_map(|effect| match effect {
        Effect::Write { ticket, .. } => Some(*ticket),
        _ => None,
    })
}
