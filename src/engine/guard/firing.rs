//! What a tick sets off: rollbacks, pages, and the reason where nothing is set off.

use jiff::Timestamp;

use super::super::action::{Action, Event, Next, Record, Severity, Withheld};
use super::super::incident::{self, Incident, IncidentKind, Page};
use super::super::settings::{Measure, TriggerAction};
use super::super::telling::{self, Cause, Facts, Measured, Said};
use super::{Guard, GuardState, Rules};

impl Guard {
    pub(super) fn fire_rollback(
        &mut self,
        may_act: Result<(), Withheld>,
        now: Timestamp,
        rules: Rules,
        actions: &mut Vec<Action>,
    ) {
        let mut firing = self.firing(TriggerAction::Rollback, actions);
        if firing.is_empty() {
            return;
        }
        firing.sort_by_key(|&i| telling(&self.triggers[i].settings.measure));
        let target = self.next_rung();
        let why_not = match (may_act, self.state, &self.incident) {
            (Err(why), ..) => Some(why),
            // That the share cannot be read does not mean that it rose.
            (_, GuardState::Watching, Some(_)) if target.is_none() || self.share.is_err() => Some(Withheld::AtTarget),
            (_, GuardState::Watching, _) => None,
            (_, GuardState::Paused, _) => Some(Withheld::Paused),
            (_, GuardState::RollingBack | GuardState::Verifying, _) => Some(Withheld::RollingBack),
            (_, GuardState::RolledBack | GuardState::NotRecovered, _) => Some(Withheld::Latched),
        };
        if let Some(why) = why_not {
            if why == Withheld::Latched {
                self.page_while_latched(&firing, now, rules, actions);
            }
            for index in firing {
                self.withhold(index, why.clone(), actions);
            }
            return;
        }
        let facts: Vec<_> = firing.iter().filter_map(|&i| self.triggers[i].facts(rules)).collect();
        let measured: Vec<_> = firing.iter().map(|&i| self.triggers[i].measured()).collect();
        for &index in &firing {
            self.triggers[index].withheld = None;
        }
        match target {
            Some(to) => self.begin_rollback(to, Cause::Triggers(measured), facts, now, rules, actions),
            None => self.open_at_target(measured, facts, now, rules, actions),
        }
    }

    pub(super) fn fire_pages(
        &mut self,
        may_act: &Result<(), Withheld>,
        now: Timestamp,
        rules: Rules,
        actions: &mut Vec<Action>,
    ) {
        let firing = self.firing(TriggerAction::Page, actions);
        for index in 0..self.triggers.len() {
            let trigger = &self.triggers[index];
            if trigger.settings.action != TriggerAction::Page {
                continue;
            }
            let severity = trigger.settings.severity;
            let fires = firing.contains(&index);
            match (&trigger.firing, may_act) {
                (None, Ok(())) if fires && self.state == GuardState::Paused => {
                    self.withhold(index, Withheld::Paused, actions);
                }
                (None, Ok(())) if fires => {
                    let cause = Cause::Triggers(vec![trigger.measured()]);
                    let facts = trigger.facts(rules).into_iter().collect();
                    // By the tick's own time: several ticks can be handled at one instant.
                    let at = self.last_tick.unwrap_or(now);
                    let id = incident::id(&format!("{}.{}", self.settings.name, trigger.settings.name), at);
                    let reason = telling::cause(&cause);
                    let mut story = Incident::open(&self.settings.name, id, now, IncidentKind::AtTarget, reason, facts);
                    let page = story.page(
                        now,
                        Page {
                            event: Event::PageFiring,
                            severity,
                            said: Said::Firing(trigger.measured()),
                            facts: None,
                            next: Some(Next::Tell),
                            dry_run: rules.dry_run,
                            chinese: rules.chinese,
                        },
                    );
                    self.triggers[index].firing = Some(story);
                    actions.push(Action::Journal);
                    actions.push(Action::Notify(page));
                }
                (None, Err(why)) if fires => self.withhold(index, why.clone(), actions),
                (Some(_), Ok(())) if trigger.clocks.held.is_none() => {
                    let (measured, facts) = (trigger.measured(), trigger.facts(rules));
                    let Some(mut story) = self.triggers[index].firing.take() else { continue };
                    let page = story.page(
                        now,
                        Page {
                            event: Event::PageResolved,
                            severity,
                            said: Said::Clear(measured),
                            facts,
                            next: None,
                            dry_run: rules.dry_run,
                            chinese: rules.chinese,
                        },
                    );
                    actions.push(Action::Journal);
                    actions.push(Action::Notify(page));
                }
                _ => {}
            }
        }
    }

