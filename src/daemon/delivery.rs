//! What goes to the receivers beside the engine's own notifications, and what became of all of them.

use jiff::Timestamp;
use tokio::time::Instant;

use crate::engine::{Language, Notification};
use crate::notify::{Contents, DeliveryEvent, Outbox, Whom};
use crate::telemetry;

use super::Daemon;
use super::core::Post;
use super::role::Role;
use super::trouble::{Kind, Over};

impl Daemon {
    /// Tells something about Ripcord itself.
    pub(super) fn tell(&mut self, notification: &Notification) {
        self.tell_to(notification, Whom::Everybody);
    }

    pub(super) fn tell_to(&mut self, notification: &Notification, whom: Whom<'_>) {
        let mut notification = notification.clone();
        notification.dry_run = self.dry_run;
        if !self.world.borrow().settings.wants(Language::Chinese) {
            notification.chinese = None;
        }
        let (now, at) = (self.clock.now(), Instant::now());
        if self.role == Role::Leading {
            let effects = self.core.tell(&notification, whom, now, at, &self.outbox);
            self.carry_out(effects);
        } else {
            // Nothing is written by who does not lead.
            Post::put(&self.outbox, &notification, 0, whom);
        }
        self.dirty = true;
    }

    pub(super) fn no_longer(&mut self, kind: Kind) {
        if let Some(notification) = self.troubles.over(kind, self.clock.now()) {
            self.tell(&notification);
        }
    }

    /// This process sees that all is well with it. What a process before may have told ends silently, where it was opened.
    pub(super) fn is_well(&mut self, kind: Kind) {
        match self.troubles.well(kind, self.clock.now()) {
            Some(Over::Told(notification)) => self.tell(&notification),
            // Who carries out one command ends nothing of the daemon's.
            Some(Over::Perhaps(notification)) if !self.by_hand && !self.dry_run && self.outbox.keeps_alerts() => {
                self.tell_to(&notification, Whom::AlertKeepers);
            }
            Some(Over::Perhaps(_)) | None => {}
        }
    }

    /// Tells the other receivers what one did not get.
    pub(super) fn tell_of_losses(&mut self, now: Timestamp) {
        for lost in self.losses.due(now) {
            self.tell_to(&lost.notification, Whom::AllBut(&lost.receiver));
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
    fn put(&self, notification: &Notification, ticket: u64, whom: Whom<'_>) {
        self.put_for(notification, ticket, whom);
    }

    fn open(&self, ticket: u64) {
        Self::open(self, ticket);
    }

    fn contents(&self) -> Contents {
        Self::contents(self)
    }
}
