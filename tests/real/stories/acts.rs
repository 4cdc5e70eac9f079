//! It acts when it should.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use serde_json::json;

use super::stage::{COMPONENT, GUARD, LONG, Stage, each_once, state, until_held, until_state};
use crate::stories;
use crate::support::controller::Rollout;
use crate::support::fixtures::{self, env_value, without_env};
use crate::support::mailbox::{Mailbox, Security};
use crate::support::mesh::Traffic;
use crate::support::{Story, World, eventually, never};

pub fn trials() -> Vec<Story> {
    stories![
        errors_that_hold_roll_back,
        doubled_latency_rolls_back,
        what_only_the_caller_sees_rolls_back,
        grpc_errors_roll_back,
        a_rollback_that_does_not_help_is_paged,
        a_ladder_takes_its_next_rung,
        guards_roll_back_side_by_side,
        an_undone_rollback_is_paged_and_not_fought,
        latched_until_rearmed,
        a_latched_guard_pages_what_it_would_have_done,
        a_page_trigger_pages_and_resolves,
        a_stricter_stage_holds_for_few_users,
    ]
}

/// Everything that a rollback changes, everything that it leaves alone, and everybody who is told.
async fn errors_that_hold_roll_back(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let mailbox = Mailbox::start(&world, Security::StartTls, true).await?;
    let to = ["sre-team@sealos.test", "dev-team@sealos.test"];
    let config = stage.config().email(&world, "sre", &mailbox, Security::StartTls, true, &to)?;
    let ripcord = stage.watch(&config).await?;
    let before = stage.deployment().await?;
    ensure!(stage.patches() == 0);

    stage.workload().set(Traffic::healthy(200.0).errors(0.05));
    let started = stage.told("rollback.started").await?;
    let held = started.body["trigger"]["held_seconds"].as_f64().context("held_seconds")?;
    ensure!((5.0..=7.0).contains(&held), "it fired at {held} s and not at for (5 s) or within two intervals of it");
    ensure!(started.body["severity"] == "critical" && started.body["guard"] == GUARD);
    ensure!(started.body["rollback"]["from_percentage"] == 25 && started.body["rollback"]["to_percentage"] == 0);
    let value = started.body["trigger"]["value"].as_f64().context("value")?;
    ensure!(value > 0.01 && value < 0.06, "the value that it fired at: {value}");

    let succeeded = stage.told("rollback.succeeded").await?;
    let results: BTreeMap<_, _> = succeeded.body["rollback"]["steps"]
        .as_array()
        .context("steps")?
        .iter()
        .map(|s| (s["step"].as_str().unwrap_or("").to_owned(), s["result"].as_str().unwrap_or("").to_owned()))
        .collect();
    let ns = &world.namespace;
    ensure!(results[&format!("deployment_env {ns}/{COMPONENT}")] == "changed", "{results:?}");
    ensure!(results[&format!("config_map {ns}/{COMPONENT}-config")] == "changed", "{results:?}");

    let after = stage.deployment().await?;
    let env = |name| env_value(&after, "controller", name);
    ensure!(env("ISTIO_PERCENTAGE").as_deref() == Some("0"));
    ensure!(env("NETWORKING_MODE").as_deref() == Some("ingress"));
    ensure!(env("EMERGENCY_ROLLBACK").as_deref() == Some("true"));
    ensure!(env("ROLLBACK_TIMESTAMP").is_some_and(|t| t.parse::<jiff::Timestamp>().is_ok()));
    let touched = ["ISTIO_PERCENTAGE", "NETWORKING_MODE", "EMERGENCY_ROLLBACK", "ROLLBACK_TIMESTAMP"];
    ensure!(
        without_env(&before, "controller", &touched) == without_env(&after, "controller", &touched),
        "more than the four variables changed"
    );
    let map: ConfigMap = world.api().get(&format!("{COMPONENT}-config")).await?;
    let data = map.data.context("data")?;
    ensure!(data["istio_percentage"] == "0" && data["networking_mode"] == "ingress");
    ensure!(data["log_level"] == "info" && data["enable_istio_monitoring"] == "true", "other keys changed: {data:?}");

    stage.told("rollback.verified").await?;
    until_state(&ripcord, "rolled_back").await?;
    // Two mails of each event of the incident, one a recipient, and no call of the hook twice.
    let mails = mailbox
        .wait_for(
            |m| (m.iter().filter(|m| m.header("subject").contains("terminal: ")).count() >= 6).then(|| m.to_vec()),
            LONG,
        )
        .await?;
    ensure!(mails.iter().all(|m| m.tls && m.user.is_some()), "a mail came without TLS or login");
    ensure!(mails.iter().all(|m| m.to.len() == 1), "a mail went to several recipients at once");
    never(Duration::from_secs(3), "another patch or page", async || {
        stage.patches() != 2 || stage.story() != ["rollback.started", "rollback.succeeded", "rollback.verified"]
    })
    .await?;
    let about = |to: &str| {
        mailbox.messages().iter().filter(|m| m.to == [to] && m.header("subject").contains("terminal: ")).count()
    };
    ensure!(about(to[0]) == 3 && about(to[1]) == 3, "mails: {} and {}", about(to[0]), about(to[1]));
    each_once(&stage.hook.accepted())?;

    // The same story in the metrics, the API and `kubectl describe`.
    let count = async |result| ripcord.metric("ripcord_rollbacks_total", &[("guard", GUARD), ("result", result)]).await;
    ensure!(count("started").await? == Some(1.0) && count("succeeded").await? == Some(1.0));
    ensure!(count("verified").await? == Some(1.0) && count("failed").await? == Some(0.0));
    ensure!(ripcord.metric("ripcord_traffic_percentage", &[("guard", GUARD)]).await? == Some(0.0));
    let incidents = ripcord.incidents().await?;
    ensure!(incidents.as_array().is_some_and(|i| i.len() == 1) && incidents[0]["verification"] == "recovered");
    let uid = after.metadata.uid.clone();
    let events = world.api::<Event>();
    for reason in ["RipcordRollbackStarted", "RipcordRollbackSucceeded", "RipcordRollbackVerified"] {
        eventually(LONG, &format!("the Event {reason}"), async || {
            let list = events.list(&ListParams::default()).await.map_err(|e| e.to_string())?;
            let found = list.iter().any(|e| {
                e.reason.as_deref() == Some(reason)
                    && e.regarding.as_ref().is_some_and(|r| r.uid == uid && r.name.as_deref() == Some(COMPONENT))
            });
            found.then_some(()).ok_or_else(|| format!("{:?}", list.iter().map(|e| &e.reason).collect::<Vec<_>>()))
        })
        .await?;
    }
    Ok(())
}

