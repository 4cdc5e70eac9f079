//! What the columns of a table are.

use std::collections::{BTreeMap, BTreeSet};

use ::csv::StringRecord;

use crate::config::{Guard, Signal, SignalKind};

use super::super::problems::{Problems, shown};

/// One column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Time,
    Guard,
    Requests,
    Failed,
    ClientErrors,
    Latency(LatencyUnit),
    Share,
    /// A trigger's own value: where it is in a row.
    Own(usize),
}

impl Column {
    /// Whether it says something of the requests of a row, and nothing without their number.
    fn is_of_requests(self) -> bool {
        matches!(self, Self::Failed | Self::ClientErrors | Self::Latency(_))
    }
}

/// The unit of a latency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LatencyUnit {
    /// Each cell says its own.
    InCell,
    Milliseconds,
    Seconds,
}

/// The columns whose names are fixed.
const FIXED: [(&str, Column); 9] = [
    ("time", Column::Time),
    ("guard", Column::Guard),
    ("requests", Column::Requests),
    ("failed", Column::Failed),
    ("client_errors", Column::ClientErrors),
    ("latency", Column::Latency(LatencyUnit::InCell)),
    ("latency_ms", Column::Latency(LatencyUnit::Milliseconds)),
    ("latency_seconds", Column::Latency(LatencyUnit::Seconds)),
    ("share", Column::Share),
];

/// The columns in their order.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) all: Vec<Column>,
    /// Where the guard's name is.
    pub(super) guard: Option<usize>,
    /// The triggers that have a column of their own, and where that is in a row.
    pub(super) own: BTreeMap<String, usize>,
}

impl Columns {
    /// Reads the header. None where something is wrong with it: then nothing below it can be understood.
    pub(super) fn read(header: &StringRecord, guards: &[Guard], problems: &mut Problems) -> Option<Self> {
        let mut wrong = Vec::new();
        let signals = || guards.iter().flat_map(|guard| &guard.signals);
        let own_names: BTreeSet<&str> =
            signals().filter(|(_, signal)| is_plain(signal)).map(|(name, _)| name.as_str()).collect();
        let mut columns = Self { all: Vec::new(), guard: None, own: BTreeMap::new() };
        for (index, name) in header.iter().enumerate() {
            let fixed = FIXED.iter().find(|(fixed, _)| *fixed == name).map(|(_, column)| *column);
            let next = columns.own.len();
            let column = match fixed {
                Some(column) => column,
                None if own_names.contains(name) => Column::Own(*columns.own.entry(name.to_owned()).or_insert(next)),
                None if signals().any(|(trigger, _)| trigger == name) => {
                    wrong.push(format!("the column {name} is no column: that trigger is made of the requests, with failed, client_errors or latency"));
                    continue;
                }
                None => {
                    let known: Vec<&str> =
                        FIXED.iter().map(|(fixed, _)| *fixed).chain(own_names.iter().copied()).collect();
                    wrong.push(format!("the column {} is not known; these are: {}", shown(name), known.join(", ")));
                    continue;
                }
            };
            let same = |known: &Column| match column {
                Column::Latency(_) => matches!(known, Column::Latency(_)),
                column => *known == column,
            };
            if columns.all.iter().any(same) {
                wrong.push(format!("the column {name} is there twice"));
            }
            if column == Column::Guard {
                columns.guard = Some(index);
            }
            columns.all.push(column);
        }
        let has = |wanted: &[Column]| columns.all.iter().any(|column| wanted.contains(column));
        if !has(&[Column::Time]) {
            wrong.push("the first line must name the columns, and one of them must be time".to_owned());
        }
        if !has(&[Column::Guard]) && guards.len() != 1 {
            wrong.push(format!("with {} guards there must be a column guard", guards.len()));
        }
        if columns.all.iter().any(|column| column.is_of_requests()) && !has(&[Column::Requests]) {
            wrong.push(
                "what requests were like says nothing without how many there were: there must be a column requests"
                    .to_owned(),
            );
        }
        if wrong.is_empty() {
            return Some(columns);
        }
        wrong.into_iter().for_each(|text| problems.add(1, text));
        None
    }
}

/// Whether a trigger measures a plain value, which a column can hold.
fn is_plain(signal: &Signal) -> bool {
    matches!(signal.kind, SignalKind::Promql(_) | SignalKind::Throughput(_))
}
