//! A rollback is proven while nothing is wrong, the objects are saved before it, and whoever undoes it is named.

use std::time::Duration;

use anyhow::{Context, ensure};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::api::rbac::v1::Role;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use super::stage::{COMPONENT, GUARD, LONG, Stage, until_state};
use crate::stories;
use crate::support::fixtures::{Config, set_env};
use crate::support::hook::{Call, Hook};
use crate::support::mesh::Traffic;
use crate::support::ripcord::{Ripcord, run_to_end};
use crate::support::{Story, World, eventually, never};

pub fn trials() -> Vec<Story> {
    stories![
        a_rollback_is_proven_and_nothing_is_changed_by_that,
        a_permission_that_is_taken_away_is_paged_by_name,
        a_container_that_is_renamed_is_paged,
        an_object_that_is_deleted_is_paged,
        an_admission_webhook_that_denies_is_paged,
        a_receiver_that_cannot_be_reached_is_told_to_the_others,
        a_gitops_tool_that_will_undo_it_is_said,
        who_undoes_a_rollback_is_named,
        what_was_there_before_is_kept_and_can_be_put_back,
    ]
}

/// The configuration of most stories: tried every second.
fn config(stage: &Stage<'_>) -> Config {
    stage.config().set("readiness.interval", "1s")
}

/// Waits until it was tried and a rollback would work, or would not.
async fn until_ready(ripcord: &Ripcord, ready: bool) -> anyhow::Result<()> {
    eventually(LONG, &format!("ready is {ready}"), async || {
        let status = ripcord.status().await.map_err(|e| e.to_string())?;
        let guard = &status["guards"][0];
        if guard["ready"] == ready { Ok(()) } else { Err(guard["problems"].to_string()) }
    })
    .await?;
    let metric = ripcord.metric("ripcord_rollback_ready", &[("guard", GUARD)]).await?;
    ensure!(metric == Some(f64::from(u8::from(ready))), "ripcord_rollback_ready is {metric:?}");
    Ok(())
}

/// What is paged of a guard that is not ready.
async fn not_ready(stage: &Stage<'_>) -> anyhow::Result<Call> {
    let told = stage.told("watchdog.not_ready").await?;
    ensure!(told.body["guard"] == GUARD && told.body["severity"] == "critical", "{}", told.body);
    Ok(told)
}

fn summary(call: &Call) -> &str {
    call.body["summary"].as_str().unwrap_or_default()
}

async fn a_rollback_is_proven_and_nothing_is_changed_by_that(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let before = stage.deployment().await?;
    let ripcord = stage.watch(&config(&stage)).await?;
    until_ready(&ripcord, true).await?;
    // The ConfigMap too, and even where everything is at its target already.
    let tries = |path| stage.api.count(|r| r.is_dry_run() && r.is("PATCH", path));
    eventually(LONG, "both steps are tried again and again", async || {
        tries("/deployments/") > 2 && tries("/configmaps/terminal-controller-config") > 2
    })
    .await?;
    let after = stage.deployment().await?;
    ensure!(before.metadata.generation == after.metadata.generation && before.spec == after.spec);
    ensure!(stage.patches() == 0 && stage.story().is_empty(), "{:?}", stage.story());
    let calls: Vec<String> = stage.hook.accepted().iter().map(|c| c.event().to_owned()).collect();
    ensure!(calls == ["watchdog.started"], "a probe pages nobody: {calls:?}");
    Ok(())
}

