//! A report for a terminal: what would have happened first, then what nearly did, then the numbers.

use std::fmt::Write as _;

use crate::notify::single_line;

use super::compare::{Comparison, Figures, GuardComparison};
use super::report::{GuardReport, NearMiss, Replay, Report, TriggerReport, Trip, TripKind};
use super::words::{count, seconds, time};

/// Columns of a terminal that nothing is longer than.
const COLUMNS: usize = 100;

/// Near misses of a guard that are listed; the JSON has all.
const NEAR_MISSES: usize = 5;

/// Pages of the watchdog that are listed.
const WATCHDOG: usize = 5;

/// The report. Writing to a String cannot fail.
pub fn write(report: &Report) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{} to {} UTC, from {}", time(report.from), time(report.to), single_line(&report.source));
    if let Some(comparison) = &report.comparison {
        compared(&mut out, comparison, &report.replays);
    }
    for replay in &report.replays {
        replayed(&mut out, replay, report.replays.len() > 1);
    }
    out
}

fn replayed(out: &mut String, replay: &Replay, one_of_several: bool) {
    if one_of_several || !replay.overrides.is_empty() {
        let _ = writeln!(out, "\n{}", heading(replay, one_of_several));
    }
    for guard in &replay.guards {
        let _ = writeln!(out);
        paragraph(out, "", &sentence(guard));
        guard.trips.iter().for_each(|trip| tripped(out, trip));
        let near_misses = guard.near_misses();
        near_misses.iter().take(NEAR_MISSES).for_each(|(trigger, near)| nearly(out, trigger, near));
        if near_misses.len() > NEAR_MISSES {
            let more = near_misses.len() - NEAR_MISSES;
            let _ = writeln!(out, "  and {}", count(more, "more near miss", "more near misses"));
        }
        table(out, guard);
    }
    if !replay.watchdog.is_empty() {
        let _ = writeln!(out, "\nthe watchdog: {}", count(replay.watchdog.len(), "page", "pages"));
        for page in replay.watchdog.iter().take(WATCHDOG) {
            paragraph(out, "  ", &format!("{}  {}", time(page.time), single_line(&page.summary)));
        }
        if replay.watchdog.len() > WATCHDOG {
            let _ = writeln!(out, "  and {} more", replay.watchdog.len() - WATCHDOG);
        }
    }
}

/// What a replay is by: `A: as configured`.
pub fn heading(replay: &Replay, one_of_several: bool) -> String {
    let by = match replay.overrides.as_slice() {
        [] => "as configured".to_owned(),
        overrides => overrides.iter().map(|o| single_line(o)).collect::<Vec<_>>().join(", "),
    };
    if one_of_several { format!("{}: {by}", replay.name.to_uppercase()) } else { format!("With {by}") }
}

/// `terminal: 2 rollbacks, 3 h 10 m in breach, 12 m unknown (query failed)`.
pub fn sentence(guard: &GuardReport) -> String {
    let number = |kind| guard.of(kind).count();
    let mut parts = vec![match number(TripKind::Rollback) {
        0 => "no rollback".to_owned(),
        rollbacks => count(rollbacks, "rollback", "rollbacks"),
    }];
    match number(TripKind::AtTarget) {
        0 => {}
        n => parts.push(format!("{n} times nothing to roll back")),
    }
    match number(TripKind::Page) {
        0 => {}
        pages => parts.push(count(pages, "page", "pages")),
    }
    match guard.triggers.iter().map(|t| t.near_misses.len()).sum() {
        0 => {}
        near => parts.push(count(near, "near miss", "near misses")),
    }
    if guard.breach_seconds > 0.0 {
        parts.push(format!("{} in breach", seconds(guard.breach_seconds)));
    } else {
        parts.push("never in breach".to_owned());
    }
    if guard.unknown_seconds > 0.0 {
        let mostly = guard.mostly_unknown.as_ref().map_or_else(String::new, |why| format!(" (mostly {why})"));
        parts.push(format!("{} unknown{mostly}", seconds(guard.unknown_seconds)));
    }
    format!("{}: {}", guard.guard, parts.join(", "))
}

/// What would have been done: `roll back 25 % -> 0 %`.
pub fn deed(trip: &Trip) -> String {
    let from = trip.from_percentage.map_or_else(|| "unknown share".to_owned(), |share| format!("{share} %"));
    match (trip.kind, trip.to_percentage) {
        (TripKind::Rollback, Some(to)) => format!("roll back {from} -> {to} %"),
        (TripKind::Rollback, None) => "roll back".to_owned(),
        (TripKind::AtTarget, _) => "page: nothing to roll back".to_owned(),
        (TripKind::Page, _) => "page".to_owned(),
    }
}

/// How a trip came and went: `5 m after the first breach; the trouble lasted 12 m`.
pub fn course(trip: &Trip) -> String {
    let lasted = trip
        .lasted_seconds
        .map_or_else(|| "not over by the end".to_owned(), |lasted| format!("the trouble lasted {}", seconds(lasted)));
    let before = if trip.before_from { "before the beginning; " } else { "" };
    format!("{before}{} after the first breach; {lasted}", seconds(trip.time_to_trip_seconds))
}

