//! A notification in words, to be read on a phone at night.
//!
//! - here: what is said, in which order, and as plain text; `html` sets the same as a document
//! - `english`, `chinese`: the words besides those that the notification brings with it
//! - `pages.txt`: every page there is, as the tests make and compare them, to be read in one go

mod chinese;
mod english;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::engine::{
    Event, Language, Next, Notification, RollbackFacts, Severity, StepReport, StepResult, TriggerWords,
};

use super::addresses::{Addresses, NotificationLinks};
use super::html;
use super::text::{clip, single_line};

/// The longest subject, in characters: mail programs on phones show less than half of it.
const MAX_SUBJECT: usize = 200;

/// The longest line, in characters: an error text from a server can be a whole page.
const MAX_LINE: usize = 1000;

/// A notification in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// One line, free of control characters.
    pub subject: String,
    /// Plain text. Its first line says what is wrong.
    pub text: String,
    /// The same as an HTML document that refers to nothing outside itself.
    pub html: String,
    /// The language that it is in.
    pub language: Language,
    /// Whether somebody must look now.
    pub urgent: bool,
}

/// What a message says, before it is set as text or as HTML. Every text in it is a single line.
pub(super) struct Content {
    /// The language that it is in.
    pub(super) language: Language,
    /// How it looks before it is read.
    pub(super) tone: Tone,
    /// The severity as a word; of good news, that it is that.
    pub(super) severity: String,
    /// What is wrong.
    pub(super) lead: String,
    /// The paragraphs: a heading, and lines or a list.
    pub(super) sections: Vec<Section>,
    /// What each link is, and where it goes.
    pub(super) links: Vec<(&'static str, String)>,
    /// Names and values for whoever looks it up later.
    pub(super) ids: Vec<(&'static str, String)>,
}

/// One paragraph.
pub(super) struct Section {
    pub(super) heading: &'static str,
    pub(super) lines: Vec<String>,
    pub(super) items: Vec<String>,
}

/// How a message looks before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// Somebody must look now.
    Critical,
    /// Somebody should look.
    Warning,
    /// For the record.
    Info,
    /// It is over. It is as severe as the page that it ends, and must not read like one.
    Good,
}

impl Content {
    /// A colon as it stands between a name and a value.
    pub(super) fn colon(&self) -> &'static str {
        words(self.language).colon()
    }
}

