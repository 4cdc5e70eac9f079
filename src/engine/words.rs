//! How numbers are said in pages, logs and the status.

use std::time::Duration;

use jiff::Timestamp;

use super::settings::{BaselineSource, Measure, TriggerSettings, Unit};

/// The characters of a text from outside, an error of the API server say, that are kept and told: what went wrong stands at its beginning,
/// and neither the journal nor a page has room for a dump.
const LONGEST_TEXT: usize = 2000;

/// A text from outside, cut where it is too long.
pub fn bounded(text: &str) -> String {
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text.to_owned(),
    }
}

/// A part of one in percent: `3.1 %`.
pub fn percent(ratio: f64) -> String {
    let percent = ratio * 100.0;
    // An availability is told apart by what it lacks to 100 %.
    if (99.0..100.0).contains(&percent) {
        return format!("{} %", trimmed(format!("{percent:.3}")));
    }
    format!("{} %", rounded(percent))
}

/// A ratio with the counts that it comes from: `3.1 % (31 of 1000 failed)`.
pub fn counted(ratio: String, failed: f64, total: f64) -> String {
    format!("{ratio} ({failed:.0} of {total:.0} requests failed)")
}

/// A number in its unit: `195 ms`, `131 Mi`, `12.5/s`.
pub fn quantity(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Ratio => percent(value),
        Unit::Seconds if value.abs() < 1.0 => format!("{} ms", rounded(value * 1000.0)),
        Unit::Seconds => format!("{} s", rounded(value)),
        Unit::Bytes => bytes(value),
        Unit::PerSecond => format!("{}/s", rounded(value)),
        Unit::None => rounded(value),
    }
}

/// A degradation with both numbers behind it: `+62 % (195 ms, baseline 120 ms)`.
pub fn degradation(worse: f64, now: f64, baseline: &str, unit: Unit) -> String {
    format!("{} ({}, baseline {baseline})", signed_percent(worse), quantity(now, unit))
}

/// A baseline with where it comes from, as far as a page has room for it: `120 ms recorded 2026-01-02`, `120 ms a day ago`.
pub fn baseline(value: String, settings: &TriggerSettings, recorded_at: Option<Timestamp>) -> String {
    match (&settings.baseline, recorded_at) {
        (Some(BaselineSource::Recorded { .. }), Some(recorded_at)) => format!("{value} recorded {}", day(recorded_at)),
        (Some(BaselineSource::Offset(offset)), _) => format!("{value} {}", ago(*offset)),
        (Some(BaselineSource::Control(series)), _) => format!("{value} of {series} at the same time"),
        _ => value,
    }
}

/// The day of an instant, in UTC: `2026-01-02`.
pub fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

/// How long ago: `a day ago`, `7d ago`.
pub fn ago(time: Duration) -> String {
    if time == Duration::from_secs(24 * 3600) { "a day ago".to_owned() } else { format!("{} ago", period(time)) }
}

/// A long time, as a configuration writes it: `7d`, `41d3h`. Of more than a day the minutes are left out.
pub fn period(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours) = (seconds / 86400, seconds % 86400 / 3600);
    match (days, hours) {
        (0, _) => span(time),
        (_, 0) => format!("{days}d"),
        _ => format!("{days}d{hours}h"),
    }
}

/// A burn rate with what it comes from: `20x over 1h (2 % of 12000 requests failed)`.
pub fn burn(rate: f64, ratio: f64, failed: f64, total: f64, window: Duration) -> String {
    let over = format!("{} over {}", multiple(rate), span(window));
    format!("{over} ({}, {failed:.0} of {total:.0} requests failed)", percent(ratio))
}

/// A rise of a ratio with both numbers behind it: `+12 points (14 % of 900 requests, baseline 2 %)`.
pub fn rise(rise: f64, ratio: f64, total: f64, base: &str) -> String {
    format!("{} ({} of {total:.0} requests, baseline {base})", points(rise), percent(ratio))
}

/// A difference of two ratios in percentage points: `+12 points`.
fn points(difference: f64) -> String {
    let sign = if difference < 0.0 { "-" } else { "+" };
    format!("{sign}{} points", rounded(difference.abs() * 100.0))
}

