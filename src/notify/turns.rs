//! Whose turn it is, among the first entries of a recipient's incidents.
//!
//! Two things can be wrong when a try fails: the receiver, or that entry. So each entry has a backoff of its own, and the recipient has one
//! for all of them. The latter grows with the number of *different* entries that have failed since the last success: one that is never
//! accepted costs the others a second, and a receiver that is down is asked a few times a minute, however many incidents wait for it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::backoff;
use super::entry::Entry;

/// How the tries went so far.
#[derive(Debug, Default)]
pub(super) struct Turns {
    tried: BTreeMap<String, Tried>,
    /// Nothing is tried before this.
    not_before: Option<Instant>,
}

#[derive(Debug)]
struct Tried {
    failed: u32,
    not_before: Option<Instant>,
    /// Whether it failed after the last success of any.
    lately: bool,
    error: String,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// There is nothing to send.
    Idle,
    /// Nothing is due before this.
    Wait(Instant),
    /// This one of the heads is tried.
    Try(usize),
}

impl Turns {
    /// Forgets what is no longer there.
    pub(super) fn keep(&mut self, heads: &[Entry]) {
        self.tried.retain(|id, _| heads.iter().any(|h| h.id == *id));
    }

    /// Everything is due now.
    pub(super) fn hurry(&mut self) {
        self.succeeded();
        self.tried.values_mut().for_each(|t| t.not_before = None);
    }

    /// Whose turn it is. While all goes well the most urgent comes first, and of those the oldest; while tries fail, the one that failed
    /// least often, so that one that is never accepted does not keep the others from their turn.
    pub(super) fn next(&self, heads: &[Entry], now: Instant) -> Turn {
        let due = |head: &Entry| self.tried.get(&head.id).and_then(|t| t.not_before).max(self.not_before);
        let Some(first) = heads.iter().map(due).min() else { return Turn::Idle };
        if let Some(first) = first.filter(|first| *first > now) {
            return Turn::Wait(first);
        }
        let failing = self.tried.values().any(|t| t.lately);
        let rank = |head: &Entry| {
            let failed = if failing { self.failed_tries(&head.id) } else { 0 };
            (failed, Reverse(head.notification.severity))
        };
        let due = heads.iter().enumerate().filter(|(_, head)| due(head).is_none_or(|at| at <= now));
        due.min_by_key(|(_, head)| rank(head)).map_or(Turn::Idle, |(i, _)| Turn::Try(i))
    }

    /// A try failed. `random`, between 0 and 1, is the jitter. Says how long it is until the next try of this entry.
    pub(super) fn failed(
        &mut self,
        id: &str,
        error: String,
        retry_after: Option<Duration>,
        random: f64,
        now: Instant,
    ) -> Duration {
        let failed = self.failed_tries(id).saturating_add(1);
        let own = backoff::delay(failed, random, retry_after);
        let tried = Tried { failed, not_before: Some(now + own), lately: true, error };
        self.tried.insert(id.to_owned(), tried);
        let different = self.tried.values().filter(|t| t.lately).count();
        let all = backoff::delay(u32::try_from(different).unwrap_or(u32::MAX), random, retry_after);
        self.not_before = Some(now + all);
        own.max(all)
    }

    /// A try worked: the receiver is there.
    pub(super) fn succeeded(&mut self) {
        self.not_before = None;
        self.tried.values_mut().for_each(|t| t.lately = false);
    }

    /// How often this entry has failed.
    pub(super) fn failed_tries(&self, id: &str) -> u32 {
        self.tried.get(id).map_or(0, |t| t.failed)
    }

