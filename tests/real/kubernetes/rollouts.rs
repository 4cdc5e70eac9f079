//! The wait for rollouts.

use std::future::{pending, ready};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{DeleteParams, PostParams};
use ripcord::config::Step;
use ripcord::engine::{Progress, StepResult};
use ripcord::kubernetes::Outcome;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::stage::{
    COMPONENT, behind_a_proxy, carry_out, cluster, env_rollback, env_step, gets, patches, quick_controller, results,
    rollback,
};
use crate::stories;
use crate::support::controller::{Controller, Rollout, finish, finished, write_status};
use crate::support::fixtures::{create_deployment, deployment};
use crate::support::proxy::Fault;
use crate::support::{Story, World, never};

pub fn trials() -> Vec<Story> {
    stories![
        completion_waits_for_every_rollout,
        a_rollout_that_is_given_up_is_told_until_it_is_mended,
        a_rollout_that_takes_too_long_says_what_is_missing,
        a_deployment_that_is_deleted_is_told,
        a_deployment_that_is_replaced_is_told,
        a_look_that_fails_is_tolerated,
        a_cancelled_wait_ends,
        a_cancelled_change_sends_nothing,
    ]
}

async fn completion_waits_for_every_rollout(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    for name in ["one", "two"] {
        create_deployment(&world, name).await?;
        // The status of the old pods looks complete to whoever forgets the generation.
        finish(&world, name).await?;
    }
    let plan = rollback(["one", "two"].map(|name| Step::DeploymentEnv(env_step(&world, name))));
    let (report, mut reports) = mpsc::unbounded_channel();
    let change =
        tokio::spawn(async move { cluster.carry_out(&plan, |p| report.send(p).expect("a listener"), pending()).await });
    for _ in 0..2 {
        let step = reports.recv().await;
        ensure!(matches!(&step, Some(Progress::Step(s)) if s.result == StepResult::Changed), "{step:?}");
    }
    ensure!(reports.recv().await == Some(Progress::Accepted));
    finish(&world, "two").await?;
    // Long enough for several looks at both.
    let more = async || reports.try_recv();
    never(Duration::from_millis(1200), "a report with one of two not complete", more).await?;
    finish(&world, "one").await?;
    ensure!(reports.recv().await == Some(Progress::Completed));
    ensure!(change.await? == Outcome::Completed);
    Ok(())
}

/// The error of a change whose steps were accepted and whose rollout failed.
fn rollout_error<'r>(world: &World, reports: &'r [Progress]) -> anyhow::Result<&'r str> {
    let wanted = format!("deployment_env {}/{COMPONENT}", world.namespace);
    match reports {
        [.., Progress::Accepted, Progress::Failed { step, error }] if *step == wanted => Ok(error),
        other => bail!("{other:?}"),
    }
}

async fn a_rollout_that_is_given_up_is_told_until_it_is_mended(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    create_deployment(&world, COMPONENT).await?;
    let controller = Controller::start(&world, Rollout::Stuck(Duration::ZERO))?;
    let mut plan = env_rollback(&world, COMPONENT);
    plan.rollout_timeout = Duration::from_secs(60);
    let (outcome, reports) = carry_out(&cluster, &plan).await;
    ensure!(outcome == Outcome::Failed, "{reports:?}");
    let ns = &world.namespace;
    let wanted = format!(
        "the rollout of Deployment {ns}/{COMPONENT} failed: it exceeded its progress deadline: The new ReplicaSet has timed out progressing. \
         Look at its new pods: kubectl -n {ns} describe deployment {COMPONENT}"
    );
    let error = rollout_error(&world, &reports)?;
    ensure!(error == wanted, "{error}");

    // Trying again finds the change there, and its rollout no better.
    let (_, reports) = carry_out(&cluster, &plan).await;
    ensure!(results(&reports) == [(StepResult::AlreadyThere, None)], "{reports:?}");
    ensure!(rollout_error(&world, &reports)?.contains("progress deadline"), "{reports:?}");
    controller.set(Rollout::Finish(Duration::ZERO));
    finished(&world, COMPONENT).await?;
    let (outcome, reports) = carry_out(&cluster, &plan).await;
    ensure!(outcome == Outcome::Completed, "{reports:?}");
    Ok(())
}

