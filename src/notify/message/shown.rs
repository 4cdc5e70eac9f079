//! What a notification shows of its story: which numbers, what Ripcord did, whether it helped.

use std::time::Duration;

use jiff::SignedDuration;

use crate::engine::{Event, Language, Next, Notification, RollbackFacts, Severity, StepReport, StepResult};

use super::words::{Did, Heading, Held, Helped};

/// Under which heading the trigger's numbers stand; nowhere, where they are part of what is said of whether it helped.
pub(super) fn shown(notification: &Notification) -> Option<(Heading, Option<Held>)> {
    let trigger = notification.trigger.as_ref()?;
    let time = Duration::try_from_secs_f64(trigger.held_seconds).unwrap_or_default();
    let held = |since: bool| {
        let begin = || notification.time.checked_sub(SignedDuration::try_from(time).ok()?).ok();
        // What was not observed does not count as held, so the breach may be older than this.
        (time >= Duration::from_secs(1)).then(|| Held { time, since: begin().filter(|_| since) })
    };
    match notification.event {
        Event::RollbackStarted | Event::PageFiring => Some((Heading::Wrong, held(true))),
        // What ended by itself is not held any more. What was ended, by a reload say, still has the numbers of its beginning.
        Event::PageResolved if !was_ended(notification) => Some((Heading::Now, None)),
        Event::RollbackVerified | Event::RollbackNotRecovered if !notification.dry_run => None,
        Event::RollbackVerified
        | Event::RollbackNotRecovered
        | Event::RollbackSucceeded
        | Event::RollbackFailed
        | Event::RollbackReverted
        | Event::PageResolved => Some((Heading::AtTheTrip, held(false))),
        Event::WatchdogBlind
        | Event::WatchdogSees
        | Event::WatchdogNotReady
        | Event::WatchdogReady
        | Event::WatchdogStarted
        | Event::WatchdogStopping
        | Event::GuardPaused
        | Event::GuardRearmed
        | Event::GuardAcknowledged
        | Event::NotificationLost => None,
    }
}

/// Whether a page was ended because its trigger or its guard was: it still has the numbers of its beginning, which held.
pub(super) fn was_ended(notification: &Notification) -> bool {
    notification.event == Event::PageResolved
        && notification.trigger.as_ref().is_some_and(|trigger| trigger.held_seconds > 0.0)
}

pub(super) fn did(notification: &Notification) -> Option<Did> {
    if notification.dry_run && notification.rollback.is_some() {
        return Some(Did::WouldHaveMoved);
    }
    let changed = |rollback: &RollbackFacts| rollback.steps.iter().any(|step| step.result == StepResult::Changed);
    Some(match (notification.event, notification.next) {
        (Event::RollbackStarted, _) => Did::Moves,
        (Event::RollbackSucceeded, _) if !notification.rollback.as_ref().is_some_and(changed) => Did::FoundDone,
        (Event::RollbackSucceeded | Event::RollbackVerified | Event::RollbackNotRecovered, _) => Did::Moved,
        (Event::RollbackFailed, Some(Next::Retry { .. })) if is_changed(notification) => Did::RolloutFails,
        (Event::RollbackFailed, Some(Next::Retry { .. })) => Did::MovesAndFails,
        (Event::RollbackFailed, _) => Did::Abandoned,
        (Event::RollbackReverted, _) => Did::Undone,
        (Event::PageFiring, Some(Next::Rearm)) => Did::Latched,
        (Event::PageFiring, _) if notification.severity == Severity::Critical && is_at_target(notification) => {
            Did::AtTarget
        }
        (Event::PageFiring, _) => Did::OnlyTells,
        _ => return None,
    })
}

/// A page of a trigger that only pages names it in its incident; one of a guard at its target does not.
fn is_at_target(notification: &Notification) -> bool {
    let of_trigger = |incident: &String| {
        let guard = notification.guard.as_deref().unwrap_or_default();
        incident.strip_prefix(guard).is_some_and(|rest| rest.starts_with('.'))
    };
    notification.trigger.is_some() && !notification.incident.as_ref().is_some_and(of_trigger)
}

pub(super) fn helped(notification: &Notification, language: Language) -> Option<Helped> {
    if notification.dry_run {
        return None;
    }
    let now = notification.trigger_in(language);
    let known = notification.trigger.as_ref().is_none_or(|trigger| trigger.value.is_some());
    match notification.event {
        Event::RollbackSucceeded => Some(Helped::NotKnownYet),
        Event::RollbackFailed if is_changed(notification) => Some(Helped::NotMoved),
        Event::RollbackFailed => Some(Helped::NotDone),
        // What was undone may have helped, or not.
        Event::RollbackVerified if notification.rollback.as_ref().is_some_and(|rollback| rollback.undone) => {
            Some(Helped::NotSeen(now))
        }
        Event::RollbackVerified => Some(Helped::Yes(now)),
        Event::RollbackNotRecovered if known && now.is_some() => Some(Helped::No(now)),
        Event::RollbackNotRecovered => Some(Helped::NotSeen(now)),
        Event::RollbackReverted => Some(Helped::NoLonger),
        _ => None,
    }
}

/// Whether every step is done, so that only the rollouts are waited for.
fn is_changed(notification: &Notification) -> bool {
    let done =
        |step: &StepReport| matches!(step.result, StepResult::Changed | StepResult::AlreadyThere | StepResult::Absent);
    notification.rollback.as_ref().is_some_and(|rollback| rollback.steps.iter().all(done))
}

/// Where what came of each step is worth its lines.
pub(super) fn has_steps(event: Event) -> bool {
    matches!(event, Event::RollbackStarted | Event::RollbackSucceeded | Event::RollbackFailed | Event::RollbackReverted)
}
