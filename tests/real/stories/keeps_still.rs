//! It does not act when it should not.

use std::time::Duration;

use anyhow::ensure;

use super::acts::set_share;
use super::stage::{COMPONENT, LONG, Stage, state, trigger, until_held};
use crate::stories;
use crate::support::mesh::Traffic;
use crate::support::proxy::{Fault, PromProxy};
use crate::support::{Story, World, eventually, never};

pub fn trials() -> Vec<Story> {
    stories![
        errors_that_end_in_time_change_nothing,
        a_short_total_outage_in_a_long_window_changes_nothing,
        a_dead_prometheus_neither_resets_nor_completes_a_hold,
        every_broken_answer_is_unknown,
        at_the_target_nothing_is_changed,
        clients_that_leave_are_no_errors,
        a_handful_of_requests_decides_nothing,
        no_traffic_is_unknown,
    ]
}

async fn errors_that_end_in_time_change_nothing(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let ripcord = stage
        .watch(
            &stage
                .config()
                .set("defaults.triggers.error_rate.for", "12s")
                .set("defaults.triggers.availability.for", "12s"),
        )
        .await?;
    stage.workload().set(Traffic::healthy(200.0).errors(0.05));
    until_held(&ripcord, "error_rate", 3.0).await?;
    stage.workload().set(Traffic::healthy(200.0));
    eventually(LONG, "the clock is reset", async || {
        trigger(&ripcord, "error_rate").await.is_ok_and(|t| t["held_seconds"] == 0.0 && t["verdict"] == "clear")
    })
    .await?;
    never(Duration::from_secs(3), "a rollback", async || stage.patches() > 0 || !stage.story().is_empty()).await?;
    ensure!(stage.env("ISTIO_PERCENTAGE").await?.as_deref() == Some("25"));
    Ok(())
}

/// Three seconds of nothing but errors stay in a window of 30 s for 30 s. Over by then: the confirm window says so.
async fn a_short_total_outage_in_a_long_window_changes_nothing(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let config = stage
        .config()
        .set("defaults.triggers.error_rate.window", "30s")
        .set("defaults.triggers.error_rate.for", "10s")
        .set("defaults.triggers.availability.window", "30s")
        .set("defaults.triggers.availability.for", "10s");
    let ripcord = stage.watch(&config).await?;
    stage.workload().set(Traffic::healthy(200.0).errors(1.0));
    tokio::time::sleep(Duration::from_secs(3)).await;
    stage.workload().set(Traffic::healthy(200.0));
    until_held(&ripcord, "error_rate", 0.5).await?;
    let mut worst: f64 = 0.0;
    never(Duration::from_secs(25), "a rollback", async || {
        if let Ok(t) = trigger(&ripcord, "error_rate").await {
            worst = worst.max(t["value"].as_f64().unwrap_or(0.0));
        }
        stage.patches() > 0 || !stage.story().is_empty()
    })
    .await?;
    ensure!(worst > 0.04, "the window never saw the outage: {worst}");
    Ok(())
}

async fn a_dead_prometheus_neither_resets_nor_completes_a_hold(world: World) -> anyhow::Result<()> {
    let mut stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let config = ["error_rate", "availability"]
        .iter()
        .fold(stage.config(), |c, t| c.set(&format!("defaults.triggers.{t}.for"), "12s"));
    let ripcord = stage.watch(&config).await?;
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    let before = until_held(&ripcord, "error_rate", 4.0).await?;
    stage.prometheus.stop();
    let blind = stage.told("watchdog.blind").await?;
    ensure!(blind.body["severity"] == "critical", "{}", blind.body);
    ensure!(blind.body["summary"].as_str().is_some_and(|s| s.contains("error rate")), "{}", blind.body);
    let frozen = trigger(&ripcord, "error_rate").await?;
    ensure!(frozen["verdict"] == "unknown" && frozen["unknown"] == "query_failed", "{frozen}");
    let held = frozen["held_seconds"].as_f64().unwrap_or(0.0);
    ensure!(held >= before && held < 12.0, "held went from {before} to {held} s");
    // Longer blind than was missing to the hold: time that nobody saw does not count.
    never(Duration::from_secs(12), "a rollback while blind", async || stage.patches() > 0).await?;
    let still = trigger(&ripcord, "error_rate").await?["held_seconds"].as_f64().unwrap_or(0.0);
    ensure!((still - held).abs() < 1e-9, "held moved from {held} to {still} s while blind");

    stage.prometheus.restart().await?;
    stage.told("watchdog.sees").await?;
    let started = stage.told("rollback.started").await?;
    ensure!(started.body["trigger"]["held_seconds"].as_f64().is_some_and(|h| h >= 12.0), "{}", started.body);
    stage.told("rollback.verified").await?;
    Ok(())
}

