//! What is not as it should be, in words: the headline is the worst of it.

use std::time::Duration;

use jiff::Timestamp;

use crate::engine::{GuardState, GuardStatus, Incident, IncidentKind, TriggerAction, TriggerStatus, Verification};

use super::super::{HEALTHY_BESIDES, HEALTHY_INTERVALS, Snapshot};
use super::words;

/// Names that one line has; the rest is counted.
const NAMED: usize = 4;

/// From this age on what waits for a receiver is told on top: an ordinary retry is over sooner.
const WAITS_LONG: f64 = 120.0;

/// How a thing is, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tone {
    /// As it should be.
    Good,
    /// Worth knowing.
    Note,
    /// Worth a look.
    Warn,
    /// Not known.
    Unknown,
    /// Somebody must look.
    Bad,
}

impl Tone {
    /// As a class of the style sheet and the name of its sign.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Note => "note",
            Self::Warn => "warn",
            Self::Unknown => "unknown",
            Self::Bad => "bad",
        }
    }

    /// What a verdict is.
    pub(super) fn of_verdict(trigger: &TriggerStatus) -> Self {
        match trigger.verdict {
            "breach" => Self::Bad,
            "band" => Self::Warn,
            "clear" => Self::Good,
            _ => Self::Unknown,
        }
    }
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Concern {
    /// How bad it is.
    pub tone: Tone,
    /// In words.
    pub text: String,
    /// The guard to look at.
    pub guard: Option<String>,
    /// What stays the same while only numbers change: a screen reader is told when this does.
    pub key: String,
}

impl Concern {
    fn new(tone: Tone, key: &str, text: String) -> Self {
        Self { tone, text, guard: None, key: key.to_owned() }
    }

    fn of(guard: &GuardStatus, tone: Tone, key: &str, text: String) -> Self {
        let name = &guard.guard;
        Self { tone, text: format!("{name}: {text}"), guard: Some(name.clone()), key: format!("{name} {key}") }
    }
}

/// All of them, the worst first. Without any all is well.
pub(super) fn all(snapshot: &Snapshot, now: Timestamp) -> Vec<Concern> {
    let mut all = of_itself(snapshot, now);
    let guards = &snapshot.guards;
    all.extend(guards.iter().flat_map(of_guard));
    let named = |names: &[&str]| words::some(names, NAMED);
    let unready: Vec<&str> = guards.iter().filter(|g| g.ready == Some(false)).map(|g| g.guard.as_str()).collect();
    if !unready.is_empty() {
        all.push(Concern::new(Tone::Bad, "not ready", format!("A rollback would FAIL now: {}", named(&unready))));
    }
    let blind: Vec<&str> = guards.iter().filter(|g| is_blind(g)).map(|g| g.guard.as_str()).collect();
    if !blind.is_empty() {
        all.push(Concern::new(Tone::Unknown, "blind", format!("Does not see: {}", named(&blind))));
    }
    let paused: Vec<&str> = guards.iter().filter(|g| g.paused_until.is_some()).map(|g| g.guard.as_str()).collect();
    if !paused.is_empty() {
        all.push(Concern::new(Tone::Warn, "paused", format!("Paused: {}", named(&paused))));
    }
    // Those of one tone stay in their order.
    all.sort_by_key(|concern| std::cmp::Reverse(concern.tone));
    all
}

/// Whether no tick came for so long that `/healthz` fails.
fn stands_still(snapshot: &Snapshot, now: Timestamp) -> Option<Duration> {
    let age = words::between(snapshot.last_tick.unwrap_or(snapshot.started_at), now);
    (age > snapshot.interval * HEALTHY_INTERVALS + HEALTHY_BESIDES).then_some(age)
}

fn of_itself(snapshot: &Snapshot, now: Timestamp) -> Vec<Concern> {
    let mut all = Vec::new();
    let mut add = |tone, key: &str, text: String| all.push(Concern::new(tone, key, text));
    if let Some(age) = stands_still(snapshot, now) {
        add(Tone::Bad, "no tick", format!("Nothing was measured for {}: Ripcord stands still", words::length(age)));
    } else if snapshot.last_tick.is_none() {
        add(Tone::Note, "no tick yet", "Nothing is measured yet: Ripcord has just started".to_owned());
    }
    match (&snapshot.leader, snapshot.leads) {
        (_, true) => {}
        (Some(leader), false) => add(Tone::Note, "stands by", format!("Stands by: {leader} leads")),
        (None, false) => {
            add(Tone::Bad, "nobody leads", "Does not lead, and knows of no replica that does".to_owned());
        }
    }
    if let Some(error) = &snapshot.state_error {
        add(Tone::Bad, "state", format!("The state is not kept: {error}"));
    }
    if !snapshot.config_reload_success {
        let text = "The last configuration was refused: the one before is in use, and the log says why";
        add(Tone::Warn, "configuration", text.to_owned());
    }
    for queue in snapshot.receivers.iter().filter(|queue| queue.waiting > 0 && queue.oldest_seconds >= WAITS_LONG) {
        let (waiting, oldest) = (queue.waiting, words::seconds(queue.oldest_seconds));
        let text =
            format!("{} does not take notifications: {waiting} waiting, the oldest for {oldest}", queue.receiver);
        add(Tone::Warn, &format!("waits {}", queue.receiver), text);
    }
    if !snapshot.lost.is_empty() {
        let lost = words::count(snapshot.lost.len(), "notification was lost", "notifications were lost");
        add(Tone::Warn, "lost", format!("{lost}: see below"));
    }
    all
}

