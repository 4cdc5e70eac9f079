//! What people ask for: carried out at once, answered when it is written.

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::engine::{Input, Record};
use crate::http::{Refusal, Request};

use super::core::Effect;
use super::{Daemon, ticket};

/// A request that is carried out and not written yet.
pub(super) struct Asked {
    pub(super) ticket: u64,
    /// The incident that tells of it.
    pub(super) incident: Option<String>,
    pub(super) answer: oneshot::Sender<Result<Option<String>, Refusal>>,
}

impl Daemon {
    pub(super) fn request(&mut self, request: Request) {
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
    pub(super) fn answer(&mut self) {
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
}
