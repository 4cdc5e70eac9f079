//! Whether Ripcord may do what its configuration asks of it.

use futures::StreamExt as _;

use crate::config::{ObjectName, Settings, StatePlace};
use crate::kubernetes::{Access, CallError, Cluster, Kind, ObjectRef, Purpose};

use super::CONCURRENT_CALLS;
use super::check::{Area, Check};
use crate::commands::namespace;

/// Asks the API server for each permission.
pub(super) async fn look(cluster: Option<&Cluster>, settings: &Settings) -> Vec<Check> {
    let Some(cluster) = cluster else { return vec![Area::Permissions.not_looked_at()] };
    let wanted = Access::of(settings);
    if wanted.is_empty() {
        return vec![Area::Permissions.ok("everything", "the configuration needs none")];
    }
    let asked = futures::stream::iter(&wanted).map(|access| async move { (access, cluster.may(access).await) });
    let answers: Vec<(&Access, Result<bool, CallError>)> = asked.buffered(CONCURRENT_CALLS).collect().await;
    let granted = answers.iter().filter(|(_, answer)| matches!(answer, Ok(true))).count();
    let mut checks = Vec::new();
    if granted > 0 {
        checks.push(
            Area::Permissions.ok("granted", format!("{granted} of {} that the configuration needs", wanted.len())),
        );
    }
    for (access, answer) in answers {
        match answer {
            Ok(true) => {}
            Ok(false) => checks.push(missing(cluster, settings, access).await),
            Err(error) => {
                let hint = "see why the API server does not answer for it";
                checks.push(Area::Permissions.fail(access.to_string(), error.to_string(), hint));
            }
        }
    }
    checks
}

async fn missing(cluster: &Cluster, settings: &Settings, access: &Access) -> Check {
    let hint = format!(
        "grant it: ripcord render rbac --config FILE --service-account {}/ripcord | kubectl apply -f -",
        namespace(settings)
    );
    let what = access.to_string();
    // What is there already need not be created.
    if access.purpose == Purpose::FirstStart
        && let Some(object) = to_create(settings, access)
        && cluster.exists(&object).await.unwrap_or(false)
    {
        let detail = format!("not granted; {object} is there, so that it is not needed now");
        return Area::Permissions.warn(what, detail, format!("{hint}; or see to it that nobody deletes it"));
    }
    Area::Permissions.fail(what, "not granted", hint)
}

/// The object of Ripcord's own that this permission would create.
fn to_create(settings: &Settings, access: &Access) -> Option<ObjectRef> {
    let named =
        |kind, name: &ObjectName| ObjectRef { kind, namespace: name.namespace.clone(), name: name.name.clone() };
    let state = match &settings.state {
        Some(StatePlace::ConfigMap(name)) => Some(named(Kind::ConfigMap, name)),
        _ => None,
    };
    let lease = settings.leader_election.as_ref().map(|election| named(Kind::Lease, &election.lease));
    let mut own = state.into_iter().chain(lease);
    own.find(|object| object.kind.resource() == access.resource && object.namespace == access.namespace)
}
