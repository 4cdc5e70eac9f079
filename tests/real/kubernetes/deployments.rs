//! The step `deployment_env`.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource};
use ripcord::config::Step;
use ripcord::engine::{Progress, StepResult};
use ripcord::kubernetes::{ChangePlan, Outcome};
use serde_json::json;
use tokio::sync::oneshot;

use super::stage::{
    COMPONENT, SHARE_ENTRY, TOUCHED, behind_a_proxy, carry_out, cluster, cluster_of, config_map_step, env_rollback,
    env_step, failure, nobody, patches, quick_controller, reader, results, rollback, template, to_percentage,
};
use crate::stories;
use crate::support::fixtures::{
    create_config_map, create_deployment, deployment, env_mut, env_value, env_values, set_data, set_env, set_share,
    without_env,
};
use crate::support::proxy::Fault;
use crate::support::{Story, World};

pub fn trials() -> Vec<Story> {
    stories![
        only_the_env_changes,
        what_is_there_already_is_not_written,
        a_rollback_never_raises_the_share,
        a_value_of_its_own_time_is_written_again,
        a_reference_is_replaced,
        a_change_that_is_no_rollback_sets_no_mark,
        a_shift_takes_the_marks_of_a_rollback_away,
        a_mark_that_comes_back_is_told,
        a_dry_run_changes_nothing,
        what_cannot_be_right_is_refused,
        another_variable_twice_stays_as_it_is,
        missing_rights_are_named,
        unknown_credentials_are_told,
        invalid_values_are_told,
        nothing_is_tried_after_a_failure,
        traffic_begins_to_move_at_once,
    ]
}

async fn get(world: &World, name: &str) -> anyhow::Result<Deployment> {
    Ok(world.api().get(name).await?)
}

/// The env of the container `controller`.
fn env_of(deployment: &Deployment) -> Vec<EnvVar> {
    env_mut(&mut deployment.clone(), "controller").clone()
}

fn twice(world: &World, name: &str, variable: &str, value: &str) -> Deployment {
    let mut object = deployment(&world.namespace, name);
    let second = EnvVar { name: variable.to_owned(), value: Some(value.to_owned()), value_from: None };
    env_mut(&mut object, "controller").push(second);
    object
}

/// Somebody moved everything back while the rollback to 10 % was being retried: it must not bring 10 % forward again.
async fn a_rollback_never_raises_the_share(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    let _controller = quick_controller(&world)?;
    create_deployment(&world, COMPONENT).await?;
    create_config_map(&world, COMPONENT).await?;
    set_share(&world.api(), COMPONENT, "0").await?;
    set_data(&world.api(), &format!("{COMPONENT}-config"), "somebody", &json!({"istio_percentage": "3"})).await?;
    let before = get(&world, COMPONENT).await?;
    let steps = [
        Step::DeploymentEnv(env_step(&world, COMPONENT)),
        Step::ConfigMap(config_map_step(&world, &format!("{COMPONENT}-config"), false)),
    ];
    let mut plan = rollback(steps);
    plan.vars.insert("percentage".to_owned(), "10".to_owned());
    plan.vars.insert("mode".to_owned(), "dual".to_owned());
    let (outcome, reports) = carry_out(&cluster, &plan).await;
    ensure!(outcome == Outcome::Completed, "{outcome:?}: {reports:?}");
    let said = results(&reports);
    ensure!(said.iter().all(|(result, _)| *result == StepResult::AlreadyThere), "{said:?}");
    ensure!(said[0].1.is_some_and(|d| d.contains("is 0 already, below 10")), "{said:?}");
    let after = get(&world, COMPONENT).await?;
    ensure!(env_value(&after, "controller", "ISTIO_PERCENTAGE").as_deref() == Some("0"));
    ensure!(after.metadata.generation == before.metadata.generation, "it was written");
    Ok(())
}

