//! `state` and `leader_election`: where the state is kept, and which of several replicas acts.

use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;

use crate::config::field::{At, Field};
use crate::config::path::Path;
use crate::config::problems::Problems;
use crate::config::raw;
use crate::config::units::say;
use crate::config::{LeaderElection, ObjectName, StatePlace, Step, defaults};

use super::names;
use super::steps::Placed;

/// Where the state is kept: `Some(None)` for the memory alone.
pub(super) fn state(field: &Field<raw::State>, problems: &mut Problems) -> Option<Option<StatePlace>> {
    let at = match field {
        Field::Wrong => return None,
        Field::Missing => {
            problems.warn(
                &Path::root().key("state"),
                "there is none, so the state is kept in memory: a restart forgets incidents, latches and pages that \
                    wait",
            );
            return Some(None);
        }
        Field::Given(at) => at,
    };
    match (&at.value.config_map, &at.value.file) {
        (Field::Missing, Field::Missing) if at.value.has_unknown_keys => None,
        (Field::Missing, Field::Missing) => {
            problems.error(&at.path, "needs config_map: {namespace: …, name: …} or file: …");
            None
        }
        (config_map, Field::Missing) => Some(Some(StatePlace::ConfigMap(object(config_map.get()?, problems)?))),
        (Field::Missing, file) => Some(Some(StatePlace::File(self::file(file.get()?, problems)?))),
        _ => {
            problems.error(&at.path, "has both config_map and file; keep one (what several files say adds up)");
            None
        }
    }
}

/// The name of a file. Whether it can be written is found out when it is.
fn file(at: &At<String>, problems: &mut Problems) -> Option<PathBuf> {
    if at.value.ends_with('/') || FilePath::new(&at.value).file_name().is_none() {
        problems.error(&at.path, format!("{} names a folder; write the file too, like state/ripcord.json", at.value));
        return None;
    }
    Some(PathBuf::from(&at.value))
}

/// Who acts: `Some(None)` for a single replica.
pub(super) fn leader_election(raw: &raw::Root, problems: &mut Problems) -> Option<Option<LeaderElection>> {
    let at = match &raw.leader_election {
        Field::Missing => return Some(None),
        Field::Wrong => return None,
        Field::Given(at) => at,
    };
    let lease = at.value.lease.required(&at.path, "needs lease: {namespace: …, name: …}", problems);
    let lease = lease.and_then(|lease| object(lease, problems));
    let lease_duration = lease_duration(&at.value.lease_duration, problems);
    let shared = match &raw.state {
        Field::Missing => false,
        // What is wrong with it has been said.
        Field::Wrong => true,
        Field::Given(state) => state.value.config_map.is_written() || state.value.file.is_missing(),
    };
    if !shared {
        problems.error(
            &at.path,
            "needs state: {config_map: {namespace: …, name: …}}: replicas must share their state, which neither a \
                file nor the memory of one of them lets them do",
        );
        return None;
    }
    Some(Some(LeaderElection { lease: lease?, lease_duration: lease_duration? }))
}

fn lease_duration(field: &Field<Duration>, problems: &mut Problems) -> Option<Duration> {
    let duration = field.or_default(defaults::LEASE_DURATION)?;
    let Some(at) = field.get() else { return Some(duration) };
    let message = if duration < defaults::MIN_LEASE_DURATION {
        format!("{} is too short; the least is {}", say(duration), say(defaults::MIN_LEASE_DURATION))
    } else if duration > defaults::MAX_LEASE_DURATION {
        format!("{} is too long; the most is {}", say(duration), say(defaults::MAX_LEASE_DURATION))
    } else if duration.subsec_nanos() != 0 {
        format!("{} is not in whole seconds, and a Lease counts in these; write it like 15s", say(duration))
    } else {
        return Some(duration);
    };
    problems.error(&at.path, message);
    None
}

fn object(at: &At<raw::ObjectName>, problems: &mut Problems) -> Option<ObjectName> {
    let namespace = at.value.namespace.required(&at.path, "needs namespace", problems);
    let namespace = namespace.and_then(|n| problems.take(&n.path, names::label(&n.value)).map(|()| n.value.clone()));
    let name = at.value.name.required(&at.path, "needs name", problems);
    let name = name.and_then(|n| problems.take(&n.path, names::subdomain(&n.value)).map(|()| n.value.clone()));
    Some(ObjectName { namespace: namespace?, name: name? })
}

/// Finds a guard that changes the ConfigMap of the state: each of its changes would look like the writing of another
/// replica.
pub(super) fn check_owner<'a>(
    state: &Field<raw::State>,
    guards: impl Iterator<Item = (&'a str, &'a [Placed])>,
    problems: &mut Problems,
) {
    let Some(at) = state.value().and_then(|state| state.config_map.get()) else { return };
    let (Some(namespace), Some(name)) = (at.value.namespace.value(), at.value.name.value()) else { return };
    let is_it = |step: &Step| matches!(step, Step::ConfigMap(s) if s.namespace == *namespace && s.name == *name);
    for (guard, steps) in guards {
        if steps.iter().any(|(step, _)| is_it(step)) {
            let message = format!("guard {guard} changes ConfigMap {namespace}/{name}; give the state one of its own");
            problems.error(&at.path, message);
        }
    }
}
