//! The step `config_map`.

use std::collections::BTreeMap;

use anyhow::ensure;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use ripcord::config::Step;
use ripcord::engine::{Progress, StepResult};
use ripcord::kubernetes::Outcome;

use super::stage::{
    carry_out, cluster, cluster_of, config_map_step, data_rollback, failure, reader, results, rollback,
};
use crate::stories;
use crate::support::fixtures::config_map;
use crate::support::{Story, World};

pub fn trials() -> Vec<Story> {
    stories![
        only_the_keys_of_the_step_change,
        a_dry_run_changes_nothing,
        keys_that_are_not_there_are_added,
        an_immutable_one_is_refused_unless_it_is_right,
        one_that_another_object_controls_is_refused,
        an_absent_one_fails_unless_it_is_optional,
        missing_rights_are_no_absence,
    ]
}

/// The name of the fixture's ConfigMap.
const SETTINGS: &str = "terminal-controller-config";

const CHANGES: Option<&str> = Some("istio_percentage: 25 -> 0, networking_mode: dual -> ingress");

/// The fixture with binary data.
fn settings(world: &World) -> ConfigMap {
    let mut object = config_map(&world.namespace, "terminal-controller");
    object.binary_data = Some([("blob".to_owned(), ByteString(vec![0, 1, 2]))].into());
    object
}

async fn only_the_keys_of_the_step_change(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    let before = world.create(&settings(&world)).await?;
    let plan = data_rollback(&world, SETTINGS);
    let (outcome, reports) = carry_out(&cluster, &plan).await;
    ensure!((outcome, results(&reports)) == (Outcome::Completed, vec![(StepResult::Changed, CHANGES)]), "{reports:?}");
    ensure!(reports[1..] == [Progress::Accepted, Progress::Completed], "{reports:?}");

    let after: ConfigMap = world.api().get(SETTINGS).await?;
    let mut wanted = before.data.clone().unwrap_or_default();
    wanted.insert("networking_mode".to_owned(), "ingress".to_owned());
    wanted.insert("istio_percentage".to_owned(), "0".to_owned());
    ensure!(after.data == Some(wanted), "{:?}", after.data);
    ensure!(after.binary_data == before.binary_data && after.metadata.labels == before.metadata.labels, "{after:?}");
    let managers = after.metadata.managed_fields.iter().flatten();
    ensure!(managers.filter(|m| m.manager.as_deref() == Some("ripcord")).count() == 1, "{after:?}");

    let (_, reports) = carry_out(&cluster, &plan).await;
    ensure!(results(&reports) == [(StepResult::AlreadyThere, None)], "{reports:?}");
    ensure!(world.api::<ConfigMap>().get(SETTINGS).await? == after);
    Ok(())
}

async fn a_dry_run_changes_nothing(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    let before = world.create(&settings(&world)).await?;
    let mut plan = data_rollback(&world, SETTINGS);
    plan.dry_run = true;
    let (outcome, reports) = carry_out(&cluster, &plan).await;
    let wanted = vec![(StepResult::WouldChange, CHANGES)];
    ensure!((outcome, results(&reports)) == (Outcome::Completed, wanted), "{reports:?}");
    ensure!(world.api::<ConfigMap>().get(SETTINGS).await? == before);
    Ok(())
}

async fn keys_that_are_not_there_are_added(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    let mut bare = config_map(&world.namespace, "terminal-controller");
    bare.data = None;
    world.create(&bare).await?;
    let (_, reports) = carry_out(&cluster, &data_rollback(&world, SETTINGS)).await;
    let detail = Some("istio_percentage: (not set) -> 0, networking_mode: (not set) -> ingress");
    ensure!(results(&reports) == [(StepResult::Changed, detail)], "{reports:?}");
    Ok(())
}

async fn an_immutable_one_is_refused_unless_it_is_right(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    for (deployment, mode, share) in [("right", "ingress", "0"), ("wrong", "dual", "25")] {
        let mut object = config_map(&world.namespace, deployment);
        let data = [("networking_mode", mode), ("istio_percentage", share)];
        object.data = Some(BTreeMap::from(data.map(|(k, v)| (k.to_owned(), v.to_owned()))));
        object.immutable = Some(true);
        world.create(&object).await?;
    }
    let (_, reports) = carry_out(&cluster, &data_rollback(&world, "right-config")).await;
    ensure!(results(&reports) == [(StepResult::AlreadyThere, None)], "{reports:?}");
    let error = failure(&cluster, &data_rollback(&world, "wrong-config")).await?;
    let wanted = format!("ConfigMap {}/wrong-config is immutable; nothing was changed", world.namespace);
    ensure!(error.starts_with(&wanted), "{error}");
    Ok(())
}

async fn one_that_another_object_controls_is_refused(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    let mut object = settings(&world);
    let owner =
        serde_json::json!([{"apiVersion": "v1", "kind": "Settings", "name": "all", "uid": "1", "controller": true}]);
    object.metadata.owner_references = serde_json::from_value(owner)?;
    let before = world.create(&object).await?;
    let error = failure(&cluster, &data_rollback(&world, SETTINGS)).await?;
    let wanted =
        format!("ConfigMap {}/{SETTINGS} is controlled by Settings all (v1), which would undo", world.namespace);
    ensure!(error.starts_with(&wanted), "{error}");
    ensure!(world.api::<ConfigMap>().get(SETTINGS).await? == before);
    Ok(())
}

async fn an_absent_one_fails_unless_it_is_optional(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    let optional = rollback([Step::ConfigMap(config_map_step(&world, "absent", true))]);
    let (outcome, reports) = carry_out(&cluster, &optional).await;
    ensure!((outcome, results(&reports)) == (Outcome::Completed, vec![(StepResult::Absent, None)]), "{reports:?}");
    let error = failure(&cluster, &data_rollback(&world, "absent")).await?;
    let wanted = format!("could not read ConfigMap {}/absent: it does not exist", world.namespace);
    ensure!(error.starts_with(&wanted), "{error}");
    Ok(())
}

async fn missing_rights_are_no_absence(world: World) -> anyhow::Result<()> {
    let cluster = cluster_of(&world, &reader(&world).await?).await?;
    let mut elsewhere = config_map_step(&world, SETTINGS, true);
    elsewhere.namespace = "kube-system".into();
    let error = failure(&cluster, &rollback([Step::ConfigMap(elsewhere)])).await?;
    let wanted = format!("grant get on configmaps/{SETTINGS} in namespace kube-system");
    ensure!(error.contains(&wanted), "{error}");
    Ok(())
}
