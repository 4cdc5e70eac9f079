//! A step of the migration: a person moves traffic, up or down. Up only while all is well and a rollback is known to work. It is tried
//! once: whoever asked for it is there to see what came of it.

use std::time::Duration;

use jiff::Timestamp;

use super::super::action::{Action, ChangeOrder, Record};
use super::super::incident::{Incident, IncidentKind};
use super::super::input::{ChangeReport, Progress};
use super::super::settings::TriggerAction;
use super::super::telling;
use super::super::trigger::Verdict;
use super::super::words;
use super::{Guard, GuardState, Rules};

impl Guard {
    pub(super) fn shift(
        &mut self,
        reason: &str,
        percentage: u8,
        force: bool,
        now: Timestamp,
        rules: Rules,
        actions: &mut Vec<Action>,
    ) {
        if let Some(why) = self.why_no_shift(percentage, force) {
            actions.push(self.ignored(why));
            return;
        }
        let reason = format!("shift by hand: {}", words::bounded(reason));
        let mut incident = self.new_incident(IncidentKind::Shift, reason, Vec::new(), now);
        incident.from_percentage = self.share.as_ref().ok().copied();
        incident.dry_run = rules.dry_run;
        incident.begin_rung(percentage, &self.settings.rollback.steps);
        let forced = if force { ", by force" } else { "" };
        incident.note(now, format!("{}: a person shifts traffic {}{forced}", self.settings.name, incident.movement()));
        actions.push(Action::Journal);
        actions.push(Action::Change(ChangeOrder {
            guard: self.settings.name.clone(),
            incident: incident.id.clone(),
            attempt: incident.attempt,
            percentage,
            reason: incident.reason.clone(),
            decided_at: now,
            delay: Duration::ZERO,
            dry_run: incident.dry_run,
            rollback: false,
            save: true,
            saved: Vec::new(),
        }));
        self.shift = Some(incident);
    }

    /// Why traffic is not to be moved to this share now.
    fn why_no_shift(&self, percentage: u8, force: bool) -> Option<String> {
        // A pause only holds up what it paused.
        match self.pause.as_ref().map_or(self.state, |pause| pause.from) {
            GuardState::RollingBack | GuardState::Verifying => {
                return Some("a rollback is under way: wait for it".to_owned());
            }
            _ if self.shift.is_some() => return Some("a shift is under way already: wait for it".to_owned()),
            _ => {}
        }
        let share = match &self.share {
            // By force it is done again: a shift that failed half way leaves the highest share behind.
            Ok(share) if *share == percentage && force => return None,
            Ok(share) if *share == percentage => return Some(format!("the share is {share} % already")),
            Ok(share) if percentage < *share => return None,
            Ok(share) => Ok(*share),
            Err(unknown) => Err(unknown.to_string()),
        };
        match self.state {
            GuardState::RolledBack | GuardState::NotRecovered => {
                let text = format!(
                    "the guard is latched since its last rollback: find the cause, then re-arm it (ripcord rearm {})",
                    self.settings.name
                );
                return Some(text);
            }
            GuardState::Paused => {
                return Some(format!(
                    "the guard is paused, so nothing would roll a step up back: resume it (ripcord resume {})",
                    self.settings.name
                ));
            }
            _ if force => return None,
            _ => {}
        }
        let mut not_well: Vec<String> = Vec::new();
        let share = share.map_err(|e| not_well.push(format!("the present share is not known: {e}"))).ok();
        if let Some(incident) = &self.incident {
            not_well.push(format!("the incident {} is open: {}", incident.id, incident.reason));
        }
        not_well.extend(self.triggers.iter().filter_map(|trigger| trigger.not_well(share)));
        not_well.extend(match self.readiness.ready() {
            Some(true) => None,
            Some(false) => {
                let problems = self.readiness.problems.iter().map(|p| format!("{}: {}", p.step, p.error));
                Some(format!("a rollback would fail: {}", problems.collect::<Vec<_>>().join("; ")))
            }
            None => Some("whether a rollback would work is not known yet".to_owned()),
        });
        (!not_well.is_empty()).then(|| format!("not all is well: {}", not_well.join("; ")))
    }

    /// How far a shift has come.
    pub(super) fn shift_report(&mut self, report: ChangeReport, now: Timestamp, actions: &mut Vec<Action>) {
        let Some(shift) = &mut self.shift else { return };
        match report.progress {
            Progress::Saved(objects) => shift.keep(objects),
            Progress::Step(step) => {
                shift.note(now, format!("{}: {}", step.step, step.result.as_str()));
                shift.note_step(step);
            }
            Progress::Accepted => {
                shift.accepted_at = Some(now);
                shift.note(now, "every change is accepted; waiting for the rollouts");
            }
            Progress::Completed => {
                shift.completed_at = Some(now);
                let done = if shift.dry_run { "would be shifted" } else { "shifted" };
                let text = format!("{done} {}", shift.movement());
                return self.end_shift("shifted", text, now, actions);
            }
            Progress::Failed { step, error } => {
                let error = words::bounded(&error);
                shift.error = Some(format!("{step}: {error}"));
                let text = format!("failed at {step}: {error}; it is not tried again");
                return self.end_shift("failed", text, now, actions);
            }
        }
        actions.push(Action::Journal);
    }

    /// Ends a shift that is under way for a reason outside it: what was sent stays sent.
    pub(super) fn cut_shift_short(&mut self, why: &str, now: Timestamp, actions: &mut Vec<Action>) {
        let Some(shift) = &mut self.shift else { return };
        let text = format!("cut short: {why}");
        shift.error = Some(text.clone());
        let incident = shift.id.clone();
        actions.push(Action::AbandonChange { guard: self.settings.name.clone(), incident });
        self.end_shift("cut_short", text, now, actions);
    }

    fn end_shift(&mut self, result: &'static str, detail: String, now: Timestamp, actions: &mut Vec<Action>) {
        let Some(mut shift) = self.shift.take() else { return };
        if let Some(incident) = &mut self.incident {
            // A person has moved on from where the rollback left it.
            incident.unwatched = true;
        }
        shift.note(now, &detail);
        actions.push(Action::Journal);
        let (guard, incident) = (self.settings.name.clone(), shift.id.clone());
        actions.push(Action::Record(Record::Shift { guard, incident, result, detail }));
        self.close(shift, now);
    }

    /// Whether a report is one of the shift that is under way.
    pub(super) fn is_of_the_shift(&self, report: &ChangeReport) -> bool {
        self.shift.as_ref().is_some_and(|shift: &Incident| shift.id == report.incident)
    }
}

impl super::Trigger {
    /// Why traffic must not be moved forward while the trigger is like this. At a share of 0 % nothing is measured, and nothing need be.
    fn not_well(&self, share: Option<u8>) -> Option<String> {
        let label = words::label(&self.settings);
        if self.firing.is_some() {
            return Some(format!("the page of {label} is firing"));
        }
        if self.settings.action != TriggerAction::Rollback {
            return None;
        }
        match self.verdict() {
            Some(Verdict::Clear) => None,
            Some(Verdict::Unknown(unknown)) if share == Some(0) && unknown.is_expected_at_zero() => None,
            Some(Verdict::Unknown(unknown)) => Some(format!("{label} is unknown: {unknown}")),
            Some(_) => Some(telling::against_limit(&self.measured())),
            None => Some(format!("{label} is not measured yet")),
        }
    }
}
