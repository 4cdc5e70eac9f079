//! Times and shares as the page says them. All times are UTC.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};

use crate::engine::{Incident, duration_in_words, period_in_words};

/// A time, with its day where that is another.
pub(super) fn time(at: Timestamp, now: Timestamp) -> Markup {
    let day = |time: Timestamp| TimeZone::UTC.to_datetime(time).date();
    let format = if day(at) == day(now) { "%H:%M:%S" } else { "%F %H:%M:%S" };
    html! { time datetime=(at) { (at.strftime(format)) } }
}

/// How long ago: `12s ago`.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> String {
    match between(at, now) {
        time if time < Duration::from_secs(1) => "just now".to_owned(),
        time => format!("{} ago", length(Duration::from_secs(time.as_secs()))),
    }
}

/// A length: `12s`, `3m10s`, `2d4h`.
pub(super) fn length(time: Duration) -> String {
    if time >= Duration::from_secs(24 * 3600) { period_in_words(time) } else { duration_in_words(time) }
}

/// Seconds as a length.
pub(super) fn seconds(seconds: f64) -> String {
    length(Duration::try_from_secs_f64(seconds.floor()).unwrap_or_default())
}

/// The time from one to the other; nothing when it runs backwards.
pub(super) fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// A text in which no number is parted from its percent sign, and no share from the one that it goes to, at the end of a line.
pub(super) fn tied(text: &str) -> String {
    text.replace(" %", "\u{a0}%").replace(" → ", "\u{a0}→\u{a0}")
}

/// The move of an incident: `25 % → 0 %`.
pub(super) fn movement(incident: &Incident) -> String {
    match incident.from_percentage {
        Some(from) => format!("{from} % → {} %", incident.to_percentage),
        None => format!("to {} % (from a share that was not known)", incident.to_percentage),
    }
}

/// A number of things: `1 guard`, `4 guards`.
pub(super) fn count(number: usize, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

/// The first few of a list, and how many more there are.
pub(super) fn some(names: &[&str], most: usize) -> String {
    let mut text = names.iter().take(most).copied().collect::<Vec<_>>().join(", ");
    if names.len() > most {
        text.push_str(&format!(" and {} more", names.len() - most));
    }
    text
}