async fn only_the_env_changes(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    let before = create_deployment(&world, COMPONENT).await?;
    let _controller = quick_controller(&world)?;
    let (outcome, reports) = carry_out(&cluster, &env_rollback(&world, COMPONENT)).await;

    ensure!(outcome == Outcome::Completed, "{reports:?}");
    let detail = "EMERGENCY_ROLLBACK: (not set) -> true, ISTIO_PERCENTAGE: 25 -> 0, NETWORKING_MODE: dual -> ingress, \
                  ROLLBACK_TIMESTAMP: (not set) -> 2026-01-02T03:04:05Z";
    ensure!(results(&reports) == [(StepResult::Changed, Some(detail))], "{reports:?}");
    ensure!(reports[1..] == [Progress::Accepted, Progress::Completed], "{reports:?}");

    let after = get(&world, COMPONENT).await?;
    let rest = |object| without_env(object, "controller", &TOUCHED);
    ensure!(rest(&before) == rest(&after), "something else was changed:\n{}\n{}", rest(&before), rest(&after));
    let values = env_values(&after, "controller");
    ensure!(TOUCHED.map(|name| values[name].as_str()) == ["true", "0", "ingress", "2026-01-02T03:04:05Z"]);
    // The variables that were there keep their order, on which references between them depend.
    let names = |object| env_of(object).into_iter().map(|e| e.name).collect::<Vec<_>>();
    let (was, is) = (names(&before), names(&after));
    ensure!(is.iter().filter(|name| was.contains(name)).eq(&was), "{was:?} became {is:?}");
    ensure!(is.len() == was.len() + 2, "{is:?}");

    let managers = after.metadata.managed_fields.context("managedFields")?;
    let ours =
        managers.iter().find(|m| m.manager.as_deref() == Some("ripcord")).context("the field manager ripcord")?;
    ensure!(ours.operation.as_deref() == Some("Update"), "{ours:?}");
    ensure!(ours.fields_v1.as_ref().is_some_and(|f| f.0.to_string().contains("ISTIO_PERCENTAGE")), "{ours:?}");
    Ok(())
}

async fn what_is_there_already_is_not_written(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    create_deployment(&world, COMPONENT).await?;
    let _controller = quick_controller(&world)?;
    let mut plan = env_rollback(&world, COMPONENT);
    carry_out(&cluster, &plan).await;
    let before = get(&world, COMPONENT).await?;

    // The time of the rollback is another one now; it alone is no reason to write.
    plan.vars.insert("time".into(), "2027-01-01T00:00:00Z".into());
    let (outcome, reports) = carry_out(&cluster, &plan).await;
    ensure!(
        (outcome, results(&reports)) == (Outcome::Completed, vec![(StepResult::AlreadyThere, None)]),
        "{reports:?}"
    );
    ensure!(get(&world, COMPONENT).await? == before);
    Ok(())
}

/// A step whose every value differs each time is done only when those very values are there.
async fn a_value_of_its_own_time_is_written_again(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    create_deployment(&world, COMPONENT).await?;
    let _controller = quick_controller(&world)?;
    carry_out(&cluster, &env_rollback(&world, COMPONENT)).await;

    let mut step = env_step(&world, COMPONENT);
    step.env = [("ROLLBACK_TIMESTAMP".to_owned(), template("${time}"))].into();
    step.rollback_env.clear();
    let mut volatile = rollback([Step::DeploymentEnv(step)]);
    let (_, reports) = carry_out(&cluster, &volatile).await;
    ensure!(results(&reports) == [(StepResult::AlreadyThere, None)], "{reports:?}");
    volatile.vars.insert("time".into(), "2027-01-01T00:00:00Z".into());
    let (_, reports) = carry_out(&cluster, &volatile).await;
    let detail = "ROLLBACK_TIMESTAMP: 2026-01-02T03:04:05Z -> 2027-01-01T00:00:00Z";
    ensure!(results(&reports) == [(StepResult::Changed, Some(detail))], "{reports:?}");
    Ok(())
}

async fn a_reference_is_replaced(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    let mut object = deployment(&world.namespace, COMPONENT);
    let source: EnvVarSource = serde_json::from_value(json!({"configMapKeyRef": {"name": "shares", "key": "web"}}))?;
    env_mut(&mut object, "controller")[SHARE_ENTRY] =
        EnvVar { name: "ISTIO_PERCENTAGE".to_owned(), value: None, value_from: Some(source) };
    world.create(&object).await?;
    let _controller = quick_controller(&world)?;
    let mut plan = env_rollback(&world, COMPONENT);
    plan.rollback = false;
    let (outcome, reports) = carry_out(&cluster, &plan).await;
    let detail = "ISTIO_PERCENTAGE: (key web of ConfigMap shares) -> 0 (the reference is replaced), NETWORKING_MODE: dual -> ingress";
    let wanted = vec![(StepResult::Changed, Some(detail))];
    ensure!((outcome, results(&reports)) == (Outcome::Completed, wanted), "{reports:?}");
    let env = env_of(&get(&world, COMPONENT).await?);
    let entry = env.iter().find(|e| e.name == "ISTIO_PERCENTAGE").context("the variable")?;
    ensure!(entry.value.as_deref() == Some("0") && entry.value_from.is_none(), "{entry:?}");
    Ok(())
}

