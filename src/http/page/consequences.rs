//! What would come of an action, and what of it a confirmation rests on.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::engine::{GuardState, GuardStatus};

use super::super::ConfiguredGuard;
use super::action::Action;
use super::concerns;
use super::confirm::Asked;
use super::words;

/// Something that nobody has said to have seen.
pub(super) struct Unseen {
    /// In a word or two.
    pub brief: String,
    /// With its reason or its numbers.
    pub whole: String,
}

/// What an acknowledgement is of: the incident, and each page of a trigger that only pages.
pub(super) fn to_acknowledge(status: &GuardStatus) -> Vec<Unseen> {
    let incident = status.incident.as_ref().filter(|_| Action::is_incident_to_acknowledge(status));
    let incident = incident.map(|incident| Unseen {
        brief: "the incident".to_owned(),
        whole: format!("the incident: {}", incident.reason),
    });
    let pages = status.triggers.iter().filter(|trigger| trigger.is_unacknowledged()).map(|trigger| {
        let brief = format!("the page of {}", trigger.label());
        Unseen { brief, whole: format!("the page of {}", concerns::against_limit(trigger)) }
    });
    incident.into_iter().chain(pages).collect()
}

/// What a confirmation rests on, for its form: where something of it is another when the form comes, its reader has confirmed something
/// else. What changes all the time, as measurements and the share do, is no part of it.
pub(super) fn shown(asked: &Asked) -> String {
    let Asked { action, status, configured, dry_run, .. } = asked;
    let mut all = vec![format!("state {}, dry run {dry_run}", status.state.as_str())];
    all.extend(status.paused_until.map(|until| format!("paused until {until}")));
    all.extend(status.incident.as_ref().map(|incident| format!("incident {}", incident.id)));
    all.extend(status.shift.as_ref().map(|shift| format!("shift {}", shift.id)));
    match action {
        Action::Rollback => {
            all.push(format!("to {}", target(configured.as_ref())));
            all.extend(configured.iter().flat_map(|configured| &configured.rollback.steps).cloned());
        }
        Action::Acknowledge => {
            let incident = Action::is_incident_to_acknowledge(status);
            all.push(format!("acknowledges {incident}, gives up {}", status.acknowledging_gives_up));
            let pages = status.triggers.iter().filter(|trigger| trigger.is_unacknowledged());
            all.extend(pages.filter_map(|page| Some(format!("page {} since {}", page.name(), page.firing_since?))));
        }
        Action::Pause | Action::Resume | Action::Rearm => {}
    }
    all.join("; ")
}

/// The share that a rollback by hand goes to.
fn target(configured: Option<&ConfiguredGuard>) -> u8 {
    configured.and_then(|configured| configured.rollback.percentages.last().copied()).unwrap_or_default()
}

/// Why there is no sense in it now. Asked for all the same, the engine says the last word.
fn nothing_to_do(action: Action, status: &GuardStatus, now: Timestamp) -> Markup {
    html! {
        @match (action, status.paused_until) {
            (Action::Pause, Some(until)) => { "It is paused until " (words::time(until, now)) " already: this sets another end." }
            (Action::Rearm, Some(_)) => { "It is paused: resume it first." }
            (Action::Rearm, None) if matches!(status.state, GuardState::RollingBack | GuardState::Verifying) => {
                "A rollback is under way: wait for it, or pause the guard."
            }
            (Action::Rearm, None) => { "It is watching already." }
            (Action::Resume, _) => { "It is not paused." }
            (Action::Acknowledge, _) => { "There is nothing to acknowledge." }
            (Action::Pause | Action::Rollback, _) => {}
        }
    }
}

/// What an action comes to, at present.
pub(super) fn in_words(asked: &Asked, now: Timestamp) -> Markup {
    let Asked { action, status, configured, .. } = asked;
    html! {
        @if !action.makes_sense(status) { p.soft { (nothing_to_do(*action, status, now)) } }
        @match action {
            Action::Rollback => (rollback(status, configured.as_ref())),
            Action::Pause => {
                p { "Nothing is rolled back until the pause is over. What is measured goes on, and so do pages of triggers that only page." }
                @if status.state == GuardState::RollingBack { p { "The rollback that is under way is held up. What was sent stays sent." } }
                @if status.shift.is_some() { p { "The shift that is under way is cut short." } }
            }
            Action::Resume => {
                @if let Some(until) = status.paused_until { p { "It is paused until " (words::time(until, now)) "." } }
                p { "It goes on at once where it was: a breach that holds rolls it back." }
            }
            Action::Rearm => { p { "It watches again, with its clocks at nothing: a breach that holds rolls it back again." } }
            Action::Acknowledge => {
                p { "The receivers are told that somebody has seen this, and nobody else is called for it:" }
                ul { @for what in to_acknowledge(status) { li { (what.whole) } } }
                @if status.acknowledging_gives_up {
                    p { b { "The rollback that fails is given up" } ": it is not tried again" @if status.paused_until.is_some() { ", also not after the pause" } "." }
                }
            }
        }
    }
}

fn rollback(status: &GuardStatus, configured: Option<&ConfiguredGuard>) -> Markup {
    let to = target(configured);
    html! {
        p.move {
            "Its traffic goes "
            b {
                @if let Some(from) = status.percentage { "from " (from) " % " }
                "to " (to) " %"
            }
            ", by these steps:"
        }
        ol {
            @for step in configured.map(|configured| configured.rollback.steps.as_slice()).unwrap_or_default() { li { (step) } }
        }
        p { "Then it is latched: nothing rolls it back again until a person re-arms it." }
        @if status.state == GuardState::RollingBack { p { "A rollback is under way already: it is tried again at once." } }
        @if status.paused_until.is_some() { p { "This ends its pause." } }
        @if status.ready == Some(false) {
            p.wrong { b { "It would FAIL as things are:" } }
            ul { @for problem in &status.problems { li { b { (problem.step) } ": " (problem.error) } } }
        }
    }
}
