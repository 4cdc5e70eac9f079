//! One guard: its triggers, its state, and the moves from state to state.
//!
//! - here: what it remembers, and what happens at each tick
//! - `firing`: what a tick sets off; `change`: a rollback under way; `verify`: after it; `commands`: what a person asks for
//! - `baselines`: what is recorded; `shift`: a step of the migration; `readiness`: whether a rollback would work
//! - `recall`: what is remembered of a guard, and how it goes on from that with other settings

mod baselines;
mod change;
mod commands;
mod firing;
mod readiness;
mod recall;
mod shift;
mod verify;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::action::{Action, Record, Severity, Withheld};
use super::assessment::Assessment;
use super::incident::Incident;
use super::input::{Observation, Reading, TickKind, Unknown};
use super::recorded::Recorded;
use super::settings::{GuardSettings, TriggerAction, TriggerSettings};
use super::telling::{self, Facts, Measured};
use super::trigger::{Clocks, Verdict, since};

pub(super) use readiness::{Readiness, Unready};
pub use verify::Watched;

/// Closed incidents kept of one guard, for the status and the API.
const KEPT_INCIDENTS: usize = 20;

/// Of these the latest keep the objects as they were before: whoever puts something back does so soon, and whole objects fill the state.
const KEPT_SNAPSHOTS: usize = 3;

/// Where a guard is in its story.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardState {
    /// Nothing is wrong, or not for long enough.
    #[default]
    Watching,
    /// The steps are being changed.
    RollingBack,
    /// Changed; waiting for the triggers to become clear.
    Verifying,
    /// Rolled back. Latched until a person re-arms it.
    RolledBack,
    /// Rolled back, and it did not help or could not be done. Latched until a person re-arms it.
    NotRecovered,
    /// A person said to do nothing.
    Paused,
}

impl GuardState {
    /// Every state, for the metrics.
    pub const ALL: [Self; 6] =
        [Self::Watching, Self::RollingBack, Self::Verifying, Self::RolledBack, Self::NotRecovered, Self::Paused];

    /// The state as it is written in the API and the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Watching => "watching",
            Self::RollingBack => "rolling_back",
            Self::Verifying => "verifying",
            Self::RolledBack => "rolled_back",
            Self::NotRecovered => "not_recovered",
            Self::Paused => "paused",
        }
    }
}

/// What holds for all guards at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rules {
    pub interval: Duration,
    pub live_for: Duration,
    pub dry_run: bool,
    pub chinese: bool,
}

/// A guard's pause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Pause {
    until: Timestamp,
    /// The state to go back to.
    from: GuardState,
}

/// A guard, its settings and everything it remembers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Guard {
    pub settings: GuardSettings,
    pub triggers: Vec<Trigger>,
    pub state: GuardState,
    pub share: Result<u8, Unknown>,
    pub incident: Option<Incident>,
    /// A step of the migration that is under way.
    pub shift: Option<Incident>,
    pub closed: Vec<Incident>,
    /// Whether a rollback would work, as it was last tried.
    pub readiness: Readiness,
    pub last_tick: Option<Timestamp>,
    /// The recorded baselines of triggers that are not configured now: one that is switched off for a night keeps its own.
    other_baselines: BTreeMap<String, Vec<Recorded>>,
    /// When the clocks were last started from nothing: what was measured until then is not wanted as history.
    anew_since: Option<Timestamp>,
    pause: Option<Pause>,
    /// Pages outside any incident so far, to tell those of one second apart.
    told: u32,
}

/// A trigger and everything it remembers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Trigger {
    pub settings: TriggerSettings,
    pub clocks: Clocks,
    pub assessment: Option<Assessment>,
    /// The page that is firing, for a trigger that only pages.
    pub firing: Option<Incident>,
    /// Told to be unknown for too long, with what severity.
    pub blind: Option<Severity>,
    /// Unknown since, for the present severity of not seeing.
    pub dark: Option<(Severity, Timestamp)>,
    /// Its recorded baselines, the last the latest.
    pub recorded: Vec<Recorded>,
    /// The verdict that was last told, as one word.
    said: Option<&'static str>,
    withheld: Option<Withheld>,
}

impl Trigger {
    pub fn new(settings: TriggerSettings) -> Self {
        Self {
            settings,
            clocks: Clocks::default(),
            assessment: None,
            firing: None,
            blind: None,
            dark: None,
            recorded: Vec::new(),
            said: None,
            withheld: None,
        }
    }

    fn verdict(&self) -> Option<&Verdict> {
        self.assessment.as_ref().map(|a| &a.verdict)
    }

    /// Whether the breach holds for long enough and is there at this very tick.
    fn fires(&self) -> bool {
        self.verdict() == Some(&Verdict::Breach) && self.clocks.held.is_some_and(|held| held >= self.settings.hold_for)
    }