async fn a_change_that_is_no_rollback_sets_no_mark(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    create_deployment(&world, COMPONENT).await?;
    let _controller = quick_controller(&world)?;
    let mut plan = env_rollback(&world, COMPONENT);
    plan.rollback = false;
    let (outcome, reports) = carry_out(&cluster, &plan).await;
    ensure!(outcome == Outcome::Completed, "{reports:?}");
    let values = env_values(&get(&world, COMPONENT).await?, "controller");
    ensure!(values["ISTIO_PERCENTAGE"] == "0" && !values.contains_key("EMERGENCY_ROLLBACK"), "{values:?}");
    Ok(())
}

/// Otherwise a component that looks at them would think itself in an emergency for ever.
async fn a_shift_takes_the_marks_of_a_rollback_away(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    let before = create_deployment(&world, COMPONENT).await?;
    let _controller = quick_controller(&world)?;
    let names = |object: &Deployment| env_of(object).into_iter().map(|e| e.name).collect::<Vec<_>>();

    // To where the share is already: the marks alone are a reason to write.
    for (percentage, detail) in [
        (0, "EMERGENCY_ROLLBACK: true -> (not set), ROLLBACK_TIMESTAMP: 2026-01-02T03:04:05Z -> (not set)"),
        (
            10,
            "EMERGENCY_ROLLBACK: true -> (not set), ISTIO_PERCENTAGE: 0 -> 10, NETWORKING_MODE: ingress -> dual, \
             ROLLBACK_TIMESTAMP: 2026-01-02T03:04:05Z -> (not set)",
        ),
    ] {
        // A rollback that finds its share there already sets no mark.
        set_share(&world.api(), COMPONENT, "25").await?;
        carry_out(&cluster, &env_rollback(&world, COMPONENT)).await;
        let mut plan = to_percentage(env_rollback(&world, COMPONENT), percentage);
        plan.rollback = false;
        plan.dry_run = true;
        let (_, reports) = carry_out(&cluster, &plan).await;
        ensure!(results(&reports) == [(StepResult::WouldChange, Some(detail))], "{reports:?}");
        plan.dry_run = false;
        let (outcome, reports) = carry_out(&cluster, &plan).await;
        let wanted = vec![(StepResult::Changed, Some(detail))];
        ensure!((outcome, results(&reports)) == (Outcome::Completed, wanted), "{reports:?}");
        let after = get(&world, COMPONENT).await?;
        ensure!(names(&after) == names(&before), "{:?} became {:?}", names(&before), names(&after));
        ensure!(env_value(&after, "controller", "ISTIO_PERCENTAGE") == Some(percentage.to_string()));
        let rest = |object| without_env(object, "controller", &TOUCHED);
        ensure!(rest(&before) == rest(&after), "something else was changed:\n{}\n{}", rest(&before), rest(&after));

        let (_, reports) = carry_out(&cluster, &plan).await;
        ensure!(results(&reports) == [(StepResult::AlreadyThere, None)], "{reports:?}");
    }
    Ok(())
}

async fn a_mark_that_comes_back_is_told(world: World) -> anyhow::Result<()> {
    create_deployment(&world, COMPONENT).await?;
    let (proxy, cluster) = behind_a_proxy(&world).await?;
    let api = world.api::<Deployment>();
    let sets_it = move || {
        let api = api.clone();
        async move {
            let env = json!([{"name": "EMERGENCY_ROLLBACK", "value": "true"}]);
            set_env(&api, COMPONENT, "operator", &env).await.expect("to set env");
        }
    };
    proxy.rule(patches, Fault::after(sets_it));
    let mut plan = env_rollback(&world, COMPONENT);
    plan.rollback = false;
    let error = failure(&cluster, &plan).await?;
    ensure!(error.contains("did not stay: EMERGENCY_ROLLBACK is still true. operator has set it since"), "{error}");
    Ok(())
}

