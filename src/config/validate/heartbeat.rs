//! `heartbeat`: who is told that Ripcord is alive.

use std::time::Duration;

use crate::config::field::Field;
use crate::config::problems::Problems;
use crate::config::raw;
use crate::config::units::say;
use crate::config::{Heartbeat, LoadOptions, defaults};

use super::addresses;

/// Validates it: `Some(None)` where nobody is told. `tick` is the time between two ticks.
pub(super) fn heartbeat(
    field: &Field<raw::Heartbeat>,
    tick: Duration,
    options: LoadOptions,
    problems: &mut Problems,
) -> Option<Option<Heartbeat>> {
    let at = match field {
        Field::Missing => return Some(None),
        Field::Wrong => return None,
        Field::Given(at) => at,
    };
    let h = &at.value;
    let instead = "put the whole address into a file and name it with url_file";
    let url = addresses::perhaps_secret_url(&at.path, &h.url, &h.url_file, instead, options, problems);
    let interval = interval(&h.interval, tick, problems);
    let timeout = addresses::timeout(&h.timeout, defaults::HEARTBEAT_TIMEOUT, problems);
    Some(Some(Heartbeat { url: url?, interval: interval?, timeout: timeout? }))
}

fn interval(field: &Field<Duration>, tick: Duration, problems: &mut Problems) -> Option<Duration> {
    let interval = field.or_default(defaults::HEARTBEAT_INTERVAL)?;
    let Some(at) = field.get() else { return Some(interval) };
    if interval < defaults::MIN_HEARTBEAT_INTERVAL {
        let message = format!("{} is too short; the least is {}", say(interval), say(defaults::MIN_HEARTBEAT_INTERVAL));
        problems.error(&at.path, message);
        return None;
    }
    if interval < tick {
        let message =
            format!("{} is shorter than evaluation.interval ({}): a tick sends one at most", say(interval), say(tick));
        problems.warn(&at.path, message);
    }
    Some(interval)
}
