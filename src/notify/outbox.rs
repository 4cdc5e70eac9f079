//! The outbox: what is to be told, and to whom.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, timeout_at};

use crate::config::{Channel, Finding, Receiver, WebhookFormat};
use crate::engine::Notification;

use super::addresses::Addresses;
use super::clock::Clock;
use super::contents::Contents;
use super::courier::Courier;
use super::email::EmailCourier;
use super::entry::{DeadLetter, Entry};
use super::escalation::Route;
use super::event::DeliveryEvent;
use super::lane::{Lane, Permit, Surroundings};
use super::queue::Queue;
use super::webhook::WebhookCourier;

/// The most entries that wait for one receiver. An incident is about five notifications for each recipient: a hundred guards that trip
/// together for two recipients fit, and a receiver that has been gone for a night.
pub const MAX_QUEUE: usize = 1024;

/// Makes the courier of a receiver.
type MakeCourier = dyn Fn(&Receiver, &Arc<Addresses>) -> Result<Arc<dyn Courier>, Vec<Finding>> + Send + Sync;

/// Takes notifications and sees to it that their receivers get them. Everything that waits happens in its own tasks: one for each
/// receiver, for e-mail one for each recipient, so that none holds up another.
pub struct Outbox {
    around: Surroundings,
    make_courier: Box<MakeCourier>,
    receivers: Mutex<Vec<Active>>,
}

/// Whom a notification is for, of those who want it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom<'a> {
    /// Everybody.
    Everybody,
    /// Everybody but this receiver.
    AllBut(&'a str),
    /// Who keeps alerts open and ignores the end of one that is not: PagerDuty and Alertmanager. People are told nothing.
    AlertKeepers,
}

impl Whom<'_> {
    fn includes(self, receiver: &Receiver) -> bool {
        match self {
            Self::Everybody => true,
            Self::AllBut(name) => receiver.name != name,
            // What is behind `alertmanager` may show people whatever it gets.
            Self::AlertKeepers => matches!(
                &receiver.channel,
                Channel::Webhook(webhook)
                    if matches!(webhook.format, WebhookFormat::Pagerduty | WebhookFormat::AlertmanagerApi)
            ),
        }
    }
}

/// How much waits for a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Depth {
    /// The receiver.
    pub receiver: String,
    /// How many entries wait.
    pub length: usize,
    /// How long the oldest has been waiting.
    pub oldest: Option<Duration>,
}

struct Active {
    settings: Receiver,
    lanes: Vec<Lane>,
}

impl Outbox {
    /// Starts the tasks. Must be called within a tokio runtime, after a rustls provider was installed.
    ///
    /// What became of each entry goes to `report`. Nothing is sent while `permit` says no. The errors are receivers that cannot work as
    /// they are configured.
    pub fn start(
        receivers: &[Receiver],
        addresses: Addresses,
        report: UnboundedSender<DeliveryEvent>,
        permit: Permit,
    ) -> Result<Self, Vec<Finding>> {
        Self::start_with(Box::new(make_courier), receivers, addresses, report, permit)
    }

    pub(super) fn start_with(
        make_courier: Box<MakeCourier>,
        receivers: &[Receiver],
        addresses: Addresses,
        report: UnboundedSender<DeliveryEvent>,
        permit: Permit,
    ) -> Result<Self, Vec<Finding>> {
        let around = Surroundings {
            queue: Queue::default(),
            report,
            permit,
            clock: Clock::start(),
            settled: Arc::new(Notify::new()),
        };
        let outbox = Self { around, make_courier, receivers: Mutex::default() };
        outbox.apply(receivers, addresses)?;
        Ok(outbox)
    }

    /// Queues the notification for each receiver that wants it. It goes out once the ticket is opened; 0 is open always. Never waits.
    pub fn put(&self, notification: &Notification, ticket: u64) {
        self.put_for(notification, ticket, Whom::Everybody);
    }

    /// Whether anybody has alerts open, or is told second of those that are.
    pub fn keeps_alerts(&self) -> bool {
        let keeps = |a: &Active| Whom::AlertKeepers.includes(&a.settings) || a.settings.escalate_after.is_some();
        self.receivers().iter().any(keeps)
    }

    /// Lets out everything that was put with this ticket or an earlier one.
    pub fn open(&self, ticket: u64) {
        self.around.queue.open(ticket);
        self.receivers().iter().flat_map(|a| &a.lanes).for_each(Lane::wake);
    }

    /// What waits and what was lost, for the journal. The times in it are the wall clock's.
    pub fn contents(&self) -> Contents {
        let mut contents = self.around.queue.contents();
        for entry in &mut contents.entries {
            entry.queued_at = self.around.clock.in_wall_time(entry.queued_at);
        }
        contents.stories = contents.stories.at(|time| self.around.clock.in_wall_time(time));
        contents
    }

