//! Events on the objects.

use anyhow::{Context, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{self, ConfigMap};
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use ripcord::config::Step;
use ripcord::kubernetes::{Announcement, AnnouncementType, ObjectRef};

use super::stage::{COMPONENT, cluster, cluster_of, config_map_step, env_step, reader};
use crate::stories;
use crate::support::fixtures::{create_config_map, create_deployment};
use crate::support::{Story, World};

pub fn trials() -> Vec<Story> {
    stories![
        an_event_is_about_a_deployment,
        an_event_is_about_a_config_map,
        a_missing_right_is_named,
        an_absent_object_is_named,
    ]
}

/// With a note that is longer than the API server takes, of characters of several bytes.
fn announcement() -> Announcement {
    Announcement {
        type_: AnnouncementType::Warning,
        reason: "RipcordRollbackStarted".into(),
        note: format!("error rate 3.1 % (limit 1 %), rolling back 25 % -> 0 %: {}", "回".repeat(1000)),
        time: "2026-01-02T03:04:05.678901Z".parse().expect("a time stamp"),
    }
}

fn the_deployment(world: &World) -> ObjectRef {
    ObjectRef::of(&Step::DeploymentEnv(env_step(world, COMPONENT))).expect("an object")
}

/// Tells the announcement about one of two objects: the one with this uid.
async fn is_told(world: &World, object: ObjectRef, uid: Option<&String>) -> anyhow::Result<()> {
    let cluster = cluster(world).await?;
    let uid = uid.context("a uid")?;
    let (name, announcement) = (object.name.clone(), announcement());
    // In a task of its own, as the daemon does it.
    let what = announcement.clone();
    tokio::spawn(async move { cluster.tell(&object, &what).await }).await??;

    let all = world.api::<Event>().list(&ListParams::default()).await?.items;
    ensure!(all.len() == 1, "{all:?}");
    let event = &all[0];
    ensure!(event.regarding.as_ref().is_some_and(|r| r.uid.as_ref() == Some(uid)), "{event:?}");
    ensure!(event.reason.as_deref() == Some("RipcordRollbackStarted"), "{event:?}");
    ensure!(event.type_.as_deref() == Some("Warning"), "{event:?}");
    ensure!(event.action.as_deref() == Some("MoveTraffic"), "{event:?}");
    ensure!(event.reporting_controller.as_deref() == Some("ripcord"), "{event:?}");
    ensure!(event.reporting_instance.as_ref().is_some_and(|i| !i.is_empty()), "{event:?}");
    ensure!(event.event_time.as_ref().map(|t| t.0) == Some(announcement.time), "{event:?}");
    let note = event.note.as_deref().context("a note")?;
    ensure!(note.len() <= 1024 && announcement.note.starts_with(note), "{note}");

    // As `kubectl describe` looks for them.
    let ns = &world.namespace;
    let fields = format!("involvedObject.name={name},involvedObject.namespace={ns},involvedObject.uid={uid}");
    let found = world.api::<v1::Event>().list(&ListParams::default().fields(&fields)).await?.items;
    ensure!(found.len() == 1, "{found:?}");
    Ok(())
}

async fn an_event_is_about_a_deployment(world: World) -> anyhow::Result<()> {
    let object: Deployment = create_deployment(&world, COMPONENT).await?;
    create_config_map(&world, COMPONENT).await?;
    is_told(&world, the_deployment(&world), object.metadata.uid.as_ref()).await
}

async fn an_event_is_about_a_config_map(world: World) -> anyhow::Result<()> {
    create_deployment(&world, COMPONENT).await?;
    let object: ConfigMap = create_config_map(&world, COMPONENT).await?;
    let name = object.metadata.name.as_deref().context("a name")?;
    let about = ObjectRef::of(&Step::ConfigMap(config_map_step(&world, name, false))).expect("an object");
    is_told(&world, about, object.metadata.uid.as_ref()).await
}

async fn a_missing_right_is_named(world: World) -> anyhow::Result<()> {
    create_deployment(&world, COMPONENT).await?;
    let cluster = cluster_of(&world, &reader(&world).await?).await?;
    let error = cluster.tell(&the_deployment(&world), &announcement()).await.err().context("no right to create")?;
    let (error, ns) = (error.to_string(), &world.namespace);
    let wanted = format!("grant create on events (API group events.k8s.io) in namespace {ns}");
    ensure!(error.contains(&wanted), "{error}");
    Ok(())
}

async fn an_absent_object_is_named(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    let error = cluster.tell(&the_deployment(&world), &announcement()).await.err().context("nothing is there")?;
    ensure!(error.to_string().contains("it does not exist"), "{error}");
    Ok(())
}
