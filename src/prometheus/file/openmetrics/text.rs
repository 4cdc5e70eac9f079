//! The lines of a file.

use std::collections::HashMap;

use jiff::Timestamp;

use super::super::MAX_FILE_BYTES;
use super::super::problems::{Problem, Problems, shown};
use super::selector::{self, Dialect};
use super::series::{NAME, Series};

/// The longest line. Labels are names and addresses; much longer is another kind of file.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// Series that are kept. A mesh of many services has some thousands; each takes memory whether it is asked for or not.
const MAX_SERIES: usize = 100_000;

/// The last line of an OpenMetrics text.
const END: &str = "# EOF";

/// What tells seconds from milliseconds of Unix time: as seconds it is the year 5138, as milliseconds it is in 1973.
const LATEST_SECONDS: f64 = 1e11;

/// What is known of a series while its samples are being read.
#[derive(Default)]
struct Growing {
    labels: HashMap<String, String>,
    samples: Vec<Sample>,
    /// Whether a sample came after a later one.
    mixed_up: bool,
}

/// One sample, and its line.
#[derive(Clone, Copy)]
struct Sample {
    at: i64,
    line: u32,
    value: f64,
}

/// All series of a text.
#[derive(Default)]
struct Reader<'a> {
    /// Which series is meant by a text like `up{job="a"}`. The same series can be written in several ways.
    by_text: HashMap<&'a str, usize>,
    /// The same by the sorted labels.
    by_labels: HashMap<Vec<(String, String)>, usize>,
    series: Vec<Growing>,
    problems: Problems,
}

/// Reads the series of a text, or says everything that is wrong with it.
pub(super) fn parse(text: &str) -> Result<Vec<Series>, Vec<Problem>> {
    let mut reader = Reader::default();
    if text.len() > MAX_FILE_BYTES {
        reader.problems.add(1, format!("the file has more than {MAX_FILE_BYTES} bytes; split it, or leave out series"));
        return reader.problems.or(Vec::new());
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // Only OpenMetrics has that line, and with it times in seconds.
    let seconds = text.trim_end().lines().next_back().is_some_and(|line| line.trim() == END);
    let mut ended = false;
    for (index, line) in text.lines().enumerate() {
        let (number, line) = (index + 1, line.trim());
        if line.is_empty() {
            continue;
        }
        if ended {
            reader.problems.add(number, format!("stands after {END}"));
            break;
        }
        if line.starts_with('#') {
            ended = line == END;
            continue;
        }
        if let Err(error) = reader.line(line, number, seconds) {
            reader.problems.add(number, error);
        }
    }
    reader.finish()
}

impl<'a> Reader<'a> {
    fn line(&mut self, line: &'a str, number: usize, seconds: bool) -> Result<(), String> {
        if line.len() > MAX_LINE_BYTES {
            return Err(format!("is longer than {MAX_LINE_BYTES} bytes"));
        }
        let end = selector::end_of_series(line).ok_or_else(|| format!("{} has labels without an end", shown(line)))?;
        let (series, rest) = line.split_at(end);
        let mut words = rest.split_ascii_whitespace();
        let value = words.next().ok_or_else(|| format!("{} has no value", shown(line)))?;
        let value: f64 = value.parse().map_err(|_| format!("{} is no value", shown(value)))?;
        let at = match words.next() {
            Some(at) if !at.starts_with('#') => time(at, seconds)?,
            _ => return Err(format!("{} has no time; each sample of a file needs its own", shown(series))),
        };
        // An exemplar may follow.
        if let Some(more) = words.next().filter(|word| !word.starts_with('#')) {
            return Err(format!("{} stands after the time", shown(more)));
        }
        let series = self.series(series)?;
        // A file of the largest size has fewer lines than that.
        let line = u32::try_from(number).unwrap_or(u32::MAX);
        self.series[series].add(Sample { at, line, value });
        Ok(())
    }

    /// The series that a text means.
    fn series(&mut self, text: &'a str) -> Result<usize, String> {
        if let Some(&known) = self.by_text.get(text) {
            return Ok(known);
        }
        let parsed = selector::parse(text, Dialect::Sample).map_err(|e| format!("{} {e}", shown(text)))?;
        // A label without a value is none.
        let labels = parsed.matchers.into_iter().filter(|m| !m.value.is_empty()).map(|m| (m.label, m.value));
        let mut labels: Vec<(String, String)> = labels.chain([(NAME.to_owned(), parsed.metric)]).collect();
        labels.sort();
        let next = self.series.len();
        let index = *self.by_labels.entry(labels.clone()).or_insert(next);
        if index == next {
            if next == MAX_SERIES {
                return Err(format!("is one series more than {MAX_SERIES}; leave out those that no trigger asks for"));
            }
            self.series.push(Growing { labels: labels.into_iter().collect(), ..Growing::default() });
        }
        self.by_text.insert(text, index);
        Ok(index)
    }

    fn finish(mut self) -> Result<Vec<Series>, Vec<Problem>> {
        let mut all = Vec::with_capacity(self.series.len());
        for mut series in self.series {
            if series.mixed_up {
                series.samples.sort_by_key(|sample| (sample.at, sample.line));
            }
            for two in series.samples.windows(2).filter(|two| two[0].at == two[1].at) {
                if two[0].value.to_bits() != two[1].value.to_bits() {
                    let text = format!("says another value than line {} for the same series and time", two[0].line);
                    self.problems.add(two[1].line as usize, text);
                }
            }
            series.samples.dedup_by_key(|sample| sample.at);
            all.push(Series::new(series.labels, series.samples.into_iter().map(|s| (s.at, s.value))));
        }
        self.problems.or(all)
    }
}

impl Growing {
    fn add(&mut self, sample: Sample) {
        self.mixed_up |= self.samples.last().is_some_and(|last| last.at > sample.at);
        self.samples.push(sample);
    }
}

/// A time in milliseconds of Unix time.
fn time(text: &str, seconds: bool) -> Result<i64, String> {
    let number: f64 = text.parse().map_err(|_| format!("{} is no time", shown(text)))?;
    if !number.is_finite() {
        return Err(format!("{} is no time", shown(text)));
    }
    if seconds && number.abs() >= LATEST_SECONDS {
        return Err(format!("{text} is no time in seconds, which a file with {END} has (OpenMetrics)"));
    }
    if !seconds && (number.abs() < LATEST_SECONDS || number.fract() != 0.0) {
        return Err(format!(
            "{text} is no time in milliseconds, which a file without {END} has (Prometheus' text format); a file with times in \
             seconds is OpenMetrics and ends with the line {END}"
        ));
    }
    let millis = if seconds { number * 1000.0 } else { number };
    // It is in reach of both: the largest time of a file with seconds is 1e14 ms.
    #[allow(clippy::cast_possible_truncation)]
    let millis = millis.round() as i64;
    Timestamp::from_millisecond(millis).map(|_| millis).map_err(|_| format!("{text} is no time that a calendar has"))
}
