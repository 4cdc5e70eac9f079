//! Many instants at once: which are asked for, and what was answered for each.

use std::time::Duration;

use jiff::Timestamp;

use crate::engine::Unknown;

use super::plan::Answer;

/// Instants that are asked for at once. The answer for 200 guards is then some 400 kB for each query, and Prometheus has to evaluate
/// no more than it does for one panel of a dashboard.
const CHUNK_STEPS: usize = 60;

/// Instants at equal distances, to the millisecond: that is as exactly as Prometheus keeps time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instants {
    first_ms: i64,
    step_ms: i64,
    count: usize,
}

impl Instants {
    /// From `first` on as long as they are not after `last`. None at all where `last` is the earlier one.
    pub fn between(first: Timestamp, last: Timestamp, step: Duration) -> Self {
        let (first_ms, step_ms) = (first.as_millisecond(), i64::try_from(step.as_millis()).unwrap_or(i64::MAX).max(1));
        let length_ms = last.as_millisecond() - first_ms;
        let count = if length_ms < 0 { 0 } else { usize::try_from(length_ms / step_ms + 1).unwrap_or(usize::MAX) };
        Self { first_ms, step_ms, count }
    }

    /// As many of them as are asked for at once while a live tick waits.
    pub fn first_chunk(self) -> Self {
        self.first_of(CHUNK_STEPS)
    }

    /// At most the first so many.
    pub fn first_of(self, count: usize) -> Self {
        Self { count: self.count.min(count), ..self }
    }

    /// Those behind the first so many.
    pub fn after(self, count: usize) -> Self {
        let gone = count.min(self.count);
        Self { first_ms: self.at(gone).as_millisecond(), count: self.count - gone, ..self }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Each of them, in order.
    pub fn iter(self) -> impl Iterator<Item = Timestamp> {
        (0..self.count).map(move |index| self.at(index))
    }

    /// The first one; it is there even where there is none.
    pub fn first(&self) -> Timestamp {
        self.at(0)
    }

    /// The last one; the first where there is none.
    pub fn last(&self) -> Timestamp {
        self.at(self.count.saturating_sub(1))
    }

    /// The time between two of them.
    pub(super) fn step_ms(&self) -> i64 {
        self.step_ms
    }

    fn at(&self, index: usize) -> Timestamp {
        let since_first = i64::try_from(index).unwrap_or(i64::MAX).saturating_mul(self.step_ms);
        Timestamp::from_millisecond(self.first_ms.saturating_add(since_first)).unwrap_or(Timestamp::MAX)
    }

    /// Which of them lies this many seconds after the beginning of Unix time.
    fn index(&self, seconds: f64) -> Option<usize> {
        // Rounded, because a fraction of a second is no whole number of anything in a float. One that is out of range is at its end, and
        // that is no instant of ours.
        #[allow(clippy::cast_possible_truncation)]
        let since_first = ((seconds * 1000.0).round() as i64).checked_sub(self.first_ms)?;
        let index = usize::try_from(since_first / self.step_ms).ok()?;
        (since_first >= 0 && since_first % self.step_ms == 0 && index < self.count).then_some(index)
    }
}

/// One series: its value at each of the instants at which it has one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Series {
    /// Which number of the plan it is.
    number: usize,
    values: Vec<Option<f64>>,
}

impl Series {
    /// Lays the samples of a series out over the instants. The error says what does not fit.
    pub(super) fn new(number: usize, samples: Vec<(f64, f64)>, instants: Instants) -> Result<Self, String> {
        let mut values = vec![None; instants.len()];
        for (seconds, value) in samples {
            let slot = instants.index(seconds).and_then(|index| values.get_mut(index));
            let slot = slot.ok_or_else(|| format!("answered for the instant {seconds}, which was not asked for"))?;
            if slot.replace(value).is_some() {
                return Err(format!("answered twice for the instant {seconds}"));
            }
        }
        Ok(Self { number, values })
    }
}

/// What the queries of a plan gave for each of several instants.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    instants: Instants,
    queries: Vec<Result<Vec<Series>, Unknown>>,
}

