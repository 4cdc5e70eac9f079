//! A rollback under way: its orders, the reports of what became of them, and the next attempt.

use std::time::Duration;

use jiff::Timestamp;

use super::super::action::{Action, ChangeOrder, Event, Next, Record, Severity};
use super::super::fingerprint::fnv1a;
use super::super::incident::{IncidentKind, Page};
use super::super::input::{ChangeReport, Progress, StepResult};
use super::super::language::Language;
use super::super::telling::{self, Cause, Facts, Said};
use super::super::trigger::since;
use super::super::words;
use super::{Guard, GuardState, Rules};

/// The wait before the second attempt of a change. Short: an API server that answered once with an error often answers the next time.
const RETRY_FIRST: Duration = Duration::from_secs(1);

/// The longest wait between two attempts. A night's outage of the API server must not cost more than this after it is over.
const RETRY_LONGEST: Duration = Duration::from_secs(30);

/// The part of a wait that differs from incident to incident, so that guards that fail together do not retry together.
const RETRY_JITTER: f64 = 0.2;

impl Guard {
    pub(super) fn begin_rollback(
        &mut self,
        to: u8,
        cause: Cause,
        facts: Vec<Facts>,
        now: Timestamp,
        rules: Rules,
        actions: &mut Vec<Action>,
    ) {
        let mut incident = self.new_incident(IncidentKind::Rollback, telling::cause(&cause), facts, now);
        self.cut_shift_short("a rollback comes first", now, actions);
        self.supersede(&incident.id, now, rules, actions);
        incident.from_percentage = self.share.as_ref().ok().copied();
        incident.dry_run = rules.dry_run;
        incident.begin_rung(to, &self.settings.rollback.steps);
        let said = Said::RollbackStarted { cause, way: incident.way() };
        let page = incident.page(
            now,
            Page {
                event: Event::RollbackStarted,
                severity: Severity::Critical,
                said,
                facts: None,
                next: self.settings.rollback.next(),
                dry_run: rules.dry_run,
                chinese: rules.chinese,
            },
        );
        let reason = incident.reason.clone();
        self.incident = Some(incident);
        actions.push(Action::Journal);
        actions.extend(self.order(Duration::ZERO, rules));
        actions.push(Action::Notify(page));
        self.goto(GuardState::RollingBack, reason, actions);
    }

    /// The order for the present attempt of the present rung. None for a rollback that began for real and that a dry run found: done
    /// as a dry run it would be told, and latched, as if it were done.
    pub(super) fn order(&self, delay: Duration, rules: Rules) -> Option<Action> {
        self.incident.as_ref().filter(|incident| incident.dry_run || !rules.dry_run).map(|incident| {
            Action::Change(ChangeOrder {
                guard: self.settings.name.clone(),
                incident: incident.id.clone(),
                attempt: incident.attempt,
                percentage: incident.to_percentage,
                reason: incident.reason.clone(),
                decided_at: incident.opened_at,
                delay,
                // Nothing is changed in the rest of a story that was told as a dry run either.
                dry_run: incident.dry_run,
                rollback: true,
                save: incident.steps.iter().all(|step| step.result != StepResult::Changed),
                saved: incident.snapshot.iter().map(|saved| saved.object.clone()).collect(),
            })
        })
    }

