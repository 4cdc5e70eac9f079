//! Tells people: takes notifications, keeps them until their receivers have accepted them, and never makes the caller wait.
//!
//! - `outbox`: which receivers and recipients a notification goes to, their bounds, reload and shutdown
//! - `queue`: where the entries wait, each incident in its order; `contents` is what it holds, in the form that outlives the process
//! - `lane`: one task per recipient, with retries until accepted or dead; `turns` says which entry it tries, and when
//! - `escalation`: when a second receiver is told, and `quiet`: when one is left alone; both hold entries in the queue
//! - `courier`: how one entry is handed over; `webhook` and `email` are the two ways
//! - `formats`, a file each, and `mail`: what is handed over; `message` and `html` are its words; `alert` says what belongs together
//! - `probe`: whether the receivers can be reached, without paging anybody, and by a page that says it is a test
//! - `heartbeat`: tells an outside address that Ripcord is alive
//! - `event`: what became of each entry, for the log and the metrics; `losses` makes the notifications that one was lost
//!
//! Delivery is at least once. Every entry has an id that is the same on every try and after a restart, so that a repeat is recognisable.

mod addresses;
mod alert;
mod backoff;
mod clock;
mod contents;
mod courier;
mod email;
mod entry;
mod escalation;
mod event;
mod filter;
mod formats;
mod heartbeat;
mod html;
mod lane;
mod losses;
mod mail;
mod material;
pub mod message;
mod outbox;
mod probe;
mod queue;
mod quiet;
mod signature;
mod text;
mod turns;
mod webhook;

#[cfg(test)]
mod testing;

pub use addresses::Addresses;
pub use contents::Contents;
pub use entry::{DeadLetter, Entry};
pub use escalation::Stories;
pub use event::DeliveryEvent;
pub use heartbeat::{Heartbeat, Pace};
pub use lane::Permit;
pub use losses::{Losses, Lost};
pub use outbox::{Depth, MAX_QUEUE, Outbox, Whom, unusable, wrong};
pub use probe::{probe, send_test};
pub use queue::{MAX_DEAD_LETTERS, Queue};
pub use text::{escape_html, single_line};
