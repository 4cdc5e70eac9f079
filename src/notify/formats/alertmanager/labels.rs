//! Which labels an alert has, by which it is known.
//!
//! The severity and whether it is a dry run are labels because Alertmanager's routes go by them, but what ends an alert need not know how
//! it was opened: a reload may have switched the dry run or changed the severity since.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::{Event, Notification, Severity};
use crate::notify::alert;
use crate::notify::text::single_line;

pub(super) type Texts = BTreeMap<&'static str, String>;

/// How an alert can have been opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opened {
    severity: Severity,
    dry_run: bool,
}

impl Opened {
    /// In a dry run nothing is as urgent as a real one.
    fn of(severity: Severity, dry_run: bool) -> Self {
        let severity = if dry_run { severity.min(Severity::Warning) } else { severity };
        Self { severity, dry_run }
    }
}

/// The ends of the keys of all alerts that a notification is about: one, and with what ends a whole story all others of it that may be open.
pub(super) fn concerned(notification: &Notification) -> Vec<String> {
    let mut ends = vec![alert::end(notification)];
    ends.extend(alert::other_ends(notification));
    // What was opened before it was remembered which ones are.
    if ends_the_story(notification.event) {
        ends.extend(["/failed", "/reverted"].map(str::to_owned));
        ends.extend(
            notification.rollback.as_ref().map(|rollback| format!("/not_recovered/{}", rollback.to_percentage)),
        );
    }
    let mut seen = BTreeSet::new();
    ends.retain(|end| seen.insert(end.clone()));
    ends
}

/// Whether nothing of its incident is open after it.
pub(super) fn ends_the_story(event: Event) -> bool {
    event == Event::GuardRearmed
}

/// How an alert that the notification ends was opened, as far as it knows: as its first page was; a re-arm, which is news for the record
/// itself, ends what was critical.
fn opening(notification: &Notification) -> Opened {
    let severity = match &notification.opening {
        _ if !alert::quiets(notification.event) => notification.severity,
        Some(opening) => opening.severity,
        None if notification.event == Event::GuardRearmed => Severity::Critical,
        None => notification.severity,
    };
    Opened::of(severity, notification.dry_run)
}

/// Every way in which an alert that the notification ends can have been opened, the likeliest first.
pub(super) fn openings(notification: &Notification) -> Vec<Opened> {
    let likely = opening(notification);
    let mut all = vec![likely];
    // What a dry run says of a severity is at most a warning. A re-arm and a start do not know how bad it was before them.
    let unknown = matches!(notification.event, Event::GuardRearmed | Event::WatchdogStarted);
    let critical = (likely.dry_run || unknown).then_some(Severity::Critical);
    let own = (notification.event != Event::GuardRearmed).then_some(notification.severity);
    for severity in [Some(likely.severity), own, critical].into_iter().flatten() {
        for dry_run in [false, true] {
            let opened = Opened::of(severity, dry_run);
            if !all.contains(&opened) {
                all.push(opened);
            }
        }
    }
    all
}

/// What an alert with this end of its key is about: the same for what opens and what ends it, whatever was set meanwhile. Names are valid
/// everywhere; a value that is empty would be none at all.
pub(super) fn identity(notification: &Notification, end: &str) -> Texts {
    let mut labels = Texts::new();
    labels.insert("alertname", name(notification.event, end).to_owned());
    // What cannot be seen, or is not ready, is told of one guard first and of others later, and ends for all of them.
    let of_several = matches!(
        notification.event,
        Event::WatchdogBlind | Event::WatchdogSees | Event::WatchdogNotReady | Event::WatchdogReady
    );
    if let Some(guard) = notification.guard.as_ref().filter(|_| !of_several) {
        labels.insert("guard", single_line(guard));
    }
    if let Some(story) = incident(notification) {
        labels.insert("incident", story);
    }
    if let Some(rung) = end.strip_prefix("/not_recovered/") {
        labels.insert("percentage", rung.to_owned());
    }
    labels.retain(|_, value| !value.is_empty());
    labels
}

/// The label that says which story it is.
pub(super) fn incident(notification: &Notification) -> Option<String> {
    let story = if notification.event == Event::NotificationLost {
        Some(alert::story(notification))
    } else {
        notification.incident.clone()
    };
    story.map(|story| single_line(&story))
}

/// All labels of an alert that was opened like this.
pub(super) fn labels(notification: &Notification, end: &str, opened: Opened) -> Texts {
    let mut labels = identity(notification, end);
    labels.insert("severity", opened.severity.as_str().to_owned());
    if opened.dry_run {
        labels.insert("dry_run", "true".to_owned());
    }
    labels
}

/// All labels of an alert, as far as the notification knows.
pub(super) fn own(notification: &Notification, end: &str) -> Texts {
    labels(notification, end, opening(notification))
}

/// The alert's name.
fn name(event: Event, end: &str) -> &'static str {
    if event == Event::NotificationLost {
        return "RipcordNotificationLost";
    }
    match end.split('/').nth(1) {
        None => "RipcordIncident",
        Some("failed") => "RipcordRollbackFailed",
        Some("not_recovered") => "RipcordNotRecovered",
        Some("reverted") => "RipcordRollbackReverted",
        Some("blind") => "RipcordBlind",
        Some("not_ready") => "RipcordNotReady",
        Some("stopping") => "RipcordStopping",
        Some("paused") => "RipcordGuardPaused",
        Some(_) => "Ripcord",
    }
}

/// The fingerprint of labels, as Prometheus makes it: FNV-1a of 64 bits (`LabelSet.Fingerprint` of prometheus/common).
pub(super) fn fingerprint(labels: &Texts) -> String {
    const OFFSET: u64 = 14_695_981_039_346_656_037;
    const PRIME: u64 = 1_099_511_628_211;
    const SEPARATOR: u8 = 255;
    let mut hash = OFFSET;
    let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    for (name, value) in labels {
        name.bytes().for_each(&mut add);
        add(SEPARATOR);
        value.bytes().for_each(&mut add);
        add(SEPARATOR);
    }
    format!("{hash:016x}")
}
