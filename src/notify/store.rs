//! Where entries are kept until they are accepted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::Notification;

/// One notification on its way to one receiver; for e-mail, to one recipient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// `{notification}/{receiver}`, and `/{recipient}` for e-mail. The same on every try and after a restart.
    pub id: String,
    /// The receiver's name.
    pub receiver: String,
    /// The recipient's address; absent for a webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// When it was queued; its age counts from here.
    pub queued_at: Timestamp,
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
        Self { id, receiver: receiver.to_owned(), recipient: recipient.map(str::to_owned), queued_at, notification }
    }
}

/// Keeps entries until they are accepted or dead. No call may block for long: they are made while a rollback runs.
pub trait Store: Send + Sync + 'static {
    /// Adds an entry behind the others. One whose id is there already is left as it is.
    fn put(&self, entry: Entry);

    /// Forgets an entry that its receiver has. Says whether it was still there.
    fn accepted(&self, id: &str) -> bool;

    /// Forgets an entry that nobody will get, for this reason. Says whether it was still there.
    fn dead(&self, id: &str, why: &str) -> bool;

    /// The entries of a receiver, in the order in which they were put.
    fn pending(&self, receiver: &str) -> Vec<Entry>;

    /// The receivers that have entries, configured or not.
    fn receivers(&self) -> Vec<String>;
}

/// A store that lives as long as the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    entries: Mutex<Vec<Entry>>,
}

impl MemoryStore {
    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remove(&self, id: &str) -> bool {
        let mut entries = self.entries();
        let before = entries.len();
        entries.retain(|e| e.id != id);
        entries.len() < before
    }
}

impl Store for MemoryStore {
    fn put(&self, entry: Entry) {
        let mut entries = self.entries();
        if entries.iter().all(|e| e.id != entry.id) {
            entries.push(entry);
        }
    }

    fn accepted(&self, id: &str) -> bool {
        self.remove(id)
    }

    fn dead(&self, id: &str, _why: &str) -> bool {
        self.remove(id)
    }

    fn pending(&self, receiver: &str) -> Vec<Entry> {
        self.entries().iter().filter(|e| e.receiver == receiver).cloned().collect()
    }

    fn receivers(&self) -> Vec<String> {
        let mut names: Vec<String> = self.entries().iter().map(|e| e.receiver.clone()).collect();
        names.sort();
        names.dedup();
        names
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;

    use super::{Entry, MemoryStore, Store};
    use crate::notify::testing::notification;

    fn entry(id: &str, receiver: &str) -> Entry {
        Entry::new(receiver, None, Timestamp::UNIX_EPOCH, Arc::new(notification(id)))
    }

    #[test]
    fn keeps_the_order_and_each_id_once() {
        let store = MemoryStore::default();
        for id in ["1", "2", "1", "3"] {
            store.put(entry(id, "a"));
        }
        store.put(entry("1", "b"));
        let ids = |receiver: &str| store.pending(receiver).into_iter().map(|e| e.id).collect::<Vec<_>>();
        assert_eq!(ids("a"), ["1/a", "2/a", "3/a"]);
        assert_eq!(store.receivers(), ["a", "b"]);
        assert!(store.accepted("2/a"));
        assert!(!store.accepted("2/a"), "it is gone");
        assert!(store.dead("1/b", "refused"));
        assert_eq!(ids("a"), ["1/a", "3/a"]);
        assert_eq!(store.receivers(), ["a"]);
    }

    #[test]
    fn an_entry_survives_being_written_and_read() {
        let entry = Entry::new("sre", Some("a@example.com"), Timestamp::UNIX_EPOCH, Arc::new(notification("n1")));
        assert_eq!(entry.id, "n1/sre/a@example.com");
        let text = serde_json::to_string(&entry).unwrap();
        assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), entry);
    }
}
