//! Traffic is moved by hand: `ripcord rollback` and `ripcord shift`, with a daemon and without one, and by an alerting system.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::Api;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::stage::{COMPONENT, GUARD, LONG, Stage, until_state};
use crate::stories;
use crate::support::alertmanager::Alertmanager;
use crate::support::controller::Rollout;
use crate::support::fixtures::{self, Config};
use crate::support::mesh::Traffic;
use crate::support::proxy::Fault;
use crate::support::ripcord::{Ended, Ripcord, run_to_end};
use crate::support::{Story, World, eventually, never};

pub fn trials() -> Vec<Story> {
    stories![
        a_rollback_works_without_the_daemon_which_goes_on_from_there,
        sealos_own_options_are_understood,
        one_component_that_is_impossible_holds_up_no_other,
        what_failed_by_hand_is_mended_and_done_by_hand,
        nothing_is_moved_past_a_daemon_that_runs,
        a_daemon_without_a_lease_is_not_ended_by_accident,
        a_dry_run_shows_each_field_and_changes_nothing,
        nothing_is_moved_without_a_confirmation,
        a_terminal_is_asked,
        a_step_up_is_taken_only_while_all_is_well,
        a_rollback_comes_before_a_shift_that_hangs,
        a_daemon_in_its_pod_is_asked_with_the_token_of_its_configuration,
        alertmanager_pulls_the_cord_once,
    ]
}

const TOKEN: &str = "open-sesame";

/// A configuration with the token of the API, as a command reads it: with an address of its own.
fn config(world: &World, stage: &Stage<'_>) -> anyhow::Result<Config> {
    let token = world.write("token", TOKEN)?;
    Ok(stage.config().set("http.token_file", json!(token)).set("readiness.interval", "1s"))
}

/// The file for a command without a daemon.
fn written(world: &World, config: &Config) -> anyhow::Result<PathBuf> {
    world.write("by-hand.yaml", &config.clone().set("http.listen", "127.0.0.1:0").to_string())
}

async fn ripcord(world: &World, kubeconfig: &Path, config: &Path, args: &[&str]) -> anyhow::Result<Ended> {
    let config = config.to_string_lossy().into_owned();
    let mut all: Vec<&str> = args.to_vec();
    all.extend(["--config", &config]);
    run_to_end(world, Some(kubeconfig), &all).await
}

/// The same, asking a daemon.
async fn asking(world: &World, daemon: &Ripcord, args: &[&str]) -> anyhow::Result<Ended> {
    let (url, token) = (daemon.url(), world.dir.join("token").to_string_lossy().into_owned());
    let mut all: Vec<&str> = args.to_vec();
    all.extend(["--url", &url, "--token-file", &token]);
    run_to_end(world, None, &all).await
}

async fn a_rollback_works_without_the_daemon_which_goes_on_from_there(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let config = config(&world, &stage)?;
    let file = written(&world, &config)?;
    let ended = ripcord(
        &world,
        &stage.kubeconfig,
        &file,
        &["rollback", "--component", GUARD, "--reason", "users complain", "--yes", "--output", "json"],
    )
    .await?;
    ensure!(ended.code() == 0, "{ended:?}");
    let report: Value = serde_json::from_str(&ended.stdout).with_context(|| ended.stdout.clone())?;
    let component = &report["components"][0];
    ensure!(report["done"] == true && report["reason"] == "users complain", "{report}");
    ensure!((&component["from_percentage"], &component["to_percentage"]) == (&json!(25), &json!(0)), "{report}");
    ensure!(component["steps"][0]["result"] == "changed" && component["steps"][1]["result"] == "changed", "{report}");
    ensure!(stage.env("ISTIO_PERCENTAGE").await?.as_deref() == Some("0"));
    ensure!(stage.env("EMERGENCY_ROLLBACK").await?.as_deref() == Some("true"));
    // Told like an automatic one, and nothing else is told.
    let told: Vec<String> = stage.hook.accepted().iter().map(|c| c.event().to_owned()).collect();
    ensure!(told == ["rollback.started", "rollback.succeeded"], "{told:?}");
    ensure!(stage.hook.accepted()[0].body["summary"].as_str().is_some_and(|s| s.contains("by hand: users complain")));

    // Journalled like one: the daemon checks whether it helped, and the guard is latched.
    let daemon = stage.watch(&config).await?;
    stage.told("rollback.verified").await?;
    until_state(&daemon, "rolled_back").await?;
    let incidents = daemon.incidents().await?;
    ensure!(incidents[0]["id"] == component["incident"], "{incidents}");
    Ok(())
}

