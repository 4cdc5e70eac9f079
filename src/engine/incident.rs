//! An incident: one story of a guard, from trip to re-arm, and the pages that tell it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::action::{Alert, Event, Next, Notification, Opening, RollbackFacts, Severity, TriggerFacts};
use super::drift::Drift;
use super::input::{SavedObject, StepReport, StepResult};
use super::language::{Language, TriggerWords};
use super::telling::{self, Facts, Movement, Said, Words};
use super::words;

/// The first lines of a timeline that are kept for ever: how it began, and the first failures.
const FIRST_LINES: usize = 20;

/// The last lines that are kept, besides: a dozen attempts with their steps. A rollback that fails all night notes a thousand.
const LAST_LINES: usize = 30;

/// Steps that an incident keeps reports of, at least. A rollback has a handful; only reloads under way could bring ever new ones.
const MOST_STEPS: usize = 100;

/// One story of a guard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Names every page, log line and journal entry of it.
    pub id: String,
    /// The guard.
    pub guard: String,
    /// When it began.
    pub opened_at: Timestamp,
    /// When it ended; absent while it goes on.
    pub closed_at: Option<Timestamp>,
    /// What it is about.
    pub kind: IncidentKind,
    /// Why, in words.
    pub reason: String,
    /// The triggers that fired, with their numbers at that moment.
    pub triggers: Vec<TriggerFacts>,
    /// Their words in Chinese, where somebody wanted them then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) words: Vec<TriggerWords>,
    /// What its first page said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) opening: Option<Opening>,
    /// The same in Chinese, where somebody wanted it then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) opening_in_chinese: Option<String>,
    /// The share at the trip; absent when the cluster could not be read.
    pub from_percentage: Option<u8>,
    /// The share that the present rung goes to.
    pub to_percentage: u8,
    /// Which try of the change this is, from 1 and never falling.
    pub attempt: u32,
    /// The steps and what came of them.
    pub steps: Vec<StepReport>,
    /// The last error of the change; absent once it worked.
    pub error: Option<String>,
    /// When every change of the present rung was accepted.
    pub accepted_at: Option<Timestamp>,
    /// When every rollout of the present rung was complete.
    pub completed_at: Option<Timestamp>,
    /// What verification said.
    pub verification: Option<Verification>,
    /// When a person said to have seen it.
    pub acknowledged_at: Option<Timestamp>,
    /// What happened, in order. Of a long story the middle is left out, and one entry there says so.
    pub timeline: Vec<TimelineEntry>,
    /// How many lines of the timeline are left out.
    #[serde(default)]
    pub(super) left_out: u32,
    /// Whether it began as a dry run: nothing was changed, so that there is nothing to latch.
    #[serde(default)]
    pub dry_run: bool,
    /// Whether it is over for the triggers: what fires from now on, with the guard latched, is news and is paged.
    #[serde(default)]
    pub(super) calm: bool,
    /// Whether it was paged that a trigger fires and the guard is latched.
    #[serde(default)]
    pub(super) latched_page: bool,
    /// Whether the change of the present rung was cut off and taken up again: what is found there then may be its own work.
    #[serde(default)]
    pub(super) resumed: bool,
    /// Failed attempts of the present rung, for the backoff and so that only the first one pages.
    pub(super) failures: u32,
    /// Pages sent so far, for their ids.
    pub(super) pages: u32,
    /// The alerts that its pages opened besides its own, and that are not ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) alerts: Vec<Alert>,
    /// Since when the triggers have been clear on data younger than the change.
    pub(super) fresh_clear_since: Option<Timestamp>,
    /// Ticks in a row that saw the share above the target after the change.
    pub(super) seen_above_target: u32,
    /// Whether it was paged that somebody undid the change.
    pub reverted: bool,
    /// Whether it is not watched any more that the change stays: a person has moved traffic since.
    #[serde(default)]
    pub(super) unwatched: bool,
    /// What somebody undid, as it was last paged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<Drift>,
    /// The objects as they were before the first change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshot: Vec<SavedObject>,
}

/// What an incident is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentKind {
    /// The guard's traffic is moved back.
    Rollback,
    /// The triggers fired with the traffic at the target already: nothing to move.
    AtTarget,
    /// A person moves traffic as the migration goes on. It ends by itself.
    Shift,
}

/// What verification says of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verification {
    /// The triggers are clear on data younger than the change.
    Recovered,
    /// They are not.
    NotRecovered,
    /// There is no data to tell by.
    CannotSee,
}

