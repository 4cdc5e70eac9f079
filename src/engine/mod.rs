//! The engine decides. It is pure and synchronous: inputs and the time go in, actions come out. No clock, no I/O, no randomness, no
//! log; it imports nothing of ours outside itself. What cannot be told from this folder is not policy.
//!
//! - `input`: what it is told, with `drift`: what of a change is not there any more; `action`: what it asks for; `settings`: what it must know of the configuration
//! - `trigger`: from a reading to a verdict, and the held clock; `assessment`: a verdict with its reasons; `low_traffic` and `baseline`: the formulas behind it
//! - `guard`: the states of one guard; `incident`: its stories and their pages; `blindness`: what cannot be seen; `beginning`: what a story's first page said
//! - `language`: the languages that people are told in
//! - `recorded`: baselines that were taken from the past; `ageing`: which of them are too old
//! - `memory`: what an engine remembers, so that another can go on; `fingerprint`: whether a trigger is still the same
//! - `status`: what it would say of itself; `telling`: what a page says, as data and in both languages; `words`: how numbers are said

mod action;
mod ageing;
mod assessment;
mod baseline;
mod beginning;
mod blindness;
mod drift;
mod fingerprint;
mod guard;
mod incident;
mod input;
mod language;
mod low_traffic;
mod memory;
mod recorded;
mod settings;
mod status;
mod telling;
#[cfg(test)]
pub(crate) mod tests;
mod trigger;
mod words;

use std::time::Duration;

use jiff::Timestamp;

pub use action::{
    Action, Alert, ChangeOrder, Event, Next, Notification, Opening, Record, RollbackFacts, Severity, TriggerFacts,
    Withheld,
};
pub use beginning::Beginning;
pub use drift::{Difference, Differences, Drift, Held};
pub use guard::{GuardState, Watched};
pub use incident::{Incident, IncidentKind, TimelineEntry, Verification};
pub use input::{
    Burn, ChangeReport, Command, Evidence, Input, Name, NewBaseline, Observation, Problem, Progress, ReadinessReport,
    Reading, SavedObject, StepReport, StepResult, Tick, TickKind, Unknown,
};
pub use language::{Chinese, Language, Sentence, TriggerWords};
pub use low_traffic::{needed_for_quantile, needed_for_ratio};
pub use memory::Memory;
pub use recorded::{Counted, KEPT_BASELINES, Measurement, Recorded, RecordedBaselines};
pub use settings::{
    BaselineSource, BurnRate, GuardSettings, Levels, Measure, RollbackSettings, Settings, Side, Stage, TriggerAction,
    TriggerSettings, Unit,
};
pub use status::{GuardStatus, TriggerStatus, TriggerView};
pub use telling::duration_in_chinese;
pub use trigger::Verdict;
pub use words::duration as duration_in_words;
pub use words::period as period_in_words;
pub use words::quantity as quantity_in_words;

use ageing::Ageing;
use blindness::Blindness;
use guard::{Guard, Rules};

/// The intervals that history is replayed for, besides the times of a trigger: a breach that began with a few ticks unseen, and the tick
/// that is being asked for meanwhile.
const LOOK_BACK_INTERVALS: u32 = 6;

/// The engine: all guards and what they remember.
#[derive(Debug, Clone, PartialEq)]
pub struct Engine {
    rules: Rules,
    blind_after: Duration,
    guards: Vec<Guard>,
    blindness: Blindness,
    ageing: Ageing,
}

