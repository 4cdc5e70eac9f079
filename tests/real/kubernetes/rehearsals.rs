//! Every step tried as a dry run.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use ripcord::config::{Command, Step};
use ripcord::engine::{StepReport, StepResult};
use ripcord::kubernetes::ChangePlan;

use super::stage::{
    COMPONENT, behind_a_proxy, carry_out, cluster, cluster_of, config_map_step, env_step, gets, patches,
    quick_controller, reader, rollback, template, weights_step,
};
use crate::stories;
use crate::support::fixtures::istio::{create_virtual_service, shop_routes, virtual_services};
use crate::support::fixtures::{create_config_map, create_deployment, deployment};
use crate::support::{Story, World};

pub fn trials() -> Vec<Story> {
    stories![
        what_would_change_is_said,
        what_is_there_already_is_sent_all_the_same,
        missing_rights_are_named_where_nothing_would_change,
        it_goes_on_after_a_failure,
        an_immutable_one_that_is_right_is_no_failure,
        without_a_permit_nothing_is_sent,
    ]
}

/// The ConfigMap of the component.
const SETTINGS: &str = "terminal-controller-config";

/// A plan with every kind of step, for objects that `create` makes.
fn everything(world: &World) -> ChangePlan {
    let command = Command { argv: vec![template("true"), template("${percentage}")], timeout: Duration::from_secs(9) };
    rollback([
        Step::DeploymentEnv(env_step(world, COMPONENT)),
        Step::ConfigMap(config_map_step(world, SETTINGS, false)),
        Step::ConfigMap(config_map_step(world, "absent", true)),
        Step::VirtualService(weights_step(world, "shop")),
        Step::Command(command),
    ])
}

async fn create(world: &World) -> anyhow::Result<()> {
    create_deployment(world, COMPONENT).await?;
    create_config_map(world, COMPONENT).await?;
    create_virtual_service(world, "shop", &shop_routes(25)).await?;
    Ok(())
}

fn said(reports: &[StepReport]) -> Vec<(StepResult, &str)> {
    reports.iter().map(|report| (report.result, report.detail.as_deref().unwrap_or(""))).collect()
}

/// The resourceVersions of the component's objects.
async fn state(world: &World) -> anyhow::Result<Vec<Option<String>>> {
    Ok(vec![
        world.api::<Deployment>().get(COMPONENT).await?.metadata.resource_version,
        world.api::<ConfigMap>().get(SETTINGS).await?.metadata.resource_version,
        virtual_services(world).get("shop").await?.metadata.resource_version,
    ])
}

async fn what_would_change_is_said(world: World) -> anyhow::Result<()> {
    create(&world).await?;
    let cluster = cluster(&world).await?;
    let before = state(&world).await?;
    let reports = cluster.rehearse(&everything(&world)).await;
    let env = "EMERGENCY_ROLLBACK: (not set) -> true, ISTIO_PERCENTAGE: 25 -> 0, NETWORKING_MODE: dual -> ingress, \
               ROLLBACK_TIMESTAMP: (not set) -> 2026-01-02T03:04:05Z";
    let weights =
        "primary ingress: 75 -> 100, primary istio: 25 -> 0, http[1] ingress: 75 -> 100, http[1] istio: 25 -> 0";
    let wanted = [
        (StepResult::WouldChange, env),
        (StepResult::WouldChange, "istio_percentage: 25 -> 0, networking_mode: dual -> ingress"),
        (StepResult::Absent, ""),
        (StepResult::WouldChange, weights),
        (StepResult::WouldChange, "would run true 0"),
    ];
    ensure!(said(&reports) == wanted, "{reports:?}");
    let ns = &world.namespace;
    ensure!(
        reports[3].step == format!("virtual_service {ns}/shop") && reports[4].step == "command true",
        "{reports:?}"
    );
    ensure!(state(&world).await? == before, "something was changed");
    Ok(())
}

async fn what_is_there_already_is_sent_all_the_same(world: World) -> anyhow::Result<()> {
    create(&world).await?;
    let _controller = quick_controller(&world)?;
    let (proxy, cluster) = behind_a_proxy(&world).await?;
    carry_out(&cluster, &everything(&world)).await;
    // To 10 %, which is above where everything is: what a rollback would leave alone is rehearsed too.
    for (percentage, wanted) in [("0", "already there"), ("10", " already, below 10")] {
        let mut plan = everything(&world);
        plan.vars.insert("percentage".to_owned(), percentage.to_owned());
        plan.vars.insert("rest".to_owned(), (100 - percentage.parse::<u8>()?).to_string());
        let sent = proxy.count(patches);
        let specs = async || -> anyhow::Result<_> {
            let deployment = world.api::<Deployment>().get(COMPONENT).await?;
            Ok((
                deployment.spec,
                world.api::<ConfigMap>().get(SETTINGS).await?,
                virtual_services(&world).get("shop").await?,
            ))
        };
        let before = specs().await?;
        let reports = cluster.rehearse(&plan).await;
        for index in [0, 1, 3] {
            let (result, detail) = said(&reports)[index];
            ensure!(result == StepResult::WouldChange && detail.contains(wanted), "{reports:?}");
        }
        ensure!(proxy.count(patches) == sent + 3, "{:?}", proxy.requests());
        ensure!(proxy.count(|r| patches(r) && r.is_dry_run()) >= 3, "{:?}", proxy.requests());
        ensure!(specs().await? == before, "something was changed");
    }
    Ok(())
}

