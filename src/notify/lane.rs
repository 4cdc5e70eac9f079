//! One task for each recipient: its entries go out one after the other, each until it is accepted or dead.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::backoff;
use super::clock::Clock;
use super::courier::{Courier, Failure};
use super::event::DeliveryEvent;
use super::store::{Entry, Store};

/// After this a page has been overtaken by the day shift; what is older is counted as lost rather than sent as news.
pub(super) const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// A defect in the sending of one entry must not silence the receiver for good, so a panic is one more reason for a try to fail.
const DEFECT: &str =
    "it broke off: this is a defect in Ripcord, please report it with the lines logged before this one";

/// What all lanes use.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub(super) store: Arc<dyn Store>,
    pub(super) report: UnboundedSender<DeliveryEvent>,
    pub(super) clock: Clock,
    /// Signalled whenever an entry leaves the store.
    pub(super) settled: Arc<Notify>,
}

impl Surroundings {
    /// Tells what became of an entry. Nobody listens when the daemon is going down, and then nobody misses it.
    pub(super) fn report(&self, event: DeliveryEvent) {
        let _ = self.report.send(event);
    }

    /// Gives an entry up and says so.
    pub(super) fn drop_entry(&self, entry: &Entry, reason: &str) {
        if self.store.dead(&entry.id, reason) {
            self.report(DeliveryEvent::Dropped {
                receiver: entry.receiver.clone(),
                id: entry.id.clone(),
                event: entry.notification.event,
                severity: entry.notification.severity,
                reason: reason.to_owned(),
            });
            self.settled.notify_waiters();
        }
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
    courier: Mutex<Arc<dyn Courier>>,
    wake: Notify,
    hurry: AtomicBool,
    around: Surroundings,
}

/// The entry that is being sent, and how that went so far.
struct Current {
    entry: Entry,
    courier: Arc<dyn Courier>,
    body: Result<Vec<u8>, Failure>,
    failed: u32,
    next: Instant,
    last_error: Option<String>,
}

impl Lane {
    /// Starts the task.
    pub(super) fn start(
        receiver: &str,
        recipient: Option<String>,
        courier: Arc<dyn Courier>,
        around: Surroundings,
    ) -> Self {
        let shared = Arc::new(Shared {
            receiver: receiver.to_owned(),
            recipient,
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

    /// Says that the store has changed.
    pub(super) fn wake(&self) {
        self.shared.wake.notify_one();
    }

    /// Tries again now, whatever the backoff says.
    pub(super) fn hurry(&self) {
        self.shared.hurry.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// Sends by this courier from the next try on.
    pub(super) fn replace_courier(&self, courier: Arc<dyn Courier>) {
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

fn prepare(courier: &dyn Courier, entry: &Entry) -> Result<Vec<u8>, Failure> {
    catch_unwind(AssertUnwindSafe(|| courier.prepare(entry)))
        .unwrap_or_else(|_| Err(Failure::Refused(DEFECT.to_owned())))
}

impl Shared {
    async fn run(self: Arc<Self>) {
        let mut current: Option<Current> = None;
        loop {
            let Some(entry) = self.head() else {
                current = None;
                self.wake.notified().await;
                continue;
            };
            let mut at_hand = self.take_up(entry, current.take());
            let expires_in = MAX_AGE.saturating_sub(self.around.clock.age(at_hand.entry.queued_at));
            if expires_in.is_zero() {
                self.expired(&at_hand);
                continue;
            }
            if self.hurry.swap(false, Ordering::Relaxed) {
                at_hand.next = Instant::now();
            }
            if at_hand.next > Instant::now() {
                let until = at_hand.next.min(Instant::now() + expires_in);
                tokio::select! {
                    () = sleep_until(until) => {}
                    () = self.wake.notified() => {}
                }
                current = Some(at_hand);
                continue;
            }
            current = self.attempt(at_hand).await;
        }
    }

    /// The first of the recipient's entries.
    fn head(&self) -> Option<Entry> {
        let pending = self.around.store.pending(&self.receiver);
        pending.into_iter().find(|e| e.recipient == self.recipient)
    }

    /// Goes on with the entry at hand, or begins with a new one.
    fn take_up(&self, entry: Entry, before: Option<Current>) -> Current {
        let courier = Arc::clone(&self.courier.lock().unwrap_or_else(PoisonError::into_inner));
        match before {
            Some(same) if same.entry.id == entry.id && Arc::ptr_eq(&same.courier, &courier) => same,
            Some(same) if same.entry.id == entry.id => Current { body: prepare(&*courier, &entry), courier, ..same },
            _ => Current {
                body: prepare(&*courier, &entry),
                entry,
                courier,
                failed: 0,
                next: Instant::now(),
                last_error: None,
            },
        }
    }

    /// One try. Gives the entry back when there is to be another.
    async fn attempt(&self, mut at_hand: Current) -> Option<Current> {
        let outcome = match &at_hand.body {
            Ok(body) => {
                let delivery = AssertUnwindSafe(at_hand.courier.deliver(&at_hand.entry, body)).catch_unwind();
                delivery.await.unwrap_or_else(|_| Err(Failure::retry(DEFECT)))
            }
            Err(failure) => Err(failure.clone()),
        };
        match outcome {
            Ok(()) => {
                self.accepted(&at_hand);
                None
            }
            Err(Failure::Refused(reason)) => {
                self.dead(&at_hand.entry, reason);
                None
            }
            Err(Failure::Retry { error, after }) => {
                at_hand.failed = at_hand.failed.saturating_add(1);
                let delay = backoff::delay(at_hand.failed, fastrand::f64(), after);
                at_hand.next = Instant::now() + delay;
                self.around.report(DeliveryEvent::Retrying {
                    receiver: self.receiver.clone(),
                    id: at_hand.entry.id.clone(),
                    event: at_hand.entry.notification.event,
                    attempt: at_hand.failed,
                    delay,
                    error: error.clone(),
                });
                at_hand.last_error = Some(error);
                Some(at_hand)
            }
        }
    }

    fn accepted(&self, at_hand: &Current) {
        // What was dropped meanwhile was counted as lost already.
        if self.around.store.accepted(&at_hand.entry.id) {
            self.around.report(DeliveryEvent::Accepted {
                receiver: self.receiver.clone(),
                id: at_hand.entry.id.clone(),
                event: at_hand.entry.notification.event,
                took: self.around.clock.age(at_hand.entry.queued_at),
                attempts: at_hand.failed + 1,
            });
        }
        self.around.settled.notify_waiters();
    }

    fn expired(&self, at_hand: &Current) {
        let last = at_hand.last_error.as_deref().unwrap_or("it was not tried in this time");
        self.dead(&at_hand.entry, format!("not accepted within {} hours; last: {last}", MAX_AGE.as_secs() / 3600));
    }

    fn dead(&self, entry: &Entry, reason: String) {
        if self.around.store.dead(&entry.id, &reason) {
            self.around.report(DeliveryEvent::Dead {
                receiver: self.receiver.clone(),
                id: entry.id.clone(),
                event: entry.notification.event,
                severity: entry.notification.severity,
                reason,
            });
        }
        self.around.settled.notify_waiters();
    }
}
