//! The samples of one series.

use std::collections::HashMap;

/// The label under which a series has its metric's name.
pub(super) const NAME: &str = "__name__";

/// One series, its samples by rising time.
#[derive(Debug)]
pub(super) struct Series {
    /// All labels, the name among them.
    labels: HashMap<String, String>,
    /// Milliseconds of Unix time.
    at: Vec<i64>,
    values: Vec<f64>,
    /// Where the value is lower than the one before: a counter that began anew. By rising index.
    falls: Vec<usize>,
}

/// Some consecutive samples of a series: from one index to before the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Window {
    from: usize,
    to: usize,
}

impl Series {
    /// A series of samples that are in order.
    pub(super) fn new(labels: HashMap<String, String>, samples: impl IntoIterator<Item = (i64, f64)>) -> Self {
        let (at, values): (Vec<i64>, Vec<f64>) = samples.into_iter().unzip();
        let falls = (1..values.len()).filter(|&index| values[index] < values[index - 1]).collect();
        Self { labels, at, values, falls }
    }

    pub(super) fn name(&self) -> &str {
        self.label(NAME)
    }

    /// The value of a label; empty where there is none, as in PromQL.
    pub(super) fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }

    pub(super) fn first(&self) -> Option<i64> {
        self.at.first().copied()
    }

    pub(super) fn last(&self) -> Option<i64> {
        self.at.last().copied()
    }

    /// The samples from `from` to `to`, both included: ranges of Prometheus 2 are closed. `near` is where they were the last time,
    /// from which they are found in no time when that was a little earlier.
    pub(super) fn window(&self, from: i64, to: i64, near: Window) -> Window {
        let from = seek(&self.at, near.from, |at| at < from);
        Window { from, to: seek(&self.at, near.to.max(from), |at| at <= to).max(from) }
    }

    /// The newest sample at `at` that is at most `age` older. A sample of that very age counts, as in Prometheus 2.
    pub(super) fn newest(&self, at: i64, age: i64) -> Option<(i64, f64)> {
        self.newest_near(at, age, &mut Window::default())
    }

    /// The same, from where it was the last time.
    pub(super) fn newest_near(&self, at: i64, age: i64, near: &mut Window) -> Option<(i64, f64)> {
        near.to = seek(&self.at, near.to, |sample| sample <= at);
        let index = near.to.checked_sub(1)?;
        (self.at[index] >= at.saturating_sub(age)).then(|| (self.at[index], self.values[index]))
    }

    /// The first and the last sample of a window, how many there are, and how much the value grew as a counter. None for fewer than
    /// two samples.
    pub(super) fn growth(&self, window: Window) -> Option<Growth> {
        let samples = window.len();
        if samples < 2 {
            return None;
        }
        let (first, last) = (window.from, window.to - 1);
        let mut grown = self.values[last] - self.values[first];
        let falls = self.falls.partition_point(|&fall| fall <= first);
        for &fall in self.falls[falls..].iter().take_while(|&&fall| fall <= last) {
            grown += self.values[fall - 1];
        }
        let (first_at, last_at) = (self.at[first], self.at[last]);
        Some(Growth { samples, first_at, last_at, first: self.values[first], grown })
    }
}

impl Window {
    pub(super) fn len(self) -> usize {
        self.to - self.from
    }
}

/// What a counter did in a window of at least two samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Growth {
    /// How many samples.
    pub samples: usize,
    /// The time of the first one.
    pub first_at: i64,
    /// The time of the last one.
    pub last_at: i64,
    /// The value of the first one.
    pub first: f64,
    /// How much the counter grew from the first to the last; what it lost when it began anew is not lost.
    pub grown: f64,
}

/// How many times come `before`, looked for from `near` on: a few steps where the answer is a little later, and a binary search where
/// it is not.
fn seek(at: &[i64], near: usize, before: impl Fn(i64) -> bool) -> usize {
    let near = near.min(at.len());
    if near > 0 && !before(at[near - 1]) {
        return at[..near].partition_point(|&at| before(at));
    }
    let (mut known, mut step) = (near, 1);
    while known + step <= at.len() && before(at[known + step - 1]) {
        known += step;
        step *= 2;
    }
    let end = at.len().min(known + step);
    known + at[known..end].partition_point(|&at| before(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_found_from_wherever_it_was_looked_for_last() {
        let series = Series::new(HashMap::new(), (0..50).map(|n| (n * 10, 1.0)));
        for from in -20..520 {
            for (length, near) in [(0, 0), (5, 3), (10, 50), (300, 20), (1000, 49), (10, 7)] {
                let to = from + length;
                let inside: Vec<usize> =
                    (0..50).filter(|n| (from..=to).contains(&(n * 10))).map(|n| n as usize).collect();
                let window = series.window(from, to, Window { from: near, to: near });
                assert_eq!(window.len(), inside.len(), "{from}..={to} near {near}");
                if let Some(first) = inside.first() {
                    assert_eq!(window.from, *first, "{from}..={to} near {near}");
                }
            }
        }
    }

    #[test]
    fn a_counter_that_begins_anew_loses_nothing() {
        let series = Series::new(HashMap::new(), [(0, 5.0), (10, 7.0), (20, 1.0), (30, 4.0), (40, 0.0), (50, 2.0)]);
        let grown = |from, to| series.growth(series.window(from, to, Window::default())).map(|g| g.grown);
        // 5 -> 7 is 2, from nothing to 1 is 1, 1 -> 4 is 3, nothing, 0 -> 2 is 2.
        assert_eq!(grown(0, 50), Some(8.0));
        assert_eq!(grown(10, 30), Some(4.0));
        assert_eq!(grown(20, 30), Some(3.0));
        assert_eq!(grown(40, 40), None);
    }
}
