//! How far it is, for whoever waits.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::super::say;
use super::words;

/// The time between two lines; the first comes after one second, because who waits longer wants to know what for.
const BETWEEN: Duration = Duration::from_secs(5);

/// When the first line comes.
const FIRST: Duration = Duration::from_secs(1);

/// Says on stderr how far it is.
pub struct Progress {
    from: Timestamp,
    to: Timestamp,
    next: Instant,
}

impl Progress {
    /// The way from one instant to another.
    pub fn new(from: Timestamp, to: Timestamp) -> Self {
        Self { from, to, next: Instant::now() + FIRST }
    }

    /// It is at this instant.
    pub fn at(&mut self, at: Timestamp) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        self.next = now + BETWEEN;
        let part = |from: Timestamp, to: Timestamp| to.duration_since(from).as_secs_f64();
        let all = part(self.from, self.to).max(f64::MIN_POSITIVE);
        let done = (part(self.from, at) / all).clamp(0.0, 1.0) * 100.0;
        say(&format!("Replaying: {} ({done:.0} %) …", words::time(at)));
    }
}
