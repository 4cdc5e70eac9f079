//! One task for each recipient: it sends what is waiting, one entry at a time and each incident in order, until it is accepted or dead.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use jiff::SignedDuration;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::config::Receiver;
use crate::engine::Notification;

use super::clock::Clock;
use super::courier::{Courier, Failure, Made};
use super::entry::Entry;
use super::event::DeliveryEvent;
use super::queue::Queue;
use super::turns::{Turn, Turns};

/// After this a page has been overtaken by the day shift; what is older is counted as lost rather than sent as news.
pub(super) const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// How soon a lane that may not send looks whether it may. A lease that was late is renewed within seconds; a page can wait for this
/// much more.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// How often a lane whose receiver is left alone looks whether that is over.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// A defect in the sending of one entry must not silence the receiver for good, so a panic is one more reason for a try to fail.
const DEFECT: &str =
    "it broke off: this is a defect in Ripcord, please report it with the lines logged before this one";

/// Says whether this process may send now: another may have taken over. It is asked before every try and must answer at once.
pub type Permit = Arc<dyn Fn() -> bool + Send + Sync>;

/// What all lanes use.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub(super) queue: Queue,
    pub(super) report: UnboundedSender<DeliveryEvent>,
    pub(super) permit: Permit,
    pub(super) clock: Clock,
    /// Signalled whenever an entry leaves the queue.
    pub(super) settled: Arc<Notify>,
}

impl Surroundings {
    /// Tells what became of an entry. Nobody listens when the daemon is going down, and then nobody misses it.
    pub(super) fn report(&self, event: DeliveryEvent) {
        let _ = self.report.send(event);
    }

    /// Says that an entry was taken out because nobody needs to be told.
    pub(super) fn withdrawn(&self, entry: &Entry, reason: &str) {
        self.report(DeliveryEvent::Withdrawn {
            receiver: entry.receiver.clone(),
            id: entry.id.clone(),
            event: entry.notification.event,
            reason: reason.to_owned(),
        });
        self.settled.notify_waiters();
    }

    /// Gives an entry up and says so. One that waited whether others would acknowledge was nobody's yet, and is not lost.
    pub(super) fn drop_entry(&self, entry: &Entry, reason: &str) {
        if entry.held {
            if self.queue.accepted(&entry.id) {
                self.withdrawn(entry, reason);
            }
            return;
        }
        if self.bury(entry, reason) {
            self.report(DeliveryEvent::Dropped {
                receiver: entry.receiver.clone(),
                id: entry.id.clone(),
                notification: Arc::clone(&entry.notification),
                reason: reason.to_owned(),
            });
        }
        self.settled.notify_waiters();
    }

    fn bury(&self, entry: &Entry, reason: &str) -> bool {
        self.queue.dead(&entry.id, reason, self.clock.in_wall_time(self.clock.now()))
    }
}

/// The entries of one recipient, and the task that sends them. The task ends with the lane.
pub(super) struct Lane {
    shared: Arc<Shared>,
    task: Option<JoinHandle<()>>,
}

struct Shared {
    receiver: String,
    recipient: Option<String>,
    settings: Mutex<Arc<Receiver>>,
    courier: Mutex<Arc<dyn Courier>>,
    wake: Notify,
    hurry: AtomicBool,
    around: Surroundings,
}

/// What is handed over for an entry, and the courier that made it.
struct Prepared {
    courier: Arc<dyn Courier>,
    body: Result<Made, Failure>,
}

/// What a lane remembers of the entries that it has tried.
#[derive(Default)]
struct Memory {
    turns: Turns,
    prepared: BTreeMap<String, Prepared>,
}

impl Memory {
    /// Forgets what is no longer there.
    fn keep(&mut self, heads: &[Entry]) {
        self.turns.keep(heads);
        self.prepared.retain(|id, _| heads.iter().any(|h| h.id == *id));
    }
}