/// One thing that happened in an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEntry {
    /// When.
    pub time: Timestamp,
    /// What.
    pub text: String,
}

/// What to say in a page of an incident.
pub(super) struct Page {
    pub event: Event,
    pub severity: Severity,
    pub said: Said,
    /// A trigger's present numbers; those of the trip, where absent.
    pub facts: Option<Facts>,
    pub next: Option<Next>,
    pub dry_run: bool,
    /// Whether somebody wants it in Chinese.
    pub chinese: bool,
}

/// An id from a name and a time, to the second, like `terminal-20260102T030405Z`. A guard is latched between two incidents and a trip
/// takes a tick, so that no two of one guard begin within a second but by hand; the engine adds a number then.
pub(super) fn id(name: &str, at: Timestamp) -> String {
    format!("{name}-{}", at.strftime("%Y%m%dT%H%M%SZ"))
}

impl Incident {
    pub(super) fn open(
        guard: &str,
        id: String,
        at: Timestamp,
        kind: IncidentKind,
        reason: String,
        fired: Vec<Facts>,
    ) -> Self {
        let words = fired.iter().filter_map(|fired| fired.words.clone()).collect();
        let triggers = fired.into_iter().map(|fired| fired.facts).collect();
        Self {
            id,
            guard: guard.to_owned(),
            opened_at: at,
            closed_at: None,
            kind,
            reason,
            triggers,
            words,
            opening: None,
            opening_in_chinese: None,
            from_percentage: None,
            to_percentage: 0,
            attempt: 0,
            steps: Vec::new(),
            error: None,
            accepted_at: None,
            completed_at: None,
            verification: None,
            acknowledged_at: None,
            timeline: Vec::new(),
            left_out: 0,
            dry_run: false,
            calm: false,
            latched_page: false,
            resumed: false,
            failures: 0,
            pages: 0,
            alerts: Vec::new(),
            fresh_clear_since: None,
            seen_above_target: 0,
            reverted: false,
            unwatched: false,
            drift: Vec::new(),
            snapshot: Vec::new(),
        }
    }

    /// The incident as everybody may see it: of the objects that were saved only their names.
    pub(super) fn shown(&self) -> Self {
        let names = self.snapshot.iter().map(|o| SavedObject { object: o.object.clone(), yaml: String::new() });
        Self {
            snapshot: names.collect(),
            words: Vec::new(),
            opening: None,
            opening_in_chinese: None,
            alerts: Vec::new(),
            ..self.clone()
        }
    }

    /// Keeps objects as they were before the change. What is kept already stays: it is the older.
    pub(super) fn keep(&mut self, objects: Vec<SavedObject>) {
        for object in objects {
            if !self.snapshot.iter().any(|kept| kept.object == object.object) && self.snapshot.len() < MOST_STEPS {
                self.snapshot.push(object);
            }
        }
    }

    /// Begins a rung: its steps are all still to do.
    pub(super) fn begin_rung(&mut self, to: u8, steps: &[String]) {
        self.to_percentage = to;
        self.attempt += 1;
        self.resumed = false;
        self.failures = 0;
        self.error = None;
        self.accepted_at = None;
        self.completed_at = None;
        self.verification = None;
        self.fresh_clear_since = None;
        self.seen_above_target = 0;
        self.reverted = false;
        self.unwatched = false;
        self.drift.clear();
        self.steps = steps
            .iter()
            .map(|step| StepReport { step: step.clone(), result: StepResult::Planned, detail: None })
            .collect();
    }

    /// Notes what came of a step. A step that was changed by an earlier attempt stays changed: that it is found there afterwards says
    /// nothing new.
    pub(super) fn note_step(&mut self, mut report: StepReport) {
        report.detail = report.detail.map(|detail| words::bounded(&detail));
        let room = self.steps.len() < MOST_STEPS;
        match self.steps.iter_mut().find(|s| s.step == report.step) {
            Some(known) if known.result == StepResult::Changed && report.result == StepResult::AlreadyThere => {}
            Some(known) => *known = report,
            None if room => self.steps.push(report),
            None => {}
        }
    }

    /// Begins another attempt of the present rung, where the one before was cut off.
    pub(super) fn take_up(&mut self, now: Timestamp, why: &str) {
        self.attempt += 1;
        self.resumed = true;
        self.note(now, why);
    }

