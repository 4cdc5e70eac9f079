//! The engine over history: each instant is a live tick at its own time, and what the engine orders is answered at once as a dry run
//! answers it, so that each trouble of a week is told.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::config;
use crate::engine::{
    Action, ChangeOrder, ChangeReport, Engine, Event, Incident, IncidentKind, Input, Memory, Name, Notification,
    Observation, Progress, Reading, Record, Settings, StepReport, StepResult, Tick, TickKind, TriggerAction, Unknown,
    Verdict,
};

use super::report::{GuardReport, Page, Replay, Trip, TripKind};
use super::tally::{Span, Tally};
use super::words;

/// The readings of an instant, by guard and trigger.
pub type Readings = BTreeMap<Name, BTreeMap<Name, Reading>>;

/// The shares of an instant, by guard. A guard that is not here has an unknown one.
pub type Shares = BTreeMap<Name, u8>;

/// The ticks that a past instant stays live for: it is always handled at its own time.
const LIVE_TICKS: u32 = 2;

/// One engine on its way through history, and what it did.
pub struct Run {
    engine: Engine,
    span: Span,
    guards: Vec<OfGuard>,
    watchdog: Vec<Page>,
    last: Option<Timestamp>,
    ticks: u64,
}

/// What is collected of one guard.
struct OfGuard {
    name: Name,
    steps: Vec<String>,
    trips: Vec<Trip>,
    triggers: Vec<Tally>,
    breach: f64,
    unknown: f64,
    share_known: f64,
}

impl Run {
    /// An engine by these settings that ticks every `step`.
    pub fn new(guards: &[config::Guard], evaluation: &config::Evaluation, step: Duration, span: Span) -> Self {
        let settings = engine_settings(guards, evaluation, step);
        let guards = settings.guards.iter().map(|guard| OfGuard {
            name: config::lasting(&guard.name),
            steps: guard.rollback.steps.clone(),
            trips: Vec::new(),
            triggers: guard.triggers.iter().map(|trigger| Tally::new(trigger.clone(), span)).collect(),
            breach: 0.0,
            unknown: 0.0,
            share_known: 0.0,
        });
        let guards = guards.collect();
        Self { engine: Engine::new(settings), span, guards, watchdog: Vec::new(), last: None, ticks: 0 }
    }

    /// Compares with the baselines that a daemon has recorded.
    pub fn remember(&mut self, guards: &[config::Guard], evaluation: &config::Evaluation, memory: Memory) {
        let settings = engine_settings(guards, evaluation, Duration::from_secs_f64(self.span.step));
        self.engine.borrow_baselines(&Engine::remembered(settings, memory, self.span.from));
    }

    /// Since when it must tick so that its clocks at `from` are what they would be had it watched all the time.
    pub fn begins(
        guards: &[config::Guard],
        evaluation: &config::Evaluation,
        step: Duration,
        from: Timestamp,
    ) -> Timestamp {
        Engine::new(engine_settings(guards, evaluation, step)).owed_since(from)
    }

    /// One instant of history.
    pub fn tick(&mut self, at: Timestamp, mut readings: Readings, shares: &Shares) {
        let counts = at >= self.span.from;
        let mut observed = BTreeMap::new();
        for guard in &mut self.guards {
            let share = shares.get(guard.name).copied();
            if counts && share.is_some() {
                guard.share_known += self.span.step;
            }
            let observation = Observation {
                share: share.ok_or(Unknown::NotObserved),
                readings: readings.remove(guard.name).unwrap_or_default(),
                drift: Vec::new(),
            };
            observed.insert(guard.name, observation);
        }
        let tick = Tick { at, kind: TickKind::Live, guards: observed };
        let mut actions = self.engine.replay(Input::Tick(tick), at);
        self.answer(&mut actions, at);
        self.explain(&mut actions);
        self.look(at);
        for action in actions {
            match action {
                Action::Record(Record::Withheld { guard, trigger, reason }) => {
                    if let Some(tally) = self.tally(&guard, &trigger) {
                        tally.withhold(&reason, at);
                    }
                }
                Action::Notify(notification) => self.told(notification, at),
                _ => {}
            }
        }
        self.last = Some(at);
        self.ticks += u64::from(counts);
    }