async fn doubled_latency_rolls_back(world: World) -> anyhow::Result<()> {
    let stage = Stage::set_with(&world, Traffic::healthy(200.0).latency(120.0)).await?;
    let _mover = stage.recovers_at_zero();
    let ripcord = stage.watch(&stage.config()).await?;
    stage.workload().set(Traffic::healthy(200.0).latency(240.0));
    let started = stage.told("rollback.started").await?;
    ensure!(started.body["trigger"]["name"] == "latency", "{}", started.body);
    ensure!(started.body["trigger"]["baseline"] == json!(0.12), "{}", started.body);
    ensure!(started.body["trigger"]["value"].as_f64().is_some_and(|v| v > 0.5));
    stage.told("rollback.verified").await?;
    ensure!(stage.env("ISTIO_PERCENTAGE").await?.as_deref() == Some("0"));
    ensure!(state(&ripcord).await? == "rolled_back");
    Ok(())
}

/// Requests that reach no pod are seen by the gateway alone, under `destination_workload="unknown"`.
async fn what_only_the_caller_sees_rolls_back(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let _ripcord = stage.watch(&stage.config()).await?;
    stage.workload().set(Traffic::healthy(200.0).no_response(0.04));
    let started = stage.told("rollback.started").await?;
    ensure!(started.body["trigger"]["name"] == "availability", "{}", started.body);
    stage.told("rollback.verified").await?;
    Ok(())
}

/// A gRPC error arrives as HTTP 200.
async fn grpc_errors_roll_back(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let _ripcord = stage.watch(&stage.config()).await?;
    stage.workload().set(Traffic { grpc: true, ..Traffic::healthy(200.0).grpc_errors(0.08) });
    stage.told("rollback.started").await?;
    stage.told("rollback.verified").await?;
    Ok(())
}

async fn a_rollback_that_does_not_help_is_paged(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let ripcord = stage.watch(&stage.config().set("defaults.rollback.verify.within", "12s")).await?;
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    stage.told("rollback.succeeded").await?;
    let page = stage.told("rollback.not_recovered").await?;
    ensure!(page.body["severity"] == "critical");
    ensure!(page.body["summary"].as_str().is_some_and(|s| s.contains("did not help")), "{}", page.body);
    until_state(&ripcord, "not_recovered").await?;
    let patches = stage.patches();
    never(Duration::from_secs(8), "it is rolled back twice", async || stage.patches() != patches).await?;
    ensure!(
        stage.story() == ["rollback.started", "rollback.succeeded", "rollback.not_recovered"],
        "{:?}",
        stage.story()
    );
    Ok(())
}

