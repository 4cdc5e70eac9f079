//! How far another machine's clock is away, as far as the `Date` header of one answer tells.

use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};

use super::check::{Area, Check, Result};

/// What is worth a word. Machines with NTP are some milliseconds apart; who is off by more than this has none, and will drift on. Ripcord
/// asks for the instant of its own clock, so that from here on a fifth of an interval is asked for too early or too late.
const WORTH_A_WORD: SignedDuration = SignedDuration::from_secs(2);

/// From here on Prometheus is asked for the wrong time: half of the usual confirm window (1m) would lie in its future, and be empty, or in
/// what was over long ago.
const ANOTHER_TIME: SignedDuration = SignedDuration::from_secs(30);

/// One question for the time, by the own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) sent: Timestamp,
    pub(super) answered: Timestamp,
}

/// By how much the other clock is ahead at least; negative where it is behind. Zero where it may be right.
///
/// The header is cut to the second: the server wrote it between `date` and a second later, and it did so between `sent` and `answered`.
fn skew(date: Timestamp, asked: Asked) -> SignedDuration {
    let least = date.duration_since(asked.answered);
    let most = date.duration_since(asked.sent) + SignedDuration::from_secs(1);
    if least.is_positive() {
        least
    } else if most.is_negative() {
        most
    } else {
        SignedDuration::ZERO
    }
}

/// What the header says of the clocks. `matters` is whether Ripcord measures by that clock.
pub(super) fn check(area: Area, date: Option<&str>, asked: Asked, matters: bool) -> Check {
    let what = "clock";
    let parsed = date.and_then(|date| DateTimeParser::new().parse_timestamp(date).ok());
    let Some(date) = parsed else {
        return area.ok(what, "not compared: its answer carries no time (no Date header)");
    };
    let skew = skew(date, asked);
    let result = match skew.abs() {
        apart if apart > ANOTHER_TIME && matters => Result::Fail,
        apart if apart > WORTH_A_WORD => Result::Warn,
        _ => Result::Ok,
    };
    let seconds = skew.abs().as_secs_f64();
    let way = if skew.is_negative() { "behind" } else { "ahead of" };
    match result {
        Result::Ok => area.ok(what, "agrees with the clock here, as far as whole seconds tell"),
        result => area.amiss(
            result,
            what,
            format!("at least {seconds:.1} s {way} the clock here"),
            "set both machines' clocks by NTP (chrony, systemd-timesyncd), and see which of them is wrong",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_767_323_045_000 + millis).unwrap()
    }

    fn asked(sent: i64, answered: i64) -> Asked {
        Asked { sent: at(sent), answered: at(answered) }
    }

    #[test]
    fn a_second_that_was_cut_off_and_the_way_are_no_skew() {
        // The own clock when it was sent and answered, the header, the least skew, all in milliseconds.
        for (sent, answered, date, wanted) in [
            (0, 100, 0, 0),
            (900, 950, 0, 0),
            // It may have been written at 999.
            (999, 1050, 0, 0),
            // A slow answer may have been written at any time on its way.
            (0, 5000, 4000, 0),
            (0, 100, 3000, 2900),
            (5000, 5100, 3000, -1000),
            (5000, 9000, 3000, -1000),
            (0, 100, -60_000, -59_000),
        ] {
            let skew = skew(at(date), asked(sent, answered));
            assert_eq!(skew, SignedDuration::from_millis(wanted), "{sent} {answered} {date}");
        }
    }

    #[test]
    fn the_verdict_goes_by_the_size_and_by_whom_it_matters_to() {
        let check = |seconds: i64, matters| {
            let header = at(seconds * 1000).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            super::check(Area::Prometheus, Some(&header), asked(0, 10), matters).result
        };
        assert_eq!(check(0, true), Result::Ok);
        assert_eq!(check(2, true), Result::Ok);
        assert_eq!(check(3, true), Result::Warn);
        assert_eq!(check(-4, true), Result::Warn);
        assert_eq!(check(31, true), Result::Fail);
        assert_eq!(check(-32, true), Result::Fail);
        assert_eq!(check(-32, false), Result::Warn);
    }

    #[test]
    fn a_server_that_says_no_time_is_not_blamed() {
        for header in [None, Some("soon")] {
            assert_eq!(check(Area::Cluster, header, asked(0, 10), true).result, Result::Ok);
        }
    }
}
