//! Times as a reader of a report wants them. All are UTC.

use std::time::Duration;

use jiff::Timestamp;

/// A time with its date: `2026-01-02 03:04:05`.
pub fn time(at: Timestamp) -> String {
    at.strftime("%F %T").to_string()
}

/// Seconds in two units at most: `3 h 10 m`, `2 d 4 h`, `45 s`.
pub fn seconds(seconds: f64) -> String {
    let whole = Duration::try_from_secs_f64(seconds.round()).unwrap_or_default().as_secs();
    let units = [("d", whole / 86_400), ("h", whole / 3600 % 24), ("m", whole / 60 % 60), ("s", whole % 60)];
    let Some(first) = units.iter().position(|(_, n)| *n > 0) else { return "0 s".to_owned() };
    let shown = units.iter().skip(first).take(2).filter(|(_, n)| *n > 0);
    shown.map(|(unit, n)| format!("{n} {unit}")).collect::<Vec<_>>().join(" ")
}

/// The kind of an unknown as words: `query_failed` is `query failed`.
pub fn reason(kind: &str) -> String {
    kind.replace('_', " ")
}

/// A number of things: `1 rollback`, `3 near misses`.
pub fn count(number: usize, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_has_two_units_at_most() {
        for (given, expected) in [
            (0.0, "0 s"),
            (45.0, "45 s"),
            (300.0, "5 m"),
            (315.4, "5 m 15 s"),
            (11_400.0, "3 h 10 m"),
            (86_400.0, "1 d"),
            (180_001.0, "2 d 2 h"),
        ] {
            assert_eq!(seconds(given), expected);
        }
    }
}
