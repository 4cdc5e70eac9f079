//! The addresses that a notification carries.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::config::{Guard, Links, Settings};
use crate::engine::Notification;

/// What stands in an address for the guard's name: as it is written, and as an address that was parsed has it.
const GUARD: [&str; 2] = ["${guard}", "$%7Bguard%7D"];

/// The addresses that notifications carry: the general ones, and those of single guards.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Addresses {
    /// The status page, and the runbook and the dashboard for guards that have none of their own.
    pub links: Links,
    /// Runbooks by guard.
    pub runbooks: BTreeMap<String, String>,
    /// Dashboards by guard.
    pub dashboards: BTreeMap<String, String>,
}

/// The addresses for one notification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotificationLinks {
    /// Ripcord's status page.
    pub status: Option<String>,
    /// Where oncall reads what to do.
    pub runbook: Option<String>,
    /// Where oncall sees the curves.
    pub dashboard: Option<String>,
}

impl Addresses {
    /// The addresses of a configuration.
    pub fn of_settings(settings: &Settings) -> Self {
        let own = |of: fn(&Guard) -> &Option<String>| {
            settings.guards.iter().filter_map(|guard| Some((guard.name.clone(), of(guard).clone()?))).collect()
        };
        Self {
            links: settings.links.clone(),
            runbooks: own(|guard| &guard.runbook),
            dashboards: own(|guard| &guard.dashboard),
        }
    }

    /// The addresses for this notification: its guard's own come before the general ones. `${guard}` in one is the guard's name; an
    /// address with it says nothing to a notification that is not about one guard, and is left out there.
    pub fn of(&self, notification: &Notification) -> NotificationLinks {
        let guard = notification.guard.as_deref();
        let own = |of: &BTreeMap<String, String>| guard.and_then(|guard| of.get(guard)).cloned();
        let about = |link: Option<String>| about(link?, guard);
        NotificationLinks {
            status: about(self.links.status.clone()),
            runbook: about(own(&self.runbooks).or_else(|| self.links.runbook.clone())),
            dashboard: about(own(&self.dashboards).or_else(|| self.links.dashboard.clone())),
        }
    }
}

/// The address with the guard's name in it, where it wants one.
fn about(link: String, guard: Option<&str>) -> Option<String> {
    if !GUARD.iter().any(|variable| link.contains(variable)) {
        return Some(link);
    }
    let encoded = encoded(guard?);
    Some(GUARD.iter().fold(link, |link, variable| link.replace(variable, &encoded)))
}

/// A name as one part of an address. A guard's own letters stay as they are; what is no guard's name must not be more of the address.
fn encoded(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    name.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use crate::notify::testing::{addresses, notification};

    #[test]
    fn the_guards_own_come_first_and_its_name_is_put_in() {
        let mut addresses = addresses();
        let mut n = notification("n1");
        let links = addresses.of(&n);
        assert_eq!(links.runbook.as_deref(), Some("https://runbooks.example/terminal"));
        assert_eq!(links.dashboard.as_deref(), Some("https://grafana.example/d/ripcord?var-guard=terminal"));
        addresses.dashboards.insert("terminal".to_owned(), "https://grafana.example/$%7Bguard%7D".to_owned());
        assert_eq!(addresses.of(&n).dashboard.as_deref(), Some("https://grafana.example/terminal"));
        n.guard = Some("<@x>/../&".to_owned());
        let hostile = addresses.of(&n).dashboard;
        assert_eq!(hostile.as_deref(), Some("https://grafana.example/d/ripcord?var-guard=%3C%40x%3E%2F%2E%2E%2F%26"));
        n.guard = None;
        let links = addresses.of(&n);
        assert_eq!(links.runbook.as_deref(), Some("https://runbooks.example/"));
        assert_eq!(links.dashboard, None, "of which guard is not known");
    }
}
