//! Which receivers want a notification.

use crate::config::{Channel, Filter, Receiver, WebhookFormat};
use crate::engine::Notification;

use super::alert;
use super::formats::alertmanager;

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
    /// Good news is less severe than the page it ends. What keeps alerts open (PagerDuty, Alertmanager) gets it whatever `min_severity`
    /// says, as nothing else would acknowledge or close what is open there; it ignores news of a key that is not open. Alertmanager gets
    /// no acknowledgement: it knows none.
    ///
    /// A receiver that is told second gets what is critical, and then whatever follows: see `escalation`.
    pub fn wants(&self, notification: &Notification) -> bool {
        let format = match &self.channel {
            Channel::Webhook(webhook) => Some(webhook.format),
            Channel::Email(_) => None,
        };
        let alertmanager = matches!(format, Some(WebhookFormat::Alertmanager | WebhookFormat::AlertmanagerApi));
        if alertmanager && !alertmanager::tells(notification.event) {
            return false;
        }
        if self.escalate_after.is_some() {
            return self.filter.wants_at_any_severity(notification);
        }
        let keeps_alerts = format.is_some_and(WebhookFormat::keeps_alerts);
        self.filter.wants(notification)
            || (keeps_alerts && alert::quiets(notification.event) && self.filter.wants_at_any_severity(notification))
    }

    /// Whether the notification may wait until the receiver's quiet time is over. What closes an alert may not: it would stay open.
    pub(super) fn may_wait(&self, notification: &Notification) -> bool {
        let keeps_alerts = matches!(&self.channel, Channel::Webhook(webhook) if webhook.format.keeps_alerts());
        !(keeps_alerts && alert::quiets(notification.event))
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Channel, Filter, WebhookFormat};
    use crate::engine::{Event, Severity};
    use crate::notify::testing::{notification, webhook_receiver};

    #[test]
    fn every_condition_must_hold() {
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let check = |events: &[Event], guards: &[&str], guard: Option<&str>, several: &[&str], passes: bool| {
            let filter = Filter { min_severity: Severity::Critical, events: events.to_vec(), guards: names(guards) };
            let mut n = notification("n");
            n.guard = guard.map(str::to_owned);
            n.guards = names(several);
            assert_eq!(filter.wants(&n), passes, "{filter:?} {guard:?} {several:?}");
        };
        // The filter's events and guards; the guards of a critical rollback.started; whether it passes.
        check(&[], &[], Some("a"), &[], true);
        check(&[Event::PageFiring, Event::RollbackStarted], &[], Some("a"), &[], true);
        check(&[Event::PageFiring], &[], Some("a"), &[], false);
        check(&[], &["a"], Some("a"), &[], true);
        check(&[], &["b"], Some("a"), &[], false);
        check(&[], &["b"], None, &["a", "b"], true);
        check(&[], &["b"], None, &["a", "c"], false);
        check(&[], &["b"], None, &[], true);
        let filter = Filter { min_severity: Severity::Critical, events: vec![], guards: vec![] };
        let mut n = notification("n");
        n.severity = Severity::Warning;
        assert!(!filter.wants(&n));
    }

    #[test]
    fn pagerduty_gets_what_ends_a_page_whatever_its_severity() {
        let mut receiver = webhook_receiver("oncall", "http://127.0.0.1:9/");
        receiver.filter.min_severity = Severity::Critical;
        let mut n = notification("n");
        n.severity = Severity::Info;
        n.event = Event::GuardRearmed;
        assert!(!receiver.wants(&n));
        let Channel::Webhook(webhook) = &mut receiver.channel else { unreachable!() };
        webhook.format = WebhookFormat::Pagerduty;
        for event in [Event::GuardRearmed, Event::RollbackVerified, Event::GuardAcknowledged] {
            n.event = event;
            assert!(receiver.wants(&n), "{event:?}");
        }
        receiver.filter.guards = vec!["other".to_owned()];
        assert!(!receiver.wants(&n), "the other conditions still hold");
        receiver.filter.guards.clear();
        n.event = Event::WatchdogStarted;
        assert!(receiver.wants(&n), "the stop before it is over");
        n.event = Event::WatchdogStopping;
        assert!(!receiver.wants(&n), "it would set off a pager");
    }
}
