//! `ripcord backup`: the objects of the guards in a folder, as YAML that `kubectl apply` takes.

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use serde_json::json;

use crate::VERSION;
use crate::cli::{self, Output};
use crate::config::{Settings, StatePlace, Step};
use crate::engine::Incident;
use crate::kubernetes::{self, Cluster, Kind, Manifest, ObjectRef};
use crate::state;

use super::folder;
use super::patience::patiently;
use super::{Failure, load_apart, print, runtime, say};

/// Writes the objects as they are, or as they were before an incident.
pub fn backup(options: &cli::Backup) -> Result<(), Failure> {
    folder::check_free(&options.dir).map_err(Failure::BadInput)?;
    // No receiver is written to.
    let settings = load_apart(&options.configured)?;
    let runtime = runtime()?;
    match &options.incident {
        Some(id) => {
            let manifests = runtime.block_on(snapshot_of(&settings, id))?;
            let head = |object: &ObjectRef| {
                format!("{object} as it was before incident {id}, kept and written by ripcord {VERSION}")
            };
            write(options, &kubernetes::Backup { found: manifests, ..kubernetes::Backup::default() }, head)
        }
        None => {
            let (cluster, found) = runtime.block_on(read(&settings))?;
            let (cluster, now) = (cluster.name(), Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
            let head = |object: &ObjectRef| format!("{object}, read at {now} from {cluster} by ripcord {VERSION}");
            write(options, &found, head)
        }
    }
}

/// Reads the objects of all guards.
async fn read(settings: &Settings) -> Result<(Cluster, kubernetes::Backup), Failure> {
    let steps: Vec<Step> = settings.guards.iter().flat_map(|guard| guard.steps.iter().cloned()).collect();
    if !steps.iter().any(|step| ObjectRef::of(step).is_some()) {
        let text = "no guard of the configuration changes an object: there is nothing to back up";
        return Err(Failure::BadInput(text.to_owned()));
    }
    // Put back under a Ripcord that runs, its own state would be another one's.
    let own: Vec<ObjectRef> = match &settings.state {
        Some(StatePlace::ConfigMap(state)) => {
            vec![ObjectRef { kind: Kind::ConfigMap, namespace: state.namespace.clone(), name: state.name.clone() }]
        }
        _ => Vec::new(),
    };
    let cluster = Cluster::connect().await.context("cannot back up")?;
    let what = format!("Reading the objects of {} guards from {}", settings.guards.len(), cluster.name());
    let found = patiently(&what, cluster.backup(&steps, &own)).await;
    for object in &found.absent {
        say(&format!("{object} does not exist; it is optional, so the backup is complete without it"));
    }
    if !found.not_installed.is_empty() {
        let kinds: Vec<&str> = found.not_installed.iter().map(|kind| kind.as_str()).collect();
        say(&format!("Istio's CustomResourceDefinitions are not installed: there is no {}", kinds.join(", no ")));
    }
    if !found.errors.is_empty() {
        return Err(anyhow!(
            "nothing was written, because not everything could be read:\n  {}",
            found.errors.join("\n  ")
        )
        .into());
    }
    Ok((cluster, found))
}

/// Reads what the state keeps of an incident.
async fn snapshot_of(settings: &Settings, id: &str) -> Result<Vec<Manifest>, Failure> {
    let document = match &settings.state {
        None => {
            let text = "the configuration has no state, so nothing of an incident is kept outside the daemon; set state.file or \
                        state.config_map";
            return Err(Failure::BadInput(text.to_owned()));
        }
        Some(StatePlace::File(path)) => state::look_at_file(path).await,
        Some(StatePlace::ConfigMap(name)) => {
            let cluster = Cluster::connect().await.context("cannot read the state")?;
            patiently("Reading the state", state::look_at_config_map(&cluster, name)).await
        }
    };
    let document = document.map_err(|e| anyhow!("{e}"))?;
    let incidents: Vec<&Incident> = document.iter().flat_map(|document| document.engine.incidents()).collect();
    let Some(incident) = incidents.iter().find(|incident| incident.id == id) else {
        let ids: Vec<&str> = incidents.iter().map(|incident| incident.id.as_str()).collect();
        let there =
            if ids.is_empty() { "the state holds none".to_owned() } else { format!("there are {}", ids.join(", ")) };
        return Err(Failure::BadInput(format!("--incident {id}: there is no such incident; {there}")));
    };
    if incident.snapshot.is_empty() {
        return Err(anyhow!(
            "the state keeps no objects of incident {id}: nothing was changed in it, or an older Ripcord wrote it"
        )
        .into());
    }
    let parse = |saved: &crate::engine::SavedObject| {
        Manifest::parse(&saved.yaml).map_err(|problem| anyhow!("what is kept of {} {problem}", saved.object))
    };
    Ok(incident.snapshot.iter().map(parse).collect::<anyhow::Result<_>>()?)
}

fn write(
    options: &cli::Backup,
    backup: &kubernetes::Backup,
    head: impl Fn(&ObjectRef) -> String,
) -> Result<(), Failure> {
    let files = folder::write(&options.dir, &backup.found, head).map_err(|e| anyhow!("{e}"))?;
    match options.output {
        Output::Text => print(&files.iter().map(|file| format!("{}\n", file.display())).collect::<String>()),
        Output::Json => {
            let written = backup.found.iter().zip(&files);
            let written: Vec<_> = written
                .map(|(manifest, file)| json!({"object": manifest.object.to_string(), "file": file.display().to_string()}))
                .collect();
            let absent: Vec<String> = backup.absent.iter().map(ToString::to_string).collect();
            let not_installed: Vec<&str> = backup.not_installed.iter().map(|kind| kind.as_str()).collect();
            let result = json!({"written": written, "absent": absent, "not_installed": not_installed});
            print(&format!("{result:#}\n"))
        }
    }
}