    /// How far the change has come.
    pub fn report(&mut self, report: ChangeReport, now: Timestamp, rules: Rules) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.is_of_the_shift(&report) {
            self.shift_report(report, now, &mut actions);
            return actions;
        }
        let current = self.state == GuardState::RollingBack
            && self.incident.as_ref().is_some_and(|i| i.id == report.incident && i.attempt == report.attempt);
        if !current {
            actions.push(self.ignored(format!(
                "a report of attempt {} of {} came when that attempt was no longer under way",
                report.attempt, report.incident
            )));
            return actions;
        }
        let Some(incident) = &mut self.incident else { return actions };
        match report.progress {
            Progress::Saved(objects) => {
                incident.keep(objects);
                actions.push(Action::Journal);
            }
            Progress::Step(step) => {
                incident.note(now, format!("{}: {}", step.step, step.result.as_str()));
                incident.note_step(step);
                actions.push(Action::Journal);
            }
            Progress::Accepted => {
                incident.accepted_at = Some(now);
                incident.note(now, "every change is accepted; waiting for the rollouts");
                actions.push(Action::Journal);
            }
            Progress::Completed => self.completed(now, rules, &mut actions),
            Progress::Failed { step, error } => self.failed(&step, error, now, rules, &mut actions),
        }
        actions
    }

    pub(super) fn completed(&mut self, now: Timestamp, rules: Rules, actions: &mut Vec<Action>) {
        let Some(incident) = &mut self.incident else { return };
        incident.completed_at = Some(now);
        incident.error = None;
        let changed = incident.steps.iter().any(|s| matches!(s.result, StepResult::Changed | StepResult::WouldChange));
        let took = since(incident.opened_at, now);
        let dry_run = incident.dry_run;
        let (way, to) = (incident.way(), incident.to_percentage);
        let said = if dry_run {
            Said::WouldHaveRolledBack { way }
        } else if changed {
            Said::RolledBack { way, took }
        } else if incident.resumed || incident.failures > 0 {
            // An attempt that was cut off, or whose answer was lost, may have changed what this one found.
            Said::FoundThere { to }
        } else {
            Said::WasThere { to }
        };
        let reason = said.words(&self.settings.name, Language::English).summary;
        let record = Record::Rollback {
            guard: self.settings.name.clone(),
            incident: incident.id.clone(),
            result: "succeeded",
            took: Some(took),
        };
        let page = incident.page(
            now,
            Page {
                event: Event::RollbackSucceeded,
                severity: Severity::Critical,
                said,
                facts: None,
                next: self.settings.rollback.next().filter(|_| !dry_run),
                dry_run,
                chinese: rules.chinese,
            },
        );
        actions.push(Action::Journal);
        actions.push(Action::Notify(page));
        actions.push(Action::Record(record));
        if !dry_run {
            self.start_clocks_anew(now);
        }
        let to = if dry_run { GuardState::RolledBack } else { GuardState::Verifying };
        self.goto(to, reason, actions);
    }

    pub(super) fn failed(
        &mut self,
        step: &str,
        error: String,
        now: Timestamp,
        rules: Rules,
        actions: &mut Vec<Action>,
    ) {
        let Some(incident) = &mut self.incident else { return };
        let error = words::bounded(&error);
        incident.failures += 1;
        incident.error = Some(error.clone());
        incident.note(now, format!("attempt {} failed at {step}: {error}", incident.attempt));
        actions.push(Action::Journal);
        let delay = retry_delay(&incident.id, incident.failures);
        if incident.failures == 1 {
            let record = Record::Rollback {
                guard: self.settings.name.clone(),
                incident: incident.id.clone(),
                result: "failed",
                took: None,
            };
            let accepted = incident.accepted_at.is_some();
            let said = Said::RollbackFails { way: incident.way(), accepted, error: error.clone() };
            let page = incident.page(
                now,
                Page {
                    event: Event::RollbackFailed,
                    severity: Severity::Critical,
                    said,
                    facts: None,
                    next: Some(Next::Retry { in_seconds: tenths(delay) }),
                    dry_run: rules.dry_run,
                    chinese: rules.chinese,
                },
            );
            actions.push(Action::Notify(page));
            actions.push(Action::Record(record));
        }
        actions.push(Action::Record(Record::Retrying {
            guard: self.settings.name.clone(),
            incident: incident.id.clone(),
            attempt: incident.attempt,
            step: step.to_owned(),
            error,
            delay,
        }));
        incident.attempt += 1;
        actions.extend(self.order(delay, rules));
    }

    /// A person has taken over a rollback that fails.
    pub(super) fn give_up(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let Some(incident) = &mut self.incident else { return };
        incident.note(now, "acknowledged: no further attempts");
        actions.push(Action::AbandonChange { guard: self.settings.name.clone(), incident: incident.id.clone() });
        self.goto(GuardState::NotRecovered, "a person acknowledged the failing rollback", actions);
    }
}

/// Seconds as people are told them.
fn tenths(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}

/// The wait before the next attempt: doubling, bounded, and a little different for each incident and attempt. The engine has no
/// randomness: the difference comes from a hash of the incident's id.
fn retry_delay(incident: &str, failures: u32) -> Duration {
    let base = RETRY_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(RETRY_LONGEST);
    let hash = fnv1a(incident.bytes().chain(failures.to_le_bytes()));
    // The hash's upper half as a number between -1 and 1.
    #[allow(clippy::cast_precision_loss)]
    let spread = (hash >> 32) as f64 / f64::from(u32::MAX) * 2.0 - 1.0;
    base.mul_f64(1.0 + RETRY_JITTER * spread)
}
