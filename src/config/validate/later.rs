//! Keys whose shape is settled and that this version does not carry out yet. They are checked, and a warning says what
//! that means.

use crate::config::field::{At, Field};
use crate::config::path::Path;
use crate::config::problems::Problems;
use crate::config::raw;

use super::{addresses, names};

/// Checks them all.
pub(super) fn check(raw: &raw::Root, problems: &mut Problems) {
    if let Some(at) = raw.heartbeat.get() {
        heartbeat(at, problems);
        problems.warn(
            &at.path,
            "this version does not carry it out yet: nobody outside is told when Ripcord itself is gone",
        );
    }
    if let Some(at) = raw.state.get() {
        state(at, problems);
        problems.warn(
            &at.path,
            "this version does not carry it out yet: the state is kept in memory: a restart forgets incidents and \
                latches",
        );
    }
    if let Some(at) = raw.leader_election.get() {
        let lease = at.value.lease.required(&at.path, "needs lease: {namespace: …, name: …}", problems);
        if let Some(lease) = lease {
            object(&lease.value, &lease.path, problems);
        }
        problems
            .warn(&at.path, "this version does not carry it out yet: run a single replica, or each of them will act");
    }
}

fn heartbeat(at: &At<raw::Heartbeat>, problems: &mut Problems) {
    let written = &at.value;
    match (written.url.is_written(), written.url_file.is_written()) {
        (true, true) => problems.error(&at.path, "has both url and url_file; keep one"),
        (false, false) => problems.error(&at.path, "needs url or url_file"),
        _ => {}
    }
    if let Some(url) = written.url.get() {
        problems
            .take(&url.path, addresses::url(&url.value, "put the whole address into a file and name it with url_file"));
    }
    if let Some(interval) = written.interval.get().filter(|i| i.value.is_zero()) {
        problems.error(&interval.path, "0s is too short; write a time like 1m");
    }
}

fn state(at: &At<raw::State>, problems: &mut Problems) {
    let written = &at.value;
    match (&written.config_map, &written.file) {
        (Field::Missing, Field::Missing) => {
            problems.error(&at.path, "needs config_map: {namespace: …, name: …} or file: …");
        }
        (Field::Missing, _) | (_, Field::Missing) => {}
        _ => problems.error(&at.path, "has both config_map and file; keep one"),
    }
    if let Some(config_map) = written.config_map.get() {
        object(&config_map.value, &config_map.path, problems);
    }
}

fn object(written: &raw::ObjectName, path: &Path, problems: &mut Problems) {
    if let Some(at) = written.namespace.required(path, "needs namespace", problems) {
        problems.take(&at.path, names::label(&at.value));
    }
    if let Some(at) = written.name.required(path, "needs name", problems) {
        problems.take(&at.path, names::subdomain(&at.value));
    }
}