/// Errors at 30 %, and each way in which an answer can be broken: unknown with its reason, and nothing else.
async fn every_broken_answer_is_unknown(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let proxy = PromProxy::start(&world, &stage.prometheus.url()).await?;
    let config = stage
        .config()
        .set("prometheus.url", proxy.url())
        .set("prometheus.timeout", "1s")
        .set("evaluation.blind_after", "2m");
    let ripcord = stage.watch(&config).await?;
    let nan = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"destination_workload":"terminal-controller","source_workload":"istio-ingressgateway","destination_service_name":"terminal-controller"},"value":[1767323045,"NaN"]}]}}"#;
    let empty = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
    let bad_query = r#"{"status":"error","errorType":"execution","error":"query processing would load too many samples into memory"}"#;
    let faults = [
        ("timed_out", Fault::Hang),
        ("query_failed", Fault::answer(500, "oops")),
        ("query_failed", Fault::answer(503, "upstream connect error")),
        ("query_failed", Fault::answer(422, bad_query)),
        ("query_failed", Fault::garbage()),
        ("query_failed", Fault::Close),
        ("not_a_number", Fault::answer(200, nan)),
        ("no_series", Fault::answer(200, empty)),
        ("warning", Fault::warnings(&["some store did not answer"])),
    ];
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    for (reason, fault) in faults {
        proxy.all(fault.clone());
        eventually(LONG, &format!("{fault:?} is unknown: {reason}"), async || {
            let t = trigger(&ripcord, "error_rate").await.map_err(|e| e.to_string())?;
            if t["unknown"] == reason { Ok(()) } else { Err(t.to_string()) }
        })
        .await?;
        never(Duration::from_secs(2), "a rollback", async || stage.patches() > 0).await?;
    }
    ensure!(state(&ripcord).await? == "watching");
    proxy.clear();
    stage.told("rollback.started").await?;
    Ok(())
}

async fn at_the_target_nothing_is_changed(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    set_share(&world, "0").await?;
    let ripcord = stage.watch(&stage.config()).await?;
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    let page = stage.told("page.firing").await?;
    ensure!(page.body["severity"] == "critical");
    ensure!(page.body["summary"].as_str().is_some_and(|s| s.contains("nothing to roll back")), "{}", page.body);
    never(Duration::from_secs(4), "a change or a second page", async || stage.patches() > 0 || stage.story().len() > 1)
        .await?;
    ensure!(state(&ripcord).await? == "watching");
    stage.workload().set(Traffic::healthy(200.0));
    let resolved = stage.told("page.resolved").await?;
    ensure!(resolved.body["incident"] == page.body["incident"]);
    ensure!(stage.patches() == 0);
    Ok(())
}

async fn clients_that_leave_are_no_errors(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let ripcord = stage.watch(&stage.config()).await?;
    stage.workload().set(Traffic::healthy(200.0).client_left(0.5));
    never(Duration::from_secs(14), "a rollback", async || stage.patches() > 0 || !stage.story().is_empty()).await?;
    let seen = trigger(&ripcord, "error_rate").await?;
    ensure!(seen["verdict"] == "clear" && seen["value"] == 0.0, "{seen}");
    Ok(())
}

/// Half a request a second, one in ten fails: 10 % over a window of five requests says nothing yet.
async fn a_handful_of_requests_decides_nothing(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let ripcord = stage.watch(&stage.config()).await?;
    stage.workload().set(Traffic::healthy(0.5).errors(0.2));
    eventually(LONG, "the latency is unknown for want of requests", async || {
        trigger(&ripcord, "latency").await.is_ok_and(|t| t["unknown"] == "too_few_requests")
    })
    .await?;
    never(Duration::from_secs(12), "a rollback", async || stage.patches() > 0 || !stage.story().is_empty()).await?;
    Ok(())
}

async fn no_traffic_is_unknown(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let ripcord = stage.watch(&stage.config()).await?;
    stage.mesh.workload(COMPONENT).set(Traffic::none());
    eventually(LONG, "every trigger is unknown: no traffic", async || {
        let error_rate = trigger(&ripcord, "error_rate").await.is_ok_and(|t| t["unknown"] == "no_traffic");
        error_rate && trigger(&ripcord, "latency").await.is_ok_and(|t| t["unknown"] == "no_traffic")
    })
    .await?;
    // Nobody can mend a night without users: it is said for the record and pages nobody.
    let said = stage.told("watchdog.blind").await?;
    ensure!(said.body["severity"] == "info", "{}", said.body);
    ensure!(stage.patches() == 0 && stage.story().is_empty());
    Ok(())
}
