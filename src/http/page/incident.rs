//! Incidents with their stories.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::engine::{Incident, IncidentKind, StepResult, Verification};

use super::concerns::Tone;
use super::layout::sign;
use super::words;

/// All that are shown, the open ones first.
pub(super) fn all(incidents: &[Incident], left_out: usize, now: Timestamp) -> Markup {
    html! {
        section #incidents aria-labelledby="h-incidents" {
            h2 #h-incidents { "Incidents" }
            @if incidents.is_empty() { p.soft { "None are open, and none are kept." } }
            @for incident in incidents { (one(incident, now)) }
            @if left_out > 0 {
                p.soft { "And " (words::count(left_out, "older one", "older ones")) ": " a href="/api/v1/incidents" { "all of them as JSON" } "." }
            }
        }
    }
}

fn one(incident: &Incident, now: Timestamp) -> Markup {
    let (tone, outcome) = outcome(incident);
    let kind = match incident.kind {
        IncidentKind::Rollback => format!("rollback {}", words::movement(incident)),
        IncidentKind::AtTarget => "bad with its traffic at the target".to_owned(),
        IncidentKind::Shift => format!("shift {}", words::movement(incident)),
    };
    html! {
        details.incident.(tone.class()) id={ "incident-" (incident.id) } open[incident.closed_at.is_none()] {
            summary {
                h3 { (sign(tone)) (incident.guard) ": " (words::tied(&kind)) }
                p {
                    @if incident.dry_run { b { "dry run" } ", " }
                    (outcome) ", " span.soft {
                        (words::time(incident.opened_at, now))
                        @if let Some(closed) = incident.closed_at { " to " (words::time(closed, now)) } @else { ", open" }
                    }
                }
            }
            div.story {
                p { (incident.reason) }
                @if let Some(error) = &incident.error { p.wrong { b { "Fails: " } (error) } }
                @for facts in &incident.triggers {
                    p.soft { "At the trip: " (facts.name) " " (facts.text) ", limit " (facts.threshold_text) ", held " (words::seconds(facts.held_seconds)) }
                }
                @if let Some(at) = incident.acknowledged_at { p.soft { "Acknowledged at " (words::time(at, now)) "." } }
                @if !incident.drift.is_empty() {
                    h4 { "Undone by somebody" }
                    ul {
                        @for drift in &incident.drift {
                            li { b { (drift.step) } ": " (drift.what) @if let Some(who) = &drift.who { ", set by " (who) } }
                        }
                    }
                }
                @if !incident.steps.is_empty() {
                    h4 { "Steps" }
                    ul.steps {
                        @for step in &incident.steps {
                            li {
                                span.(step_tone(step.result).class()) { (sign(step_tone(step.result))) (step.result.as_str()) }
                                " " (step.step)
                                @if let Some(detail) = &step.detail { span.soft { " (" (detail) ")" } }
                            }
                        }
                    }
                }
                h4 { "What happened" }
                ol.timeline {
                    @for entry in &incident.timeline { li { (words::time(entry.time, now)) " " span { (entry.text) } } }
                }
                @if !incident.snapshot.is_empty() {
                    h4 { "Saved before the change" }
                    ul { @for saved in &incident.snapshot { li { (saved.object) } } }
                    p.soft { "To see or put back: " code { "ripcord backup DIR --incident " (incident.id) } }
                }
                p.soft { "Incident " code { (incident.id) } }
            }
        }
    }
}

/// What has come of it so far.
fn outcome(incident: &Incident) -> (Tone, &'static str) {
    let closed = incident.closed_at.is_some();
    match (incident.kind, incident.verification) {
        (_, Some(Verification::Recovered)) if incident.reverted => {
            (Tone::Warn, "undone: whether it helped is not known")
        }
        (_, Some(Verification::Recovered)) if closed => (Tone::Good, "it helped"),
        (_, Some(Verification::Recovered)) => (Tone::Warn, "it helped"),
        (_, Some(Verification::NotRecovered)) => (Tone::Bad, "it did not help"),
        (_, Some(Verification::CannotSee)) => (Tone::Unknown, "whether it helped cannot be seen"),
        (_, None) if incident.error.is_some() => (Tone::Bad, "it failed"),
        (IncidentKind::Shift, None) if incident.completed_at.is_some() => (Tone::Good, "shifted"),
        (IncidentKind::Shift, None) => (Tone::Note, "under way"),
        (IncidentKind::AtTarget, None) if closed => (Tone::Good, "over"),
        (IncidentKind::AtTarget, None) => (Tone::Bad, "nothing to move"),
        (IncidentKind::Rollback, None) if closed => (Tone::Note, "ended before it was known whether it helped"),
        (IncidentKind::Rollback, None) if incident.completed_at.is_some() => {
            (Tone::Warn, "done, checking whether it helped")
        }
        (IncidentKind::Rollback, None) => (Tone::Bad, "under way"),
    }
}

fn step_tone(result: StepResult) -> Tone {
    match result {
        StepResult::Planned => Tone::Note,
        StepResult::Failed => Tone::Bad,
        StepResult::Changed | StepResult::AlreadyThere | StepResult::Absent | StepResult::WouldChange => Tone::Good,
    }
}
