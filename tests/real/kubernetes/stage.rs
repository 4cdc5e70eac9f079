//! What the stories share: a cluster as Ripcord sees it, and the steps and changes that the Sealos scripts carry out.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{bail, ensure};
use ripcord::config::template::Template;
use ripcord::config::{ConfigMap, DeploymentEnv, Step, VirtualService};
use ripcord::engine::{Progress, StepResult};
use ripcord::kubernetes::{ChangePlan, Cluster, Outcome, variables};

use crate::deploy::least_identity;
use crate::support::World;
use crate::support::apiserver::{ApiProxy, Identity, rule};
use crate::support::controller::{Controller, Rollout};
use crate::support::fixtures::istio;
use crate::support::proxy::Recorded;

/// The component of most stories.
pub const COMPONENT: &str = "terminal-controller";

/// The variables that a rollback sets.
pub const TOUCHED: [&str; 4] = ["EMERGENCY_ROLLBACK", "ISTIO_PERCENTAGE", "NETWORKING_MODE", "ROLLBACK_TIMESTAMP"];

/// Where the fixture's container `controller` has `ISTIO_PERCENTAGE` in its env.
pub const SHARE_ENTRY: usize = 4;

/// Somebody who may do what Ripcord needs, in the story's namespace, and nothing else.
pub async fn ripcord(world: &World) -> anyhow::Result<Identity> {
    user(world, &["get", "patch"], &["create"]).await
}

/// Somebody who only reads.
pub async fn reader(world: &World) -> anyhow::Result<Identity> {
    user(world, &["get"], &[]).await
}

/// Somebody whom the API server does not know.
pub fn nobody() -> Identity {
    Identity { name: "nobody".to_owned(), token: "nobody".to_owned() }
}

/// A user with these verbs on the objects of steps and these on Events.
async fn user(world: &World, verbs: &[&str], on_events: &[&str]) -> anyhow::Result<Identity> {
    let user = world.apiserver.new_user();
    let mut rules = vec![
        rule("apps", &["deployments"], verbs),
        rule("", &["configmaps"], verbs),
        rule(istio::GROUP, &["virtualservices"], verbs),
    ];
    if !on_events.is_empty() {
        rules.push(rule("events.k8s.io", &["events"], on_events));
    }
    world.allow(&user, &rules).await?;
    Ok(user)
}

/// The cluster as Ripcord sees it.
pub async fn cluster(world: &World) -> anyhow::Result<Cluster> {
    cluster_of(world, &ripcord(world).await?).await
}

/// The cluster as somebody sees it.
pub async fn cluster_of(world: &World, who: &Identity) -> anyhow::Result<Cluster> {
    Ok(Cluster::from_config(world.apiserver.config(who).await?).await?)
}

/// The cluster as a Ripcord from `deploy/overlays/sealos` sees it.
pub async fn deployed(world: &World) -> anyhow::Result<Cluster> {
    cluster_of(world, &least_identity(world).await?).await
}

/// The same through a proxy.
pub async fn deployed_behind_a_proxy(world: &World) -> anyhow::Result<(ApiProxy, Cluster)> {
    let proxy = ApiProxy::start(world).await?;
    let cluster = Cluster::from_config(proxy.config(&least_identity(world).await?).await?).await?;
    Ok((proxy, cluster))
}

/// The cluster as Ripcord sees it through a proxy, which has not seen a request yet.
pub async fn behind_a_proxy(world: &World) -> anyhow::Result<(ApiProxy, Cluster)> {
    let proxy = ApiProxy::start(world).await?;
    let cluster = Cluster::from_config(proxy.config(&ripcord(world).await?).await?).await?;
    Ok((proxy, cluster))
}

/// A controller that finishes every rollout when it sees it.
pub fn quick_controller(world: &World) -> anyhow::Result<Controller> {
    Controller::start(world, Rollout::Finish(Duration::ZERO))
}

pub fn gets(request: &Recorded) -> bool {
    request.method == "GET"
}

pub fn patches(request: &Recorded) -> bool {
    request.method == "PATCH"
}

pub fn template(text: &str) -> Template {
    Template::parse(text).expect("a template")
}