async fn missing_rights_are_named_where_nothing_would_change(world: World) -> anyhow::Result<()> {
    create(&world).await?;
    let _controller = quick_controller(&world)?;
    carry_out(&cluster(&world).await?, &everything(&world)).await;
    let cluster = cluster_of(&world, &reader(&world).await?).await?;
    let reports = cluster.rehearse(&everything(&world)).await;
    let ns = &world.namespace;
    let objects = [
        (0, format!("grant patch on deployments/{COMPONENT} in namespace {ns}")),
        (1, format!("grant patch on configmaps/{SETTINGS} in namespace {ns}")),
        (3, format!("grant patch on virtualservices/shop in namespace {ns}")),
    ];
    for (index, wanted) in objects {
        let (result, detail) = said(&reports)[index];
        ensure!(result == StepResult::Failed && detail.contains(&wanted), "{reports:?}");
    }
    ensure!(reports[2].result == StepResult::Absent && reports[4].result == StepResult::WouldChange, "{reports:?}");
    Ok(())
}

async fn it_goes_on_after_a_failure(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    create(&world).await?;
    let mut paused = deployment(&world.namespace, "paused");
    paused.spec.paused = Some(true);
    world.create(&paused).await?;
    let mut elsewhere = env_step(&world, COMPONENT);
    elsewhere.container = "main".to_owned();
    let mut unrouted = weights_step(&world, "shop");
    unrouted.routes = vec!["nope".to_owned()];
    let missing = Command { argv: vec![template("/no/such/program")], timeout: Duration::from_secs(9) };
    let plan = rollback([
        Step::DeploymentEnv(env_step(&world, "nothing")),
        Step::DeploymentEnv(env_step(&world, "paused")),
        Step::DeploymentEnv(elsewhere),
        Step::VirtualService(unrouted),
        Step::Command(missing),
        Step::DeploymentEnv(env_step(&world, COMPONENT)),
    ]);
    let reports = cluster.rehearse(&plan).await;
    let wanted = [
        "it does not exist",
        "is paused, so a change would reach no pod",
        "has no container main",
        "has no http route named nope",
        "could not run /no/such/program",
    ];
    ensure!(reports.len() == 6, "{reports:?}");
    for (report, wanted) in reports.iter().zip(wanted) {
        let detail = report.detail.as_deref().unwrap_or_default();
        ensure!(report.result == StepResult::Failed && detail.contains(wanted), "{report:?}");
    }
    ensure!(reports[5].result == StepResult::WouldChange, "{reports:?}");
    Ok(())
}

async fn an_immutable_one_that_is_right_is_no_failure(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    let steps = || [Step::ConfigMap(config_map_step(&world, SETTINGS, false))];
    create_config_map(&world, COMPONENT).await?;
    carry_out(&cluster, &rollback(steps())).await;
    let mut object = world.api::<ConfigMap>().get(SETTINGS).await?;
    object.immutable = Some(true);
    world.api::<ConfigMap>().replace(SETTINGS, &Default::default(), &object).await?;
    let reports = cluster.rehearse(&rollback(steps())).await;
    ensure!(said(&reports) == [(StepResult::WouldChange, "already there")], "{reports:?}");
    let mut other = rollback(steps());
    other.vars.insert("percentage".to_owned(), "10".to_owned());
    other.rollback = false;
    let reports = cluster.rehearse(&other).await;
    ensure!(reports[0].result == StepResult::Failed, "{reports:?}");
    Ok(())
}

async fn without_a_permit_nothing_is_sent(world: World) -> anyhow::Result<()> {
    create(&world).await?;
    let (proxy, cluster) = behind_a_proxy(&world).await?;
    let mut plan = everything(&world);
    plan.permit = Arc::new(|| false);
    let reports = cluster.rehearse(&plan).await;
    let results: Vec<_> = reports.iter().map(|report| report.result).collect();
    let (held, absent) = (StepResult::Planned, StepResult::Absent);
    ensure!(results == [held, held, absent, held, held], "{reports:?}");
    ensure!(proxy.count(patches) == 0 && proxy.count(gets) > 0, "{:?}", proxy.requests());
    Ok(())
}
