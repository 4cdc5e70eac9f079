//! The time of day, counted from the start of the process by the monotonic clock.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, Unit};
use tokio::time::Instant;

/// The two clocks may differ by this much before it counts: less says nothing about an age of hours, and a document should not change
/// each time that the wall clock is adjusted by a millisecond.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(60);

/// Reads the wall clock once and lets tokio's clock advance it: ages never jump when the wall clock is set, and tests can pause them.
///
/// Between processes only the wall clock is common. So a time is translated when it is written for another process, and when it comes
/// from one: what counts is the age by the wall clock of both moments, whatever the clock showed in between. A wall clock that was set
/// back while no process ran makes ages smaller, never negative: an entry then lives for one more `MAX_AGE` at most. One that was set
/// forward makes them greater: an entry may be given up early, and that is told like any other loss.
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

    /// A time of this clock by the wall clock, for another process.
    pub(super) fn in_wall_time(&self, time: Timestamp) -> Timestamp {
        time.checked_add(self.behind()).unwrap_or(time)
    }

    /// A time by the wall clock, from another process. What lies in the future becomes the present.
    pub(super) fn in_own_time(&self, time: Timestamp) -> Timestamp {
        time.checked_sub(self.behind()).unwrap_or(time).min(self.now())
    }

    /// How far the wall clock has gone ahead of this one, in whole seconds.
    fn behind(&self) -> SignedDuration {
        let behind = Timestamp::now().duration_since(self.now());
        if behind.abs() < TOLERANCE { SignedDuration::ZERO } else { behind.round(Unit::Second).unwrap_or(behind) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::{SignedDuration, Timestamp};
    use tokio::time::Instant;

    use super::Clock;

    const HOUR: SignedDuration = SignedDuration::from_hours(1);

    /// A clock that was started when the wall clock was wrong by this much.
    fn started_at(wrong: SignedDuration) -> Clock {
        Clock { wall: Timestamp::now() + wrong, started: Instant::now() }
    }

    /// To the second: finer than that ages are not kept.
    fn check(age: Duration, expected: u64) {
        let expected = Duration::from_secs(expected);
        assert!(age.abs_diff(expected) <= Duration::from_secs(1), "{age:?}, not {expected:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_age_outlives_the_process() {
        let clock = started_at(SignedDuration::ZERO);
        let queued = clock.now();
        tokio::time::sleep(Duration::from_secs(7200)).await;
        check(clock.age(queued), 7200);
        assert_eq!(clock.in_wall_time(clock.now() - HOUR), clock.in_wall_time(clock.now()) - HOUR);
        // The next process reads it at once.
        let next = Clock::start();
        check(next.age(next.in_own_time(clock.in_wall_time(queued))), 7200);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_was_wrong_when_the_process_started_does_no_harm() {
        for wrong in [-500_000 * HOUR, -48 * HOUR, 48 * HOUR] {
            let clock = started_at(wrong);
            let queued = clock.now() - HOUR;
            let next = Clock::start();
            check(next.age(next.in_own_time(clock.in_wall_time(queued))), 3600);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_from_the_future_is_new() {
        let clock = Clock::start();
        let queued = clock.in_own_time(Timestamp::now() + 1000 * HOUR);
        check(clock.age(queued), 0);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        check(clock.age(queued), 3600);
    }

    #[test]
    fn small_differences_change_nothing() {
        for wrong in [SignedDuration::from_secs(-59), SignedDuration::from_secs(59)] {
            let clock = Clock { wall: Timestamp::now() + wrong, started: Instant::now() };
            let time = clock.now() - HOUR;
            assert_eq!((clock.in_wall_time(time), clock.in_own_time(time)), (time, time));
        }
    }
}
