//! What becomes of a rollback, and who keeps its objects.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{bail, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams};
use ripcord::config::{Command, Step};
use ripcord::engine::{Drift, StepResult};
use ripcord::kubernetes::Cluster;
use serde_json::json;

use super::stage::{
    COMPONENT, carry_out, cluster, cluster_of, config_map_step, env_rollback, env_step, nobody, quick_controller,
    results, rollback, template, to_percentage, weights_step,
};
use crate::stories;
use crate::support::fixtures::istio::{create_virtual_service, set_routes, shop_routes, to, virtual_services};
use crate::support::fixtures::{
    config_map, create_config_map, create_deployment, deployment, set_data, set_env, set_share,
};
use crate::support::{Story, World};

pub fn trials() -> Vec<Story> {
    stories![
        what_somebody_undoes_is_told_with_who,
        what_differs_each_time_is_no_drift,
        further_back_is_no_drift,
        a_mark_that_was_never_set_is_no_drift,
        what_is_deleted_is_told,
        what_cannot_be_read_is_not_known,
        who_keeps_an_object_is_told,
    ]
}

const SETTINGS: &str = "terminal-controller-config";

/// Every kind of step, on objects that `rolled_back` makes.
fn steps(world: &World) -> Vec<Step> {
    vec![
        Step::DeploymentEnv(env_step(world, COMPONENT)),
        Step::ConfigMap(config_map_step(world, SETTINGS, false)),
        Step::VirtualService(weights_step(world, "shop")),
        Step::Command(Command { argv: vec![template("true")], timeout: Duration::from_secs(9) }),
    ]
}

/// A component after its rollback, and the variables of that.
async fn rolled_back(world: &World) -> anyhow::Result<(Cluster, BTreeMap<String, String>)> {
    let cluster = cluster(world).await?;
    create_deployment(world, COMPONENT).await?;
    create_config_map(world, COMPONENT).await?;
    create_virtual_service(world, "shop", &shop_routes(25)).await?;
    let _controller = quick_controller(world)?;
    let plan = rollback(steps(world));
    let (_, reports) = carry_out(&cluster, &plan).await;
    ensure!(results(&reports).iter().all(|(result, _)| *result == StepResult::Changed), "{reports:?}");
    let drift = cluster.drift(&plan.steps, &plan.vars).await?;
    ensure!(drift.is_empty(), "right after the rollback: {drift:?}");
    Ok((cluster, plan.vars))
}

fn drift(step: &Step, what: &str, who: Option<&str>) -> Drift {
    Drift { step: step.name(), what: what.to_owned().into(), who: who.map(str::to_owned) }
}

async fn what_somebody_undoes_is_told_with_who(world: World) -> anyhow::Result<()> {
    let (cluster, vars) = rolled_back(&world).await?;
    let steps = steps(&world);
    let api = world.api::<Deployment>();
    let env = json!([{"name": "ISTIO_PERCENTAGE", "value": "25"}, {"name": "NETWORKING_MODE", "value": "dual"}]);
    set_env(&api, COMPONENT, "argocd-controller", &env).await?;
    set_data(&world.api(), SETTINGS, "settings-operator", &json!({"istio_percentage": "25"})).await?;
    set_routes(&virtual_services(&world), "shop", "flagger", &shop_routes(30)).await?;
    let wanted = vec![
        drift(
            &steps[0],
            "ISTIO_PERCENTAGE is 25, not 0, NETWORKING_MODE is dual, not ingress",
            Some("argocd-controller"),
        ),
        drift(&steps[1], "istio_percentage is 25, not 0", Some("settings-operator")),
        drift(
            &steps[2],
            "primary ingress is 70, not 100, primary istio is 30, not 0, http[1] ingress is 70, not 100, http[1] istio is 30, not 0",
            Some("flagger"),
        ),
    ];
    let found = cluster.drift(&steps, &vars).await?;
    ensure!(found == wanted, "{found:#?}");

    // A mark of the rollback alone, and a route that is not there any more.
    set_share(&api, COMPONENT, "0").await?;
    let env =
        json!([{"name": "NETWORKING_MODE", "value": "ingress"}, {"name": "EMERGENCY_ROLLBACK", "$patch": "delete"}]);
    set_env(&api, COMPONENT, "somebody", &env).await?;
    let other = json!([{"route": [to("shop", "ingress", None)]}]);
    set_routes(&virtual_services(&world), "shop", "kubectl", &other).await?;
    let found = cluster.drift(&steps, &vars).await?;
    ensure!(found[0] == drift(&steps[0], "EMERGENCY_ROLLBACK is (not set), not true", None), "{found:#?}");
    ensure!(
        found[2].what.to_string().contains("has no http route with all of the destinations ingress, istio"),
        "{found:#?}"
    );
    ensure!(found[2].who.as_deref() == Some("kubectl"), "{found:#?}");
    Ok(())
}

async fn what_differs_each_time_is_no_drift(world: World) -> anyhow::Result<()> {
    let (cluster, mut vars) = rolled_back(&world).await?;
    vars.insert("time".to_owned(), "2027-01-01T00:00:00Z".to_owned());
    let found = cluster.drift(&steps(&world), &vars).await?;
    ensure!(found.is_empty(), "{found:?}");
    Ok(())
}

