//! Somebody else writes at the same moment.

use axum::http::Method;
use futures::FutureExt;
use kube::api::{Patch, PatchParams};
use ripcord::config::Step;
use ripcord::engine::{Progress, StepResult};
use ripcord::kubernetes::{Cluster, Outcome};
use serde_json::json;

use crate::front::{Fate, front};
use crate::world::{
    World, carry_out, config_map_step, create_deployment, delete_deployment, env_rollback, failure, results, rollback,
    set_env, touch,
};

pub async fn all(world: &World) {
    a_write_in_between_is_met_by_beginning_anew(world).await;
    whoever_never_stops_writing_wins(world).await;
    somebody_else_did_it_already(world).await;
    another_object_of_the_same_name(world).await;
    a_change_that_does_not_stay(world).await;
    a_config_map_that_does_not_stay(world).await;
}

/// A cluster behind a front that runs `before` ahead of each patch; it gets the number of patches before.
async fn cluster<F>(world: &World, before: F) -> Cluster
where
    F: Fn(usize) -> futures::future::BoxFuture<'static, Fate> + Send + Sync + 'static,
{
    let judge = move |method: Method, count| {
        if method == Method::PATCH { before(count) } else { async { Fate::Pass }.boxed() }
    };
    Cluster::from_config(front(&world.admin, judge).await).await.expect("a cluster")
}

async fn a_write_in_between_is_met_by_beginning_anew(world: &World) {
    world.deployment("busy", |_| ()).await;
    // So that the controller does not write in between too.
    world.settle("busy").await;
    let api = world.deployments();
    let behind = cluster(world, move |count| {
        let api = api.clone();
        async move {
            if count < 5 {
                touch(api, "busy", count).await;
            }
            Fate::Pass
        }
        .boxed()
    })
    .await;
    let controller = world.keep_settled("busy");
    let (outcome, reports) = carry_out(&behind, &env_rollback("busy")).await;
    controller.abort();
    assert_eq!(outcome, Outcome::Completed, "{reports:?}");
    assert_eq!(results(&reports)[0].0, StepResult::Changed);
    let after = world.raw_deployment("busy").await;
    assert_eq!(after["metadata"]["labels"]["touched"], "4", "somebody's write was lost");
}

async fn whoever_never_stops_writing_wins(world: &World) {
    world.deployment("restless", |_| ()).await;
    let api = world.deployments();
    let behind = cluster(world, move |count| {
        let api = api.clone();
        async move {
            touch(api, "restless", count).await;
            Fate::Pass
        }
        .boxed()
    })
    .await;
    let error = failure(&behind, &env_rollback("restless")).await;
    assert!(
        error.starts_with("could not patch Deployment default/restless: somebody else changed it at the same moment"),
        "{error}"
    );
    assert!(error.ends_with("6 tries in a row met such a write: find out who keeps writing it"), "{error}");
}

async fn somebody_else_did_it_already(world: &World) {
    world.deployment("done", |_| ()).await;
    let api = world.deployments();
    let wanted = json!([{"name": "NETWORKING_MODE", "value": "ingress"}, {"name": "ISTIO_PERCENTAGE", "value": "0"}]);
    let behind = cluster(world, move |_| {
        let written = set_env(api.clone(), "done", "kubectl", wanted.clone());
        async move {
            written.await;
            Fate::Pass
        }
        .boxed()
    })
    .await;
    let controller = world.keep_settled("done");
    let (outcome, reports) = carry_out(&behind, &env_rollback("done")).await;
    controller.abort();
    assert_eq!((outcome, results(&reports)), (Outcome::Completed, vec![(StepResult::AlreadyThere, None)]));
}

async fn another_object_of_the_same_name(world: &World) {
    for (name, fits) in [("anew", true), ("anew-unfit", false)] {
        world.deployment(name, |_| ()).await;
        let old = world.deployments().get(name).await.expect("a Deployment").metadata.uid;
        let api = world.deployments();
        let behind = cluster(world, move |count| {
            let api = api.clone();
            async move {
                if count == 0 {
                    delete_deployment(&api, name).await;
                    create_deployment(&api, name, |object| object["spec"]["paused"] = json!(!fits)).await;
                }
                Fate::Pass
            }
            .boxed()
        })
        .await;
        if fits {
            let controller = world.keep_settled(name);
            let (outcome, reports) = carry_out(&behind, &env_rollback(name)).await;
            controller.abort();
            assert_eq!((outcome, results(&reports)[0].0), (Outcome::Completed, StepResult::Changed));
        } else {
            let error = failure(&behind, &env_rollback(name)).await;
            assert!(error.contains("is paused"), "{error}");
        }
        assert_ne!(world.deployments().get(name).await.expect("a Deployment").metadata.uid, old);
    }
}

async fn a_change_that_does_not_stay(world: &World) {
    world.deployment("gitops", |_| ()).await;
    let api = world.deployments();
    let behind = cluster(world, move |_| {
        let undo =
            set_env(api.clone(), "gitops", "argocd-controller", json!([{"name": "ISTIO_PERCENTAGE", "value": "25"}]));
        async move { Fate::PassThen(undo) }.boxed()
    })
    .await;
    let error = failure(&behind, &env_rollback("gitops")).await;
    assert_eq!(
        error,
        "the change of Deployment default/gitops was accepted and did not stay: ISTIO_PERCENTAGE is 25, not 0. argocd-controller has set it \
         since; stop that first"
    );

    // What an admission webhook makes of the patch is in the answer to it.
    world.deployment("webhook", |_| ()).await;
    let mut mutated = world.raw_deployment("webhook").await;
    mutated["spec"]["template"]["spec"]["containers"][1]["env"] = json!([
        {"name": "NETWORKING_MODE", "value": "ingress"}, {"name": "ISTIO_PERCENTAGE", "value": "0"},
        {"name": "EMERGENCY_ROLLBACK", "value": "true"}, {"name": "ROLLBACK_TIMESTAMP", "value": "2026-01-02T03:04:05Z"},
    ]);
    mutated["spec"]["template"]["spec"]["containers"][0]["image"] = json!("mirror.example/shipper:1");
    let behind = cluster(world, move |_| {
        let answer = Fate::Answer(200, mutated.to_string());
        async move { answer }.boxed()
    })
    .await;
    let error = failure(&behind, &env_rollback("webhook")).await;
    assert!(error.contains("an admission webhook changed its containers besides"), "{error}");
    assert!(error.contains("log-shipper=mirror.example/shipper:1"), "{error}");
}

async fn a_config_map_that_does_not_stay(world: &World) {
    world.config_map("operated", json!({"data": {"networking_mode": "dual", "istio_percentage": "25"}})).await;
    let api = world.config_maps();
    let behind = cluster(world, move |_| {
        let api = api.clone();
        let undo = async move {
            let params = PatchParams { field_manager: Some("settings-operator".into()), ..Default::default() };
            let patch = Patch::Merge(json!({"data": {"istio_percentage": "25"}}));
            api.patch("operated", &params, &patch).await.expect("to undo it");
        };
        async move { Fate::PassThen(undo.boxed()) }.boxed()
    })
    .await;
    let plan = rollback([Step::ConfigMap(config_map_step("operated", false))]);
    let (_, reports) = carry_out(&behind, &plan).await;
    let Some(Progress::Failed { error, .. }) = reports.last() else { panic!("{reports:?}") };
    assert!(error.contains("istio_percentage is 25, not 0"), "{error}");
    assert!(error.contains("settings-operator has set it since"), "{error}");
}
