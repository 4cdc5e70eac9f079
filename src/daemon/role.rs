//! Who leads, and the change from one to the other.
//!
//! A replica stands by until it is elected; then it takes the state up: reads the document, goes on where it left off, and claims it by
//! writing it. It leads until another is elected or has written. Without leader election it is elected from the start; without a
//! place for the state there is nothing to take up.

use std::sync::atomic::Ordering;

use crate::engine::{Engine, Language, Sentence};
use crate::http::Refusal;
use crate::kubernetes::{ElectionEvent, LossReason};
use crate::notify::Losses;
use crate::state::{Document, Taken};
use crate::telemetry;

use super::trouble::Kind;
use super::{Daemon, notices};

/// What this replica is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Another leads, or nobody does.
    Standby,
    /// Elected, and the document is being read.
    TakingUp,
    /// It decides and acts.
    Leading,
}

impl Daemon {
    pub(super) fn leads(&self) -> bool {
        self.role == Role::Leading
    }

    /// Who leads, as far as this replica knows. Never itself while it does not: the Lease may still name it, or name it already.
    pub(super) fn leader(&self) -> Option<String> {
        let leads = |holder: &String| self.elects && (self.leads() || holder != self.leadership.identity());
        self.leadership.holder().filter(leads)
    }

    /// This replica is to lead: the state is taken up first.
    pub(super) fn elected(&mut self) {
        self.dirty = true;
        match &self.keeper {
            Some(keeper) => {
                self.role = Role::TakingUp;
                keeper.take_up();
                // Over as soon as it is read. A place that hangs says nothing of itself.
                self.troubles.note(Kind::NotRead, self.place_hangs(), self.clock.now());
            }
            None => self.lead(Taken::default()),
        }
    }

    /// What is said of a place that hangs, which says nothing of itself.
    pub(super) fn place_hangs(&self) -> Sentence {
        Sentence::of(|language| {
            let place = self.place.as_ref().map(|place| place.in_language(language));
            match language {
                Language::English => format!("{} does not answer", place.unwrap_or("its place")),
                Language::Chinese => format!("没有响应：{}", place.unwrap_or("保存状态的地方")),
            }
        })
    }

    /// Another leads, or nobody: what this replica had in hand is that one's now.
    pub(super) fn stand_by(&mut self, reason: &str) {
        self.dirty = true;
        self.role = Role::Standby;
        telemetry::Event::StandingBy { reason, holder: self.leader().as_deref() }.emit();
        self.changes.abandon_all();
        if let Some(keeper) = &self.keeper {
            keeper.forget();
        }
        let leader = self.leader();
        self.leading.send_replace(false);
        self.saving.clear();
        for asked in self.asked.drain(..) {
            // Whoever asked may have gone.
            let _ = asked.answer.send(Err(Refusal::NotLeading { leader: leader.clone() }));
        }
        self.outbox.clear();
        // What it tells from now on is about itself only.
        self.own_pages.store(true, Ordering::SeqCst);
        let settings = self.world.borrow().engine_settings(self.dry_run);
        self.core.stand_by(settings);
        self.losses = Losses::default();
        self.state_error = None;
        for kind in [Kind::NotSaved, Kind::NotRead, Kind::NotReached] {
            self.troubles.hand_over(kind);
        }
    }

    /// The state as it was left is here: this replica leads from now on.
    pub(super) fn lead(&mut self, taken: Taken) {
        self.dirty = true;
        let (now, at) = (self.clock.now(), tokio::time::Instant::now());
        let world = self.world.borrow().clone();
        self.written_by_the_leader = None;
        self.lost_by_the_leader.clear();
        self.role = Role::Leading;
        self.own_pages.store(false, Ordering::SeqCst);

        let kept = taken.document.is_some();
        let (memory, mut contents) = taken.document.map_or_else(Default::default, |d| (d.engine, d.outbox));
        // What it told of itself before may wait still.
        let own = self.outbox.contents();
        contents.entries.extend(own.entries);
        contents.stories.take_over(own.stories);
        self.outbox.replace(contents);
        let effects = self.core.resume(world.engine_settings(self.dry_run), memory, now, at, &self.outbox);
        self.carry_out(effects);
        telemetry::Event::Leading.emit();
        if kept {
            let incidents = self.core.engine().status().iter().filter(|g| g.incident.is_some()).count();
            let pages = self.outbox.depths().iter().map(|d| d.length).sum();
            telemetry::Event::Restored { incidents, pages }.emit();
        }
        if let Some((why, aside)) = taken.set_aside {
            let place = self.place.clone().unwrap_or_else(|| "".into());
            telemetry::Event::SetAside { reason: &why.to_string(), to: aside.as_deref().unwrap_or("nowhere") }.emit();
            self.tell(&notices::set_aside(&why, &place, &aside, now));
        }
        if self.keeper.is_some() {
            self.is_well(Kind::NotRead);
        }
        self.in_touch();
        self.leading.send_replace(true);
        if self.by_hand {
            return;
        }
        let names: Vec<&str> = world.settings.guards.iter().map(|g| g.name.as_str()).collect();
        self.tell(&notices::started(&names, &self.rolling_back(), now));

        // The time that nobody counted is fetched from Prometheus.
        self.owe();
    }

    /// What the leader has written, so that a standby shows the truth.
    pub(super) fn seen(&mut self, document: Option<Document>) {
        if self.role != Role::Standby {
            return;
        }
        let (memory, lost) = document.map(|d| (d.engine, d.outbox.dead_letters)).unzip();
        self.lost_by_the_leader = lost.unwrap_or_default();
        let settings = self.world.borrow().engine_settings(self.dry_run);
        self.written_by_the_leader = memory.map(|memory| Engine::remembered(settings, memory, self.clock.now()));
        if let Some(written) = &self.written_by_the_leader {
            self.core.borrow_baselines(written);
        }
        self.dirty = true;
    }

    /// What was learned of the Lease.
    pub(super) fn election(&mut self, event: ElectionEvent) {
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
                    self.troubles.note(Kind::CutOff, reason.in_words(), self.clock.now());
                }
            }
            // A Lease can name one that is long gone: that ends what this replica was worried by, not what another process told.
            ElectionEvent::Holder(Some(_)) => {
                self.no_longer(Kind::CutOff);
                self.no_longer(Kind::OutOfSight);
            }
            ElectionEvent::Holder(None) => {}
            ElectionEvent::Failing(error) => {
                telemetry::Event::LeaseFailing { error: &error }.emit();
                if self.role == Role::Standby {
                    let kind = if self.leader().is_none() { Kind::CutOff } else { Kind::OutOfSight };
                    self.troubles.note(kind, error, self.clock.now());
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
        if self.elects {
            self.is_well(Kind::CutOff);
            self.is_well(Kind::OutOfSight);
        }
    }
}
