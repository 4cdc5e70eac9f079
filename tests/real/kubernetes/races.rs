//! Somebody else writes at the same moment.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context, bail, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use ripcord::engine::{Progress, StepResult};
use ripcord::kubernetes::Outcome;
use serde_json::json;

use super::stage::{
    COMPONENT, behind_a_proxy, carry_out, data_rollback, env_rollback, failure, gets, patches, quick_controller,
    results,
};
use crate::stories;
use crate::support::controller::finished;
use crate::support::fixtures::{create_config_map, create_deployment, deployment, set_data, set_env};
use crate::support::proxy::{Fault, Recorded};
use crate::support::{Story, World};

pub fn trials() -> Vec<Story> {
    stories![
        a_write_in_between_is_met_by_beginning_anew,
        whoever_never_stops_writing_wins,
        somebody_else_did_it_already,
        another_object_of_the_same_name_is_changed_instead,
        another_object_that_does_not_fit_is_refused,
        a_change_that_does_not_stay_is_told,
        what_a_webhook_changes_besides_is_told,
        a_config_map_that_does_not_stay_is_told,
        without_a_permit_nothing_is_sent,
        a_permit_withdrawn_between_two_tries_ends_the_change,
        a_cancelled_change_does_not_try_again,
    ]
}

/// Somebody writes ahead of a patch what changes nothing that matters but the resourceVersion: the number of such writes before.
fn touching(world: &World) -> Fault {
    let (api, count) = (world.api::<Deployment>(), AtomicUsize::new(0));
    Fault::before(move || {
        let (api, count) = (api.clone(), count.fetch_add(1, Ordering::SeqCst));
        async move {
            let patch = Patch::Merge(json!({"metadata": {"labels": {"touched": count.to_string()}}}));
            api.patch(COMPONENT, &PatchParams::default(), &patch).await.expect("to touch a Deployment");
        }
    })
}

async fn a_write_in_between_is_met_by_beginning_anew(world: World) -> anyhow::Result<()> {
    create_deployment(&world, COMPONENT).await?;
    let _controller = quick_controller(&world)?;
    // So that the controller does not write in between too.
    finished(&world, COMPONENT).await?;
    let (proxy, cluster) = behind_a_proxy(&world).await?;
    proxy.rule_times(5, patches, touching(&world));
    let (outcome, reports) = carry_out(&cluster, &env_rollback(&world, COMPONENT)).await;
    ensure!(outcome == Outcome::Completed, "{reports:?}");
    ensure!(results(&reports)[0].0 == StepResult::Changed, "{reports:?}");
    let labels = world.api::<Deployment>().get(COMPONENT).await?.metadata.labels.context("labels")?;
    ensure!(labels["touched"] == "4", "somebody's write was lost: {labels:?}");
    Ok(())
}

async fn whoever_never_stops_writing_wins(world: World) -> anyhow::Result<()> {
    create_deployment(&world, COMPONENT).await?;
    let (proxy, cluster) = behind_a_proxy(&world).await?;
    proxy.rule(patches, touching(&world));
    let error = failure(&cluster, &env_rollback(&world, COMPONENT)).await?;
    let ns = &world.namespace;
    let wanted = format!("could not patch Deployment {ns}/{COMPONENT}: somebody else changed it at the same moment");
    ensure!(error.starts_with(&wanted), "{error}");
    ensure!(error.ends_with("6 tries in a row met such a write: find out who keeps writing it"), "{error}");
    Ok(())
}

async fn somebody_else_did_it_already(world: World) -> anyhow::Result<()> {
    create_deployment(&world, COMPONENT).await?;
    let _controller = quick_controller(&world)?;
    let (proxy, cluster) = behind_a_proxy(&world).await?;
    let api = world.api::<Deployment>();
    let does_it = move || {
        let api = api.clone();
        async move {
            let env =
                json!([{"name": "NETWORKING_MODE", "value": "ingress"}, {"name": "ISTIO_PERCENTAGE", "value": "0"}]);
            set_env(&api, COMPONENT, "kubectl", &env).await.expect("to set env");
        }
    };
    proxy.rule(patches, Fault::before(does_it));
    let (outcome, reports) = carry_out(&cluster, &env_rollback(&world, COMPONENT)).await;
    ensure!(
        (outcome, results(&reports)) == (Outcome::Completed, vec![(StepResult::AlreadyThere, None)]),
        "{reports:?}"
    );
    Ok(())
}

