//! Signals, reload, the API, dry run, secrets.

use std::time::Duration;

use anyhow::ensure;
use rustix::process::Signal;
use serde_json::json;

use super::stage::{GUARD, LONG, Stage, state, trigger, until_held, until_state};
use crate::stories;
use crate::support::controller::Rollout;
use crate::support::hook::{Behaviour, Hook};
use crate::support::mesh::Traffic;
use crate::support::proxy::{Fault, PromProxy};
use crate::support::ripcord::{Ripcord, run_to_end};
use crate::support::{Story, World, eventually, never};

pub fn trials() -> Vec<Story> {
    stories![
        a_bad_reload_is_refused_and_a_good_one_keeps_the_clocks,
        a_stop_in_the_middle_finishes_what_is_in_flight,
        a_stop_in_a_rollout_that_never_ends_says_so,
        a_second_signal_exits_at_once,
        a_stop_with_nothing_going_on_is_quick,
        the_status_is_logged_on_request,
        people_can_ask_with_the_token_only,
        a_failing_rollback_stops_when_acknowledged,
        a_dry_run_decides_and_changes_nothing,
        secrets_appear_nowhere,
        health_and_readiness,
        the_heartbeat_stops_when_nothing_is_seen,
        bad_configurations_end_with_two,
    ]
}

async fn a_bad_reload_is_refused_and_a_good_one_keeps_the_clocks(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let long =
        stage.config().set("defaults.triggers.error_rate.for", "40s").set("defaults.triggers.availability.for", "40s");
    let mut ripcord = stage.watch(&long).await?;
    ensure!(ripcord.metric("ripcord_config_reload_success", &[]).await? == Some(1.0));
    stage.workload().set(Traffic::healthy(200.0).errors(0.05));
    let held = until_held(&ripcord, "error_rate", 2.0).await?;

    ripcord.write_config(
        &long.clone().set("defaults.triggers.error_rate.fro", "1s").set("guards.terminal.nonsense", 1).to_string(),
    )?;
    ripcord.signal(Signal::HUP)?;
    eventually(LONG, "the reload is refused", async || {
        ripcord.metric("ripcord_config_reload_success", &[]).await.is_ok_and(|v| v == Some(0.0))
    })
    .await?;
    let said = ripcord.stderr().join("\n");
    ensure!(said.contains("fro") && said.contains("nonsense"), "both problems are said: {said}");
    let still = until_held(&ripcord, "error_rate", held + 1.0).await?;

    // One trigger changes; the clock of the other goes on.
    ripcord.write_config(&long.clone().set("defaults.triggers.latency.for", "50s").to_string())?;
    ripcord.signal(Signal::HUP)?;
    eventually(LONG, "the reload is accepted", async || {
        ripcord.metric("ripcord_config_reload_success", &[]).await.is_ok_and(|v| v == Some(1.0))
            && trigger(&ripcord, "latency").await.is_ok_and(|t| t["for_seconds"] == 50.0)
    })
    .await?;
    let after = trigger(&ripcord, "error_rate").await?["held_seconds"].as_f64().unwrap_or(0.0);
    ensure!(after >= still, "the clock went from {still} to {after} s over a reload that did not touch it");
    ensure!(stage.patches() == 0);
    Ok(())
}

async fn a_stop_in_the_middle_finishes_what_is_in_flight(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    stage.controller.set(Rollout::Finish(Duration::from_secs(4)));
    let mut ripcord = stage.watch(&stage.config()).await?;
    // The answer to the first patch is late, so that the signal comes between it and the second.
    stage.api.rule_times(
        1,
        |r| r.is("PATCH", "/deployments/") && !r.is_dry_run(),
        Fault::Delay(Duration::from_secs(2)),
    );
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    eventually(LONG, "the first patch is on its way", async || stage.patches() == 1).await?;
    ripcord.signal(Signal::TERM)?;
    let status = ripcord.wait_exit(LONG).await?;
    ensure!(status.code() == Some(0), "{status}");
    ensure!(stage.env("ISTIO_PERCENTAGE").await?.as_deref() == Some("0"));
    ensure!(stage.accepted_patches() == 2, "both steps are done: {}", stage.accepted_patches());
    let told: Vec<String> = stage.hook.accepted().iter().map(|c| c.event().to_owned()).collect();
    ensure!(
        told == ["watchdog.started", "rollback.started", "rollback.succeeded", "watchdog.stopping"],
        "everything was told before the end: {told:?}"
    );
    Ok(())
}

