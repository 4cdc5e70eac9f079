//! What became of the document, and what waited for it.

use tokio::time::Instant;

use crate::engine::Language;
use crate::state::Report;
use crate::telemetry;

use super::Daemon;
use super::role::Role;
use super::trouble::Kind;

impl Daemon {
    /// Writes the document because something that is kept has changed by itself.
    pub(super) fn save(&mut self) {
        if self.role == Role::Leading
            && let Some(write) = self.core.save(self.clock.now(), &self.outbox)
        {
            self.carry_out(vec![write]);
        }
    }

    /// What became of the document. The error is that another process has written it and this one has no way to know who leads.
    pub(super) fn kept(&mut self, report: Report) -> anyhow::Result<()> {
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
                    let english = error.in_language(Language::English).to_owned();
                    telemetry::Event::NotRestored { error: &english }.emit();
                    self.troubles.note(Kind::NotRead, error, now);
                    self.state_error = Some(english);
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
                self.seen(document.map(|d| *d));
            }
            Report::Saved { ticket, left_out } => {
                telemetry::Event::Journalled { left_out }.emit();
                self.saved_at = Some(now);
                self.state_error = None;
                self.is_well(Kind::NotSaved);
                let effects = self.core.settled(ticket, &self.outbox);
                self.carry_out(effects);
            }
            Report::Failed { ticket, error } => {
                telemetry::Event::NotJournalled { error: &error }.emit();
                if self.role == Role::Leading {
                    self.troubles.note(Kind::NotSaved, error.as_str(), now);
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

    /// What has waited too long for the journal begins.
    pub(super) fn out_of_patience(&mut self) {
        let effects = self.core.out_of_patience(Instant::now(), &self.outbox);
        self.carry_out(effects);
        // A place that hangs says nothing of itself.
        self.troubles.note(Kind::NotSaved, self.place_hangs(), self.clock.now());
        self.dirty = true;
    }
}