    /// Goes on with what the journal holds, in the place of everything that waited here. All of it is tried at once. What waits for somebody
    /// who is no longer configured is sent on or dropped, as by `reconfigure`.
    pub fn replace(&self, mut contents: Contents) {
        for entry in &mut contents.entries {
            entry.queued_at = self.around.clock.in_own_time(entry.queued_at);
        }
        contents.stories = contents.stories.at(|time| self.around.clock.in_own_time(time));
        let active = self.receivers();
        self.around.queue.replace(contents);
        active.iter().for_each(|a| self.readdress(&a.settings.name, &recipients(&a.settings.channel)));
        self.drop_unknown(&active);
        active.iter().flat_map(|a| &a.lanes).for_each(Lane::hurry);
        self.around.settled.notify_waiters();
    }

    /// Forgets everything that waits, and what was lost: it is another process's now. What is under way ends as it may.
    pub fn clear(&self) {
        self.around.queue.clear();
        self.around.settled.notify_waiters();
    }

    /// What was lost last, the oldest first.
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.around.queue.dead_letters()
    }

    /// How much waits, for each receiver in the order of the configuration.
    pub fn depths(&self) -> Vec<Depth> {
        let depth = |active: &Active| {
            let name = &active.settings.name;
            Depth {
                receiver: name.clone(),
                length: self.around.queue.length(name),
                oldest: self.around.queue.oldest(name).map(|at| self.around.clock.age(at)),
            }
        };
        self.receivers().iter().map(depth).collect()
    }

    /// Takes over new settings. A receiver that keeps its name keeps its queue, which is tried again at once; what waits for one that is
    /// gone is dropped and reported. On an error nothing changes.
    pub fn reconfigure(&self, receivers: &[Receiver], addresses: Addresses) -> Result<(), Vec<Finding>> {
        self.apply(receivers, addresses)
    }

    /// The end: tries everything once more, waits for it at most this long, stops the tasks, and returns what is left. That stays in the
    /// contents, as does what is put after this.
    pub async fn drain(&self, deadline: Duration) -> Vec<Entry> {
        let until = Instant::now() + deadline;
        self.receivers().iter().flat_map(|a| &a.lanes).for_each(Lane::hurry);
        loop {
            let mut settled = std::pin::pin!(self.around.settled.notified());
            settled.as_mut().enable();
            if self.left().is_empty() || timeout_at(until, settled).await.is_err() {
                break;
            }
        }
        let tasks: Vec<_> = self.receivers().iter_mut().flat_map(|a| &mut a.lanes).filter_map(Lane::stop).collect();
        for task in tasks {
            // It was told to stop; that it did is all there is to know.
            let _ = task.await;
        }
        self.left()
    }

    fn receivers(&self) -> MutexGuard<'_, Vec<Active>> {
        self.receivers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What could be sent and was not.
    fn left(&self) -> Vec<Entry> {
        self.receivers().iter().flat_map(|a| self.around.queue.due(&a.settings.name)).collect()
    }

    /// The same for those of them that are among these.
    pub fn put_for(&self, notification: &Notification, ticket: u64, whom: Whom<'_>) {
        let notification = Arc::new(notification.clone());
        let queued_at = self.around.clock.now();
        let receivers = self.receivers();
        // Whoever is told second or left alone after the next reload must not miss the end of what is told now.
        self.around.queue.note(&notification, queued_at);
        self.withdraw(&notification);
        for active in receivers.iter().filter(|a| whom.includes(&a.settings) && a.settings.wants(&notification)) {
            let route = match active.settings.escalate_after {
                None => Route::Now,
                // Whether a process before this one told them is not known, and no matter to them.
                Some(_) if whom == Whom::AlertKeepers => Route::Now,
                Some(_) => self.around.queue.route(&notification, &active.settings.name),
            };
            match route {
                Route::Not => continue,
                Route::Now => self.around.queue.told(&notification, &active.settings.name),
                Route::Held => {}
            }
            for lane in &active.lanes {
                let entry = Entry::new(&active.settings.name, lane.recipient(), queued_at, Arc::clone(&notification));
                self.around.queue.put(Entry { held: route == Route::Held, ..entry }, ticket);
            }
            self.make_room(&active.settings.name);
            active.lanes.iter().for_each(Lane::wake);
        }
    }

    /// Takes out what others have made needless by an acknowledgement or a good end.
    fn withdraw(&self, because: &Notification) {
        for entry in self.around.queue.withdraw() {
            self.around.withdrawn(&entry, &format!("{}: {}", because.event.as_str(), because.summary));
        }
    }

    /// Drops the oldest entries of the least severity until the queue is within its bound.
    fn make_room(&self, receiver: &str) {
        let pending = self.around.queue.pending(receiver);
        let excess = pending.len().saturating_sub(MAX_QUEUE);
        if excess == 0 {
            return;
        }
        let mut by_worth: Vec<&Entry> = pending.iter().collect();
        by_worth.sort_by_key(|e| e.notification.severity);
        for entry in by_worth.into_iter().take(excess) {
            let reason = format!("more than {MAX_QUEUE} entries wait for the receiver: see why it accepts none");
            self.around.drop_entry(entry, &reason);
        }
    }

    /// Drops what waits for receivers that are not there.
    fn drop_unknown(&self, active: &[Active]) {
        for name in self.around.queue.receivers() {
            if active.iter().all(|a| a.settings.name != name) {
                for entry in self.around.queue.pending(&name) {
                    self.around.drop_entry(&entry, "the receiver is no longer in the configuration");
                }
            }
        }
    }

    fn apply(&self, receivers: &[Receiver], addresses: Addresses) -> Result<(), Vec<Finding>> {
        let addresses = Arc::new(addresses);
        let mut couriers = Vec::new();
        let mut findings = Vec::new();
        for settings in receivers {
            match (self.make_courier)(settings, &addresses) {
                Ok(courier) => couriers.push((settings, courier)),
                Err(wrong) => findings.extend(wrong),
            }
        }
        if !findings.is_empty() {
            return Err(findings);
        }
        let mut active = self.receivers();
        let mut before = std::mem::take(&mut *active);
        for (settings, courier) in couriers {
            let same = before.iter().position(|a| a.settings.name == settings.name);
            let lanes = same.map(|i| before.swap_remove(i).lanes).unwrap_or_default();
            active.push(Active { settings: settings.clone(), lanes: self.lanes(settings, &courier, lanes) });
        }
        // Their tasks are told to stop before their entries go. One that is accepted at this very moment is counted once, as lost.
        drop(before);
        self.drop_unknown(&active);
        Ok(())
    }

    /// The receiver's lanes: those that it had and still needs, by the new courier, and new ones.
    fn lanes(&self, settings: &Receiver, courier: &Arc<dyn Courier>, mut before: Vec<Lane>) -> Vec<Lane> {
        let recipients = recipients(&settings.channel);
        before.retain(|lane| recipients.iter().any(|r| r.as_deref() == lane.recipient()));
        self.readdress(&settings.name, &recipients);
        recipients
            .into_iter()
            .map(|recipient| match before.iter().position(|lane| lane.recipient() == recipient.as_deref()) {
                Some(i) => {
                    let lane = before.swap_remove(i);
                    lane.reconfigure(settings.clone(), Arc::clone(courier));
                    lane
                }
                None => Lane::start(settings.clone(), recipient, Arc::clone(courier), self.around.clone()),
            })
            .collect()
    }

    /// Entries of recipients that are gone: sent to the new ones where the receiver has become a webhook or e-mail, else dropped, as the
    /// other recipients have entries of their own.
    fn readdress(&self, receiver: &str, recipients: &[Option<String>]) {
        let by_email = recipients.iter().any(Option::is_some);
        for entry in self.around.queue.pending(receiver) {
            if recipients.contains(&entry.recipient) {
                continue;
            }
            if entry.recipient.is_some() == by_email {
                self.around.drop_entry(&entry, "the recipient is no longer in the configuration");
                continue;
            }
            self.around.queue.readdress(&entry.id, recipients);
        }
        self.make_room(receiver);
    }
}

