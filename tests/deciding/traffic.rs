//! Requests as they come: independent of one another, at a constant rate, a part of them failing. Made from a seed.

use std::collections::VecDeque;

/// From one tick to the next, in seconds.
pub const INTERVAL: u32 = 10;

/// Ticks in the window (5m) and in the confirm window (1m).
pub const WINDOW: usize = 30;
pub const CONFIRM: usize = 6;

/// Numbers of a Poisson distribution: how many independent events fall into one interval.
pub struct Poisson {
    /// The probability of at most so many.
    pub cumulative: Vec<f64>,
}

impl Poisson {
    /// With this mean. As many values as have any probability that a float can tell from nothing.
    pub fn new(mean: f64) -> Self {
        let (mut log, mut sum, mut cumulative) = (-mean, 0.0, Vec::new());
        for count in 1..10_000 {
            sum += log.exp();
            cumulative.push(sum);
            if f64::from(count) > mean && log < -40.0 {
                break;
            }
            log += mean.ln() - f64::from(count).ln();
        }
        Self { cumulative }
    }

    /// The next number: where a uniform one falls among the probabilities.
    pub fn draw(&self, random: &mut fastrand::Rng) -> u32 {
        let uniform = random.f64();
        let count = self.cumulative.partition_point(|at_most| *at_most <= uniform);
        u32::try_from(count).expect("few values")
    }
}

/// Failed and all requests.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Counts {
    pub failed: u32,
    pub total: u32,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.failed += other.failed;
        self.total += other.total;
    }

    fn take(&mut self, other: Self) {
        self.failed -= other.failed;
        self.total -= other.total;
    }
}

/// The requests of one service, interval by interval, and what its two windows hold.
pub struct Traffic {
    random: fastrand::Rng,
    per_interval: f64,
    good: Poisson,
    bad: Poisson,
    intervals: VecDeque<Counts>,
    window: Counts,
    confirm: Counts,
}

impl Traffic {
    /// A service with so many requests per second, of which this part fails.
    pub fn new(per_second: f64, failing: f64, seed: u64) -> Self {
        let mut traffic = Self {
            random: fastrand::Rng::with_seed(seed),
            per_interval: per_second * f64::from(INTERVAL),
            good: Poisson::new(0.0),
            bad: Poisson::new(0.0),
            intervals: VecDeque::new(),
            window: Counts::default(),
            confirm: Counts::default(),
        };
        traffic.fails(failing);
        traffic
    }

    /// From now on another part fails. Whether one request fails does not depend on another, so that good and bad ones come independently.
    pub fn fails(&mut self, failing: f64) {
        self.good = Poisson::new(self.per_interval * (1.0 - failing));
        self.bad = Poisson::new(self.per_interval * failing);
    }

    /// One more interval goes by. What the window and the confirm window hold at its end.
    pub fn pass(&mut self) -> (Counts, Counts) {
        let failed = self.bad.draw(&mut self.random);
        let now = Counts { failed, total: failed + self.good.draw(&mut self.random) };
        self.intervals.push_back(now);
        self.window.add(now);
        self.confirm.add(now);
        if self.intervals.len() > CONFIRM {
            self.confirm.take(self.intervals[self.intervals.len() - 1 - CONFIRM]);
        }
        if self.intervals.len() > WINDOW {
            self.window.take(self.intervals.pop_front().unwrap_or_default());
        }
        (self.window, self.confirm)
    }
}
