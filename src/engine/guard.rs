//! One guard: its triggers, its state, and the moves from state to state.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::action::{Action, ChangeOrder, Event, Notification, Record, Severity, TriggerFacts, Withheld};
use super::incident::{self, Incident, IncidentKind, Page, Verification};
use super::input::{ChangeReport, Command, Observation, Progress, StepResult, TickKind, Unknown};
use super::settings::{GuardSettings, Measure, TriggerAction, TriggerSettings};
use super::trigger::{Assessment, Clocks, Verdict, since};
use super::words;

/// The wait before the second attempt of a change. Short: an API server that answered once with an error often answers the next time.
const RETRY_FIRST: Duration = Duration::from_secs(1);

/// The longest wait between two attempts. A night's outage of the API server must not cost more than this after it is over.
const RETRY_LONGEST: Duration = Duration::from_secs(30);

/// The part of a wait that differs from incident to incident, so that guards that fail together do not retry together.
const RETRY_JITTER: f64 = 0.2;

/// A share above the target is believed after this many ticks in a row: the first may have been read before the change.
const TICKS_TO_BELIEVE_REVERTED: u32 = 2;

/// Closed incidents kept of one guard, for the status and the API.
const KEPT_INCIDENTS: usize = 20;

/// Where a guard is in its story.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardState {
    /// Nothing is wrong, or not for long enough.
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
}

