//! The memory of a guard, how one goes on from it with the settings of today, and how a guard ends that has none any more.
//!
//! A reload and a restart are the same thing here: what is remembered meets new settings.

use std::time::Duration;

use jiff::Timestamp;

use super::super::action::{Action, Event, Record, Severity};
use super::super::incident::{Incident, Page};
use super::super::input::Unknown;
use super::super::memory::{GuardMemory, TriggerMemory};
use super::super::settings::{GuardSettings, TriggerSettings};
use super::super::telling::{Gone, Said};
use super::{Guard, GuardState, Readiness, Rules, Trigger};

impl Guard {
    /// What must outlive the process.
    pub fn memory(&self) -> GuardMemory {
        let triggers = self.triggers.iter().map(|t| (t.settings.name.clone(), t.memory())).collect();
        let mut baselines = self.other_baselines.clone();
        let recorded = self.triggers.iter().filter(|t| !t.recorded.is_empty());
        baselines.extend(recorded.map(|t| (t.settings.name.clone(), t.recorded.clone())));
        GuardMemory {
            state: self.state,
            pause: self.pause.clone(),
            share: self.share.as_ref().ok().copied(),
            incident: self.incident.clone(),
            shift: self.shift.clone(),
            unready: self.readiness.told.clone(),
            closed: self.closed.clone(),
            last_tick: self.last_tick,
            anew_since: self.anew_since,
            told: self.told,
            baselines,
            triggers,
        }
    }

    /// A guard that goes on where the memory's left off, and what is to be told of it. A trigger that decides by something else than it
    /// did starts from nothing.
    pub fn recall(
        settings: GuardSettings,
        mut memory: GuardMemory,
        now: Timestamp,
        rules: Rules,
    ) -> (Self, Vec<Action>) {
        let mut actions = Vec::new();
        let mut guard = Self::new(settings);
        for trigger in &mut guard.triggers {
            let name = &trigger.settings.name;
            let remembered = memory.triggers.remove(name);
            if let Some(same) = remembered.clone().filter(|m| m.fingerprint == trigger.settings.fingerprint()) {
                *trigger = Trigger::recall(trigger.settings.clone(), same);
                continue;
            }
            let text = format!("the trigger {name} is new or changed: its clock starts from nothing");
            actions.push(ignored(&guard.settings.name, text));
            let changed = || Gone::Changed(Box::new(trigger.settings.for_words()));
            actions.extend(remembered.into_iter().flat_map(|m| m.end(changed(), now, rules)));
        }
        // After the clocks: what decides now can be another thing than did, and be compared with the same.
        for trigger in &mut guard.triggers {
            trigger.recorded = memory.baselines.remove(&trigger.settings.name).unwrap_or_default();
        }
        guard.other_baselines = std::mem::take(&mut memory.baselines);
        for (name, gone) in std::mem::take(&mut memory.triggers) {
            actions.push(ignored(&guard.settings.name, format!("the trigger {name} is no longer configured")));
            actions.extend(gone.end(Gone::Removed(name), now, rules));
        }
        guard.share = memory.share.ok_or(Unknown::NotObserved);
        guard.incident = memory.incident;
        guard.shift = memory.shift;
        guard.readiness = Readiness::recall(memory.unready);
        guard.closed = memory.closed;
        guard.last_tick = memory.last_tick;
        guard.anew_since = memory.anew_since;
        guard.told = memory.told;
        guard.state = memory.state;
        guard.pause = memory.pause;
        actions.extend(guard.mend());
        (guard, actions)
    }

    /// Takes new settings while the guard lives. What is only shown and logged goes on too.
    pub fn reload(self, settings: GuardSettings, now: Timestamp, rules: Rules) -> (Self, Vec<Action>) {
        let (mut guard, actions) = Self::recall(settings, self.memory(), now, rules);
        guard.share = self.share;
        // What was tried were the steps of before.
        if guard.settings.rollback.steps == self.settings.rollback.steps {
            guard.readiness = self.readiness;
        }
        for old in self.triggers {
            let same = guard.triggers.iter_mut().find(|t| {
                t.settings.name == old.settings.name && t.settings.fingerprint() == old.settings.fingerprint()
            });
            if let Some(trigger) = same {
                trigger.assessment = old.assessment;
                trigger.said = old.said;
                trigger.withheld = old.withheld;
            }
        }
        (guard, actions)
    }

    /// Compares with the baselines of another one of the same name.
    pub fn borrow_baselines(&mut self, other: &Self) {
        for trigger in &mut self.triggers {
            if let Some(known) = other.triggers.iter().find(|known| known.settings.name == trigger.settings.name) {
                trigger.recorded.clone_from(&known.recorded);
            }
        }
    }

    /// A state that lacks what it rests on, in a document that somebody edited say, must neither hang nor act: it is latched where there
    /// is an incident, and watches where there is none.
    fn mend(&mut self) -> Option<Action> {
        let whole = |state: GuardState, incident: bool| match state {
            GuardState::Watching => true,
            GuardState::Paused => false,
            _ => incident,
        };
        let incident = self.incident.is_some();
        let sound = match &self.pause {
            Some(pause) => self.state == GuardState::Paused && whole(pause.from, incident),
            None => whole(self.state, incident),
        };
        if sound {
            return None;
        }
        let was = self.state.as_str();
        self.pause = None;
        self.state = if incident { GuardState::NotRecovered } else { GuardState::Watching };
        let text =
            format!("what is remembered does not fit together ({was}): the guard is {} instead", self.state.as_str());
        Some(ignored(self.name(), text))
    }

