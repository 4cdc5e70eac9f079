//! The engine decides. It is pure and synchronous: inputs and the time go in, actions come out. No clock, no I/O, no randomness, no
//! log; it imports nothing of ours outside itself. What cannot be told from this folder is not policy.
//!
//! - `input`: what it is told; `action`: what it asks for; `settings`: what it must know of the configuration
//! - `trigger`: from a reading to a verdict, and the held clock; `low_traffic` and `baseline`: the formulas behind it
//! - `guard`: the states of one guard; `incident`: its stories and their pages; `blindness`: what cannot be seen
//! - `status`: what it would say of itself; `words`: how numbers are said

mod action;
mod baseline;
mod blindness;
mod guard;
mod incident;
mod input;
mod low_traffic;
mod settings;
mod status;
#[cfg(test)]
mod tests;
mod trigger;
mod words;

use std::time::Duration;

use jiff::Timestamp;

pub use action::{Action, ChangeOrder, Event, Notification, Record, RollbackFacts, Severity, TriggerFacts, Withheld};
pub use guard::GuardState;
pub use incident::{Incident, IncidentKind, TimelineEntry, Verification};
pub use input::{
    ChangeReport, Command, Evidence, Input, Observation, Progress, Reading, StepReport, StepResult, Tick, TickKind,
    Unknown,
};
pub use low_traffic::needed_for_quantile;
pub use settings::{
    GuardSettings, Levels, Measure, RollbackSettings, Settings, Side, Stage, TriggerAction, TriggerSettings, Unit,
};
pub use status::{GuardStatus, TriggerStatus};
pub use trigger::Verdict;
pub use words::duration as duration_in_words;

use blindness::Blindness;
use guard::{Guard, Rules};

/// The engine: all guards and what they remember.
#[derive(Debug, Clone, PartialEq)]
pub struct Engine {
    rules: Rules,
    blind_after: Duration,
    guards: Vec<Guard>,
    blindness: Blindness,
}

impl Engine {
    /// An engine that has seen nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            rules: Rules::of(&settings),
            blind_after: settings.blind_after,
            guards: settings.guards.into_iter().map(Guard::new).collect(),
            blindness: Blindness::default(),
        }
    }

    /// Takes one input at `now` and says what to do about it. The same inputs at the same times give the same actions.
    ///
    /// They come as one journal entry, then every change, then every page: no guard's change waits for another's page.
    pub fn handle(&mut self, input: Input, now: Timestamp) -> Vec<Action> {
        let mut actions = self.decide(input, now);
        if self.rules.dry_run {
            actions.iter_mut().for_each(Action::mark_dry_run);
        }
        actions.sort_by_key(Action::rank);
        actions.dedup_by(|a, b| matches!((a, b), (Action::Journal, Action::Journal)));
        actions
    }

    fn decide(&mut self, input: Input, now: Timestamp) -> Vec<Action> {
        match input {
            Input::Tick(tick) => self.tick(&tick, now),
            Input::Change(report) => {
                let name = report.guard.clone();
                self.with_guard(&name, |guard, rules| guard.report(report, now, rules))
            }
            Input::Command { guard, command } => {
                self.with_guard(&guard, |guard, rules| guard.command(command, now, rules))
            }
            Input::Reconfigure(settings) => self.reconfigure(settings),
        }
    }

    fn with_guard(&mut self, name: &str, work: impl FnOnce(&mut Guard, Rules) -> Vec<Action>) -> Vec<Action> {
        match self.guards.iter_mut().find(|g| g.name() == name) {
            Some(guard) => work(guard, self.rules),
            None => {
                vec![Action::Record(Record::Ignored { guard: None, reason: format!("there is no guard {name:?}") })]
            }
        }
    }

    fn tick(&mut self, tick: &Tick, now: Timestamp) -> Vec<Action> {
        let mut actions = Vec::new();
        let new = self.guards.iter().any(|guard| guard.accepts(tick.at, tick.kind, now));
        for guard in &mut self.guards {
            match tick.guards.get(guard.name()) {
                Some(observation) => actions.extend(guard.tick(observation, tick.at, tick.kind, now, self.rules)),
                // What stays away must not pass for what was seen last.
                None if tick.kind == TickKind::Live => {
                    actions.extend(guard.tick(&Observation::nothing(), tick.at, tick.kind, now, self.rules));
                }
                None => {}
            }
        }
        if new && tick.kind == TickKind::Live {
            actions.extend(self.blindness.tick(&mut self.guards, self.blind_after, tick.at, now));
        }
        actions
    }

    fn reconfigure(&mut self, settings: Settings) -> Vec<Action> {
        let mut actions = vec![Action::Journal];
        self.rules = Rules::of(&settings);
        self.blind_after = settings.blind_after;
        let mut old = std::mem::take(&mut self.guards);
        let mut note = |guard: &str, reason: String| {
            actions.push(Action::Record(Record::Ignored { guard: Some(guard.to_owned()), reason }));
        };
        for settings in settings.guards {
            match old.iter().position(|g| g.name() == settings.name) {
                Some(at) => {
                    let mut guard = old.swap_remove(at);
                    for trigger in guard.reconfigure(settings) {
                        note(
                            guard.name(),
                            format!("the trigger {trigger} is new or changed: its clock starts from nothing"),
                        );
                    }
                    self.guards.push(guard);
                }
                None => self.guards.push(Guard::new(settings)),
            }
        }
        for gone in &old {
            note(gone.name(), "the guard is no longer configured: it is not watched any more".to_owned());
        }
        for gone in old {
            if let Some(incident) = gone.incident {
                actions.push(Action::AbandonChange { guard: incident.guard, incident: incident.id });
            }
        }
        actions
    }

    /// What the engine would say of itself.
    pub fn status(&self) -> Vec<GuardStatus> {
        self.guards.iter().map(status::of).collect()
    }

    /// The incidents, open and kept, the newest first.
    pub fn incidents(&self) -> Vec<Incident> {
        let mut all: Vec<_> = self.guards.iter().flat_map(|g| g.closed.iter().chain(&g.incident)).cloned().collect();
        all.sort_by_key(|incident| std::cmp::Reverse(incident.opened_at));
        all
    }
}

impl Rules {
    fn of(settings: &Settings) -> Self {
        Self { interval: settings.interval, live_for: settings.live_for, dry_run: settings.dry_run }
    }
}