    /// A trigger fires and the guard is latched: nothing is changed, and somebody must know. Not for what the rollback was about: that it
    /// goes on was told already.
    pub(super) fn page_while_latched(
        &mut self,
        firing: &[usize],
        now: Timestamp,
        rules: Rules,
        actions: &mut Vec<Action>,
    ) {
        let measured = firing.iter().map(|&i| self.triggers[i].measured()).collect();
        let facts = firing.first().and_then(|&i| self.triggers[i].facts(rules));
        let Some(incident) = &mut self.incident else { return };
        if !incident.calm || incident.latched_page {
            return;
        }
        incident.latched_page = true;
        incident.calm = false;
        let page = incident.page(
            now,
            Page {
                event: Event::PageFiring,
                severity: Severity::Critical,
                said: Said::FiringWhileLatched(measured),
                facts,
                next: Some(Next::Rearm),
                dry_run: rules.dry_run,
                chinese: rules.chinese,
            },
        );
        actions.push(Action::Journal);
        actions.push(Action::Notify(page));
    }

    /// While latched: once no trigger holds a breach any more, the next one that does is news.
    pub(super) fn watch_while_latched(&mut self, now: Timestamp, rules: Rules, actions: &mut Vec<Action>) {
        let quiet =
            self.triggers.iter().all(|t| t.settings.action != TriggerAction::Rollback || t.clocks.held.is_none());
        if !quiet || !matches!(self.state, GuardState::RolledBack | GuardState::NotRecovered) {
            return;
        }
        let Some(incident) = &mut self.incident else { return };
        if !std::mem::replace(&mut incident.calm, true) {
            actions.push(Action::Journal);
        }
        if !std::mem::take(&mut incident.latched_page) {
            return;
        }
        let facts = self.facts_now(rules);
        let Some(incident) = &mut self.incident else { return };
        let page = incident.page(
            now,
            Page {
                event: Event::PageResolved,
                severity: Severity::Critical,
                said: Said::ClearWhileLatched,
                facts,
                next: Some(Next::Rearm),
                dry_run: false,
                chinese: rules.chinese,
            },
        );
        actions.push(Action::Journal);
        actions.push(Action::Notify(page));
    }

    /// The present numbers of the trigger that the incident is about.
    pub(super) fn facts_now(&self, rules: Rules) -> Option<Facts> {
        let about = self.incident.as_ref()?.triggers.first()?;
        self.triggers.iter().find(|trigger| trigger.settings.name == about.name)?.facts(rules)
    }

    /// The first rung below the present share; the last of all when the share is not known, because any other might raise it.
    pub(super) fn next_rung(&self) -> Option<u8> {
        let rungs = &self.settings.rollback.percentages;
        match self.share {
            Ok(share) => rungs.iter().copied().find(|&rung| rung < share),
            Err(_) => rungs.last().copied(),
        }
    }

    pub(super) fn new_incident(
        &mut self,
        kind: IncidentKind,
        reason: String,
        facts: Vec<Facts>,
        now: Timestamp,
    ) -> Incident {
        let mut id = incident::id(&self.settings.name, now);
        // The last of this second and not their number: older ones may be forgotten.
        let last = self
            .closed
            .iter()
            .chain(&self.incident)
            .chain(&self.shift)
            .filter_map(|i| number_in_its_second(&i.id, &id))
            .max();
        if let Some(last) = last {
            id = format!("{id}-{}", last + 1);
        }
        Incident::open(&self.settings.name, id, now, kind, reason, facts)
    }