/// Between the reading and the first patch somebody deletes the Deployment and creates one of the same name.
fn replacing(world: &World, by: Deployment) -> Fault {
    let api = world.api::<Deployment>();
    Fault::before(move || {
        let (api, by) = (api.clone(), by.clone());
        async move { replace(&api, &by).await.expect("to replace a Deployment") }
    })
}

async fn replace(api: &Api<Deployment>, by: &Deployment) -> anyhow::Result<()> {
    ensure!(api.delete(COMPONENT, &DeleteParams::background()).await?.is_right(), "it is still there");
    api.create(&PostParams::default(), by).await?;
    Ok(())
}

async fn another_object_of_the_same_name_is_changed_instead(world: World) -> anyhow::Result<()> {
    let old = create_deployment(&world, COMPONENT).await?;
    let _controller = quick_controller(&world)?;
    let (proxy, cluster) = behind_a_proxy(&world).await?;
    proxy.rule_times(1, patches, replacing(&world, deployment(&world.namespace, COMPONENT)));
    let (outcome, reports) = carry_out(&cluster, &env_rollback(&world, COMPONENT)).await;
    ensure!((outcome, results(&reports)[0].0) == (Outcome::Completed, StepResult::Changed), "{reports:?}");
    ensure!(world.api::<Deployment>().get(COMPONENT).await?.metadata.uid != old.metadata.uid);
    Ok(())
}

async fn another_object_that_does_not_fit_is_refused(world: World) -> anyhow::Result<()> {
    let old = create_deployment(&world, COMPONENT).await?;
    let (proxy, cluster) = behind_a_proxy(&world).await?;
    let mut paused = deployment(&world.namespace, COMPONENT);
    paused.spec.paused = Some(true);
    proxy.rule_times(1, patches, replacing(&world, paused));
    let error = failure(&cluster, &env_rollback(&world, COMPONENT)).await?;
    ensure!(error.contains("is paused"), "{error}");
    ensure!(world.api::<Deployment>().get(COMPONENT).await?.metadata.uid != old.metadata.uid);
    Ok(())
}

async fn a_change_that_does_not_stay_is_told(world: World) -> anyhow::Result<()> {
    create_deployment(&world, COMPONENT).await?;
    let (proxy, cluster) = behind_a_proxy(&world).await?;
    let api = world.api::<Deployment>();
    let undoes_it = move || {
        let api = api.clone();
        async move {
            let env = json!([{"name": "ISTIO_PERCENTAGE", "value": "25"}]);
            set_env(&api, COMPONENT, "argocd-controller", &env).await.expect("to set env");
        }
    };
    proxy.rule(patches, Fault::after(undoes_it));
    let error = failure(&cluster, &env_rollback(&world, COMPONENT)).await?;
    let wanted = format!(
        "the change of Deployment {}/{COMPONENT} was accepted and did not stay: ISTIO_PERCENTAGE is 25, not 0. argocd-controller has set it \
         since; stop that first",
        world.namespace
    );
    ensure!(error == wanted, "{error}");
    Ok(())
}

/// What an admission webhook makes of the patch is in the answer to it.
async fn what_a_webhook_changes_besides_is_told(world: World) -> anyhow::Result<()> {
    create_deployment(&world, COMPONENT).await?;
    let (proxy, cluster) = behind_a_proxy(&world).await?;
    let webhook = Fault::edit(|answer| {
        let containers = &mut answer["spec"]["template"]["spec"]["containers"];
        containers[0]["image"] = json!("mirror.example/proxy:1");
        containers[1]["env"] = json!([
            {"name": "NETWORKING_MODE", "value": "ingress"}, {"name": "ISTIO_PERCENTAGE", "value": "0"},
            {"name": "EMERGENCY_ROLLBACK", "value": "true"}, {"name": "ROLLBACK_TIMESTAMP", "value": "2026-01-02T03:04:05Z"},
        ]);
    });
    proxy.rule(patches, webhook);
    let error = failure(&cluster, &env_rollback(&world, COMPONENT)).await?;
    ensure!(error.contains("an admission webhook changed its containers besides"), "{error}");
    ensure!(error.contains("istio-proxy=mirror.example/proxy:1"), "{error}");
    Ok(())
}

