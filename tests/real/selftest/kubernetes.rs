//! The API server, its users, the fault proxy before it, and the controller that a cluster would have.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tokio::time::timeout;

use crate::stories;
use crate::support::apiserver::{ApiProxy, rule};
use crate::support::controller::{Controller, Mover, Rollout, finished, is_complete};
use crate::support::fixtures::{
    config_map, create_config_map, create_deployment, deployment, env_value, env_values, set_share, without_env,
};
use crate::support::proxy::{Fault, Recorded};
use crate::support::{Story, World, eventually, never};

const SOON: Duration = Duration::from_secs(10);

pub fn trials() -> Vec<Story> {
    stories![
        api_server_creates_and_patches,
        a_user_may_do_what_is_allowed_and_no_more,
        a_service_account_is_somebody,
        api_proxy_passes_and_records,
        api_proxy_injects_faults,
        api_proxy_lets_something_else_happen,
        api_proxy_goes_and_comes_back,
        controller_finishes_a_rollout,
        controller_leaves_a_rollout_unfinished,
        mover_follows_the_share,
    ]
}

fn deployments(client: &kube::Client, world: &World) -> Api<Deployment> {
    Api::namespaced(client.clone(), &world.namespace)
}

fn status_of(error: &kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        _ => 0,
    }
}

async fn api_server_creates_and_patches(world: World) -> anyhow::Result<()> {
    let before = create_deployment(&world, "terminal-controller").await?;
    let settings = create_config_map(&world, "terminal-controller").await?;
    ensure!(settings.data == config_map(&world.namespace, "terminal-controller").data);
    ensure!(env_value(&before, "controller", "ISTIO_PERCENTAGE").as_deref() == Some("25"));

    let api = world.api();
    let after = set_share(&api, "terminal-controller", "0").await?;
    ensure!(env_value(&after, "controller", "ISTIO_PERCENTAGE").as_deref() == Some("0"));
    ensure!(env_values(&after, "controller").len() == 4, "the plain values: {:?}", env_values(&after, "controller"));
    ensure!(after.metadata.generation == Some(2));
    let share = &["ISTIO_PERCENTAGE"];
    ensure!(without_env(&before, "controller", share) == without_env(&after, "controller", share));

    // A merge patch replaces the list, and the server refuses what is left: the mistake that Ripcord exists for.
    let containers = json!([{"name": "controller", "env": [{"name": "ISTIO_PERCENTAGE", "value": "0"}]}]);
    let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
    let refused = api.patch("terminal-controller", &PatchParams::default(), &Patch::Merge(patch)).await;
    ensure!(refused.as_ref().is_err_and(|e| status_of(e) == 422), "{refused:?}");
    Ok(())
}

async fn a_user_may_do_what_is_allowed_and_no_more(world: World) -> anyhow::Result<()> {
    create_deployment(&world, "terminal-controller").await?;
    let (user, other) = (world.apiserver.new_user(), world.apiserver.new_user());
    ensure!(user != other);
    let api = deployments(&world.apiserver.client(&user).await?, &world);
    let refused = api.get("terminal-controller").await;
    ensure!(refused.as_ref().is_err_and(|e| status_of(e) == 403), "{refused:?}");

    world.allow(&user, &[rule("apps", &["deployments"], &["get"])]).await?;
    api.get("terminal-controller").await.context("the Role counts")?;
    let refused = set_share(&api, "terminal-controller", "0").await;
    ensure!(refused.as_ref().is_err_and(|e| status_of(e) == 403), "{refused:?}");

    // The same through a kubeconfig on disk.
    let file = world.apiserver.kubeconfig(&world.dir, &user)?;
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kube::config::Kubeconfig::read_from(file)?, &options).await?;
    let api = deployments(&kube::Client::try_from(config)?, &world);
    api.get("terminal-controller").await?;
    Ok(())
}

async fn a_service_account_is_somebody(world: World) -> anyhow::Result<()> {
    create_deployment(&world, "terminal-controller").await?;
    let account = world.service_account("ripcord").await?;
    let api = deployments(&world.apiserver.client(&account).await?, &world);
    let refused = api.get("terminal-controller").await;
    ensure!(refused.as_ref().is_err_and(|e| status_of(e) == 403), "{refused:?}");

    let role: Role = serde_json::from_value(json!({
        "metadata": {"name": "reader"},
        "rules": [rule("apps", &["deployments"], &["get"])],
    }))?;
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "ripcord", "namespace": world.namespace}],
    }))?;
    world.create(&role).await?;
    world.create(&binding).await?;
    eventually(SOON, "the binding counts", async || api.get("terminal-controller").await).await?;
    Ok(())
}