impl Range {
    pub(super) fn new(instants: Instants, queries: Vec<Result<Vec<Series>, Unknown>>) -> Self {
        Self { instants, queries }
    }

    /// The instants.
    pub fn instants(&self) -> Instants {
        self.instants
    }

    /// Each instant with one answer per query, as the query for that instant alone would have given it. A query that failed failed at
    /// each of them.
    pub fn steps(&self) -> impl Iterator<Item = (Timestamp, Vec<Answer>)> {
        self.instants.iter().enumerate().map(|(index, at)| (at, self.answers(index)))
    }

    fn answers(&self, index: usize) -> Vec<Answer> {
        let row = |series: &Series| Some((series.number, series.values.get(index).copied().flatten()?));
        let answer = |query: &Result<Vec<Series>, Unknown>| match query {
            Ok(series) => Ok(series.iter().filter_map(row).collect()),
            Err(unknown) => Err(unknown.clone()),
        };
        self.queries.iter().map(answer).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn instants(step_ms: u64) -> Instants {
        let first = at("2026-01-02T03:04:05.6Z");
        Instants::between(first, first + Duration::from_millis(step_ms * 4), Duration::from_millis(step_ms))
    }

    #[test]
    fn both_ends_are_asked_for() {
        let ten = Duration::from_secs(10);
        let (first, last) = (at("2026-01-02T03:04:00Z"), at("2026-01-02T03:04:20Z"));
        let all = Instants::between(first, last, ten);
        assert_eq!(all.iter().collect::<Vec<_>>(), [first, at("2026-01-02T03:04:10Z"), last]);
        assert_eq!((all.len(), all.first(), all.last()), (3, first, last));
        assert_eq!(Instants::between(first, at("2026-01-02T03:04:19Z"), ten).last(), at("2026-01-02T03:04:10Z"));
        assert_eq!(Instants::between(first, first, ten).len(), 1);
        assert!(Instants::between(last, first, ten).is_empty());
        let day = Instants::between(first, first + Duration::from_secs(86_400), ten);
        assert_eq!((day.first_chunk().len(), day.first_chunk().first()), (CHUNK_STEPS, first));
    }

    #[test]
    fn samples_find_their_instants_whatever_their_floats_look_like() {
        for step_ms in [100, 300, 1000, 1001, 10_000] {
            let instants = instants(step_ms);
            for (index, instant) in instants.iter().enumerate() {
                #[allow(clippy::cast_precision_loss)]
                let seconds = instant.as_millisecond() as f64 / 1000.0;
                assert_eq!(instants.index(seconds), Some(index));
                assert_eq!(instants.index(seconds + 0.0004), Some(index));
                assert_eq!(instants.index(seconds + 0.002), None, "{step_ms} ms");
            }
        }
    }

    #[test]
    fn a_series_is_absent_where_it_has_no_sample() {
        let instants = instants(1000);
        let start = 1_767_323_045.6;
        let laid_out = Series::new(7, vec![(start + 1.0, 2.0), (start + 3.0, f64::NAN)], instants).unwrap();
        assert_eq!(laid_out.values[..3], [None, Some(2.0), None]);
        assert!(laid_out.values[3].is_some_and(f64::is_nan));
        let range = Range::new(instants, vec![Ok(vec![laid_out]), Err(Unknown::NoSeries)]);
        let counts: Vec<usize> = range.steps().map(|(_, answers)| answers[0].as_ref().unwrap().len()).collect();
        assert_eq!(counts, [0, 1, 0, 1, 0]);
        assert!(range.steps().all(|(_, answers)| answers[1] == Err(Unknown::NoSeries)));
    }

    #[test]
    fn what_was_not_asked_for_is_an_error() {
        let start = 1_767_323_045.6;
        let refused = |samples: &[(f64, f64)]| Series::new(7, samples.to_vec(), instants(1000)).unwrap_err();
        for wrong in [start - 1.0, start + 0.5, start + 5.0, 0.0, -start, 1e300, -1e300] {
            assert!(refused(&[(start, 1.0), (wrong, 1.0)]).contains("not asked for"), "{wrong}");
        }
        assert!(refused(&[(start, 1.0), (start, 2.0)]).contains("twice"));
    }
}
