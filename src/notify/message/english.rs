//! The words of a message in English.

use crate::engine::{Next, RollbackFacts, StepResult, TriggerWords, duration_in_words};

use super::content::Tone;
use super::words::{Did, Heading, Held, Helped, Label, Words};
use super::{seconds, utc};

pub(super) struct English;

impl Words for English {
    fn severity(&self, tone: Tone) -> &'static str {
        match tone {
            Tone::Critical => "CRITICAL",
            Tone::Warning => "WARNING",
            Tone::Info => "INFO",
            Tone::Good => "OK",
        }
    }

    fn heading(&self, heading: Heading) -> &'static str {
        match heading {
            Heading::ToDo => "What to do now",
            Heading::Wrong => "What is wrong",
            Heading::AtTheTrip => "What it was about",
            Heading::Now => "What is measured now",
            Heading::Did => "What Ripcord did",
            Heading::Helped => "Did it help",
            Heading::Next => "What Ripcord does next",
            Heading::Error => "What went wrong",
            Heading::Steps => "Steps",
            Heading::Guards => "Guards",
        }
    }

    fn label(&self, label: Label) -> &'static str {
        match label {
            Label::Runbook => "Runbook",
            Label::Status => "Status",
            Label::Dashboard => "Dashboard",
            Label::Event => "Event",
            Label::Time => "Time",
            Label::Guard => "Guard",
            Label::Incident => "Incident",
            Label::Notification => "Notification",
        }
    }

    fn colon(&self) -> &'static str {
        ": "
    }

    fn measured(&self, trigger: &TriggerWords, held: Option<&Held>) -> Vec<String> {
        let mut lines = vec![number(trigger)];
        lines.extend(held.map(|held| {
            let time = duration_in_words(held.time);
            match held.since {
                Some(since) => {
                    format!("Breach observed for {time}, since {} or earlier", since.strftime("%H:%M:%S UTC"))
                }
                None => format!("Breach had been observed for {time}"),
            }
        }));
        lines.extend(trigger.baseline_source.iter().map(|source| format!("Baseline: {source}")));
        lines
    }

    fn did(&self, did: Did, rollback: Option<&RollbackFacts>) -> String {
        let way = rollback.map(way).unwrap_or_default();
        match did {
            Did::WouldHaveMoved => format!("Nothing: this is a dry run. It would have moved the traffic{way}."),
            Did::Moves => format!("It is moving the traffic{way}."),
            Did::MovesAndFails => format!("It is trying to move the traffic{way}. A step failed."),
            Did::RolloutFails => {
                format!(
                    "It changed every object to move the traffic{way}. Traffic follows as pods become ready, and they do not."
                )
            }
            Did::Abandoned => format!("It was moving the traffic{way}, and has stopped before it was done."),
            Did::Moved => format!("It moved the traffic{way}. Every step is done."),
            Did::FoundDone => format!("It was to move the traffic{way}, and found every step done already."),
            Did::Undone => format!("It moved the traffic{way}. Somebody undid that, and Ripcord does not repeat it."),
            Did::OnlyTells => "Nothing: this trigger only pages.".to_owned(),
            Did::AtTarget => "Nothing: the traffic is at its target already.".to_owned(),
            Did::Latched => "Nothing: the guard has been latched since its last rollback.".to_owned(),
        }
    }

    fn helped(&self, helped: &Helped) -> String {
        match helped {
            Helped::NotKnownYet => "Not known yet.".to_owned(),
            Helped::NotMoved => "Not yet: traffic moves as pods become ready.".to_owned(),
            Helped::NotDone => "No. The traffic may not have moved, or only in part.".to_owned(),
            Helped::Yes(Some(now)) => format!("Yes. Since the change: {}", number(now)),
            Helped::Yes(None) => "Yes. The triggers are clear since the change.".to_owned(),
            Helped::No(Some(now)) => format!("No. Since the change: {}", number(now)),
            Helped::No(None) => "No. The triggers did not become clear in time.".to_owned(),
            Helped::NotSeen(Some(now)) => format!("It cannot be seen. {}: {}", now.label, now.text),
            Helped::NotSeen(None) => "It cannot be seen.".to_owned(),
            Helped::NoLonger => "Not any more, as far as it was undone.".to_owned(),
        }
    }

    fn next(&self, next: Next, moving: bool) -> String {
        match next {
            Next::Verify { within_seconds } => {
                let when = if moving { "Once every pod has restarted it checks" } else { "It checks" };
                let within = duration_in_words(seconds(within_seconds));
                format!("{when} for at most {within} whether the service is well, and tells you.")
            }
            Next::Retry { in_seconds } => format!(
                "It tries again in about {in_seconds:.0} s and goes on until it works. You are told when it does, and not of each failure \
                 in between."
            ),
            Next::Rung { percentage } => format!("It moves the traffic on to {percentage} % and checks again."),
            Next::Rearm => "Nothing: it does not roll this guard back by itself before somebody re-arms it.".to_owned(),
            Next::Resume { until } => format!("Nothing before {}, or before somebody resumes the guard.", utc(until)),
            Next::Tell => "It tells you when this is over.".to_owned(),
        }
    }

    fn step(&self, result: StepResult) -> &'static str {
        result.as_str()
    }

    fn detail(&self, result: &str, detail: &str) -> String {
        format!("{result} ({detail})")
    }
}

/// `error_rate: 3.1 % (31 of 1000 requests failed), limit 1 %`.
fn number(trigger: &TriggerWords) -> String {
    format!("{}: {}, limit {}", trigger.label, trigger.text, trigger.threshold_text)
}

/// The way of the traffic: ` from 25 % to 0 %`.
fn way(rollback: &RollbackFacts) -> String {
    match rollback.from_percentage {
        Some(from) => format!(" from {from} % to {} %", rollback.to_percentage),
        None => format!(" to {} %", rollback.to_percentage),
    }
}
