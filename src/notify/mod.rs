//! Tells people: takes notifications, keeps them until their receivers have accepted them, and never makes the caller wait.
//!
//! - `outbox`: which receivers and recipients a notification goes to, their bounds, reload and shutdown
//! - `lane`: one task per recipient: in order, with retries, until accepted or dead
//! - `store`: where the entries are kept
//! - `courier`: how one entry is handed over; `webhook` and `email` are the two ways
//! - `generic`, `pagerduty`, `mail`: what is handed over; `message` and `html` are its words
//! - `event`: what became of each entry, for the log and the metrics
//!
//! Delivery is at least once. Every entry has an id that is the same on every try and after a restart, so that a repeat is recognisable.

mod addresses;
mod backoff;
mod clock;
mod courier;
mod email;
mod event;
mod filter;
mod generic;
mod html;
mod lane;
mod mail;
mod material;
pub mod message;
mod outbox;
mod pagerduty;
mod signature;
mod store;
mod text;
mod webhook;

#[cfg(test)]
mod testing;

pub use addresses::Addresses;
pub use event::DeliveryEvent;
pub use outbox::{Depth, MAX_QUEUE, Outbox};
pub use store::{Entry, MemoryStore, Store};
