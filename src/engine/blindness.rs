//! What cannot be seen: triggers that have been unknown for too long.
//!
//! Two kinds are told apart. Where the sensor fails (errors, no series, NaN) somebody must look: a page. Where it works and there is
//! too little traffic to tell, nobody can mend anything: it is said once, for the record, so that a quiet night pages nobody. With the
//! traffic known to be at 0 % a series that counts nothing is what one expects, and nothing is said at all.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::action::{Action, Event, Next, Notification, Severity};
use super::beginning::Beginning;
use super::guard::{Guard, GuardState, Trigger};
use super::incident;
use super::input::Unknown;
use super::language::Language;
use super::settings::TriggerAction;
use super::telling::{Said, Unseen, Words};
use super::trigger::{Verdict, since};

/// The stories of not seeing that are going on, one per severity.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Blindness {
    stories: BTreeMap<Severity, Story>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Story {
    id: String,
    pages: u32,
    #[serde(default, skip_serializing_if = "Beginning::is_unknown")]
    beginning: Beginning,
}

impl Story {
    pub fn begin(id: String) -> Self {
        Self { id, pages: 0, beginning: Beginning::default() }
    }
}

/// How urgent it is that this trigger does not see; `None` when it is to be expected.
fn severity(trigger: &Trigger, unknown: &Unknown, share: Option<u8>) -> Option<Severity> {
    let quiet = unknown.is_quiet();
    if share == Some(0) && unknown.is_expected_at_zero() {
        return None;
    }
    Some(match trigger.settings.action {
        _ if quiet => Severity::Info,
        TriggerAction::Rollback => Severity::Critical,
        TriggerAction::Page => Severity::Warning.min(trigger.settings.severity),
    })
}

impl Trigger {
    /// Notes at `at` how urgent it is that the trigger does not see, `None` where it sees or need not. Whether it is to be told as blind
    /// from now on.
    fn goes_dark(&mut self, severity: Option<Severity>, at: Timestamp, blind_after: Duration, paused: bool) -> bool {
        let Some(severity) = severity else {
            self.dark = None;
            self.blind = None;
            return false;
        };
        let dark_since = match self.dark {
            Some((was, dark_since)) if was == severity => dark_since,
            _ => at,
        };
        self.dark = Some((severity, dark_since));
        if self.blind == Some(severity) {
            return false;
        }
        self.blind = None;
        let tells = !paused && since(dark_since, at) >= blind_after;
        if tells {
            self.blind = Some(severity);
        }
        tells
    }
}

impl Blindness {
    /// Looks at every trigger after a tick at `at`, and says what can no longer be seen and what can again. `took` says of each guard
    /// whether it took the tick: of the others nothing new is known.
    pub fn tick(
        &mut self,
        guards: &mut [Guard],
        took: &[bool],
        blind_after: Duration,
        at: Timestamp,
        now: Timestamp,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut newly: BTreeMap<Severity, Vec<Unseen>> = BTreeMap::new();
        let mut still: BTreeSet<Severity> = BTreeSet::new();
        for (guard, took) in guards.iter_mut().zip(took) {
            let share = guard.share.as_ref().ok().copied();
            let name = &guard.settings.name;
            let paused = guard.state == GuardState::Paused;
            for trigger in &mut guard.triggers {
                let before = trigger.blind;
                if *took {
                    let not_seen = match trigger.assessment.as_ref().map(|a| &a.verdict) {
                        Some(Verdict::Unknown(unknown)) => {
                            severity(trigger, unknown, share).map(|severity| (severity, unknown.clone()))
                        }
                        _ => None,
                    };
                    if trigger.goes_dark(not_seen.as_ref().map(|n| n.0), at, blind_after, paused)
                        && let Some((severity, unknown)) = not_seen
                    {
                        let settings = trigger.settings.for_words();
                        newly.entry(severity).or_default().push(Unseen { guard: name.clone(), settings, unknown });
                    }
                }
                still.extend(trigger.blind);
                if trigger.blind != before {
                    actions.push(Action::Journal);
                }
            }
        }
        for (severity, unseen) in newly {
            let story = self
                .stories
                .entry(severity)
                .or_insert_with(|| Story::begin(incident::id(&format!("watchdog-blind-{}", severity.as_str()), at)));
            actions.push(Action::Journal);
            let mut guards: Vec<_> = unseen.iter().map(|unseen| unseen.guard.clone()).collect();
            guards.dedup();
            let said = Said::Blind { quiet: severity == Severity::Info, after: blind_after, unseen };
            actions.push(Action::Notify(page(story, Event::WatchdogBlind, severity, guards, &said, now)));
        }
        let over: Vec<_> = self.stories.keys().filter(|s| !still.contains(s)).copied().collect();
        for severity in over {
            let Some(mut story) = self.stories.remove(&severity) else { continue };
            actions.push(Action::Journal);
            let page = page(&mut story, Event::WatchdogSees, severity, Vec::new(), &Said::Sees, now);
            actions.push(Action::Notify(page));
        }
        actions
    }
}

/// A page about what can or cannot be seen, or is compared with, of several guards.
pub(super) fn page(
    story: &mut Story,
    event: Event,
    severity: Severity,
    guards: Vec<String>,
    said: &Said,
    now: Timestamp,
) -> Notification {
    story.pages += 1;
    let (guard, guards) = match guards.as_slice() {
        [only] => (Some(only.clone()), Vec::new()),
        _ => (None, guards),
    };
    let of = guard.as_deref().unwrap_or_default();
    let Words { summary, advice } = said.words(of, Language::English);
    let chinese = said.in_chinese(of, None);
    let mut page = Notification {
        id: format!("{}.{}", story.id, story.pages),
        event,
        severity,
        time: now,
        guard,
        guards,
        incident: Some(story.id.clone()),
        summary,
        advice,
        trigger: None,
        rollback: None,
        next: matches!(event, Event::WatchdogBlind | Event::WatchdogNotReady).then_some(Next::Tell),
        opening: None,
        settles: Vec::new(),
        dry_run: false,
        chinese,
    };
    story.beginning.of_story(&mut page);
    page
}
