//! A server that fails, hangs, or is not there.

use std::time::{Duration, Instant};

use axum::http::Method;
use futures::FutureExt;
use ripcord::config::Step;
use ripcord::engine::{StepResult, Unknown};
use ripcord::kubernetes::{CALL_TIMEOUT, Cluster, Outcome};
use tokio::net::TcpListener;

use crate::front::{Fate, Wire, config_of, front};
use crate::world::{World, carry_out, env_rollback, env_step, failure, results};

/// How much longer than its limit a call may seem to take on a busy machine.
const SLACK: Duration = Duration::from_secs(3);

pub async fn all(world: &World) {
    answers_that_are_errors(world).await;
    a_server_that_is_not_there().await;
    a_failed_second_look_does_not_stop_the_change(world).await;
    // Each waits for a time-out.
    tokio::join!(
        a_server_that_hangs_and_recovers(world),
        a_patch_that_hangs(world),
        dead_connections_are_not_used_again(world),
    );
}

async fn answers_that_are_errors(world: &World) {
    world.deployment("errors", |_| ()).await;
    let status = |code: u16, reason: &str, message: &str| {
        serde_json::json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message}).to_string()
    };
    let denied = r#"admission webhook "images.example.com" denied the request: unsigned image"#;
    let failed = r#"Internal error occurred: failed calling webhook "images.example.com": context deadline exceeded"#;
    let cases = [
        (
            403,
            status(403, "Forbidden", denied),
            "refused at admission: admission webhook \"images.example.com\" denied the request: unsigned image",
        ),
        (400, status(400, "BadRequest", denied), "refused at admission: "),
        (
            500,
            status(500, "InternalError", failed),
            "the API server failed with 500: Internal error occurred: failed calling webhook",
        ),
        (503, "<html>no upstream</html>".to_owned(), "the API server failed with 503: <html>no upstream</html>"),
        (429, status(429, "TooManyRequests", "try later"), "the API server is throttling (try later)"),
        (200, "no JSON".to_owned(), "Error deserializing response"),
    ];
    for (code, body, wanted) in cases {
        let judge = move |method: Method, _| {
            let fate = if method == Method::PATCH { Fate::Answer(code, body.clone()) } else { Fate::Pass };
            async { fate }.boxed()
        };
        let behind = Cluster::from_config(front(&world.admin, judge).await).await.expect("a cluster");
        let began = Instant::now();
        let error = failure(&behind, &env_rollback("errors")).await;
        assert!(error.starts_with("could not patch Deployment default/errors: "), "{error}");
        assert!(error.contains(wanted), "{error:?} does not hold {wanted:?}");
        assert!(began.elapsed() < Duration::from_secs(1), "it was retried");
    }
}

async fn a_server_that_is_not_there() {
    let address = TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("an address");
    let nowhere = Cluster::from_config(config_of(address)).await.expect("a cluster");
    let error = failure(&nowhere, &env_rollback("web")).await;
    assert!(
        error.starts_with("could not read Deployment default/web: no connection to the API server: Connection refused"),
        "{error}"
    );
    assert!(
        matches!(nowhere.share(&[Step::DeploymentEnv(env_step("web"))]).await, Err(Unknown::Cluster(e)) if e.contains("refused"))
    );
}

async fn a_server_that_hangs_and_recovers(world: &World) {
    world.deployment("hanging", |_| ()).await;
    let judge = |_, count| async move { if count == 1 { Fate::Hang } else { Fate::Pass } }.boxed();
    let behind = Cluster::from_config(front(&world.admin, judge).await).await.expect("a cluster");
    let steps = [Step::DeploymentEnv(env_step("hanging"))];
    assert_eq!(behind.share(&steps).await, Ok(25));

    let began = Instant::now();
    let Err(Unknown::Cluster(error)) = behind.share(&steps).await else { panic!("it does hang") };
    assert_eq!(
        error,
        "could not read Deployment default/hanging: the API server did not answer within 5s; see whether it is overloaded, or cut off from here"
    );
    assert!((CALL_TIMEOUT..CALL_TIMEOUT + SLACK).contains(&began.elapsed()), "{:?}", began.elapsed());

    let began = Instant::now();
    assert_eq!(behind.share(&steps).await, Ok(25));
    assert!(began.elapsed() < CALL_TIMEOUT, "{:?}", began.elapsed());
}

async fn a_patch_that_hangs(world: &World) {
    world.deployment("lost-answer", |_| ()).await;
    let judge = |method: Method, count| {
        let hangs = method == Method::PATCH && count == 0;
        async move { if hangs { Fate::PassThen(std::future::pending().boxed()) } else { Fate::Pass } }.boxed()
    };
    let behind = Cluster::from_config(front(&world.admin, judge).await).await.expect("a cluster");
    let error = failure(&behind, &env_rollback("lost-answer")).await;
    assert!(error.contains("so it is not known whether the change was made (the next try reads first)"), "{error}");

    let controller = world.keep_settled("lost-answer");
    let (outcome, reports) = carry_out(&behind, &env_rollback("lost-answer")).await;
    controller.abort();
    assert_eq!((outcome, results(&reports)), (Outcome::Completed, vec![(StepResult::AlreadyThere, None)]));
}

async fn a_failed_second_look_does_not_stop_the_change(world: &World) {
    world.deployment("unread", |_| ()).await;
    // So that no write of the controller makes the step read once more.
    world.settle("unread").await;
    let judge = |method: Method, count| {
        let fails = method == Method::GET && count == 1;
        async move { if fails { Fate::Answer(500, "no quorum".into()) } else { Fate::Pass } }.boxed()
    };
    let behind = Cluster::from_config(front(&world.admin, judge).await).await.expect("a cluster");
    let controller = world.keep_settled("unread");
    let (outcome, reports) = carry_out(&behind, &env_rollback("unread")).await;
    controller.abort();
    assert_eq!(outcome, Outcome::Completed, "{reports:?}");
    let [(StepResult::Changed, Some(detail))] = results(&reports)[..] else { panic!("{reports:?}") };
    assert!(detail.contains("(accepted; not read back: could not read Deployment default/unread: "), "{detail}");
}

/// Several idle connections go dead at once, as when a load balancer forgets them. One call pays for that, not one for
/// each of them.
async fn dead_connections_are_not_used_again(world: &World) {
    world.deployment("wired", |_| ()).await;
    let mut config = world.server.config("ripcord");
    let wire = Wire::to(config.cluster_url.authority().expect("an address").to_string()).await;
    config.cluster_url = format!("https://{}", wire.address).parse().expect("an address");
    let cluster = Cluster::from_config(config).await.expect("a cluster");
    let steps = [Step::DeploymentEnv(env_step("wired"))];
    let (a, b, c) = tokio::join!(cluster.share(&steps), cluster.share(&steps), cluster.share(&steps));
    assert_eq!((a, b, c), (Ok(25), Ok(25), Ok(25)));
    assert!(wire.cut() > 1, "several connections are needed to tell");

    let began = Instant::now();
    assert!(matches!(cluster.share(&steps).await, Err(Unknown::Cluster(e)) if e.contains("did not answer")));
    assert!(began.elapsed() >= CALL_TIMEOUT);
    let began = Instant::now();
    assert_eq!(cluster.share(&steps).await, Ok(25));
    assert!(began.elapsed() < CALL_TIMEOUT, "a dead connection was used again");
}
