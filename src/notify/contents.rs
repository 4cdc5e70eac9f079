//! What a queue holds, in the form that is kept over restarts.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::Notification;

use super::entry::{DeadLetter, Entry};
use super::escalation::Stories;

/// What a queue holds. It is written with each notification once, however many recipients wait for it; the ids of the entries are made
/// from it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(into = "Written", try_from = "Written")]
pub struct Contents {
    /// What waits, in the order in which it was queued.
    pub entries: Vec<Entry>,
    /// What was lost last, the oldest first.
    pub dead_letters: Vec<DeadLetter>,
    /// What was told lately, for the receivers that are told second or left alone at night.
    pub stories: Stories,
}

impl Contents {
    /// Makes it smaller, for a document that is too large: takes out the oldest dead letter, and when there is none the oldest entry of
    /// the least severity. Says how many bytes of the document that frees, give or take a comma; none when there is nothing to take out.
    pub fn drop_least(&mut self) -> Option<usize> {
        if !self.dead_letters.is_empty() {
            return Some(bytes(&self.dead_letters.remove(0)));
        }
        let (at, _) = self.entries.iter().enumerate().min_by_key(|(_, e)| e.notification.severity)?;
        let entry = self.entries.remove(at);
        let shared = self.entries.iter().any(|e| e.notification.id == entry.notification.id);
        // Its key is written too, with a colon in the place of the comma.
        let notification = if shared { 0 } else { bytes(&entry.notification.id) + bytes(&*entry.notification) };
        Some(notification + bytes(&Waiting::from(&entry)))
    }
}

/// What a value takes in a list, with the comma.
fn bytes(value: &impl Serialize) -> usize {
    serde_json::to_string(value).map_or(0, |text| text.len() + ",".len())
}

/// The shape in the document. What is absent is empty, so that a document of before a part existed can be read.
#[derive(Serialize, Deserialize)]
#[serde(default)]
struct Written {
    notifications: BTreeMap<String, Arc<Notification>>,
    entries: Vec<Waiting>,
    dead_letters: Vec<DeadLetter>,
    #[serde(skip_serializing_if = "Stories::is_empty")]
    stories: Stories,
}

impl Default for Written {
    fn default() -> Self {
        Contents::default().into()
    }
}

#[derive(Serialize, Deserialize)]
struct Waiting {
    notification: String,
    receiver: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recipient: Option<String>,
    queued_at: Timestamp,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    held: bool,
}

impl From<&Entry> for Waiting {
    fn from(entry: &Entry) -> Self {
        Self {
            notification: entry.notification.id.clone(),
            receiver: entry.receiver.clone(),
            recipient: entry.recipient.clone(),
            queued_at: entry.queued_at,
            held: entry.held,
        }
    }
}

impl From<Contents> for Written {
    fn from(contents: Contents) -> Self {
        let mut notifications = BTreeMap::new();
        let mut entries = Vec::with_capacity(contents.entries.len());
        for entry in contents.entries {
            entries.push(Waiting::from(&entry));
            notifications.entry(entry.notification.id.clone()).or_insert(entry.notification);
        }
        Self { notifications, entries, dead_letters: contents.dead_letters, stories: contents.stories }
    }
}

impl TryFrom<Written> for Contents {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let entry = |waiting: Waiting| {
            let Waiting { notification: id, receiver, recipient, queued_at, held } = waiting;
            let notification = written
                .notifications
                .get(&id)
                .ok_or_else(|| format!("{receiver} waits for the notification {id:?}, which is not there"))?;
            let entry = Entry::new(&receiver, recipient.as_deref(), queued_at, Arc::clone(notification));
            Ok(Entry { held, ..entry })
        };
        let entries = written.entries.into_iter().map(entry).collect::<Result<_, String>>()?;
        Ok(Self { entries, dead_letters: written.dead_letters, stories: written.stories })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::Contents;
    use crate::engine::{Language, Severity};
    use crate::notify::entry::{DeadLetter, Entry};
    use crate::notify::formats::{generic, pagerduty};
    use crate::notify::testing::{addresses, notification};

    const AT: &str = "2026-01-02T03:04:06.789Z";

    fn at() -> Timestamp {
        AT.parse().unwrap()
    }

    fn entry(id: &str, receiver: &str, recipient: Option<&str>, severity: Severity) -> Entry {
        let mut n = notification(id);
        n.severity = severity;
        Entry::new(receiver, recipient, at(), Arc::new(n))
    }

