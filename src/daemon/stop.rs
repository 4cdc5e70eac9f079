//! The end: what is in flight is finished or journalled, as far as the grace period goes.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use crate::kubernetes::Election;
use crate::notify::Whom;
use crate::state::Report;
use crate::telemetry;

use super::notices::{self, GoesOn};
use super::role::Role;
use super::run::until;
use super::{Daemon, Inbox};

/// How long a stop takes at most. Kubernetes kills 30 s after it asked, by default.
const GRACE: Duration = Duration::from_secs(25);

/// The part of it that is kept for the notifications.
const GRACE_FOR_NOTIFICATIONS: Duration = Duration::from_secs(8);

/// The part that is kept for one writing of the state. There are two: before the last notifications, and after them.
const GRACE_FOR_THE_STATE: Duration = Duration::from_secs(3);

/// The part that is kept for giving the lease back.
const GRACE_FOR_THE_LEASE: Duration = Duration::from_secs(3);

/// How long is waited for what is being sent to the cluster, and then for the notifications, where another replica waits to take over:
/// it goes on with all of it, and nothing is watched until it leads.
const GRACE_WITH_A_STANDBY: Duration = Duration::from_secs(2);

/// How often a stop looks whether the changes have ended.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl Daemon {
    /// No more decisions.
    pub(super) async fn stop(&mut self, inbox: &mut Inbox, election: Option<Election>) {
        let begun = Instant::now();
        telemetry::Event::Stopping { rolling_back: &self.rolling_back() }.emit();
        // Who asks from now on is told that Ripcord stops.
        inbox.requests.close();
        while inbox.requests.try_recv().is_ok() {}
        if self.role == Role::TakingUp {
            self.stand_by("it stops");
        }
        let led = self.leads();
        // Behind a person's own stands nobody.
        let replaced = self.elects && !self.by_hand;
        let (for_changes, for_notifications) = if replaced {
            self.changes.abandon_all();
            (GRACE_WITH_A_STANDBY, GRACE_WITH_A_STANDBY)
        } else {
            (GRACE - GRACE_FOR_NOTIFICATIONS - 2 * GRACE_FOR_THE_STATE, GRACE_FOR_NOTIFICATIONS)
        };
        self.finish_changes(inbox, begun + for_changes).await;
        if led && self.leads() {
            let goes_on = match (replaced, &self.keeper) {
                (true, _) => GoesOn::Elsewhere,
                (false, Some(_)) => GoesOn::NextTime,
                (false, None) => GoesOn::Never,
            };
            let now = self.clock.now();
            for lost in self.losses.all(now) {
                self.tell_to(&lost.notification, Whom::AllBut(&lost.receiver));
            }
            if !self.by_hand || !self.rolling_back().is_empty() {
                self.tell(&notices::stopping(self.rolling_back(), goes_on, now));
            }
            // What waits for the journal goes out with the rest.
            self.wait_for_the_journal(inbox).await;
        }
        let undelivered = self.outbox.drain(for_notifications).await;
        while let Ok(event) = inbox.deliveries.try_recv() {
            self.delivery(&event);
        }
        let mut saved = false;
        if led && self.leads() {
            self.save();
            saved = self.wait_for_the_journal(inbox).await;
        }
        if let Some(election) = election {
            match timeout(GRACE_FOR_THE_LEASE, election.release()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%error, "The lease could not be given back: the others wait until it is over");
                }
                Err(_) => tracing::warn!("The lease could not be given back in time: the others wait until it is over"),
            }
        }
        telemetry::Event::Stopped { undelivered: undelivered.len(), saved }.emit();
    }

    /// Waits for the changes under way.
    async fn finish_changes(&mut self, inbox: &mut Inbox, end: Instant) {
        while self.changes.count() > 0 {
            let patience = self.core.patient_until();
            tokio::select! {
                Some(reported) = inbox.reports.recv() => self.reported(reported),
                Some(report) = inbox.kept.recv() => if self.kept(report).is_err() {
                    return;
                },
                () = until(patience) => self.out_of_patience(),
                Some(event) = inbox.deliveries.recv() => self.delivery(&event),
                () = sleep_until(end) => break,
                // A change that has ended sends nothing more.
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
        // A change that has just ended may have left reports.
        while let Ok(reported) = inbox.reports.try_recv() {
            self.reported(reported);
        }
    }

    /// Waits until everything up to now is written, as long as a stop can wait for it. Says whether it is.
    async fn wait_for_the_journal(&mut self, inbox: &mut Inbox) -> bool {
        let end = Instant::now() + GRACE_FOR_THE_STATE;
        let mut saved = self.keeper.is_some();
        while self.leads() && self.core.unwritten() {
            tokio::select! {
                Some(report) = inbox.kept.recv() => {
                    saved = matches!(report, Report::Saved { .. });
                    if self.kept(report).is_err() {
                        return false;
                    }
                }
                () = sleep_until(end) => {
                    self.out_of_patience();
                    return false;
                }
            }
        }
        saved && self.leads()
    }
}