async fn a_ladder_takes_its_next_rung(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let config = stage
        .config()
        .unset("defaults.rollback.percentage")
        .set("defaults.rollback.percentages", json!([10, 0]))
        .set("defaults.rollback.verify.within", "12s");
    let _ripcord = stage.watch(&config).await?;
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    let first = stage.told("rollback.succeeded").await?;
    ensure!(first.body["rollback"]["to_percentage"] == 10);
    ensure!(stage.env("ISTIO_PERCENTAGE").await?.as_deref() == Some("10"));
    ensure!(stage.env("NETWORKING_MODE").await?.as_deref() == Some("dual"));
    stage.told("rollback.not_recovered").await?;
    stage.told("rollback.verified").await?;
    ensure!(stage.env("ISTIO_PERCENTAGE").await?.as_deref() == Some("0"));
    ensure!(stage.env("NETWORKING_MODE").await?.as_deref() == Some("ingress"));
    Ok(())
}

/// Four guards trip together; one of them is impossible. The others are done at once, it pages and is retried until somebody mends it.
async fn guards_roll_back_side_by_side(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let names = [
        ("db-adminer", "db-adminer-controller"),
        ("resources", "resources-controller"),
        ("webhook", "webhook-admission"),
    ];
    let mut config = stage.config();
    for (guard, component) in names {
        fixtures::create_deployment(&world, component).await?;
        fixtures::create_config_map(&world, component).await?;
        stage.mesh.workload(component).set(Traffic::healthy(100.0));
        config = config.guard(guard, component);
    }
    config = config.set(
        "guards.webhook.traffic",
        json!([{"deployment_env": {
            "namespace": world.namespace, "name": "webhook-admission", "container": "no-such-container",
            "env": {"ISTIO_PERCENTAGE": "${percentage}"},
        }}]),
    );
    let mut ripcord = stage.start(&config)?;
    ripcord.wait_ready().await?;
    for (_, component) in names {
        stage.mesh.workload(component).set(Traffic::healthy(100.0).errors(0.3));
    }
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    let share = async |component: &str| -> anyhow::Result<Option<String>> {
        Ok(env_value(&world.api().get(component).await?, "controller", "ISTIO_PERCENTAGE"))
    };
    for component in [COMPONENT, "db-adminer-controller", "resources-controller"] {
        eventually(LONG, &format!("{component} is back"), async || match share(component).await {
            Ok(Some(share)) if share == "0" => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await?;
    }
    let failed =
        stage.hook.wait_for(|calls| calls.iter().find(|c| c.event() == "rollback.failed").cloned(), LONG).await?;
    ensure!(failed.body["guard"] == "webhook", "{}", failed.body);
    let error = failed.body["rollback"]["error"].as_str().unwrap_or_default();
    ensure!(error.contains("no-such-container") && error.contains("controller"), "{error}");
    ensure!(share("webhook-admission").await?.as_deref() == Some("25"));
    // The pod was not given a container that nobody knows.
    let webhook = serde_json::to_value(world.api::<Deployment>().get("webhook-admission").await?)?;
    ensure!(webhook["spec"]["template"]["spec"]["containers"].as_array().is_some_and(|c| c.len() == 2));
    let failures = async || -> anyhow::Result<u64> {
        let incidents = ripcord.incidents().await?;
        let of = incidents.as_array().into_iter().flatten().find(|i| i["guard"] == "webhook");
        Ok(of.and_then(|i| i["attempt"].as_u64()).unwrap_or(0))
    };
    eventually(LONG, "the impossible one is tried again and again", async || failures().await.is_ok_and(|n| n >= 3))
        .await?;
    let pages = stage.hook.accepted().iter().filter(|c| c.event() == "rollback.failed").count();
    ensure!(pages == 1, "the failure was paged {pages} times");
    Ok(())
}

async fn an_undone_rollback_is_paged_and_not_fought(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let _ripcord = stage.watch(&stage.config()).await?;
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    stage.told("rollback.succeeded").await?;
    set_share(&world, "25").await?;
    let page = stage.told("rollback.reverted").await?;
    ensure!(page.body["severity"] == "critical");
    let patches = stage.patches();
    never(Duration::from_secs(5), "it fights", async || stage.patches() != patches).await?;
    ensure!(stage.env("ISTIO_PERCENTAGE").await?.as_deref() == Some("25"));
    let pages = stage.hook.accepted().iter().filter(|c| c.event() == "rollback.reverted").count();
    ensure!(pages == 1, "paged {pages} times");
    Ok(())
}

/// Sets the share as somebody else would: in the Deployment and in the ConfigMap.
pub async fn set_share(world: &World, share: &str) -> anyhow::Result<()> {
    fixtures::set_share(&world.api(), COMPONENT, share).await?;
    let data = json!({"istio_percentage": share});
    fixtures::set_data(&world.api(), &format!("{COMPONENT}-config"), "somebody", &data).await?;
    Ok(())
}

/// After a rollback nothing fires again, however bad it gets, until a person says so; then the hold starts from nothing.
async fn latched_until_rearmed(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let mover = stage.recovers_at_zero();
    let token = world.write("token", "open-sesame\n")?;
    let ripcord = stage.watch(&stage.config().set("http.token_file", json!(token))).await?;
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    stage.told("rollback.verified").await?;
    drop(mover);

    set_share(&world, "25").await?;
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    until_held(&ripcord, "error_rate", 7.0).await?;
    ensure!(stage.env("ISTIO_PERCENTAGE").await?.as_deref() == Some("25"), "rolled back twice");
    ensure!(state(&ripcord).await? == "rolled_back");

    let (status, body) =
        ripcord.post(&format!("/api/v1/guards/{GUARD}/rearm"), Some("open-sesame"), &json!({})).await?;
    ensure!(status == 200, "{status}: {body}");
    let started = stage
        .hook
        .wait_for(|calls| calls.iter().filter(|c| c.event() == "rollback.started").nth(1).cloned(), LONG)
        .await?;
    let held = started.body["trigger"]["held_seconds"].as_f64().unwrap_or(0.0);
    ensure!((5.0..=7.0).contains(&held), "after re-arming the hold starts from nothing; it fired at {held} s");
    Ok(())
}

async fn a_page_trigger_pages_and_resolves(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let gauge = |mebibytes: f64| {
        let labels = [("container", "istio-proxy"), ("pod", "terminal-controller-5d9c-x2x")];
        stage.mesh.gauge("container_memory_working_set_bytes", &labels, mebibytes * 1024.0 * 1024.0);
    };
    gauge(90.0);
    let config = stage.config().set(
        "defaults.triggers.proxy_memory",
        json!({
            "promql": "max(container_memory_working_set_bytes{container=\"istio-proxy\",pod=~\"${deployment}-.*\"})",
            "above": "128Mi", "for": "3s", "action": "page", "severity": "warning",
        }),
    );
    let ripcord = stage.watch(&config).await?;
    gauge(200.0);
    let page = stage.told("page.firing").await?;
    ensure!(page.body["severity"] == "warning" && page.body["trigger"]["name"] == "proxy_memory", "{}", page.body);
    ensure!(
        page.body["summary"].as_str().is_some_and(|s| s.contains("200 Mi") && s.contains("128 Mi")),
        "{}",
        page.body
    );
    gauge(90.0);
    let resolved = stage.told("page.resolved").await?;
    ensure!(resolved.body["incident"] == page.body["incident"]);
    ensure!(stage.patches() == 0 && state(&ripcord).await? == "watching");
    Ok(())
}

/// 0.8 % errors: too little for the plain threshold, too much while 5 % of the users are exposed.
async fn a_stricter_stage_holds_for_few_users(world: World) -> anyhow::Result<()> {
    let stage = Stage::set_with(&world, Traffic::healthy(1000.0)).await?;
    stage.controller.set(Rollout::Finish(Duration::from_millis(200)));
    let _mover = stage.recovers_at_zero();
    let config = stage.config().set(
        "defaults.stages",
        json!([{"up_to": "5%", "triggers": {"error_rate": {"above": "0.5%", "clear_below": "0.3%"}}}]),
    );
    let ripcord = stage.watch(&config).await?;
    stage.workload().set(Traffic::healthy(1000.0).errors(0.008));
    never(Duration::from_secs(10), "0.8 % rolls back at 25 %", async || !stage.story().is_empty()).await?;
    set_share(&world, "5").await?;
    let started = stage.told("rollback.started").await?;
    ensure!(started.body["trigger"]["threshold"] == json!(0.005), "{}", started.body);
    ensure!(started.body["rollback"]["from_percentage"] == 5, "{}", started.body);
    until_state(&ripcord, "rolled_back").await
}

/// Well again after the rollback, and later bad once more: nothing is changed, and somebody is told.
async fn a_latched_guard_pages_what_it_would_have_done(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let ripcord = stage.watch(&stage.config()).await?;
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    stage.told("rollback.verified").await?;
    stage.all_clear(&ripcord).await?;
    let patches = stage.patches();
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    let page = stage.told("page.firing").await?;
    ensure!(page.body["severity"] == "critical", "{}", page.body);
    ensure!(page.body["summary"].as_str().is_some_and(|s| s.contains("latched")), "{}", page.body);
    ensure!(stage.patches() == patches && state(&ripcord).await? == "rolled_back");
    stage.workload().set(Traffic::healthy(200.0));
    stage.told("page.resolved").await?;
    Ok(())
}