pub fn templates(pairs: &[(&str, &str)]) -> BTreeMap<String, Template> {
    pairs.iter().map(|(key, text)| ((*key).to_owned(), template(text))).collect()
}

/// The step for a Deployment.
pub fn env_step(world: &World, name: &str) -> DeploymentEnv {
    DeploymentEnv {
        namespace: world.namespace.clone(),
        name: name.to_owned(),
        container: "controller".to_owned(),
        env: templates(&[("NETWORKING_MODE", "${mode}"), ("ISTIO_PERCENTAGE", "${percentage}")]),
        rollback_env: templates(&[("EMERGENCY_ROLLBACK", "true"), ("ROLLBACK_TIMESTAMP", "${time}")]),
    }
}

/// The step for a ConfigMap.
pub fn config_map_step(world: &World, name: &str, optional: bool) -> ConfigMap {
    ConfigMap {
        namespace: world.namespace.clone(),
        name: name.to_owned(),
        optional,
        data: templates(&[("networking_mode", "${mode}"), ("istio_percentage", "${percentage}")]),
    }
}

/// The step for a VirtualService of which two subsets share the traffic.
pub fn weights_step(world: &World, name: &str) -> VirtualService {
    VirtualService {
        namespace: world.namespace.clone(),
        name: name.to_owned(),
        weights: templates(&[("istio", "${percentage}"), ("ingress", "${rest}")]),
        routes: Vec::new(),
    }
}

/// A rollback to 0 %.
pub fn rollback(steps: impl IntoIterator<Item = Step>) -> ChangePlan {
    let time = "2026-01-02T03:04:05Z".parse().expect("a time stamp");
    ChangePlan {
        steps: steps.into_iter().collect(),
        vars: variables("terminal", &BTreeMap::new(), 0, "error rate 3.1 %", "terminal-1", time),
        rollback: true,
        rollout_timeout: Duration::from_secs(20),
        dry_run: false,
        patience: ripcord::kubernetes::CALL_TIMEOUT,
        permit: Arc::new(|| true),
    }
}

/// A rollback of one Deployment.
pub fn env_rollback(world: &World, name: &str) -> ChangePlan {
    rollback([Step::DeploymentEnv(env_step(world, name))])
}

/// A rollback of one ConfigMap that must be there.
pub fn data_rollback(world: &World, name: &str) -> ChangePlan {
    rollback([Step::ConfigMap(config_map_step(world, name, false))])
}

/// A rollback of one VirtualService.
pub fn weights_rollback(world: &World, name: &str) -> ChangePlan {
    rollback([Step::VirtualService(weights_step(world, name))])
}

/// The same change to another percentage.
pub fn to_percentage(mut plan: ChangePlan, percentage: u8) -> ChangePlan {
    let time = "2026-01-02T03:04:05Z".parse().expect("a time stamp");
    plan.vars = variables("terminal", &BTreeMap::new(), percentage, "error rate 3.1 %", "terminal-1", time);
    plan
}

/// Carries a change out to its end.
pub async fn carry_out(cluster: &Cluster, plan: &ChangePlan) -> (Outcome, Vec<Progress>) {
    let mut reports = Vec::new();
    let outcome = cluster.carry_out(plan, |progress| reports.push(progress), pending()).await;
    (outcome, reports)
}

/// Carries out a change that must fail in its last step tried, and says with which error.
pub async fn failure(cluster: &Cluster, plan: &ChangePlan) -> anyhow::Result<String> {
    let (outcome, reports) = carry_out(cluster, plan).await;
    ensure!(outcome == Outcome::Failed, "{outcome:?}: {reports:?}");
    let [.., Progress::Step(step), Progress::Failed { step: name, error }] = reports.as_slice() else {
        bail!("no failed step at the end: {reports:?}");
    };
    ensure!((step.result, &step.step, step.detail.as_ref()) == (StepResult::Failed, name, Some(error)), "{reports:?}");
    Ok(error.clone())
}

/// The results of the steps, with their details.
pub fn results(reports: &[Progress]) -> Vec<(StepResult, Option<&str>)> {
    let steps = reports.iter().filter_map(|report| match report {
        Progress::Step(step) => Some((step.result, step.detail.as_deref())),
        _ => None,
    });
    steps.collect()
}
