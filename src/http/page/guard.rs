//! One guard: how it is, what it would do, its triggers, and what can be asked of it.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::engine::{GuardState, GuardStatus, TriggerAction};

use super::action::Action;
use super::concerns::{Tone, is_pending};
use super::layout::sign;
use super::selection::{Line, Whole};
use super::trigger;
use super::words;

/// A state as the page says it.
pub(super) fn state_in_words(state: GuardState) -> &'static str {
    match state {
        GuardState::Watching => "Watching",
        GuardState::RollingBack => "Rolling back",
        GuardState::Verifying => "Rolled back, checking whether it helped",
        GuardState::RolledBack => "Rolled back, latched",
        GuardState::NotRecovered => "Not recovered, latched",
        GuardState::Paused => "Paused",
    }
}

/// A guard with everything about it. `leads`: whether this replica does; `acts`: whether its reader may ask for something here.
pub(super) fn whole(guard: &Whole, leads: bool, acts: bool, now: Timestamp) -> Markup {
    let Whole { tone, status, curves, configured } = guard;
    let name = &status.guard;
    html! {
        section.guard.(tone.class()) id={ "guard-" (name) } aria-labelledby={ "name-" (name) } {
            header {
                h3 id={ "name-" (name) } { (sign(*tone)) (name) }
                p.state { (state(status, now)) }
                (share(status))
            }
            p.next { (next(guard)) }
            ul.triggers {
                @for trigger in &status.triggers {
                    @let curve = curves.iter().find(|(of, _)| of == trigger.name()).map(|(_, curve)| curve);
                    (trigger::show(name, trigger, curve, now))
                }
            }
            div.foot {
                (readiness(status, leads, now))
                @let runbook = configured.as_ref().and_then(|configured| configured.runbook.as_deref());
                @if acts || runbook.is_some() {
                    p.buttons {
                        @if let Some(runbook) = runbook { a href=(runbook) rel="noreferrer" { "Runbook of " (name) } }
                        @if acts {
                            @for action in Action::of(status) {
                                // With an id, so that a button that is being pressed does not become another one when the page is updated.
                                a.button id={ "b-" (name) "." (action.as_str()) } href=(action.path(name)) { (action.label()) span.unseen-text { " " (name) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn state(status: &GuardStatus, now: Timestamp) -> Markup {
    html! {
        (state_in_words(status.state))
        @if let Some(until) = status.paused_until { " until " (words::time(until, now)) }
        @if let Some(incident) = &status.incident {
            ", " a href={ "#incident-" (incident.id) } { "the incident" }
        }
        @if let Some(shift) = &status.shift {
            ", " a href={ "#incident-" (shift.id) } { "shifting " (words::movement(shift)) }
        }
    }
}

/// The share of the traffic on the new path.
fn share(status: &GuardStatus) -> Markup {
    html! {
        p.share {
            @match (status.percentage, &status.percentage_unknown) {
                (Some(share), _) => {
                    svg.bar viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" {
                        rect.all width="100" height="8" {}
                        rect.part width=(share) height="8" {}
                    }
                    span { b { (share) " %" } " on the new path" }
                }
                (None, Some(why)) => { (sign(Tone::Unknown)) span { "Its share is not known: " (why) } }
                (None, None) => { span.soft { "Its share was not read yet" } }
            }
        }
    }
}

/// What it would do next, and when at the earliest.
fn next(guard: &Whole) -> Markup {
    let status = &guard.status;
    let rungs = guard.configured.as_ref().map(|c| c.rollback.percentages.as_slice()).unwrap_or_default();
    let rolls_back = |t: &&crate::engine::TriggerStatus| t.settings().action == TriggerAction::Rollback;
    let first = status.triggers.iter().filter(rolls_back).filter(|t| is_pending(t));
    let first = first.min_by(|a, b| (a.for_seconds - a.held_seconds).total_cmp(&(b.for_seconds - b.held_seconds)));
    // A share that is not known goes to the last rung.
    let rung = match status.percentage {
        Some(share) => rungs.iter().copied().find(|rung| *rung < share),
        None => rungs.last().copied(),
    };
    let at_all = status.triggers.iter().any(|t| rolls_back(&t));
    html! {
        @match (status.state, rung) {
            (GuardState::Watching, _) if !at_all => { "No trigger rolls it back: it only pages." }
            (GuardState::Watching, Some(rung)) => {
                @match (first, status.percentage) {
                    (Some(trigger), from) => {
                        "Goes " (from_to(from, rung)) " when " b { (trigger.label()) } " has held for "
                        (words::seconds(trigger.for_seconds)) ": at the earliest in "
                        b { (words::seconds((trigger.for_seconds - trigger.held_seconds).max(0.0))) } "."
                    }
                    (None, from) => { "A breach that holds takes it " (from_to(from, rung)) "." }
                }
            }
            (GuardState::Watching, None) => { "At its target already: a breach pages, and nothing is moved." }
            (GuardState::Paused, _) => { "Nothing is rolled back until then." }
            (GuardState::RolledBack | GuardState::NotRecovered, _) => { "Nothing rolls it back again until a person re-arms it." }
            (GuardState::RollingBack | GuardState::Verifying, _) => {
                @if let Some(incident) = &status.incident { (words::movement(incident)) ": " (incident.reason) }
            }
        }
    }
}

fn from_to(from: Option<u8>, to: u8) -> String {
    words::tied(&from.map_or_else(|| format!("to {to} %"), |from| format!("{from} % → {to} %")))
}

/// Whether a rollback would work, as it was last tried.
fn readiness(status: &GuardStatus, leads: bool, now: Timestamp) -> Markup {
    html! {
        div.readiness {
            @match (status.ready, status.ready_checked_at) {
                // What the real one says counts more than what a dry run said before it.
                _ if status.state == GuardState::RollingBack => {}
                (Some(true), Some(at)) => {
                    p { (sign(Tone::Good)) "A rollback would work: tried " (words::ago(at, now)) "." }
                }
                (Some(false), Some(at)) => {
                    p { (sign(Tone::Bad)) b { "A rollback would FAIL" } ": tried " (words::ago(at, now)) "." }
                    ul {
                        @for problem in &status.problems { li { b { (problem.step) } ": " (problem.error) } }
                    }
                }
                _ if !leads => { p.soft { "Whether a rollback would work is tried by who leads." } }
                _ => { p.soft { "Whether a rollback would work has not been tried yet." } }
            }
            @if !status.warnings.is_empty() {
                p { (sign(Tone::Warn)) "Worth a look all the same:" }
                ul { @for warning in &status.warnings { li { (warning) } } }
            }
        }
    }
}

/// Those that are well, or too many, a line each.
pub(super) fn lines(lines: &[Line]) -> Markup {
    html! {
        ul.lines {
            @for line in lines {
                li.line.(line.tone.class()) id={ "guard-" (line.guard) } {
                    a href={ "/?guard=" (line.guard) } { (sign(line.tone)) (line.guard) }
                    span { (line.state) }
                    span { @if let Some(share) = line.percentage { (share) " %" } @else { "share unknown" } }
                    span.marks {
                        @for (tone, label, verdict) in &line.triggers {
                            span.mark { (sign(*tone)) (label) span.unseen-text { " " (trigger::verdict_in_words(verdict)) } }
                        }
                    }
                }
            }
        }
    }
}