/// A guard's pause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Pause {
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
    pub closed: Vec<Incident>,
    pub last_tick: Option<Timestamp>,
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

    fn facts(&self) -> Option<TriggerFacts> {
        self.assessment.as_ref().map(|a| a.facts(&self.settings, self.clocks.held))
    }

    /// `error rate 3.1 % (limit 1 %) for 5m0s`.
    fn sentence(&self) -> String {
        format!("{} for {}", self.sentence_now(), words::duration(self.clocks.held.unwrap_or_default()))
    }

    /// The same without how long.
    fn sentence_now(&self) -> String {
        let label = words::label(&self.settings);
        let Some(a) = &self.assessment else { return format!("{label} not measured") };
        let limit = words::threshold(&self.settings, a.threshold);
        match (a.value, self.settings.measure) {
            // How many requests it rests on is said elsewhere: one line has room for one pair of brackets.
            (Some(value), Measure::FailureRatio | Measure::Availability) => {
                format!("{label} {} (limit {limit})", words::percent(value))
            }
            _ => match a.text.strip_suffix(')') {
                Some(open) => format!("{label} {open}, limit {limit})"),
                None => format!("{label} {} (limit {limit})", a.text),
            },
        }
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
            closed: Vec::new(),
            last_tick: None,
            pause: None,
            told: 0,
        }
    }

    /// Takes new settings. Triggers that did not change keep their clocks; the names of those that start again are returned.
    pub fn reconfigure(&mut self, settings: GuardSettings) -> Vec<String> {
        let mut old = std::mem::take(&mut self.triggers);
        let mut fresh = Vec::new();
        for trigger in &settings.triggers {
            match old.iter().position(|t| t.settings == *trigger) {
                Some(at) => self.triggers.push(old.swap_remove(at)),
                None => {
                    fresh.push(trigger.name.clone());
                    self.triggers.push(Trigger::new(trigger.clone()));
                }
            }
        }
        self.settings = settings;
        fresh
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

    // ---- ticks

    /// Whether a tick is news. One that is older than the last is news only when the clock was set back: the last one lies in the future then.
    pub fn accepts(&self, at: Timestamp, kind: TickKind, now: Timestamp) -> bool {
        self.last_tick.is_none_or(|last| at > last || (at < last && kind == TickKind::Live && last > now))
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
            actions.push(self.ignored(format!("the tick of {at} was seen already, or is older than the last one")));
            return actions;
        }
        self.last_tick = Some(at);
        self.share = observation.share.clone();
        if self.pause.as_ref().is_some_and(|p| now >= p.until) {
            self.resume("the pause is over", now, rules, &mut actions);
        }
        self.measure(observation, at, rules, &mut actions);

        let age = since(at, now);
        let may_act = match kind {
            TickKind::History => Err(Withheld::History),
            TickKind::Live if age > rules.live_for => Err(Withheld::Late(age)),
            TickKind::Live => Ok(()),
        };
        if may_act.is_ok() {
            match self.state {
                GuardState::Verifying => self.verify(observation, at, now, rules, &mut actions),
                GuardState::Watching if self.incident.is_some() => self.close_by_itself(now, &mut actions),
                // A dry run changed nothing, so that there is nothing to latch: it watches on for the next story.
                GuardState::RolledBack if self.incident.as_ref().is_some_and(|i| i.dry_run) => {
                    self.close_by_itself(now, &mut actions);
                }
                _ => {}
            }
            self.watch_the_change(now, rules, &mut actions);
            self.watch_while_latched(now, &mut actions);
        }
        self.fire_pages(&may_act, now, rules, &mut actions);
        self.fire_rollback(may_act, now, rules, &mut actions);
        actions
    }

    fn measure(&mut self, observation: &Observation, at: Timestamp, rules: Rules, actions: &mut Vec<Action>) {
        let share = self.share.as_ref().ok().copied();
        for trigger in &mut self.triggers {
            let assessment = match observation.readings.get(&trigger.settings.name) {
                Some(reading) => trigger.settings.assess(reading, share),
                None => Assessment {
                    verdict: Verdict::Unknown(Unknown::NotObserved),
                    value: None,
                    baseline: None,
                    threshold: trigger.settings.levels_at(share).threshold,
                    text: Unknown::NotObserved.to_string(),
                    reason: Unknown::NotObserved.to_string(),
                },
            };
            trigger.clocks.advance(&assessment.verdict, at, trigger.settings.clear_for, rules.interval);
            if trigger.verdict().map(Verdict::word) != Some(assessment.verdict.word()) {
                actions.push(Action::Record(Record::Verdict {
                    guard: self.settings.name.clone(),
                    trigger: trigger.settings.name.clone(),
                    verdict: assessment.verdict.word(),
                    reason: if assessment.text == assessment.reason {
                        assessment.reason.clone()
                    } else {
                        format!("{}: {}", assessment.text, assessment.reason)
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

    fn fire_rollback(
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
        let facts: Vec<_> = firing.iter().filter_map(|&i| self.triggers[i].facts()).collect();
        let sentences: Vec<_> = firing.iter().map(|&i| self.triggers[i].sentence()).collect();
        for &index in &firing {
            self.triggers[index].withheld = None;
        }
        let reason = sentences.join("; ");
        match target {
            Some(to) => self.begin_rollback(to, reason, facts, now, rules, actions),
            None => self.open_at_target(reason, facts, now, rules, actions),
        }
    }

    /// A trigger fires and the guard is latched: nothing is changed, and somebody must know. Not for what the rollback was about: that it
    /// goes on was told already.
    fn page_while_latched(&mut self, firing: &[usize], now: Timestamp, rules: Rules, actions: &mut Vec<Action>) {
        let sentences: Vec<_> = firing.iter().map(|&i| self.triggers[i].sentence()).collect();
        let Some(incident) = &mut self.incident else { return };
        if !incident.calm || incident.latched_page {
            return;
        }
        incident.latched_page = true;
        incident.calm = false;
        let summary = format!(
            "{}: {}, and nothing is rolled back: the guard is latched since its last rollback",
            self.settings.name,
            sentences.join("; ")
        );
        let page = incident.page(
            now,
            Page {
                event: Event::PageFiring,
                severity: Severity::Critical,
                summary,
                advice: "Act now: move the traffic by hand if that helps. Re-arm the guard (ripcord rearm) so that it acts by itself again.",
                dry_run: rules.dry_run,
            },
        );
        actions.push(Action::Journal);
        actions.push(Action::Notify(page));
    }

    /// While latched: once no trigger holds a breach any more, the next one that does is news.
    fn watch_while_latched(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let quiet =
            self.triggers.iter().all(|t| t.settings.action != TriggerAction::Rollback || t.clocks.held.is_none());
        if !quiet || !matches!(self.state, GuardState::RolledBack | GuardState::NotRecovered) {
            return;
        }
        let Some(incident) = &mut self.incident else { return };
        incident.calm = true;
        if !std::mem::take(&mut incident.latched_page) {
            return;
        }
        let page = incident.page(
            now,
            Page {
                event: Event::PageResolved,
                severity: Severity::Critical,
                summary: format!("{}: clear again; the guard is still latched", self.settings.name),
                advice: "Re-arm the guard (ripcord rearm) before traffic is moved again.",
                dry_run: false,
            },
        );
        actions.push(Action::Journal);
        actions.push(Action::Notify(page));
    }

    /// The first rung below the present share; the last of all when the share is not known, because any other might raise it.
    fn next_rung(&self) -> Option<u8> {
        let rungs = &self.settings.rollback.percentages;
        match self.share {
            Ok(share) => rungs.iter().copied().find(|&rung| rung < share),
            Err(_) => rungs.last().copied(),
        }
    }

    fn new_incident(
        &mut self,
        kind: IncidentKind,
        reason: String,
        facts: Vec<TriggerFacts>,
        now: Timestamp,
    ) -> Incident {
        let mut id = incident::id(&self.settings.name, now);
        let taken = self.closed.iter().chain(&self.incident).filter(|i| i.id.starts_with(&id)).count();
        if taken > 0 {
            id = format!("{id}-{}", taken + 1);
        }
        Incident::open(&self.settings.name, id, now, kind, reason, facts)
    }

    fn begin_rollback(
        &mut self,
        to: u8,
        reason: String,
        facts: Vec<TriggerFacts>,
        now: Timestamp,
        rules: Rules,
        actions: &mut Vec<Action>,
    ) {
        let mut incident = self.new_incident(IncidentKind::Rollback, reason, facts, now);
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

    /// The order for the present attempt of the present rung.
    fn order(&self, delay: Duration, rules: Rules) -> Option<Action> {
        self.incident.as_ref().map(|incident| {
            Action::Change(ChangeOrder {
                guard: self.settings.name.clone(),
                incident: incident.id.clone(),
                attempt: incident.attempt,
                percentage: incident.to_percentage,
                reason: incident.reason.clone(),
                decided_at: incident.opened_at,
                delay,
                // Nothing is changed now where nothing may be, nor in the rest of a story that was told as a dry run.
                dry_run: rules.dry_run || incident.dry_run,
            })
        })
    }

    fn open_at_target(
        &mut self,
        reason: String,
        facts: Vec<TriggerFacts>,
        now: Timestamp,
        rules: Rules,
        actions: &mut Vec<Action>,
    ) {
        let share = self.share.as_ref().ok().copied();
        let mut incident = self.new_incident(IncidentKind::AtTarget, reason, facts, now);
        self.retire(now);
        incident.from_percentage = share;
        incident.to_percentage = share.unwrap_or_default();
        let summary = format!(
            "{}: {}, and the traffic is at {} already: nothing to roll back, nothing changed",
            self.settings.name,
            incident.reason,
            words::share(share)
        );
        let page = incident.page(
            now,
            Page {
                event: Event::PageFiring,
                severity: Severity::Critical,
                summary,
                advice: "Look at the service itself: this share of the traffic is not what makes it fail.",
                dry_run: rules.dry_run,
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

    /// An incident that changed nothing closes by itself once its triggers have been clear for their `for`.
    fn close_by_itself(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let Some(incident) = &mut self.incident else { return };
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
        let page = incident.page(
            now,
            Page {
                event: Event::PageResolved,
                severity: Severity::Critical,
                summary: format!("{}: clear again; nothing was changed", self.settings.name),
                advice: "Nothing.",
                dry_run: false,
            },
        );
        actions.push(Action::Journal);
        actions.push(Action::Notify(page));
        if self.state != GuardState::Watching {
            self.goto(GuardState::Watching, "clear again, and nothing was changed", actions);
        }
        self.retire(now);
    }

    /// Closes the open incident, if there is one.
    fn retire(&mut self, now: Timestamp) {
        if let Some(mut incident) = self.incident.take() {
            incident.closed_at.get_or_insert(now);
            self.closed.push(incident);
            if self.closed.len() > KEPT_INCIDENTS {
                self.closed.remove(0);
            }
        }
    }

    fn fire_pages(&mut self, may_act: &Result<(), Withheld>, now: Timestamp, rules: Rules, actions: &mut Vec<Action>) {
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
                    let sentence = trigger.sentence();
                    let facts = trigger.facts().into_iter().collect();
                    // By the tick's own time: several ticks can be handled at one instant.
                    let at = self.last_tick.unwrap_or(now);
                    let id = incident::id(&format!("{}.{}", self.settings.name, trigger.settings.name), at);
                    let mut story =
                        Incident::open(&self.settings.name, id, now, IncidentKind::AtTarget, sentence.clone(), facts);
                    let page = story.page(
                        now,
                        Page {
                            event: Event::PageFiring,
                            severity,
                            summary: format!("{}: {sentence}", self.settings.name),
                            advice: "Look at it; Ripcord changes nothing for this trigger.",
                            dry_run: rules.dry_run,
                        },
                    );
                    self.triggers[index].firing = Some(story);
                    actions.push(Action::Journal);
                    actions.push(Action::Notify(page));
                }
                (None, Err(why)) if fires => self.withhold(index, why.clone(), actions),
                (Some(_), Ok(())) if trigger.clocks.held.is_none() => {
                    let label = words::label(&trigger.settings);
                    let text = trigger.assessment.as_ref().map_or_else(String::new, |a| a.text.clone());
                    let facts = trigger.facts();
                    let Some(mut story) = self.triggers[index].firing.take() else { continue };
                    story.triggers = facts.into_iter().collect();
                    let page = story.page(
                        now,
                        Page {
                            event: Event::PageResolved,
                            severity,
                            summary: format!("{}: {label} is clear again: {text}", self.settings.name),
                            advice: "Nothing.",
                            dry_run: rules.dry_run,
                        },
                    );
                    actions.push(Action::Journal);
                    actions.push(Action::Notify(page));
                }
                _ => {}
            }
        }
    }

    // ---- after the change

    /// Did it help? Only data younger than the change counts.
    fn verify(
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
        let (mut bad, mut unseen, mut seen, mut settle) = (Vec::new(), Vec::new(), 0, Duration::ZERO);
        for trigger in self.triggers.iter().filter(|t| t.settings.action == TriggerAction::Rollback) {
            let tripped = incident.triggers.iter().any(|facts| facts.name == trigger.settings.name);
            let verdict = match observation.readings.get(&trigger.settings.name) {
                Some(reading) => trigger.settings.assess_since(reading, share, at, completed_at),
                None => Verdict::Unknown(Unknown::NotObserved),
            };
            match verdict {
                Verdict::Clear => {
                    seen += 1;
                    settle = settle.max(trigger.settings.clear_for);
                }
                Verdict::Breach | Verdict::Band => bad.push(trigger.sentence_now()),
                // What did not trip and cannot be seen, with little traffic say, holds nothing up. Nor does what counts no request
                // because all of them have left, as they were told to: others must have seen the recovery then.
                Verdict::Unknown(unknown) if tripped && !(all_gone && unknown.is_expected_at_zero()) => {
                    unseen.push(format!("{}: {unknown}", words::label(&trigger.settings)));
                }
                Verdict::Unknown(_) => {}
            }
        }
        let clear = bad.is_empty() && unseen.is_empty() && seen > 0;
        if !clear {
            incident.fresh_clear_since = None;
        }
        let clear_since = clear.then(|| *incident.fresh_clear_since.get_or_insert(at));
        let expired = since(completed_at, now) >= self.settings.rollback.verify_within;
        let settled = clear_since.is_some_and(|clear_since| since(clear_since, at) >= settle);
        if settled || (expired && clear) {
            self.verified(now, rules, actions);
        } else if expired && !bad.is_empty() {
            self.did_not_help(&bad.join("; "), now, rules, actions);
        } else if expired {
            let why = if unseen.is_empty() { "no trigger could be read".to_owned() } else { unseen.join("; ") };
            self.cannot_see(&why, now, rules, actions);
        }
    }

    fn ended(
        &mut self,
        verification: Verification,
        to: GuardState,
        mut page: Page<'_>,
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
        page.summary = format!("{}: {}", self.settings.name, page.summary);
        let reason = page.summary.clone();
        let record =
            Record::Rollback { guard: self.settings.name.clone(), incident: incident.id.clone(), result, took: None };
        let page = incident.page(now, page);
        actions.push(Action::Journal);
        actions.push(Action::Notify(page));
        actions.push(Action::Record(record));
        self.goto(to, reason, actions);
    }

    fn verified(&mut self, now: Timestamp, rules: Rules, actions: &mut Vec<Action>) {
        let Some(incident) = &self.incident else { return };
        let summary =
            format!("the rollback helped: the triggers are clear at {} % since the change", incident.to_percentage);
        let page = Page {
            event: Event::RollbackVerified,
            severity: Severity::Critical,
            summary,
            advice: "Find the cause, then re-arm the guard before traffic is moved again: until then it does not roll back.",
            dry_run: rules.dry_run,
        };
        self.ended(Verification::Recovered, GuardState::RolledBack, page, now, actions);
    }

    fn cannot_see(&mut self, why: &str, now: Timestamp, rules: Rules, actions: &mut Vec<Action>) {
        let Some(incident) = &self.incident else { return };
        let summary = format!(
            "rolled back to {} %, but whether it helped cannot be seen within {}: {why}",
            incident.to_percentage,
            words::duration(self.settings.rollback.verify_within)
        );
        let page = Page {
            event: Event::RollbackNotRecovered,
            severity: Severity::Critical,
            summary,
            advice: "Check by other means that users are served, then re-arm the guard.",
            dry_run: rules.dry_run,
        };
        self.ended(Verification::CannotSee, GuardState::RolledBack, page, now, actions);
    }

    fn did_not_help(&mut self, bad: &str, now: Timestamp, rules: Rules, actions: &mut Vec<Action>) {
        let Some(incident) = &self.incident else { return };
        let at = incident.to_percentage;
        let within = words::duration(self.settings.rollback.verify_within);
        // Somebody may have moved more of it meanwhile: the next rung must not bring traffic back.
        let below = self.share.as_ref().map_or(at, |&share| share.min(at));
        let next = self.settings.rollback.percentages.iter().copied().find(|&rung| rung < below);
        let outlook = match next {
            Some(next) => format!("going on to {next} %"),
            None => "Ripcord has nothing left to do".to_owned(),
        };
        let page = Page {
            event: Event::RollbackNotRecovered,
            severity: Severity::Critical,
            summary: format!("the rollback to {at} % did not help within {within}: {bad}; {outlook}"),
            advice: match next {
                Some(_) => "Start looking: the first rung did not help, Ripcord takes the next one.",
                None => "Act now: the traffic is moved back and the service is still bad. The cause lies elsewhere.",
            },
            dry_run: rules.dry_run,
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

    /// A change that somebody undid is paged, once. Ripcord does not fight.
    fn watch_the_change(&mut self, now: Timestamp, rules: Rules, actions: &mut Vec<Action>) {
        if !matches!(self.state, GuardState::Verifying | GuardState::RolledBack | GuardState::NotRecovered)
            || rules.dry_run
        {
            return;
        }
        let (Ok(share), Some(incident)) = (&self.share, &mut self.incident) else { return };
        let Some(completed_at) = incident.completed_at else { return };
        if *share <= incident.to_percentage {
            incident.seen_above_target = 0;
            return;
        }
        incident.seen_above_target += 1;
        let watched = since(completed_at, now) <= self.settings.rollback.drift_watch;
        if incident.reverted || !watched || incident.seen_above_target < TICKS_TO_BELIEVE_REVERTED {
            return;
        }
        incident.reverted = true;
        let summary = format!(
            "{}: somebody undid the rollback: the share is {share} % again and not {} %",
            self.settings.name, incident.to_percentage
        );
        let page = incident.page(
            now,
            Page {
                event: Event::RollbackReverted,
                severity: Severity::Critical,
                summary,
                advice: "Find out what sets it back (GitOps, an operator, a person) and stop it there. Ripcord does not fight, and the guard is latched.",
                dry_run: false,
            },
        );
        actions.push(Action::Journal);
        actions.push(Action::Notify(page));
    }

    // ---- reports of a change

    /// How far the change has come.
    pub fn report(&mut self, report: ChangeReport, now: Timestamp, rules: Rules) -> Vec<Action> {
        let mut actions = Vec::new();
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

    fn completed(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
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
            self.start_clocks_anew();
        }
        let to = if dry_run { GuardState::RolledBack } else { GuardState::Verifying };
        self.goto(to, reason, actions);
    }

    /// What was held before was acted on. A page that fires goes on: nothing about it changed.
    fn start_clocks_anew(&mut self) {
        for trigger in self.triggers.iter_mut().filter(|t| t.settings.action == TriggerAction::Rollback) {
            trigger.clocks = Clocks::default();
            trigger.withheld = None;
        }
    }

    fn failed(&mut self, step: &str, error: String, now: Timestamp, rules: Rules, actions: &mut Vec<Action>) {
        let Some(incident) = &mut self.incident else { return };
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
                        "Act now: the traffic is not moved back. Mend what the error says, or move it by hand; Ripcord keeps trying until it works or you acknowledge (ripcord ack)."
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
    fn give_up(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let Some(incident) = &mut self.incident else { return };
        incident.note(now, "acknowledged: no further attempts");
        actions.push(Action::AbandonChange { guard: self.settings.name.clone(), incident: incident.id.clone() });
        self.goto(GuardState::NotRecovered, "a person acknowledged the failing rollback", actions);
    }

    // ---- commands

    /// What a person asked for.
    pub fn command(&mut self, command: Command, now: Timestamp, rules: Rules) -> Vec<Action> {
        let mut actions = Vec::new();
        match command {
            Command::Rollback { reason, percentage } => {
                self.roll_back_by_hand(&reason, percentage, now, rules, &mut actions)
            }
            Command::Rearm => self.rearm(now, &mut actions),
            Command::Pause { until } => self.pause(until, now, &mut actions),
            Command::Resume if self.pause.is_some() => {
                self.resume("a person resumed it", now, rules, &mut actions);
            }
            Command::Resume => actions.push(self.ignored("the guard is not paused")),
            Command::Acknowledge => self.acknowledge(now, &mut actions),
        }
        actions
    }

    fn roll_back_by_hand(
        &mut self,
        reason: &str,
        percentage: Option<u8>,
        now: Timestamp,
        rules: Rules,
        actions: &mut Vec<Action>,
    ) {
        if self.state == GuardState::RollingBack {
            actions.push(self.ignored("a rollback is under way already"));
            return;
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
        self.begin_rollback(to, format!("by hand: {reason}"), Vec::new(), now, rules, actions);
    }

    fn rearm(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        match self.state {
            GuardState::RolledBack | GuardState::NotRecovered => {}
            GuardState::Watching if self.incident.is_some() => {}
            GuardState::Watching => return actions.push(self.ignored("the guard is watching already")),
            GuardState::Paused => return actions.push(self.ignored("the guard is paused: resume it first")),
            GuardState::RollingBack | GuardState::Verifying => {
                return actions.push(self.ignored("a rollback is under way: wait for it, or pause the guard"));
            }
        }
        self.start_clocks_anew();
        let page = self.told(Event::GuardRearmed, format!("{}: watching again", self.settings.name), now);
        actions.push(Action::Journal);
        actions.push(Action::Notify(page));
        self.goto(GuardState::Watching, "a person re-armed it", actions);
        self.retire(now);
    }

    fn pause(&mut self, until: Timestamp, now: Timestamp, actions: &mut Vec<Action>) {
        if until <= now {
            actions.push(self.ignored(format!("a pause until {until} would be over already")));
            return;
        }
        let from = self.pause.as_ref().map_or(self.state, |p| p.from);
        self.pause = Some(Pause { until, from });
        let page = self.told(
            Event::GuardPaused,
            format!(
                "{}: paused until {}; nothing is rolled back until then",
                self.settings.name,
                until.strftime("%Y-%m-%dT%H:%M:%SZ")
            ),
            now,
        );
        actions.push(Action::Journal);
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

    fn resume(&mut self, reason: &str, now: Timestamp, rules: Rules, actions: &mut Vec<Action>) {
        let Some(pause) = self.pause.take() else { return };
        actions.push(Action::Journal);
        self.goto(pause.from, reason, actions);
        if pause.from == GuardState::RollingBack
            && let Some(incident) = &mut self.incident
        {
            incident.attempt += 1;
            incident.note(now, format!("{reason}: trying again"));
            actions.extend(self.order(Duration::ZERO, rules));
        }
    }

    fn acknowledge(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let Some(incident) = &mut self.incident else {
            return actions.push(self.ignored("there is no incident to acknowledge"));
        };
        let failing = incident.failures > 0 && incident.completed_at.is_none();
        let retrying = failing && self.state == GuardState::RollingBack;
        if incident.acknowledged_at.is_some() && !retrying {
            return actions.push(self.ignored("the incident is acknowledged already"));
        }
        incident.acknowledged_at = Some(now);
        let page = self.told(Event::GuardAcknowledged, format!("{}: acknowledged", self.settings.name), now);
        actions.push(Action::Journal);
        actions.push(Action::Notify(page));
        if retrying {
            self.give_up(now, actions);
        } else if let Some(pause) = &mut self.pause
            && pause.from == GuardState::RollingBack
            && failing
        {
            pause.from = GuardState::NotRecovered;
        }
    }

    /// A page about what a person did, within the incident where there is one.
    fn told(&mut self, event: Event, summary: String, now: Timestamp) -> Notification {
        let advice = "Nothing.";
        match &mut self.incident {
            Some(incident) => {
                incident.page(now, Page { event, severity: Severity::Info, summary, advice, dry_run: false })
            }
            None => Notification {
                id: {
                    self.told += 1;
                    format!("{}.{}.{}", incident::id(&self.settings.name, now), event.as_str(), self.told)
                },
                event,
                severity: Severity::Info,
                time: now,
                guard: Some(self.settings.name.clone()),
                guards: Vec::new(),
                incident: None,
                summary,
                advice: advice.to_owned(),
                trigger: None,
                rollback: None,
                dry_run: false,
            },
        }
    }
}

/// Of several triggers that fire together, a page names the one first that says most about the cause.
fn telling(measure: &Measure) -> u8 {
    match measure {
        Measure::FailureRatio => 0,
        Measure::Quantile { .. } | Measure::QuantileDegradation { .. } => 1,
        Measure::Availability => 2,
        Measure::Value | Measure::ValueDegradation | Measure::ValueDrop => 3,
    }
}

/// The wait before the next attempt: doubling, bounded, and a little different for each incident and attempt. The engine has no
/// randomness: the difference comes from a hash (FNV-1a) of the incident's id.
fn retry_delay(incident: &str, failures: u32) -> Duration {
    let base = RETRY_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(RETRY_LONGEST);
    let hash = incident
        .bytes()
        .chain(failures.to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3));
    // The hash's upper half as a number between -1 and 1.
    #[allow(clippy::cast_precision_loss)]
    let spread = (hash >> 32) as f64 / f64::from(u32::MAX) * 2.0 - 1.0;
    base.mul_f64(1.0 + RETRY_JITTER * spread)
}