impl Lane {
    /// Starts the task.
    pub(super) fn start(
        settings: Receiver,
        recipient: Option<String>,
        courier: Arc<dyn Courier>,
        around: Surroundings,
    ) -> Self {
        let shared = Arc::new(Shared {
            receiver: settings.name.clone(),
            recipient,
            settings: Mutex::new(Arc::new(settings)),
            courier: Mutex::new(courier),
            wake: Notify::new(),
            hurry: AtomicBool::new(false),
            around,
        });
        let task = tokio::spawn(Arc::clone(&shared).run());
        Self { shared, task: Some(task) }
    }

    /// Whom it sends to.
    pub(super) fn recipient(&self) -> Option<&str> {
        self.shared.recipient.as_deref()
    }

    /// Says that the queue has changed.
    pub(super) fn wake(&self) {
        self.shared.wake.notify_one();
    }

    /// Tries again now, whatever the backoff says.
    pub(super) fn hurry(&self) {
        self.shared.hurry.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// Goes by these settings and sends by this courier from the next try on.
    pub(super) fn reconfigure(&self, settings: Receiver, courier: Arc<dyn Courier>) {
        *self.shared.settings.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
        *self.shared.courier.lock().unwrap_or_else(PoisonError::into_inner) = courier;
        self.hurry();
    }

    /// Stops sending; what is under way is broken off.
    pub(super) fn stop(&mut self) -> Option<JoinHandle<()>> {
        let task = self.task.take();
        if let Some(task) = &task {
            task.abort();
        }
        task
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.stop();
    }
}

fn prepare(courier: &dyn Courier, entry: &Entry) -> Result<Made, Failure> {
    catch_unwind(AssertUnwindSafe(|| courier.prepare(entry)))
        .unwrap_or_else(|_| Err(Failure::Refused(DEFECT.to_owned())))
}

impl Shared {
    async fn run(self: Arc<Self>) {
        let mut memory = Memory::default();
        loop {
            let permitted = (self.around.permit)();
            let changes = self.hold(permitted);
            let mut heads = self.around.queue.heads(&self.receiver, self.recipient.as_deref());
            memory.keep(&heads);
            if self.hurry.swap(false, Ordering::Relaxed) {
                memory.turns.hurry();
            }
            // What is another process's is neither sent nor given up here.
            if !permitted && (!heads.is_empty() || self.around.queue.holds(&self.receiver)) {
                self.wait(Instant::now() + ASK_AGAIN).await;
                continue;
            }
            if let Some(old) = heads.iter().find(|h| self.life_left(h).is_zero()) {
                self.expired(old, &memory.turns);
                continue;
            }
            match memory.turns.next(&heads, Instant::now()) {
                Turn::Idle => match changes {
                    Some(at) => self.wait(at).await,
                    None => self.wake.notified().await,
                },
                Turn::Wait(until) => {
                    let expires = heads.iter().map(|h| Instant::now() + self.life_left(h)).min();
                    self.wait([expires, changes].into_iter().flatten().fold(until, Instant::min)).await;
                }
                Turn::Try(i) => self.attempt(heads.swap_remove(i), &mut memory).await,
            }
        }
    }

    /// Holds back what has to wait for something else than the receiver, and lets out what need not any more. Says when to look again.
    fn hold(&self, permitted: bool) -> Option<Instant> {
        let settings = Arc::clone(&self.settings.lock().unwrap_or_else(PoisonError::into_inner));
        let Surroundings { queue, clock, .. } = &self.around;
        let now = clock.now();
        let mut next = None;
        match settings.escalate_after.map(|after| SignedDuration::try_from(after).unwrap_or(SignedDuration::MAX)) {
            None => queue.release(&self.receiver, now),
            // Whose turn it is to tell is the leader's to know.
            Some(_) if !permitted => {}
            Some(after) => {
                for story in queue.escalate(&self.receiver, after, now) {
                    self.around.report(DeliveryEvent::Escalated { receiver: self.receiver.clone(), story });
                }
                let due = queue.next_escalation(&self.receiver, after);
                next = due.map(|due| Instant::now() + Duration::try_from(due.duration_since(now)).unwrap_or_default());
            }
        }
        let quiet = settings.quiet.as_ref().and_then(|quiet| quiet.until(clock.in_wall_time(now)));
        let may_wait = |notification: &Notification| settings.may_wait(notification);
        let may_wait = quiet.is_some().then_some(&may_wait as &dyn Fn(&Notification) -> bool);
        if queue.hush(&self.receiver, self.recipient.as_deref(), now, may_wait) {
            // Who waits for the queue to be empty need not wait for this.
            self.around.settled.notify_waiters();
            // The wall clock decides, which may be set.
            let look = Instant::now() + LOOK_AGAIN;
            next = Some(next.map_or(look, |next: Instant| next.min(look)));
        }
        next
    }

