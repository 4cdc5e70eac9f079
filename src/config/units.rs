//! Units: durations, ratios, latencies, rates and other quantities, from text to numbers.
//!
//! Each error says what was written and what would be right, and reads on after the path: `1.5 is no duration; …`.

use std::fmt;
use std::time::Duration;

use crate::engine::Unit;

use super::defaults::MAX_DURATION;

/// A number or a text, as written; its unit depends on where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar {
    /// A bare number.
    Number(f64),
    /// Anything else.
    Text(String),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(n) => write!(f, "{n}"),
            Self::Text(t) => f.write_str(&shown(t)),
        }
    }
}

/// The longest text that a message repeats as it was written: any value with a unit is shorter.
const MAX_SHOWN: usize = 60;

/// A text as a message repeats it: short and plain ones as written, others quoted and cut, so that a message stays one
/// line.
pub(super) fn shown(text: &str) -> String {
    let plain = !text.is_empty() && text.chars().all(|c| !c.is_control());
    match text.char_indices().nth(MAX_SHOWN) {
        None if plain => text.to_owned(),
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

/// The units of a duration in the order they are written in, with their milliseconds.
const DURATION_UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// The suffixes of Kubernetes quantities that count bytes, with their factors.
const BYTE_UNITS: [(&str, f64); 8] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
];

/// A duration as Prometheus writes them: `30s`, `5m`, `1d`, `1h30m`, `250ms`. The larger unit comes first, each one
/// once.
pub fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("{} is no duration; write it with a unit, like 90s or 5m", shown(text));
    let too_long = || format!("{} is longer than a year", shown(text));
    if text == "0" || text.is_empty() {
        return Err(bad());
    }
    let mut rest = text;
    let mut units = DURATION_UNITS.iter();
    let mut millis: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let number = &rest[..digits];
        let after = &rest[digits..];
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (_, factor) = units.find(|(unit, _)| *unit == &after[..letters]).ok_or_else(bad)?;
        if number.is_empty() {
            return Err(bad());
        }
        let number: u64 = number.parse().map_err(|_| too_long())?;
        millis = number.checked_mul(*factor).and_then(|n| millis.checked_add(n)).ok_or_else(too_long)?;
        rest = &after[letters..];
    }
    let duration = Duration::from_millis(millis);
    if duration > MAX_DURATION { Err(too_long()) } else { Ok(duration) }
}

/// A duration in words, the way it is written in a configuration.
pub(super) fn say(duration: Duration) -> String {
    let mut millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    for (unit, factor) in &DURATION_UNITS[2..] {
        if millis >= *factor {
            out.push_str(&format!("{}{unit}", millis / factor));
            millis %= factor;
        }
    }
    out
}

/// A ratio: `1%` or `0.01`. Not bounded.
pub(super) fn ratio(written: &Scalar) -> Result<f64, String> {
    let parsed = match written {
        Scalar::Number(n) => Some(*n),
        Scalar::Text(text) => match text.strip_suffix('%') {
            Some(percent) => number(percent.trim_end()).map(percent_to_ratio),
            None => number(text),
        },
    };
    parsed.ok_or_else(|| format!("{written} is no ratio; write it like 1% or 0.01"))
}

/// A share of one: a ratio above 0 and below 1.
pub(super) fn share(written: &Scalar) -> Result<f64, String> {
    let value = ratio(written)?;
    if value > 0.0 && value < 1.0 {
        Ok(value)
    } else {
        Err(format!("{written} is out of range; it must be above 0% and below 100%, like 1% or 0.01"))
    }
}

/// A growth this large, written without a percent sign, is a percentage whose sign was forgotten.
const SUSPICIOUS_GROWTH: f64 = 10.0;

/// A growth over a baseline: a ratio above 0.
pub(super) fn growth(written: &Scalar) -> Result<f64, String> {
    let value = ratio(written)?;
    if matches!(written, Scalar::Number(n) if *n >= SUSPICIOUS_GROWTH) {
        return Err(format!("{written} would be {} %; write {written}% or {}", value * 100.0, value / 100.0));
    }
    if value > 0.0 {
        Ok(value)
    } else {
        Err(format!("{written} is out of range; it must be above 0%, like 50% or 0.5"))
    }
}

/// A latency in seconds: `120ms`, `1.2s`, or a duration.
pub(super) fn latency(written: &Scalar) -> Result<f64, String> {
    let parsed = match written {
        Scalar::Number(_) => None,
        Scalar::Text(text) => seconds(text).or_else(|| duration(text).ok().map(|d| d.as_secs_f64())),
    };
    match parsed {
        Some(value) if value > 0.0 => Ok(value),
        Some(_) => Err(format!("{written} is out of range; a latency must be above 0")),
        None => Err(format!("{written} is no latency; write it with a unit, like 120ms or 1.2s")),
    }
}

/// A rate in requests per second: `20/s`, or a bare number.
pub(super) fn rate(written: &Scalar) -> Result<f64, String> {
    let parsed = match written {
        Scalar::Number(n) => Some(*n),
        Scalar::Text(text) => number(text.strip_suffix("/s").unwrap_or(text).trim_end()),
    };
    match parsed {
        Some(value) if value > 0.0 => Ok(value),
        Some(_) => Err(format!("{written} is out of range; a rate must be above 0")),
        None => Err(format!("{written} is no rate; write requests per second, like 20/s")),
    }
}

/// What a PromQL query is compared with: a bare number, or one with a unit. `m` is a thousandth, as in Kubernetes
/// (`200m` of a core), never minutes.
pub(super) fn quantity(written: &Scalar) -> Result<(f64, Unit), String> {
    let text = match written {
        Scalar::Number(n) => return Ok((*n, Unit::None)),
        Scalar::Text(text) => text.trim(),
    };
    let parsed = number(text)
        .map(|n| (n, Unit::None))
        .or_else(|| Some((percent_to_ratio(number(text.strip_suffix('%')?)?), Unit::Ratio)))
        .or_else(|| Some((number(text.strip_suffix("/s")?)?, Unit::PerSecond)))
        .or_else(|| Some((seconds(text)?, Unit::Seconds)))
        .or_else(|| Some((number(text.strip_suffix('m')?)? / 1000.0, Unit::None)))
        .or_else(|| {
            let (unit, factor) = BYTE_UNITS.iter().find(|(unit, _)| text.ends_with(unit))?;
            Some((number(text.strip_suffix(unit)?)? * factor, Unit::Bytes))
        })
        .or_else(|| Some((duration(text).ok()?.as_secs_f64(), Unit::Seconds)));
    parsed.filter(|(value, _)| value.is_finite()).ok_or_else(|| {
        format!("{written} is no quantity; write a number, or one with a unit: 128Mi, 200m, 150ms, 20/s, 80%, 14d")
    })
}

/// `120ms` or `1.2s` in seconds.
fn seconds(text: &str) -> Option<f64> {
    match text.strip_suffix("ms") {
        Some(millis) => number(millis).map(|n| n / 1000.0),
        None => number(text.strip_suffix('s')?),
    }
}

/// A plain decimal number. What `f64` would take besides (`inf`, `nan`) is none.
pub(super) fn number(text: &str) -> Option<f64> {
    let decimal = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
    if decimal { text.parse::<f64>().ok().filter(|n| n.is_finite()) } else { None }
}

/// Percent to a ratio. Division keeps what was written: `0.5 / 100` is nearer to 0.005 than `0.5 * 0.01`.
fn percent_to_ratio(percent: f64) -> f64 {
    percent / 100.0
}
