//! Reading the share.

use ripcord::config::Step;
use ripcord::config::template::Template;
use ripcord::engine::Unknown;
use ripcord::kubernetes::Cluster;
use serde_json::{Value, json};

use crate::world::{World, config_map_step, env_step};

pub async fn all(world: &World) {
    let env = |name: &str| Step::DeploymentEnv(env_step(name));
    let data = |name: &str, optional| Step::ConfigMap(config_map_step(name, optional));
    let with =
        |entry: Value| move |object: &mut Value| object["spec"]["template"]["spec"]["containers"][1]["env"][3] = entry;

    world.deployment("share-25", |_| ()).await;
    world.deployment("share-0", with(json!({"name": "ISTIO_PERCENTAGE", "value": "0"}))).await;
    world.deployment("share-unset", with(json!({"name": "UNRELATED", "value": "1"}))).await;
    world.deployment("share-words", with(json!({"name": "ISTIO_PERCENTAGE", "value": "all"}))).await;
    world.deployment("share-many", with(json!({"name": "ISTIO_PERCENTAGE", "value": "101"}))).await;
    let secret = json!({"secretKeyRef": {"name": "shares", "key": "web"}});
    world.deployment("share-reference", with(json!({"name": "ISTIO_PERCENTAGE", "valueFrom": secret}))).await;
    world.deployment("share-twice", with(json!({"name": "ISTIO_PERCENTAGE", "value": "25"}))).await;
    world
        .deployment("share-double", |object| {
            let env = &mut object["spec"]["template"]["spec"]["containers"][1]["env"];
            env.as_array_mut().expect("env").push(json!({"name": "ISTIO_PERCENTAGE", "value": "50"}));
        })
        .await;
    world.config_map("share-40", json!({"data": {"istio_percentage": "40"}})).await;
    world.config_map("share-bare", json!({})).await;

    let mut elsewhere = env_step("share-25");
    elsewhere.container = "main".into();
    let mut none = env_step("share-25");
    none.env = [("NETWORKING_MODE".to_owned(), Template::parse("${mode}").expect("a template"))].into();

    let known = [
        (vec![env("share-25")], 25),
        (vec![env("share-0")], 0),
        (vec![data("share-40", false)], 40),
        (vec![env("share-25"), data("share-40", true)], 40),
        (vec![data("share-40", true), env("share-0")], 40),
        (vec![env("share-25"), data("share-absent", true)], 25),
        (vec![Step::DeploymentEnv(none.clone()), data("share-40", true)], 40),
    ];
    // The daemon reads shares in tasks of their own.
    let (cluster, steps) = (world.cluster.clone(), vec![env("share-25")]);
    assert_eq!(tokio::spawn(async move { cluster.share(&steps).await }).await.expect("no panic"), Ok(25));
    for (steps, wanted) in known {
        assert_eq!(world.cluster.share(&steps).await, Ok(wanted), "{steps:?}");
    }

    let unknown = [
        (
            vec![env("share-unset")],
            "env ISTIO_PERCENTAGE of container controller of Deployment default/share-unset is not set",
        ),
        (vec![env("share-words")], r#"of Deployment default/share-words is "all", not a whole number from 0 to 100"#),
        (vec![env("share-many")], r#"of Deployment default/share-many is "101", not a whole number from 0 to 100"#),
        (vec![env("share-reference")], "is no literal value: it comes from (key web of Secret shares)"),
        (vec![env("share-double")], "of Deployment default/share-double is there more than once"),
        (vec![env("share-nothing")], "could not read Deployment default/share-nothing: it does not exist"),
        (vec![Step::DeploymentEnv(elsewhere)], "Deployment default/share-25 has no container main"),
        (
            vec![env("share-25"), data("share-absent", false)],
            "could not read ConfigMap default/share-absent: it does not exist",
        ),
        (
            vec![env("share-25"), data("share-bare", true)],
            "key istio_percentage of ConfigMap default/share-bare is not set",
        ),
        (vec![data("share-absent", true)], "no object of the guard's steps holds the percentage"),
        (vec![Step::DeploymentEnv(none)], "no object of the guard's steps holds the percentage"),
        (vec![], "no object of the guard's steps holds the percentage"),
    ];
    for (steps, wanted) in unknown {
        match world.cluster.share(&steps).await {
            Err(Unknown::Cluster(reason)) => assert!(reason.contains(wanted), "{reason:?} does not hold {wanted:?}"),
            other => panic!("{other:?} for {steps:?}"),
        }
    }

    let nobody = Cluster::from_config(world.server.config("nobody")).await.expect("a cluster");
    assert!(matches!(nobody.share(&[env("share-25")]).await, Err(Unknown::Cluster(e)) if e.contains("credentials")));
}