    /// Notes a line in the timeline. Once there are too many, the middle ones make room.
    pub(super) fn note(&mut self, time: Timestamp, text: impl AsRef<str>) {
        self.timeline.push(TimelineEntry { time, text: words::bounded(text.as_ref()) });
        if self.timeline.len() <= FIRST_LINES + 1 + LAST_LINES {
            return;
        }
        if self.left_out == 0 {
            // The entry that says so takes the place of one more.
            self.timeline.remove(FIRST_LINES);
            self.left_out = 1;
        } else {
            self.timeline.remove(FIRST_LINES + 1);
        }
        self.left_out = self.left_out.saturating_add(1);
        self.timeline[FIRST_LINES].text = format!("{} lines are left out here", self.left_out);
    }

    /// A page of this incident, and the timeline's entry for it. Its id is the incident's with a number that counts its pages, and the
    /// event: a page that went out although it could not be written is not known after a crash, and its number comes again. Another
    /// event must not pass for its repetition then.
    pub(super) fn page(&mut self, at: Timestamp, page: Page) -> Notification {
        self.pages += 1;
        // Whoever has acknowledged the page before has not seen this one: it can be acknowledged anew.
        if page.severity == Severity::Critical
            && matches!(
                page.event,
                Event::RollbackFailed | Event::RollbackNotRecovered | Event::RollbackReverted | Event::PageFiring
            )
        {
            self.acknowledged_at = None;
        }
        let settles = self.settled_by(&page);
        let Words { summary, advice } = page.said.words(&self.guard, Language::English);
        self.note(at, &summary);
        let (trigger, words) = match page.facts {
            Some(Facts { facts, words }) => (Some(facts), words),
            None => (self.triggers.first().cloned(), self.words.first().cloned()),
        };
        let mut chinese = page.said.in_chinese(&self.guard, words);
        let opening = if self.pages == 1 {
            self.opening = Some(Opening { severity: page.severity, summary: summary.clone() });
            self.opening_in_chinese = chinese.as_ref().filter(|_| page.chinese).map(|chinese| chinese.summary.clone());
            None
        } else {
            chinese.iter_mut().for_each(|chinese| chinese.opening.clone_from(&self.opening_in_chinese));
            self.opening.clone()
        };
        Notification {
            id: format!("{}.{}-{}", self.id, self.pages, page.event.as_str()),
            event: page.event,
            severity: page.severity,
            time: at,
            guard: Some(self.guard.clone()),
            guards: Vec::new(),
            incident: Some(self.id.clone()),
            summary,
            advice,
            trigger,
            rollback: (self.kind == IncidentKind::Rollback).then(|| self.rollback_facts()),
            next: page.next,
            opening,
            settles,
            dry_run: page.dry_run,
            chinese,
        }
    }

    /// The alerts besides its own that this page acknowledges or ends. Notes which ones are open after it.
    fn settled_by(&mut self, page: &Page) -> Vec<Alert> {
        let opened = match page.event {
            Event::RollbackFailed => Alert::Failed,
            Event::RollbackNotRecovered => Alert::NotRecovered { percentage: self.to_percentage },
            Event::RollbackReverted => Alert::Reverted,
            // What it is about.
            Event::RollbackSucceeded => {
                self.alerts.retain(|alert| *alert != Alert::Failed);
                return Vec::new();
            }
            Event::GuardAcknowledged => return self.alerts.clone(),
            // That all is well where somebody brought the traffic back does not put it where it was to be.
            Event::RollbackVerified if self.reverted => {
                return self.alerts.extract_if(.., |alert| *alert != Alert::Reverted).collect();
            }
            // The story goes on.
            Event::PageResolved if matches!(page.said, Said::ClearWhileLatched) => return Vec::new(),
            Event::RollbackVerified | Event::PageResolved | Event::GuardRearmed => {
                return std::mem::take(&mut self.alerts);
            }
            _ => return Vec::new(),
        };
        if !self.alerts.contains(&opened) {
            self.alerts.push(opened);
        }
        Vec::new()
    }

    fn rollback_facts(&self) -> RollbackFacts {
        RollbackFacts {
            from_percentage: self.from_percentage,
            to_percentage: self.to_percentage,
            undone: self.reverted,
            steps: self.steps.clone(),
            error: self.error.clone(),
        }
    }

    /// The move.
    pub(super) fn way(&self) -> Movement {
        Movement { from: self.from_percentage, to: self.to_percentage }
    }

    /// The move in words: `25 % -> 0 %`.
    pub(super) fn movement(&self) -> String {
        telling::movement(self.way())
    }
}
