//! What became of an entry, for the log and the metrics.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::{Event, Notification};

/// Something that happened to one entry. No text in it holds a secret or a webhook's address.
#[derive(Debug, Clone, PartialEq)]
pub enum DeliveryEvent {
    /// The receiver has it.
    Accepted {
        /// The receiver.
        receiver: String,
        /// The entry.
        id: String,
        /// What it told.
        event: Event,
        /// From being queued to being accepted.
        took: Duration,
        /// How many tries it took, from 1.
        attempts: u32,
    },
    /// A try failed and will be repeated.
    Retrying {
        /// The receiver.
        receiver: String,
        /// The entry.
        id: String,
        /// What it tells.
        event: Event,
        /// Which try failed, from 1.
        attempt: u32,
        /// The time until the next one.
        delay: Duration,
        /// Why it failed.
        error: String,
    },
    /// Its receiver's template cannot make a body of it, and it is sent in a plainer one.
    Simplified {
        /// The receiver.
        receiver: String,
        /// The entry.
        id: String,
        /// What it tells.
        event: Event,
        /// Why the template failed.
        reason: String,
    },
    /// It is needless: it waited whether others would acknowledge, and they did, or it is over.
    Withdrawn {
        /// The receiver.
        receiver: String,
        /// The entry.
        id: String,
        /// What it told.
        event: Event,
        /// Why nobody needs to be told.
        reason: String,
    },
    /// Nobody has acknowledged a story in time: a second receiver is told from now on.
    Escalated {
        /// The second receiver.
        receiver: String,
        /// The incident, or what stands for one.
        story: String,
    },
    /// It is lost: the receiver refused it for good, or did not accept it in time.
    Dead {
        /// The receiver.
        receiver: String,
        /// The entry.
        id: String,
        /// What it told.
        notification: Arc<Notification>,
        /// Why it is lost.
        reason: String,
    },
    /// It is lost: there was no room for it, or its receiver is no longer configured.
    Dropped {
        /// The receiver.
        receiver: String,
        /// The entry.
        id: String,
        /// What it told.
        notification: Arc<Notification>,
        /// Why it is lost.
        reason: String,
    },
}
