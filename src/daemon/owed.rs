//! Which ticks of the past are owed to the engine, and when to ask for them.

use std::time::Duration;

use jiff::Timestamp;

use crate::prometheus::Instants;

use super::clock::Clock;

/// How far back missed ticks are fetched. The longest clocks run for minutes; what was an hour ago is another story.
const MAX_REPLAY: Duration = Duration::from_secs(60 * 60);

/// How long nothing is owed after giving up. A Prometheus that answers a live tick but not for the past is slow or refuses it: asking at
/// every tick would make each of them late, and being late makes it owed.
const PAUSE: Duration = Duration::from_secs(60);

/// When ticks are due and which instants they measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// The time from one tick to the next.
    pub interval: Duration,
    /// How far behind its due time a tick measures.
    pub offset: Duration,
}

impl Schedule {
    /// The first due time after `time`.
    pub fn due_after(self, time: Timestamp) -> Timestamp {
        Clock::aligned_after(time, self.interval)
    }

    /// The instant that a tick measures.
    pub fn at(self, due: Timestamp) -> Timestamp {
        due.checked_sub(self.offset).unwrap_or(due)
    }

    /// When the tick that measures an instant is due.
    pub fn due(self, at: Timestamp) -> Timestamp {
        at.checked_add(self.offset).unwrap_or(at)
    }
}

/// What is owed. Pure: it is told the time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Owed {
    /// The instant up to which nothing is owed. Without one nothing is owed at all.
    until: Option<Timestamp>,
    /// When the last live tick was due, and the interval then.
    live: Option<(Timestamp, Duration)>,
    /// Not one query was answered for what is owed. Live ticks find out when it is worth another try.
    refused: bool,
    /// Given up: before this due time nothing is owed.
    paused: Option<Timestamp>,
}

impl Owed {
    /// From now on every tick is owed that measures an instant after `since`; with `None`, none before the next live one.
    pub fn begin(&mut self, since: Option<Timestamp>) {
        *self = Self { until: since, live: self.live, ..Self::default() };
    }

    /// The instants to ask for next, before the live tick that is due at `live`.
    pub fn next(&self, live: Timestamp, schedule: Schedule) -> Option<Instants> {
        if self.refused || self.paused.is_some_and(|until| live < until) {
            return None;
        }
        let oldest = live.checked_sub(MAX_REPLAY).unwrap_or(Timestamp::MIN);
        let first = schedule.due_after(schedule.due(self.until?).max(oldest));
        let last = live.checked_sub(schedule.interval).ok()?;
        let instants = Instants::between(schedule.at(first), schedule.at(last), schedule.interval);
        (!instants.is_empty()).then(|| instants.first_chunk())
    }

    /// They were fetched.
    pub fn fetched(&mut self, instants: Instants) {
        self.until = Some(instants.last());
    }

    /// Prometheus answered not one query for them.
    pub fn refused(&mut self) {
        self.refused = true;
    }

    /// Whether something is owed that Prometheus would not answer for.
    pub fn is_refused(&self) -> bool {
        self.refused
    }

    /// Prometheus answers a live tick: what is owed can be asked for again.
    pub fn answers_again(&mut self) {
        self.refused = false;
    }

    /// What was to come before the live tick that is due at `live` will not be fetched.
    pub fn give_up(&mut self, live: Timestamp, schedule: Schedule) {
        let before = live.checked_sub(schedule.interval).unwrap_or(live);
        self.until = Some(schedule.at(before));
        self.refused = false;
        self.paused = live.checked_add(PAUSE).ok();
    }

    /// The live tick that is due at `live` is handed over. Returns the number of ticks that were left out since the live one before.
    pub fn handed_over(&mut self, live: Timestamp, schedule: Schedule) -> i64 {
        // While Prometheus is away live ticks know nothing: they are owed with the rest.
        if !self.refused {
            self.until = Some(schedule.at(live));
        }
        match self.live.replace((live, schedule.interval)) {
            Some((before, same)) if same == schedule.interval => missed(before, live, same),
            _ => 0,
        }
    }
}