async fn a_stop_in_a_rollout_that_never_ends_says_so(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    stage.controller.set(Rollout::Never);
    let mut ripcord = stage.watch(&stage.config().set("defaults.rollback.rollout_timeout", "120s")).await?;
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    eventually(LONG, "both patches are accepted", async || stage.accepted_patches() == 2).await?;
    ripcord.signal(Signal::TERM)?;
    let status = ripcord.wait_exit(LONG).await?;
    ensure!(status.code() == Some(0), "{status}");
    let last = stage.hook.accepted().last().cloned();
    let last = last.ok_or_else(|| anyhow::anyhow!("nothing was told"))?;
    ensure!(last.event() == "watchdog.stopping" && last.body["severity"] == "critical", "{}", last.body);
    ensure!(last.body.to_string().contains(GUARD), "{}", last.body);
    Ok(())
}

async fn a_second_signal_exits_at_once(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    stage.controller.set(Rollout::Never);
    let mut ripcord = stage.watch(&stage.config().set("defaults.rollback.rollout_timeout", "120s")).await?;
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    eventually(LONG, "both patches are accepted", async || stage.accepted_patches() == 2).await?;
    ripcord.signal(Signal::TERM)?;
    // A signal that comes at once is the first one again, as terminals and `timeout` send it.
    ripcord.signal(Signal::TERM)?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    ensure!(ripcord.exited()?.is_none(), "it should still wait for the rollout");
    ripcord.signal(Signal::INT)?;
    let status = ripcord.wait_exit(Duration::from_secs(10)).await?;
    ensure!(status.code() == Some(143), "{status}");
    Ok(())
}

async fn a_stop_with_nothing_going_on_is_quick(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let mut ripcord = stage.watch(&stage.config()).await?;
    ripcord.signal(Signal::INT)?;
    let status = ripcord.wait_exit(Duration::from_secs(10)).await?;
    ensure!(status.code() == Some(0), "{status}");
    stage.told("watchdog.stopping").await?;
    Ok(())
}

async fn the_status_is_logged_on_request(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let mut ripcord = stage.watch(&stage.config()).await?;
    ripcord.signal(Signal::USR1)?;
    let line = ripcord.wait_log("the status", |l| l["message"] == "Status of the guard", LONG).await?;
    ensure!(line["guard"] == GUARD && line["state"] == "watching" && line["percentage"] == 25, "{line}");
    Ok(())
}