async fn a_dry_run_changes_nothing(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    let before = create_deployment(&world, COMPONENT).await?;
    let mut plan = env_rollback(&world, COMPONENT);
    plan.dry_run = true;
    let (outcome, reports) = carry_out(&cluster, &plan).await;
    ensure!(outcome == Outcome::Completed, "{reports:?}");
    ensure!(results(&reports)[0].0 == StepResult::WouldChange, "{reports:?}");
    ensure!(reports[1..] == [Progress::Accepted, Progress::Completed], "{reports:?}");
    ensure!(get(&world, COMPONENT).await? == before);
    Ok(())
}

async fn what_cannot_be_right_is_refused(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    let ns = &world.namespace;
    create_deployment(&world, "other").await?;
    let mut paused = deployment(ns, "paused");
    paused.spec.paused = Some(true);
    world.create(&paused).await?;
    world.create(&twice(&world, "twice", "ISTIO_PERCENTAGE", "50")).await?;
    let mut leaving = deployment(ns, "leaving");
    leaving.metadata.finalizers = Some(vec!["example.com/keep".to_owned()]);
    world.create(&leaving).await?;
    world.api::<Deployment>().delete("leaving", &Default::default()).await?;

    let of = |name: &str| env_rollback(&world, name);
    let wrong = |container: &str| {
        let mut step = env_step(&world, "other");
        step.container = container.to_owned();
        rollback([Step::DeploymentEnv(step)])
    };
    let mut controlled = deployment(ns, "controlled");
    let owner = json!([
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "bystander", "uid": "1"},
        {"apiVersion": "app.sealos.io/v1", "kind": "App", "name": "shop", "uid": "2", "controller": true},
    ]);
    controlled.metadata.owner_references = serde_json::from_value(owner)?;
    world.create(&controlled).await?;
    let cases: [(ChangePlan, String); 7] = [
        (
            of("controlled"),
            format!(
                "Deployment {ns}/controlled is controlled by App shop (app.sealos.io/v1), which would undo the change; nothing was changed. \
                 Change that one instead"
            ),
        ),
        (
            of("nothing"),
            format!(
                "could not read Deployment {ns}/nothing: it does not exist; correct the namespace and the name in the configuration"
            ),
        ),
        (of("paused"), format!("Resume it: kubectl -n {ns} rollout resume deployment/paused")),
        (
            of("twice"),
            format!("container controller of Deployment {ns}/twice has the env ISTIO_PERCENTAGE more than once"),
        ),
        (of("leaving"), format!("Deployment {ns}/leaving is being deleted; nothing was changed")),
        (
            wrong("main"),
            format!(
                "Deployment {ns}/other has no container main (its containers: istio-proxy, controller); nothing was changed"
            ),
        ),
        (
            wrong("istio-init"),
            format!("istio-init is an init container of Deployment {ns}/other, which serves no traffic"),
        ),
    ];
    for (mut plan, wanted) in cases {
        let Step::DeploymentEnv(step) = &plan.steps[0] else { unreachable!() };
        let (api, name) = (world.api::<Deployment>(), step.name.clone());
        let before = api.get_opt(&name).await?;
        ensure!(before.is_some() == (name != "nothing"), "{name}");
        for dry_run in [false, true] {
            plan.dry_run = dry_run;
            let error = failure(&cluster, &plan).await?;
            ensure!(error.contains(&wanted), "{error:?} does not hold {wanted:?}");
        }
        ensure!(api.get_opt(&name).await? == before, "{name} was changed");
    }
    Ok(())
}

/// A variable that is there twice is no reason to refuse when the step does not set it.
async fn another_variable_twice_stays_as_it_is(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    world.create(&twice(&world, COMPONENT, "LOG_LEVEL", "debug")).await?;
    let _controller = quick_controller(&world)?;
    let (outcome, reports) = carry_out(&cluster, &env_rollback(&world, COMPONENT)).await;
    ensure!(outcome == Outcome::Completed, "{reports:?}");
    let env = env_of(&get(&world, COMPONENT).await?);
    let values: Vec<_> = env.iter().filter(|e| e.name == "LOG_LEVEL").map(|e| e.value.as_deref()).collect();
    ensure!(values == [Some("info"), Some("debug")], "{values:?}");
    Ok(())
}

