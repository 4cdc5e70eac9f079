//! An API server that fails, hangs, or is not there.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use ripcord::config::Step;
use ripcord::engine::{StepResult, Unknown};
use ripcord::kubernetes::{CALL_TIMEOUT, Cluster, Outcome};

use super::stage::{
    COMPONENT, behind_a_proxy, carry_out, env_rollback, env_step, failure, gets, patches, quick_controller, results,
    ripcord,
};
use crate::stories;
use crate::support::controller::finished;
use crate::support::fixtures::create_deployment;
use crate::support::proxy::Fault;
use crate::support::wire::Wire;
use crate::support::{Story, World, ports};

/// How much longer than its limit a call may seem to take on a busy machine.
const SLACK: Duration = Duration::from_secs(3);

pub fn trials() -> Vec<Story> {
    stories![
        answers_that_are_errors_are_told_and_not_retried,
        a_server_that_is_not_there_is_told,
        a_failed_second_look_does_not_stop_the_change,
        a_server_that_hangs_is_told_and_asked_again,
        a_patch_without_an_answer_is_found_done,
        dead_connections_are_not_used_again,
    ]
}

async fn answers_that_are_errors_are_told_and_not_retried(world: World) -> anyhow::Result<()> {
    create_deployment(&world, COMPONENT).await?;
    let (proxy, cluster) = behind_a_proxy(&world).await?;
    let denied = r#"admission webhook "images.example.com" denied the request: unsigned image"#;
    let failed = r#"Internal error occurred: failed calling webhook "images.example.com": context deadline exceeded"#;
    let cases = [
        (
            Fault::kubernetes_with(403, "Forbidden", denied),
            "refused at admission: admission webhook \"images.example.com\" denied the request: unsigned image",
        ),
        (Fault::kubernetes_with(400, "BadRequest", denied), "refused at admission: "),
        (
            Fault::kubernetes_with(500, "InternalError", failed),
            "the API server failed with 500: Internal error occurred: failed calling webhook",
        ),
        (Fault::answer(503, "<html>no upstream</html>"), "the API server failed with 503: <html>no upstream</html>"),
        (Fault::kubernetes_with(429, "TooManyRequests", "try later"), "the API server is throttling (try later)"),
        (Fault::answer(200, "no JSON"), "Error deserializing response"),
    ];
    let begins = format!("could not patch Deployment {}/{COMPONENT}: ", world.namespace);
    for (fault, wanted) in cases {
        proxy.clear();
        proxy.rule(patches, fault.clone());
        let before = proxy.count(patches);
        let error = failure(&cluster, &env_rollback(&world, COMPONENT)).await?;
        ensure!(error.starts_with(&begins), "{error}");
        ensure!(error.contains(wanted), "{error:?} does not hold {wanted:?}");
        ensure!(proxy.count(patches) == before + 1, "it was retried after {fault:?}");
    }
    Ok(())
}

async fn a_server_that_is_not_there_is_told(world: World) -> anyhow::Result<()> {
    let nowhere = kube::Config::new(format!("http://{}", ports::free_address()).parse()?);
    let cluster = Cluster::from_config(nowhere).await?;
    let error = failure(&cluster, &env_rollback(&world, COMPONENT)).await?;
    let wanted = format!(
        "could not read Deployment {}/{COMPONENT}: no connection to the API server: Connection refused",
        world.namespace
    );
    ensure!(error.starts_with(&wanted), "{error}");
    let share = cluster.share(&[Step::DeploymentEnv(env_step(&world, COMPONENT))]).await;
    ensure!(matches!(&share, Err(Unknown::Cluster(e)) if e.contains("refused")), "{share:?}");
    Ok(())
}

