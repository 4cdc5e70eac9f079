//! Reading the share.

use anyhow::{bail, ensure};
use k8s_openapi::api::core::v1::EnvVar;
use ripcord::config::{DeploymentEnv, Step};
use ripcord::engine::Unknown;
use serde_json::{Value, json};

use super::stage::{COMPONENT, SHARE_ENTRY, cluster, cluster_of, config_map_step, env_step, nobody, template};
use crate::stories;
use crate::support::fixtures::{config_map, create_deployment, deployment, env_mut};
use crate::support::{Story, World};

pub fn trials() -> Vec<Story> {
    stories![
        the_highest_share_of_the_steps_is_read,
        a_share_is_read_in_a_task_of_its_own,
        what_is_no_share_is_unknown,
        unknown_credentials_are_told,
    ]
}

fn env(world: &World, name: &str) -> Step {
    Step::DeploymentEnv(env_step(world, name))
}

fn data(world: &World, name: &str, optional: bool) -> Step {
    Step::ConfigMap(config_map_step(world, name, optional))
}

/// The fixture with this in place of its env `ISTIO_PERCENTAGE`.
async fn create_with(world: &World, name: &str, entry: Value) -> anyhow::Result<()> {
    let mut object = deployment(&world.namespace, name);
    env_mut(&mut object, "controller")[SHARE_ENTRY] = serde_json::from_value(entry)?;
    world.create(&object).await?;
    Ok(())
}

async fn create_with_share(world: &World, name: &str, share: &str) -> anyhow::Result<()> {
    create_with(world, name, json!({"name": "ISTIO_PERCENTAGE", "value": share})).await
}

/// A step that does not set the share.
fn without_share(world: &World, name: &str) -> DeploymentEnv {
    let env = [("NETWORKING_MODE".to_owned(), template("${mode}"))].into();
    DeploymentEnv { env, ..env_step(world, name) }
}

async fn the_highest_share_of_the_steps_is_read(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    create_deployment(&world, "at-25").await?;
    create_with_share(&world, "at-0", "0").await?;
    let mut object = config_map(&world.namespace, "at-40");
    object.data.get_or_insert_default().insert("istio_percentage".to_owned(), "40".to_owned());
    world.create(&object).await?;

    let (env, data) = (|name| env(&world, name), |name, optional| data(&world, name, optional));
    let cases = [
        (vec![env("at-25")], 25),
        (vec![env("at-0")], 0),
        (vec![data("at-40-config", false)], 40),
        (vec![env("at-25"), data("at-40-config", true)], 40),
        (vec![data("at-40-config", true), env("at-0")], 40),
        (vec![env("at-25"), data("absent", true)], 25),
        (vec![Step::DeploymentEnv(without_share(&world, "at-25")), data("at-40-config", true)], 40),
    ];
    for (steps, wanted) in cases {
        let share = cluster.share(&steps).await;
        ensure!(share == Ok(wanted), "{share:?} and not {wanted} for {steps:?}");
    }
    Ok(())
}

/// As the daemon does it.
async fn a_share_is_read_in_a_task_of_its_own(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    create_deployment(&world, COMPONENT).await?;
    let steps = vec![env(&world, COMPONENT)];
    ensure!(tokio::spawn(async move { cluster.share(&steps).await }).await? == Ok(25));
    Ok(())
}

async fn what_is_no_share_is_unknown(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    let ns = &world.namespace;
    create_deployment(&world, "at-25").await?;
    create_with(&world, "unset", json!({"name": "UNRELATED", "value": "1"})).await?;
    create_with_share(&world, "words", "all").await?;
    create_with_share(&world, "many", "101").await?;
    let secret = json!({"secretKeyRef": {"name": "shares", "key": "web"}});
    create_with(&world, "reference", json!({"name": "ISTIO_PERCENTAGE", "valueFrom": secret})).await?;
    let mut double = deployment(ns, "double");
    let second = EnvVar { name: "ISTIO_PERCENTAGE".to_owned(), value: Some("50".to_owned()), value_from: None };
    env_mut(&mut double, "controller").push(second);
    world.create(&double).await?;
    let mut bare = config_map(ns, "bare");
    bare.data = None;
    world.create(&bare).await?;

    let mut elsewhere = env_step(&world, "at-25");
    elsewhere.container = "main".into();
    let none = Step::DeploymentEnv(without_share(&world, "at-25"));
    let (env, data) = (|name| env(&world, name), |name, optional| data(&world, name, optional));
    let nothing_holds_it = "no object of the guard's steps holds the percentage".to_owned();
    let cases = [
        (
            vec![env("unset")],
            format!("env ISTIO_PERCENTAGE of container controller of Deployment {ns}/unset is not set"),
        ),
        (vec![env("words")], format!(r#"of Deployment {ns}/words is "all", not a whole number from 0 to 100"#)),
        (vec![env("many")], format!(r#"of Deployment {ns}/many is "101", not a whole number from 0 to 100"#)),
        (vec![env("reference")], "is no literal value: it comes from (key web of Secret shares)".to_owned()),
        (vec![env("double")], format!("of Deployment {ns}/double is there more than once")),
        (vec![env("nothing")], format!("could not read Deployment {ns}/nothing: it does not exist")),
        (vec![Step::DeploymentEnv(elsewhere)], format!("Deployment {ns}/at-25 has no container main")),
        (vec![env("at-25"), data("absent", false)], format!("could not read ConfigMap {ns}/absent: it does not exist")),
        (
            vec![env("at-25"), data("bare-config", true)],
            format!("key istio_percentage of ConfigMap {ns}/bare-config is not set"),
        ),
        (vec![data("absent", true)], nothing_holds_it.clone()),
        (vec![none], nothing_holds_it.clone()),
        (vec![], nothing_holds_it),
    ];
    for (steps, wanted) in cases {
        match cluster.share(&steps).await {
            Err(Unknown::Cluster(reason)) => ensure!(reason.contains(&wanted), "{reason:?} does not hold {wanted:?}"),
            other => bail!("{other:?} for {steps:?}"),
        }
    }
    Ok(())
}

async fn unknown_credentials_are_told(world: World) -> anyhow::Result<()> {
    create_deployment(&world, COMPONENT).await?;
    let cluster = cluster_of(&world, &nobody()).await?;
    let share = cluster.share(&[env(&world, COMPONENT)]).await;
    ensure!(matches!(&share, Err(Unknown::Cluster(e)) if e.contains("credentials")), "{share:?}");
    Ok(())
}