    /// Goes on with a rollback that was under way when the process ended. Steps that are done already are found so.
    pub fn take_up(&mut self, now: Timestamp, rules: Rules) -> Vec<Action> {
        let mut actions = Vec::new();
        // Whoever asked for it has gone with the process, and may have moved traffic otherwise since.
        self.cut_shift_short("Ripcord was restarted: look at the share", now, &mut actions);
        let Some(incident) = &mut self.incident else { return actions };
        if self.state != GuardState::RollingBack {
            return actions;
        }
        if rules.dry_run && !incident.dry_run {
            let text = format!("the rollback {} began for real: a dry run does not go on with it", incident.id);
            actions.push(self.ignored(text));
            return actions;
        }
        incident.take_up(now, "taken up again after a restart or a change of leader");
        let record = Record::Rollback {
            guard: self.settings.name.clone(),
            incident: incident.id.clone(),
            result: "resumed",
            took: None,
        };
        actions.push(Action::Journal);
        actions.extend(self.order(Duration::ZERO, rules));
        actions.push(Action::Record(record));
        actions
    }
}

impl Trigger {
    fn memory(&self) -> TriggerMemory {
        TriggerMemory {
            fingerprint: self.settings.fingerprint(),
            clocks: self.clocks.clone(),
            severity: self.firing.is_some().then_some(self.settings.severity),
            firing: self.firing.clone(),
            blind: self.blind,
            dark: self.dark,
        }
    }

    fn recall(settings: TriggerSettings, memory: TriggerMemory) -> Self {
        Self {
            clocks: memory.clocks,
            firing: memory.firing,
            blind: memory.blind,
            dark: memory.dark,
            ..Self::new(settings)
        }
    }
}

impl TriggerMemory {
    /// The end of a trigger, or of what it decided by: a page that fires would fire for ever.
    fn end(self, why: Gone, now: Timestamp, rules: Rules) -> Option<Action> {
        let mut story = self.firing?;
        let page = Page {
            event: Event::PageResolved,
            severity: self.severity.unwrap_or(Severity::Critical),
            said: Said::TriggerGone(why),
            facts: None,
            next: None,
            dry_run: rules.dry_run,
            chinese: rules.chinese,
        };
        Some(Action::Notify(story.page(now, page)))
    }
}

impl GuardMemory {
    /// The end of a guard that is no longer configured: nothing of it is left in silence.
    pub fn end(self, guard: &str, now: Timestamp, rules: Rules) -> Vec<Action> {
        let mut actions = Vec::new();
        let said = match &self.incident {
            Some(incident) => format!("; its incident {} ends here", incident.id),
            None => String::new(),
        };
        actions.push(ignored(guard, format!("the guard is no longer configured: it is not watched any more{said}")));
        let moving = |state| state == GuardState::RollingBack;
        let under_way = moving(self.state) || self.pause.as_ref().is_some_and(|p| moving(p.from));
        for (name, trigger) in self.triggers {
            actions.extend(trigger.end(Gone::Removed(name), now, rules));
        }
        actions.extend(self.unready.map(|story| story.end(guard, now, rules)));
        if let Some(shift) = &self.shift {
            actions.push(Action::AbandonChange { guard: guard.to_owned(), incident: shift.id.clone() });
        }
        let Some(incident) = self.incident else { return actions };
        if moving(self.state) {
            actions.push(Action::AbandonChange { guard: guard.to_owned(), incident: incident.id.clone() });
        }
        if under_way && !incident.dry_run {
            actions.extend(abandoned(guard, incident, now, rules));
        } else {
            actions.push(closed(incident, self.state, now, rules));
        }
        actions
    }
}

/// Traffic may be half moved, and nobody goes on with it.
fn abandoned(guard: &str, mut incident: Incident, now: Timestamp, rules: Rules) -> [Action; 2] {
    let page = Page {
        event: Event::RollbackFailed,
        severity: Severity::Critical,
        said: Said::RollbackAbandoned { way: incident.way() },
        facts: None,
        next: None,
        dry_run: rules.dry_run,
        chinese: rules.chinese,
    };
    let page = incident.page(now, page);
    let record = Record::Rollback { guard: guard.to_owned(), incident: incident.id, result: "abandoned", took: None };
    [Action::Notify(page), Action::Record(record)]
}

fn closed(mut incident: Incident, state: GuardState, now: Timestamp, rules: Rules) -> Action {
    let page = Page {
        event: Event::PageResolved,
        severity: Severity::Critical,
        said: Said::GuardGone { verifying: state == GuardState::Verifying },
        facts: None,
        next: None,
        dry_run: rules.dry_run || incident.dry_run,
        chinese: rules.chinese,
    };
    Action::Notify(incident.page(now, page))
}

fn ignored(guard: &str, reason: String) -> Action {
    Action::Record(Record::Ignored { guard: Some(guard.to_owned()), reason })
}
