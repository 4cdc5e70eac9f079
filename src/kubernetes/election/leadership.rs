//! Whether this process may act right now.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::new_identity;
use crate::kubernetes::Permit;

/// What one renewal gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Term {
    /// When the renewal that worked was *begun*: the others may have seen it from then on.
    pub(super) began: Instant,
    /// The same by the wall clock.
    pub(super) wall: SystemTime,
    /// The renew deadline.
    pub(super) good_for: Duration,
}

impl Term {
    /// Whether it lasts. The monotonic clock stands still while a machine is suspended, and the wall clock jumps when it is
    /// set; so both must agree.
    pub(super) fn holds(&self, now: Instant, wall: SystemTime) -> bool {
        let by_wall = wall.duration_since(self.wall).unwrap_or_else(|backwards| backwards.duration());
        now < self.ends() && by_wall < self.good_for
    }

    /// When it ends by the monotonic clock.
    pub(super) fn ends(&self) -> Instant {
        self.began + self.good_for
    }
}

/// Whether this process leads. Cheap to clone; the clones say the same.
#[derive(Debug, Clone)]
pub struct Leadership {
    identity: Arc<str>,
    /// `None`: there is no election.
    seat: Option<Arc<Mutex<Seat>>>,
}

#[derive(Debug, Default)]
struct Seat {
    term: Option<Term>,
    holder: Option<String>,
    /// The election is over; a renewal still under way must not open a term again.
    closed: bool,
}

impl Leadership {
    /// That of a process that stands for election and has not been elected.
    pub(super) fn new(identity: String) -> Self {
        Self { identity: identity.into(), seat: Some(Arc::default()) }
    }

    /// That of a process without an election: it always leads.
    pub fn alone() -> Self {
        Self { identity: new_identity().into(), seat: None }
    }

    /// Whether this process surely leads at this moment: the Lease was renewed recently enough by the monotonic clock and
    /// by the wall clock. To be asked before every write; a moment later it can be false.
    pub fn may_act(&self) -> bool {
        match self.seat() {
            None => true,
            Some(seat) => seat.term.is_some_and(|term| term.holds(Instant::now(), SystemTime::now())),
        }
    }

    /// [`Self::may_act`], as the writers ask it.
    pub fn permit(&self) -> Permit {
        let leadership = self.clone();
        Arc::new(move || leadership.may_act())
    }

    /// Who leads, as last seen. It may have stopped since.
    pub fn holder(&self) -> Option<String> {
        match self.seat() {
            None => Some(self.identity().to_owned()),
            Some(seat) => seat.holder.clone(),
        }
    }

    /// The name of this process in the election.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    pub(super) fn set_term(&self, term: Option<Term>) {
        if let Some(mut seat) = self.seat() {
            seat.term = term.filter(|_| !seat.closed);
        }
    }

    pub(super) fn set_holder(&self, holder: Option<String>) {
        if let Some(mut seat) = self.seat() {
            seat.holder = holder;
        }
    }

    /// Ends it for good.
    pub(super) fn close(&self) {
        if let Some(mut seat) = self.seat() {
            (seat.term, seat.closed) = (None, true);
        }
    }

    fn seat(&self) -> Option<MutexGuard<'_, Seat>> {
        self.seat.as_ref().map(|seat| seat.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row: the time since the renewal began in milliseconds, by the monotonic and by the wall clock; whether the term
    /// of ten seconds holds.
    #[test]
    fn a_term_holds_while_both_clocks_say_so() {
        let (began, wall) = (Instant::now(), SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let term = Term { began, wall, good_for: Duration::from_secs(10) };
        let cases: [(&str, u64, i64, bool); 9] = [
            ("just renewed", 0, 0, true),
            ("nearly over", 9_999, 9_999, true),
            ("over", 10_000, 9_999, false),
            ("the wall clock is a little behind", 5_000, -2_000, true),
            ("suspended: only the wall clock went on", 1, 3_600_000, false),
            ("over by the wall clock alone", 9_000, 10_000, false),
            ("set back by an hour", 1_000, -3_600_000, false),
            ("set back by just the deadline", 1_000, -10_000, false),
            ("stopped: both went on", 3_600_000, 3_600_000, false),
        ];
        for (what, monotonic, by_wall, wanted) in cases {
            let offset = Duration::from_millis(by_wall.unsigned_abs());
            let wall = if by_wall < 0 { wall - offset } else { wall + offset };
            assert_eq!(term.holds(began + Duration::from_millis(monotonic), wall), wanted, "{what}");
        }
    }

    fn term_from_now() -> Term {
        Term { began: Instant::now(), wall: SystemTime::now(), good_for: Duration::from_secs(60) }
    }

    #[test]
    fn only_a_term_permits() {
        let leadership = Leadership::new("me".to_owned());
        let permit = leadership.permit();
        assert!(!permit() && leadership.holder().is_none());
        leadership.set_term(Some(term_from_now()));
        assert!(permit());
        leadership.set_term(Some(Term { good_for: Duration::ZERO, ..term_from_now() }));
        assert!(!permit());
        leadership.set_term(Some(term_from_now()));
        leadership.set_term(None);
        assert!(!permit());
    }

    #[test]
    fn what_is_closed_stays_closed() {
        let leadership = Leadership::new("me".to_owned());
        leadership.set_term(Some(term_from_now()));
        leadership.close();
        assert!(!leadership.may_act());
        leadership.set_term(Some(term_from_now()));
        assert!(!leadership.may_act());
    }

    #[test]
    fn alone_always_leads() {
        let leadership = Leadership::alone();
        assert!(leadership.may_act() && leadership.permit()());
        assert_eq!(leadership.holder().as_deref(), Some(leadership.identity()));
        leadership.close();
        assert!(leadership.may_act());
    }
}
