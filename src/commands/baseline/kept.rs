//! What is recorded already, as the daemon shows it or as the state has it.

use std::collections::BTreeMap;

use anyhow::{Context as _, anyhow};

use crate::cli::Daemon;
use crate::commands::Failure;
use crate::commands::control::call;
use crate::commands::patience::patiently;
use crate::config::{Settings, StatePlace};
use crate::engine::{RecordedBaselines, Unit};
use crate::kubernetes::Cluster;
use crate::state::{self, Document};

/// By guard and trigger: every trigger that takes a recorded baseline.
pub type Kept = BTreeMap<(String, String), OfTrigger>;

/// What is recorded for one trigger.
#[derive(Debug, Clone)]
pub struct OfTrigger {
    /// The versions.
    pub recorded: RecordedBaselines,
    /// In which unit they are said.
    pub unit: Unit,
}

/// What a running daemon has.
pub async fn of_the_daemon(daemon: &Daemon) -> Result<Kept, Failure> {
    let status = call(daemon, &["api", "v1", "status"], None).await?;
    let mut kept = Kept::new();
    for guard in status["guards"].as_array().into_iter().flatten() {
        for trigger in guard["triggers"].as_array().into_iter().flatten() {
            if trigger["recorded"].is_null() {
                continue;
            }
            let what = |key: &str| serde_json::from_value(trigger[key].clone());
            let recorded = serde_json::from_value(trigger["recorded"].clone())
                .context("the daemon's status is not as this Ripcord knows it: use the one that runs there")?;
            let unit = what("baseline_unit").context("the daemon's status has no baseline_unit")?;
            let name = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            kept.insert((name(&guard["guard"]), name(&trigger["trigger"])), OfTrigger { recorded, unit });
        }
    }
    Ok(kept)
}

/// What the state of a configuration has.
pub async fn of_the_state(settings: &Settings) -> Result<Kept, Failure> {
    let document = document(settings).await?;
    Ok(of_the_document(settings, document.as_ref()))
}

/// What a document has for the triggers of a configuration.
pub fn of_the_document(settings: &Settings, document: Option<&Document>) -> Kept {
    let mut kept = Kept::new();
    for guard in &settings.guards {
        for trigger in &guard.engine.triggers {
            let versions = document.map_or(&[][..], |d| d.engine.baselines(&guard.name, &trigger.name));
            if let Some(recorded) = trigger.recorded(versions) {
                let of = OfTrigger { recorded, unit: trigger.unit };
                kept.insert((guard.name.clone(), trigger.name.clone()), of);
            }
        }
    }
    kept
}

/// The state's document; none where none was written yet.
pub async fn document(settings: &Settings) -> Result<Option<Document>, Failure> {
    let document = match &settings.state {
        None => {
            let text = "the configuration has no state, so that no baseline is kept outside the daemon; set state.file or \
                        state.config_map, or ask the daemon with --url";
            return Err(Failure::BadInput(text.to_owned()));
        }
        Some(StatePlace::File(path)) => state::look_at_file(path).await,
        Some(StatePlace::ConfigMap(name)) => {
            let cluster = Cluster::connect().await.context("cannot read the state")?;
            patiently("Reading the state", state::look_at_config_map(&cluster, name)).await
        }
    };
    document.map_err(|e| anyhow!("{e}").into())
}