/// A multiple of the error budget: `14.4x`.
fn multiple(rate: f64) -> String {
    format!("{}x", rounded(rate))
}

/// A window, without the parts that are zero: `5m`, `1h`, `1h30m`.
pub fn span(window: Duration) -> String {
    let text = duration(window);
    let text = text.strip_suffix("m0s").map_or(text.clone(), |minutes| format!("{minutes}m"));
    text.strip_suffix("h0m").map_or(text.clone(), |hours| format!("{hours}h"))
}

/// A growth in percent: `+62 %`.
pub fn signed_percent(ratio: f64) -> String {
    let sign = if ratio < 0.0 { "-" } else { "+" };
    format!("{sign}{}", percent(ratio.abs()))
}

/// A trigger's threshold in words: `1 %`, `+50 %`.
pub fn threshold(settings: &TriggerSettings, threshold: f64) -> String {
    match settings.measure {
        Measure::FailureRatio | Measure::Availability => percent(threshold),
        Measure::FailureRise => points(threshold),
        Measure::BurnRate { .. } => multiple(threshold),
        Measure::QuantileDegradation { .. } | Measure::ValueDegradation => signed_percent(threshold),
        Measure::ValueDrop => signed_percent(-threshold),
        Measure::Quantile { .. } | Measure::Value => quantity(threshold, settings.unit),
    }
}

impl TriggerSettings {
    /// A number in the unit of the trigger's levels, in words: `3.1 %`, `+62 %`, `195 ms`.
    pub fn in_words(&self, value: f64) -> String {
        threshold(self, value)
    }
}

/// A trigger's name as words: `error_rate` is `error rate`; a latency says its quantile.
pub fn label(settings: &TriggerSettings) -> String {
    let name = settings.name.replace('_', " ");
    match settings.measure {
        Measure::Quantile { q } | Measure::QuantileDegradation { q } => format!("{name} P{}", rounded(q * 100.0)),
        _ => name,
    }
}

/// A time as `5m0s`, the way Go and Prometheus users read it.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds == 0 && duration.subsec_millis() > 0 {
        return format!("{}ms", duration.subsec_millis());
    }
    let (hours, minutes, rest) = (seconds / 3600, seconds % 3600 / 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m{rest}s"),
        _ => format!("{hours}h{minutes}m{rest}s"),
    }
}

fn bytes(value: f64) -> String {
    const UNITS: [(&str, f64); 3] = [("Gi", 1024.0 * 1024.0 * 1024.0), ("Mi", 1024.0 * 1024.0), ("Ki", 1024.0)];
    for (name, size) in UNITS {
        if value.abs() >= size {
            return format!("{} {name}", rounded(value / size));
        }
    }
    format!("{} B", rounded(value))
}

/// Three significant figures, without trailing zeros.
pub fn rounded(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        v if v >= 0.1 => 3,
        _ => 4,
    };
    trimmed(format!("{value:.digits$}"))
}

fn trimmed(text: String) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_from_outside_has_its_length() {
        assert_eq!(bounded("refused"), "refused");
        let fits = "ä".repeat(LONGEST_TEXT);
        assert_eq!(bounded(&fits), fits);
        assert_eq!(bounded(&format!("{fits}x")), format!("{fits} …"));
    }

    #[test]
    fn numbers_are_said_the_way_people_say_them() {
        assert_eq!(percent(0.031), "3.1 %");
        assert_eq!(percent(0.01), "1 %");
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(percent(0.0005), "0.05 %");
        assert_eq!(percent(0.9972), "99.72 %");
        assert_eq!(quantity(0.195, Unit::Seconds), "195 ms");
        assert_eq!(quantity(1.5, Unit::Seconds), "1.5 s");
        assert_eq!(quantity(134_217_728.0, Unit::Bytes), "128 Mi");
        assert_eq!(degradation(0.62, 0.1944, "120 ms", Unit::Seconds), "+62 % (194 ms, baseline 120 ms)");
        assert_eq!(duration(Duration::from_secs(300)), "5m0s");
        assert_eq!(duration(Duration::from_secs(5)), "5s");
        assert_eq!(duration(Duration::from_millis(250)), "250ms");
        assert_eq!(duration(Duration::from_secs(3661)), "1h1m1s");
    }
}