async fn sealos_own_options_are_understood(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let file = written(&world, &config(&world, &stage)?)?;
    let run = async |args: &[&str]| ripcord(&world, &stage.kubeconfig, &file, args).await;
    let partial = ["rollback", "-m", "dual", "-p", "10", "-c", GUARD, "-n", &world.namespace, "-r", "overloaded", "-f"];
    let ended = run(&partial).await?;
    ensure!(ended.code() == 0 && ended.stdout.contains("terminal: rolled back 25 % -> 10 %"), "{ended:?}");
    ensure!(stage.env("ISTIO_PERCENTAGE").await?.as_deref() == Some("10"));
    ensure!(stage.env("NETWORKING_MODE").await?.as_deref() == Some("dual"));

    let full =
        ["rollback", "--mode", "ingress", "--percentage", "0", "--all-components", "--reason", "x", "--no-confirm"];
    let ended = run(&full).await?;
    ensure!(ended.code() == 0 && ended.stdout.contains("terminal: rolled back 10 % -> 0 %"), "{ended:?}");
    ensure!(stage.env("NETWORKING_MODE").await?.as_deref() == Some("ingress"));

    // Up is no rollback, and what contradicts itself is refused with all that is known.
    let up = run(&["rollback", "-m", "dual", "-p", "50", "-c", GUARD, "-r", "x", "-f"]).await?;
    ensure!(up.code() == 1 && up.stdout.contains("would be a step up, not a rollback"), "{up:?}");
    for (args, said) in [
        (
            ["rollback", "-m", "ingress", "-p", "10", "--all-components", "-r", "x", "-f"].as_slice(),
            "--mode ingress is 0 %",
        ),
        (&["rollback", "-c", "terminl", "-r", "x", "-f"], "no such component: terminl (there are: terminal)"),
        (&["rollback", "-c", GUARD, "-n", "elsewhere", "-r", "x", "-f"], "the namespace elsewhere"),
        (&["rollback", "-c", GUARD, "-r", " ", "-f"], "--reason is empty"),
        (&["rollback", "-r", "x", "-f"], "--component"),
    ] {
        let ended = run(args).await?;
        ensure!(ended.code() == 2 && ended.stderr.contains(said), "{said}: {ended:?}");
    }
    ensure!(stage.env("ISTIO_PERCENTAGE").await?.as_deref() == Some("0"));
    Ok(())
}