fn of_guard(guard: &GuardStatus) -> Vec<Concern> {
    let mut all = Vec::new();
    if let Some(incident) = &guard.incident {
        let (tone, key, text) = story(guard, incident);
        all.push(Concern::of(guard, tone, key, text));
    }
    if let Some(shift) = &guard.shift {
        all.push(Concern::of(guard, Tone::Note, "shift", format!("shifting {}", words::movement(shift))));
    }
    // What is being rolled back is bad, and that is said already.
    let told = matches!(guard.state, GuardState::RollingBack | GuardState::Verifying);
    let mut pending: Vec<&TriggerStatus> =
        guard.triggers.iter().filter(|trigger| !told && is_pending(trigger)).collect();
    // First what will move traffic, and of that what is nearest to it.
    let left = |trigger: &TriggerStatus| trigger.for_seconds - trigger.held_seconds;
    pending.sort_by(|one, other| {
        let only_pages = |trigger: &TriggerStatus| trigger.settings().action == TriggerAction::Page;
        only_pages(one).cmp(&only_pages(other)).then(left(one).total_cmp(&left(other)))
    });
    for trigger in pending {
        let tone = if trigger.verdict == "breach" { Tone::Bad } else { Tone::Warn };
        all.push(Concern::of(guard, tone, trigger.name(), held(trigger)));
    }
    all
}

/// `error rate 3.1 %, limit 1 %, held 3m10s of 5m0s`.
fn held(trigger: &TriggerStatus) -> String {
    let held = format!("held {} of {}", words::seconds(trigger.held_seconds), words::seconds(trigger.for_seconds));
    let pages = trigger.settings().action == TriggerAction::Page && trigger.firing;
    let held = match trigger.acknowledged_at {
        Some(_) if pages => "paged and acknowledged",
        None if pages => "paged",
        _ => &held,
    };
    format!("{}, {held}", against_limit(trigger))
}

/// `error rate 3.1 %, limit 1 %`.
pub(super) fn against_limit(trigger: &TriggerStatus) -> String {
    let value = match trigger.value {
        Some(value) => trigger.settings().in_words(value),
        None => "not known".to_owned(),
    };
    format!("{} {value}, limit {}", trigger.label(), trigger.threshold_text())
}

/// Whether a trigger is bad, or was and is not clear for long enough since.
pub(super) fn is_pending(trigger: &TriggerStatus) -> bool {
    trigger.verdict == "breach" || trigger.held_seconds > 0.0 || trigger.firing
}

fn is_blind(guard: &GuardStatus) -> bool {
    guard.last_tick.is_some()
        && (guard.percentage_unknown.is_some() || guard.triggers.iter().any(|t| t.is_blind(guard.percentage)))
}

/// What a guard's open incident comes to.
fn story(guard: &GuardStatus, incident: &Incident) -> (Tone, &'static str, String) {
    let movement = words::movement(incident);
    if incident.reverted && !matches!(guard.state, GuardState::RollingBack) {
        let now = guard.percentage.map_or_else(String::new, |share| format!("; the share is {share} % now"));
        return (Tone::Bad, "undone", format!("rolled back {movement}, and somebody UNDID it{now}"));
    }
    match guard.state {
        GuardState::RollingBack => match (&incident.error, incident.attempt) {
            (Some(_), attempt) => {
                (Tone::Bad, "fails", format!("the rollback {movement} FAILS, and is tried again (attempt {attempt})"))
            }
            (None, _) => (Tone::Bad, "rolling back", format!("rolling back {movement}")),
        },
        GuardState::Verifying => {
            (Tone::Warn, "verifying", format!("rolled back {movement}, and watched whether it helped"))
        }
        GuardState::RolledBack => {
            (Tone::Warn, "rolled back", format!("rolled back {movement}, and it helped; latched until it is re-armed"))
        }
        GuardState::NotRecovered => (
            Tone::Bad,
            "not recovered",
            match (incident.completed_at, incident.verification) {
                (None, _) => format!("the rollback {movement} was NOT DONE; latched until it is re-armed"),
                (_, Some(Verification::CannotSee)) => {
                    format!("rolled back {movement}, and whether it helped cannot be seen")
                }
                _ => format!("rolled back {movement}, and it did NOT HELP"),
            },
        ),
        GuardState::Watching | GuardState::Paused => match incident.kind {
            IncidentKind::AtTarget => {
                (Tone::Bad, "at target", "bad, and its traffic is at the target already: nothing is moved".to_owned())
            }
            _ => (Tone::Warn, "incident", format!("an incident is open: {}", incident.reason)),
        },
    }
}

/// Of guards that are as bad as each other, which one comes first: where something happens, then where something may.
pub(super) fn urgency(guard: &GuardStatus) -> u8 {
    match (&guard.incident, guard.triggers.iter().any(is_pending)) {
        (Some(_), _) => 2,
        (None, true) => 1,
        (None, false) => 0,
    }
}

/// How a guard is.
pub(super) fn tone(guard: &GuardStatus) -> Tone {
    let mut tone = of_guard(guard).iter().map(|concern| concern.tone).max().unwrap_or(Tone::Good);
    if guard.ready == Some(false) {
        tone = Tone::Bad;
    }
    if is_blind(guard) {
        tone = tone.max(Tone::Unknown);
    }
    if guard.paused_until.is_some() {
        tone = tone.max(Tone::Warn);
    }
    tone
}