    /// Why this entry failed last.
    pub(super) fn last_error(&self, id: &str) -> Option<&str> {
        self.tried.get(id).map(|t| t.error.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use jiff::Timestamp;
    use tokio::time::Instant;

    use super::{Turn, Turns};
    use crate::engine::Severity::{self, Critical, Info, Warning};
    use crate::notify::entry::Entry;
    use crate::notify::testing::notification;

    fn head(id: &str, severity: Severity) -> Entry {
        let mut n = notification(id);
        n.severity = severity;
        Entry::new("a", None, Timestamp::UNIX_EPOCH, Arc::new(n))
    }

    /// Tries by turns for as long as said, at no cost of time, and says which entry was tried at which second.
    fn run(heads: &[Entry], seconds: u64, works: impl Fn(&str) -> bool) -> Vec<(String, u64)> {
        let begun = Instant::now();
        let (mut now, mut turns) = (begun, Turns::default());
        let (mut left, mut tries) = (heads.to_vec(), vec![]);
        while now - begun < Duration::from_secs(seconds) {
            turns.keep(&left);
            match turns.next(&left, now) {
                Turn::Idle => break,
                Turn::Wait(until) => now = until,
                Turn::Try(i) => {
                    let id = left[i].id.clone();
                    tries.push((id.clone(), (now - begun).as_secs()));
                    if works(&id) {
                        turns.succeeded();
                        left.remove(i);
                    } else {
                        turns.failed(&id, "it is away".to_owned(), None, 1.0, now);
                    }
                }
            }
        }
        tries
    }

    fn order(tries: &[(String, u64)]) -> Vec<&str> {
        tries.iter().map(|(id, _)| id.as_str()).collect()
    }

    #[test]
    fn the_most_urgent_goes_first_then_the_oldest() {
        let heads = [head("i", Info), head("c1", Critical), head("w", Warning), head("c2", Critical)];
        let tries = run(&heads, 1, |_| true);
        assert_eq!(order(&tries), ["c1/a", "c2/a", "w/a", "i/a"]);
        assert_eq!(run(&[], 1, |_| true), []);
    }

    #[test]
    fn one_that_is_never_accepted_costs_the_others_a_second() {
        let heads = [head("poison", Critical), head("c", Critical), head("i", Info)];
        let tries = run(&heads, 600, |id| id != "poison/a");
        let at = |id: &str| tries.iter().filter(|(t, _)| t == id).map(|(_, at)| *at).collect::<Vec<_>>();
        assert_eq!((at("c/a"), at("i/a")), (vec![1], vec![2]));
        let poison = at("poison/a");
        assert_eq!(poison[..6], [0, 1, 3, 7, 15, 31], "its own backoff grows");
        assert!(poison.windows(2).all(|w| w[1] - w[0] <= 60) && poison.len() < 18, "{poison:?}");
    }

    #[test]
    fn a_receiver_that_is_down_is_asked_a_few_times_a_minute_however_many_wait() {
        for (waiting, at_most) in [(1, 16), (3, 48), (5, 48), (20, 24), (1000, 24)] {
            let heads: Vec<Entry> = (0..waiting).map(|i| head(&i.to_string(), Critical)).collect();
            let tries = run(&heads, 600, |_| false);
            assert!(tries.len() <= at_most, "{waiting}: {} tries in ten minutes", tries.len());
            assert!(tries.last().unwrap().1 > 530, "{waiting}: the last is within a minute of the end");
        }
    }

    #[test]
    fn while_tries_fail_each_gets_its_turn() {
        let heads: Vec<Entry> = (0..8).map(|i| head(&format!("c{i}"), Critical)).chain([head("i", Info)]).collect();
        let tries = run(&heads, 3600, |id| id == "i/a");
        let (_, at) = tries.iter().find(|(id, _)| id == "i/a").unwrap();
        assert!(*at <= 1 + 2 + 4 + 8 + 16 + 32 + 60 + 60, "eight that are never accepted hold it up until {at}");
    }

    #[test]
    fn one_that_says_when_to_come_back_says_it_for_all() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        let heads = [head("1", Critical), head("2", Critical)];
        let delay = turns.failed("1/a", "it is busy".to_owned(), Some(Duration::from_secs(90)), 0.0, now);
        assert_eq!(delay, Duration::from_secs(90));
        assert_eq!(turns.next(&heads, now), Turn::Wait(now + delay));
        assert_eq!(turns.next(&heads, now + delay), Turn::Try(1));
    }

    #[test]
    fn hurry_makes_everything_due_and_forgets_no_failure() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        let heads = [head("1", Critical), head("2", Critical)];
        for _ in 0..9 {
            turns.failed("1/a", "first".to_owned(), None, 1.0, now);
            turns.failed("2/a", "second".to_owned(), None, 1.0, now);
        }
        assert_eq!(turns.next(&heads, now), Turn::Wait(now + Duration::from_secs(60)));
        turns.hurry();
        assert_eq!(turns.next(&heads, now), Turn::Try(0));
        assert_eq!((turns.failed_tries("1/a"), turns.last_error("2/a")), (9, Some("second")));
        assert_eq!(turns.failed("1/a", "again".to_owned(), None, 1.0, now), Duration::from_secs(60));
        assert_eq!(turns.next(&heads, now), Turn::Wait(now + Duration::from_secs(1)), "the other's turn comes soon");
        turns.keep(&heads[1..]);
        assert_eq!((turns.failed_tries("1/a"), turns.last_error("1/a")), (0, None));
    }
}
