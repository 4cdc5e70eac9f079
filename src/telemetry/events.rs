//! What can be told, and how each of it becomes a line and a metric.

use std::time::Duration;

use jiff::Timestamp;
use metrics::{counter, gauge, histogram};
use tracing::{debug, error, info, warn};

use crate::engine::{GuardState, Record};
use crate::notify::DeliveryEvent;

use super::names;

/// Something that happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// The process starts.
    Started {
        /// How many guards it watches.
        guards: usize,
        /// Whether it changes nothing.
        dry_run: bool,
    },
    /// A tick was decided on.
    Evaluated {
        /// When the tick was due.
        due: Timestamp,
        /// From the instant to the decision.
        took: Duration,
        /// Triggers that are known.
        known: usize,
        /// Triggers that are not.
        unknown: usize,
    },
    /// Ticks were left out because the one before took too long.
    Missed {
        /// How many.
        ticks: i64,
    },
    /// A query ended.
    Queried {
        /// `ok`, or why nothing is known.
        result: &'static str,
        /// How long it took.
        took: Duration,
    },
    /// The engine decided something, or that there is nothing to do.
    Decided(&'a Record),
    /// Something became of a notification.
    Delivery(&'a DeliveryEvent),
    /// A new configuration is in use.
    Reloaded {
        /// When.
        at: Timestamp,
        /// How many guards it has.
        guards: usize,
    },
    /// A new configuration was refused; the old one stays.
    ReloadRefused {
        /// Everything that is wrong with it.
        findings: &'a [crate::config::Finding],
    },
    /// An object could not be saved before it is changed. The change does not wait for that.
    NotSaved {
        /// The guard.
        guard: &'a str,
        /// What was tried, on what, and why it failed.
        error: &'a str,
    },
    /// An Event could not be left on an object.
    NotAnnounced {
        /// The object.
        object: &'a str,
        /// Why.
        error: &'a dyn std::error::Error,
    },
    /// This replica leads: it acts from here on.
    Leading,
    /// Another replica leads, or none yet: this one only watches from here on.
    StandingBy {
        /// Why.
        reason: &'a str,
        /// Who leads, as the Lease says.
        holder: Option<&'a str>,
    },
    /// The Lease can be neither read nor written.
    LeaseFailing {
        /// Why.
        error: &'a str,
    },
    /// It can again.
    LeaseRecovered,
    /// The state is written.
    Journalled {
        /// How many closed incidents, dead letters and pages of little worth were left out so that it fits.
        left_out: usize,
    },
    /// The state could not be written. What waits for it is begun all the same, and it is written again.
    NotJournalled {
        /// Why.
        error: &'a str,
    },
    /// The state was not written, because somebody else wrote it meanwhile: another replica leads.
    Fenced {
        /// What the write was answered.
        error: &'a str,
    },
    /// The state of before was read, and is gone on with.
    Restored {
        /// How many incidents are in it.
        incidents: usize,
        /// How many pages wait in it.
        pages: usize,
    },
    /// The state of before cannot be read yet; it is tried again.
    NotRestored {
        /// Why.
        error: &'a str,
    },
    /// The state of before cannot be used. It is kept aside for a person, and an empty one takes its place.
    SetAside {
        /// What is wrong with it.
        reason: &'a str,
        /// Where it is now.
        to: &'a str,
    },
    /// Missed ticks were fetched afterwards.
    Replayed {
        /// How many.
        ticks: u64,
        /// When the first was due.
        from: Timestamp,
        /// When the last was due.
        to: Timestamp,
    },
    /// Missed ticks could not be fetched: the clocks of the triggers stood still for so long.
    NotReplayed {
        /// Why.
        error: &'a str,
    },
    /// The heartbeat's service was told that Ripcord is alive.
    Beat,
    /// It could not be told.
    BeatFailed {
        /// Why.
        error: &'a str,
    },
    /// A signal asks to stop.
    Stopping {
        /// The guards whose rollback is not done.
        rolling_back: &'a [String],
    },
    /// What was under way is finished, or was given up.
    Stopped {
        /// Notifications that were not delivered.
        undelivered: usize,
        /// Whether they are in the state that was written last, so that they are sent later.
        saved: bool,
    },
}

/// What alerts go by that nobody hopes to see is there from the start, as 0: a counter that begins with its first increment shows no growth.
/// After a reload the names that are new are added.
pub fn count_from_zero<'a>(guards: impl Iterator<Item = &'a str>, receivers: impl Iterator<Item = &'a str>) {
    for guard in guards {
        for result in ["failed", "not_recovered", "cannot_see", "abandoned"] {
            counter!(names::ROLLBACKS, "guard" => guard.to_owned(), "result" => result).increment(0);
        }
    }
    for receiver in receivers {
        counter!(names::NOTIFICATIONS, "receiver" => receiver.to_owned(), "result" => "lost").increment(0);
    }
    counter!(names::JOURNAL_WRITES, "result" => "failed").increment(0);
}