/// Whom a channel reaches: the e-mail recipients, each once, or the one behind a webhook.
pub(super) fn recipients(channel: &Channel) -> Vec<Option<String>> {
    match channel {
        Channel::Webhook(_) => vec![None],
        Channel::Email(email) => {
            let mut seen: Vec<Option<String>> = Vec::new();
            for to in &email.to {
                if !seen.iter().flatten().any(|s| s == to) {
                    seen.push(Some(to.clone()));
                }
            }
            seen
        }
    }
}

/// What is wrong with the receivers that only their couriers know: a template that cannot be read, say.
pub fn wrong(receivers: &[Receiver]) -> Vec<Finding> {
    let addresses = Arc::default();
    receivers.iter().filter_map(|receiver| make_courier(receiver, &addresses).err()).flatten().collect()
}

/// The receivers that cannot work from here as they are configured, each with the reason.
pub fn unusable(receivers: &[Receiver]) -> Vec<(String, String)> {
    let addresses = Arc::default();
    let wrong = receivers.iter().filter_map(|receiver| {
        let findings = make_courier(receiver, &addresses).err()?;
        let text = findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        Some((receiver.name.clone(), text))
    });
    wrong.collect()
}

/// The courier for a receiver's channel.
pub(super) fn make_courier(receiver: &Receiver, addresses: &Arc<Addresses>) -> Result<Arc<dyn Courier>, Vec<Finding>> {
    Ok(match &receiver.channel {
        Channel::Webhook(webhook) => Arc::new(WebhookCourier::new(receiver, webhook, Arc::clone(addresses))?),
        Channel::Email(email) => Arc::new(EmailCourier::new(receiver, email, Arc::clone(addresses))?),
    })
}

#[cfg(test)]
mod tests;
