//! One trigger of a guard.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::engine::{TriggerAction, TriggerStatus};

use super::super::curves::Curve;
use super::chart;
use super::concerns::{Tone, is_pending};
use super::layout::sign;
use super::words;

/// A verdict as the page says it.
pub(super) fn verdict_in_words(verdict: &str) -> &str {
    match verdict {
        "band" => "between",
        other => other,
    }
}

/// It, with its last hour.
pub(super) fn show(guard: &str, trigger: &TriggerStatus, curve: Option<&Curve>, now: Timestamp) -> Markup {
    let tone = Tone::of_verdict(trigger);
    let (text, reason) = (trigger.text(), trigger.reason());
    let id = format!("c-{guard}.{}", trigger.name());
    let does = match trigger.settings().action {
        TriggerAction::Rollback => "rolls back",
        TriggerAction::Page => "pages",
    };
    html! {
        li.trigger.(tone.class()) id={ "t-" (guard) "." (trigger.name()) } {
            div.says {
                h4 { (trigger.label()) }
                p.verdict { (sign(tone)) (verdict_in_words(trigger.verdict)) }
                p.soft {
                    (does) " after " (words::seconds(trigger.for_seconds))
                    @if trigger.firing { ", " b { "firing" } (acknowledged(trigger, now)) }
                }
            }
            div.numbers {
                p.value {
                    @if trigger.verdict == "unknown" && trigger.value.is_none() { "not known" } @else { (words::tied(&text)) }
                    " " span.limit { "limit " (words::tied(&trigger.threshold_text())) }
                }
                @if !reason.is_empty() { p.reason { (words::tied(&reason)) } }
                @if let Some(source) = &trigger.baseline_source {
                    p.soft {
                        "baseline: " (source)
                        @if trigger.recorded.as_ref().is_some_and(|recorded| recorded.is_too_old(now)) { ", " b { "too old" } }
                    }
                }
                @if is_pending(trigger) { (hold(trigger)) }
            }
            (chart::draw(&id, trigger, curve, now))
        }
    }
}

/// Whether somebody has said to have seen its page.
fn acknowledged(trigger: &TriggerStatus, now: Timestamp) -> Markup {
    html! {
        @match trigger.acknowledged_at {
            Some(at) => { ", acknowledged at " (words::time(at, now)) }
            None => { ", not acknowledged" }
        }
    }
}

/// For how long the breach is held, of how long it must be.
fn hold(trigger: &TriggerStatus) -> Markup {
    let (held, hold_for) = (trigger.held_seconds.min(trigger.for_seconds), trigger.for_seconds);
    let words = format!("held {} of {}", words::seconds(trigger.held_seconds), words::seconds(hold_for));
    html! {
        p.hold {
            progress max=(hold_for.max(1.0)) value=(held) aria-label={ (trigger.label()) ": the breach is held" } {}
            span { (words) }
        }
    }
}
