//! After the change: did it help, and does it stay?

use std::time::Duration;

use jiff::Timestamp;

use super::super::action::{Action, Event, Next, Record, Severity};
use super::super::drift::Drift;
use super::super::incident::{Page, Verification};
use super::super::input::Observation;
use super::super::settings::TriggerAction;
use super::super::telling::{Facts, Measured, Said, Unseen};
use super::super::trigger::{Verdict, since};
use super::{Guard, GuardState, Rules};

/// A share above the target is believed after this many ticks in a row: the first may have been read before the change.
const TICKS_TO_BELIEVE_REVERTED: u32 = 2;

/// A rollback that is done, and is watched for somebody to undo it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// The guard.
    pub guard: String,
    /// The incident.
    pub incident: String,
    /// The share that it went to, in percent.
    pub percentage: u8,
    /// Why, as the objects' own records have it.
    pub reason: String,
    /// When it was decided.
    pub decided_at: Timestamp,
}

impl Guard {
    /// Did it help? Only data younger than the change counts.
    pub(super) fn verify(
        &mut self,
        observation: &Observation,
        at: Timestamp,
        now: Timestamp,
        rules: Rules,
        actions: &mut Vec<Action>,
    ) {
        let share = self.share.as_ref().ok().copied();
        let Some(incident) = &mut self.incident else { return };
        let Some(completed_at) = incident.completed_at else { return };
        let all_gone = share == Some(0);
        let (mut bad, mut unseen, mut well, mut settle) = (Vec::new(), Vec::new(), Vec::new(), Duration::ZERO);
        for trigger in self.triggers.iter().filter(|t| t.settings.action == TriggerAction::Rollback) {
            let tripped = incident.triggers.iter().any(|facts| facts.name == trigger.settings.name);
            let assessment = trigger.assess(observation, share, |settings, reading| {
                settings.assess_since(reading, share, at, completed_at)
            });
            let verdict = assessment.verdict.clone();
            let look = Measured { assessment: Some(assessment), ..trigger.measured() };
            match verdict {
                Verdict::Clear => {
                    settle = settle.max(trigger.settings.clear_for);
                    well.push(look);
                }
                Verdict::Breach | Verdict::Band => bad.push(look),
                // What did not trip and cannot be seen, with little traffic say, holds nothing up. Nor does what counts no request
                // because all of them have left, as they were told to: others must have seen the recovery then.
                Verdict::Unknown(unknown) if tripped && !(all_gone && unknown.is_expected_at_zero()) => {
                    unseen.push(look)
                }
                Verdict::Unknown(_) => {}
            }
        }
        let clear = bad.is_empty() && unseen.is_empty() && !well.is_empty();
        let clear_since = clear.then(|| incident.fresh_clear_since.unwrap_or(at));
        if incident.fresh_clear_since != clear_since {
            // What began to be clear and was not for a moment must not be taken for clear all the time after a restart.
            incident.fresh_clear_since = clear_since;
            actions.push(Action::Journal);
        }
        let expired = since(completed_at, now) >= self.settings.rollback.verify_within;
        let settled = clear_since.is_some_and(|clear_since| since(clear_since, at) >= settle);
        if settled || (expired && clear) {
            self.verified(&well, now, rules, actions);
        } else if expired && !bad.is_empty() {
            self.did_not_help(bad, now, rules, actions);
        } else if expired {
            self.cannot_see(&unseen, now, rules, actions);
        }
    }

    fn ended(
        &mut self,
        verification: Verification,
        to: GuardState,
        page: Page,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        let result = match verification {
            Verification::Recovered => "verified",
            Verification::NotRecovered => "not_recovered",
            Verification::CannotSee => "cannot_see",
        };
        let Some(incident) = &mut self.incident else { return };
        incident.verification = Some(verification);
        incident.calm = to == GuardState::RolledBack;
        let record =
            Record::Rollback { guard: self.settings.name.clone(), incident: incident.id.clone(), result, took: None };
        let page = incident.page(now, page);
        let reason = page.summary.clone();
        actions.push(Action::Journal);
        actions.push(Action::Notify(page));
        actions.push(Action::Record(record));
        self.goto(to, reason, actions);
    }

    /// Of several looks the one that the page is about: at the trigger that tripped, where it is among them.
    fn facts_of_one(&self, looks: &[Measured], rules: Rules) -> Option<Facts> {
        let tripped = self.incident.as_ref()?.triggers.first();
        let is_it = |look: &&Measured| tripped.is_some_and(|facts| facts.name == look.settings.name);
        let look = looks.iter().find(is_it).or(looks.first())?;
        let trigger = self.triggers.iter().find(|trigger| trigger.settings.name == look.settings.name)?;
        trigger.facts_of(look, rules)
    }