async fn a_permission_that_is_taken_away_is_paged_by_name(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let ripcord = stage.watch(&config(&stage)).await?;
    until_ready(&ripcord, true).await?;

    let roles: Api<Role> = world.api();
    let mut taken = Vec::new();
    for role in roles.list(&ListParams::default()).await?.items {
        let mut less = role.clone();
        for rule in less.rules.iter_mut().flatten() {
            if rule.resources.iter().flatten().any(|r| r == "deployments") {
                rule.verbs.retain(|verb| verb != "patch");
            }
        }
        if less.rules != role.rules {
            roles.replace(&role.name_any(), &PostParams::default(), &less).await?;
            taken.push(role);
        }
    }
    ensure!(!taken.is_empty(), "no Role lets Ripcord patch Deployments");
    let told = not_ready(&stage).await?;
    let wanted = format!("patch on deployments/{COMPONENT} in namespace {}", world.namespace);
    ensure!(summary(&told).contains(&wanted), "{}", told.body);
    until_ready(&ripcord, false).await?;

    for role in taken {
        let name = role.name_any();
        let mut now = roles.get(&name).await?;
        now.rules = role.rules;
        roles.replace(&name, &PostParams::default(), &now).await?;
    }
    stage.told("watchdog.ready").await?;
    until_ready(&ripcord, true).await
}

async fn a_container_that_is_renamed_is_paged(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let ripcord = stage.watch(&config(&stage)).await?;
    until_ready(&ripcord, true).await?;
    let api: Api<Deployment> = world.api();
    let mut deployment = stage.deployment().await?;
    let pod = deployment.spec.template.spec.as_mut().context("a pod")?;
    let container = pod.containers.iter_mut().find(|c| c.name == "controller").context("the container")?;
    container.name = "manager".to_owned();
    api.replace(COMPONENT, &PostParams::default(), &deployment).await?;
    let told = not_ready(&stage).await?;
    ensure!(
        summary(&told).contains("has no container controller (its containers: istio-proxy, manager)"),
        "{}",
        told.body
    );
    Ok(())
}

async fn an_object_that_is_deleted_is_paged(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let ripcord = stage.watch(&config(&stage)).await?;
    until_ready(&ripcord, true).await?;
    world.api::<ConfigMap>().delete("terminal-controller-config", &DeleteParams::default()).await?;
    let told = not_ready(&stage).await?;
    let wanted = format!("config_map {0}/terminal-controller-config: could not read ConfigMap {0}/", world.namespace);
    ensure!(summary(&told).contains(&wanted) && summary(&told).contains("does not exist"), "{}", told.body);
    Ok(())
}

/// The API server asks a webhook that nobody serves, and takes no for an answer.
async fn an_admission_webhook_that_denies_is_paged(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let ripcord = stage.watch(&config(&stage)).await?;
    until_ready(&ripcord, true).await?;
    let label = json!({"metadata": {"labels": {"story": world.namespace}}});
    let namespaces: Api<Namespace> = Api::all(world.kube.clone());
    namespaces.patch(&world.namespace, &PatchParams::default(), &Patch::Merge(label)).await?;
    let webhook: ValidatingWebhookConfiguration = serde_json::from_value(json!({
        "metadata": {"name": world.namespace},
        "webhooks": [{
            "name": "images.policy.test",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "timeoutSeconds": 2,
            "clientConfig": {"url": "https://127.0.0.1:9/nobody"},
            "namespaceSelector": {"matchLabels": {"story": world.namespace}},
            "rules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["deployments"]}],
        }],
    }))?;
    let webhooks: Api<ValidatingWebhookConfiguration> = Api::all(world.kube.clone());
    webhooks.create(&PostParams::default(), &webhook).await?;
    let told = not_ready(&stage).await;
    webhooks.delete(&world.namespace, &DeleteParams::default()).await?;
    let told = told?;
    ensure!(summary(&told).contains("images.policy.test"), "{}", told.body);
    ensure!(summary(&told).contains(&format!("deployment_env {}/{COMPONENT}", world.namespace)), "{}", told.body);
    stage.told("watchdog.ready").await?;
    Ok(())
}

async fn a_receiver_that_cannot_be_reached_is_told_to_the_others(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let other = Hook::start(&world).await?;
    let ripcord = stage.watch(&config(&stage).webhook("sre", &other)).await?;
    until_ready(&ripcord, true).await?;
    other.gone();
    let told = stage.told("watchdog.not_ready").await?;
    ensure!(summary(&told).contains("cannot reach a receiver") && summary(&told).contains("sre: "), "{}", told.body);
    ensure!(told.body["guard"].is_null() && told.body["severity"] == "warning", "{}", told.body);
    until_ready(&ripcord, true).await?;
    other.back().await?;
    stage.told("watchdog.ready").await?;
    Ok(())
}

