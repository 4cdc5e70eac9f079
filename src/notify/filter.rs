//! Which receivers want a notification.

use crate::config::{Channel, Filter, Receiver, WebhookFormat};
use crate::engine::Notification;

use super::pagerduty;

impl Filter {
    /// Whether the notification passes. What concerns no guard passes the list of guards.
    pub fn wants(&self, notification: &Notification) -> bool {
        notification.severity >= self.min_severity && self.wants_at_any_severity(notification)
    }

    fn wants_at_any_severity(&self, notification: &Notification) -> bool {
        let mut concerned = notification.guard.iter().chain(&notification.guards).peekable();
        (self.events.is_empty() || self.events.contains(&notification.event))
            && (self.guards.is_empty() || concerned.peek().is_none() || concerned.any(|g| self.guards.contains(g)))
    }
}

impl Receiver {
    /// Whether the receiver gets the notification.
    ///
    /// Good news is less severe than the page it ends. PagerDuty gets it whatever `min_severity` says, as nothing else would close what
    /// is open there; it ignores what closes a key that is not open.
    pub fn wants(&self, notification: &Notification) -> bool {
        let pagerduty = matches!(&self.channel, Channel::Webhook(w) if w.format == WebhookFormat::Pagerduty);
        self.filter.wants(notification)
            || (pagerduty && pagerduty::closes(notification.event) && self.filter.wants_at_any_severity(notification))
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Channel, Filter, WebhookFormat};
    use crate::engine::{Event, Severity};
    use crate::notify::testing::{notification, webhook_receiver};

    #[test]
    fn every_condition_must_hold() {
        // min_severity, events, guards of the filter; guard, guards of the notification (critical, rollback.started); whether it passes
        let cases: [(Severity, &[Event], &[&str], Option<&str>, &[&str], bool); 9] = [
            (Severity::Info, &[], &[], Some("a"), &[], true),
            (Severity::Critical, &[], &[], Some("a"), &[], true),
            (Severity::Info, &[Event::RollbackStarted], &[], Some("a"), &[], true),
            (Severity::Info, &[Event::PageFiring], &[], Some("a"), &[], false),
            (Severity::Info, &[], &["a"], Some("a"), &[], true),
            (Severity::Info, &[], &["b"], Some("a"), &[], false),
            (Severity::Info, &[], &["b"], None, &["a", "b"], true),
            (Severity::Info, &[], &["b"], None, &["a", "c"], false),
            (Severity::Info, &[], &["b"], None, &[], true),
        ];
        for (i, (min_severity, events, guards, guard, several, passes)) in cases.into_iter().enumerate() {
            let filter = Filter {
                min_severity,
                events: events.to_vec(),
                guards: guards.iter().map(|g| (*g).to_owned()).collect(),
            };
            let mut n = notification("n");
            n.guard = guard.map(str::to_owned);
            n.guards = several.iter().map(|g| (*g).to_owned()).collect();
            assert_eq!(filter.wants(&n), passes, "case {i}");
        }
        let filter = Filter {
            min_severity: Severity::Critical,
            events: vec![],
            guards: vec![],
        };
        let mut n = notification("n");
        n.severity = Severity::Warning;
        assert!(!filter.wants(&n));
    }

    #[test]
    fn pagerduty_gets_what_closes_a_page_whatever_its_severity() {
        let mut receiver = webhook_receiver("oncall", "http://127.0.0.1:9/");
        receiver.filter.min_severity = Severity::Critical;
        let mut n = notification("n");
        n.severity = Severity::Info;
        n.event = Event::RollbackVerified;
        assert!(!receiver.wants(&n));
        let Channel::Webhook(webhook) = &mut receiver.channel else {
            unreachable!()
        };
        webhook.format = WebhookFormat::Pagerduty;
        assert!(receiver.wants(&n));
        receiver.filter.guards = vec!["other".to_owned()];
        assert!(!receiver.wants(&n), "the other conditions still hold");
        receiver.filter.guards.clear();
        n.event = Event::WatchdogStarted;
        assert!(!receiver.wants(&n), "it closes nothing");
    }
}