    pub(super) fn open_at_target(
        &mut self,
        firing: Vec<Measured>,
        facts: Vec<Facts>,
        now: Timestamp,
        rules: Rules,
        actions: &mut Vec<Action>,
    ) {
        let share = self.share.as_ref().ok().copied();
        let said = Said::FiringAtTarget { firing: firing.clone(), share };
        let reason = telling::cause(&Cause::Triggers(firing));
        let mut incident = self.new_incident(IncidentKind::AtTarget, reason, facts, now);
        self.supersede(&incident.id, now, rules, actions);
        incident.from_percentage = share;
        incident.to_percentage = share.unwrap_or_default();
        let page = incident.page(
            now,
            Page {
                event: Event::PageFiring,
                severity: Severity::Critical,
                said,
                facts: None,
                next: Some(Next::Tell),
                dry_run: rules.dry_run,
                chinese: rules.chinese,
            },
        );
        let id = incident.id.clone();
        self.incident = Some(incident);
        actions.push(Action::Journal);
        actions.push(Action::Notify(page));
        actions.push(Action::Record(Record::Rollback {
            guard: self.settings.name.clone(),
            incident: id,
            result: "at_target",
            took: None,
        }));
    }

    /// A dry run is over and the traffic may be moved: its story ends, for nothing was changed and nothing is latched. What holds now is
    /// acted on for real.
    pub(super) fn end_dry_run(&mut self, now: Timestamp, rules: Rules, actions: &mut Vec<Action>) {
        let Some(incident) = &mut self.incident else { return };
        let page = incident.page(
            now,
            Page {
                event: Event::PageResolved,
                severity: Severity::Critical,
                said: Said::DryRunOver,
                facts: None,
                next: None,
                dry_run: false,
                chinese: rules.chinese,
            },
        );
        actions.push(Action::Journal);
        actions.push(Action::Notify(page));
        self.goto(GuardState::Watching, "the dry run is over, and nothing was changed", actions);
        self.retire(now);
    }

    /// Another incident takes the place of the open one, if there is one. Its story ends here, as loud as it began: whoever has it open
    /// must not wait for an end that does not come.
    pub(super) fn supersede(&mut self, by: &str, now: Timestamp, rules: Rules, actions: &mut Vec<Action>) {
        let Some(incident) = &mut self.incident else { return };
        let page = Page {
            event: Event::PageResolved,
            severity: Severity::Critical,
            said: Said::Superseded { by: by.to_owned() },
            facts: None,
            next: None,
            dry_run: incident.dry_run,
            chinese: rules.chinese,
        };
        actions.push(Action::Notify(incident.page(now, page)));
        self.retire(now);
    }

    /// An incident that changed nothing closes by itself once its triggers have been clear for their `for`.
    pub(super) fn close_by_itself(&mut self, now: Timestamp, rules: Rules, actions: &mut Vec<Action>) {
        let Some(incident) = &self.incident else { return };
        let clear = incident.triggers.iter().all(|facts| {
            // A trigger that a reload took away holds nothing open.
            self.triggers
                .iter()
                .find(|t| t.settings.name == facts.name)
                .is_none_or(|t| t.clocks.clear.is_some_and(|clear| clear >= t.settings.hold_for))
        });
        if !clear {
            return;
        }
        let facts = self.facts_now(rules);
        let Some(incident) = &mut self.incident else { return };
        let page = incident.page(
            now,
            Page {
                event: Event::PageResolved,
                severity: Severity::Critical,
                said: Said::ClearUnchanged,
                facts,
                next: None,
                dry_run: false,
                chinese: rules.chinese,
            },
        );
        actions.push(Action::Journal);
        actions.push(Action::Notify(page));
        if self.state != GuardState::Watching {
            self.goto(GuardState::Watching, "clear again, and nothing was changed", actions);
        }
        self.retire(now);
    }
}

/// Which incident of its second one with this id is, from 1, where its guard and second are those of `first`.
fn number_in_its_second(id: &str, first: &str) -> Option<u64> {
    match id.strip_prefix(first)? {
        "" => Some(1),
        rest => rest.strip_prefix('-')?.parse().ok(),
    }
}

/// Of several triggers that fire together, a page names the one first that says most about the cause.
fn telling(measure: &Measure) -> u8 {
    match measure {
        Measure::FailureRatio => 0,
        Measure::Quantile { .. } | Measure::QuantileDegradation { .. } => 1,
        Measure::Availability | Measure::BurnRate { .. } | Measure::FailureRise => 2,
        Measure::Value | Measure::ValueDegradation | Measure::ValueDrop => 3,
    }
}