async fn missing_rights_are_named(world: World) -> anyhow::Result<()> {
    let user = reader(&world).await?;
    let cluster = cluster_of(&world, &user).await?;
    create_deployment(&world, COMPONENT).await?;
    let ns = &world.namespace;
    let error = failure(&cluster, &env_rollback(&world, COMPONENT)).await?;
    let wanted = format!(
        "could not patch Deployment {ns}/{COMPONENT}: not permitted; grant patch on deployments/{COMPONENT} in namespace {ns} to this \
         user (the server says: deployments.apps \"{COMPONENT}\" is forbidden: User \"{}\" cannot patch resource",
        user.name
    );
    ensure!(error.starts_with(&wanted), "{error}");

    let mut elsewhere = env_step(&world, COMPONENT);
    elsewhere.namespace = "kube-system".into();
    let error = failure(&cluster, &rollback([Step::DeploymentEnv(elsewhere)])).await?;
    let wanted = format!("grant get on deployments/{COMPONENT} in namespace kube-system");
    ensure!(error.contains(&wanted), "{error}");
    Ok(())
}

async fn unknown_credentials_are_told(world: World) -> anyhow::Result<()> {
    create_deployment(&world, COMPONENT).await?;
    let cluster = cluster_of(&world, &nobody()).await?;
    let error = failure(&cluster, &env_rollback(&world, COMPONENT)).await?;
    ensure!(error.contains("the API server does not accept Ripcord's credentials"), "{error}");
    Ok(())
}

async fn invalid_values_are_told(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    create_deployment(&world, COMPONENT).await?;
    let mut step = env_step(&world, COMPONENT);
    step.env.insert("NO NAME".into(), template("x"));
    let error = failure(&cluster, &rollback([Step::DeploymentEnv(step)])).await?;
    let ns = &world.namespace;
    let wanted = format!("could not patch Deployment {ns}/{COMPONENT}: the API server finds the change invalid: ");
    ensure!(error.starts_with(&wanted) && error.contains("NO NAME"), "{error}");
    Ok(())
}

async fn nothing_is_tried_after_a_failure(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    create_deployment(&world, "first").await?;
    let after = create_deployment(&world, "after").await?;
    let steps = ["first", "nothing", "after"].map(|name| Step::DeploymentEnv(env_step(&world, name)));
    let (outcome, reports) = carry_out(&cluster, &rollback(steps)).await;
    ensure!(outcome == Outcome::Failed, "{reports:?}");
    let seen: Vec<_> = results(&reports).into_iter().map(|(result, _)| result).collect();
    ensure!(seen == [StepResult::Changed, StepResult::Failed], "{reports:?}");
    let wanted = format!("deployment_env {}/nothing", world.namespace);
    ensure!(matches!(&reports[2..], [Progress::Failed { step, .. }] if *step == wanted), "{reports:?}");
    ensure!(get(&world, "after").await? == after);
    Ok(())
}

/// From the call to the report of the accepted and re-read change, over a connection that is open.
async fn traffic_begins_to_move_at_once(world: World) -> anyhow::Result<()> {
    /// Far above what it takes (tens of milliseconds), far below what a person would notice on a bad night.
    const LIMIT: Duration = Duration::from_secs(1);
    let cluster = cluster(&world).await?;
    let mut took = Vec::new();
    for round in 0..20 {
        let name = format!("quick-{round}");
        create_deployment(&world, &name).await?;
        let (accept, accepted) = oneshot::channel::<()>();
        let mut accept = Some(accept);
        let mut others = Vec::new();
        let mut changed = None;
        let began = Instant::now();
        let report = |progress| match progress {
            Progress::Step(step) if step.result == StepResult::Changed => changed = Some(began.elapsed()),
            Progress::Accepted => drop(accept.take()),
            other => others.push(other),
        };
        // The wait for the rollout is not of interest here.
        let cancel = async { drop(accepted.await) };
        cluster.carry_out(&env_rollback(&world, &name), report, cancel).await;
        ensure!(others.is_empty(), "{others:?}");
        took.push(changed.context("a changed step")?);
        let share = env_value(&get(&world, &name).await?, "controller", "ISTIO_PERCENTAGE");
        ensure!(share.as_deref() == Some("0"), "{share:?}");
    }
    took.sort();
    ensure!(took[10] < LIMIT, "the median of {} is {:?}, the slowest took {:?}", took.len(), took[10], took[19]);
    Ok(())
}
