//! What a restart keeps: clocks, latches, pauses, pages that wait, pages that fire.

use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use jiff::Timestamp;
use serde_json::json;

use super::stage::{GUARD, LONG, Stage, each_once, state, until_held, until_state};
use crate::stories;
use crate::support::fixtures::Config;
use crate::support::mesh::Traffic;
use crate::support::{Story, World, eventually, never};

pub fn trials() -> Vec<Story> {
    stories![
        a_hold_goes_on_over_a_restart,
        the_past_alone_never_fires,
        latched_stays_latched,
        paused_stays_paused_until_it_ends,
        pages_that_wait_outlive_a_restart,
        a_page_that_fires_outlives_a_restart,
    ]
}

fn holding_for(mut config: Config, time: &str) -> Config {
    for trigger in ["error_rate", "latency", "availability"] {
        config = config.set(&format!("defaults.triggers.{trigger}.for"), time);
    }
    config
}

/// How far a rollback may come from the moment at which an undisturbed one would have come: ticks are a second apart, what was measured
/// while nobody looked is rounded to them, and a busy machine is late. A clock that began anew would be seven seconds late at least.
const EARLY: Duration = Duration::from_millis(2500);
const LATE: Duration = Duration::from_millis(4500);

/// Ten seconds are to be held. After five it is killed, and three later started: it fires after ten.
async fn a_hold_goes_on_over_a_restart(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let place = json!({"config_map": {"namespace": world.namespace, "name": "ripcord-state"}});
    let config = holding_for(stage.config(), "12s").set("state", place);
    let ripcord = stage.watch(&config).await?;
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    let held = until_held(&ripcord, "error_rate", 6.0).await?;
    let expected = SystemTime::now() + Duration::from_secs_f64(12.0 - held);
    let _ripcord = stage.crash(ripcord, &config, Duration::from_secs(3)).await?;
    let started = stage.told("rollback.started").await?;
    let decided: Timestamp = started.body["time"].as_str().context("a time")?.parse()?;
    let decided = SystemTime::from(decided);
    let said = format!("held {held} s before the crash; decided at {decided:?}, expected at {expected:?}");
    ensure!(decided >= expected - EARLY && decided <= expected + LATE, "{said}");
    let held = started.body["trigger"]["held_seconds"].as_f64().context("held")?;
    ensure!((12.0..17.0).contains(&held), "{said}; the page says held for {held} s");
    stage.told("rollback.verified").await?;
    Ok(())
}

/// Bad for longer than `for` while Ripcord is down, and well again when it starts: nothing is done.
async fn the_past_alone_never_fires(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let config = holding_for(stage.config(), "4s");
    let mut ripcord = stage.watch(&config).await?;
    ripcord.kill();
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    tokio::time::sleep(Duration::from_secs(10)).await;
    stage.workload().set(Traffic::healthy(200.0));
    // Longer than the confirm window of 4 s, and shorter than it takes for clear to end the hold.
    tokio::time::sleep(Duration::from_millis(5500)).await;
    ripcord = stage.start(&config)?;
    ripcord.wait_ready().await?;
    let fetched = ripcord.metric("ripcord_replayed_ticks_total", &[]).await?;
    ensure!(fetched.is_some_and(|n| n >= 12.0), "the past was not fetched: {fetched:?}");
    let held = |line: &serde_json::Value| line["reason"] == "the tick is of the past";
    ripcord.wait_log("the past would have fired", held, LONG).await?;
    never(Duration::from_secs(8), "a rollback or a page", async || stage.patches() > 0 || !stage.story().is_empty())
        .await?;
    ensure!(state(&ripcord).await? == "watching");
    stage.all_clear(&ripcord).await
}

