//! What has to be said besides what a notification brings with it. Each language says all of it.

use std::time::Duration;

use jiff::Timestamp;

use crate::engine::{Language, Next, RollbackFacts, StepResult, TriggerWords};

use super::chinese::Chinese;
use super::content::Tone;
use super::english::English;

/// What a paragraph is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heading {
    ToDo,
    Wrong,
    AtTheTrip,
    Now,
    Did,
    Helped,
    Next,
    Error,
    Steps,
    Guards,
}

/// What a link or a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    Runbook,
    Status,
    Dashboard,
    Event,
    Time,
    Guard,
    Incident,
    Notification,
}

/// What Ripcord did about it, as far as a notification shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Did {
    /// A dry run: it would have moved the traffic.
    WouldHaveMoved,
    /// It is moving it.
    Moves,
    /// It is, and a step failed.
    MovesAndFails,
    /// Every object is changed, and the pods do not start.
    RolloutFails,
    /// It was, and does not any more.
    Abandoned,
    /// It moved it.
    Moved,
    /// Everything was there already.
    FoundDone,
    /// It moved it and somebody undid that.
    Undone,
    /// Nothing: it only tells.
    OnlyTells,
    /// Nothing: the traffic is at its target.
    AtTarget,
    /// Nothing: the guard is latched.
    Latched,
}

/// Whether it helped.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Helped {
    NotKnownYet,
    /// Traffic moves as pods start, and they do not.
    NotMoved,
    /// The change did not go through.
    NotDone,
    /// With the present number.
    Yes(Option<TriggerWords>),
    /// With the present number.
    No(Option<TriggerWords>),
    /// With the reason.
    NotSeen(Option<TriggerWords>),
    NoLonger,
}

/// How long a breach was observed.
pub(super) struct Held {
    pub(super) time: Duration,
    /// Since when, or before; known where the numbers are the present ones.
    pub(super) since: Option<Timestamp>,
}

/// The words of a language besides those that a notification brings with it.
pub(super) trait Words {
    fn severity(&self, tone: Tone) -> &'static str;
    fn heading(&self, heading: Heading) -> &'static str;
    fn label(&self, label: Label) -> &'static str;
    /// A colon as it stands between a name and a value.
    fn colon(&self) -> &'static str;
    fn measured(&self, trigger: &TriggerWords, held: Option<&Held>) -> Vec<String>;
    fn did(&self, did: Did, rollback: Option<&RollbackFacts>) -> String;
    fn helped(&self, helped: &Helped) -> String;
    /// `moving`: the change itself is still to come.
    fn next(&self, next: Next, moving: bool) -> String;
    fn step(&self, result: StepResult) -> &'static str;
    /// With what is said more of it.
    fn detail(&self, result: &str, detail: &str) -> String;
}

pub(super) fn words(language: Language) -> &'static dyn Words {
    match language {
        Language::English => &English,
        Language::Chinese => &Chinese,
    }
}
