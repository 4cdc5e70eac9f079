//! The values in the cells of a table. Each error says what was written and what would be right.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::super::problems::shown;
use super::columns::LatencyUnit;

/// What tells seconds from milliseconds of Unix time: as seconds it is the year 5138.
const LATEST_SECONDS: f64 = 1e11;

/// A time in milliseconds of Unix time.
pub(super) fn time(text: &str) -> Result<i64, String> {
    let wrong = || format!("{} is no time; write 2014-03-07T03:41:00Z or seconds of Unix time", shown(text));
    if let Ok(seconds) = text.parse::<f64>() {
        if seconds.is_nan() || seconds.abs() >= LATEST_SECONDS {
            return Err(wrong());
        }
        // In reach: it is below 1e14.
        #[allow(clippy::cast_possible_truncation)]
        let millis = (seconds * 1000.0).round() as i64;
        return Timestamp::from_millisecond(millis).map(|_| millis).map_err(|_| wrong());
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time.as_millisecond());
    }
    let civil: DateTime = text.parse().map_err(|_| wrong())?;
    civil.to_zoned(TimeZone::UTC).map(|time| time.timestamp().as_millisecond()).map_err(|_| wrong())
}

/// How many of something. Not a whole number where somebody took a mean.
pub(super) fn count(text: &str) -> Result<f64, String> {
    let count: Option<f64> = text.parse().ok().filter(|count: &f64| count.is_finite() && *count >= 0.0);
    count.ok_or_else(|| format!("{} is no number of requests", shown(text)))
}

/// A latency in seconds.
pub(super) fn latency(text: &str, unit: LatencyUnit) -> Result<f64, String> {
    let (number, per_second) = match unit {
        LatencyUnit::Milliseconds => (Some(text), 1000.0),
        LatencyUnit::Seconds => (Some(text), 1.0),
        LatencyUnit::InCell => match text.strip_suffix("ms") {
            Some(number) => (Some(number), 1000.0),
            None => (text.strip_suffix('s'), 1.0),
        },
    };
    let value = number.and_then(|number| number.trim_end().parse().ok()).filter(|v: &f64| v.is_finite() && *v >= 0.0);
    value.map(|value| value / per_second).ok_or_else(|| match unit {
        LatencyUnit::InCell => format!("{} is no latency; write it with its unit, like 120ms or 1.2s", shown(text)),
        LatencyUnit::Milliseconds => format!("{} is no latency in milliseconds", shown(text)),
        LatencyUnit::Seconds => format!("{} is no latency in seconds", shown(text)),
    })
}

/// A share in percent.
pub(super) fn share(text: &str) -> Result<u8, String> {
    let share: Option<u8> =
        text.strip_suffix('%').unwrap_or(text).trim_end().parse().ok().filter(|share| *share <= 100);
    share.ok_or_else(|| format!("{} is no share; it is a whole number from 0 to 100", shown(text)))
}

/// Any number, and what is none too: `NaN` is what Prometheus would say as well.
pub(super) fn number(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| format!("{} is no number", shown(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_one_of_three_ways() {
        let cases = [
            ("2014-03-07T03:41:00Z", 1_394_163_660_000),
            ("2014-03-07T03:41:00.250Z", 1_394_163_660_250),
            ("2014-03-07T11:41:00+08:00", 1_394_163_660_000),
            ("2014-03-07 03:41:00", 1_394_163_660_000),
            ("1394163660", 1_394_163_660_000),
            ("1394163660.25", 1_394_163_660_250),
            ("-1", -1000),
        ];
        for (text, millis) in cases {
            assert_eq!(time(text), Ok(millis), "{text}");
        }
        for text in ["1394163660000", "NaN", "inf", "yesterday", "07.03.2014 03:41", "2014-13-07 03:41:00"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn other_cells_are_numbers() {
        assert_eq!(count("12.5"), Ok(12.5));
        assert!(["-1", "NaN", "inf", "many", "1,5"].iter().all(|text| count(text).is_err()));
        assert_eq!(latency("120ms", LatencyUnit::InCell), Ok(0.12));
        assert_eq!(latency("1.5 s", LatencyUnit::InCell), Ok(1.5));
        assert_eq!(latency("120", LatencyUnit::Milliseconds), Ok(0.12));
        assert_eq!(latency("0.12", LatencyUnit::Seconds), Ok(0.12));
        for (text, unit) in
            [("120", LatencyUnit::InCell), ("120ms", LatencyUnit::Milliseconds), ("-1s", LatencyUnit::InCell)]
        {
            assert!(latency(text, unit).is_err(), "{text}");
        }
        assert_eq!((share("25"), share("100%")), (Ok(25), Ok(100)));
        assert!(["101", "-1", "2.5", "all"].iter().all(|text| share(text).is_err()));
        assert_eq!(number("-1.5e3"), Ok(-1500.0));
        assert!(number("NaN").is_ok_and(f64::is_nan));
    }
}
