//! Waiting for rollouts.

use std::time::{Duration, Instant};

use axum::http::Method;
use futures::FutureExt;
use ripcord::config::Step;
use ripcord::engine::{Progress, StepResult};
use ripcord::kubernetes::{Cluster, Outcome};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use crate::front::{Fate, front};
use crate::world::{World, carry_out, create_deployment, delete_deployment, env_rollback, env_step, results, rollback};

pub async fn all(world: &World) {
    completion_waits_for_every_rollout(world).await;
    a_rollout_that_is_given_up(world).await;
    a_rollout_that_takes_too_long(world).await;
    a_deployment_that_goes_away(world).await;
    a_look_that_fails_is_tolerated(world).await;
    a_cancelled_wait_ends(world).await;
    a_cancelled_change_sends_nothing(world).await;
}

/// The status of the old pods, which looks complete to whoever forgets the generation.
fn old_pods() -> serde_json::Value {
    json!({"observedGeneration": 1, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3, "readyReplicas": 3})
}

async fn completion_waits_for_every_rollout(world: &World) {
    for name in ["one", "two"] {
        world.deployment(name, |_| ()).await;
        world.status(name, old_pods()).await;
    }
    let plan = rollback(["one", "two"].map(|name| Step::DeploymentEnv(env_step(name))));
    let (report, mut reports) = mpsc::unbounded_channel();
    let cluster = world.cluster.clone();
    let change = tokio::spawn(async move {
        cluster.carry_out(&plan, |p| report.send(p).expect("a listener"), std::future::pending()).await
    });
    for _ in 0..2 {
        assert!(matches!(reports.recv().await, Some(Progress::Step(s)) if s.result == StepResult::Changed));
    }
    assert_eq!(reports.recv().await, Some(Progress::Accepted));
    world.settle("two").await;
    // Long enough for several looks at both.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert!(reports.try_recv().is_err(), "one of two is not complete");
    world.settle("one").await;
    assert_eq!(reports.recv().await, Some(Progress::Completed));
    assert_eq!(change.await.expect("no panic"), Outcome::Completed);
}

fn last_error(reports: &[Progress]) -> &str {
    match reports {
        [.., Progress::Accepted, Progress::Failed { step, error }] if step.starts_with("deployment_env default/") => {
            error
        }
        other => panic!("{other:?}"),
    }
}

async fn a_rollout_that_is_given_up(world: &World) {
    world.deployment("stuck", |_| ()).await;
    let mut plan = env_rollback("stuck");
    plan.rollout_timeout = Duration::from_secs(60);
    let exceeded = json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
        "message": "ReplicaSet \"stuck-2\" has timed out progressing."}]);
    let controller = async {
        while world.deployments().get("stuck").await.expect("a Deployment").metadata.generation != Some(2) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        world
            .status(
                "stuck",
                json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 1, "conditions": exceeded}),
            )
            .await;
    };
    let ((outcome, reports), ()) = tokio::join!(carry_out(&world.cluster, &plan), controller);
    assert_eq!(outcome, Outcome::Failed);
    assert_eq!(
        last_error(&reports),
        "the rollout of Deployment default/stuck failed: it exceeded its progress deadline: ReplicaSet \"stuck-2\" has timed out progressing. \
         Look at its new pods: kubectl -n default describe deployment stuck"
    );

    // Trying again finds the change there, and its rollout no better.
    let (_, reports) = carry_out(&world.cluster, &plan).await;
    assert_eq!(results(&reports), [(StepResult::AlreadyThere, None)]);
    assert!(last_error(&reports).contains("progress deadline"), "{reports:?}");
    world.settle("stuck").await;
    world.status("stuck", json!({"conditions": null})).await;
    assert_eq!(carry_out(&world.cluster, &plan).await.0, Outcome::Completed);
}