/// What a paragraph is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heading {
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
enum Label {
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
enum Did {
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
enum Helped {
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
struct Held {
    time: Duration,
    /// Since when, or before; known where the numbers are the present ones.
    since: Option<Timestamp>,
}

/// The notification in words of this language; in English where it is not there in that language.
pub fn compose(notification: &Notification, addresses: &Addresses, language: Language) -> Message {
    let content = content(notification, addresses, language);
    let subject = clip(&format!("[{}] {}", content.severity, content.lead), MAX_SUBJECT);
    let urgent = content.tone == Tone::Critical;
    Message {
        text: text(&content),
        html: html::document(&subject, &content),
        subject,
        language: content.language,
        urgent,
    }
}

/// What every one line of a dry run begins with.
const DRY_RUN: &str = "[dry run] ";

/// The one line that says all that matters, free of control characters.
pub(super) fn lead(notification: &Notification, language: Language) -> String {
    dry(notification, single_line(notification.summary_in(language)))
}

/// What the first page of its story said under which severity, where this is a later one.
pub(super) fn opening(notification: &Notification, language: Language) -> Option<String> {
    let opening = notification.opening.as_ref()?;
    let (language, tone) = (notification.told_in(language), Tone::of_severity(opening.severity));
    let summary = dry(notification, single_line(notification.opening_in(language)?));
    Some(clip(&format!("[{}] {summary}", words(language).severity(tone)), MAX_SUBJECT))
}

fn dry(notification: &Notification, line: String) -> String {
    if notification.dry_run && !line.starts_with(DRY_RUN) { format!("{DRY_RUN}{line}") } else { line }
}

/// What a message says, for those who set it in another shape than these.
pub(super) fn content(notification: &Notification, addresses: &Addresses, language: Language) -> Content {
    let language = notification.told_in(language);
    let say = words(language);
    let mut sections = Vec::new();
    let mut section = |heading: Heading, lines: Vec<String>, items: Vec<String>| {
        let lines: Vec<_> = lines.iter().map(|text| line(text)).collect();
        if !lines.is_empty() || !items.is_empty() {
            sections.push(Section { heading: say.heading(heading), lines, items });
        }
    };
    let advice = notification.advice_in(language);
    section(Heading::ToDo, advice.lines().filter(|text| !text.trim().is_empty()).map(str::to_owned).collect(), vec![]);
    if let Some((heading, held)) = shown(notification)
        && let Some(trigger) = notification.trigger_in(language)
    {
        section(heading, say.measured(&trigger, held.as_ref()), vec![]);
    }
    let way = notification.rollback.as_ref();
    section(Heading::Did, did(notification).map(|did| say.did(did, way)).into_iter().collect(), vec![]);
    section(Heading::Helped, helped(notification, language).iter().map(|helped| say.helped(helped)).collect(), vec![]);
    let moving = notification.event == Event::RollbackStarted;
    section(Heading::Next, notification.next.map(|next| say.next(next, moving)).into_iter().collect(), vec![]);
    if let Some(rollback) = notification.rollback.as_ref().filter(|_| has_steps(notification.event)) {
        // The one line has it, where it is about that.
        let error = rollback.error.iter().filter(|error| !notification.summary.contains(error.as_str()));
        section(Heading::Error, error.cloned().collect(), vec![]);
        section(Heading::Steps, vec![], rollback.steps.iter().map(|step| self::step(step, say)).collect());
    }
    section(Heading::Guards, vec![], notification.guards.iter().map(|g| line(g)).collect());

    let mut ids = vec![(Label::Event, notification.event.as_str().to_owned())];
    ids.push((Label::Time, utc(notification.time)));
    ids.extend(notification.guard.iter().map(|g| (Label::Guard, line(g))));
    ids.extend(notification.incident.iter().map(|i| (Label::Incident, line(i))));
    ids.push((Label::Notification, line(&notification.id)));
    let links = named_links(addresses.of(notification), language);
    let tone = Tone::of(notification);
    Content {
        language,
        tone,
        severity: say.severity(tone).to_owned(),
        lead: clip(&lead(notification, language), MAX_LINE),
        sections,
        links: links.into_iter().map(|(name, link)| (name, line(&link))).collect(),
        ids: ids.into_iter().map(|(name, value)| (say.label(name), value)).collect(),
    }
}

/// The addresses that there are, each with what it is called.
pub(super) fn named_links(links: NotificationLinks, language: Language) -> Vec<(&'static str, String)> {
    let say = words(language);
    let links = [(Label::Runbook, links.runbook), (Label::Dashboard, links.dashboard), (Label::Status, links.status)];
    links.into_iter().filter_map(|(name, link)| Some((say.label(name), link?))).collect()
}

/// The words of a language besides those that a notification brings with it.
trait Words {
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

fn words(language: Language) -> &'static dyn Words {
    match language {
        Language::English => &english::English,
        Language::Chinese => &chinese::Chinese,
    }
}

impl Tone {
    fn of(notification: &Notification) -> Self {
        match notification.event {
            // Whether it is over is not known.
            Event::PageResolved if was_ended(notification) => Self::Info,
            Event::RollbackVerified
            | Event::PageResolved
            | Event::WatchdogSees
            | Event::WatchdogReady
            | Event::GuardRearmed => Self::Good,
            Event::RollbackStarted
            | Event::RollbackSucceeded
            | Event::RollbackFailed
            | Event::RollbackNotRecovered
            | Event::RollbackReverted
            | Event::PageFiring
            | Event::WatchdogBlind
            | Event::WatchdogNotReady
            | Event::WatchdogStarted
            | Event::WatchdogStopping
            | Event::GuardPaused
            | Event::GuardAcknowledged
            | Event::NotificationLost => Self::of_severity(notification.severity),
        }
    }