async fn api_proxy_passes_and_records(world: World) -> anyhow::Result<()> {
    create_deployment(&world, "terminal-controller").await?;
    let proxy = ApiProxy::start(&world).await?;
    let user = world.apiserver.new_user();
    world.allow(&user, &[rule("apps", &["deployments"], &["get", "patch"])]).await?;
    let api = deployments(&proxy.client(&user).await?, &world);
    set_share(&api, "terminal-controller", "10").await?;

    let is_patch = |r: &Recorded| r.is("PATCH", "/deployments/terminal-controller");
    ensure!(proxy.count(is_patch) == 1);
    let patch = proxy.requests().into_iter().find(is_patch).context("the patch")?;
    ensure!(patch.answered.is_some_and(|(status, at)| status == 200 && at >= patch.at), "{:?}", patch.answered);
    let containers = &patch.json()["spec"]["template"]["spec"]["containers"];
    ensure!(containers[0]["env"][0]["value"] == "10", "{containers}");
    ensure!(!patch.is_dry_run());
    let file = proxy.kubeconfig(&world, &user)?;
    ensure!(std::fs::read_to_string(file)?.contains(&proxy.url()));
    Ok(())
}

async fn api_proxy_injects_faults(world: World) -> anyhow::Result<()> {
    create_deployment(&world, "terminal-controller").await?;
    let proxy = ApiProxy::start(&world).await?;
    let client = proxy.client(world.apiserver.admin_identity()).await?;
    let api = deployments(&client, &world);
    let name = "terminal-controller";
    let patches = |r: &Recorded| r.method == "PATCH";

    for status in [403, 409, 500] {
        proxy.rule_times(1, patches, Fault::kubernetes(status));
        let refused = set_share(&api, name, "0").await;
        ensure!(refused.as_ref().is_err_and(|e| status_of(e) == status), "{status}: {refused:?}");
    }
    let share =
        async || anyhow::Ok(env_value(&api.get(name).await?, "controller", "ISTIO_PERCENTAGE").unwrap_or_default());
    ensure!(share().await? == "25", "a request that is answered by the proxy must not arrive");

    proxy.rule(patches, Fault::Hang);
    let hung = timeout(Duration::from_millis(500), set_share(&api, name, "0")).await;
    ensure!(hung.is_err(), "{hung:?}");
    ensure!(proxy.requests().last().is_some_and(|r| r.answered.is_none()));
    proxy.clear();

    proxy.rule_times(1, patches, Fault::Delay(Duration::from_millis(700)));
    let start = Instant::now();
    set_share(&api, name, "20").await?;
    ensure!(start.elapsed() >= Duration::from_millis(700));

    proxy.rule(patches, Fault::Close);
    ensure!(set_share(&api, name, "0").await.is_err());
    ensure!(share().await? == "20");
    proxy.clear();

    proxy.rule(patches, Fault::LoseAnswer);
    ensure!(set_share(&api, name, "5").await.is_err());
    ensure!(share().await? == "5", "a request whose answer is lost must arrive");

    // The latest rule comes first, so an exception can be made from a wider one.
    proxy.all(Fault::kubernetes(500));
    proxy.rule(|r| r.method == "GET", Fault::Pass);
    ensure!(share().await? == "5");
    ensure!(set_share(&api, name, "0").await.is_err());
    Ok(())
}

async fn api_proxy_lets_something_else_happen(world: World) -> anyhow::Result<()> {
    let name = "terminal-controller";
    create_deployment(&world, name).await?;
    let proxy = ApiProxy::start(&world).await?;
    let api = deployments(&proxy.client(world.apiserver.admin_identity()).await?, &world);
    let patches = |r: &Recorded| r.method == "PATCH";
    let somebody_sets = |share: &'static str| {
        let api = world.api();
        move || {
            let api = api.clone();
            async move { drop(set_share(&api, name, share).await.expect("to set a share")) }
        }
    };
    let share = |d: Deployment| env_value(&d, "controller", "ISTIO_PERCENTAGE").unwrap_or_default();

    proxy.rule_times(1, patches, Fault::before(somebody_sets("50")));
    let answer = set_share(&api, name, "0").await?;
    ensure!(answer.metadata.generation == Some(3), "it happens before");
    ensure!(share(answer) == "0" && share(api.get(name).await?) == "0");

    proxy.rule_times(1, patches, Fault::after(somebody_sets("50")));
    ensure!(share(set_share(&api, name, "10").await?) == "10", "the answer is that to the patch");
    ensure!(share(api.get(name).await?) == "50", "it happens before the answer is there");

    proxy.rule_times(1, patches, Fault::edit(|answer| answer["metadata"]["name"] = json!("somebody-elses")));
    ensure!(set_share(&api, name, "20").await?.metadata.name.as_deref() == Some("somebody-elses"));

    proxy.rule_times(1, patches, Fault::keep_answer());
    let hung = timeout(Duration::from_millis(700), set_share(&api, name, "0")).await;
    ensure!(hung.is_err(), "{hung:?}");
    ensure!(share(api.get(name).await?) == "0", "a request whose answer is kept must arrive");
    Ok(())
}

