//! The time of day, counted from the start of the process by the monotonic clock.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Reads the wall clock once and lets tokio's clock advance it: ages never jump when the wall clock is set, and tests can pause them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    wall: Timestamp,
    started: Instant,
}

impl Clock {
    /// A clock that begins now.
    pub(super) fn start() -> Self {
        Self { wall: Timestamp::now(), started: Instant::now() }
    }

    /// The time.
    pub(super) fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.started.elapsed()).unwrap_or(SignedDuration::MAX);
        self.wall.checked_add(elapsed).unwrap_or(Timestamp::MAX)
    }

    /// How long ago this was; zero for what lies in the future.
    pub(super) fn age(&self, of: Timestamp) -> Duration {
        Duration::try_from(self.now().duration_since(of)).unwrap_or_default()
    }
}