/// Aligned instants strictly between two ticks.
fn missed(before: Timestamp, due: Timestamp, interval: Duration) -> i64 {
    let between = due.as_millisecond() - before.as_millisecond();
    let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
    (between / interval - 1).max(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Schedule = Schedule { interval: Duration::from_secs(10), offset: Duration::ZERO };

    /// A time of one hour and day.
    fn t(minutes_seconds: &str) -> Timestamp {
        format!("2026-01-02T12:{minutes_seconds}Z").parse().unwrap()
    }

    fn begun(since: &str) -> Owed {
        let mut owed = Owed::default();
        owed.begin(Some(t(since)));
        owed
    }

    /// First, last, count.
    fn next(owed: &Owed, live: &str, schedule: Schedule) -> Option<(Timestamp, Timestamp, usize)> {
        owed.next(t(live), schedule).map(|i| (i.first(), i.last(), i.len()))
    }

    #[test]
    fn at_the_start_nothing_is_owed() {
        let mut owed = Owed::default();
        assert_eq!(next(&owed, "10:00", TEN), None);
        owed.begin(None);
        assert_eq!(next(&owed, "10:00", TEN), None);
        assert_eq!(owed.handed_over(t("10:00"), TEN), 0);
        assert_eq!(next(&owed, "10:10", TEN), None);
        assert_eq!(owed.handed_over(t("10:10"), TEN), 0);
    }

    #[test]
    fn what_came_after_the_last_known_instant_is_owed() {
        let mut owed = begun("09:30");
        assert_eq!(next(&owed, "10:10", TEN), Some((t("09:40"), t("10:00"), 3)));
        assert_eq!(next(&begun("09:31"), "10:10", TEN), Some((t("09:40"), t("10:00"), 3)));
        assert_eq!(next(&begun("09:50"), "10:00", TEN), None);
        let instants = owed.next(t("10:10"), TEN).unwrap();
        owed.fetched(instants);
        assert_eq!(next(&owed, "10:10", TEN), None);
        assert_eq!(next(&owed, "10:20", TEN), Some((t("10:10"), t("10:10"), 1)), "it took longer than an interval");
        assert_eq!(owed.handed_over(t("10:20"), TEN), 0, "nothing ran before that could have been missed");
    }

    #[test]
    fn the_instants_are_those_that_live_ticks_would_have_had() {
        let late = Schedule { interval: Duration::from_secs(10), offset: Duration::from_secs(7) };
        assert_eq!(next(&begun("09:30"), "10:10", late), Some((t("09:33"), t("09:53"), 3)));
        assert_eq!(next(&begun("09:33"), "10:10", late), Some((t("09:43"), t("09:53"), 2)));
        let mut owed = Owed::default();
        owed.handed_over(t("10:00"), late);
        assert_eq!(next(&owed, "10:10", late), None);
        assert_eq!(next(&owed, "10:30", late), Some((t("10:03"), t("10:13"), 2)));
        let odd = Schedule { interval: Duration::from_millis(1500), offset: Duration::ZERO };
        let instants = begun("10:00").next(t("10:06"), odd).unwrap();
        let wanted: Vec<_> = ["10:01.5", "10:03", "10:04.5"].map(t).into();
        assert_eq!(instants.iter().collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn ticks_that_were_missed_are_owed_and_counted() {
        let mut owed = Owed::default();
        owed.handed_over(t("10:00"), TEN);
        assert_eq!(next(&owed, "10:40", TEN), Some((t("10:10"), t("10:30"), 3)));
        assert_eq!(owed.handed_over(t("10:40"), TEN), 3);
        assert_eq!(next(&owed, "10:50", TEN), None);
    }

    #[test]
    fn no_more_than_an_hour_is_owed_in_chunks() {
        let mut owed = begun("00:00");
        let live = t("30:00") + Duration::from_secs(3600);
        let mut fetched = Vec::new();
        while let Some(instants) = owed.next(live, TEN) {
            fetched.extend(instants.iter());
            owed.fetched(instants);
        }
        let wanted: Vec<_> = (1..360).map(|n| t("30:00") + TEN.interval * n).collect();
        assert_eq!(fetched, wanted);
    }

    #[test]
    fn while_prometheus_is_away_live_ticks_are_owed_too() {
        let mut owed = begun("09:30");
        owed.refused();
        assert!(owed.is_refused());
        assert_eq!(next(&owed, "10:00", TEN), None, "live ticks find out when it is back");
        assert_eq!(owed.handed_over(t("10:00"), TEN), 0);
        assert_eq!(owed.handed_over(t("10:20"), TEN), 1);
        owed.answers_again();
        assert_eq!(next(&owed, "10:30", TEN), Some((t("09:40"), t("10:20"), 5)));
    }

    #[test]
    fn of_what_was_fetched_in_part_the_rest_is_owed() {
        let mut owed = begun("00:00");
        let chunk = owed.next(t("40:00"), TEN).unwrap();
        assert!(chunk.last() < t("39:50"));
        owed.fetched(chunk);
        owed.refused();
        owed.handed_over(t("40:00"), TEN);
        owed.answers_again();
        assert_eq!(owed.next(t("40:10"), TEN).unwrap().first(), chunk.last() + TEN.interval);
    }

    #[test]
    fn giving_up_lasts() {
        let mut owed = begun("09:30");
        owed.refused();
        owed.give_up(t("10:00"), TEN);
        assert!(!owed.is_refused());
        assert_eq!(next(&owed, "10:10", TEN), None, "not even what is missed next");
        assert_eq!(owed.handed_over(t("10:10"), TEN), 0);
        assert_eq!(next(&owed, "10:50", TEN), None);
        owed.handed_over(t("10:50"), TEN);
        assert_eq!(next(&owed, "11:10", TEN), Some((t("11:00"), t("11:00"), 1)));
        owed.give_up(t("11:10"), TEN);
        owed.begin(Some(t("11:00")));
        assert_eq!(next(&owed, "11:20", TEN), Some((t("11:10"), t("11:10"), 1)), "a new order is a new try");
    }

    #[test]
    fn a_new_order_replaces_what_was_owed() {
        let mut owed = begun("09:30");
        owed.handed_over(t("10:00"), TEN);
        owed.begin(Some(t("09:40")));
        assert_eq!(next(&owed, "10:10", TEN), Some((t("09:50"), t("10:00"), 2)), "what was handed over may be lost");
        owed.begin(None);
        assert_eq!(next(&owed, "10:30", TEN), None);
        assert_eq!(owed.handed_over(t("10:30"), TEN), 2, "it ran all the time");
    }

    #[test]
    fn another_interval_has_no_history() {
        let mut owed = Owed::default();
        owed.handed_over(t("10:00"), TEN);
        let five = Schedule { interval: Duration::from_secs(5), ..TEN };
        assert_eq!(next(&owed, "10:05", five), None);
        assert_eq!(owed.handed_over(t("10:05"), five), 0);
        let minute = Schedule { interval: Duration::from_secs(60), ..TEN };
        assert_eq!(next(&owed, "11:00", minute), None);
        assert_eq!(owed.handed_over(t("11:00"), minute), 0);
    }

    #[test]
    fn a_clock_that_was_set_back_owes_nothing() {
        let mut owed = Owed::default();
        owed.handed_over(t("40:00"), TEN);
        assert_eq!(next(&owed, "10:00", TEN), None);
        assert_eq!(owed.handed_over(t("10:00"), TEN), 0);
        assert_eq!(next(&owed, "10:20", TEN), Some((t("10:10"), t("10:10"), 1)));
    }
}
