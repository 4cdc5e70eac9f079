//! When to try again.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

/// The longest first delay: a restarting proxy is back by then, and a page is hardly late.
const BASE: Duration = Duration::from_secs(1);

/// The longest delay: what waits behind a failing entry, a critical page above all, goes out within a minute of the receiver's return.
const CAP: Duration = Duration::from_secs(60);

/// The longest `Retry-After` that is honoured: longer than the one-minute windows that rate limiters count in, and short enough that one
/// wrong header does not cost a page.
const RETRY_AFTER_CAP: Duration = Duration::from_secs(120);

/// The delay after the `failed`-th try in a row. `random`, between 0 and 1, spreads receivers and replicas that failed together:
/// exponential backoff with "equal jitter" (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015).
pub(super) fn delay(failed: u32, random: f64, retry_after: Option<Duration>) -> Duration {
    if let Some(after) = retry_after {
        return after.clamp(BASE, RETRY_AFTER_CAP);
    }
    let doublings = failed.saturating_sub(1).min(16);
    let whole = BASE.saturating_mul(1 << doublings).min(CAP);
    whole / 2 + (whole / 2).mul_f64(random.clamp(0.0, 1.0))
}

/// Reads a `Retry-After` header: seconds, or a date (RFC 9110, section 10.2.3). What is neither counts as absent.
pub(super) fn retry_after(header: &str, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = DateTimeParser::new().parse_timestamp(header).ok()?;
    Some(Duration::try_from(at.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{delay, retry_after};

    #[test]
    fn delays_double_up_to_a_minute() {
        let longest: Vec<f64> = (1..=9).map(|n| delay(n, 1.0, None).as_secs_f64()).collect();
        assert_eq!(longest, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]);
        let shortest: Vec<f64> = (1..=3).map(|n| delay(n, 0.0, None).as_secs_f64()).collect();
        assert_eq!(shortest, [0.5, 1.0, 2.0]);
        assert_eq!(delay(u32::MAX, 1.0, None), Duration::from_secs(60));
    }

    #[test]
    fn retry_after_is_honoured_within_limits() {
        for (asked, got) in [(0, 1), (1, 1), (90, 90), (86_400, 120)] {
            assert_eq!(delay(1, 0.5, Some(Duration::from_secs(asked))), Duration::from_secs(got));
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = "1994-11-06T08:49:30Z".parse().unwrap();
        let cases = [
            ("7", Some(7)),
            (" 120 ", Some(120)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("soon", None),
            ("-3", None),
            ("", None),
        ];
        for (header, seconds) in cases {
            assert_eq!(retry_after(header, now), seconds.map(Duration::from_secs), "{header:?}");
        }
    }
}
