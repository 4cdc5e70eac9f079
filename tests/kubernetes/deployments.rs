//! The step `deployment_env`.

use std::time::Instant;

use k8s_openapi::api::core::v1::EnvVar;
use ripcord::config::Step;
use ripcord::config::template::Template;
use ripcord::engine::{Progress, StepResult};
use ripcord::kubernetes::{Cluster, Outcome};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::world::{World, carry_out, env_rollback, env_step, failure, results, rollback};

pub async fn all(world: &World) {
    only_the_env_changes(world).await;
    what_is_there_already_is_not_written(world).await;
    a_reference_is_replaced(world).await;
    a_change_that_is_no_rollback(world).await;
    a_dry_run_changes_nothing(world).await;
    what_cannot_be_right_is_refused(world).await;
    missing_rights_are_named(world).await;
    invalid_values_are_told(world).await;
    nothing_is_tried_after_a_failure(world).await;
    it_is_quick(world).await;
}

fn env_of(object: &Value, container: &str) -> Vec<EnvVar> {
    let containers = object["spec"]["template"]["spec"]["containers"].as_array().expect("containers");
    let found = containers.iter().find(|c| c["name"] == container).expect("the container");
    serde_json::from_value(found["env"].clone()).expect("env")
}

/// What is left when the container's env and what differs at every write are taken away.
fn rest(mut object: Value) -> Value {
    for field in ["resourceVersion", "generation", "managedFields"] {
        object["metadata"].as_object_mut().expect("metadata").remove(field);
    }
    object.as_object_mut().expect("an object").remove("status");
    let containers = object["spec"]["template"]["spec"]["containers"].as_array_mut().expect("containers");
    for container in containers.iter_mut().filter(|c| c["name"] == "controller") {
        container.as_object_mut().expect("a container").remove("env");
    }
    object
}

async fn only_the_env_changes(world: &World) {
    world.deployment("plain", |_| ()).await;
    let controller = world.keep_settled("plain");
    let before = world.raw_deployment("plain").await;
    let (outcome, reports) = carry_out(&world.cluster, &env_rollback("plain")).await;
    controller.abort();

    assert_eq!(outcome, Outcome::Completed, "{reports:?}");
    let detail = "EMERGENCY_ROLLBACK: (not set) -> true, ISTIO_PERCENTAGE: 25 -> 0, NETWORKING_MODE: dual -> ingress, \
                  ROLLBACK_TIMESTAMP: (not set) -> 2026-01-02T03:04:05Z";
    assert_eq!(results(&reports), [(StepResult::Changed, Some(detail))]);
    assert_eq!(reports[1..], [Progress::Accepted, Progress::Completed]);

    let after = world.raw_deployment("plain").await;
    assert_eq!(rest(before.clone()), rest(after.clone()), "something else was changed");
    let env = env_of(&after, "controller");
    // The variables that were there keep their order, on which references between them depend.
    let was: Vec<_> = env_of(&before, "controller").into_iter().map(|e| e.name).collect();
    let stayed: Vec<_> = env.iter().map(|e| &e.name).filter(|name| was.contains(name)).collect();
    assert_eq!(stayed, was.iter().collect::<Vec<_>>());
    let value = |name: &str| env.iter().find(|e| e.name == name).expect("the variable").value.as_deref();
    assert_eq!(
        [value("FIRST"), value("EMPTY"), value("LAST"), value("POD_IP")],
        [Some("1"), None, Some("$(FIRST)"), None]
    );
    assert_eq!([value("NETWORKING_MODE"), value("ISTIO_PERCENTAGE")], [Some("ingress"), Some("0")]);
    assert_eq!(env.len(), 8);
    assert!(env.iter().any(|e| e.name == "POD_IP" && e.value_from.is_some()));

    let managers = after["metadata"]["managedFields"].as_array().expect("managedFields");
    let ours = managers.iter().find(|m| m["manager"] == "ripcord").expect("the field manager ripcord");
    assert_eq!(ours["operation"], "Update");
    assert!(ours["fieldsV1"].to_string().contains("ISTIO_PERCENTAGE"), "{ours}");
}

