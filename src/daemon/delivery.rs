//! What goes to the receivers beside the engine's own notifications, and what became of all of them.

use jiff::Timestamp;
use tokio::time::Instant;

use crate::engine::{Language, Notification};
use crate::notify::{Contents, DeliveryEvent, Outbox};
use crate::telemetry;

use super::Daemon;
use super::core::Post;
use super::role::Role;
use super::trouble::Kind;

impl Daemon {
    /// Tells something about Ripcord itself.
    pub(super) fn tell(&mut self, notification: &Notification) {
        self.tell_all_but(notification, None);
    }

    pub(super) fn tell_all_but(&mut self, notification: &Notification, except: Option<&str>) {
        let mut notification = notification.clone();
        notification.dry_run = self.dry_run;
        if !self.world.borrow().settings.wants(Language::Chinese) {
            notification.chinese = None;
        }
        let (now, at) = (self.clock.now(), Instant::now());
        if self.role == Role::Leading {
            let effects = self.core.tell(&notification, except, now, at, &self.outbox);
            self.carry_out(effects);
        } else {
            // Nothing is written by who does not lead.
            Post::put(&self.outbox, &notification, 0, except);
        }
        self.dirty = true;
    }

    pub(super) fn no_longer(&mut self, kind: Kind) {
        if let Some(notification) = self.troubles.over(kind, self.clock.now()) {
            self.tell(&notification);
        }
    }

    /// Tells the other receivers what one did not get.
    pub(super) fn tell_of_losses(&mut self, now: Timestamp) {
        for lost in self.losses.due(now) {
            self.tell_all_but(&lost.notification, Some(&lost.receiver));
        }
    }

    pub(super) fn delivery(&mut self, event: &DeliveryEvent) {
        telemetry::Event::Delivery(event).emit();
        self.dirty = true;
        match event {
            DeliveryEvent::Retrying { .. } | DeliveryEvent::Simplified { .. } => return,
            DeliveryEvent::Accepted { .. } | DeliveryEvent::Withdrawn { .. } | DeliveryEvent::Escalated { .. } => {}
            DeliveryEvent::Dead { .. } | DeliveryEvent::Dropped { .. } => {
                self.losses.note(event);
                self.tell_of_losses(self.clock.now());
            }
        }
        self.save();
    }
}

impl Post for Outbox {
    fn put(&self, notification: &Notification, ticket: u64, except: Option<&str>) {
        match except {
            Some(receiver) => self.put_except(notification, ticket, receiver),
            None => Self::put(self, notification, ticket),
        }
    }

    fn open(&self, ticket: u64) {
        Self::open(self, ticket);
    }

    fn contents(&self) -> Contents {
        Self::contents(self)
    }
}