/// Four components at once, one of them without its container: three are rolled back, the fourth pages and is retried.
async fn one_component_that_is_impossible_holds_up_no_other(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let components = [
        ("db-adminer", "db-adminer-controller"),
        ("resources", "resources-controller"),
        ("webhook", "webhook-admission"),
    ];
    let mut config = config(&world, &stage)?;
    for (guard, deployment) in components {
        fixtures::create_deployment(&world, deployment).await?;
        fixtures::create_config_map(&world, deployment).await?;
        stage.mesh.workload(deployment).set(Traffic::healthy(200.0));
        config = config.guard(guard, deployment);
    }
    let config = config.set(
        "guards.resources.traffic",
        json!([{"deployment_env": {
            "namespace": world.namespace, "name": "resources-controller", "container": "renamed-since",
            "env": {"ISTIO_PERCENTAGE": "${percentage}"},
        }}]),
    );
    let mut daemon = stage.start(&config)?;
    daemon.wait_ready().await?;
    eventually(LONG, "every share is known", async || {
        let status = daemon.status().await.map_err(|e| e.to_string())?;
        let known = |guard: &Value| guard["percentage"].is_number() || guard["guard"] == "resources";
        if status["guards"].as_array().into_iter().flatten().all(known) { Ok(()) } else { Err(status.to_string()) }
    })
    .await?;
    let ended = asking(&world, &daemon, &["rollback", "--all-components", "--reason", "gateway gone", "--yes"]).await?;
    ensure!(ended.code() == 1, "{ended:?}");
    for guard in ["terminal", "db-adminer", "webhook"] {
        ensure!(ended.stdout.contains(&format!("{guard}: rolled back 25 % -> 0 %")), "{ended:?}");
    }
    ensure!(ended.stdout.contains("resources: FAILED: ") && ended.stdout.contains("has no container renamed-since"));
    ensure!(ended.stderr.contains("Ripcord goes on trying"), "{ended:?}");
    for (_, deployment) in components.iter().filter(|(guard, _)| *guard != "resources") {
        let now: Deployment = world.api().get(deployment).await?;
        ensure!(fixtures::env_value(&now, "controller", "ISTIO_PERCENTAGE").as_deref() == Some("0"), "{deployment}");
    }
    // The three did not wait for the fourth: all were done before it had failed for the third time.
    let at = |event: &str, guard: &str| {
        let calls = stage.hook.accepted();
        calls.iter().position(|c| c.event() == event && c.body["guard"] == guard)
    };
    ensure!(at("rollback.failed", "resources").is_some(), "the fourth pages");
    for guard in ["terminal", "db-adminer", "webhook"] {
        ensure!(at("rollback.succeeded", guard).is_some(), "{guard}");
    }
    let retried = |incidents: &Value| {
        let of = incidents.as_array().into_iter().flatten().find(|i| i["guard"] == "resources");
        of.and_then(|i| i["attempt"].as_u64()).unwrap_or(0)
    };
    let before = retried(&daemon.incidents().await?);
    eventually(LONG, "it is tried again", async || {
        daemon.incidents().await.is_ok_and(|incidents| retried(&incidents) > before)
    })
    .await
}

/// Without a daemon: the first try fails and says so, the second goes on with the same incident.
async fn what_failed_by_hand_is_mended_and_done_by_hand(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    // The secret of a receiver is on another machine; its pages wait.
    let config = config(&world, &stage)?
        .set("receivers.elsewhere.webhook", json!({"url_file": "/nowhere/oncall-url", "format": "generic"}));
    let file = written(&world, &config)?;
    stage.api.rule(|r| r.method == "PATCH" && !r.is_dry_run(), Fault::kubernetes(500));
    let args = ["rollback", "--component", GUARD, "--reason", "users complain", "--yes"];
    let ended = ripcord(&world, &stage.kubeconfig, &file, &args).await?;
    ensure!(ended.code() == 1 && ended.stdout.contains("terminal: FAILED: "), "{ended:?}");
    ensure!(ended.stderr.contains("mend what the error says and run this again"), "{ended:?}");
    ensure!(ended.stderr.contains("Pages for elsewhere wait in the state"), "{ended:?}");
    let stopping = stage.told("watchdog.stopping").await?;
    ensure!(stopping.body["severity"] == "critical", "nobody goes on with it: {}", stopping.body);

    stage.api.clear();
    let ended = ripcord(&world, &stage.kubeconfig, &file, &args).await?;
    ensure!(ended.code() == 0, "{ended:?}");
    ensure!(stage.env("ISTIO_PERCENTAGE").await?.as_deref() == Some("0"));
    let started = stage.hook.accepted().iter().filter(|c| c.event() == "rollback.started").count();
    ensure!(started == 1, "one story: {started}");
    Ok(())
}

async fn nothing_is_moved_past_a_daemon_that_runs(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let config = config(&world, &stage)?
        .set("state", json!({"config_map": {"namespace": world.namespace, "name": "ripcord-state"}}))
        .set(
            "leader_election",
            json!({"lease": {"namespace": world.namespace, "name": "ripcord"}, "lease_duration": "3s"}),
        );
    let mut daemon = stage.watch(&config).await?;
    let file = written(&world, &config)?;
    let args = ["rollback", "--component", GUARD, "--reason", "users complain", "--yes"];
    let ended = ripcord(&world, &stage.kubeconfig, &file, &args).await?;
    ensure!(ended.code() == 1 && ended.stderr.contains("a Ripcord runs and leads"), "{ended:?}");
    ensure!(ended.stderr.contains("--url"), "{ended:?}");
    ensure!(stage.patches() == 0 && stage.story().is_empty());
    ensure!(daemon.status().await?["leads"] == true, "it was not disturbed");

    // One that is stopped for good does not hold its Lease.
    daemon.signal(Signal::KILL)?;
    daemon.wait_exit(LONG).await?;
    let ended = ripcord(&world, &stage.kubeconfig, &file, &args).await?;
    ensure!(ended.code() == 0, "{ended:?}");
    ensure!(stage.env("ISTIO_PERCENTAGE").await?.as_deref() == Some("0"));
    Ok(())
}

