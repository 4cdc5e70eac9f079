//! Where entries wait until they are accepted or dead.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::engine::{Notification, Severity};

use super::contents::Contents;
use super::entry::{DeadLetter, Entry};
use super::escalation::{self, Route, Stories};

/// The most dead letters that are kept: more than a page shows, and about 25 KB of a document that may have a megabyte.
pub const MAX_DEAD_LETTERS: usize = 50;

/// Entries on their way, in the order in which they were put. A clone is another handle on the same queue.
///
/// An entry is put with a *ticket*, the number of the journal's write that has it, and does not go out before that ticket is opened: a
/// page that somebody got must not be unknown to the process that goes on after a crash.
#[derive(Debug, Clone, Default)]
pub struct Queue {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    slots: Vec<Slot>,
    dead: VecDeque<DeadLetter>,
    stories: Stories,
    opened: u64,
}

#[derive(Debug)]
struct Slot {
    entry: Entry,
    ticket: u64,
    /// Whether its receiver is left alone by it now.
    quiet: bool,
}

impl Slot {
    /// Whether it waits for nothing but its receiver.
    fn is_due(&self) -> bool {
        !self.entry.held && !self.quiet
    }
}

impl Queue {
    /// Adds an entry behind the others, held back until its ticket is opened; 0 is open always. One whose id is there already is left as
    /// it is.
    pub fn put(&self, entry: Entry, ticket: u64) {
        self.inner().put(entry, ticket);
    }

    /// Lets out everything that was put with this ticket or an earlier one. A ticket stays open.
    pub fn open(&self, ticket: u64) {
        let mut inner = self.inner();
        inner.opened = inner.opened.max(ticket);
    }

    /// What may be sent next to this recipient: the first entry of each incident, in the order of the queue. Nothing of an incident is
    /// given out while an earlier entry of it waits for the same recipient, held back or not.
    pub fn heads(&self, receiver: &str, recipient: Option<&str>) -> Vec<Entry> {
        let inner = self.inner();
        let mut begun = BTreeSet::new();
        let of_recipient = |s: &&Slot| s.entry.receiver == receiver && s.entry.recipient.as_deref() == recipient;
        let mine = inner.slots.iter().filter(|s| s.is_due()).filter(of_recipient);
        let firsts = mine.filter(|s| begun.insert(s.entry.story()));
        firsts.filter(|s| s.ticket <= inner.opened).map(|s| s.entry.clone()).collect()
    }

    /// Forgets an entry that its receiver has. Says whether it was still there.
    pub fn accepted(&self, id: &str) -> bool {
        self.inner().remove(id).is_some()
    }

    /// Gives up an entry for this reason: it becomes a dead letter. Says whether it was still there.
    pub fn dead(&self, id: &str, why: &str, at: Timestamp) -> bool {
        let mut inner = self.inner();
        let Some((_, slot)) = inner.remove(id) else { return false };
        inner.bury(DeadLetter::of(&slot.entry, why, at));
        true
    }

    /// Puts entries for these recipients in the place of this one, under its ticket. Says whether it was still there.
    pub(super) fn readdress(&self, id: &str, recipients: &[Option<String>]) -> bool {
        let mut inner = self.inner();
        let Some((mut place, Slot { entry, ticket, quiet })) = inner.remove(id) else { return false };
        for recipient in recipients {
            let notification = Arc::clone(&entry.notification);
            let other = Entry::new(&entry.receiver, recipient.as_deref(), entry.queued_at, notification);
            let other = Entry { held: entry.held, ..other };
            if inner.slots.iter().all(|s| s.entry.id != other.id) {
                inner.slots.insert(place, Slot { entry: other, ticket, quiet });
                place += 1;
            }
        }
        true
    }

    /// The entries of a receiver, held back or not, in the order in which they were put.
    pub fn pending(&self, receiver: &str) -> Vec<Entry> {
        self.inner().slots.iter().map(|s| &s.entry).filter(|e| e.receiver == receiver).cloned().collect()
    }

    /// Those of them that wait for nothing but the receiver.
    pub fn due(&self, receiver: &str) -> Vec<Entry> {
        let inner = self.inner();
        inner.slots.iter().filter(|s| s.entry.receiver == receiver && s.is_due()).map(|s| s.entry.clone()).collect()
    }

    /// How many entries of a receiver wait for it, held back by a ticket or not. What waits for something else on purpose is no sign of trouble.
    pub fn length(&self, receiver: &str) -> usize {
        self.inner().slots.iter().filter(|s| s.entry.receiver == receiver && s.is_due()).count()
    }

    /// When the oldest of those entries was queued.
    pub fn oldest(&self, receiver: &str) -> Option<Timestamp> {
        let inner = self.inner();
        inner.slots.iter().filter(|s| s.entry.receiver == receiver && s.is_due()).map(|s| s.entry.queued_at).min()
    }

