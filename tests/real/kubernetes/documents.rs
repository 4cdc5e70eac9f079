//! A document in a ConfigMap.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use futures::future::join_all;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use ripcord::kubernetes::{CallError, Cause, Kind, ObjectRef, StoredDocument};
use serde_json::json;

use super::stage::{cluster_of, deployed, deployed_behind_a_proxy, patches, reader};
use crate::stories;
use crate::support::proxy::Fault;
use crate::support::{Story, World};

pub fn trials() -> Vec<Story> {
    stories![
        it_is_created_read_and_written_over,
        a_stale_version_is_refused,
        what_others_keep_in_it_stays,
        of_several_who_create_it_one_wins,
        one_that_is_gone_is_to_be_created_anew,
        one_that_is_too_large_is_told,
        missing_rights_are_told,
        a_lost_answer_shows_at_the_next_read,
    ]
}

/// Where `deploy/overlays/sealos` lets Ripcord keep it.
const STATE: &str = "ripcord-state";

fn place(world: &World) -> ObjectRef {
    ObjectRef { kind: Kind::ConfigMap, namespace: world.namespace.clone(), name: STATE.to_owned() }
}

fn data(text: &str) -> BTreeMap<String, String> {
    [("state.json".to_owned(), text.to_owned())].into()
}

/// The cause of a failure.
fn cause(result: Result<StoredDocument, CallError>) -> anyhow::Result<Cause> {
    Ok(result.err().context("it should be refused")?.cause)
}

async fn it_is_created_read_and_written_over(world: World) -> anyhow::Result<()> {
    let (cluster, place) = (deployed(&world).await?, place(&world));
    ensure!(cluster.read_document(&place).await?.is_none());
    let created = cluster.write_document(&place, data("1"), None).await?;
    ensure!(created.data == data("1"), "{created:?}");
    ensure!(cluster.read_document(&place).await?.as_ref() == Some(&created));

    let written = cluster.write_document(&place, data("2"), Some(&created.resource_version)).await?;
    ensure!(written.data == data("2") && written.resource_version != created.resource_version, "{written:?}");
    ensure!(cluster.read_document(&place).await?.as_ref() == Some(&written));
    let again = cluster.write_document(&place, data("3"), Some(&written.resource_version)).await?;
    ensure!(again.data == data("3"), "{again:?}");

    let metadata = world.api::<ConfigMap>().get(STATE).await?.metadata;
    let labels = metadata.labels.context("labels")?;
    for key in ["app.kubernetes.io/name", "app.kubernetes.io/managed-by"] {
        ensure!(labels.get(key).map(String::as_str) == Some("ripcord"), "{labels:?}");
    }
    let managers: Vec<_> = metadata.managed_fields.iter().flatten().map(|m| m.manager.as_deref()).collect();
    ensure!(managers.iter().all(|manager| *manager == Some("ripcord")), "{managers:?}");
    Ok(())
}

async fn a_stale_version_is_refused(world: World) -> anyhow::Result<()> {
    let (one, other, place) = (deployed(&world).await?, deployed(&world).await?, place(&world));
    let first = one.write_document(&place, data("first"), None).await?;
    let second = other.write_document(&place, data("second"), Some(&first.resource_version)).await?;
    for stale in [first.resource_version.as_str(), ""] {
        let refused = cause(one.write_document(&place, data("stale"), Some(stale)).await)?;
        ensure!(matches!(refused, Cause::Conflict(_)), "{stale:?}: {refused:?}");
    }
    ensure!(cluster_has(&world, "second").await?);

    // One of the same name is another object.
    let api = world.api::<ConfigMap>();
    ensure!(api.delete(STATE, &DeleteParams::default()).await?.is_right());
    other.write_document(&place, data("third"), None).await?;
    let refused = cause(one.write_document(&place, data("stale"), Some(&second.resource_version)).await)?;
    ensure!(matches!(refused, Cause::Conflict(_)), "{refused:?}");
    ensure!(cluster_has(&world, "third").await?);
    Ok(())
}

async fn cluster_has(world: &World, text: &str) -> anyhow::Result<bool> {
    Ok(world.api::<ConfigMap>().get(STATE).await?.data == Some(data(text)))
}

async fn what_others_keep_in_it_stays(world: World) -> anyhow::Result<()> {
    let (cluster, place) = (deployed(&world).await?, place(&world));
    let made_before: ConfigMap = serde_json::from_value(json!({
        "metadata": {"name": STATE, "labels": {"team": "sre", "app.kubernetes.io/name": "other"}, "annotations": {"note": "do not delete"}},
        "data": {"README": "see the runbook"},
    }))?;
    let mut made_before = made_before;
    made_before.binary_data = Some([("blob".to_owned(), ByteString(vec![0, 255]))].into());
    world.create(&made_before).await?;

    let read = cluster.read_document(&place).await?.context("a document")?;
    ensure!(read.data == made_before.data.clone().unwrap_or_default(), "{read:?}");
    let mut wanted = data("1");
    wanted.extend(read.data);
    let written = cluster.write_document(&place, data("1"), Some(&read.resource_version)).await?;
    ensure!(written.data == wanted, "{written:?}");
    let after = world.api::<ConfigMap>().get(STATE).await?;
    ensure!(after.binary_data == made_before.binary_data && after.data == Some(wanted), "{after:?}");
    ensure!(after.metadata.annotations == made_before.metadata.annotations, "{after:?}");
    ensure!(after.metadata.labels.as_ref().is_some_and(|l| l["team"] == "sre"), "{after:?}");
    ensure!(after.metadata.labels.is_some_and(|l| l["app.kubernetes.io/name"] == "ripcord"));

    // A write of somebody else in between is one, whatever it touches.
    let patch = Patch::Merge(json!({"metadata": {"annotations": {"note": "really"}}}));
    world.api::<ConfigMap>().patch(STATE, &PatchParams::default(), &patch).await?;
    let refused = cause(cluster.write_document(&place, data("2"), Some(&written.resource_version)).await)?;
    ensure!(matches!(refused, Cause::Conflict(_)), "{refused:?}");
    Ok(())
}

