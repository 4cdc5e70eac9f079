//! What an engine remembers and cannot be made again from its settings: the part of the journal that is the engine's.
//!
//! A part that an older version did not write has a default, and one that a newer version adds is passed over. What an older version would
//! misread (a new state, a new event) needs a new version of the document.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::action::Severity;
use super::ageing::Ageing;
use super::blindness::Blindness;
use super::guard::{GuardState, Pause, Unready};
use super::incident::Incident;
use super::input::SavedObject;
use super::recorded::Recorded;
use super::trigger::Clocks;

/// Lines of an open incident's timeline that are kept where there is no room for more.
const LINES_KEPT: usize = 6;

/// Everything that an engine remembers. It goes through JSON and comes back the same.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// By the guards' names.
    pub(super) guards: BTreeMap<String, GuardMemory>,
    pub(super) blindness: Blindness,
    #[serde(skip_serializing_if = "Ageing::is_over")]
    pub(super) ageing: Ageing,
}

/// What is remembered of one guard.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct GuardMemory {
    pub state: GuardState,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
    /// The share as it was last read; absent when it could not be read.
    pub share: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident: Option<Incident>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shift: Option<Incident>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unready: Option<Unready>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub closed: Vec<Incident>,
    pub last_tick: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anew_since: Option<Timestamp>,
    pub told: u32,
    /// The recorded baselines by the triggers' names, the last the latest. A trigger that is switched off or changed keeps its own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub baselines: BTreeMap<String, Vec<Recorded>>,
    /// By the triggers' names.
    pub triggers: BTreeMap<String, TriggerMemory>,
}

/// What is remembered of one trigger.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct TriggerMemory {
    /// What the clocks belong to.
    pub fingerprint: String,
    pub clocks: Clocks,
    /// How urgent the page is that is firing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firing: Option<Incident>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blind: Option<Severity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dark: Option<(Severity, Timestamp)>,
}

impl Memory {
    /// The incidents in it, open and closed.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.guards.values().flat_map(|guard| guard.closed.iter().chain(&guard.incident).chain(&guard.shift))
    }

    /// The state of a guard.
    pub fn state_of(&self, guard: &str) -> Option<GuardState> {
        self.guards.get(guard).map(|guard| guard.state)
    }

    /// The recorded baselines of a trigger, the last the latest.
    pub fn baselines(&self, guard: &str, trigger: &str) -> &[Recorded] {
        let of_guard = self.guards.get(guard).map(|guard| &guard.baselines);
        of_guard.and_then(|baselines| baselines.get(trigger)).map_or(&[], Vec::as_slice)
    }

    /// Forgets what can be spared of the open incident that tells the longest story: a line of its timeline, but for the first and the
    /// latest. Returns that line; none when no story is long.
    pub fn shorten_open(&mut self) -> Option<String> {
        let longest =
            self.guards.values_mut().filter_map(|guard| guard.incident.as_mut()).max_by_key(|i| i.timeline.len())?;
        (longest.timeline.len() > LINES_KEPT).then(|| longest.timeline.remove(1).text)
    }

    /// Forgets the objects that were saved for the closed incident that ended first of those that have some. Returns how many bytes they
    /// were; none when there are none.
    pub fn drop_oldest_snapshot(&mut self) -> Option<usize> {
        let closed = self.guards.values_mut().flat_map(|guard| &mut guard.closed);
        let oldest = closed.filter(|i| !i.snapshot.is_empty()).min_by_key(|i| i.closed_at.unwrap_or(i.opened_at))?;
        Some(bytes(&std::mem::take(&mut oldest.snapshot)))
    }

    /// Forgets the largest object that was saved for an open incident. Returns how many bytes it was.
    pub fn drop_open_snapshot(&mut self) -> Option<usize> {
        let open = self.guards.values_mut().flat_map(|guard| guard.incident.iter_mut().chain(&mut guard.shift));
        let largest = open.flat_map(|i| &mut i.snapshot).filter(|o| !o.yaml.is_empty()).max_by_key(|o| o.yaml.len())?;
        Some(std::mem::take(&mut largest.yaml).len())
    }

    /// Forgets the closed incident that ended first, of all guards, and returns it. None when there is none.
    pub fn drop_oldest_closed(&mut self) -> Option<Incident> {
        let ended = |guard: &GuardMemory| guard.closed.first().map(|i| i.closed_at.unwrap_or(i.opened_at));
        let oldest =
            self.guards.values_mut().filter_map(|guard| Some((ended(guard)?, guard))).min_by_key(|(ended, _)| *ended);
        oldest.map(|(_, guard)| guard.closed.remove(0))
    }
}

fn bytes(objects: &[SavedObject]) -> usize {
    objects.iter().map(|object| object.object.len() + object.yaml.len()).sum()
}
