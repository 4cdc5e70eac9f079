//! Recorded baselines that are too old. What a service is compared with must not be the service of last year; it is compared all the same,
//! because an old baseline guards better than none, and a person is told once.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::action::{Action, Event, Severity};
use super::blindness::{Story, page};
use super::guard::{Guard, GuardState, Trigger};
use super::incident;
use super::settings::BaselineSource;
use super::telling::{Said, TooOld};

/// The story of baselines that are too old, while it goes on.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Ageing {
    #[serde(skip_serializing_if = "Option::is_none")]
    story: Option<Story>,
    /// The triggers that were told, by their guards.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    told: BTreeMap<String, BTreeSet<String>>,
}

impl Ageing {
    /// Whether nothing of it has to be remembered.
    pub fn is_over(&self) -> bool {
        self.story.is_none() && self.told.is_empty()
    }

    /// Looks at every recorded baseline, and says which are too old by now, and that none is any more.
    pub fn tick(&mut self, guards: &[Guard], now: Timestamp) -> Vec<Action> {
        let mut actions = Vec::new();
        let (mut old, mut news) = (BTreeMap::<String, BTreeSet<String>>::new(), Vec::new());
        for guard in guards {
            for trigger in &guard.triggers {
                let Some(too_old) = too_old(guard.name(), trigger, now) else { continue };
                let (name, of) = (guard.name().to_owned(), trigger.settings.name.clone());
                if !self.told.get(&name).is_some_and(|told| told.contains(&of)) {
                    // Nobody is told of a guard that a person has paused, until that is over.
                    if guard.state == GuardState::Paused {
                        continue;
                    }
                    news.push(too_old);
                }
                old.entry(name).or_default().insert(of);
            }
        }
        if old != self.told {
            self.told = old;
            actions.push(Action::Journal);
        }
        if !news.is_empty() {
            let story = self.story.get_or_insert_with(|| Story::begin(incident::id("watchdog-old-baselines", now)));
            let mut guards: Vec<_> = news.iter().map(|old: &TooOld| old.guard.clone()).collect();
            guards.dedup();
            let said = Said::BaselinesTooOld(news);
            let page = page(story, Event::WatchdogNotReady, Severity::Warning, guards, &said, now);
            actions.extend([Action::Journal, Action::Notify(page)]);
        } else if self.told.is_empty()
            && let Some(mut story) = self.story.take()
        {
            let (none, said) = (Vec::new(), Said::BaselinesFresh);
            let page = page(&mut story, Event::WatchdogReady, Severity::Warning, none, &said, now);
            actions.extend([Action::Journal, Action::Notify(page)]);
        }
        actions
    }
}

/// Its recorded baseline, where it is too old.
fn too_old(guard: &str, trigger: &Trigger, now: Timestamp) -> Option<TooOld> {
    let Some(BaselineSource::Recorded { max_age, .. }) = &trigger.settings.baseline else { return None };
    let age = trigger.settings.in_use(&trigger.recorded)?.age(now);
    let old = || TooOld { guard: guard.to_owned(), settings: trigger.settings.for_words(), age, max_age: *max_age };
    (age > *max_age).then(old)
}
