//! When a receiver is left alone by what is not critical. Pure: the time is an argument.

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};

use crate::config::Quiet;

impl Quiet {
    /// When the quiet time is over that is now; nothing when there is none. Each begins and ends once, by the clocks of its time zone,
    /// on days too on which these are changed: a time that a clock skips is the moment at which it does, one that comes twice the first.
    pub fn until(&self, now: Timestamp) -> Option<Timestamp> {
        let today = now.to_zoned(self.time_zone.clone()).date();
        let yesterday = today.checked_sub(1.day()).ok()?;
        [yesterday, today]
            .into_iter()
            .filter_map(|day| self.of(day))
            .find(|(from, to)| *from <= now && now < *to)
            .map(|(_, to)| to)
    }

    /// The quiet time that begins on this day.
    fn of(&self, day: Date) -> Option<(Timestamp, Timestamp)> {
        let last = if self.from < self.to { day } else { day.checked_add(1.day()).ok()? };
        Some((
            moment(&self.time_zone, day.to_datetime(self.from))?,
            moment(&self.time_zone, last.to_datetime(self.to))?,
        ))
    }
}

/// The moment at which the clocks show this time first, or skip it.
fn moment(zone: &TimeZone, time: DateTime) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(time);
    match ambiguous.offset() {
        AmbiguousOffset::Gap { after, .. } => {
            // By the offset from then on it would be a moment before.
            let before = after.to_timestamp(time).ok()?;
            zone.following(before).next().map(|transition| transition.timestamp())
        }
        _ => ambiguous.earlier().ok(),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use crate::config::Quiet;

    fn quiet(from: &str, to: &str, zone: &str) -> Quiet {
        Quiet { from: from.parse().unwrap(), to: to.parse().unwrap(), time_zone: TimeZone::get(zone).unwrap() }
    }

    fn check(quiet: &Quiet, now: &str, until: Option<&str>) {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(quiet.until(at(now)), until.map(at), "{now}");
    }

    #[test]
    fn a_night_in_shanghai() {
        let night = quiet("22:00", "07:00", "Asia/Shanghai");
        check(&night, "2026-01-02T13:59:59Z", None);
        check(&night, "2026-01-02T14:00:00Z", Some("2026-01-02T23:00:00Z"));
        check(&night, "2026-01-02T17:00:00Z", Some("2026-01-02T23:00:00Z"));
        check(&night, "2026-01-02T22:59:59Z", Some("2026-01-02T23:00:00Z"));
        check(&night, "2026-01-02T23:00:00Z", None);
    }

    #[test]
    fn an_afternoon() {
        let nap = quiet("12:30", "14:00", "UTC");
        check(&nap, "2026-01-02T12:29:59Z", None);
        check(&nap, "2026-01-02T12:30:00Z", Some("2026-01-02T14:00:00Z"));
        check(&nap, "2026-01-02T14:00:00Z", None);
    }

    /// Berlin: at 2 o'clock it is 3 on 29 March, and at 3 it is 2 on 25 October, of 2026.
    #[test]
    fn nights_in_which_the_clocks_are_changed() {
        let night = quiet("22:00", "07:00", "Europe/Berlin");
        check(&night, "2026-03-28T21:00:00Z", Some("2026-03-29T05:00:00Z"));
        check(&night, "2026-10-24T20:00:00Z", Some("2026-10-25T06:00:00Z"));
        let skipped = quiet("01:00", "02:30", "Europe/Berlin");
        check(&skipped, "2026-03-29T00:30:00Z", Some("2026-03-29T01:00:00Z"));
        check(&skipped, "2026-03-29T01:00:00Z", None);
        let begins = quiet("02:30", "07:00", "Europe/Berlin");
        check(&begins, "2026-03-29T00:59:59Z", None);
        check(&begins, "2026-03-29T01:00:00Z", Some("2026-03-29T05:00:00Z"));
        // All of it is skipped.
        let none = quiet("02:15", "02:45", "Europe/Berlin");
        check(&none, "2026-03-29T00:30:00Z", None);
        check(&none, "2026-03-29T01:00:00Z", None);
        check(&none, "2026-03-29T01:30:00Z", None);
        let twice = quiet("01:00", "02:30", "Europe/Berlin");
        check(&twice, "2026-10-25T00:15:00Z", Some("2026-10-25T00:30:00Z"));
        check(&twice, "2026-10-25T01:15:00Z", None);
    }
}
