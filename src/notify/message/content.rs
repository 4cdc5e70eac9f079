//! What a message says and in which order, before it is set as text, as HTML or for a chat.

use crate::engine::{Event, Language, Notification, Severity, StepReport};
use crate::notify::addresses::{Addresses, NotificationLinks};
use crate::notify::text::clip;

use super::shown::{did, has_steps, helped, shown, was_ended};
use super::words::{Heading, Label, Words, words};
use super::{MAX_LINE, lead, line, utc};

/// What a message says, before it is set as text or as HTML. Every text in it is a single line.
pub(in crate::notify) struct Content {
    /// The language that it is in.
    pub(in crate::notify) language: Language,
    /// How it looks before it is read.
    pub(in crate::notify) tone: Tone,
    /// The severity as a word; of good news, that it is that.
    pub(in crate::notify) severity: String,
    /// What is wrong.
    pub(in crate::notify) lead: String,
    /// The paragraphs: a heading, and lines or a list.
    pub(in crate::notify) sections: Vec<Section>,
    /// What each link is, and where it goes.
    pub(in crate::notify) links: Vec<(&'static str, String)>,
    /// Names and values for whoever looks it up later.
    pub(in crate::notify) ids: Vec<(&'static str, String)>,
}

/// One paragraph.
pub(in crate::notify) struct Section {
    pub(in crate::notify) heading: &'static str,
    pub(in crate::notify) lines: Vec<String>,
    pub(in crate::notify) items: Vec<String>,
}

/// How a message looks before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::notify) enum Tone {
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
    pub(in crate::notify) fn colon(&self) -> &'static str {
        words(self.language).colon()
    }
}

/// What a message says, for those who set it in another shape than these.
pub(in crate::notify) fn content(notification: &Notification, addresses: &Addresses, language: Language) -> Content {
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
pub(in crate::notify) fn named_links(links: NotificationLinks, language: Language) -> Vec<(&'static str, String)> {
    let say = words(language);
    let links = [(Label::Runbook, links.runbook), (Label::Dashboard, links.dashboard), (Label::Status, links.status)];
    links.into_iter().filter_map(|(name, link)| Some((say.label(name), link?))).collect()
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

    pub(super) fn of_severity(severity: Severity) -> Self {
        match severity {
            Severity::Critical => Self::Critical,
            Severity::Warning => Self::Warning,
            Severity::Info => Self::Info,
        }
    }
}

fn step(report: &StepReport, say: &dyn Words) -> String {
    let result = say.step(report.result);
    let result = report.detail.as_ref().map_or_else(|| result.to_owned(), |detail| say.detail(result, detail));
    line(&format!("{}{}{result}", report.step, say.colon()))
}
