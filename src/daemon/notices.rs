//! What Ripcord tells of itself: that it starts, stops, leads.

use jiff::Timestamp;

use crate::engine::{Event, Notification, Severity};

/// Guards that the first notification names.
const NAMED_GUARDS: usize = 10;

/// A notification about Ripcord itself.
fn notice(event: Event, summary: String, now: Timestamp) -> Notification {
    Notification {
        id: format!("{}-{}", event.as_str(), now.strftime("%Y%m%dT%H%M%S%.3fZ")),
        event,
        severity: Severity::Info,
        time: now,
        guard: None,
        guards: Vec::new(),
        incident: None,
        summary,
        advice: "Nothing.".to_owned(),
        trigger: None,
        rollback: None,
        next: None,
        dry_run: false,
        chinese: None,
    }
}

/// The first notification of a process that leads.
pub fn started(guards: &[&str], taken_up: &[String], now: Timestamp) -> Notification {
    let mut named = guards.iter().take(NAMED_GUARDS).copied().collect::<Vec<_>>().join(", ");
    if guards.len() > NAMED_GUARDS {
        named.push_str(&format!(" and {} more", guards.len() - NAMED_GUARDS));
    }
    let mut summary = format!("Ripcord {} watches {named}", crate::VERSION);
    if !taken_up.is_empty() {
        summary.push_str(&format!("; it goes on with the rollback of {}", taken_up.join(", ")));
    }
    notice(Event::WatchdogStarted, summary, now)
}

/// The last notification of a process that leads.
pub fn stopping(unfinished: Vec<String>, goes_on: GoesOn, now: Timestamp) -> Notification {
    let until = match goes_on {
        GoesOn::Elsewhere => "another replica takes over",
        GoesOn::NextTime | GoesOn::Never => "nothing is watched until it runs again",
    };
    if unfinished.is_empty() {
        return notice(Event::WatchdogStopping, format!("Ripcord stops: {until}"), now);
    }
    let what = format!("Ripcord stops with a rollback that is not done: {}", unfinished.join(", "));
    let (severity, rest, advice) = match goes_on {
        GoesOn::Elsewhere => (Severity::Info, "another replica goes on with it", "Nothing."),
        GoesOn::NextTime => (
            Severity::Critical,
            "it goes on when Ripcord runs again",
            "See to it that Ripcord runs again, and look at the share of these guards until it does.",
        ),
        GoesOn::Never => (
            Severity::Critical,
            "nobody goes on with it",
            "Look at the share of these guards now: what was sent stays sent, the rest is not done.",
        ),
    };
    Notification {
        severity,
        advice: advice.to_owned(),
        guards: unfinished,
        ..notice(Event::WatchdogStopping, format!("{what}; {rest}"), now)
    }
}

/// Who goes on with a rollback that a stop leaves undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoesOn {
    /// Another replica, in seconds.
    Elsewhere,
    /// This one, when it is started again.
    NextTime,
    /// Nobody: nothing is kept.
    Never,
}

/// The state could not be used.
pub fn set_aside(why: &str, place: &str, aside: &Result<String, String>, now: Timestamp) -> Notification {
    let aside = match aside {
        Ok(to) => format!("it is kept in {to}"),
        Err(error) => format!("it could not be kept: {error}"),
    };
    Notification {
        severity: Severity::Critical,
        advice:
            "Look at the guards: latches, pauses and rollbacks under way are forgotten, and pages that waited are lost."
                .to_owned(),
        ..notice(
            Event::WatchdogNotReady,
            format!("Ripcord begins with an empty memory: {place} cannot be used, {why}; {aside}"),
            now,
        )
    }
}
