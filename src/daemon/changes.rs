//! The changes under way: one per guard, each in a task of its own.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::config::Guard;
use crate::engine::{ChangeOrder, ChangeReport, Progress, SavedObject};
use crate::kubernetes::{self, ChangePlan, Cluster, Outcome, Permit};
use crate::telemetry;

use super::clock::Clock;

/// How long the API server may take to accept a change, at the first attempt, the second and all others. One that answers at all does so in
/// milliseconds, so the first failure is known soon; but an admission webhook that is dead and ignored holds each change up for its own
/// time-out, 10 s by default and 30 s at most.
const PATIENCE: [Duration; 3] = [Duration::from_secs(5), Duration::from_secs(15), Duration::from_secs(35)];

/// How often a change that may not write now looks whether it may again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How long reading the objects before a change may take. A healthy API server answers in milliseconds; one that does not must not cost
/// a rollback more than the journal may.
const SAVE_WITHIN: Duration = Duration::from_secs(2);

/// How long a change waits for the one before it of the same guard, which was cancelled: for a call that is on its way. Its own
/// preconditions refuse most of what comes later still.
const SETTLE_WITHIN: Duration = Duration::from_secs(5);

/// What became of a change.
pub struct Reported {
    /// What.
    pub report: ChangeReport,
    /// Who waits until it is written.
    pub written: Option<oneshot::Sender<()>>,
}

/// The changes under way, by guard.
pub struct Changes {
    cluster: Cluster,
    clock: Clock,
    reports: mpsc::UnboundedSender<Reported>,
    /// Whether this process may change anything at this very moment.
    permit: Permit,
    under_way: HashMap<String, Change>,
    /// Changes that were cancelled and may not have ended yet, by guard.
    ending: HashMap<String, JoinHandle<()>>,
}

struct Change {
    incident: String,
    /// Dropping it cancels the change.
    cancel: Option<watch::Sender<()>>,
    task: JoinHandle<()>,
    /// Whether it waits for a retry and has sent nothing of this attempt yet.
    waiting: Arc<std::sync::atomic::AtomicBool>,
}

impl Changes {
    /// No change is under way. What becomes of them is sent to `reports`.
    pub fn new(cluster: Cluster, clock: Clock, reports: mpsc::UnboundedSender<Reported>, permit: Permit) -> Self {
        Self { cluster, clock, reports, permit, under_way: HashMap::new(), ending: HashMap::new() }
    }

    /// Begins a change. One of the same guard that is still under way is cancelled.
    pub fn begin(&mut self, order: ChangeOrder, guard: &Guard) {
        let vars = kubernetes::variables(
            &guard.name,
            &guard.vars,
            order.percentage,
            &order.reason,
            &order.incident,
            order.decided_at,
        );
        let plan = ChangePlan {
            steps: guard.steps.clone(),
            vars,
            rollback: order.rollback,
            rollout_timeout: guard.rollout_timeout,
            dry_run: order.dry_run,
            permit: self.permit.clone(),
            patience: match order.rollback {
                true => PATIENCE[(order.attempt as usize).clamp(1, PATIENCE.len()) - 1],
                // There is no second attempt, and nobody is in danger meanwhile.
                false => PATIENCE[PATIENCE.len() - 1],
            },
        };
        self.cancel(&guard.name);
        let before = self.ending.remove(&guard.name);
        let (cancel, cancelled) = watch::channel(());
        let waiting = Arc::new(std::sync::atomic::AtomicBool::new(!order.delay.is_zero()));
        let (cluster, clock, reports) = (self.cluster.clone(), self.clock, self.reports.clone());
        let (name, incident, still_waiting) = (guard.name.clone(), order.incident.clone(), waiting.clone());
        let task = tokio::spawn(async move {
            if !order.delay.is_zero() {
                tokio::select! {
                    () = clock.sleep(order.delay) => {}
                    () = gone(cancelled.clone()) => return,
                }
                still_waiting.store(false, std::sync::atomic::Ordering::Relaxed);
            }
            if let Some(before) = before {
                // What it has sent must not arrive after what follows.
                let _ = timeout(SETTLE_WITHIN, before).await;
            }
            let send = |progress, written| {
                let report = ChangeReport {
                    guard: order.guard.clone(),
                    incident: order.incident.clone(),
                    attempt: order.attempt,
                    progress,
                };
                // Nobody listens any more only when the process ends.
                let _ = reports.send(Reported { report, written });
            };
            let report = |progress| send(progress, None);
            let mut saved = order.dry_run || !order.save;
            // It may not write while the lease is being renewed, say. What is done already is found done the next time.
            while cancelled.has_changed().is_ok() {
                if (plan.permit)() {
                    if !saved {
                        saved = true;
                        let objects = save(&cluster, &plan, &order).await;
                        if !objects.is_empty() {
                            // What it was must be written before it is changed; the event loop answers in two seconds at the latest.
                            let (written, is_written) = oneshot::channel();
                            send(Progress::Saved(objects), Some(written));
                            let _ = is_written.await;
                        }
                    }
                    let outcome = cluster.carry_out(&plan, report, gone(cancelled.clone())).await;
                    if outcome != Outcome::Cancelled {
                        return;
                    }
                }
                tokio::select! {
                    () = tokio::time::sleep(LOOK_AGAIN) => {}
                    () = gone(cancelled.clone()) => return,
                }
            }
        });
        self.under_way.insert(name, Change { incident, cancel: Some(cancel), task, waiting });
    }

    /// Cancels the change of an incident. What was sent stays sent.
    pub fn abandon(&mut self, guard: &str, incident: &str) {
        if self.under_way.get(guard).is_some_and(|change| change.incident == incident) {
            self.cancel(guard);
        }
    }

    fn cancel(&mut self, guard: &str) {
        if let Some(change) = self.under_way.remove(guard) {
            self.ending.insert(guard.to_owned(), change.task);
        }
    }

    /// Cancels all changes.
    pub fn abandon_all(&mut self) {
        for change in self.under_way.values_mut() {
            change.cancel = None;
        }
    }

    /// How many changes have begun and not ended.
    pub fn count(&mut self) -> usize {
        self.under_way.retain(|_, change| !change.task.is_finished());
        self.ending.retain(|_, task| !task.is_finished());
        let begun = |change: &&Change| !change.waiting.load(std::sync::atomic::Ordering::Relaxed);
        self.under_way.values().filter(begun).count() + self.ending.len()
    }

    /// A change that panicked, if there is one: its guard.
    pub async fn died(&mut self) -> Option<String> {
        let finished: Vec<String> =
            self.under_way.iter().filter(|(_, change)| change.task.is_finished()).map(|(g, _)| g.clone()).collect();
        for guard in finished {
            if let Some(change) = self.under_way.remove(&guard)
                && change.task.await.is_err()
            {
                return Some(guard);
            }
        }
        None
    }
}

/// The objects as they are before the change, those that are not saved already.
async fn save(cluster: &Cluster, plan: &ChangePlan, order: &ChangeOrder) -> Vec<SavedObject> {
    let (objects, errors) = match timeout(SAVE_WITHIN, cluster.snapshot(&plan.steps, &order.saved)).await {
        Ok(read) => read,
        Err(_) => (Vec::new(), vec![format!("the objects could not be read within {SAVE_WITHIN:?}")]),
    };
    for error in &errors {
        telemetry::Event::NotSaved { guard: &order.guard, error }.emit();
    }
    objects
}

/// Ends when the other side is dropped.
async fn gone(mut channel: watch::Receiver<()>) {
    while channel.changed().await.is_ok() {}
}