/// A person moved more of the traffic back than the rollback had.
async fn further_back_is_no_drift(world: World) -> anyhow::Result<()> {
    let (cluster, _) = rolled_back(&world).await?;
    let plan = to_percentage(rollback(steps(&world)), 10);
    let found = cluster.drift(&plan.steps, &plan.vars).await?;
    ensure!(found.is_empty(), "{found:?}");
    // Further forward is one.
    set_share(&world.api(), COMPONENT, "11").await?;
    let found = cluster.drift(&plan.steps, &plan.vars).await?;
    ensure!(found.len() == 1 && found[0].what.to_string().starts_with("ISTIO_PERCENTAGE is 11, not 10"), "{found:?}");
    ensure!(found[0].who.as_deref() == Some("somebody"), "{found:?}");
    Ok(())
}

/// A rollback that finds the share where it should be writes nothing, no mark either.
async fn a_mark_that_was_never_set_is_no_drift(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    create_deployment(&world, COMPONENT).await?;
    let env = json!([{"name": "ISTIO_PERCENTAGE", "value": "0"}, {"name": "NETWORKING_MODE", "value": "ingress"}]);
    set_env(&world.api(), COMPONENT, "somebody", &env).await?;
    let _controller = quick_controller(&world)?;
    let plan = env_rollback(&world, COMPONENT);
    let (_, reports) = carry_out(&cluster, &plan).await;
    ensure!(results(&reports) == [(StepResult::AlreadyThere, None)], "{reports:?}");
    let found = cluster.drift(&plan.steps, &plan.vars).await?;
    ensure!(found.is_empty(), "{found:?}");
    Ok(())
}

async fn what_is_deleted_is_told(world: World) -> anyhow::Result<()> {
    let (cluster, vars) = rolled_back(&world).await?;
    world.api::<Deployment>().delete(COMPONENT, &Default::default()).await?;
    world.api::<ConfigMap>().delete(SETTINGS, &Default::default()).await?;
    virtual_services(&world).delete("shop", &Default::default()).await?;
    let mut steps = steps(&world);
    let ns = &world.namespace;
    let wanted = vec![
        drift(&steps[0], &format!("Deployment {ns}/{COMPONENT} was deleted"), None),
        drift(&steps[1], &format!("ConfigMap {ns}/{SETTINGS} was deleted"), None),
        drift(&steps[2], &format!("VirtualService {ns}/shop was deleted"), None),
    ];
    let found = cluster.drift(&steps, &vars).await?;
    ensure!(found == wanted, "{found:#?}");
    steps[1] = Step::ConfigMap(config_map_step(&world, SETTINGS, true));
    let found = cluster.drift(&steps[1..2], &vars).await?;
    ensure!(found.is_empty(), "{found:?}");
    Ok(())
}

async fn what_cannot_be_read_is_not_known(world: World) -> anyhow::Result<()> {
    let (_, vars) = rolled_back(&world).await?;
    let cluster = cluster_of(&world, &nobody()).await?;
    for step in &steps(&world)[..3] {
        match cluster.drift(std::slice::from_ref(step), &vars).await {
            Err(e) => ensure!(e.to_string().contains("credentials"), "{e}"),
            Ok(found) => bail!("{found:?}"),
        }
    }
    Ok(())
}

async fn who_keeps_an_object_is_told(world: World) -> anyhow::Result<()> {
    let cluster = cluster(&world).await?;
    let ns = &world.namespace;
    let mut fluxed = deployment(ns, COMPONENT);
    fluxed
        .metadata
        .labels
        .get_or_insert_default()
        .insert("kustomize.toolkit.fluxcd.io/name".to_owned(), "apps".to_owned());
    world.create(&fluxed).await?;
    let mut tracked = config_map(ns, COMPONENT);
    tracked.metadata.managed_fields = None;
    let argo = PatchParams::apply("argocd-controller");
    let value = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": tracked.data,
        "metadata": {"name": SETTINGS, "labels": {"app.kubernetes.io/instance": "terminal"}},
    });
    let maps: Api<ConfigMap> = world.api();
    maps.patch(SETTINGS, &argo, &Patch::Apply(value)).await?;
    create_virtual_service(&world, "shop", &shop_routes(25)).await?;
    let mut steps = steps(&world);
    // Two steps on one object, and one whose object is not there.
    steps.push(steps[0].clone());
    steps.push(Step::ConfigMap(config_map_step(&world, "absent", true)));
    let told = cluster.gitops(&steps).await;
    ensure!(told.len() == 2, "{told:#?}");
    let flux = format!("Deployment {ns}/{COMPONENT} is kept by Flux (Kustomization apps), which undoes a change");
    ensure!(told[0].starts_with(&flux), "{told:#?}");
    let argo = format!("ConfigMap {ns}/{SETTINGS} is kept by Argo CD (application terminal), which undoes a change");
    ensure!(told[1].starts_with(&argo), "{told:#?}");
    Ok(())
}
