//! What a person asks for.

use std::time::Duration;

use jiff::Timestamp;

use super::super::action::{Action, Event, Next, Notification, Severity};
use super::super::incident::{self, Incident, Page};
use super::super::input::Command;
use super::super::language::Language;
use super::super::telling::{Cause, Said, Words};
use super::super::words;
use super::{Guard, GuardState, Pause, Rules};

impl Guard {
    /// What a person asked for.
    pub fn command(&mut self, command: Command, now: Timestamp, rules: Rules) -> Vec<Action> {
        let mut actions = Vec::new();
        match command {
            Command::Rollback { reason, percentage, once } => match self.why_not_again().filter(|_| once) {
                Some(why) => actions.push(self.ignored(why)),
                None => self.roll_back_by_hand(&reason, percentage, now, rules, &mut actions),
            },
            Command::Shift { reason, percentage, force } => {
                self.shift(&reason, percentage, force, now, rules, &mut actions);
            }
            Command::Rearm => self.rearm(now, rules, &mut actions),
            Command::Pause { until } => self.pause(until, now, rules, &mut actions),
            Command::Resume if self.pause.is_some() => {
                self.resume("a person resumed it", now, rules, &mut actions);
            }
            Command::Resume => actions.push(self.ignored("the guard is not paused")),
            Command::Acknowledge => self.acknowledge(now, rules, &mut actions),
            Command::RecordBaselines { baselines } => self.record_baselines(baselines, now, &mut actions),
            Command::UseBaseline { trigger, version } => self.use_baseline(&trigger, version, &mut actions),
        }
        actions
    }

    pub(super) fn roll_back_by_hand(
        &mut self,
        reason: &str,
        percentage: Option<u8>,
        now: Timestamp,
        rules: Rules,
        actions: &mut Vec<Action>,
    ) {
        if self.state == GuardState::RollingBack {
            return self.roll_on_by_hand(reason, percentage, now, rules, actions);
        }
        let last = self.settings.rollback.percentages.last().copied().unwrap_or_default();
        let to = percentage.unwrap_or(last);
        if let Ok(share) = self.share
            && to > share
        {
            actions.push(self.ignored(format!("the share is {share} %: {to} % would be a step up, not a rollback")));
            return;
        }
        self.pause = None;
        self.begin_rollback(to, Cause::ByHand(words::bounded(reason)), Vec::new(), now, rules, actions);
    }

    /// A person asks for a rollback that is under way: it is tried at once, and goes further down if that is what is asked for. Its story
    /// goes on.
    fn roll_on_by_hand(
        &mut self,
        reason: &str,
        percentage: Option<u8>,
        now: Timestamp,
        rules: Rules,
        actions: &mut Vec<Action>,
    ) {
        let steps = &self.settings.rollback.steps;
        let Some(incident) = &mut self.incident else { return };
        let to = percentage.unwrap_or(incident.to_percentage).min(incident.to_percentage);
        let reason = format!("by hand: {}", words::bounded(reason));
        if to < incident.to_percentage {
            incident.begin_rung(to, steps);
            incident.note(now, format!("{reason}: going on to {to} %"));
        } else {
            incident.take_up(now, &format!("{reason}: trying at once"));
        }
        let incident = incident.id.clone();
        actions.push(Action::Journal);
        actions.push(Action::AbandonChange { guard: self.settings.name.clone(), incident });
        actions.extend(self.order(Duration::ZERO, rules));
    }