async fn a_config_map_that_does_not_stay_is_told(world: World) -> anyhow::Result<()> {
    let map = create_config_map(&world, COMPONENT).await?.metadata.name.context("a name")?;
    let (proxy, cluster) = behind_a_proxy(&world).await?;
    let (api, name) = (world.api::<ConfigMap>(), map.clone());
    let undoes_it = move || {
        let (api, name) = (api.clone(), name.clone());
        async move {
            let data = json!({"istio_percentage": "25"});
            set_data(&api, &name, "settings-operator", &data).await.expect("to set data");
        }
    };
    proxy.rule(patches, Fault::after(undoes_it));
    let (_, reports) = carry_out(&cluster, &data_rollback(&world, &map)).await;
    let Some(Progress::Failed { error, .. }) = reports.last() else { bail!("{reports:?}") };
    ensure!(error.contains("istio_percentage is 25, not 0"), "{error}");
    ensure!(error.contains("settings-operator has set it since"), "{error}");
    Ok(())
}

/// Neither a change nor a dry run of one, for each kind of step; reading is permitted.
async fn without_a_permit_nothing_is_sent(world: World) -> anyhow::Result<()> {
    create_deployment(&world, COMPONENT).await?;
    let map = create_config_map(&world, COMPONENT).await?.metadata.name.context("a name")?;
    let (proxy, cluster) = behind_a_proxy(&world).await?;
    for mut plan in [env_rollback(&world, COMPONENT), data_rollback(&world, &map)] {
        plan.permit = Arc::new(|| false);
        for dry_run in [false, true] {
            plan.dry_run = dry_run;
            let (outcome, reports) = carry_out(&cluster, &plan).await;
            ensure!((outcome, reports.as_slice()) == (Outcome::Cancelled, &[]), "{outcome:?}: {reports:?}");
        }
    }
    ensure!(proxy.count(patches) == 0 && proxy.count(gets) > 0, "{:?}", proxy.requests());
    Ok(())
}

async fn a_permit_withdrawn_between_two_tries_ends_the_change(world: World) -> anyhow::Result<()> {
    create_deployment(&world, COMPONENT).await?;
    let (proxy, cluster) = behind_a_proxy(&world).await?;
    proxy.rule(patches, touching(&world));
    let asked = Arc::new(AtomicUsize::new(0));
    let mut plan = env_rollback(&world, COMPONENT);
    let count = asked.clone();
    plan.permit = Arc::new(move || count.fetch_add(1, Ordering::SeqCst) < 2);
    let (outcome, reports) = carry_out(&cluster, &plan).await;
    ensure!((outcome, reports.as_slice()) == (Outcome::Cancelled, &[]), "{outcome:?}: {reports:?}");
    ensure!(proxy.count(patches) == 2, "{} patches", proxy.count(patches));
    ensure!(asked.load(Ordering::SeqCst) == 3, "asked {} times", asked.load(Ordering::SeqCst));
    Ok(())
}

async fn a_cancelled_change_does_not_try_again(world: World) -> anyhow::Result<()> {
    create_deployment(&world, COMPONENT).await?;
    let map = create_config_map(&world, COMPONENT).await?.metadata.name.context("a name")?;
    for plan in [env_rollback(&world, COMPONENT), data_rollback(&world, &map)] {
        let (proxy, cluster) = behind_a_proxy(&world).await?;
        let (cancel, cancelled) = tokio::sync::oneshot::channel::<()>();
        let cancel = Mutex::new(Some(cancel));
        // The change is cancelled while its first patch is under way, and that one then meets a conflict.
        let cancels = move |request: &Recorded| {
            patches(request) && {
                drop(cancel.lock().expect("no holder panics").take());
                true
            }
        };
        proxy.rule(cancels, Fault::kubernetes(409));
        let mut reports = Vec::new();
        let outcome = cluster.carry_out(&plan, |report| reports.push(report), async { drop(cancelled.await) }).await;
        ensure!((outcome, reports.as_slice()) == (Outcome::Cancelled, &[]), "{outcome:?}: {reports:?}");
        ensure!(proxy.count(patches) == 1, "{} patches", proxy.count(patches));
    }
    Ok(())
}