    fn verified(&mut self, well: &[Measured], now: Timestamp, rules: Rules, actions: &mut Vec<Action>) {
        let facts = self.facts_of_one(well, rules);
        let Some(incident) = &self.incident else { return };
        let at = incident.to_percentage;
        let share = self.share.as_ref().ok().copied().filter(|share| *share > at);
        let page = Page {
            event: Event::RollbackVerified,
            severity: Severity::Critical,
            said: if incident.reverted { Said::ClearThoughUndone { at, share } } else { Said::Helped { at } },
            facts,
            next: Some(Next::Rearm),
            dry_run: rules.dry_run,
            chinese: rules.chinese,
        };
        self.ended(Verification::Recovered, GuardState::RolledBack, page, now, actions);
    }

    fn cannot_see(&mut self, looks: &[Measured], now: Timestamp, rules: Rules, actions: &mut Vec<Action>) {
        let facts = self.facts_of_one(looks, rules);
        let guard = &self.settings.name;
        let unseen = looks.iter().filter_map(|look| Unseen::of(guard, look)).collect();
        let Some(incident) = &self.incident else { return };
        let page = Page {
            event: Event::RollbackNotRecovered,
            severity: Severity::Critical,
            said: Said::CannotSee { at: incident.to_percentage, within: self.settings.rollback.verify_within, unseen },
            facts,
            next: Some(Next::Rearm),
            dry_run: rules.dry_run,
            chinese: rules.chinese,
        };
        self.ended(Verification::CannotSee, GuardState::RolledBack, page, now, actions);
    }

    fn did_not_help(&mut self, bad: Vec<Measured>, now: Timestamp, rules: Rules, actions: &mut Vec<Action>) {
        let facts = self.facts_of_one(&bad, rules);
        let Some(incident) = &self.incident else { return };
        let at = incident.to_percentage;
        let within = self.settings.rollback.verify_within;
        // Somebody may have moved more of it meanwhile: the next rung must not bring traffic back.
        let below = self.share.as_ref().map_or(at, |&share| share.min(at));
        let next = self.settings.rollback.percentages.iter().copied().find(|&rung| rung < below);
        let page = Page {
            event: Event::RollbackNotRecovered,
            severity: Severity::Critical,
            said: Said::DidNotHelp { at, within, bad, next },
            facts,
            next: Some(next.map_or(Next::Rearm, |percentage| Next::Rung { percentage })),
            dry_run: rules.dry_run,
            chinese: rules.chinese,
        };
        match next {
            None => self.ended(Verification::NotRecovered, GuardState::NotRecovered, page, now, actions),
            Some(next) => {
                self.ended(Verification::NotRecovered, GuardState::RollingBack, page, now, actions);
                if let Some(incident) = &mut self.incident {
                    incident.begin_rung(next, &self.settings.rollback.steps);
                    incident.note(now, format!("next rung: {next} %"));
                }
                actions.extend(self.order(Duration::ZERO, rules));
            }
        }
    }

    /// The rollback that is done and watched, if there is one.
    pub fn watched(&self, now: Timestamp) -> Option<Watched> {
        if !matches!(self.state, GuardState::Verifying | GuardState::RolledBack | GuardState::NotRecovered) {
            return None;
        }
        let incident = self.incident.as_ref().filter(|i| !i.dry_run && !i.reverted && !i.unwatched)?;
        let watched = since(incident.completed_at?, now) <= self.settings.rollback.drift_watch;
        watched.then(|| Watched {
            guard: self.settings.name.clone(),
            incident: incident.id.clone(),
            percentage: incident.to_percentage,
            reason: incident.reason.clone(),
            decided_at: incident.opened_at,
        })
    }

    /// A change that somebody undid is paged, once. Ripcord does not fight.
    pub(super) fn watch_the_change(
        &mut self,
        drift: &[Drift],
        now: Timestamp,
        rules: Rules,
        actions: &mut Vec<Action>,
    ) {
        // A person who shifts traffic since undoes nothing unseen.
        let moved = self.shift.is_some();
        if rules.dry_run || moved {
            return;
        }
        let watched = self.watched(now).is_some();
        let Some(incident) = &mut self.incident else { return };
        if incident.completed_at.is_none() || self.state == GuardState::RollingBack {
            return;
        }
        let risen = self.share.as_ref().ok().filter(|share| **share > incident.to_percentage);
        let undone = risen.is_some() || !drift.is_empty();
        // Where the share cannot be read and nothing else shows, nothing is known.
        if !undone && self.share.is_err() {
            return;
        }
        let seen = if undone { (incident.seen_above_target + 1).min(TICKS_TO_BELIEVE_REVERTED) } else { 0 };
        if incident.seen_above_target != seen {
            incident.seen_above_target = seen;
            actions.push(Action::Journal);
        }
        if !watched || incident.seen_above_target < TICKS_TO_BELIEVE_REVERTED {
            return;
        }
        incident.reverted = true;
        incident.drift = drift.to_vec();
        let said = Said::Undone { to: incident.to_percentage, share: risen.copied(), drift: drift.to_vec() };
        let page = incident.page(
            now,
            Page {
                event: Event::RollbackReverted,
                severity: Severity::Critical,
                said,
                facts: None,
                next: Some(Next::Rearm),
                dry_run: false,
                chinese: rules.chinese,
            },
        );
        actions.push(Action::Journal);
        actions.push(Action::Notify(page));
    }
}