    /// The receivers that have entries, configured or not.
    pub fn receivers(&self) -> Vec<String> {
        let names: BTreeSet<String> = self.inner().slots.iter().map(|s| s.entry.receiver.clone()).collect();
        names.into_iter().collect()
    }

    /// What was lost last, the oldest first.
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.inner().dead.iter().cloned().collect()
    }

    /// Everything that it holds, for the journal.
    pub fn contents(&self) -> Contents {
        let inner = self.inner();
        Contents {
            entries: inner.slots.iter().map(|s| s.entry.clone()).collect(),
            dead_letters: inner.dead.iter().cloned().collect(),
            stories: inner.stories.clone(),
        }
    }

    /// Holds this from now on, and nothing of what it held before. All of it is in the journal, so all of it may go out. Tickets count on.
    pub fn replace(&self, contents: Contents) {
        let mut inner = self.inner();
        inner.slots.clear();
        inner.dead.clear();
        inner.stories = contents.stories;
        for entry in contents.entries {
            if entry.held && !inner.stories.knows(&escalation::story(&entry.notification)) {
                // Its story was told elsewhere, or before anybody was told second.
                inner.stories.note(&entry.notification, entry.queued_at);
            }
            inner.put(entry, 0);
        }
        for letter in contents.dead_letters {
            inner.bury(letter);
        }
    }

    /// Forgets everything that it holds: it is another process's now. Tickets count on.
    pub fn clear(&self) {
        self.replace(Contents::default());
    }

    /// Takes note of what everybody is told, for the receivers that are told second or left alone.
    pub(super) fn note(&self, notification: &Notification, now: Timestamp) {
        self.inner().stories.note(notification, now);
    }

    /// What becomes of a notification, once it was noted, for a receiver that is told second.
    pub(super) fn route(&self, notification: &Notification, receiver: &str) -> Route {
        self.inner().stories.route(notification, receiver)
    }

    /// Notes that a receiver is told of the notification's story.
    pub(super) fn told(&self, notification: &Notification, receiver: &str) {
        self.inner().stories.told(notification, receiver);
    }

    /// Lets out what this receiver is to be told now because nobody has acknowledged it in time, as if it were queued now. Names the
    /// stories.
    pub(super) fn escalate(&self, receiver: &str, after: SignedDuration, now: Timestamp) -> Vec<String> {
        let mut inner = self.inner();
        let told = inner.stories.escalate(receiver, after, now);
        // Also what was put while its story was being escalated: nobody would come for it again.
        let escalated = inner.stories.escalated_to(receiver);
        inner.release(receiver, now, |entry| escalated.contains(&escalation::story(&entry.notification)));
        told
    }

    /// Lets out all that waited whether others would acknowledge: the receiver is not the second one any more.
    pub(super) fn release(&self, receiver: &str, now: Timestamp) {
        self.inner().release(receiver, now, |_| true);
    }

    /// When the next story is due for a receiver that is told second.
    pub(super) fn next_escalation(&self, receiver: &str, after: SignedDuration) -> Option<Timestamp> {
        self.inner().stories.next_due(receiver, after)
    }

    /// Takes out what waited for an acknowledgement that came, or for what is over.
    pub(super) fn withdraw(&self) -> Vec<Entry> {
        let mut inner = self.inner();
        let inner = &mut *inner;
        let stories = &inner.stories;
        let needless =
            |slot: &mut Slot| slot.entry.held && !stories.is_open(&escalation::story(&slot.entry.notification));
        inner.slots.extract_if(.., needless).map(|slot| slot.entry).collect()
    }

    /// Leaves a recipient alone with what `may_wait`, or with nothing when there is none; what waited so is as if it were queued now. A
    /// story that has been critical does not wait. Says whether anything waits.
    pub(super) fn hush(
        &self,
        receiver: &str,
        recipient: Option<&str>,
        now: Timestamp,
        may_wait: Option<&dyn Fn(&Notification) -> bool>,
    ) -> bool {
        let mut inner = self.inner();
        let inner = &mut *inner;
        let mut any = false;
        // What follows something that waits, waits too: what ends an alert must not come before what opens it.
        let mut hushed = BTreeSet::new();
        let of_recipient = |s: &&mut Slot| s.entry.receiver == receiver && s.entry.recipient.as_deref() == recipient;
        for slot in inner.slots.iter_mut().filter(of_recipient) {
            let notification = &*slot.entry.notification;
            let story = escalation::story(notification);
            let quiet = may_wait.is_some_and(|may_wait| may_wait(notification) || hushed.contains(&story))
                && notification.severity < Severity::Critical
                && !inner.stories.was_critical(&story);
            if quiet {
                hushed.insert(story);
            }
            if slot.quiet && !quiet {
                slot.entry.queued_at = now;
            }
            slot.quiet = quiet;
            any |= quiet;
        }
        any
    }

    /// Whether anything of a receiver waits for an acknowledgement of others.
    pub(super) fn holds(&self, receiver: &str) -> bool {
        self.inner().slots.iter().any(|s| s.entry.held && s.entry.receiver == receiver)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn put(&mut self, entry: Entry, ticket: u64) {
        if self.slots.iter().all(|s| s.entry.id != entry.id) {
            self.slots.push(Slot { entry, ticket, quiet: false });
        }
    }

    fn release(&mut self, receiver: &str, now: Timestamp, which: impl Fn(&Entry) -> bool) {
        for entry in self.slots.iter_mut().map(|slot| &mut slot.entry) {
            if entry.held && entry.receiver == receiver && which(entry) {
                (entry.held, entry.queued_at) = (false, now);
            }
        }
    }

    fn remove(&mut self, id: &str) -> Option<(usize, Slot)> {
        let place = self.slots.iter().position(|s| s.entry.id == id)?;
        Some((place, self.slots.remove(place)))
    }

    fn bury(&mut self, letter: DeadLetter) {
        if self.dead.len() == MAX_DEAD_LETTERS {
            self.dead.pop_front();
        }
        self.dead.push_back(letter);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;

    use super::{MAX_DEAD_LETTERS, Queue};
    use crate::engine::{Event, Notification, Severity};
    use crate::notify::entry::Entry;
    use crate::notify::testing::notification;

    const AT: Timestamp = Timestamp::UNIX_EPOCH;

    /// An entry of an incident; of none where that is empty, and then of an alert of its own.
    fn entry(id: &str, receiver: &str, incident: &str) -> Entry {
        let mut n = notification(id);
        if incident.is_empty() {
            n.event = Event::NotificationLost;
        }
        n.incident = Some(incident.to_owned()).filter(|i| !i.is_empty());
        Entry::new(receiver, None, AT, Arc::new(n))
    }

    fn ids(entries: Vec<Entry>) -> Vec<String> {
        entries.into_iter().map(|e| e.id).collect()
    }

    fn heads(queue: &Queue) -> Vec<String> {
        ids(queue.heads("a", None))
    }

    #[test]
    fn what_ends_an_alert_does_not_overtake_what_opens_it() {
        let queue = Queue::default();
        for (id, incident, event) in [
            ("firing", "i", Event::PageFiring),
            ("resolved", "i", Event::PageResolved),
            ("other", "j", Event::PageResolved),
        ] {
            let mut n = notification(id);
            (n.incident, n.event, n.severity) = (Some(incident.to_owned()), event, Severity::Warning);
            queue.put(Entry::new("a", None, AT, Arc::new(n)), 0);
        }
        let opens = |n: &Notification| n.event == Event::PageFiring;
        assert!(queue.hush("a", None, AT, Some(&opens)));
        assert_eq!(heads(&queue), ["other/a"], "by day it was opened already");
        assert!(!queue.hush("a", None, AT, None));
        assert_eq!(heads(&queue), ["firing/a", "other/a"], "in the morning the story begins with its beginning");
    }

    #[test]
    fn keeps_the_order_and_each_id_once() {
        let queue = Queue::default();
        for id in ["1", "2", "1", "3"] {
            queue.put(entry(id, "a", "i"), 0);
        }
        queue.put(entry("1", "b", "i"), 0);
        assert_eq!(ids(queue.pending("a")), ["1/a", "2/a", "3/a"]);
        assert_eq!((queue.length("a"), queue.length("b"), queue.oldest("a")), (3, 1, Some(AT)));
        assert_eq!(queue.receivers(), ["a", "b"]);
        assert!(queue.accepted("2/a"));
        assert!(!queue.accepted("2/a"), "it is gone");
        assert!(queue.dead("1/b", "refused", AT));
        assert!(!queue.dead("1/b", "refused", AT), "it is gone");
        assert_eq!(ids(queue.pending("a")), ["1/a", "3/a"]);
        assert_eq!(queue.receivers(), ["a"]);
        assert_eq!((queue.length("b"), queue.oldest("b")), (0, None));
    }

    #[test]
    fn an_incident_is_told_in_order_and_holds_up_no_other() {
        let queue = Queue::default();
        for (id, incident) in [("1", "i"), ("2", "j"), ("3", "i"), ("4", ""), ("5", ""), ("6", "j")] {
            queue.put(entry(id, "a", incident), 0);
        }
        queue.put(Entry::new("a", Some("x@example.org"), AT, Arc::new(notification("1"))), 0);
        assert_eq!(heads(&queue), ["1/a", "2/a", "4/a", "5/a"]);
        assert_eq!(ids(queue.heads("a", Some("x@example.org"))), ["1/a/x@example.org"], "another recipient");
        queue.accepted("1/a");
        queue.dead("4/a", "refused", AT);
        assert_eq!(heads(&queue), ["2/a", "3/a", "5/a"]);
        assert_eq!(heads(&queue), ["2/a", "3/a", "5/a"], "looking takes nothing");
    }

    #[test]
    fn nothing_goes_out_before_its_ticket() {
        let queue = Queue::default();
        queue.put(entry("1", "a", "i"), 1);
        queue.put(entry("2", "a", "j"), 2);
        queue.put(entry("3", "a", ""), 0);
        assert_eq!(heads(&queue), ["3/a"]);
        queue.open(1);
        assert_eq!(heads(&queue), ["1/a", "3/a"]);
        queue.open(3);
        queue.open(2);
        queue.put(entry("4", "a", "k"), 3);
        assert_eq!(heads(&queue), ["1/a", "2/a", "3/a", "4/a"], "what was opened stays open");
    }

    #[test]
    fn what_is_held_back_is_not_overtaken_by_its_own_incident() {
        let queue = Queue::default();
        queue.put(entry("1", "a", "i"), 5);
        queue.put(entry("2", "a", "i"), 0);
        assert_eq!(heads(&queue), Vec::<String>::new());
        queue.open(5);
        assert_eq!(heads(&queue), ["1/a"]);
    }

    #[test]
    fn dead_letters_say_what_was_lost_and_the_oldest_go() {
        let queue = Queue::default();
        for i in 0..=MAX_DEAD_LETTERS {
            queue.put(entry(&i.to_string(), "a", "i"), 0);
            queue.dead(&format!("{i}/a"), "POST to host answered 401", AT);
        }
        let dead = queue.dead_letters();
        assert_eq!(dead.len(), MAX_DEAD_LETTERS);
        assert_eq!((dead[0].id.as_str(), dead.last().unwrap().id.as_str()), ("1/a", "50/a"));
        let told = notification("1");
        let letter = &dead[0];
        assert_eq!((&letter.receiver, &letter.recipient), (&"a".to_owned(), &None));
        assert_eq!((letter.event, letter.severity, &letter.guard), (told.event, told.severity, &told.guard));
        assert_eq!((&letter.incident, &letter.summary), (&Some("i".to_owned()), &told.summary));
        assert_eq!((letter.reason.as_str(), letter.at), ("POST to host answered 401", AT));
    }

    #[test]
    fn a_replaced_queue_holds_only_the_new_and_all_of_it_is_open() {
        let (queue, other) = (Queue::default(), Queue::default());
        for id in ["1", "2"] {
            other.put(entry(id, "a", id), 7);
        }
        other.put(entry("0", "a", ""), 7);
        other.dead("0/a", "refused", AT);
        let contents = other.contents();
        queue.put(entry("2", "a", "2"), 3);
        queue.put(entry("9", "a", "9"), 3);
        queue.replace(contents.clone());
        assert_eq!(queue.contents(), contents);
        assert_eq!(heads(&queue), ["1/a", "2/a"]);
        assert!(!queue.accepted("9/a"), "a lane that was sending it is told that it is gone");
        queue.put(entry("3", "a", "3"), 3);
        assert_eq!(heads(&queue), ["1/a", "2/a"], "a ticket is as closed as it was before");
        queue.open(3);
        assert_eq!(heads(&queue), ["1/a", "2/a", "3/a"]);
        queue.clear();
        assert!(queue.receivers().is_empty() && queue.dead_letters().is_empty());
        assert!(!queue.accepted("1/a") && !queue.dead("2/a", "late", AT));
    }

    #[test]
    fn a_readdressed_entry_keeps_its_place_and_its_ticket() {
        let queue = Queue::default();
        queue.put(entry("1", "a", "i"), 1);
        queue.put(entry("2", "a", "i"), 2);
        let [x, y] = ["x@example.org", "y@example.org"].map(|r| Some(r.to_owned()));
        assert!(queue.readdress("1/a", &[x.clone(), y.clone()]));
        assert!(queue.readdress("2/a", &[x, y]));
        assert!(!queue.readdress("2/a", &[None]), "it is gone");
        let expected = ["1/a/x@example.org", "1/a/y@example.org", "2/a/x@example.org", "2/a/y@example.org"];
        assert_eq!(ids(queue.pending("a")), expected);
        assert!(queue.heads("a", Some("x@example.org")).is_empty());
        queue.open(1);
        assert_eq!(ids(queue.heads("a", Some("x@example.org"))), ["1/a/x@example.org"]);
        assert!(queue.dead_letters().is_empty(), "nothing is lost");
    }
}