async fn latched_stays_latched(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let config = stage.config();
    let ripcord = stage.watch(&config).await?;
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    stage.told("rollback.verified").await?;
    until_state(&ripcord, "rolled_back").await?;
    let incident = ripcord.incidents().await?[0]["id"].clone();
    stage.nothing_waits(&config).await?;
    let ripcord = stage.crash(ripcord, &config, Duration::from_millis(500)).await?;
    ensure!(state(&ripcord).await? == "rolled_back");
    ensure!(ripcord.incidents().await?[0]["id"] == incident, "another incident: {}", ripcord.incidents().await?);
    stage.all_clear(&ripcord).await?;
    let patches = stage.patches();
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    let page = stage.told("page.firing").await?;
    ensure!(page.body["summary"].as_str().is_some_and(|s| s.contains("latched")), "{}", page.body);
    ensure!(page.body["incident"] == incident);
    ensure!(stage.patches() == patches && state(&ripcord).await? == "rolled_back");
    each_once(&stage.hook.accepted())
}

async fn paused_stays_paused_until_it_ends(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let token = world.write("token", "open-sesame")?;
    let config = stage.config().set("http.token_file", json!(token));
    let ripcord = stage.watch(&config).await?;
    let path = format!("/api/v1/guards/{GUARD}/pause");
    let (status, answer) = ripcord.post(&path, Some("open-sesame"), &json!({"for": "18s"})).await?;
    ensure!(status == 200, "{status}: {answer}");
    let until = ripcord.status().await?["guards"][0]["paused_until"].clone();
    let end: Timestamp = until.as_str().context("paused_until")?.parse()?;
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    let ripcord = stage.crash(ripcord, &config, Duration::from_secs(1)).await?;
    ensure!(state(&ripcord).await? == "paused");
    let still = ripcord.status().await?["guards"][0]["paused_until"].clone();
    ensure!(still == until, "paused until {until} before, and until {still} after the restart");
    let started = stage.told("rollback.started").await?;
    let decided: Timestamp = started.body["time"].as_str().context("a time")?.parse()?;
    // The page's time is in whole seconds.
    let early = end.duration_since(decided).as_secs_f64();
    ensure!(early < 1.0, "paused until {end}, and rolled back at {decided}");
    stage.told("rollback.verified").await?;
    Ok(())
}

async fn pages_that_wait_outlive_a_restart(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let config = stage.config();
    let ripcord = stage.watch(&config).await?;
    stage.told("watchdog.started").await?;
    stage.nothing_waits(&config).await?;
    stage.hook.gone();
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    until_state(&ripcord, "rolled_back").await?;
    let ripcord = stage.crash(ripcord, &config, Duration::from_millis(500)).await?;
    let waiting = ripcord.metric("ripcord_notification_queue", &[("receiver", "oncall")]).await?;
    // The three of the rollback, and that the second process has started.
    ensure!(waiting == Some(4.0), "{waiting:?} wait");
    stage.hook.back().await?;
    stage.told("rollback.verified").await?;
    ensure!(stage.story() == ["rollback.started", "rollback.succeeded", "rollback.verified"], "{:?}", stage.story());
    each_once(&stage.hook.accepted())?;
    eventually(LONG, "the queue is empty", async || {
        ripcord.metric("ripcord_notification_queue", &[("receiver", "oncall")]).await.is_ok_and(|n| n == Some(0.0))
    })
    .await
}

async fn a_page_that_fires_outlives_a_restart(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let gauge = |value: f64| stage.mesh.gauge("queue_length", &[("app", "terminal")], value);
    gauge(1.0);
    let config = stage.config().set(
        "defaults.triggers.backlog",
        json!({"promql": "max(queue_length)", "above": 10, "for": "3s", "action": "page"}),
    );
    let ripcord = stage.watch(&config).await?;
    gauge(50.0);
    let page = stage.told("page.firing").await?;
    stage.nothing_waits(&config).await?;
    let ripcord = stage.crash(ripcord, &config, Duration::from_secs(2)).await?;
    // Long enough for the trigger to hold anew, if it were taken for new.
    never(Duration::from_secs(6), "it fires again", async || stage.story() != ["page.firing"]).await?;
    gauge(1.0);
    let resolved = stage.told("page.resolved").await?;
    ensure!(resolved.body["incident"] == page.body["incident"], "{} and {}", page.body, resolved.body);
    ensure!(stage.story() == ["page.firing", "page.resolved"], "{:?}", stage.story());
    ensure!(stage.patches() == 0 && state(&ripcord).await? == "watching");
    each_once(&stage.hook.accepted())
}
