//! What a page says, as data: which sentence, with its numbers. Both languages are made of the same, so that none says less than the
//! other.
//!
//! - here: the sentences that there are
//! - `english`, `chinese`: how each is said, and what its reader should do
//! - `numbers`: how numbers are said in Chinese; in English `words` says them

mod chinese;
mod english;
mod numbers;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;

use super::action::TriggerFacts;
use super::assessment::Assessment;
use super::drift::Drift;
use super::input::{Problem, Unknown};
use super::language::{Chinese, Language, TriggerWords};
use super::recorded::Recorded;
use super::settings::TriggerSettings;
use super::trigger::Verdict;

pub use numbers::duration as duration_in_chinese;

pub(super) use english::{against_limit, cause, movement, problems};

/// Reasons, guards and baselines that a page names; the rest is counted.
const NAMED: usize = 5;

/// Problems of a rollback that a page names; the rest is counted.
const NAMED_PROBLEMS: usize = 4;

/// A trigger's number against its limit, as it was at one instant.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Measured {
    pub settings: TriggerSettings,
    pub assessment: Option<Assessment>,
    /// For how long the breach was observed.
    pub held: Duration,
}

/// The facts of a trigger that a page carries, and their words in Chinese where somebody wants them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Facts {
    pub facts: TriggerFacts,
    pub words: Option<TriggerWords>,
}

/// Why traffic is moved back.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cause {
    /// These triggers hold.
    Triggers(Vec<Measured>),
    /// A person, or another system, asked for it with these words.
    ByHand(String),
}

/// The way of the traffic, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Movement {
    /// Absent when the cluster could not be read.
    pub from: Option<u8>,
    pub to: u8,
}

/// A trigger that cannot be seen.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unseen {
    pub guard: String,
    pub settings: TriggerSettings,
    pub unknown: Unknown,
}

impl Unseen {
    /// A look at a trigger of this guard that saw nothing; none where it saw something.
    pub fn of(guard: &str, look: &Measured) -> Option<Self> {
        match &look.assessment.as_ref()?.verdict {
            Verdict::Unknown(unknown) => {
                let (guard, settings) = (guard.to_owned(), look.settings.clone());
                Some(Self { guard, settings, unknown: unknown.clone() })
            }
            Verdict::Breach | Verdict::Band | Verdict::Clear => None,
        }
    }
}

/// A recorded baseline that is too old.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TooOld {
    pub guard: String,
    pub settings: TriggerSettings,
    pub age: Duration,
    pub max_age: Duration,
}

/// What became of a trigger that a page was about.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Gone {
    /// It decides by something else now.
    Changed(Box<TriggerSettings>),
    /// It is not configured any more; this was its name.
    Removed(String),
}

/// What a page says. Of a guard, where nothing else is said.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Said {
    /// A rollback begins.
    RollbackStarted { cause: Cause, way: Movement },
    /// It is done, in a dry run.
    WouldHaveRolledBack { way: Movement },
    /// It is done.
    RolledBack { way: Movement, took: Duration },
    /// It is done; who changed the objects is not known.
    FoundThere { to: u8 },
    /// It is done: nothing was to change.
    WasThere { to: u8 },
    /// A step fails, or a rollout after all is accepted.
    RollbackFails { way: Movement, accepted: bool, error: String },
    /// The guard was taken out of the configuration in the middle of its rollback.
    RollbackAbandoned { way: Movement },
    /// It helped.
    Helped { at: u8 },
    /// The triggers are clear, and the change was undone meanwhile: to this share, where that is known. What they are clear by is not told.
    ClearThoughUndone { at: u8, share: Option<u8> },
    /// Whether it helped cannot be seen; without triggers none could be read.
    CannotSee { at: u8, within: Duration, unseen: Vec<Unseen> },
    /// It did not help, and this is the next rung.
    DidNotHelp { at: u8, within: Duration, bad: Vec<Measured>, next: Option<u8> },
    /// Somebody undid it.
    Undone { to: u8, share: Option<u8>, drift: Vec<Drift> },
    /// A trigger that only pages fires.
    Firing(Measured),
    /// Triggers that roll back fire, and the guard is latched.
    FiringWhileLatched(Vec<Measured>),
    /// They fire, and the traffic is at its target.
    FiringAtTarget { firing: Vec<Measured>, share: Option<u8> },
    /// A trigger that only pages is clear.
    Clear(Measured),
    /// Those that roll back are clear, and the guard is latched.
    ClearWhileLatched,
    /// They are clear, and nothing was changed.
    ClearUnchanged,
    /// Another incident of the guard takes its place.
    Superseded { by: String },
    /// The process does not run dry any more.
    DryRunOver,
    /// A page ends because its trigger did.
    TriggerGone(Gone),
    /// An incident ends because its guard did.
    GuardGone { verifying: bool },
    /// Triggers have not been seen for so long; of several guards.
    Blind { quiet: bool, after: Duration, unseen: Vec<Unseen> },
    /// They are seen again; of several guards.
    Sees,
    /// A rollback would fail.
    NotReady { problems: Vec<Problem> },
    /// It would work again.
    Ready,
    /// It is not tried any more.
    NotTried,
    /// Recorded baselines are too old; of several guards.
    BaselinesTooOld(Vec<TooOld>),
    /// None is any more; of several guards.
    BaselinesFresh,
    /// A person re-armed the guard.
    Rearmed,
    /// A person paused it, in the middle of a rollback or not.
    Paused { until: Timestamp, halts: bool },
    /// A person has seen the incident. Its failing rollback is not tried any more, or there is none.
    Acknowledged { gives_up: bool },
}

/// What a page says, in words.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Words {
    pub summary: String,
    pub advice: String,
}

impl Said {
    /// In the words of a language. `guard` is whose story it is; of what concerns several it does not matter.
    pub fn words(&self, guard: &str, language: Language) -> Words {
        match language {
            Language::English => Words { summary: english::summary(self, guard), advice: english::advice(self, guard) },
            Language::Chinese => Words { summary: chinese::summary(self, guard), advice: chinese::advice(self, guard) },
        }
    }

    /// In Chinese, with the words of the trigger that the page carries.
    pub fn in_chinese(&self, guard: &str, trigger: Option<TriggerWords>) -> Option<Box<Chinese>> {
        let Words { summary, advice } = self.words(guard, Language::Chinese);
        Some(Box::new(Chinese { summary, advice, opening: None, trigger }))
    }
}

/// The facts in Chinese.
pub(super) fn trigger_words(measured: &Measured, recorded: &[Recorded]) -> Option<TriggerWords> {
    let assessment = measured.assessment.as_ref()?;
    Some(TriggerWords {
        label: numbers::label(&measured.settings),
        text: numbers::text(assessment, &measured.settings),
        threshold_text: numbers::threshold(&measured.settings, assessment.threshold),
        baseline_source: numbers::baseline_source(&measured.settings, recorded),
    })
}

/// The first few of a list, and how many more there are.
fn some(
    all: impl ExactSizeIterator<Item = String>,
    most: usize,
    between: &str,
    more: impl Fn(usize) -> String,
) -> String {
    let left = all.len().saturating_sub(most);
    let mut texts: Vec<String> = all.take(most).collect();
    if left > 0 {
        texts.push(more(left));
    }
    texts.join(between)
}
