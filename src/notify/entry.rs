//! One notification on its way to one recipient, and what is kept of it when it is lost.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::{Event, Notification, Severity};

use super::escalation;

/// One notification on its way to one receiver; for e-mail, to one recipient.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// `{notification}/{receiver}`, and `/{recipient}` for e-mail. The same on every try and after a restart.
    pub id: String,
    /// The receiver's name.
    pub receiver: String,
    /// The recipient's address; absent for a webhook.
    pub recipient: Option<String>,
    /// When it was queued; its age counts from here.
    pub queued_at: Timestamp,
    /// Whether it waits for an acknowledgement of others, which would make it needless.
    pub held: bool,
    /// What is told.
    pub notification: Arc<Notification>,
}

impl Entry {
    /// An entry for one receiver or recipient.
    pub fn new(receiver: &str, recipient: Option<&str>, queued_at: Timestamp, notification: Arc<Notification>) -> Self {
        let mut id = format!("{}/{receiver}", notification.id);
        if let Some(recipient) = recipient {
            id.push('/');
            id.push_str(recipient);
        }
        let (receiver, recipient) = (receiver.to_owned(), recipient.map(str::to_owned));
        Self { id, receiver, recipient, queued_at, held: false, notification }
    }

    /// What must go out in order with it: the notifications of one incident, or of one alert where there is none. What ends it must not
    /// come before what opens it.
    pub(super) fn story(&self) -> String {
        escalation::story(&self.notification)
    }
}

/// What is kept of an entry that nobody got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The entry's id.
    pub id: String,
    /// The receiver that did not get it.
    pub receiver: String,
    /// The recipient's address; absent for a webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// What it told.
    pub event: Event,
    /// How urgent it was.
    pub severity: Severity,
    /// The guard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<String>,
    /// The story it belonged to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    /// Its one line.
    pub summary: String,
    /// Why it is lost.
    pub reason: String,
    /// When it was given up.
    pub at: Timestamp,
}

impl DeadLetter {
    /// What is kept of this entry.
    pub(super) fn of(entry: &Entry, reason: &str, at: Timestamp) -> Self {
        let notification = &entry.notification;
        Self {
            id: entry.id.clone(),
            receiver: entry.receiver.clone(),
            recipient: entry.recipient.clone(),
            event: notification.event,
            severity: notification.severity,
            guard: notification.guard.clone(),
            incident: notification.incident.clone(),
            summary: notification.summary.clone(),
            reason: reason.to_owned(),
            at,
        }
    }
}
