//! What the daemon shows of itself: to the API, the metrics and the log.

use std::time::Duration;

use crate::engine::{Engine, GuardStatus};
use crate::http::{Lost, Queue, Snapshot};
use crate::notify::DeadLetter;
use crate::telemetry;

use super::Daemon;
use super::trouble::Kind;

impl Daemon {
    /// The guards: as the engine sees them, and on a standby with the states that the leader has written.
    fn guards(&self) -> Vec<GuardStatus> {
        let mut guards = self.core.engine().status();
        if let Some(written) = &self.written_by_the_leader {
            for told in written.status() {
                // Both are in the order of their names.
                if let Ok(at) = guards.binary_search_by(|g| g.guard.cmp(&told.guard)) {
                    let guard = &mut guards[at];
                    guard.state = told.state;
                    guard.paused_until = told.paused_until;
                    guard.incident = told.incident;
                    guard.shift = told.shift;
                    for trigger in &mut guard.triggers {
                        if let Some(told) = told.triggers.iter().find(|told| told.name() == trigger.name()) {
                            trigger.firing = told.firing;
                            trigger.firing_since = told.firing_since;
                            trigger.acknowledged_at = told.acknowledged_at;
                        }
                    }
                }
            }
        }
        guards
    }

    /// What was lost, the oldest first: on a standby what the leader has written, and what it told of itself.
    fn lost(&self) -> Vec<Lost> {
        let mut all = self.lost_by_the_leader.clone();
        all.extend(self.outbox.dead_letters());
        all.sort_by_key(|letter| letter.at);
        all.into_iter().map(shown).collect()
    }

    /// Shows the present state to whoever looks.
    pub(super) fn publish(&mut self) {
        self.dirty = false;
        let watched = self.core.engine().watched(self.clock.now());
        self.watched.send_if_modified(|known| {
            let changed = *known != watched;
            if changed {
                *known = watched;
            }
            changed
        });
        let guards = self.guards();
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
        let (leads, reload_success, loaded_at) = (self.leads(), self.reload_success, self.loaded_at);
        let status = telemetry::Status { guards: &guards, queues: &queues, leads, reload_success, loaded_at };
        self.gauges.publish(&status);
        let world = self.world.borrow();
        let known: &Engine = self.written_by_the_leader.as_ref().unwrap_or_else(|| self.core.engine());
        self.snapshot.send_replace(Snapshot {
            version: crate::VERSION,
            dry_run: self.dry_run,
            leads: self.leads(),
            leader: self.leader().filter(|_| !self.lost_sight()),
            started_at: self.started_at,
            last_tick: self.last_tick,
            interval: world.settings.evaluation.interval,
            token_file: world.settings.http.token_file.clone(),
            configured: world.configured.clone(),
            config_loaded_at: self.loaded_at,
            config_reload_success: self.reload_success,
            state_saved_at: self.saved_at,
            state_error: self.state_error.clone(),
            guards,
            incidents: known.incidents(),
            receivers: queues,
            lost: self.lost(),
        });
    }

    /// Whether a standby has not seen the Lease for so long that who held it may be gone.
    fn lost_sight(&self) -> bool {
        let lease = self.world.borrow().settings.leader_election.as_ref().map(|election| election.lease_duration);
        let since = self.troubles.since(Kind::OutOfSight).or(self.troubles.since(Kind::CutOff));
        let gone = |since| Duration::try_from(self.clock.now().duration_since(since)).unwrap_or_default();
        !self.leads() && lease.zip(since).is_some_and(|(lease, since)| gone(since) > lease)
    }

    /// Logs the present state.
    pub(super) fn log_status(&self) {
        tracing::info!(leads = self.leads(), leader = self.leader(), "Status of Ripcord");
        for guard in self.guards() {
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
                    trigger = trigger.name(),
                    verdict = trigger.verdict,
                    value = trigger.text(),
                    threshold = trigger.threshold_text(),
                    held_seconds = trigger.held_seconds,
                    for_seconds = trigger.for_seconds,
                    reason = trigger.reason(),
                    "Status of the trigger"
                );
            }
        }
    }
}

fn shown(letter: DeadLetter) -> Lost {
    Lost {
        receiver: letter.receiver,
        time: letter.at,
        event: letter.event.as_str(),
        summary: letter.summary,
        reason: letter.reason,
    }
}