fn tripped(out: &mut String, trip: &Trip) {
    let _ = writeln!(out, "  {}  {}", time(trip.time), deed(trip));
    paragraph(out, "      ", &single_line(&trip.summary));
    paragraph(out, "      ", &course(trip));
    for page in trip.pages.iter().filter(|page| page.time > trip.time && Some(page.time) != trip.closed) {
        paragraph(out, "      ", &format!("{} {}", time(page.time), single_line(&page.summary)));
    }
}

/// `error_rate held 4 m 10 s of 5 m and did not fire`.
pub fn near_miss(trigger: &TriggerReport, near: &NearMiss) -> String {
    format!(
        "{} held {} of {} and did not fire (worst {})",
        trigger.trigger,
        seconds(near.held_seconds),
        seconds(near.for_seconds),
        near.worst_text
    )
}

fn nearly(out: &mut String, trigger: &TriggerReport, near: &NearMiss) {
    paragraph(out, "  ", &format!("{}  near miss: {}", time(near.from), near_miss(trigger, near)));
    for why in &near.why_not {
        paragraph(out, "      ", &single_line(why));
    }
}

fn table(out: &mut String, guard: &GuardReport) {
    let width = guard.triggers.iter().map(|t| t.trigger.chars().count()).max().unwrap_or(0).max("trigger".len());
    let _ = writeln!(
        out,
        "  {:width$}  {:>11}  {:>11}  {:>11}  {:>11}  {:>12}",
        "trigger", "breach", "band", "unknown", "longest", "worst"
    );
    for trigger in &guard.triggers {
        let none_or = |value: f64| if value > 0.0 { seconds(value) } else { "-".to_owned() };
        let _ = writeln!(
            out,
            "  {:width$}  {:>11}  {:>11}  {:>11}  {:>11}  {:>12}",
            trigger.trigger,
            none_or(trigger.time.breach_seconds),
            none_or(trigger.time.band_seconds),
            none_or(trigger.time.unknown_seconds),
            none_or(trigger.longest_hold_seconds),
            trigger.worst_text.as_deref().unwrap_or("-"),
        );
    }
}

/// One figure in words.
type InWords = fn(&Figures) -> String;

/// The rows of a comparison: what, by A, by B.
pub fn rows(guard: &GuardComparison) -> Vec<(&'static str, String, String)> {
    let cell = |figures: Option<&Figures>, what: InWords| figures.map_or("-".to_owned(), what);
    let rows: [(&'static str, InWords); 7] = [
        ("rollbacks", |f| f.rollbacks.to_string()),
        ("pages besides", |f| f.pages.to_string()),
        ("near misses", |f| f.near_misses.to_string()),
        ("time to trip, mean", |f| f.mean_time_to_trip_seconds.map_or("-".to_owned(), seconds)),
        ("longest hold", |f| seconds(f.longest_hold_seconds)),
        ("time in breach", |f| seconds(f.breach_seconds)),
        ("time unknown", |f| seconds(f.unknown_seconds)),
    ];
    rows.into_iter().map(|(what, of)| (what, cell(guard.a.as_ref(), of), cell(guard.b.as_ref(), of))).collect()
}

/// What differs in a guard's trips, a line each.
pub fn differences(guard: &GuardComparison) -> Vec<String> {
    let both = guard.both.iter().filter(|pair| pair.a != pair.b).map(|pair| {
        let (first, by) =
            if pair.b_later_seconds < 0.0 { ("B", -pair.b_later_seconds) } else { ("A", pair.b_later_seconds) };
        format!("{first} trips {} earlier: A at {}, B at {}", seconds(by), time(pair.a), time(pair.b))
    });
    let only = |which: &'static str, trips: &[super::compare::One]| {
        trips.iter().map(|trip| format!("only {which}: {}  {}", time(trip.time), trip.summary)).collect::<Vec<_>>()
    };
    both.chain(only("A", &guard.only_a)).chain(only("B", &guard.only_b)).collect()
}

fn compared(out: &mut String, comparison: &Comparison, replays: &[Replay]) {
    for replay in replays {
        let _ = writeln!(out, "{}", heading(replay, true));
    }
    for guard in &comparison.guards {
        let _ = writeln!(out, "\n{:24}{:>14}{:>14}", guard.guard, "A", "B");
        for (what, a, b) in rows(guard) {
            let _ = writeln!(out, "  {what:22}{a:>14}{b:>14}");
        }
        for line in differences(guard) {
            paragraph(out, "  ", &single_line(&line));
        }
    }
}

/// A text that is broken between words, each line with this before it.
fn paragraph(out: &mut String, before: &str, text: &str) {
    let (mut line, mut inside) = (before.to_owned(), false);
    for word in text.split(' ') {
        if inside && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            let _ = writeln!(out, "{line}");
            line = format!("{before}  ");
            inside = false;
        }
        if inside {
            line.push(' ');
        }
        line.push_str(word);
        inside = true;
    }
    let _ = writeln!(out, "{}", line.trim_end());
}
