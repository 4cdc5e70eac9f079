//! The one clock of the daemon. It can run faster than the wall, for the demo.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// A clock.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    fast: Option<Fast>,
}

#[derive(Debug, Clone, Copy)]
struct Fast {
    origin: Timestamp,
    begun: Instant,
    speed: f64,
}

impl Clock {
    /// The wall clock.
    pub fn wall() -> Self {
        Self { fast: None }
    }

    /// A clock that starts at the present and runs `speed` times as fast as the wall's.
    pub fn fast(speed: f64) -> Self {
        Self { fast: Some(Fast { origin: Timestamp::now(), begun: Instant::now(), speed }) }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        match self.fast {
            None => Timestamp::now(),
            Some(fast) => {
                let gone = fast.begun.elapsed().mul_f64(fast.speed);
                fast.origin.checked_add(gone).unwrap_or(Timestamp::MAX)
            }
        }
    }

    /// Waits until a time of this clock.
    pub async fn sleep_until(&self, until: Timestamp) {
        let left = Duration::try_from(until.duration_since(self.now())).unwrap_or_default();
        self.sleep(left).await;
    }

    /// Waits for a time of this clock.
    pub async fn sleep(&self, time: Duration) {
        let speed = self.fast.map_or(1.0, |fast| fast.speed);
        tokio::time::sleep(time.div_f64(speed)).await;
    }

    /// The first multiple of `interval` since the beginning of Unix time that lies after `time`.
    pub fn aligned_after(time: Timestamp, interval: Duration) -> Timestamp {
        let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
        let next = (time.as_millisecond().div_euclid(interval) + 1).saturating_mul(interval);
        Timestamp::from_millisecond(next).unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_aligned_to_the_interval() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let ten = Duration::from_secs(10);
        assert_eq!(Clock::aligned_after(at("2026-01-02T03:04:05Z"), ten), at("2026-01-02T03:04:10Z"));
        assert_eq!(Clock::aligned_after(at("2026-01-02T03:04:10Z"), ten), at("2026-01-02T03:04:20Z"));
        assert_eq!(Clock::aligned_after(at("1969-12-31T23:59:55Z"), ten), at("1970-01-01T00:00:00Z"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_fast_clock_is_fast() {
        let clock = Clock::fast(20.0);
        let begun = clock.now();
        clock.sleep(Duration::from_secs(100)).await;
        let gone = clock.now().duration_since(begun).as_secs_f64();
        assert!((100.0..101.0).contains(&gone), "{gone}");
    }
}