impl Event<'_> {
    /// Writes the line and counts.
    pub fn emit(&self) {
        match self {
            Self::Started { guards, dry_run } => {
                gauge!(names::BUILD_INFO, "version" => crate::VERSION).set(1.0);
                info!(version = crate::VERSION, guards, dry_run, "Ripcord starts");
            }
            Self::Evaluated { due, took, known, unknown } => {
                let result = match (known, unknown) {
                    (_, 0) => "ok",
                    (0, _) => "unknown",
                    _ => "partly",
                };
                counter!(names::EVALUATIONS, "result" => result).increment(1);
                histogram!(names::EVALUATION_DURATION).record(took.as_secs_f64());
                gauge!(names::LAST_EVALUATION).set(unix(*due));
                debug!(%due, ?took, known, unknown, "Evaluated");
            }
            Self::Missed { ticks } => {
                counter!(names::EVALUATIONS, "result" => "missed").increment(ticks.unsigned_abs());
                warn!(ticks, "Ticks were missed: the one before took longer than the interval");
            }
            Self::Queried { result, took } => {
                counter!(names::QUERIES, "result" => *result).increment(1);
                histogram!(names::QUERY_DURATION).record(took.as_secs_f64());
            }
            Self::Decided(record) => decided(record),
            Self::Delivery(event) => delivery(event),
            Self::Reloaded { at, guards } => {
                gauge!(names::RELOAD_SUCCESS).set(1.0);
                gauge!(names::RELOAD_TIMESTAMP).set(unix(*at));
                info!(guards, "The configuration is loaded");
            }
            Self::ReloadRefused { findings } => {
                gauge!(names::RELOAD_SUCCESS).set(0.0);
                for finding in *findings {
                    error!(%finding, "The new configuration is refused, the old one stays");
                }
            }
            Self::NotSaved { guard, error } => {
                warn!(guard, error, "An object is changed without having been saved before");
            }
            Self::NotAnnounced { object, error } => {
                warn!(object, %error, "Could not leave a Kubernetes Event");
            }
            Self::Leading => {
                gauge!(names::LEADER).set(1.0);
                info!("This replica leads");
            }
            Self::StandingBy { reason, holder } => {
                gauge!(names::LEADER).set(0.0);
                info!(reason, holder, "This replica stands by: it watches and does nothing");
            }
            Self::LeaseFailing { error } => {
                warn!(error, "The Lease cannot be read or written: without it this replica does not lead for long");
            }
            Self::LeaseRecovered => info!("The Lease can be read and written again"),
            Self::Journalled { left_out } => {
                counter!(names::JOURNAL_WRITES, "result" => "ok").increment(1);
                if *left_out > 0 {
                    warn!(left_out, "The state is written without the oldest of what is over: it would be too large");
                } else {
                    debug!("The state is written");
                }
            }
            Self::NotJournalled { error } => {
                counter!(names::JOURNAL_WRITES, "result" => "failed").increment(1);
                warn!(error, "Could not write the state: a restart would forget what happened since");
            }
            Self::Fenced { error } => {
                counter!(names::JOURNAL_WRITES, "result" => "conflict").increment(1);
                warn!(error, "Somebody else wrote the state: nothing more is begun here");
            }
            Self::Restored { incidents, pages } => {
                info!(incidents, pages, "The state of before is read");
            }
            Self::NotRestored { error } => {
                warn!(error, "Could not read the state of before: nothing is rolled back until it is read");
            }
            Self::SetAside { reason, to } => {
                error!(
                    reason,
                    to,
                    "The state of before cannot be used and is kept aside: its incidents and pages are not gone on with"
                );
            }
            Self::Replayed { ticks, from, to } => {
                counter!(names::REPLAYED_TICKS).increment(*ticks);
                info!(ticks, %from, %to, "Missed ticks were fetched");
            }
            Self::NotReplayed { error } => {
                warn!(error, "Could not fetch missed ticks");
            }
            Self::Beat => {
                counter!(names::HEARTBEATS, "result" => "ok").increment(1);
                debug!("The heartbeat was sent");
            }
            Self::BeatFailed { error } => {
                counter!(names::HEARTBEATS, "result" => "failed").increment(1);
                warn!(error, "The heartbeat could not be sent; the next tick tries again");
            }
            Self::Stopping { rolling_back } => {
                info!(rolling_back = rolling_back.join(", "), "Stopping: no more decisions")
            }
            Self::Stopped { undelivered: 0, .. } => info!("Stopped"),
            Self::Stopped { undelivered, saved: true } => {
                info!(undelivered, "Stopped; the notifications that were not delivered are kept and sent later");
            }
            Self::Stopped { undelivered, saved: false } => {
                error!(undelivered, "Stopped with notifications that were not delivered and are lost");
            }
        }
    }
}

