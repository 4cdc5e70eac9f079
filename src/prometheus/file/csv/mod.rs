//! A table with a row per guard and instant.
//!
//! - `columns`: what the columns are, by the header
//! - `cell`: the values in them
//! - `table`: the rows of one guard, and sums over windows of them
//! - `reading`: what they say for a trigger

mod cell;
mod columns;
mod reading;
mod table;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::config;
use crate::engine::{Name, Reading};

use super::super::plan;
use super::problems::{Problems, shown};
use super::{MAX_FILE_BYTES, Problem};
use columns::{Column, Columns};
use reading::Said;
use table::{Row, Table};

/// Rows that are read; each takes some 100 bytes. Thirty days of 36 guards with a row every 15 s are 6.2 million.
const MAX_ROWS: usize = 10_000_000;

/// The rows of a table, by guard.
#[derive(Debug)]
pub struct Csv {
    tables: BTreeMap<String, Table>,
    /// The columns with a trigger's own value: where each is in a row.
    own: BTreeMap<String, usize>,
}

impl Csv {
    /// Reads a table for these guards. The first line names the columns:
    ///
    /// | column | a cell |
    /// |---|---|
    /// | `time` | RFC 3339, seconds of Unix time, or `2014-03-07 03:41:00`, which is UTC |
    /// | `guard` | whose row it is; not needed with a single guard |
    /// | `requests`, `failed`, `client_errors` | how many since the row before |
    /// | `latency` | the row's own quantile with its unit; or `latency_ms`, `latency_seconds` without |
    /// | `share` | the share of the traffic on the new path, in percent |
    /// | a trigger's name | the value of a trigger on `promql` or `throughput`, in its base unit |
    ///
    /// An empty cell is not known. The rows need not be in order. The error is everything that is wrong, with its lines.
    pub fn parse(text: &str, guards: &[config::Guard]) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::default();
        let read = read(text, guards, &mut problems);
        problems.or(read)
    }

    /// The times of the first and the last row; none where there is no row.
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let first = self.tables.values().filter_map(Table::first).min()?;
        let last = self.tables.values().filter_map(Table::last).max()?;
        Some((Timestamp::from_millisecond(first).ok()?, Timestamp::from_millisecond(last).ok()?))
    }

    /// The usual time from one row of a guard to the next. A window that is shorter is empty at most instants, and so unknown.
    pub fn distance(&self, guard: &str) -> Option<Duration> {
        self.tables.get(guard)?.distance()
    }

    /// What the table says at an instant, by guard and trigger. A trigger of which it says nothing is unknown with the reason.
    pub fn readings(&self, guards: &[config::Guard], at: Timestamp) -> BTreeMap<Name, BTreeMap<Name, Reading>> {
        let at = at.as_millisecond();
        let of = |guard: &config::Guard| {
            let table = self.tables.get(&guard.name);
            let of = |(name, signal): (&String, &config::Signal)| {
                let threshold = plan::threshold(guard, name);
                let said = Said { table, own: self.own.get(name).copied(), signal, threshold };
                (config::lasting(name), said.reading(at))
            };
            guard.signals.iter().map(of).collect()
        };
        guards.iter().map(|guard| (config::lasting(&guard.name), of(guard))).collect()
    }

    /// The share of a guard's traffic on the new path, in percent, as its newest row that names one says it; none where that is stale.
    pub fn share(&self, guard: &str, at: Timestamp) -> Option<u8> {
        self.tables.get(guard)?.share(at.as_millisecond()).ok()
    }
}

fn read(text: &str, guards: &[config::Guard], problems: &mut Problems) -> Csv {
    let mut csv = Csv { tables: BTreeMap::new(), own: BTreeMap::new() };
    if text.len() > MAX_FILE_BYTES {
        problems.add(1, format!("the file has more than {MAX_FILE_BYTES} bytes; split it, or leave out guards"));
        return csv;
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = ::csv::ReaderBuilder::new().flexible(true).trim(::csv::Trim::All).from_reader(text.as_bytes());
    let header = match reader.headers() {
        Ok(header) => header.clone(),
        Err(e) => {
            problems.add(1, format!("the header cannot be read: {e}"));
            return csv;
        }
    };
    let Some(columns) = Columns::read(&header, guards, problems) else { return csv };
    csv.own.clone_from(&columns.own);
    let names: BTreeSet<&str> = guards.iter().map(|guard| guard.name.as_str()).collect();
    let mut record = ::csv::StringRecord::new();
    let mut rows = 0;
    loop {
        match reader.read_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(e) => {
                problems.add(line(e.position()), format!("cannot be read: {e}"));
                break;
            }
        }
        let line = line(record.position());
        rows += 1;
        if rows > MAX_ROWS {
            problems.add(line, format!("the file has more than {MAX_ROWS} rows; split it, or leave out guards"));
            break;
        }
        if record.len() != columns.all.len() {
            problems.add(line, format!("has {} cells, and the header {}", record.len(), columns.all.len()));
            continue;
        }
        let guard = match columns.guard {
            Some(index) => &record[index],
            None => guards[0].name.as_str(),
        };
        if !names.contains(guard) {
            let known: Vec<&str> = names.iter().copied().collect();
            problems
                .add(line, format!("{} is no guard of the configuration; it has {}", shown(guard), known.join(", ")));
            continue;
        }
        let mut row = Row::new(line, columns.own.len());
        let mut fine = true;
        for ((column, name), cell) in columns.all.iter().zip(&header).zip(&record) {
            if let Err(error) = fill(&mut row, column, cell) {
                problems.add(line, format!("{name}: {error}"));
                fine = false;
            }
        }
        for (what, part) in [("failed", row.failed), ("client_errors", row.client_errors)] {
            if let (Some(all), Some(part)) = (row.requests, part)
                && part > all
            {
                problems.add(line, format!("{what}: {part} of {all} requests are more than all"));
                fine = false;
            }
        }
        if fine {
            csv.tables.entry(guard.to_owned()).or_insert_with(|| Table::new(columns.own.len())).add(row);
        }
    }
    for table in csv.tables.values_mut() {
        for (line, before) in table.finish() {
            problems.add(line, format!("has the same time as line {before}, for the same guard"));
        }
    }
    csv
}

/// Puts a cell where it belongs. An empty one says nothing.
fn fill(row: &mut Row, column: &Column, cell: &str) -> Result<(), String> {
    if cell.is_empty() {
        return if *column == Column::Time { Err("a row needs its time".to_owned()) } else { Ok(()) };
    }
    match column {
        Column::Time => row.at = cell::time(cell)?,
        Column::Guard => {}
        Column::Requests => row.requests = Some(cell::count(cell)?),
        Column::Failed => row.failed = Some(cell::count(cell)?),
        Column::ClientErrors => row.client_errors = Some(cell::count(cell)?),
        Column::Latency(unit) => row.latency = Some(cell::latency(cell, *unit)?),
        Column::Share => row.share = Some(cell::share(cell)?),
        Column::Own(index) => row.own[*index] = Some(cell::number(cell)?),
    }
    Ok(())
}

fn line(position: Option<&::csv::Position>) -> usize {
    position.map_or(1, |position| usize::try_from(position.line()).unwrap_or(usize::MAX))
}
