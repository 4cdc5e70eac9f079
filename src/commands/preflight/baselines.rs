//! Whether the baselines that are to be recorded are, and how old they are.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::timeout;

use crate::config::{Guard, Settings, StatePlace};
use crate::engine::{
    BaselineSource, RecordedBaselines, TriggerAction, TriggerSettings, period_in_words, quantity_in_words,
};
use crate::kubernetes::Cluster;
use crate::state::{self, Document};

use super::check::{Area, Check, Result};

/// How long a file system may take.
const FILE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the state holds; the error is why it cannot be read.
pub(super) type Kept = std::result::Result<Option<Document>, String>;

/// Reads the state, where a baseline is wanted from it.
pub(super) async fn read(cluster: Option<&Cluster>, settings: &Settings) -> Kept {
    let wants = |trigger: &TriggerSettings| matches!(trigger.baseline, Some(BaselineSource::Recorded { .. }));
    if !settings.guards.iter().any(|guard| guard.engine.triggers.iter().any(wants)) {
        return Ok(None);
    }
    match (&settings.state, cluster) {
        (None, _) => Ok(None),
        (Some(StatePlace::File(path)), _) => timeout(FILE_TIMEOUT, state::look_at_file(path))
            .await
            .unwrap_or_else(|_| Err(format!("the file system did not answer within {FILE_TIMEOUT:?}"))),
        (Some(StatePlace::ConfigMap(_)), None) => Err("the API server was not reached".to_owned()),
        (Some(StatePlace::ConfigMap(name)), Some(cluster)) => state::look_at_config_map(cluster, name).await,
    }
}

/// One line for each baseline that is to be recorded.
pub(super) fn judge(kept: &Kept, settings: &Settings, now: Timestamp) -> Vec<Check> {
    let of_guard = |guard: &'_ Guard| {
        let checks = guard.engine.triggers.iter().filter_map(|trigger| check(kept, &guard.name, trigger, now));
        checks.collect::<Vec<_>>()
    };
    settings.guards.iter().flat_map(of_guard).collect()
}

fn check(kept: &Kept, guard: &str, trigger: &TriggerSettings, now: Timestamp) -> Option<Check> {
    let what = format!("{guard}: baseline of {}", trigger.name);
    let document = match kept {
        Ok(document) => document.as_ref(),
        Err(why) => {
            trigger.recorded(&[])?;
            return Some(Area::State.warn(what, format!("not known: {why}"), "look again when the state can be read"));
        }
    };
    let versions = document.map_or(&[][..], |document| document.engine.baselines(guard, &trigger.name));
    let recorded: RecordedBaselines = trigger.recorded(versions)?;
    let Some(current) = recorded.current() else {
        let result = if trigger.action == TriggerAction::Rollback { Result::Fail } else { Result::Warn };
        let detail = if recorded.versions.is_empty() {
            "none is recorded, so that the trigger sees nothing"
        } else {
            "what is recorded is of other series or of another quantile, so that the trigger sees nothing"
        };
        return Some(Area::State.amiss(result, what, detail, "ripcord baseline record, while the service is well"));
    };
    let value = quantity_in_words(current.measured.value, trigger.unit);
    let detail = format!("{value}, version {}, {} old", current.version, period_in_words(current.age(now)));
    Some(if recorded.is_too_old(now) {
        Area::State.warn(what, format!("{detail}: too old"), "record it anew: ripcord baseline record")
    } else {
        Area::State.ok(what, detail)
    })
}