    /// Says of each change that is ordered that all of it would have worked, so that its story goes on.
    fn answer(&mut self, actions: &mut Vec<Action>, at: Timestamp) {
        let mut next = 0;
        while next < actions.len() {
            if let Action::Change(order) = &actions[next] {
                let reports = self.reports(&order.clone());
                for report in reports {
                    actions.extend(self.engine.replay(Input::Change(report), at));
                }
            }
            next += 1;
        }
    }

    fn reports(&self, order: &ChangeOrder) -> Vec<ChangeReport> {
        let steps = self.guards.iter().find(|guard| *guard.name == order.guard).map_or(&[][..], |guard| &guard.steps);
        let step = |step: &String| {
            Progress::Step(StepReport { step: step.clone(), result: StepResult::WouldChange, detail: None })
        };
        let all = steps.iter().map(step).chain([Progress::Accepted, Progress::Completed]);
        all.map(|progress| ChangeReport {
            guard: order.guard.clone(),
            incident: order.incident.clone(),
            attempt: order.attempt,
            progress,
        })
        .collect()
    }

    /// Why each verdict that is another one now is so.
    fn explain(&mut self, actions: &mut [Action]) {
        for action in actions {
            if let Action::Record(Record::Verdict { guard, trigger, reason, .. }) = action {
                let reason = std::mem::take(reason);
                if let Some(tally) = self.tally(guard, trigger) {
                    tally.explain(reason);
                }
            }
        }
    }

    /// What every trigger is after the tick.
    fn look(&mut self, at: Timestamp) {
        let counts = at >= self.span.from;
        let mut views = self.engine.triggers();
        for guard in &mut self.guards {
            let only_pages = guard.triggers.iter().all(|t| t.settings().action == TriggerAction::Page);
            let (mut breach, mut unknown) = (false, false);
            for tally in &mut guard.triggers {
                // The engine has the same guards and triggers in the same order.
                let Some(view) = views.next() else { return };
                if only_pages || view.settings.action == TriggerAction::Rollback {
                    breach |= matches!(view.verdict, Some(Verdict::Breach));
                    unknown |= matches!(view.verdict, Some(Verdict::Unknown(_)) | None);
                }
                let Some(cleared) = tally.tick(&view, at) else { continue };
                let name = &view.settings.name;
                for trip in guard.trips.iter_mut().filter(|trip| trip.going_on.contains(name)) {
                    trip.going_on.retain(|going_on| going_on != name);
                    if trip.going_on.is_empty() {
                        trip.lasted_seconds = Some(between(trip.first_breach, cleared));
                    }
                }
            }
            if counts {
                guard.breach += if breach { self.span.step } else { 0.0 };
                guard.unknown += if unknown { self.span.step } else { 0.0 };
            }
        }
    }

    fn told(&mut self, told: Notification, at: Timestamp) {
        let page = Page { time: told.time, event: told.event, severity: told.severity, summary: told.summary.clone() };
        let Some(incident) = &told.incident else { return };
        let open = self.guards.iter_mut().flat_map(|g| &mut g.trips).rev().find(|trip| trip.incident == *incident);
        if let Some(trip) = open {
            if told.event == Event::PageResolved {
                trip.closed = Some(at);
            }
            trip.pages.push(page);
            return;
        }
        match told.event {
            Event::RollbackStarted | Event::PageFiring => self.tripped(told, page, at),
            // What was not seen before the beginning is not told, and neither is its end.
            Event::WatchdogSees if !self.is_blind() => {}
            _ if at >= self.span.from => self.watchdog.push(page),
            _ => {}
        }
    }