async fn a_rollout_that_takes_too_long_says_what_is_missing(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    create_deployment(&world, COMPONENT).await?;
    finish(&world, COMPONENT).await?;
    let mut plan = env_rollback(&world, COMPONENT);
    plan.rollout_timeout = Duration::from_secs(1);
    let (_, reports) = carry_out(&cluster, &plan).await;
    let ns = &world.namespace;
    let wanted = format!(
        "the rollout of Deployment {ns}/{COMPONENT} was not complete after 1s: the Deployment's controller has not seen the change. See whether \
         the kube-controller-manager runs: nothing has been done about the change yet"
    );
    let error = rollout_error(&world, &reports)?;
    ensure!(error == wanted, "{error}");

    let status = json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1});
    write_status(&world.api(), COMPONENT, &status).await?;
    let (_, reports) = carry_out(&cluster, &plan).await;
    let error = rollout_error(&world, &reports)?;
    ensure!(error.contains("not complete after 1s: 1 of 2 updated replicas are available. Look"), "{error}");
    Ok(())
}

/// The error when somebody deletes the Deployment during the wait and, it may be, creates another one.
async fn error_after_a_deletion(world: &World, again: bool) -> anyhow::Result<String> {
    let cluster = cluster(world).await?;
    create_deployment(world, COMPONENT).await?;
    let (accept, accepted) = oneshot::channel();
    let mut accept = Some(accept);
    let mut last = None;
    let report = |progress| {
        if progress == Progress::Accepted
            && let Some(accept) = accept.take()
        {
            let _ = accept.send(());
        }
        last = Some(progress);
    };
    let somebody = async {
        accepted.await?;
        let api = world.api::<Deployment>();
        ensure!(api.delete(COMPONENT, &DeleteParams::background()).await?.is_right(), "it is still there");
        if again {
            api.create(&PostParams::default(), &deployment(&world.namespace, COMPONENT)).await?;
        }
        anyhow::Ok(())
    };
    let plan = env_rollback(world, COMPONENT);
    let (outcome, done) = tokio::join!(cluster.carry_out(&plan, report, pending()), somebody);
    done?;
    ensure!(outcome == Outcome::Failed, "{last:?}");
    let Some(Progress::Failed { error, .. }) = last else { bail!("{last:?}") };
    Ok(error)
}

async fn a_deployment_that_is_deleted_is_told(world: World) -> anyhow::Result<()> {
    let error = error_after_a_deletion(&world, false).await?;
    ensure!(error.contains("was deleted while"), "{error}");
    Ok(())
}

async fn a_deployment_that_is_replaced_is_told(world: World) -> anyhow::Result<()> {
    let error = error_after_a_deletion(&world, true).await?;
    // A look may come between the deletion and the creation; both are right then.
    ensure!(error.contains("was deleted and created anew while") || error.contains("was deleted while"), "{error}");
    Ok(())
}

async fn a_look_that_fails_is_tolerated(world: World) -> anyhow::Result<()> {
    create_deployment(&world, COMPONENT).await?;
    let _controller = quick_controller(&world)?;
    finished(&world, COMPONENT).await?;
    let (proxy, cluster) = behind_a_proxy(&world).await?;
    // The latest rule counts first: the step's own two reads pass, then three looks fail, the others see the status.
    proxy.rule_times(3, gets, Fault::answer(503, "etcd is electing"));
    proxy.rule_times(2, gets, Fault::Pass);
    let (outcome, reports) = carry_out(&cluster, &env_rollback(&world, COMPONENT)).await;
    ensure!(outcome == Outcome::Completed, "{reports:?}");
    let failed = proxy.count(|r| r.answered.is_some_and(|(status, _)| status == 503));
    ensure!(failed == 3, "{failed} looks failed");
    Ok(())
}

async fn a_cancelled_wait_ends(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    create_deployment(&world, COMPONENT).await?;
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
    let plan = env_rollback(&world, COMPONENT);
    let outcome = cluster.carry_out(&plan, report, async { drop(cancelled.await) }).await;
    ensure!(outcome == Outcome::Cancelled, "{reports:?}");
    ensure!(began.elapsed() < plan.rollout_timeout);
    ensure!(reports.last() == Some(&Progress::Accepted), "{reports:?}");
    Ok(())
}

async fn a_cancelled_change_sends_nothing(world: World) -> anyhow::Result<()> {
    let (proxy, cluster) = behind_a_proxy(&world).await?;
    let before = create_deployment(&world, COMPONENT).await?;
    let mut reports = Vec::new();
    let outcome = cluster.carry_out(&env_rollback(&world, COMPONENT), |p| reports.push(p), ready(())).await;
    ensure!((outcome, &reports) == (Outcome::Cancelled, &Vec::new()), "{reports:?}");
    ensure!(proxy.count(patches) == 0, "something was sent");
    ensure!(world.api::<Deployment>().get(COMPONENT).await? == before);
    Ok(())
}