impl Engine {
    /// An engine that has seen nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            rules: Rules::of(&settings),
            blind_after: settings.blind_after,
            guards: settings.guards.into_iter().map(Guard::new).collect(),
            blindness: Blindness::default(),
            ageing: Ageing::default(),
        }
    }

    /// Takes one input at `now` and says what to do about it. The same inputs at the same times give the same actions.
    ///
    /// They come as one journal entry, then every change, then every page: no guard's change waits for another's page.
    pub fn handle(&mut self, input: Input, now: Timestamp) -> Vec<Action> {
        let actions = self.decide(input, now);
        self.in_order(actions)
    }

    /// The same without the marks of a dry run: what a dry run decides is told as it would be for real. For history, where nothing is
    /// changed and everybody knows.
    pub fn replay(&mut self, input: Input, now: Timestamp) -> Vec<Action> {
        let mut actions = self.decide(input, now);
        actions.iter_mut().for_each(Action::leave_chinese_out);
        in_order(&mut actions);
        actions
    }

    /// What the engine remembers and cannot be made again from its settings.
    pub fn memory(&self) -> Memory {
        Memory {
            guards: self.guards.iter().map(|guard| (guard.name().to_owned(), guard.memory())).collect(),
            blindness: self.blindness.clone(),
            ageing: self.ageing.clone(),
        }
    }

    /// The engine that has this memory, to look at: nothing is taken up.
    pub fn remembered(settings: Settings, mut memory: Memory, now: Timestamp) -> Self {
        let mut engine = Self::new(settings);
        engine.blindness = memory.blindness;
        engine.ageing = memory.ageing;
        for guard in &mut engine.guards {
            if let Some(remembered) = memory.guards.remove(guard.name()) {
                *guard = Guard::recall(guard.settings.clone(), remembered, now, engine.rules).0;
            }
        }
        engine
    }

    /// An engine that goes on where the memory's left off, and what is to be done at once: rollbacks that were under way are taken up
    /// again, and what is no longer configured is told. From a memory of nothing it is a new engine, and there is nothing to do.
    pub fn resume(settings: Settings, mut memory: Memory, now: Timestamp) -> (Self, Vec<Action>) {
        let mut engine = Self::new(settings);
        engine.blindness = memory.blindness;
        engine.ageing = memory.ageing;
        let mut actions = Vec::new();
        for guard in &mut engine.guards {
            let Some(remembered) = memory.guards.remove(guard.name()) else { continue };
            let (recalled, told) = Guard::recall(guard.settings.clone(), remembered, now, engine.rules);
            *guard = recalled;
            actions.extend(told);
            actions.extend(guard.take_up(now, engine.rules));
        }
        for (name, gone) in memory.guards {
            actions.extend(gone.end(&name, now, engine.rules));
        }
        if !actions.is_empty() {
            actions.push(Action::Journal);
        }
        let actions = engine.in_order(actions);
        (engine, actions)
    }

    /// Compares with the recorded baselines of another engine, where it has one: whoever stands by measures as the leader does.
    pub fn borrow_baselines(&mut self, other: &Self) {
        for guard in &mut self.guards {
            if let Some(known) = other.guards.iter().find(|known| known.name() == guard.name()) {
                guard.borrow_baselines(known);
            }
        }
    }

    /// Since when ticks are worth replaying: each guard takes those that it has not seen, and one of which nothing was ever seen looks
    /// back.
    pub fn owed_since(&self, now: Timestamp) -> Timestamp {
        let back = now.checked_sub(self.look_back()).unwrap_or(now);
        self.guards.iter().map(|guard| guard.seen_until().unwrap_or(back)).min().unwrap_or(now)
    }

    /// How far back an engine that remembers nothing must look for its clocks to be what they would be had it watched all the time: a
    /// breach may have been held for this long, and clear may have been about to end it.
    fn look_back(&self) -> Duration {
        let triggers = self.guards.iter().flat_map(|guard| &guard.triggers);
        let longest = triggers.map(|t| t.settings.hold_for + t.settings.clear_for).max().unwrap_or_default();
        longest + self.rules.interval * LOOK_BACK_INTERVALS
    }

    fn in_order(&self, mut actions: Vec<Action>) -> Vec<Action> {
        if self.rules.dry_run {
            actions.iter_mut().for_each(Action::mark_dry_run);
        }
        if !self.rules.chinese {
            actions.iter_mut().for_each(Action::leave_chinese_out);
        }
        in_order(&mut actions);
        actions
    }

    fn decide(&mut self, input: Input, now: Timestamp) -> Vec<Action> {
        match input {
            Input::Tick(tick) => self.tick(&tick, now),
            Input::Change(report) => {
                let name = report.guard.clone();
                self.with_guard(&name, |guard, rules| guard.report(report, now, rules))
            }
            Input::Readiness(report) => {
                let name = report.guard.clone();
                self.with_guard(&name, |guard, rules| guard.readiness(report, now, rules))
            }
            Input::Command { guard, command } => {
                self.with_guard(&guard, |guard, rules| guard.command(command, now, rules))
            }
            Input::Reconfigure(settings) => self.reconfigure(settings, now),
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
        let took: Vec<_> = self.guards.iter().map(|guard| guard.accepts(tick.at, tick.kind, now)).collect();
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
        if took.contains(&true) && tick.kind == TickKind::Live {
            actions.extend(self.blindness.tick(&mut self.guards, &took, self.blind_after, tick.at, now));
            actions.extend(self.ageing.tick(&self.guards, now));
        }
        actions
    }

    fn reconfigure(&mut self, settings: Settings, now: Timestamp) -> Vec<Action> {
        let mut actions = vec![Action::Journal];
        self.rules = Rules::of(&settings);
        self.blind_after = settings.blind_after;
        let mut old = std::mem::take(&mut self.guards);
        for settings in settings.guards {
            let known = old.iter().position(|g| g.name() == settings.name).map(|at| old.remove(at));
            let (guard, told) = match known {
                Some(guard) => guard.reload(settings, now, self.rules),
                None => (Guard::new(settings), Vec::new()),
            };
            actions.extend(told);
            self.guards.push(guard);
        }
        for gone in old {
            actions.extend(gone.memory().end(gone.name(), now, self.rules));
        }
        actions
    }

    /// What the engine would say of itself.
    pub fn status(&self) -> Vec<GuardStatus> {
        self.guards.iter().map(status::of).collect()
    }

    /// Every trigger as it stands, guard by guard in the order of the settings.
    pub fn triggers(&self) -> impl Iterator<Item = TriggerView<'_>> {
        self.guards.iter().flat_map(|guard| guard.triggers.iter().map(|trigger| status::view(guard, trigger)))
    }

    /// The rollbacks that are done and watched: who undoes one is paged.
    pub fn watched(&self, now: Timestamp) -> Vec<Watched> {
        self.guards.iter().filter_map(|guard| guard.watched(now)).collect()
    }

    /// The incidents, open and kept, the newest first. Of the objects that were saved only the names: they may hold what is not for all.
    pub fn incidents(&self) -> Vec<Incident> {
        let stories =
            |g: &'_ Guard| g.closed.iter().chain(&g.incident).chain(&g.shift).map(Incident::shown).collect::<Vec<_>>();
        let mut all: Vec<_> = self.guards.iter().flat_map(stories).collect();
        all.sort_by_key(|incident| std::cmp::Reverse(incident.opened_at));
        all
    }
}

/// The journal first, then every change, then every page.
fn in_order(actions: &mut Vec<Action>) {
    actions.sort_by_key(Action::rank);
    actions.dedup_by(|a, b| matches!((a, b), (Action::Journal, Action::Journal)));
}

impl Rules {
    fn of(settings: &Settings) -> Self {
        Self {
            interval: settings.interval,
            live_for: settings.live_for,
            dry_run: settings.dry_run,
            chinese: settings.chinese,
        }
    }
}
