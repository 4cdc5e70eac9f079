//! Baselines as a person reads them: a line for each, in columns.

use jiff::Timestamp;

use crate::engine::{Recorded, RecordedBaselines, period_in_words, quantity_in_words};

use super::kept::Kept;
use super::record::{Row, period};

/// What was measured beside what is in use, and below that why some are refused.
pub fn of_rows(rows: &[Row<'_>], now: Timestamp) -> String {
    let head = ["GUARD", "TRIGGER", "IN USE", "NEW", "CHANGE", "RESTS ON", "PERIOD"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for row in rows {
        let unit = row.wanted.trigger.unit;
        let old = row.before.as_ref().and_then(RecordedBaselines::current).map_or("none".to_owned(), |current| {
            let value = quantity_in_words(current.measured.value, unit);
            format!("{value} (version {}, {} old)", current.version, period_in_words(current.age(now)))
        });
        let measured = row.measured.as_ref();
        let refused = if row.refused.is_empty() { "" } else { " REFUSED" };
        let new = measured.map_or("-".to_owned(), |m| quantity_in_words(m.value, unit));
        lines.push(vec![
            row.wanted.guard.name.clone(),
            row.wanted.trigger.name.clone(),
            old,
            format!("{new}{refused}"),
            row.change().map_or("-".to_owned(), change),
            measured.map_or("-".to_owned(), |m| format!("{:.0} {}", m.count, m.counted.as_str())),
            measured.map_or_else(|| period_in_words(row.wanted.over), period),
        ]);
    }
    let mut text = columns(&lines);
    for row in rows {
        for reason in &row.refused {
            text.push_str(&format!("REFUSED: {}: {reason}\n", row.wanted.name()));
        }
    }
    text
}

/// A change in percent, with its sign; nothing that rounds to nothing has one.
fn change(change: f64) -> String {
    let tenths = (change * 1000.0).round();
    if tenths == 0.0 { "0 %".to_owned() } else { format!("{:+.1} %", tenths / 10.0) }
}

/// What is recorded, the version in use first of each.
pub fn of_kept(kept: &Kept, now: Timestamp) -> String {
    let head = ["GUARD", "TRIGGER", "VERSION", "BASELINE", "AGE", "RESTS ON", "PERIOD", ""];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for ((guard, trigger), of) in kept {
        let line = |recorded: &Recorded, state: &str| {
            let m = &recorded.measured;
            vec![
                guard.clone(),
                trigger.clone(),
                recorded.version.to_string(),
                quantity_in_words(m.value, of.unit),
                period_in_words(recorded.age(now)),
                format!("{:.0} {}", m.count, m.counted.as_str()),
                period(m),
                state.to_owned(),
            ]
        };
        match of.recorded.current() {
            Some(current) if of.recorded.is_too_old(now) => lines.push(line(current, "in use, TOO OLD")),
            Some(current) => lines.push(line(current, "in use")),
            None => {
                let why = if of.recorded.versions.is_empty() {
                    "NOT RECORDED: ripcord baseline record"
                } else {
                    "NOT RECORDED of what is measured now: ripcord baseline record"
                };
                let mut none = vec![guard.clone(), trigger.clone()];
                none.resize(head.len() - 1, "-".to_owned());
                none.push(why.to_owned());
                lines.push(none);
            }
        }
        let in_use = |recorded: &&Recorded| Some(recorded.version) != of.recorded.in_use;
        lines.extend(of.recorded.versions.iter().filter(in_use).map(|older| line(older, "kept")));
    }
    columns(&lines)
}

/// Lines in columns as wide as their widest cell.
fn columns(lines: &[Vec<String>]) -> String {
    let count = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let cells: Vec<_> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_said_with_its_sign() {
        for (part, said) in [(0.25, "+25.0 %"), (-0.0312, "-3.1 %"), (-0.0001, "0 %"), (0.0, "0 %"), (3.0, "+300.0 %")]
        {
            assert_eq!(change(part), said);
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let line = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        assert_eq!(columns(&[line(["A", "BB", "C"]), line(["äöü", "b", ""])]), "A    BB  C\näöü  b\n");
    }
}
