//! A rollback under way: its orders, the reports of what became of them, and the next attempt.

use std::time::Duration;

use jiff::Timestamp;

use super::super::action::{Action, ChangeOrder, Event, Record, Severity, TriggerFacts};
use super::super::fingerprint::fnv1a;
use super::super::incident::{IncidentKind, Page};
use super::super::input::{ChangeReport, Progress, StepResult};
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
        reason: String,
        facts: Vec<TriggerFacts>,
        now: Timestamp,
        rules: Rules,
        actions: &mut Vec<Action>,
    ) {
        let mut incident = self.new_incident(IncidentKind::Rollback, reason, facts, now);
        self.cut_shift_short("a rollback comes first", now, actions);
        self.retire(now);
        incident.from_percentage = self.share.as_ref().ok().copied();
        incident.dry_run = rules.dry_run;
        incident.begin_rung(to, &self.settings.rollback.steps);
        let summary = format!("{}: {}, rolling back {}", self.settings.name, incident.reason, incident.movement());
        let page = incident.page(
            now,
            Page {
                event: Event::RollbackStarted,
                severity: Severity::Critical,
                summary,
                advice: "Nothing yet: Ripcord moves the traffic back and reports. Be ready to look if it fails or does not help.",
                dry_run: rules.dry_run,
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
            Progress::Completed => self.completed(now, &mut actions),
            Progress::Failed { step, error } => self.failed(&step, error, now, rules, &mut actions),
        }
        actions
    }

    pub(super) fn completed(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let Some(incident) = &mut self.incident else { return };
        incident.completed_at = Some(now);
        incident.error = None;
        let changed = incident.steps.iter().any(|s| matches!(s.result, StepResult::Changed | StepResult::WouldChange));
        let took = since(incident.opened_at, now);
        let dry_run = incident.dry_run;
        let summary = if dry_run {
            format!("{}: would have been rolled back {}; nothing was changed", self.settings.name, incident.movement())
        } else if changed {
            format!(
                "{}: rolled back {} in {}; checking that it helps",
                self.settings.name,
                incident.movement(),
                words::duration(took)
            )
        } else if incident.resumed || incident.failures > 0 {
            // An attempt that was cut off, or whose answer was lost, may have changed what this one found.
            format!(
                "{}: every step is at {} %, as this attempt found it; whether an attempt before changed it is not known; \
                 checking that it helps",
                self.settings.name, incident.to_percentage
            )
        } else {
            format!(
                "{}: every step was at {} % already; nothing was changed",
                self.settings.name, incident.to_percentage
            )
        };
        let reason = summary.clone();
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
                summary,
                advice: "Wait for the verification: it says whether the service is well again.",
                dry_run,
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
        if incident.failures == 1 {
            let record = Record::Rollback {
                guard: self.settings.name.clone(),
                incident: incident.id.clone(),
                result: "failed",
                took: None,
            };
            // Where every change is accepted the traffic moves as pods become ready, and only the rollout fails.
            let accepted = incident.accepted_at.is_some();
            let what = if accepted { "is accepted, and its rollout FAILS" } else { "FAILS" };
            let summary =
                format!("{}: the rollback {} {what}: {error}; trying again", self.settings.name, incident.movement());
            let page = incident.page(
                now,
                Page {
                    event: Event::RollbackFailed,
                    severity: Severity::Critical,
                    summary,
                    advice: if accepted {
                        "Look at the pods now: the change is made, and they do not become ready. Ripcord keeps looking until they do or you acknowledge (ripcord ack)."
                    } else {
                        "Act now: the traffic is not moved back. Mend what the error says, or change the objects yourself (kubectl); Ripcord keeps trying until it works or you acknowledge (ripcord ack)."
                    },
                    dry_run: rules.dry_run,
                },
            );
            actions.push(Action::Notify(page));
            actions.push(Action::Record(record));
        }
        let delay = retry_delay(&incident.id, incident.failures);
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