    /// Waits until this time, or until something has changed.
    async fn wait(&self, until: Instant) {
        tokio::select! {
            () = sleep_until(until) => {}
            () = self.wake.notified() => {}
        }
    }

    /// How long an entry has until it is given up.
    fn life_left(&self, entry: &Entry) -> Duration {
        MAX_AGE.saturating_sub(self.around.clock.age(entry.queued_at))
    }

    /// The same bytes on every try, as long as the courier is the same.
    fn prepare(&self, entry: &Entry, before: Option<Prepared>) -> Prepared {
        let courier = Arc::clone(&self.courier.lock().unwrap_or_else(PoisonError::into_inner));
        match before {
            Some(same) if Arc::ptr_eq(&same.courier, &courier) => same,
            _ => {
                let body = prepare(&*courier, entry);
                if let Ok(Made { shortfall: Some(reason), .. }) = &body {
                    self.around.report(DeliveryEvent::Simplified {
                        receiver: self.receiver.clone(),
                        id: entry.id.clone(),
                        event: entry.notification.event,
                        reason: reason.clone(),
                    });
                }
                Prepared { body, courier }
            }
        }
    }

    /// One try.
    async fn attempt(&self, entry: Entry, memory: &mut Memory) {
        let prepared = self.prepare(&entry, memory.prepared.remove(&entry.id));
        let outcome = match &prepared.body {
            Ok(Made { body, .. }) => {
                let delivery = AssertUnwindSafe(prepared.courier.deliver(&entry, body)).catch_unwind();
                delivery.await.unwrap_or_else(|_| Err(Failure::retry(DEFECT)))
            }
            Err(failure) => Err(failure.clone()),
        };
        match outcome {
            Ok(()) => {
                let attempts = memory.turns.failed_tries(&entry.id).saturating_add(1);
                memory.turns.succeeded();
                self.accepted(&entry, attempts);
            }
            Err(Failure::Refused(reason)) => self.dead(&entry, reason),
            Err(Failure::Retry { error, after }) => {
                let delay = memory.turns.failed(&entry.id, error.clone(), after, fastrand::f64(), Instant::now());
                self.around.report(DeliveryEvent::Retrying {
                    receiver: self.receiver.clone(),
                    id: entry.id.clone(),
                    event: entry.notification.event,
                    attempt: memory.turns.failed_tries(&entry.id),
                    delay,
                    error,
                });
                memory.prepared.insert(entry.id, prepared);
            }
        }
    }

    fn accepted(&self, entry: &Entry, attempts: u32) {
        // What was dropped meanwhile was counted as lost already, and what is another process's now is that one's to count.
        if self.around.queue.accepted(&entry.id) {
            self.around.report(DeliveryEvent::Accepted {
                receiver: self.receiver.clone(),
                id: entry.id.clone(),
                event: entry.notification.event,
                took: self.around.clock.age(entry.queued_at),
                attempts,
            });
        }
        self.around.settled.notify_waiters();
    }

    fn expired(&self, entry: &Entry, turns: &Turns) {
        let last = turns.last_error(&entry.id).unwrap_or("it was not tried in this time");
        self.dead(entry, format!("not accepted within {} hours; last: {last}", MAX_AGE.as_secs() / 3600));
    }

    fn dead(&self, entry: &Entry, reason: String) {
        if self.around.bury(entry, &reason) {
            self.around.report(DeliveryEvent::Dead {
                receiver: self.receiver.clone(),
                id: entry.id.clone(),
                notification: Arc::clone(&entry.notification),
                reason,
            });
        }
        self.around.settled.notify_waiters();
    }
}