async fn api_proxy_goes_and_comes_back(world: World) -> anyhow::Result<()> {
    create_config_map(&world, "terminal-controller").await?;
    let proxy = ApiProxy::start(&world).await?;
    let client = proxy.client(world.apiserver.admin_identity()).await?;
    let api: Api<ConfigMap> = Api::namespaced(client, &world.namespace);
    let get = async || {
        timeout(Duration::from_secs(2), api.get("terminal-controller-config")).await.map_err(anyhow::Error::new)
    };
    get().await??;
    let url = proxy.url();
    proxy.gone();
    eventually(SOON, "the proxy is gone", async || tokio::net::TcpStream::connect(proxy.address()).await.is_err())
        .await?;
    ensure!(!matches!(get().await, Ok(Ok(_))));
    proxy.back().await?;
    ensure!(proxy.url() == url);
    eventually(SOON, "the proxy is back", async || anyhow::Ok(get().await??)).await?;
    Ok(())
}

fn progressing(deployment: &Deployment) -> String {
    let conditions = deployment.status.clone().unwrap_or_default().conditions.unwrap_or_default();
    conditions
        .into_iter()
        .find(|c| c.type_.as_deref() == Some("Progressing"))
        .and_then(|c| c.reason)
        .unwrap_or_default()
}

async fn controller_finishes_a_rollout(world: World) -> anyhow::Result<()> {
    let delay = Duration::from_millis(600);
    let _controller = Controller::start(&world, Rollout::Finish(delay))?;
    create_deployment(&world, "terminal-controller").await?;
    let api = world.api();
    finished(&world, "terminal-controller").await?;

    let start = Instant::now();
    let changed = set_share(&api, "terminal-controller", "0").await?;
    ensure!(!is_complete(&changed), "the status is still that of the old generation");
    let seen = eventually(SOON, "the change is seen", async || {
        let now = api.get("terminal-controller").await.ok()?;
        (now.status.as_ref()?.observed_generation == Some(2)).then_some(now)
    })
    .await?;
    ensure!(progressing(&seen) == "ReplicaSetUpdated" && !is_complete(&seen), "{:?}", seen.status);
    finished(&world, "terminal-controller").await?;
    ensure!(start.elapsed() >= delay);
    ensure!(progressing(&api.get("terminal-controller").await?) == "NewReplicaSetAvailable");
    Ok(())
}

async fn controller_leaves_a_rollout_unfinished(world: World) -> anyhow::Result<()> {
    let controller = Controller::start(&world, Rollout::Absent)?;
    create_deployment(&world, "terminal-controller").await?;
    let api = world.api::<Deployment>();
    let get = async || api.get("terminal-controller").await;
    never(Duration::from_millis(500), "a status without a controller", async || {
        get().await.is_ok_and(|d| d.status.is_some_and(|s| s.observed_generation.is_some()))
    })
    .await?;
    controller.set(Rollout::Never);
    eventually(SOON, "the rollout has started", async || {
        get().await.is_ok_and(|d| progressing(&d) == "ReplicaSetUpdated")
    })
    .await?;
    never(Duration::from_millis(500), "a rollout that never ends is complete", async || {
        get().await.is_ok_and(|d| is_complete(&d))
    })
    .await?;
    controller.set(Rollout::Stuck(Duration::ZERO));
    eventually(SOON, "the rollout is stuck", async || {
        get().await.is_ok_and(|d| progressing(&d) == "ProgressDeadlineExceeded")
    })
    .await?;
    controller.set(Rollout::Finish(Duration::ZERO));
    eventually(SOON, "the rollout is complete", async || get().await.is_ok_and(|d| is_complete(&d))).await?;

    let mut paused = deployment(&world.namespace, "paused");
    paused.spec.paused = Some(true);
    world.create(&paused).await?;
    let get = async || api.get("paused").await;
    eventually(SOON, "it is seen", async || get().await.is_ok_and(|d| progressing(&d) == "ReplicaSetUpdated")).await?;
    never(Duration::from_millis(500), "a paused rollout is complete", async || {
        get().await.is_ok_and(|d| is_complete(&d))
    })
    .await
}

async fn mover_follows_the_share(world: World) -> anyhow::Result<()> {
    create_deployment(&world, "terminal-controller").await?;
    let (sender, shares) = mpsc::channel();
    let _mover = Mover::start(&world, "terminal-controller", Duration::ZERO, move |share| {
        let _ = sender.send(share);
    });
    let next = async |wanted| {
        eventually(SOON, "the share is passed on", async || shares.try_recv().is_ok_and(|share| share == wanted)).await
    };
    next(25).await?;
    set_share(&world.api(), "terminal-controller", "0").await?;
    next(0).await
}