    /// What an observation says of it, judged like this.
    fn assess(
        &self,
        observation: &Observation,
        share: Option<u8>,
        judge: impl Fn(&TriggerSettings, &Reading) -> Assessment,
    ) -> Assessment {
        let threshold = || self.settings.levels_at(share).threshold;
        let Some(reading) = observation.readings.get(self.settings.name.as_str()) else {
            return Assessment::nothing(threshold());
        };
        match self.settings.complete(reading, &self.recorded) {
            Ok(reading) => {
                let recorded_at = self.settings.in_use(&self.recorded).map(|recorded| recorded.recorded_at);
                Assessment { recorded_at, ..judge(&self.settings, &reading) }
            }
            Err(unknown) => Assessment::unknown(unknown, threshold()),
        }
    }

    /// Its number against its limit, to be told.
    fn measured(&self) -> Measured {
        Measured {
            settings: self.settings.for_words(),
            assessment: self.assessment.clone(),
            held: self.clocks.held.unwrap_or_default(),
        }
    }

    /// The facts that a page carries; none where nothing was measured yet.
    fn facts(&self, rules: Rules) -> Option<Facts> {
        self.facts_of(&self.measured(), rules)
    }

    /// The same of another look at it.
    fn facts_of(&self, measured: &Measured, rules: Rules) -> Option<Facts> {
        let mut facts = measured.assessment.as_ref()?.facts(&self.settings, Some(measured.held));
        facts.baseline_source = self.settings.baseline_source(&self.recorded);
        let words = rules.chinese.then(|| telling::trigger_words(measured, &self.recorded)).flatten();
        Some(Facts { facts, words })
    }
}

impl Guard {
    pub fn new(settings: GuardSettings) -> Self {
        let triggers = settings.triggers.iter().cloned().map(Trigger::new).collect();
        Self {
            settings,
            triggers,
            state: GuardState::Watching,
            share: Err(Unknown::NotObserved),
            incident: None,
            shift: None,
            closed: Vec::new(),
            readiness: Readiness::default(),
            last_tick: None,
            other_baselines: BTreeMap::new(),
            anew_since: None,
            pause: None,
            told: 0,
        }
    }

    /// Until when the guard is paused.
    pub fn paused_until(&self) -> Option<Timestamp> {
        self.pause.as_ref().map(|p| p.until)
    }

    pub fn name(&self) -> &str {
        &self.settings.name
    }

    fn goto(&mut self, to: GuardState, reason: impl Into<String>, actions: &mut Vec<Action>) {
        let from = std::mem::replace(&mut self.state, to);
        actions.push(Action::Record(Record::Transition {
            guard: self.name().to_owned(),
            from,
            to,
            incident: self.incident.as_ref().map(|i| i.id.clone()),
            reason: reason.into(),
        }));
    }

    fn ignored(&self, reason: impl Into<String>) -> Action {
        Action::Record(Record::Ignored { guard: Some(self.name().to_owned()), reason: reason.into() })
    }

    /// Whether a tick is news. A live one that is older than the last is news only when the clock was set back: the last one lies in the
    /// future then. One of the past is news when it is younger than all that was seen, whatever could not be seen since.
    pub fn accepts(&self, at: Timestamp, kind: TickKind, now: Timestamp) -> bool {
        match kind {
            TickKind::Live => self.last_tick.is_none_or(|last| at > last || (at < last && last > now)),
            TickKind::History => self.seen_until().is_none_or(|seen| at > seen),
        }
    }

    /// Up to when history is in the clocks; `None` when nothing was ever seen.
    pub fn seen_until(&self) -> Option<Timestamp> {
        self.triggers.iter().filter_map(|t| t.clocks.last_known).chain(self.anew_since).max()
    }

    /// One tick: measure, advance the clocks, and do what the state asks for.
    pub fn tick(
        &mut self,
        observation: &Observation,
        at: Timestamp,
        kind: TickKind,
        now: Timestamp,
        rules: Rules,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        if !self.accepts(at, kind, now) {
            // A replay begins where the guard that knows least needs it: to say so of each tick to each other one would drown the log.
            if kind == TickKind::Live {
                actions.push(self.ignored(format!("the tick of {at} was seen already, or is older than the last one")));
            }
            return actions;
        }
        match kind {
            TickKind::Live => {
                self.last_tick = Some(at);
                self.share = observation.share.clone();
                // Of a clock that was ahead and was set back since.
                self.anew_since = self.anew_since.filter(|anew| *anew <= now);
                // Only here: a pause that ends may order a change, and nothing of the past may.
                if self.pause.as_ref().is_some_and(|p| now >= p.until) {
                    self.resume("the pause is over", now, rules, &mut actions);
                }
            }
            TickKind::History => {
                self.last_tick = self.last_tick.max(Some(at));
                // The past of the share is not known, and what is known of it now is the better guess.
                if observation.share.is_ok() {
                    self.share = observation.share.clone();
                }
            }
        }
        self.measure(observation, at, kind, rules, &mut actions);

        let age = since(at, now);
        let may_act = match kind {
            TickKind::History => Err(Withheld::History),
            TickKind::Live if age > rules.live_for => Err(Withheld::Late(age)),
            TickKind::Live => Ok(()),
        };
        if may_act.is_ok() {
            match self.state {
                GuardState::Verifying => self.verify(observation, at, now, rules, &mut actions),
                GuardState::Watching if self.incident.is_some() => self.close_by_itself(now, rules, &mut actions),
                // A dry run changed nothing, so that there is nothing to latch: it watches on for the next story.
                GuardState::RolledBack | GuardState::NotRecovered
                    if !rules.dry_run && self.incident.as_ref().is_some_and(|i| i.dry_run) =>
                {
                    self.end_dry_run(now, rules, &mut actions);
                }
                GuardState::RolledBack if self.incident.as_ref().is_some_and(|i| i.dry_run) => {
                    self.close_by_itself(now, rules, &mut actions);
                }
                _ => {}
            }
            self.watch_the_change(&observation.drift, now, rules, &mut actions);
            self.watch_while_latched(now, rules, &mut actions);
        }
        self.fire_pages(&may_act, now, rules, &mut actions);
        self.fire_rollback(may_act, now, rules, &mut actions);
        actions
    }