    fn contents() -> Contents {
        let critical = Severity::Critical;
        let lost = entry("n0", "oncall", None, critical);
        Contents {
            entries: vec![
                entry("n2", "sre", Some("b@example.org"), critical),
                entry("n1", "oncall", None, critical),
                entry("n2", "sre", Some("a@example.org"), critical),
                entry("n2", "oncall", None, critical),
            ],
            dead_letters: vec![DeadLetter::of(&lost, "refused", at())],
            ..Contents::default()
        }
    }

    #[test]
    fn what_is_written_is_read_back_in_the_same_order_and_under_the_same_ids() {
        let text = serde_json::to_string(&contents()).unwrap();
        let read: Contents = serde_json::from_str(&text).unwrap();
        assert_eq!(read, contents());
        let ids: Vec<&str> = read.entries.iter().map(|e| e.id.as_str()).collect();
        assert_eq!(ids, ["n2/sre/b@example.org", "n1/oncall", "n2/sre/a@example.org", "n2/oncall"]);
        assert_eq!(serde_json::from_str::<Contents>("{}").unwrap(), Contents::default());
    }

    #[test]
    fn a_notification_for_many_is_written_once() {
        let value = serde_json::to_value(contents()).unwrap();
        assert_eq!(value["notifications"].as_object().unwrap().keys().collect::<Vec<_>>(), ["n1", "n2"]);
        assert_eq!(
            value["entries"][0],
            json!({"notification": "n2", "receiver": "sre", "recipient": "b@example.org", "queued_at": AT})
        );
        assert_eq!(value.to_string().matches("Watch the error rate").count(), 2);
    }

    #[test]
    fn an_entry_without_its_notification_is_not_taken_for_nothing() {
        let mut value = serde_json::to_value(contents()).unwrap();
        value["notifications"].as_object_mut().unwrap().remove("n1");
        let error = serde_json::from_value::<Contents>(value).unwrap_err().to_string();
        assert_eq!(error, "oncall waits for the notification \"n1\", which is not there");
    }

    #[test]
    fn bodies_are_the_same_after_a_restart() {
        let mut n = notification("n1");
        n.time = AT.parse().unwrap();
        // Each is a number whose last digit is lost by a parser that is only nearly exact.
        for value in [0.1 + 0.2, 1.0 / 3.0, 2.2250738585072014e-308, 0.031_000_000_000_000_003, 123_456_789.123_456_79]
        {
            n.trigger.as_mut().unwrap().value = Some(value);
            n.trigger.as_mut().unwrap().held_seconds = value;
            let before =
                Contents { entries: vec![Entry::new("a", None, at(), Arc::new(n.clone()))], ..Contents::default() };
            let text = serde_json::to_string(&before).unwrap();
            let after: Contents = serde_json::from_str(&text).unwrap();
            let read = &after.entries[0].notification;
            for body in [generic::body, pagerduty::body] {
                let (before, after) =
                    (body(&n, &addresses(), Language::English), body(read, &addresses(), Language::English));
                assert_eq!(after, before, "{value}");
            }
        }
    }

    #[test]
    fn the_least_goes_first() {
        let mut contents = Contents {
            entries: vec![
                entry("c1", "a", None, Severity::Critical),
                entry("w1", "a", None, Severity::Warning),
                entry("i1", "a", None, Severity::Info),
                entry("i2", "a", None, Severity::Info),
                entry("c2", "a", None, Severity::Critical),
            ],
            ..Contents::default()
        };
        for id in ["d1", "d2"] {
            let lost = entry(id, "a", None, Severity::Critical);
            contents.dead_letters.push(DeadLetter::of(&lost, "refused", at()));
        }
        let left = |contents: &Contents| -> Vec<String> {
            let written = serde_json::to_value(contents).unwrap();
            let ids = |part: &str, key: &str| -> Vec<String> {
                written[part].as_array().unwrap().iter().map(|v| v[key].as_str().unwrap().to_owned()).collect()
            };
            [ids("dead_letters", "id"), ids("entries", "notification")].concat()
        };
        let mut gone = vec![];
        let mut before = left(&contents);
        while contents.drop_least().is_some() {
            let after = left(&contents);
            gone.extend(before.iter().find(|id| !after.contains(id)).cloned());
            before = after;
        }
        assert_eq!(gone, ["d1/a", "d2/a", "i1", "i2", "w1", "c1", "c2"]);
        assert_eq!(contents, Contents::default());
        assert_eq!(serde_json::to_value(&contents).unwrap()["notifications"], Value::Object(serde_json::Map::new()));
    }
}
