//! What a person records: the baselines of a guard's triggers.

use jiff::Timestamp;

use super::super::action::{Action, Record};
use super::super::input::NewBaseline;
use super::super::recorded;
use super::super::words;
use super::{Guard, Trigger};

impl Guard {
    /// Takes new baselines, all of them or none.
    pub(super) fn record_baselines(&mut self, new: Vec<NewBaseline>, now: Timestamp, actions: &mut Vec<Action>) {
        let mut reasons = Vec::new();
        for NewBaseline { trigger, measured } in &new {
            match self.trigger(trigger) {
                Some(known) => reasons
                    .extend(known.settings.refuses(measured, now).into_iter().map(|why| format!("{trigger}: {why}"))),
                None => reasons.push(format!("there is no trigger {trigger:?}")),
            }
        }
        if new.is_empty() {
            reasons.push("there is no baseline to record".to_owned());
        }
        if !reasons.is_empty() {
            return actions.push(self.ignored(reasons.join("; ")));
        }
        actions.push(Action::Journal);
        let guard = self.settings.name.clone();
        for NewBaseline { trigger, measured } in new {
            let Some(trigger) = self.triggers.iter_mut().find(|known| known.settings.name == trigger) else { continue };
            let value = words::quantity(measured.value, trigger.settings.unit);
            recorded::keep(&mut trigger.recorded, measured, now);
            trigger.compares_anew();
            let of = trigger.recorded.last().map(recorded::Recorded::source).unwrap_or_default();
            actions.push(Action::Record(Record::Baseline {
                guard: guard.clone(),
                trigger: trigger.settings.name.clone(),
                detail: format!("{value}, {of}"),
            }));
        }
    }

    /// Goes back to a version that is kept.
    pub(super) fn use_baseline(&mut self, name: &str, version: u32, actions: &mut Vec<Action>) {
        let guard = self.settings.name.clone();
        let Some(trigger) = self.triggers.iter_mut().find(|known| known.settings.name == name) else {
            return actions.push(self.ignored(format!("there is no trigger {name:?}")));
        };
        let Some(at) = trigger.recorded.iter().position(|recorded| recorded.version == version) else {
            let kept: Vec<_> = trigger.recorded.iter().rev().map(|recorded| recorded.version.to_string()).collect();
            let kept = if kept.is_empty() { "none".to_owned() } else { kept.join(", ") };
            return actions.push(self.ignored(format!("{name} has no version {version} (there are: {kept})")));
        };
        let again = trigger.recorded.remove(at);
        let detail = format!("{}, {}", words::quantity(again.measured.value, trigger.settings.unit), again.source());
        trigger.recorded.push(again);
        if trigger.settings.in_use(&trigger.recorded).map(|recorded| recorded.version) != Some(version) {
            let again = trigger.recorded.pop();
            trigger.recorded.splice(at..at, again);
            let why = format!("version {version} of {name} was measured of other series, or of another quantile");
            return actions.push(self.ignored(why));
        }
        trigger.compares_anew();
        actions.push(Action::Journal);
        actions.push(Action::Record(Record::Baseline { guard, trigger: name.to_owned(), detail }));
    }

    fn trigger(&self, name: &str) -> Option<&Trigger> {
        self.triggers.iter().find(|trigger| trigger.settings.name == name)
    }
}

impl Trigger {
    /// What was held was held against another number. A page that fires goes on: its clock ends it.
    fn compares_anew(&mut self) {
        if self.firing.is_none() {
            self.clocks.held = None;
            self.clocks.clear = None;
            self.withheld = None;
        }
    }
}
