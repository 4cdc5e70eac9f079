//! Recorded baselines that are too old. What a service is compared with must not be the service of last year; it is compared all the same,
//! because an old baseline guards better than none, and a person is told once.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::action::{Action, Event, Severity};
use super::blindness::{Story, named, page};
use super::guard::{Guard, GuardState, Trigger};
use super::incident;
use super::settings::BaselineSource;
use super::words;

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
                let Some(text) = too_old(trigger, now) else { continue };
                let (name, of) = (guard.name().to_owned(), trigger.settings.name.clone());
                if !self.told.get(&name).is_some_and(|told| told.contains(&of)) {
                    // Nobody is told of a guard that a person has paused, until that is over.
                    if guard.state == GuardState::Paused {
                        continue;
                    }
                    news.push((name.clone(), text));
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
            let mut guards: Vec<_> = news.iter().map(|(guard, _)| guard.clone()).collect();
            guards.dedup();
            let all = named(news.iter().map(|(guard, text)| format!("{guard}: {text}")), "; ");
            let advice = "Record it anew while the service is well: ripcord baseline record. Until then the old one is compared with.";
            let page = page(story, Event::WatchdogNotReady, Severity::Warning, guards, all, advice, now);
            actions.extend([Action::Journal, Action::Notify(page)]);
        } else if self.told.is_empty()
            && let Some(mut story) = self.story.take()
        {
            let text = "no recorded baseline is too old any more".to_owned();
            let page = page(&mut story, Event::WatchdogReady, Severity::Warning, Vec::new(), text, "Nothing.", now);
            actions.extend([Action::Journal, Action::Notify(page)]);
        }
        actions
    }
}

/// `the baseline of latency P95 is 41d old (at most 30d)`, where it is too old.
fn too_old(trigger: &Trigger, now: Timestamp) -> Option<String> {
    let Some(BaselineSource::Recorded { max_age, .. }) = &trigger.settings.baseline else { return None };
    let age = trigger.settings.in_use(&trigger.recorded)?.age(now);
    let label = words::label(&trigger.settings);
    (age > *max_age)
        .then(|| format!("the baseline of {label} is {} old (at most {})", words::period(age), words::period(*max_age)))
}