fn decided(record: &Record) {
    match record {
        Record::Transition { guard, from, to, incident, reason } => {
            if *to == GuardState::RollingBack {
                counter!(names::ROLLBACKS, "guard" => guard.clone(), "result" => "started").increment(1);
            }
            info!(guard, from = from.as_str(), to = to.as_str(), incident, reason, "The guard changes its state");
        }
        Record::Verdict { guard, trigger, verdict, reason } => {
            if *verdict == "unknown" {
                warn!(guard, trigger, verdict, reason, "The verdict changes");
            } else {
                info!(guard, trigger, verdict, reason, "The verdict changes");
            }
        }
        Record::Withheld { guard, trigger, reason } => {
            info!(guard, trigger, %reason, "The trigger holds, and nothing is done");
        }
        Record::Retrying { guard, incident, attempt, step, error, delay } => {
            let delay_seconds = delay.as_secs_f64();
            warn!(guard, incident, attempt, step, error, delay_seconds, "The rollback failed and is tried again");
        }
        Record::Ignored { guard, reason } => info!(guard, reason, "Ignored"),
        Record::Readiness { guard, ready: true, detail } if detail.is_empty() => {
            info!(guard, "A rollback would work");
        }
        Record::Readiness { guard, ready: true, detail } => {
            warn!(guard, detail, "A rollback would work, and this is worth a look");
        }
        Record::Readiness { guard, ready: false, detail } => {
            error!(guard, detail, "A rollback would fail now");
        }
        Record::Baseline { guard, trigger, detail } => {
            info!(guard, trigger, baseline = detail, "Compared with another baseline from now on");
        }
        Record::Shift { guard, incident, result, detail } => {
            counter!(names::SHIFTS, "guard" => guard.clone(), "result" => *result).increment(1);
            if *result == "shifted" {
                info!(guard, incident, result, detail, "Traffic is shifted");
            } else {
                warn!(guard, incident, result, detail, "The shift is not done");
            }
        }
        Record::Rollback { guard, incident, result, took } => {
            counter!(names::ROLLBACKS, "guard" => guard.clone(), "result" => *result).increment(1);
            if let Some(took) = took {
                histogram!(names::ROLLBACK_DURATION).record(took.as_secs_f64());
            }
            let took_seconds = took.map(|took| took.as_secs_f64());
            match *result {
                "failed" | "not_recovered" | "cannot_see" | "abandoned" => {
                    error!(guard, incident, result, took_seconds, "A person must look at the rollback");
                }
                _ => info!(guard, incident, result, took_seconds, "The rollback goes on"),
            }
        }
    }
}

fn delivery(event: &DeliveryEvent) {
    let count = |receiver: &String, result: &'static str| {
        counter!(names::NOTIFICATIONS, "receiver" => receiver.clone(), "result" => result).increment(1);
    };
    match event {
        DeliveryEvent::Accepted { receiver, id, event, took, attempts } => {
            count(receiver, "accepted");
            info!(receiver, id, event = event.as_str(), ?took, attempts, "Delivered");
        }
        DeliveryEvent::Retrying { receiver, id, event, attempt, delay, error } => {
            count(receiver, "retried");
            warn!(receiver, id, event = event.as_str(), attempt, ?delay, error, "Not delivered yet");
        }
        DeliveryEvent::Simplified { receiver, id, event, reason } => {
            count(receiver, "simplified");
            error!(
                receiver,
                id,
                event = event.as_str(),
                reason,
                "The receiver's template fails, a plainer body is sent"
            );
        }
        DeliveryEvent::Withdrawn { receiver, id, event, reason } => {
            count(receiver, "withdrawn");
            info!(receiver, id, event = event.as_str(), reason, "Not needed any more");
        }
        DeliveryEvent::Escalated { receiver, story } => {
            count(receiver, "escalated");
            warn!(receiver, incident = story, "Nobody has acknowledged in time, the next receiver is told");
        }
        DeliveryEvent::Dead { receiver, id, notification, reason }
        | DeliveryEvent::Dropped { receiver, id, notification, reason } => {
            count(receiver, "lost");
            error!(receiver, id, event = notification.event.as_str(), reason, "A notification is lost");
        }
    }
}

/// A time as Prometheus counts it.
pub(super) fn unix(time: Timestamp) -> f64 {
    time.as_duration().as_secs_f64()
}