async fn what_is_there_already_is_not_written(world: &World) {
    world.deployment("already", |_| ()).await;
    let controller = world.keep_settled("already");
    carry_out(&world.cluster, &env_rollback("already")).await;
    controller.abort();
    let before = world.raw_deployment("already").await;

    let mut later = env_rollback("already");
    later.vars.insert("time".into(), "2027-01-01T00:00:00Z".into());
    let (outcome, reports) = carry_out(&world.cluster, &later).await;
    assert_eq!((outcome, results(&reports)), (Outcome::Completed, vec![(StepResult::AlreadyThere, None)]));
    assert_eq!(world.raw_deployment("already").await, before);

    // A step whose every value differs each time is done only when those very values are there.
    let mut step = env_step("already");
    step.env = [("ROLLBACK_TIMESTAMP".to_owned(), Template::parse("${time}").expect("a template"))].into();
    step.rollback_env.clear();
    let mut volatile = rollback([Step::DeploymentEnv(step)]);
    let (_, reports) = carry_out(&world.cluster, &volatile).await;
    assert_eq!(results(&reports), [(StepResult::AlreadyThere, None)]);
    volatile.vars.insert("time".into(), "2027-01-01T00:00:00Z".into());
    let controller = world.keep_settled("already");
    let (_, reports) = carry_out(&world.cluster, &volatile).await;
    controller.abort();
    let detail = "ROLLBACK_TIMESTAMP: 2026-01-02T03:04:05Z -> 2027-01-01T00:00:00Z";
    assert_eq!(results(&reports), [(StepResult::Changed, Some(detail))]);
}

async fn a_reference_is_replaced(world: &World) {
    world
        .deployment("reference", |object| {
            object["spec"]["template"]["spec"]["containers"][1]["env"][3] =
                json!({"name": "ISTIO_PERCENTAGE", "valueFrom": {"configMapKeyRef": {"name": "shares", "key": "web"}}});
        })
        .await;
    let mut plan = env_rollback("reference");
    plan.rollback = false;
    let controller = world.keep_settled("reference");
    let (outcome, reports) = carry_out(&world.cluster, &plan).await;
    controller.abort();
    let detail = "ISTIO_PERCENTAGE: (key web of ConfigMap shares) -> 0 (the reference is replaced), NETWORKING_MODE: dual -> ingress";
    assert_eq!((outcome, results(&reports)), (Outcome::Completed, vec![(StepResult::Changed, Some(detail))]));
    let env = env_of(&world.raw_deployment("reference").await, "controller");
    let entry = env.iter().find(|e| e.name == "ISTIO_PERCENTAGE").expect("the variable");
    assert_eq!((entry.value.as_deref(), entry.value_from.is_none()), (Some("0"), true));
}

async fn a_change_that_is_no_rollback(world: &World) {
    world.deployment("shift", |_| ()).await;
    let controller = world.keep_settled("shift");
    let mut plan = env_rollback("shift");
    plan.rollback = false;
    carry_out(&world.cluster, &plan).await;
    controller.abort();
    let env = env_of(&world.raw_deployment("shift").await, "controller");
    assert!(!env.iter().any(|e| e.name == "EMERGENCY_ROLLBACK"), "{env:?}");
}

async fn a_dry_run_changes_nothing(world: &World) {
    world.deployment("dry", |_| ()).await;
    let before = world.raw_deployment("dry").await;
    let mut plan = env_rollback("dry");
    plan.dry_run = true;
    let (outcome, reports) = carry_out(&world.cluster, &plan).await;
    assert_eq!(outcome, Outcome::Completed);
    assert_eq!(results(&reports)[0].0, StepResult::WouldChange);
    assert_eq!(reports[1..], [Progress::Accepted, Progress::Completed]);
    assert_eq!(world.raw_deployment("dry").await, before);
}

async fn what_cannot_be_right_is_refused(world: &World) {
    world.deployment("paused", |object| object["spec"]["paused"] = json!(true)).await;
    world
        .deployment("twice", |object| {
            let env = &mut object["spec"]["template"]["spec"]["containers"][1]["env"];
            env.as_array_mut().expect("env").push(json!({"name": "ISTIO_PERCENTAGE", "value": "50"}));
        })
        .await;
    world.deployment("leaving", |object| object["metadata"]["finalizers"] = json!(["example.com/keep"])).await;
    world.deployments().delete("leaving", &Default::default()).await.expect("to delete");
    world.deployment("other", |_| ()).await;

    let wrong = |container: &str| {
        let mut step = env_step("other");
        step.container = container.to_owned();
        rollback([Step::DeploymentEnv(step)])
    };
    let cases = [
        (
            env_rollback("nothing"),
            "could not read Deployment default/nothing: it does not exist; correct the namespace and the name in the step",
        ),
        (env_rollback("paused"), "Resume it: kubectl -n default rollout resume deployment/paused"),
        (
            env_rollback("twice"),
            "container controller of Deployment default/twice has the env ISTIO_PERCENTAGE more than once",
        ),
        (env_rollback("leaving"), "Deployment default/leaving is being deleted; nothing was changed"),
        (
            wrong("main"),
            "Deployment default/other has no container main (its containers: log-shipper, controller); nothing was changed",
        ),
        (wrong("migrate"), "migrate is an init container of Deployment default/other, which serves no traffic"),
    ];
    for (plan, wanted) in cases {
        let Step::DeploymentEnv(step) = &plan.steps[0] else { unreachable!() };
        let path = format!("/apis/apps/v1/namespaces/default/deployments/{}", step.name);
        let before = if step.name == "nothing" { Value::Null } else { world.raw(&path).await };
        for dry_run in [false, true] {
            let mut plan = plan.clone();
            plan.dry_run = dry_run;
            let error = failure(&world.cluster, &plan).await;
            assert!(error.contains(wanted), "{error:?} does not hold {wanted:?}");
        }
        if step.name != "nothing" {
            assert_eq!(world.raw(&path).await, before);
        }
    }

    // Another variable that is there twice is no reason to refuse, and stays as it is.
    world
        .deployment("another-twice", |object| {
            let env = &mut object["spec"]["template"]["spec"]["containers"][1]["env"];
            env.as_array_mut().expect("env").push(json!({"name": "FIRST", "value": "2"}));
        })
        .await;
    let controller = world.keep_settled("another-twice");
    let (outcome, _) = carry_out(&world.cluster, &env_rollback("another-twice")).await;
    controller.abort();
    assert_eq!(outcome, Outcome::Completed);
    let env = env_of(&world.raw_deployment("another-twice").await, "controller");
    let values: Vec<_> = env.iter().filter(|e| e.name == "FIRST").map(|e| e.value.as_deref()).collect();
    assert_eq!(values, [Some("1"), Some("2")]);
}

