//! The rows of one guard.

use std::time::Duration;

use crate::engine::Unknown;

use super::super::millis;

/// How old a plain value may be, where rows come often: the same two minutes as of a server.
const MAX_VALUE_AGE: Duration = Duration::from_secs(120);

/// Where rows come seldom, how many of the usual distances between them: one may be missing, and another be late.
const MAX_VALUE_AGE_ROWS: i64 = 3;

/// One row, as it is read.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) at: i64,
    pub(super) line: usize,
    pub(super) requests: Option<f64>,
    pub(super) failed: Option<f64>,
    pub(super) client_errors: Option<f64>,
    pub(super) latency: Option<f64>,
    pub(super) share: Option<u8>,
    pub(super) own: Vec<Option<f64>>,
}

/// The requests of a row.
#[derive(Debug, Clone, Copy)]
struct Counted {
    at: i64,
    /// The time since the row before, over which they were counted; none of the first row.
    over: Option<i64>,
    requests: f64,
    failed: Option<f64>,
    client_errors: Option<f64>,
    latency: Option<f64>,
}

/// All rows of a guard: what was counted, and each plain value, by rising time.
#[derive(Debug)]
pub(super) struct Table {
    times: Vec<(i64, usize)>,
    counted: Vec<Counted>,
    shares: Vec<(i64, u8)>,
    own: Vec<Vec<(i64, f64)>>,
    /// The usual time from one row to the next: the median.
    distance: i64,
}

impl Row {
    pub(super) fn new(line: usize, own: usize) -> Self {
        let own = vec![None; own];
        Self { at: 0, line, requests: None, failed: None, client_errors: None, latency: None, share: None, own }
    }
}

impl Table {
    pub(super) fn new(own: usize) -> Self {
        let own = vec![Vec::new(); own];
        Self { times: Vec::new(), counted: Vec::new(), shares: Vec::new(), own, distance: 0 }
    }

    pub(super) fn add(&mut self, row: Row) {
        let at = row.at;
        self.times.push((at, row.line));
        self.shares.extend(row.share.map(|share| (at, share)));
        for (column, value) in self.own.iter_mut().zip(&row.own) {
            column.extend(value.map(|value| (at, value)));
        }
        let Row { failed, client_errors, latency, .. } = row;
        let counted = row.requests.map(|requests| Counted { at, over: None, requests, failed, client_errors, latency });
        self.counted.extend(counted);
    }

    /// Sorts the rows, when all are there. Returns the lines of those that have the time of another, with the line of that one.
    pub(super) fn finish(&mut self) -> Vec<(usize, usize)> {
        self.times.sort_unstable();
        self.counted.sort_by_key(|row| row.at);
        self.shares.sort_by_key(|(at, _)| *at);
        self.own.iter_mut().for_each(|column| column.sort_by_key(|(at, _)| *at));
        for row in &mut self.counted {
            let before = self.times.partition_point(|(at, _)| *at < row.at).checked_sub(1);
            row.over = before.map(|before| row.at - self.times[before].0);
        }
        let mut distances: Vec<i64> = self.times.windows(2).map(|two| two[1].0 - two[0].0).collect();
        distances.sort_unstable();
        self.distance = distances.get(distances.len() / 2).copied().unwrap_or(0);
        self.times.windows(2).filter(|two| two[0].0 == two[1].0).map(|two| (two[1].1, two[0].1)).collect()
    }

    pub(super) fn first(&self) -> Option<i64> {
        self.times.first().map(|(at, _)| *at)
    }

    pub(super) fn last(&self) -> Option<i64> {
        self.times.last().map(|(at, _)| *at)
    }

    /// The usual time from one row to the next; none of a single row.
    pub(super) fn distance(&self) -> Option<Duration> {
        (self.times.len() > 1).then(|| Duration::from_millis(self.distance.unsigned_abs()))
    }

    /// The rows whose times lie in the window that ends at `at`: after its beginning, so that two windows that meet count no row twice.
    fn window(&self, at: i64, window: i64) -> &[Counted] {
        let from = self.counted.partition_point(|row| row.at <= at.saturating_sub(window));
        let to = self.counted.partition_point(|row| row.at <= at);
        self.counted.get(from..to).unwrap_or_default()
    }

    /// Failed and all requests of a window, of the rows that know both.
    pub(super) fn failed(&self, at: i64, window: i64) -> Result<(f64, f64), Unknown> {
        self.part(at, window, |row| row.failed)
    }

    /// The same of what was answered as the client's fault.
    pub(super) fn client_errors(&self, at: i64, window: i64) -> Result<(f64, f64), Unknown> {
        self.part(at, window, |row| row.client_errors)
    }

    fn part(&self, at: i64, window: i64, of: impl Fn(&Counted) -> Option<f64>) -> Result<(f64, f64), Unknown> {
        let rows = self.window(at, window).iter().filter_map(|row| Some((of(row)?, row.requests)));
        rows.reduce(|(part, all), (p, a)| (part + p, all + a)).ok_or(Unknown::NoSeries)
    }

    /// The mean of the rows' latencies by their requests, and how many these are, of the rows that know both. Of rows without any request
    /// it is no number.
    pub(super) fn latency(&self, at: i64, window: i64) -> Result<(f64, f64), Unknown> {
        let rows = self.window(at, window).iter().filter_map(|row| Some((row.latency? * row.requests, row.requests)));
        let (weighted, all) = rows.reduce(|(sum, all), (s, a)| (sum + s, all + a)).ok_or(Unknown::NoSeries)?;
        Ok((weighted / all, all))
    }

    /// Requests per second over a window: those of its rows by the time over which they were counted.
    pub(super) fn rate(&self, at: i64, window: i64) -> Result<f64, Unknown> {
        let rows = self.window(at, window).iter().filter_map(|row| Some((row.requests, row.over?)));
        let (all, millis) = rows.reduce(|(all, over), (a, o)| (all + a, over + o)).ok_or(Unknown::NoSeries)?;
        #[allow(clippy::cast_precision_loss)]
        let seconds = millis as f64 / 1000.0;
        Ok(all / seconds)
    }

    /// The newest value of a column.
    pub(super) fn value(&self, column: usize, at: i64) -> Result<f64, Unknown> {
        self.newest(&self.own[column], at)
    }

    /// The newest share.
    pub(super) fn share(&self, at: i64) -> Result<u8, Unknown> {
        self.newest(&self.shares, at)
    }

    fn newest<T: Copy>(&self, column: &[(i64, T)], at: i64) -> Result<T, Unknown> {
        let next = column.partition_point(|(time, _)| *time <= at);
        let (time, value) = next.checked_sub(1).map(|index| column[index]).ok_or(Unknown::NoSeries)?;
        let age = at.saturating_sub(time);
        if age > millis(MAX_VALUE_AGE).max(self.distance.saturating_mul(MAX_VALUE_AGE_ROWS)) {
            return Err(Unknown::Stale(Duration::from_millis(age.unsigned_abs())));
        }
        Ok(value)
    }
}
