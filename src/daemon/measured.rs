//! What was measured and tried is handed to the engine, and what is done at each tick besides deciding.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::engine::{Input, Tick, TickKind, TriggerView, Verdict};
use crate::prometheus::QueryOutcome;
use crate::telemetry;

use super::Daemon;
use super::readiness::Tried;
use super::role::Role;
use super::ticker::Measured;
use super::trouble::Kind;

/// The document is written at least this often while a replica leads: that much history, besides the time that it was away, is replayed
/// after a crash. It is also how a leader that was cut off learns of it on a quiet night.
const CHECKPOINT: Duration = Duration::from_secs(60);

impl Daemon {
    pub(super) fn tick(&mut self, measured: Measured) {
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

    /// Hands a tick to the engine, and notes what every trigger says of it for the charts.
    fn handle_tick(&mut self, tick: Tick, due: Timestamp) {
        self.handle(Input::Tick(tick));
        if !self.by_hand {
            let interval = self.world.borrow().settings.evaluation.interval;
            self.curves.note(due, interval, self.core.engine().triggers());
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

    /// What was found when it was tried whether rollbacks would work.
    pub(super) fn tried(&mut self, tried: Tried) {
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
            self.troubles.note(Kind::NotReached, errors.join("; "), self.clock.now());
        } else if tried.unreachable.is_empty() {
            self.is_well(Kind::NotReached);
        }
        self.unreachable = tried.unreachable.into_iter().map(|(name, _)| name).collect();
    }
}