/// Without a Lease only the age of the state tells.
async fn a_daemon_without_a_lease_is_not_ended_by_accident(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let config = config(&world, &stage)?
        .set("state", json!({"config_map": {"namespace": world.namespace, "name": "ripcord-state"}}));
    let mut daemon = stage.watch(&config).await?;
    let file = written(&world, &config)?;
    let args = ["rollback", "--component", GUARD, "--reason", "users complain", "--yes"];
    let ended = ripcord(&world, &stage.kubeconfig, &file, &args).await?;
    ensure!(ended.code() == 1 && ended.stderr.contains("a Ripcord seems to run"), "{ended:?}");
    ensure!(daemon.exited()?.is_none() && stage.patches() == 0, "it goes on");
    daemon.signal(Signal::KILL)?;
    daemon.wait_exit(LONG).await?;
    let ended = ripcord(&world, &stage.kubeconfig, &file, &[&args[..], &["--take-over"]].concat()).await?;
    ensure!(ended.code() == 0, "{ended:?}");
    Ok(())
}

async fn a_dry_run_shows_each_field_and_changes_nothing(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let file = written(&world, &config(&world, &stage)?)?;
    let before = stage.deployment().await?;
    for (args, fields) in [
        (
            ["rollback", "--all-components", "--reason", "x", "--dry-run"].as_slice(),
            ["ISTIO_PERCENTAGE: 25 -> 0", "NETWORKING_MODE: dual -> ingress", "EMERGENCY_ROLLBACK: (not set) -> true"],
        ),
        (
            &["shift", "--component", GUARD, "--percentage", "100", "--dry-run"],
            ["ISTIO_PERCENTAGE: 25 -> 100", "NETWORKING_MODE: dual -> istio", "istio_percentage: 25 -> 100"],
        ),
    ] {
        let ended = ripcord(&world, &stage.kubeconfig, &file, args).await?;
        ensure!(ended.code() == 0, "{ended:?}");
        for field in fields {
            ensure!(ended.stdout.contains(field), "{field}: {ended:?}");
        }
        ensure!(ended.stdout.contains("Nothing was changed"), "{ended:?}");
    }
    let after = stage.deployment().await?;
    ensure!(after.spec == before.spec && after.metadata.generation == before.metadata.generation);
    ensure!(stage.patches() == 0);
    ensure!(stage.hook.accepted().is_empty(), "a dry run tells nobody");
    Ok(())
}

async fn nothing_is_moved_without_a_confirmation(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let file = written(&world, &config(&world, &stage)?)?;
    for args in [
        ["rollback", "--all-components", "--reason", "x"].as_slice(),
        &["shift", "--all-components", "--percentage", "100", "--force"],
    ] {
        let ended = ripcord(&world, &stage.kubeconfig, &file, args).await?;
        ensure!(ended.code() == 2 && ended.stderr.contains("add --yes"), "{ended:?}");
    }
    ensure!(stage.patches() == 0 && stage.hook.accepted().is_empty());
    Ok(())
}

