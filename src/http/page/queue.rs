//! What waits for the receivers, and what they will never get.

use jiff::Timestamp;
use maud::{Markup, html};

use super::super::{Lost, Queue};
use super::concerns::Tone;
use super::layout::sign;
use super::words;

/// Both.
pub(super) fn all(receivers: &[Queue], lost: &[Lost], leads: bool, now: Timestamp) -> Markup {
    html! {
        section #receivers aria-labelledby="h-receivers" {
            h2 #h-receivers { "Notifications" }
            @if receivers.is_empty() { p.soft { "No receiver is configured: nobody is told." } }
            ul.receivers {
                @for queue in receivers {
                    li {
                        @match queue.waiting {
                            // Those of a standby are of itself only.
                            0 if !leads => { (sign(Tone::Note)) b { (queue.receiver) } " what waits is known by who leads" }
                            0 => { (sign(Tone::Good)) b { (queue.receiver) } " nothing waits" }
                            waiting => {
                                (sign(Tone::Warn)) b { (queue.receiver) } " "
                                (waiting) " waiting, the oldest for " (words::seconds(queue.oldest_seconds))
                            }
                        }
                    }
                }
            }
            @if !lost.is_empty() {
                h3 { "Lost" }
                p.soft { "These never arrived. Other receivers are told of it." }
                ul.lost {
                    @for letter in lost.iter().rev() {
                        li {
                            p { (sign(Tone::Bad)) (words::time(letter.time, now)) " " b { (letter.receiver) } " " (letter.event) ": " (letter.summary) }
                            p.soft { (letter.reason) }
                        }
                    }
                }
            }
        }
    }
}