async fn a_failed_second_look_does_not_stop_the_change(world: World) -> anyhow::Result<()> {
    create_deployment(&world, COMPONENT).await?;
    let _controller = quick_controller(&world)?;
    // So that no write of the controller makes the step read once more.
    finished(&world, COMPONENT).await?;
    let (proxy, cluster) = behind_a_proxy(&world).await?;
    // The latest rule counts first: the first read passes, the second one fails.
    proxy.rule_times(1, gets, Fault::answer(500, "no quorum"));
    proxy.rule_times(1, gets, Fault::Pass);
    let (outcome, reports) = carry_out(&cluster, &env_rollback(&world, COMPONENT)).await;
    ensure!(outcome == Outcome::Completed, "{reports:?}");
    let [(StepResult::Changed, Some(detail))] = results(&reports)[..] else { bail!("{reports:?}") };
    let wanted = format!("(accepted; not read back: could not read Deployment {}/{COMPONENT}: ", world.namespace);
    ensure!(detail.contains(&wanted), "{detail}");
    Ok(())
}

async fn a_server_that_hangs_is_told_and_asked_again(world: World) -> anyhow::Result<()> {
    create_deployment(&world, COMPONENT).await?;
    let (proxy, cluster) = behind_a_proxy(&world).await?;
    let steps = [Step::DeploymentEnv(env_step(&world, COMPONENT))];
    ensure!(cluster.share(&steps).await == Ok(25));

    proxy.rule_times(1, |_| true, Fault::Hang);
    let began = Instant::now();
    let Err(Unknown::Cluster(error)) = cluster.share(&steps).await else { bail!("it should hang") };
    let took = began.elapsed();
    let wanted = format!(
        "could not read Deployment {}/{COMPONENT}: the API server did not answer within 5s; see whether it is overloaded, or cut off from here",
        world.namespace
    );
    ensure!(error == wanted, "{error}");
    ensure!((CALL_TIMEOUT..CALL_TIMEOUT + SLACK).contains(&took), "{took:?}");

    let began = Instant::now();
    ensure!(cluster.share(&steps).await == Ok(25));
    ensure!(began.elapsed() < CALL_TIMEOUT, "{:?}", began.elapsed());
    Ok(())
}

async fn a_patch_without_an_answer_is_found_done(world: World) -> anyhow::Result<()> {
    create_deployment(&world, COMPONENT).await?;
    let _controller = quick_controller(&world)?;
    // So that the patch meets no write of the controller.
    finished(&world, COMPONENT).await?;
    let (proxy, cluster) = behind_a_proxy(&world).await?;
    proxy.rule_times(1, patches, Fault::keep_answer());
    let error = failure(&cluster, &env_rollback(&world, COMPONENT)).await?;
    ensure!(error.contains("so it is not known whether the change was made (the next try reads first)"), "{error}");
    let (outcome, reports) = carry_out(&cluster, &env_rollback(&world, COMPONENT)).await;
    ensure!(
        (outcome, results(&reports)) == (Outcome::Completed, vec![(StepResult::AlreadyThere, None)]),
        "{reports:?}"
    );
    Ok(())
}

/// Several idle connections go dead at once, as when a load balancer forgets them. One call pays for that, not one for each of them.
async fn dead_connections_are_not_used_again(world: World) -> anyhow::Result<()> {
    create_deployment(&world, COMPONENT).await?;
    let wire = Wire::to(world.apiserver.address()).await?;
    let mut config = world.apiserver.config(&ripcord(&world).await?).await?;
    config.cluster_url = format!("https://{}", wire.address()).parse()?;
    let cluster = Cluster::from_config(config).await?;
    let steps = [Step::DeploymentEnv(env_step(&world, COMPONENT))];
    let shares = tokio::join!(cluster.share(&steps), cluster.share(&steps), cluster.share(&steps));
    ensure!(shares == (Ok(25), Ok(25), Ok(25)), "{shares:?}");
    // By the end of one more call all connections but its own are idle, and so the next call takes one of them.
    ensure!(cluster.share(&steps).await == Ok(25));
    ensure!(wire.cut() > 1, "several connections are needed to tell");

    let began = Instant::now();
    let share = cluster.share(&steps).await;
    ensure!(matches!(&share, Err(Unknown::Cluster(e)) if e.contains("did not answer")), "{share:?}");
    ensure!(began.elapsed() >= CALL_TIMEOUT, "{:?}", began.elapsed());
    let began = Instant::now();
    ensure!(cluster.share(&steps).await == Ok(25));
    ensure!(began.elapsed() < CALL_TIMEOUT, "a dead connection was used again");
    Ok(())
}