    fn measure(
        &mut self,
        observation: &Observation,
        at: Timestamp,
        kind: TickKind,
        rules: Rules,
        actions: &mut Vec<Action>,
    ) {
        let share = self.share.as_ref().ok().copied();
        for trigger in &mut self.triggers {
            let assessment = trigger.assess(observation, share, |settings, reading| settings.assess(reading, share));
            trigger.clocks.advance(&assessment.verdict, at, trigger.settings.clear_for, rules.interval);
            if kind == TickKind::History
                && !matches!(assessment.verdict, Verdict::Unknown(_))
                && trigger.dark.is_some_and(|(_, dark_since)| at >= dark_since)
            {
                // It saw meanwhile: not seeing begins anew, if it does not see now.
                trigger.dark = None;
            }
            if kind == TickKind::Live && trigger.said != Some(assessment.verdict.word()) {
                trigger.said = Some(assessment.verdict.word());
                actions.push(Action::Record(Record::Verdict {
                    guard: self.settings.name.clone(),
                    trigger: trigger.settings.name.clone(),
                    verdict: assessment.verdict.word(),
                    reason: match (assessment.text(&trigger.settings), assessment.reason(&trigger.settings)) {
                        (text, reason) if text == reason => reason,
                        (text, reason) => format!("{text}: {reason}"),
                    },
                }));
            }
            trigger.assessment = Some(assessment);
        }
    }

    /// Says once, until something changes, why a trigger that holds is not acted on.
    fn withhold(&mut self, index: usize, why: Withheld, actions: &mut Vec<Action>) {
        let trigger = &mut self.triggers[index];
        if trigger.withheld.as_ref().map(std::mem::discriminant) == Some(std::mem::discriminant(&why)) {
            return;
        }
        trigger.withheld = Some(why.clone());
        actions.push(Action::Record(Record::Withheld {
            guard: self.settings.name.clone(),
            trigger: trigger.settings.name.clone(),
            reason: why,
        }));
    }

    /// The triggers of one action that fire at this tick. Of those that hold and do not fire it is said why.
    fn firing(&mut self, action: TriggerAction, actions: &mut Vec<Action>) -> Vec<usize> {
        let mut firing = Vec::new();
        for index in 0..self.triggers.len() {
            let trigger = &mut self.triggers[index];
            if trigger.settings.action != action {
                continue;
            }
            if trigger.fires() {
                firing.push(index);
                continue;
            }
            let holds = trigger.clocks.held.is_some_and(|held| held >= trigger.settings.hold_for);
            match trigger.verdict() {
                Some(Verdict::Unknown(unknown)) if holds => {
                    let why = Withheld::Unknown(unknown.clone());
                    self.withhold(index, why, actions);
                }
                Some(_) if holds => self.withhold(index, Withheld::NotBreaching, actions),
                _ => trigger.withheld = None,
            }
        }
        firing
    }

    /// Closes the open incident, if there is one.
    fn retire(&mut self, now: Timestamp) {
        if let Some(incident) = self.incident.take() {
            self.close(incident, now);
        }
    }

    /// Keeps an incident that is over.
    fn close(&mut self, mut incident: Incident, now: Timestamp) {
        incident.closed_at.get_or_insert(now);
        self.closed.push(incident);
        for older in self.closed.iter_mut().rev().skip(KEPT_SNAPSHOTS) {
            older.snapshot.clear();
        }
        if self.closed.len() > KEPT_INCIDENTS {
            self.closed.remove(0);
        }
    }

    /// What was held before was acted on. A page that fires goes on: nothing about it changed.
    fn start_clocks_anew(&mut self, now: Timestamp) {
        self.anew_since = Some(now);
        for trigger in self.triggers.iter_mut().filter(|t| t.settings.action == TriggerAction::Rollback) {
            trigger.clocks = Clocks::default();
            trigger.withheld = None;
        }
    }
}