async fn of_several_who_create_it_one_wins(world: World) -> anyhow::Result<()> {
    let (cluster, place) = (deployed(&world).await?, place(&world));
    let texts: Vec<String> = (0..8).map(|n| n.to_string()).collect();
    let all = join_all(texts.iter().map(|text| cluster.write_document(&place, data(text), None))).await;
    let mut winners = Vec::new();
    for (text, result) in texts.iter().zip(all) {
        match result {
            Ok(document) => winners.push((text, document)),
            Err(e) => ensure!(matches!(e.cause, Cause::Conflict(_)), "{e}"),
        }
    }
    let [(text, document)] = winners.as_slice() else { anyhow::bail!("{winners:?}") };
    ensure!(document.data == data(text) && cluster_has(&world, text).await?, "{document:?}");
    Ok(())
}

async fn one_that_is_gone_is_to_be_created_anew(world: World) -> anyhow::Result<()> {
    let (cluster, place) = (deployed(&world).await?, place(&world));
    let created = cluster.write_document(&place, data("1"), None).await?;
    ensure!(world.api::<ConfigMap>().delete(STATE, &DeleteParams::default()).await?.is_right());
    ensure!(cluster.read_document(&place).await?.is_none());
    let refused = cause(cluster.write_document(&place, data("2"), Some(&created.resource_version)).await)?;
    ensure!(matches!(refused, Cause::NotFound(_)), "{refused:?}");
    cluster.write_document(&place, data("2"), None).await?;
    Ok(())
}

/// The ConfigMap's own limit, and that of a request.
async fn one_that_is_too_large_is_told(world: World) -> anyhow::Result<()> {
    let (cluster, place) = (deployed(&world).await?, place(&world));
    let small = cluster.write_document(&place, data("small"), None).await?;
    let elsewhere = ObjectRef { name: "another".to_owned(), ..place.clone() };
    for bytes in [(1 << 20) + 1, 4 << 20] {
        let large = data(&"x".repeat(bytes));
        for (place, over) in [(&place, Some(small.resource_version.as_str())), (&elsewhere, None)] {
            let error = cluster.write_document(place, large.clone(), over).await.err().context("too large")?;
            ensure!(matches!(error.cause, Cause::TooLarge(_)), "{bytes}, {over:?}: {error}");
            ensure!(error.to_string().contains("(state.file)") && error.to_string().len() < 1000, "{error}");
        }
    }
    ensure!(cluster_has(&world, "small").await?);
    Ok(())
}

async fn missing_rights_are_told(world: World) -> anyhow::Result<()> {
    let (cluster, place) = (cluster_of(&world, &reader(&world).await?).await?, place(&world));
    let ns = &world.namespace;
    let error = cluster.write_document(&place, data("1"), None).await.err().context("no rights")?.to_string();
    let wanted = format!(
        "could not create ConfigMap {ns}/{STATE}: not permitted; grant create on configmaps in namespace {ns} to"
    );
    ensure!(error.starts_with(&wanted), "{error}");
    let object: ConfigMap = serde_json::from_value(json!({"metadata": {"name": STATE}}))?;
    world.api().create(&PostParams::default(), &object).await?;
    let read = cluster.read_document(&place).await?.context("a document")?;
    ensure!(read.data.is_empty(), "{read:?}");
    let error =
        cluster.write_document(&place, data("1"), Some(&read.resource_version)).await.err().context("no rights")?;
    let wanted = format!(
        "could not patch ConfigMap {ns}/{STATE}: not permitted; grant patch on configmaps/{STATE} in namespace {ns} to"
    );
    ensure!(error.to_string().starts_with(&wanted), "{error}");
    Ok(())
}

async fn a_lost_answer_shows_at_the_next_read(world: World) -> anyhow::Result<()> {
    let (proxy, cluster) = deployed_behind_a_proxy(&world).await?;
    let place = place(&world);
    let first = cluster.write_document(&place, data("1"), None).await?;
    proxy.rule_times(1, patches, Fault::LoseAnswer);
    let lost = cause(cluster.write_document(&place, data("2"), Some(&first.resource_version)).await)?;
    ensure!(matches!(lost, Cause::Unreachable(_)), "{lost:?}");
    let refused = cause(cluster.write_document(&place, data("3"), Some(&first.resource_version)).await)?;
    ensure!(matches!(refused, Cause::Conflict(_)), "{refused:?}");
    let now = cluster.read_document(&place).await?.context("a document")?;
    ensure!(now.data == data("2"), "{now:?}");
    cluster.write_document(&place, data("3"), Some(&now.resource_version)).await?;
    Ok(())
}
