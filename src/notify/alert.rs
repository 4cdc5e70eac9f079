//! What belongs together: which event opens, acknowledges and ends which alert. The formats that keep alerts open (`pagerduty`,
//! `alertmanager`) and the escalation go by the same keys.

use sha2::{Digest, Sha256};

use crate::engine::{Alert, Event, Notification};

use super::signature::hex;
use super::text::single_line;

/// What an event does to the alert with its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Opens it, or says more about it.
    Trigger,
    /// Somebody has seen it.
    Acknowledge,
    /// Ends it.
    Resolve,
}

/// What an event does, and the end of its key. A key of its own keeps a page from being hidden by the acknowledgement of another one of
/// the same incident, and good news of one kind from closing a page of another kind.
fn effect_and_end(event: Event) -> (Effect, &'static str) {
    match event {
        Event::RollbackStarted | Event::PageFiring => (Effect::Trigger, ""),
        Event::RollbackVerified | Event::PageResolved | Event::GuardRearmed => (Effect::Resolve, ""),
        Event::GuardAcknowledged => (Effect::Acknowledge, ""),
        Event::RollbackFailed => (Effect::Trigger, "/failed"),
        Event::RollbackSucceeded => (Effect::Resolve, "/failed"),
        Event::RollbackNotRecovered => (Effect::Trigger, "/not_recovered"),
        Event::RollbackReverted => (Effect::Trigger, "/reverted"),
        Event::WatchdogBlind => (Effect::Trigger, "/blind"),
        Event::WatchdogSees => (Effect::Resolve, "/blind"),
        Event::WatchdogNotReady => (Effect::Trigger, "/not_ready"),
        Event::WatchdogReady => (Effect::Resolve, "/not_ready"),
        // Whoever starts has got over the stop: the next one is news again.
        Event::WatchdogStarted => (Effect::Resolve, "/stopping"),
        Event::WatchdogStopping => (Effect::Trigger, "/stopping"),
        Event::GuardPaused => (Effect::Trigger, "/paused"),
        Event::NotificationLost => (Effect::Trigger, ""),
    }
}

/// What an event does to its alert.
pub(super) fn effect(event: Event) -> Effect {
    effect_and_end(event).0
}

/// Whether the event acknowledges or closes an alert: whether it quiets somebody's pager and never sets it off.
pub(super) fn quiets(event: Event) -> bool {
    effect(event) != Effect::Trigger
}

/// The alert of its story that the event is about; empty for the story itself.
pub(super) fn end(notification: &Notification) -> String {
    let (_, end) = effect_and_end(notification.event);
    // Each rung of a ladder has its own: who acknowledged that the first did not help must hear that the last did not either.
    match (notification.event, &notification.rollback) {
        (Event::RollbackNotRecovered, Some(rollback)) => format!("{end}/{}", rollback.to_percentage),
        _ => end.to_owned(),
    }
}

/// The ends of the keys of the other alerts of its story that the event acknowledges or ends with its own.
pub(super) fn other_ends(notification: &Notification) -> impl Iterator<Item = String> {
    let own = end(notification);
    let of = |alert: &Alert| match alert {
        Alert::Failed => "/failed".to_owned(),
        Alert::NotRecovered { percentage } => format!("/not_recovered/{percentage}"),
        Alert::Reverted => "/reverted".to_owned(),
    };
    let others = if quiets(notification.event) { notification.settles.as_slice() } else { &[] };
    others.iter().map(of).filter(move |end| *end != own)
}

/// What an alert is part of: the incident, or where there is none the guard.
pub(super) fn story(notification: &Notification) -> String {
    match (notification.event, &notification.incident, &notification.guard) {
        // Each loss is an alert of its own: who acknowledged one must hear of the next, of the same receiver or incident too.
        (Event::NotificationLost, _, _) => notification.id.clone(),
        // Nothing ends a pause's alert, nor that the state was set aside: the next one would be taken for more of the same.
        (Event::GuardPaused, _, _) | (Event::WatchdogNotReady, None, None) => notification.id.clone(),
        (_, Some(incident), _) => incident.clone(),
        (_, None, Some(guard)) => format!("ripcord/{guard}"),
        (_, None, None) => "ripcord".to_owned(),
    }
}

/// The key of the alert: the same for what opens, acknowledges and ends it. One line.
pub(super) fn key(notification: &Notification) -> String {
    key_ending(notification, &end(notification))
}

/// The key of the alert of its story with this end.
pub(super) fn key_ending(notification: &Notification, end: &str) -> String {
    single_line(&format!("{}{end}", story(notification)))
}

/// A key, of at most so many bytes. Long keys that differ only at their end stay different.
pub(super) fn shortened(key: String, max: usize) -> String {
    if key.len() <= max {
        return key;
    }
    let digest = hex(&Sha256::digest(key.as_bytes()));
    let mut room = max - digest.len() - 1;
    while !key.is_char_boundary(room) {
        room -= 1;
    }
    format!("{}-{digest}", &key[..room])
}