async fn missing_rights_are_named(world: &World) {
    world.deployment("forbidden", |_| ()).await;
    let reader = Cluster::from_config(world.server.config("reader")).await.expect("a cluster");
    let error = failure(&reader, &env_rollback("forbidden")).await;
    let wanted = "could not patch Deployment default/forbidden: not permitted; grant patch on deployments/forbidden in namespace default to Ripcord's \
                  ServiceAccount (the server says: deployments.apps \"forbidden\" is forbidden: User \"reader\" cannot patch resource";
    assert!(error.starts_with(wanted), "{error}");

    let mut elsewhere = env_step("forbidden");
    elsewhere.namespace = "kube-system".into();
    let error = failure(&reader, &rollback([Step::DeploymentEnv(elsewhere)])).await;
    assert!(error.contains("grant get on deployments/forbidden in namespace kube-system"), "{error}");

    let nobody = Cluster::from_config(world.server.config("nobody")).await.expect("a cluster");
    let error = failure(&nobody, &env_rollback("forbidden")).await;
    assert!(error.contains("the API server does not accept Ripcord's credentials"), "{error}");
}

async fn invalid_values_are_told(world: &World) {
    world.deployment("invalid", |_| ()).await;
    let mut step = env_step("invalid");
    step.env.insert("NO NAME".into(), Template::parse("x").expect("a template"));
    let error = failure(&world.cluster, &rollback([Step::DeploymentEnv(step)])).await;
    assert!(
        error.starts_with("could not patch Deployment default/invalid: the API server finds the change invalid: "),
        "{error}"
    );
    assert!(error.contains("NO NAME"), "{error}");
}

async fn nothing_is_tried_after_a_failure(world: &World) {
    world.deployment("after", |_| ()).await;
    world.deployment("first", |_| ()).await;
    let steps = ["first", "nothing", "after"].map(|name| Step::DeploymentEnv(env_step(name)));
    let (outcome, reports) = carry_out(&world.cluster, &rollback(steps)).await;
    assert_eq!(outcome, Outcome::Failed);
    let seen: Vec<_> = results(&reports).into_iter().map(|(result, _)| result).collect();
    assert_eq!(seen, [StepResult::Changed, StepResult::Failed]);
    assert!(
        matches!(&reports[2..], [Progress::Failed { step, .. }] if step == "deployment_env default/nothing"),
        "{reports:?}"
    );
    assert_eq!(env_of(&world.raw_deployment("after").await, "controller").len(), 6);
}

/// How long traffic takes to begin to move: from the call to the report of the accepted and re-read change, over a
/// connection that is open.
async fn it_is_quick(world: &World) {
    let mut took = Vec::new();
    for round in 0..20 {
        let name = format!("quick-{round}");
        world.deployment(&name, |_| ()).await;
        let (accept, accepted) = oneshot::channel::<()>();
        let mut accept = Some(accept);
        let began = Instant::now();
        let mut changed = None;
        let report = |progress| match progress {
            Progress::Step(step) if step.result == StepResult::Changed => changed = Some(began.elapsed()),
            Progress::Accepted => drop(accept.take()),
            other => panic!("{other:?}"),
        };
        // The wait for the rollout is not of interest here.
        let cancel = async { drop(accepted.await) };
        world.cluster.carry_out(&env_rollback(&name), report, cancel).await;
        took.push(changed.expect("a changed step"));
    }
    took.sort();
    println!(
        "from carry_out to the change accepted and read back: median {:?}, slowest of {} {:?}",
        took[10],
        took.len(),
        took[19]
    );
}