    /// Why who asks again and again is not obeyed again.
    fn why_not_again(&self) -> Option<&'static str> {
        match self.state {
            GuardState::RollingBack | GuardState::Verifying => Some("a rollback is under way already"),
            GuardState::RolledBack | GuardState::NotRecovered => {
                Some("the guard was rolled back already, and is latched until a person re-arms it")
            }
            GuardState::Paused => Some("a person has paused the guard"),
            GuardState::Watching if self.next_rung().is_none() && self.shift.is_none() => {
                Some("the traffic is at its target already")
            }
            GuardState::Watching => None,
        }
    }

    pub(super) fn rearm(&mut self, now: Timestamp, rules: Rules, actions: &mut Vec<Action>) {
        match self.state {
            GuardState::RolledBack | GuardState::NotRecovered => {}
            GuardState::Watching if self.incident.is_some() => {}
            GuardState::Watching => return actions.push(self.ignored("the guard is watching already")),
            GuardState::Paused => return actions.push(self.ignored("the guard is paused: resume it first")),
            GuardState::RollingBack | GuardState::Verifying => {
                return actions.push(self.ignored("a rollback is under way: wait for it, or pause the guard"));
            }
        }
        self.start_clocks_anew(now);
        let page = self.told(Event::GuardRearmed, Said::Rearmed, None, now, rules);
        actions.push(Action::Journal);
        actions.push(Action::Notify(page));
        self.goto(GuardState::Watching, "a person re-armed it", actions);
        self.retire(now);
    }

    pub(super) fn pause(&mut self, until: Timestamp, now: Timestamp, rules: Rules, actions: &mut Vec<Action>) {
        if until <= now {
            actions.push(self.ignored(format!("a pause until {until} would be over already")));
            return;
        }
        let from = self.pause.as_ref().map_or(self.state, |p| p.from);
        self.pause = Some(Pause { until, from });
        let said = Said::Paused { until, halts: from == GuardState::RollingBack };
        let page = self.told(Event::GuardPaused, said, Some(Next::Resume { until }), now, rules);
        actions.push(Action::Journal);
        self.cut_shift_short("a person paused the guard", now, actions);
        if self.state == GuardState::RollingBack
            && let Some(incident) = &self.incident
        {
            actions.push(Action::AbandonChange { guard: self.settings.name.clone(), incident: incident.id.clone() });
        }
        actions.push(Action::Notify(page));
        if self.state != GuardState::Paused {
            self.goto(GuardState::Paused, "a person paused it", actions);
        }
    }

    pub(super) fn resume(&mut self, reason: &str, now: Timestamp, rules: Rules, actions: &mut Vec<Action>) {
        let Some(pause) = self.pause.take() else { return };
        actions.push(Action::Journal);
        self.goto(pause.from, reason, actions);
        if pause.from == GuardState::RollingBack
            && let Some(incident) = &mut self.incident
        {
            incident.take_up(now, &format!("{reason}: trying again"));
            actions.extend(self.order(Duration::ZERO, rules));
        }
    }

    pub(super) fn acknowledge(&mut self, now: Timestamp, rules: Rules, actions: &mut Vec<Action>) {
        let pages = self.acknowledge_pages(now, rules);
        if !pages.is_empty() {
            actions.push(Action::Journal);
        }
        let others = !pages.is_empty();
        actions.extend(pages.into_iter().map(Action::Notify));
        let gives_up = self.acknowledging_gives_up();
        let Some(incident) = &mut self.incident else {
            if !others {
                actions.push(self.ignored("there is no incident to acknowledge"));
            }
            return;
        };
        let retrying = gives_up && self.state == GuardState::RollingBack;
        if incident.acknowledged_at.is_some() && !retrying {
            if !others {
                actions.push(self.ignored("the incident is acknowledged already"));
            }
            return;
        }
        incident.acknowledged_at = Some(now);
        let latched = matches!(self.state, GuardState::RolledBack | GuardState::NotRecovered);
        let next = (gives_up || latched).then_some(Next::Rearm);
        let page = self.told(Event::GuardAcknowledged, Said::Acknowledged { gives_up }, next, now, rules);
        actions.push(Action::Journal);
        actions.push(Action::Notify(page));
        if retrying {
            self.give_up(now, actions);
        } else if let Some(pause) = &mut self.pause
            && gives_up
        {
            pause.from = GuardState::NotRecovered;
        }
    }

    /// Whether an acknowledgement ends the tries of a rollback that fails, also of one that a pause holds up.
    pub fn acknowledging_gives_up(&self) -> bool {
        let failing = |incident: &Incident| incident.failures > 0 && incident.completed_at.is_none();
        let state = self.pause.as_ref().map_or(self.state, |pause| pause.from);
        state == GuardState::RollingBack && self.incident.as_ref().is_some_and(failing)
    }

    /// The same for the triggers of the guard that only page: each has a story of its own.
    fn acknowledge_pages(&mut self, now: Timestamp, rules: Rules) -> Vec<Notification> {
        let firing = self.triggers.iter_mut().filter_map(|trigger| trigger.firing.as_mut());
        let unseen = firing.filter(|story| story.acknowledged_at.is_none());
        unseen
            .map(|story| {
                story.acknowledged_at = Some(now);
                let page = Page {
                    event: Event::GuardAcknowledged,
                    severity: Severity::Info,
                    said: Said::Acknowledged { gives_up: false },
                    facts: None,
                    next: None,
                    dry_run: false,
                    chinese: rules.chinese,
                };
                story.page(now, page)
            })
            .collect()
    }

    /// A page about what a person did, within the incident where there is one.
    pub(super) fn told(
        &mut self,
        event: Event,
        said: Said,
        next: Option<Next>,
        now: Timestamp,
        rules: Rules,
    ) -> Notification {
        if let Some(incident) = &mut self.incident {
            let page = Page {
                event,
                severity: Severity::Info,
                said,
                facts: None,
                next,
                dry_run: false,
                chinese: rules.chinese,
            };
            return incident.page(now, page);
        }
        let Words { summary, advice } = said.words(&self.settings.name, Language::English);
        self.told += 1;
        Notification {
            id: format!("{}.{}.{}", incident::id(&self.settings.name, now), event.as_str(), self.told),
            event,
            severity: Severity::Info,
            time: now,
            guard: Some(self.settings.name.clone()),
            guards: Vec::new(),
            incident: None,
            summary,
            advice,
            trigger: None,
            rollback: None,
            next,
            opening: None,
            settles: Vec::new(),
            dry_run: false,
            chinese: said.in_chinese(&self.settings.name, None),
        }
    }
}