async fn a_gitops_tool_that_will_undo_it_is_said(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let label = json!({"metadata": {"labels": {"argocd.argoproj.io/instance": "sealos-apps"}}});
    world.api::<Deployment>().patch(COMPONENT, &PatchParams::default(), &Patch::Merge(label)).await?;
    let ripcord = stage.watch(&config(&stage)).await?;
    until_ready(&ripcord, true).await?;
    let status = ripcord.status().await?;
    let warning = status["guards"][0]["warnings"][0].as_str().unwrap_or_default().to_owned();
    ensure!(warning.contains("Argo CD") && warning.contains("sealos-apps"), "{status}");
    let shown = run_to_end(&world, None, &["status", "--url", &ripcord.url()]).await?;
    ensure!(shown.stdout.contains(&warning), "{}", shown.stdout);
    ensure!(stage.hook.accepted().iter().all(|c| c.event() != "watchdog.not_ready"), "it would work all the same");
    Ok(())
}

async fn who_undoes_a_rollback_is_named(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let ripcord = stage.watch(&config(&stage)).await?;
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    stage.told("rollback.verified").await?;
    // The share stays where it is: only a mark of the rollback is taken away.
    let undone = json!([{"name": "EMERGENCY_ROLLBACK", "value": "false"}]);
    set_env(&world.api(), COMPONENT, "argocd-controller", &undone).await?;
    let told = stage.told("rollback.reverted").await?;
    let said = summary(&told).to_owned();
    for part in [
        format!("deployment_env {}/{COMPONENT}", world.namespace).as_str(),
        "EMERGENCY_ROLLBACK is false, not true",
        "set by argocd-controller",
    ] {
        ensure!(said.contains(part), "{part} is missing: {said}");
    }
    // Ripcord does not fight, and says it once.
    let reverted = || stage.hook.accepted().iter().filter(|c| c.event() == "rollback.reverted").count();
    never(Duration::from_secs(4), "it is said again, or undone", async || {
        reverted() > 1 || !stage.env("EMERGENCY_ROLLBACK").await.is_ok_and(|v| v.as_deref() == Some("false"))
    })
    .await?;
    let incidents = ripcord.incidents().await?;
    ensure!(incidents[0]["drift"][0]["who"] == "argocd-controller", "{incidents}");
    Ok(())
}

async fn what_was_there_before_is_kept_and_can_be_put_back(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let before = (stage.deployment().await?, world.api::<ConfigMap>().get("terminal-controller-config").await?);
    let ripcord = stage.watch(&config(&stage)).await?;
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    stage.told("rollback.verified").await?;
    until_state(&ripcord, "rolled_back").await?;

    // Everybody may see which objects were saved, and not what is in them.
    let incidents = ripcord.incidents().await?;
    let saved = incidents[0]["snapshot"].as_array().context("a snapshot")?;
    ensure!(saved.len() == 2 && saved.iter().all(|object| object.get("yaml").is_none()), "{incidents}");
    let id = incidents[0]["id"].as_str().context("an id")?.to_owned();

    let folder = world.dir.join("before");
    let (folder, config) =
        (folder.to_string_lossy().into_owned(), ripcord.config_file().to_string_lossy().into_owned());
    let admin = world.admin_kubeconfig()?;
    let backup = run_to_end(&world, Some(&admin), &["backup", &folder, "--incident", &id, "--config", &config]).await?;
    ensure!(backup.code() == 0, "{backup:?}");
    let restore = run_to_end(&world, Some(&admin), &["restore", &folder, "--yes"]).await?;
    ensure!(restore.code() == 0 && restore.stdout.contains("ISTIO_PERCENTAGE"), "{restore:?}");
    let after = (stage.deployment().await?, world.api::<ConfigMap>().get("terminal-controller-config").await?);
    ensure!(before.0.spec == after.0.spec, "{:#?}", after.0.spec);
    ensure!(before.1.data == after.1.data && before.1.binary_data == after.1.binary_data, "{:?}", after.1);
    Ok(())
}
