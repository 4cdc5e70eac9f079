//! Which guards are shown whole, and which in a line. Of a thousand those matter that are not well.

use std::cmp::Reverse;

use jiff::Timestamp;

use crate::engine::{GuardStatus, Incident};

use super::super::curves::{Curve, Curves};
use super::super::{ConfiguredGuard, Lost, Queue, Snapshot};
use super::concerns::{self, Concern, Tone};

/// Guards that are shown with their charts: some 15 KB of markup each, and a screen or two of reading.
const WHOLE: usize = 12;

/// Guards that are shown in a line, besides.
const IN_A_LINE: usize = 200;

/// Incidents that are shown: the open ones first, then the latest.
const INCIDENTS: usize = 20;

/// Concerns that are listed below the headline.
const CONCERNS: usize = 8;

/// Everything that a page shows: copied in one go, so that the event loop waits for no reader.
pub(super) struct Selection {
    /// What is not as it should be, the worst first.
    pub concerns: Vec<Concern>,
    /// Concerns that are not listed.
    pub more_concerns: usize,
    /// All guards there are.
    pub guards: usize,
    /// Those that are shown whole.
    pub whole: Vec<Whole>,
    /// Those in a line.
    pub lines: Vec<Line>,
    /// Those that are left out.
    pub left_out: usize,
    /// The incidents.
    pub incidents: Vec<Incident>,
    /// Incidents that are left out.
    pub more_incidents: usize,
    /// What waits for each receiver.
    pub receivers: Vec<Queue>,
    /// What was lost.
    pub lost: Vec<Lost>,
    /// The rest.
    pub snapshot: Snapshot,
}

/// A guard that is shown whole.
pub(super) struct Whole {
    /// How it is.
    pub tone: Tone,
    /// Its status.
    pub status: GuardStatus,
    /// What is configured for it.
    pub configured: Option<ConfiguredGuard>,
    /// Its triggers' last hour, by their names.
    pub curves: Vec<(String, Curve)>,
}

/// A guard that is shown in a line.
pub(super) struct Line {
    /// How it is.
    pub tone: Tone,
    /// Its name.
    pub guard: String,
    /// Its state.
    pub state: &'static str,
    /// Its share, where it is known.
    pub percentage: Option<u8>,
    /// Its triggers: their label and verdict.
    pub triggers: Vec<(Tone, String, &'static str)>,
}

impl Selection {
    /// Those guards whose names hold `filter`, or all.
    pub(super) fn of(snapshot: &Snapshot, curves: &Curves, filter: Option<&str>, now: Timestamp) -> Self {
        let mut concerns = concerns::all(snapshot, now);
        let more_concerns = concerns.len().saturating_sub(CONCERNS + 1);
        concerns.truncate(CONCERNS + 1);
        let is_meant = |name: &str| filter.is_none_or(|part| name.contains(part));
        let meant = snapshot.guards.iter().filter(|guard| is_meant(&guard.guard));
        let mut meant: Vec<_> = meant.map(|guard| (concerns::tone(guard), guard)).collect();
        // Those of one tone stay in the order of their names; whose name is the very filter comes first of all.
        meant.sort_by_key(|(tone, guard)| {
            (filter != Some(guard.guard.as_str()), Reverse(*tone), Reverse(concerns::urgency(guard)))
        });
        let whole = match meant.len() <= WHOLE {
            true => meant.len(),
            false => meant
                .iter()
                .take(WHOLE)
                .take_while(|(tone, guard)| *tone > Tone::Good || filter == Some(guard.guard.as_str()))
                .count(),
        };
        let (open, closed): (Vec<_>, Vec<_>) =
            snapshot.incidents.iter().filter(|i| is_meant(&i.guard)).partition(|incident| incident.closed_at.is_none());
        let incidents = open.len() + closed.len();
        Self {
            concerns,
            more_concerns,
            guards: snapshot.guards.len(),
            whole: meant.iter().take(whole).map(|(tone, guard)| Whole::of(*tone, guard, snapshot, curves)).collect(),
            lines: meant.iter().skip(whole).take(IN_A_LINE).map(|(tone, guard)| Line::of(*tone, guard)).collect(),
            left_out: meant.len().saturating_sub(whole + IN_A_LINE),
            incidents: open.into_iter().chain(closed).take(INCIDENTS).cloned().collect(),
            more_incidents: incidents.saturating_sub(INCIDENTS),
            receivers: snapshot.receivers.clone(),
            lost: snapshot.lost.clone(),
            snapshot: Snapshot {
                guards: Vec::new(),
                incidents: Vec::new(),
                receivers: Vec::new(),
                lost: Vec::new(),
                leader: snapshot.leader.clone(),
                token_file: None,
                configured: snapshot.configured.clone(),
                state_error: snapshot.state_error.clone(),
                ..*snapshot
            },
        }
    }
}

impl Whole {
    fn of(tone: Tone, guard: &GuardStatus, snapshot: &Snapshot, curves: &Curves) -> Self {
        Self {
            tone,
            status: guard.clone(),
            configured: snapshot.configured.guards.get(&guard.guard).cloned(),
            curves: curves.of(&guard.guard),
        }
    }
}

impl Line {
    fn of(tone: Tone, guard: &GuardStatus) -> Self {
        let triggers = guard.triggers.iter().map(|t| (Tone::of_verdict(t), t.label(), t.verdict));
        Self {
            tone,
            guard: guard.guard.clone(),
            state: super::guard::state_in_words(guard.state),
            percentage: guard.percentage,
            triggers: triggers.collect(),
        }
    }
}
