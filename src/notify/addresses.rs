//! The addresses that a notification carries.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::config::Links;
use crate::engine::Notification;

/// The addresses that notifications carry: the general ones, and the runbooks of single guards.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Addresses {
    /// The status page, and the runbook for guards that have none of their own.
    pub links: Links,
    /// Runbooks by guard.
    pub runbooks: BTreeMap<String, String>,
}

/// The addresses for one notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NotificationLinks<'a> {
    /// Ripcord's status page.
    pub status: Option<&'a str>,
    /// Where oncall reads what to do.
    pub runbook: Option<&'a str>,
}

impl Addresses {
    /// The addresses for this notification: its guard's runbook comes before the general one.
    pub fn of(&self, notification: &Notification) -> NotificationLinks<'_> {
        let own = notification.guard.as_ref().and_then(|guard| self.runbooks.get(guard));
        NotificationLinks {
            status: self.links.status.as_deref(),
            runbook: own.or(self.links.runbook.as_ref()).map(String::as_str),
        }
    }
}