async fn people_can_ask_with_the_token_only(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let token = world.write("token", "open-sesame\n")?;
    let ripcord = stage.watch(&stage.config().set("http.token_file", json!(token))).await?;
    let path = |command: &str| format!("/api/v1/guards/{GUARD}/{command}");
    let why = json!({"reason": "users complain"});
    for wrong in [None, Some("open"), Some("")] {
        let (status, _) = ripcord.post(&path("rollback"), wrong, &why).await?;
        ensure!(status == 401, "{wrong:?}: {status}");
    }
    let right = Some("open-sesame");
    let asked = async |command: &str, body: &serde_json::Value| ripcord.post(&path(command), right, body).await;
    ensure!(asked("rollback", &json!({})).await?.0 == 400, "a rollback needs a reason");
    ensure!(asked("rollback", &json!({"reason": "x", "percentage": 101})).await?.0 == 400);
    ensure!(asked("rollback", &json!({"reason": "x", "percentage": 60})).await?.0 == 409, "up is no rollback");
    ensure!(asked("explode", &json!({})).await?.0 == 404);
    ensure!(asked("pause", &json!({"for": "soon"})).await?.0 == 400);
    ensure!(asked("rearm", &json!({})).await?.0 == 409, "nothing is latched");
    ensure!(ripcord.post("/api/v1/guards/nobody/rearm", right, &json!({})).await?.0 == 404);
    ensure!(stage.patches() == 0);

    ensure!(asked("pause", &json!({"for": "30m"})).await?.0 == 200);
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    until_held(&ripcord, "error_rate", 7.0).await?;
    ensure!(stage.patches() == 0 && state(&ripcord).await? == "paused");
    ensure!(asked("resume", &json!({})).await?.0 == 200);
    stage.told("rollback.verified").await?;

    // By hand, and by the program's own commands.
    let arguments = |command: &'static str| {
        vec![
            command.to_owned(),
            GUARD.to_owned(),
            "--url".to_owned(),
            ripcord.url(),
            "--token-file".to_owned(),
            token.display().to_string(),
        ]
    };
    let rearm = arguments("rearm");
    let ended = run_to_end(&world, None, &rearm.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    ensure!(ended.code() == 0 && ended.stdout.contains("watching again"), "{ended:?}");
    let again = run_to_end(&world, None, &rearm.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    ensure!(again.code() == 1 && again.stderr.contains("watching already"), "{again:?}");
    let shown = run_to_end(&world, None, &["status", "--url", &ripcord.url()]).await?;
    ensure!(shown.code() == 0 && shown.stdout.contains("terminal: watching, share 0 %"), "{shown:?}");
    Ok(())
}

async fn a_failing_rollback_stops_when_acknowledged(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let token = world.write("token", "open-sesame")?;
    let ripcord = stage.watch(&stage.config().set("http.token_file", json!(token))).await?;
    stage.api.rule(|r| r.method == "PATCH" && !r.is_dry_run(), Fault::kubernetes(500));
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    stage.told("rollback.failed").await?;
    let (status, body) = ripcord.post(&format!("/api/v1/guards/{GUARD}/ack"), Some("open-sesame"), &json!({})).await?;
    ensure!(status == 200, "{status}: {body}");
    until_state(&ripcord, "not_recovered").await?;
    stage.api.clear();
    let patches = stage.patches();
    never(Duration::from_secs(6), "it tries again", async || stage.patches() > patches).await?;
    ensure!(stage.env("ISTIO_PERCENTAGE").await?.as_deref() == Some("25"));
    Ok(())
}

async fn a_dry_run_decides_and_changes_nothing(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let before = stage.deployment().await?;
    let mut ripcord =
        Ripcord::builder(&world, &stage.config().to_string()).kubeconfig(&stage.kubeconfig).arg("--dry-run").start()?;
    ripcord.wait_ready().await?;
    stage.all_clear(&ripcord).await?;
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    let told = stage.told("rollback.succeeded").await?;
    ensure!(
        told.body["dry_run"] == true && told.body["summary"].as_str().is_some_and(|s| s.starts_with("[dry run]")),
        "{}",
        told.body
    );
    ensure!(told.body["rollback"]["steps"][0]["result"] == "would_change", "{}", told.body);
    ensure!(stage.patches() == 0, "a patch that was no dry run");
    // Those of the rollback, and those that proved it at the start.
    ensure!(stage.api.count(|r| r.method == "PATCH" && r.is_dry_run()) >= 4);
    let after = stage.deployment().await?;
    ensure!(before.spec == after.spec && before.metadata.generation == after.metadata.generation);
    Ok(())
}

/// No secret is in a log line, a metric, the status, or an error of a receiver that refuses.
async fn secrets_appear_nowhere(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let url = world.write("oncall-url", &format!("{}?key=hunter-two", stage.hook.url("/s3cr3t-path")))?;
    let secret = world.write("oncall-key", "hmac-hush")?;
    let token = world.write("token", "api-hush")?;
    let bearer = world.write("bearer", "prom-hush")?;
    let config = stage
        .config()
        .unset("receivers.oncall")
        .set(
            "receivers.oncall.webhook",
            json!({"url_file": url, "secret_file": secret, "format": "generic", "timeout": "2s"}),
        )
        .set("http.token_file", json!(token))
        .set("prometheus.bearer_token_file", json!(bearer));
    let ripcord = stage.watch(&config).await?;
    stage.hook.set_next(&[Behaviour::Status(500, None), Behaviour::Close, Behaviour::Status(403, None)]);
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    stage.told("rollback.verified").await?;
    let signed = stage.hook.accepted().into_iter().all(|c| c.header("x-ripcord-signature").starts_with("sha256="));
    ensure!(signed, "a call without a signature");
    let everything = [
        ripcord.stderr().join("\n"),
        ripcord.stdout().join("\n"),
        ripcord.metrics().await?,
        ripcord.status().await?.to_string(),
        ripcord.incidents().await?.to_string(),
    ];
    ensure!(everything[0].contains("Not delivered yet"), "the refusals were logged");
    for text in &everything {
        for hush in ["hunter-two", "s3cr3t-path", "hmac-hush", "api-hush", "prom-hush"] {
            ensure!(!text.contains(hush), "{hush} is in:\n{text}");
        }
    }
    Ok(())
}

async fn health_and_readiness(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    // No tick for a minute: not ready, and well all the same.
    let waiting = stage.start(
        &stage
            .config()
            .set("state.file", json!(world.dir.join("another-state.json")))
            .set("evaluation.interval", "20s")
            .set("evaluation.blind_after", "60s")
            .set("defaults.triggers.error_rate.for", "60s")
            .set("defaults.triggers.latency.for", "60s")
            .set("defaults.triggers.availability.for", "60s")
            .set("defaults.triggers.error_rate.window", "60s")
            .set("defaults.triggers.latency.window", "60s")
            .set("defaults.triggers.availability.window", "60s")
            .set("defaults.triggers.error_rate.confirm_window", "20s")
            .set("defaults.triggers.latency.confirm_window", "20s")
            .set("defaults.triggers.availability.confirm_window", "20s"),
    )?;
    eventually(LONG, "the server answers", async || {
        waiting.get("/healthz").await.is_ok_and(|(status, _)| status == 200)
    })
    .await?;
    let ripcord = stage.watch(&stage.config()).await?;
    for path in ["/healthz", "/readyz", "/metrics", "/api/v1/status", "/api/v1/incidents"] {
        let (status, _) = ripcord.get(path).await?;
        ensure!(status == 200, "{path}: {status}");
    }
    ensure!(ripcord.get("/nowhere").await?.0 == 404);
    let metrics = ripcord.metrics().await?;
    for name in [
        "ripcord_build_info",
        "ripcord_evaluations_total",
        "ripcord_evaluation_duration_seconds",
        "ripcord_last_evaluation_timestamp_seconds",
        "ripcord_queries_total",
        "ripcord_query_duration_seconds",
        "ripcord_trigger_value",
        "ripcord_trigger_threshold",
        "ripcord_trigger_held_seconds",
        "ripcord_trigger_for_seconds",
        "ripcord_trigger_verdict",
        "ripcord_guard_state",
        "ripcord_traffic_percentage",
        "ripcord_notifications_total",
        "ripcord_notification_queue",
        "ripcord_notification_oldest_seconds",
        "ripcord_config_reload_success",
        "ripcord_config_reload_timestamp_seconds",
        "ripcord_leader",
        "ripcord_journal_writes_total",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
    ] {
        ensure!(metrics.contains(&format!("# TYPE {name} ")), "{name} is missing");
    }
    ensure!(ripcord.metric("ripcord_queries_total", &[("result", "ok")]).await?.is_some_and(|n| n > 10.0));
    Ok(())
}

/// It beats while it sees something, falls silent while Prometheus is gone, and beats again.
async fn the_heartbeat_stops_when_nothing_is_seen(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let prometheus = PromProxy::start(&world, &stage.prometheus.url()).await?;
    let heart = Hook::start(&world).await?;
    let config = stage
        .config()
        .set("prometheus.url", prometheus.url())
        .set("heartbeat", json!({"url": heart.url("/beat"), "interval": "1s", "timeout": "1s"}));
    let ripcord = stage.watch(&config).await?;
    let beats = || heart.accepted().iter().filter(|c| c.method == "GET" && c.path == "/beat").count();
    let more = async |than: usize| eventually(LONG, "it beats", async || beats() >= than + 3).await;
    more(0).await?;
    prometheus.gone();
    // The tick under way may have been answered already.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = beats();
    never(Duration::from_secs(5), "it beats and sees nothing", async || beats() > before).await?;
    prometheus.back().await?;
    more(before).await?;
    ensure!(ripcord.metric("ripcord_heartbeats_total", &[("result", "ok")]).await?.is_some_and(|n| n >= 6.0));
    // One that is refused is tried again at the next tick, and is no reason for anything else to stop.
    heart.set(Behaviour::Status(500, None));
    eventually(LONG, "a beat fails", async || {
        let failed = ripcord.metric("ripcord_heartbeats_total", &[("result", "failed")]).await;
        failed.is_ok_and(|n| n.is_some_and(|n| n >= 2.0))
    })
    .await?;
    heart.set(Behaviour::Accept);
    more(beats()).await?;
    ensure!(stage.story().is_empty(), "{:?}", stage.story());
    Ok(())
}

/// Everything that is wrong, at once, and nothing is started.
async fn bad_configurations_end_with_two(world: World) -> anyhow::Result<()> {
    let text = r#"
prometheus: {url: "http://127.0.0.1:9", timeuot: 1s}
defaults:
  triggers:
    error_rate: {signal: error_rate, above: 1%, clear_below: 2%, for: 1.5}
    availability: {signal: availability, below: 99%, window: 1m, confirm_window: 2m}
guards:
  terminal: {match: {destination_workload: t}, traffic: []}
  other:
    match: {destination_workload: o}
    traffic: [{config_map: {namespace: ns, name: settings, data: {share: "${percentage}", who: "${whoever}"}}}]
receivers:
  oncall: {webhook: {url_file: /nowhere/url}}
"#;
    let file = world.write("bad.yaml", text)?;
    let name = file.display().to_string();
    for command in [vec!["check", &name], vec!["run", "--config", &name]] {
        let ended = run_to_end(&world, None, &command).await?;
        ensure!(ended.code() == 2, "{command:?}: {ended:?}");
        for wanted in [
            "timeuot",
            "timeout",
            "clear_below",
            "1.5",
            "confirm_window",
            "guards.terminal",
            "whoever",
            "/nowhere/url",
            "bad.yaml:",
        ] {
            ensure!(ended.stderr.contains(wanted), "{wanted:?} is not in:\n{}", ended.stderr);
        }
        // The file that is missing may be in the cluster only.
        ensure!(ended.stderr.contains("ripcord check --syntax-only") == (command[0] == "check"), "{}", ended.stderr);
    }
    Ok(())
}