    /// Whether it was told that something is not seen, and not yet that it is again.
    fn is_blind(&self) -> bool {
        let told = |event| self.watchdog.iter().filter(|page| page.event == event).count();
        told(Event::WatchdogBlind) > told(Event::WatchdogSees)
    }

    fn tripped(&mut self, told: Notification, page: Page, at: Timestamp) {
        let incident = told.incident.unwrap_or_default();
        let story: Option<Incident> = self.engine.incidents().into_iter().find(|story| story.id == incident);
        let Some(guard) = self.guards.iter_mut().find(|guard| Some(guard.name) == told.guard.as_deref()) else {
            return;
        };
        let triggers = match &story {
            Some(story) => story.triggers.clone(),
            None => told.trigger.into_iter().collect(),
        };
        let mut first_breach = at;
        for tally in &mut guard.triggers {
            if triggers.iter().any(|facts| facts.name == tally.settings().name) {
                first_breach = first_breach.min(tally.fire(at));
            }
        }
        guard.trips.push(Trip {
            incident,
            kind: match story.as_ref().map(|story| story.kind) {
                None => TripKind::Page,
                Some(IncidentKind::AtTarget) => TripKind::AtTarget,
                Some(IncidentKind::Rollback | IncidentKind::Shift) => TripKind::Rollback,
            },
            time: at,
            before_from: at < self.span.from,
            summary: told.summary,
            going_on: triggers.iter().map(|facts| facts.name.clone()).collect(),
            triggers,
            first_breach,
            time_to_trip_seconds: between(first_breach, at),
            from_percentage: story.as_ref().and_then(|story| story.from_percentage),
            to_percentage: story.as_ref().map(|story| story.to_percentage),
            lasted_seconds: None,
            closed: None,
            pages: vec![page],
        });
    }

    fn tally(&mut self, guard: &str, trigger: &str) -> Option<&mut Tally> {
        let guard = self.guards.iter_mut().find(|known| known.name == guard)?;
        guard.triggers.iter_mut().find(|tally| tally.settings().name == trigger)
    }

    /// What it did.
    pub fn finish(self, name: &'static str, overrides: Vec<String>) -> Replay {
        let (from, last) = (self.span.from, self.last.unwrap_or(self.span.from));
        let guards = self.guards.into_iter().map(|guard| {
            let triggers: Vec<_> = guard.triggers.into_iter().map(|tally| tally.finish(last)).collect();
            // What was over before is another report's.
            let over_before = |trip: &Trip| trip.before_from && trip.closed.is_some_and(|closed| closed < from);
            let rolls_back = triggers.iter().any(|t| t.action == TriggerAction::Rollback);
            let reasons = triggers.iter().filter(|t| !rolls_back || t.action == TriggerAction::Rollback);
            let mostly = reasons.flat_map(|t| &t.time.unknown).max_by(|a, b| a.seconds.total_cmp(&b.seconds));
            GuardReport {
                guard: guard.name.to_string(),
                breach_seconds: guard.breach,
                unknown_seconds: guard.unknown,
                mostly_unknown: mostly.map(|unknown| words::reason(unknown.reason)),
                share_known_seconds: guard.share_known,
                trips: guard.trips.into_iter().filter(|trip| !over_before(trip)).collect(),
                triggers,
            }
        });
        Replay {
            name,
            overrides,
            step_seconds: self.span.step,
            ticks: self.ticks,
            guards: guards.collect(),
            watchdog: self.watchdog,
        }
    }
}

fn engine_settings(guards: &[config::Guard], evaluation: &config::Evaluation, step: Duration) -> Settings {
    Settings {
        interval: step,
        blind_after: evaluation.blind_after,
        live_for: step * LIVE_TICKS,
        chinese: false,
        dry_run: true,
        guards: guards.iter().map(|guard| guard.engine.clone()).collect(),
    }
}

fn between(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}
