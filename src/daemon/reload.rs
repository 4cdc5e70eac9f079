//! A configuration that is read anew.

use crate::config::{Finding, Settings};
use crate::engine::Input;
use crate::notify::Addresses;
use crate::telemetry;

use super::role::Role;
use super::ticker::CatchUp;
use super::{Daemon, Load, World};

impl Daemon {
    pub(super) fn reload(&mut self, load: &Load) {
        let refuse = |daemon: &mut Self, findings: &[Finding]| {
            daemon.reload_success = false;
            telemetry::Event::ReloadRefused { findings }.emit();
            daemon.publish();
        };
        let settings = match load() {
            Ok(settings) => settings,
            Err(findings) => return refuse(self, &findings),
        };
        self.say_what_needs_a_restart(&settings);
        let world = match World::new(settings) {
            Ok(world) => world,
            Err(error) => return refuse(self, &[Finding::at(String::new(), error.to_string())]),
        };
        let settings = &world.settings;
        if let Err(findings) = self.outbox.reconfigure(&settings.receivers, Addresses::of_settings(settings)) {
            return refuse(self, &findings);
        }
        self.heart.reconfigure(settings.heartbeat.as_ref());
        world.count_from_zero();
        let engine = world.engine_settings(self.dry_run);
        let guards = settings.guards.len();
        self.world.send_replace(world);
        self.reload_success = true;
        self.loaded_at = self.clock.now();
        telemetry::Event::Reloaded { at: self.loaded_at, guards }.emit();
        if self.role == Role::Leading {
            self.handle(Input::Reconfigure(engine));
        } else {
            self.core.stand_by(engine);
            self.dirty = true;
        }
        self.owe();
    }

    /// Has the ticks fetched that are not in the clocks. Those that are on their way belong to what was before, and are measured again.
    pub(super) fn owe(&self) {
        let since = self.core.engine().owed_since(self.clock.now());
        self.catch_up.send_modify(|owed| *owed = CatchUp { generation: owed.generation + 1, since: Some(since) });
    }

    /// What is read at the start only.
    fn say_what_needs_a_restart(&self, new: &Settings) {
        let world = self.world.borrow();
        let old = &world.settings;
        let changed = [
            ("http.listen", new.http.listen != self.listen),
            ("state", new.state != old.state),
            ("leader_election", new.leader_election != old.leader_election),
        ];
        for (key, _) in changed.iter().filter(|(_, changed)| *changed) {
            tracing::warn!(key, "This is read at the start only: restart to use it");
        }
    }
}