/// On a real terminal, which `script` makes.
async fn a_terminal_is_asked(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let file = written(&world, &config(&world, &stage)?)?;
    let typed = async |answer: &str| -> anyhow::Result<String> {
        let command = format!("{} rollback -c {GUARD} -r x --config {}", env!("CARGO_BIN_EXE_ripcord"), file.display());
        let script = world.binaries.script.display();
        let shell = format!("printf '{answer}\\n' | {script} --quiet --return --command '{command}' /dev/null");
        let mut child = Command::new("sh");
        child.args(["-c", &shell]).env("KUBECONFIG", &stage.kubeconfig).stdin(std::process::Stdio::null());
        let output = tokio::task::spawn_blocking(move || child.output()).await??;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let said = typed("y").await?;
    ensure!(said.contains("terminal") && said.contains("25 % -> 0 %") && said.contains("Type yes to go on"), "{said}");
    ensure!(said.contains("not confirmed: nothing was changed"), "{said}");
    ensure!(stage.patches() == 0);
    let said = typed("yes").await?;
    ensure!(said.contains("rolled back 25 % -> 0 %"), "{said}");
    ensure!(stage.env("ISTIO_PERCENTAGE").await?.as_deref() == Some("0"));
    Ok(())
}

async fn a_step_up_is_taken_only_while_all_is_well(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let config = config(&world, &stage)?
        .set("defaults.triggers.error_rate.for", "120s")
        .set("defaults.triggers.availability.for", "120s");
    let daemon = stage.watch(&config).await?;
    stage.ready(&daemon).await?;
    let up = async |args: &[&str]| {
        let mut all = vec!["shift", "--component", GUARD, "--yes"];
        all.extend(args);
        asking(&world, &daemon, &all).await
    };
    let ended = up(&["--percentage", "40"]).await?;
    ensure!(ended.code() == 0 && ended.stdout.contains("terminal: shifted 25 % -> 40 %"), "{ended:?}");
    ensure!(stage.env("ISTIO_PERCENTAGE").await?.as_deref() == Some("40"));
    ensure!(stage.env("EMERGENCY_ROLLBACK").await?.is_none(), "it is no rollback");

    stage.workload().set(Traffic::healthy(200.0).errors(0.03));
    eventually(LONG, "the errors are seen", async || {
        daemon.status().await.is_ok_and(|s| s["guards"][0]["triggers"].to_string().contains("\"breach\""))
    })
    .await?;
    let ended = up(&["--percentage", "50"]).await?;
    ensure!(ended.code() == 1 && ended.stdout.contains("not all is well: "), "{ended:?}");
    ensure!(ended.stdout.contains("error rate ") && ended.stdout.contains("(limit 1 %)"), "{ended:?}");
    ensure!(stage.env("ISTIO_PERCENTAGE").await?.as_deref() == Some("40"));
    let ended = up(&["--percentage", "10"]).await?;
    ensure!(ended.code() == 0, "down is always possible: {ended:?}");
    let ended = up(&["--percentage", "12", "--force"]).await?;
    ensure!(ended.code() == 0, "by force: {ended:?}");

    // After a rollback it is latched; the next step up takes the marks of the rollback away.
    stage.workload().set(Traffic::healthy(200.0));
    asking(&world, &daemon, &["rollback", "--component", GUARD, "--reason", "x", "--yes"]).await?;
    ensure!(stage.env("EMERGENCY_ROLLBACK").await?.as_deref() == Some("true"));
    until_state(&daemon, "rolled_back").await?;
    let ended = up(&["--percentage", "5", "--force"]).await?;
    ensure!(ended.code() == 1 && ended.stdout.contains("ripcord rearm terminal"), "{ended:?}");
    let ended = asking(&world, &daemon, &["rearm", GUARD]).await?;
    ensure!(ended.code() == 0, "{ended:?}");
    stage.all_clear(&daemon).await?;
    let ended = up(&["--percentage", "5"]).await?;
    ensure!(ended.code() == 0, "{ended:?}");
    ensure!(stage.env("ISTIO_PERCENTAGE").await?.as_deref() == Some("5"));
    ensure!(stage.env("EMERGENCY_ROLLBACK").await?.is_none(), "{:?}", stage.env("EMERGENCY_ROLLBACK").await?);

    // Without a daemon nobody watches: no step up.
    drop(daemon);
    let file = written(&world, &config)?;
    let alone = ["shift", "--component", GUARD, "--percentage", "50", "--yes"];
    let ended = ripcord(&world, &stage.kubeconfig, &file, &alone).await?;
    ensure!(ended.code() == 1 && ended.stderr.contains("a step up is taken by the daemon"), "{ended:?}");
    ensure!(stage.env("ISTIO_PERCENTAGE").await?.as_deref() == Some("5"));
    Ok(())
}

async fn a_rollback_comes_before_a_shift_that_hangs(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let daemon = stage.watch(&config(&world, &stage)?).await?;
    stage.ready(&daemon).await?;
    stage.controller.set(Rollout::Never);
    let body = json!({"reason": "day 3", "percentage": 40});
    let (status, text) = daemon.post(&format!("/api/v1/guards/{GUARD}/shift"), Some(TOKEN), &body).await?;
    ensure!(status == 200, "{status}: {text}");
    eventually(LONG, "the shift is accepted", async || {
        stage.env("ISTIO_PERCENTAGE").await.is_ok_and(|share| share.as_deref() == Some("40"))
    })
    .await?;
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    stage.told("rollback.started").await?;
    stage.controller.set(Rollout::Finish(Duration::from_millis(100)));
    stage.told("rollback.succeeded").await?;
    ensure!(stage.env("ISTIO_PERCENTAGE").await?.as_deref() == Some("0"));
    let incidents = daemon.incidents().await?;
    let shift = incidents.as_array().into_iter().flatten().find(|i| i["kind"] == "shift").context("the shift")?;
    ensure!(shift["error"].as_str().is_some_and(|e| e.contains("a rollback comes first")), "{shift}");
    Ok(())
}

async fn a_daemon_in_its_pod_is_asked_with_the_token_of_its_configuration(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let daemon = stage.watch(&config(&world, &stage)?).await?;
    let (url, config) = (daemon.url(), daemon.config_file().to_string_lossy().into_owned());
    let args = ["rollback", "-c", GUARD, "-r", "x", "-y", "--url", &url, "--config", &config];
    let ended = run_to_end(&world, None, &args).await?;
    ensure!(ended.code() == 0 && ended.stdout.contains("rolled back 25 % -> 0 %"), "{ended:?}");
    ensure!(ended.stdout.contains("Ripcord checks now whether it helped"), "{ended:?}");
    ensure!(!format!("{ended:?}").contains(TOKEN), "the token is told");
    Ok(())
}

/// A real Alertmanager whose webhook points at the guard.
async fn alertmanager_pulls_the_cord_once(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let daemon = stage.watch(&config(&world, &stage)?).await?;
    let alertmanager = Alertmanager::start(
        &world,
        &json!({
            "route": {"receiver": "ripcord", "group_wait": "0s", "group_interval": "1s", "repeat_interval": "2s"},
            "receivers": [{"name": "ripcord", "webhook_configs": [{
                "url": format!("{}/api/v1/guards/{GUARD}/rollback", daemon.url()),
                "http_config": {"authorization": {"credentials_file": world.dir.join("token")}},
            }]}],
        }),
    )
    .await?;
    let alert = json!([{"labels": {"alertname": "Complaints"}, "annotations": {"summary": "12 users cannot log in"}}]);
    alertmanager.post(&alert).await?;
    let told = stage.told("rollback.started").await?;
    ensure!(
        told.body["summary"].as_str().is_some_and(|s| s.contains("Alertmanager: Complaints: 12 users cannot log in"))
    );
    stage.told("rollback.verified").await?;
    // It says so again and again; the guard is latched.
    let ignored = || {
        let is = |line: &&Value| line["message"] == "Ignored" && line["reason"].to_string().contains("latched until");
        daemon.log().iter().filter(is).count()
    };
    eventually(LONG, "it asks again", async || ignored() > 1).await?;
    never(Duration::from_secs(2), "another rollback", async || {
        stage.hook.accepted().iter().filter(|c| c.event() == "rollback.started").count() > 1
    })
    .await?;
    let (status, _) = daemon.post(&format!("/api/v1/guards/{GUARD}/rollback"), Some("wrong"), &json!({})).await?;
    ensure!(status == 401);
    let deployment: Api<Deployment> = world.api();
    ensure!(
        fixtures::env_value(&deployment.get(COMPONENT).await?, "controller", "ISTIO_PERCENTAGE").as_deref()
            == Some("0")
    );
    Ok(())
}