async fn a_rollout_that_takes_too_long(world: &World) {
    world.deployment("slow", |_| ()).await;
    world.status("slow", old_pods()).await;
    let mut plan = env_rollback("slow");
    plan.rollout_timeout = Duration::from_secs(1);
    let (_, reports) = carry_out(&world.cluster, &plan).await;
    assert_eq!(
        last_error(&reports),
        "the rollout of Deployment default/slow was not complete after 1s: the Deployment's controller has not seen the change. Look at its new \
         pods: kubectl -n default describe deployment slow"
    );
    world
        .status("slow", json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 2}))
        .await;
    let (_, reports) = carry_out(&world.cluster, &plan).await;
    assert!(
        last_error(&reports).contains("not complete after 1s: 2 of 3 updated replicas are available. Look"),
        "{reports:?}"
    );
}

async fn a_deployment_that_goes_away(world: &World) {
    for (name, again, wanted) in
        [("away", false, "was deleted while"), ("replaced", true, "was deleted and created anew while")]
    {
        world.deployment(name, |_| ()).await;
        let api = world.deployments();
        let (accepted, go) = oneshot::channel();
        let mut accepted = Some(accepted);
        let mut last = None;
        let plan = env_rollback(name);
        let report = |progress| {
            if progress == Progress::Accepted
                && let Some(accepted) = accepted.take()
            {
                let _ = accepted.send(());
            }
            last = Some(progress);
        };
        let somebody = async {
            go.await.expect("the change is accepted");
            delete_deployment(&api, name).await;
            if again {
                create_deployment(&api, name, |_| ()).await;
            }
        };
        // The first look may come between the deletion and the creation; both are right then.
        let (outcome, ()) = tokio::join!(world.cluster.carry_out(&plan, report, std::future::pending()), somebody);
        assert_eq!(outcome, Outcome::Failed);
        let Some(Progress::Failed { error, .. }) = last else { panic!("{last:?}") };
        assert!(error.contains(wanted) || error.contains("was deleted while"), "{error}");
    }
}

async fn a_look_that_fails_is_tolerated(world: &World) {
    world.deployment("flaky", |_| ()).await;
    world.settle("flaky").await;
    // The first two are the step's own reads; three looks fail, the others see the status.
    let judge = |method: Method, count: usize| {
        let fails = method == Method::GET && (2..5).contains(&count);
        async move { if fails { Fate::Answer(503, "etcd is electing".into()) } else { Fate::Pass } }.boxed()
    };
    let behind = Cluster::from_config(front(&world.admin, judge).await).await.expect("a cluster");
    let controller = world.keep_settled("flaky");
    let (outcome, reports) = carry_out(&behind, &env_rollback("flaky")).await;
    controller.abort();
    assert_eq!(outcome, Outcome::Completed, "{reports:?}");
}

async fn a_cancelled_wait_ends(world: &World) {
    world.deployment("cancelled", |_| ()).await;
    let (cancel, cancelled) = oneshot::channel::<()>();
    let mut cancel = Some(cancel);
    let mut reports = Vec::new();
    let report = |progress| {
        if progress == Progress::Accepted {
            drop(cancel.take());
        }
        reports.push(progress);
    };
    let began = Instant::now();
    let plan = env_rollback("cancelled");
    let outcome = world.cluster.carry_out(&plan, report, async { drop(cancelled.await) }).await;
    assert_eq!(outcome, Outcome::Cancelled);
    assert!(began.elapsed() < plan.rollout_timeout);
    assert_eq!(reports.last(), Some(&Progress::Accepted));
}

async fn a_cancelled_change_sends_nothing(world: &World) {
    world.deployment("untouched", |_| ()).await;
    let before = world.raw_deployment("untouched").await;
    let mut reports = Vec::new();
    let outcome =
        world.cluster.carry_out(&env_rollback("untouched"), |p| reports.push(p), std::future::ready(())).await;
    assert_eq!((outcome, reports), (Outcome::Cancelled, Vec::new()));
    assert_eq!(world.raw_deployment("untouched").await, before);
}