    fn of_severity(severity: Severity) -> Self {
        match severity {
            Severity::Critical => Self::Critical,
            Severity::Warning => Self::Warning,
            Severity::Info => Self::Info,
        }
    }
}

/// Under which heading the trigger's numbers stand; nowhere, where they are part of what is said of whether it helped.
fn shown(notification: &Notification) -> Option<(Heading, Option<Held>)> {
    let trigger = notification.trigger.as_ref()?;
    let time = Duration::try_from_secs_f64(trigger.held_seconds).unwrap_or_default();
    let held = |since: bool| {
        let begin = || notification.time.checked_sub(SignedDuration::try_from(time).ok()?).ok();
        // What was not observed does not count as held, so the breach may be older than this.
        (time >= Duration::from_secs(1)).then(|| Held { time, since: begin().filter(|_| since) })
    };
    match notification.event {
        Event::RollbackStarted | Event::PageFiring => Some((Heading::Wrong, held(true))),
        // What ended by itself is not held any more. What was ended, by a reload say, still has the numbers of its beginning.
        Event::PageResolved if !was_ended(notification) => Some((Heading::Now, None)),
        Event::RollbackVerified | Event::RollbackNotRecovered if !notification.dry_run => None,
        Event::RollbackVerified
        | Event::RollbackNotRecovered
        | Event::RollbackSucceeded
        | Event::RollbackFailed
        | Event::RollbackReverted
        | Event::PageResolved => Some((Heading::AtTheTrip, held(false))),
        Event::WatchdogBlind
        | Event::WatchdogSees
        | Event::WatchdogNotReady
        | Event::WatchdogReady
        | Event::WatchdogStarted
        | Event::WatchdogStopping
        | Event::GuardPaused
        | Event::GuardRearmed
        | Event::GuardAcknowledged
        | Event::NotificationLost => None,
    }
}

/// Whether a page was ended because its trigger or its guard was: it still has the numbers of its beginning, which held.
fn was_ended(notification: &Notification) -> bool {
    notification.event == Event::PageResolved
        && notification.trigger.as_ref().is_some_and(|trigger| trigger.held_seconds > 0.0)
}

fn did(notification: &Notification) -> Option<Did> {
    if notification.dry_run && notification.rollback.is_some() {
        return Some(Did::WouldHaveMoved);
    }
    let changed = |rollback: &RollbackFacts| rollback.steps.iter().any(|step| step.result == StepResult::Changed);
    Some(match (notification.event, notification.next) {
        (Event::RollbackStarted, _) => Did::Moves,
        (Event::RollbackSucceeded, _) if !notification.rollback.as_ref().is_some_and(changed) => Did::FoundDone,
        (Event::RollbackSucceeded | Event::RollbackVerified | Event::RollbackNotRecovered, _) => Did::Moved,
        (Event::RollbackFailed, Some(Next::Retry { .. })) if is_changed(notification) => Did::RolloutFails,
        (Event::RollbackFailed, Some(Next::Retry { .. })) => Did::MovesAndFails,
        (Event::RollbackFailed, _) => Did::Abandoned,
        (Event::RollbackReverted, _) => Did::Undone,
        (Event::PageFiring, Some(Next::Rearm)) => Did::Latched,
        (Event::PageFiring, _) if notification.severity == Severity::Critical && is_at_target(notification) => {
            Did::AtTarget
        }
        (Event::PageFiring, _) => Did::OnlyTells,
        _ => return None,
    })
}

/// A page of a trigger that only pages names it in its incident; one of a guard at its target does not.
fn is_at_target(notification: &Notification) -> bool {
    let of_trigger = |incident: &String| {
        let guard = notification.guard.as_deref().unwrap_or_default();
        incident.strip_prefix(guard).is_some_and(|rest| rest.starts_with('.'))
    };
    notification.trigger.is_some() && !notification.incident.as_ref().is_some_and(of_trigger)
}

fn helped(notification: &Notification, language: Language) -> Option<Helped> {
    if notification.dry_run {
        return None;
    }
    let now = notification.trigger_in(language);
    let known = notification.trigger.as_ref().is_none_or(|trigger| trigger.value.is_some());
    match notification.event {
        Event::RollbackSucceeded => Some(Helped::NotKnownYet),
        Event::RollbackFailed if is_changed(notification) => Some(Helped::NotMoved),
        Event::RollbackFailed => Some(Helped::NotDone),
        Event::RollbackVerified => Some(Helped::Yes(now)),
        Event::RollbackNotRecovered if known && now.is_some() => Some(Helped::No(now)),
        Event::RollbackNotRecovered => Some(Helped::NotSeen(now)),
        Event::RollbackReverted => Some(Helped::NoLonger),
        _ => None,
    }
}

/// Whether every step is done, so that only the rollouts are waited for.
fn is_changed(notification: &Notification) -> bool {
    let done =
        |step: &StepReport| matches!(step.result, StepResult::Changed | StepResult::AlreadyThere | StepResult::Absent);
    notification.rollback.as_ref().is_some_and(|rollback| rollback.steps.iter().all(done))
}

/// Where what came of each step is worth its lines.
fn has_steps(event: Event) -> bool {
    matches!(event, Event::RollbackStarted | Event::RollbackSucceeded | Event::RollbackFailed | Event::RollbackReverted)
}

fn step(report: &StepReport, say: &dyn Words) -> String {
    let result = say.step(report.result);
    let result = report.detail.as_ref().map_or_else(|| result.to_owned(), |detail| say.detail(result, detail));
    line(&format!("{}{}{result}", report.step, say.colon()))
}

fn text(content: &Content) -> String {
    let colon = content.colon();
    let mut paragraphs = vec![content.lead.clone()];
    for section in &content.sections {
        let lines = section.lines.iter().cloned();
        let items = section.items.iter().map(|item| format!("- {item}"));
        let rest: Vec<String> = lines.chain(items).collect();
        paragraphs.push(format!("{}{}\n{}", section.heading, colon.trim_end(), rest.join("\n")));
    }
    for pairs in [&content.links, &content.ids] {
        let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}{colon}{value}")).collect();
        if !pairs.is_empty() {
            paragraphs.push(pairs.join("\n"));
        }
    }
    paragraphs.join("\n\n") + "\n"
}

fn line(text: &str) -> String {
    clip(&single_line(text), MAX_LINE)
}

fn utc(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Seconds as a time.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
