//! What a service is compared with is recorded from a real Prometheus, kept with the state, and used.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use jiff::{Timestamp, ToSpan as _};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::stage::{COMPONENT, GUARD, LONG, Stage, trigger};
use crate::stories;
use crate::support::fixtures::Config;
use crate::support::mesh::Traffic;
use crate::support::prometheus::Prometheus;
use crate::support::ripcord::{Ended, Ripcord, run_to_end};
use crate::support::{Story, World, eventually};

pub fn trials() -> Vec<Story> {
    stories![
        a_degradation_is_told_from_what_was_recorded,
        without_a_daemon_it_is_kept_in_the_state,
        what_is_too_little_is_refused_and_the_rest_is_recorded,
        a_week_of_the_past_is_recorded,
        nothing_is_recorded_past_a_daemon_that_runs,
        too_old_is_told_until_it_is_recorded_anew,
    ]
}

const TOKEN: &str = "open-sesame";

/// The latency is compared with what was recorded over 20 s.
fn config(world: &World, stage: &Stage<'_>) -> anyhow::Result<Config> {
    let token = world.write("token", TOKEN)?;
    let recorded = json!({"recorded": {"over": "20s"}});
    Ok(stage.config().set("http.token_file", json!(token)).set("defaults.triggers.latency.baseline", recorded))
}

/// The configuration as a command reads it: with an address of its own.
fn written(world: &World, config: &Config) -> anyhow::Result<PathBuf> {
    world.write("baselines.yaml", &config.clone().set("http.listen", "127.0.0.1:0").to_string())
}

/// `ripcord baseline …` without a daemon.
async fn alone(world: &World, stage: &Stage<'_>, config: &Config, args: &[&str]) -> anyhow::Result<Ended> {
    let config = written(world, config)?.to_string_lossy().into_owned();
    let all = [&["baseline"], args, &["--config", &config]].concat();
    run_to_end(world, Some(&stage.kubeconfig), &all).await
}

/// The same, asking a daemon. Only `list` needs no configuration.
async fn asking(world: &World, daemon: &Ripcord, config: &Config, args: &[&str]) -> anyhow::Result<Ended> {
    let config = written(world, config)?.to_string_lossy().into_owned();
    let url = daemon.url();
    let all = [&["baseline"], args, &["--config", &config, "--url", &url]].concat();
    run_to_end(world, None, &all).await
}

fn parsed(ended: &Ended) -> anyhow::Result<Value> {
    serde_json::from_str(&ended.stdout).with_context(|| format!("{ended:?}"))
}

/// Waits until Prometheus holds so much that 20 s of it are a baseline.
async fn enough(stage: &Stage<'_>) -> anyhow::Result<()> {
    requests(stage, COMPONENT, 2600.0).await
}

/// Waits until Prometheus holds more requests than these of 20 s.
async fn requests(stage: &Stage<'_>, workload: &str, more_than: f64) -> anyhow::Result<()> {
    let count = format!(
        r#"sum(increase(istio_request_duration_milliseconds_count{{reporter="destination",destination_workload="{workload}"}}[20s]))"#
    );
    eventually(LONG, "there are enough requests", async || match stage.prometheus.query_opt(&count).await {
        Ok(Some(count)) if count > more_than => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await
}

async fn blind(ripcord: &Ripcord) -> anyhow::Result<()> {
    eventually(LONG, "it says that nothing is recorded", async || {
        let t = trigger(ripcord, "latency").await.map_err(|e| e.to_string())?;
        let said = t["reason"].as_str().unwrap_or_default();
        if said.contains("no baseline is recorded yet") { Ok(()) } else { Err(t.to_string()) }
    })
    .await
}

/// Through the daemon: blind until it is recorded, then it sees, survives a crash, and rolls back by it.
async fn a_degradation_is_told_from_what_was_recorded(world: World) -> anyhow::Result<()> {
    let stage = Stage::set_with(&world, Traffic::healthy(200.0).latency(100.0)).await?;
    let config = config(&world, &stage)?;
    let mut daemon = stage.start(&config)?;
    daemon.wait_ready().await?;
    blind(&daemon).await?;
    let told = stage.told("watchdog.blind").await?;
    let said = told.body["summary"].as_str().unwrap_or_default().to_owned();
    ensure!(told.body["severity"] == "critical" && said.contains("run ripcord baseline record"), "{}", told.body);

    enough(&stage).await?;
    let ended = asking(&world, &daemon, &config, &["record"]).await?;
    ensure!(ended.code() == 2 && ended.stderr.contains("add --yes"), "{ended:?}");
    let shown = asking(&world, &daemon, &config, &["record", "--dry-run"]).await?;
    ensure!(shown.code() == 0 && shown.stdout.contains("1 of 1 would be recorded"), "{shown:?}");
    blind(&daemon).await?;
    let ended = asking(&world, &daemon, &config, &["record", "--yes", "--output", "json"]).await?;
    ensure!(ended.code() == 0, "{ended:?}");
    let row = parsed(&ended)?["baselines"][0].clone();
    let value = row["measured"]["value"].as_f64().context("a value")?;
    ensure!(row["result"] == "recorded" && row["before"].is_null() && (0.05..0.25).contains(&value), "{row}");
    stage.told("watchdog.sees").await?;
    stage.all_clear(&daemon).await?;
    let metrics = daemon.metrics().await?;
    let line = metrics.lines().find(|l| l.starts_with("ripcord_baseline_recorded_timestamp_seconds{"));
    ensure!(line.is_some_and(|l| l.contains("latency") && !l.ends_with("NaN")), "{line:?}");

    // A crash forgets nothing of it.
    daemon.signal(Signal::KILL)?;
    daemon.wait_exit(LONG).await?;
    let daemon = stage.watch(&config).await?;
    let listed = asking(&world, &daemon, &config, &["list"]).await?;
    ensure!(listed.code() == 0 && listed.stdout.contains("in use") && listed.stdout.contains(GUARD), "{listed:?}");
    let status = run_to_end(&world, None, &["status", "--url", &daemon.url()]).await?;
    ensure!(status.stdout.contains("baseline recorded 2") && status.stdout.contains("version 1"), "{status:?}");

    stage.workload().set(Traffic::healthy(200.0).latency(900.0));
    let started = stage.told("rollback.started").await?;
    let facts = &started.body["trigger"];
    ensure!(facts["name"] == "latency" && facts["baseline"] == json!(value), "{}", started.body);
    let source = facts["baseline_source"].as_str().unwrap_or_default();
    ensure!(source.starts_with("recorded 2") && source.ends_with("requests, version 1"), "{source}");
    let summary = started.body["summary"].as_str().unwrap_or_default();
    ensure!(summary.contains(" recorded 2"), "{summary}");
    Ok(())
}

/// A daemon that is down is no reason not to record; and one can go back.
async fn without_a_daemon_it_is_kept_in_the_state(world: World) -> anyhow::Result<()> {
    let stage = Stage::set_with(&world, Traffic::healthy(200.0).latency(100.0)).await?;
    let config = config(&world, &stage)?;
    enough(&stage).await?;
    let none = alone(&world, &stage, &config, &["list"]).await?;
    ensure!(none.code() == 0 && none.stdout.contains("NOT RECORDED"), "{none:?}");
    for _ in 0..2 {
        let ended = alone(&world, &stage, &config, &["record", "--yes"]).await?;
        ensure!(ended.code() == 0 && ended.stdout.contains("1 of 1 recorded"), "{ended:?}");
    }
    let ended = alone(&world, &stage, &config, &["use", GUARD, "latency", "9"]).await?;
    ensure!(ended.code() == 1 && ended.stderr.contains("no version 9 (there are: 2, 1)"), "{ended:?}");
    let ended = alone(&world, &stage, &config, &["use", GUARD, "latency", "1"]).await?;
    ensure!(ended.code() == 0, "{ended:?}");
    let listed = alone(&world, &stage, &config, &["list", "--output", "json"]).await?;
    let of = parsed(&listed)?["baselines"][0].clone();
    ensure!(of["in_use"] == 1 && of["versions"].as_array().is_some_and(|v| v.len() == 2), "{of}");
    ensure!(of["too_old"] == false && stage.patches() == 0 && stage.story().is_empty(), "{of}");
    // Whoever runs next compares with it.
    let daemon = stage.watch(&config).await?;
    ensure!(trigger(&daemon, "latency").await?["recorded"]["in_use"] == 1);
    // Of what is measured otherwise nothing is recorded, and the daemon takes nothing of that.
    let other = config.clone().set("defaults.triggers.latency.quantile", 0.5);
    let ended = asking(&world, &daemon, &other, &["record", "--yes"]).await?;
    ensure!(
        ended.code() == 1 && ended.stderr.contains("measured of other series, or of another quantile"),
        "{ended:?}"
    );
    Ok(())
}

/// Too few requests for one guard, a period that Prometheus does not hold, and one that is right.
async fn what_is_too_little_is_refused_and_the_rest_is_recorded(world: World) -> anyhow::Result<()> {
    let stage = Stage::set_with(&world, Traffic::healthy(200.0).latency(100.0)).await?;
    stage.mesh.workload("quiet-controller").set(Traffic::healthy(2.0));
    enough(&stage).await?;
    requests(&stage, "quiet-controller", 10.0).await?;
    let config = config(&world, &stage)?.guard("quiet", "quiet-controller").guard("gone", "gone-controller");
    let ended = alone(&world, &stage, &config, &["record", "--yes"]).await?;
    ensure!(ended.code() == 1 && ended.stdout.contains("1 of 3 recorded"), "{ended:?}");
    ensure!(ended.stdout.contains("REFUSED: quiet: latency: ") && ended.stdout.contains("it takes 2000"), "{ended:?}");
    ensure!(ended.stdout.contains("REFUSED: gone: latency: the query gave no series"), "{ended:?}");
    ensure!(ended.stderr.contains("not recorded: gone: latency, quiet: latency"), "{ended:?}");
    let listed = alone(&world, &stage, &config, &["list"]).await?;
    ensure!(listed.stdout.matches("NOT RECORDED").count() == 2, "{listed:?}");

    let args = ["record", "--yes", "--guard", GUARD, "--over", "2h", "--output", "json"];
    let ended = alone(&world, &stage, &config, &args).await?;
    let row = parsed(&ended)?["baselines"][0].clone();
    ensure!(ended.code() == 1 && row["reasons"].to_string().contains("of the period only"), "{row}");

    for (args, said) in [
        (["record", "--yes", "--guard", "terminl"].as_slice(), "--guard terminl: there is no such guard (there are: "),
        (&["record", "--yes", "--over", "5s"], "--over 5s: shorter than the window of terminal: latency"),
        (&["record", "--yes", "--to", "yesterday"], "2026-01-02T03:04:05Z"),
    ] {
        let ended = alone(&world, &stage, &config, args).await?;
        ensure!(ended.code() == 2 && ended.stderr.contains(said), "{said}: {ended:?}");
    }
    Ok(())
}

/// What a script sees over a week that lies in blocks, of every signal: the numbers can be worked out by hand.
async fn a_week_of_the_past_is_recorded(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let end = Timestamp::now() - 6.hours();
    let begin = end - (24 * 3).hours();
    let prometheus = Prometheus::builder(&world).history(&history(begin, end)).start().await?;
    let page = |own: Value| {
        let mut all = json!({"action": "page", "for": "5m", "baseline": {"recorded": {"over": "3d"}}});
        all.as_object_mut().expect("a map").extend(own.as_object().expect("a map").clone());
        all
    };
    let windows = json!({"window": "5m", "confirm_window": "1m"});
    let with = |own: Value| {
        let mut own = own;
        own.as_object_mut().expect("a map").extend(windows.as_object().expect("a map").clone());
        page(own)
    };
    let config = Config::new(&world, &prometheus.url())
        .set(
            "defaults.triggers",
            json!({
                "latency": with(json!({"signal": "latency", "degraded_by": "50%"})),
                "load": page(json!({"signal": "throughput", "degraded_by": "30%", "window": "5m"})),
                "routes": with(json!({"signal": "client_error_rate", "rises_by": "5%"})),
                "queue": page(json!({"promql": "max(queue) # of all\n", "degraded_by": "50%"})),
            }),
        )
        .guard(GUARD, COMPONENT);
    let args = ["record", "--yes", "--output", "json", "--to", &end.to_string()];
    let ended = alone(&world, &stage, &config, &args).await?;
    let report = parsed(&ended)?;
    ensure!(ended.code() == 0, "{report:#}");
    let of = |name: &str| {
        let rows = report["baselines"].as_array().into_iter().flatten();
        rows.clone().find(|row| row["trigger"] == name).map(|row| row["measured"].clone()).unwrap_or_default()
    };
    // 5 requests a second, one in 10 of them a 404, 293 of 300 take 60 ms to 100 ms, and the queue is 10 and 30 by turns. What is looked at
    // once in a window of 5 minutes has 864 samples in three days; once in 129 s, which is a 2016th of that, 2009.
    for (name, value, count) in
        [("latency", 0.0989, 1.296e6), ("load", 5.0, 864.0), ("routes", 0.1, 1.296e6), ("queue", 20.0, 2009.0)]
    {
        let measured = of(name);
        let near = |key: &str, wanted: f64| measured[key].as_f64().is_some_and(|got| (got / wanted - 1.0).abs() < 0.03);
        ensure!(near("value", value) && near("count", count), "{name}: {measured}");
        ensure!(measured["covered"].as_f64().is_some_and(|covered| covered > 0.98), "{name}: {measured}");
    }
    // A replay compares with what is recorded, and says where it cannot know it.
    let (file, from) = (written(&world, &config)?.to_string_lossy().into_owned(), (end - 1.hours()).to_string());
    let replay = ["replay", "--config", &file, "--from", &from, "--to", &end.to_string(), "--format", "json"];
    let said = parsed(&run_to_end(&world, Some(&stage.kubeconfig), &replay).await?)?;
    let of_latency = |said: &Value| {
        let mut triggers = said["replays"][0]["guards"][0]["triggers"].as_array().into_iter().flatten();
        triggers.find(|t| t["trigger"] == "latency").cloned().context("a trigger")
    };
    let latency = of_latency(&said)?;
    ensure!(latency["time"]["clear_seconds"].as_f64().is_some_and(|clear| clear > 3500.0), "{latency:#}");
    let elsewhere = config.clone().set("state.file", world.dir.join("not-there.json").display().to_string());
    let file = written(&world, &elsewhere)?.to_string_lossy().into_owned();
    let replay = ["replay", "--config", &file, "--from", &from, "--to", &end.to_string(), "--format", "json"];
    let ended = run_to_end(&world, Some(&stage.kubeconfig), &replay).await?;
    ensure!(ended.stderr.contains("The recorded baselines are not known"), "{ended:?}");
    let latency = of_latency(&parsed(&ended)?)?;
    ensure!(latency["time"]["unknown"][0]["reason"] == "baseline", "{latency:#}");
    // Of nine days three are there: the mean of what was there is no less for that, and it is too little all the same.
    let args = ["record", "--yes", "--output", "json", "--to", &end.to_string(), "--over", "9d"];
    let report = parsed(&alone(&world, &stage, &config, &args).await?)?;
    for row in report["baselines"].as_array().into_iter().flatten() {
        let reasons = row["reasons"].to_string();
        ensure!(row["result"] == "refused" && reasons.contains("in 33") && reasons.contains("takes 50 %"), "{row}");
    }
    let load = report["baselines"].as_array().into_iter().flatten().find(|row| row["trigger"] == "load");
    ensure!(load.is_some_and(|l| l["measured"]["value"].as_f64().is_some_and(|v| (v - 5.0).abs() < 0.1)), "{report}");
    Ok(())
}

/// Three days of a sample a minute, as OpenMetrics.
fn history(begin: Timestamp, end: Timestamp) -> String {
    let side = |of: &str| {
        format!(
            r#"reporter="{of}",response_flags="-",source_workload="istio-ingressgateway",destination_workload="{COMPONENT}",destination_service_name="{COMPONENT}""#
        )
    };
    let minutes = (end.as_second() - begin.as_second()) / 60;
    let at = |minute: i64| begin.as_second() + minute * 60;
    let mut text = String::new();
    let mut counter = |name: &str, labels: &str, per_minute: i64| {
        for minute in 0..=minutes {
            text.push_str(&format!("{name}{{{labels}}} {} {}\n", minute * per_minute, at(minute)));
        }
    };
    for of in ["destination", "source"] {
        for (code, per_minute) in [("200", 270), ("404", 30)] {
            let labels = format!(r#"{},response_code="{code}",grpc_response_status="""#, side(of));
            counter("istio_requests_total", &labels, per_minute);
        }
    }
    let labels = side("destination");
    counter("istio_request_duration_milliseconds_count", &labels, 300);
    // P95 is the 285th of 300: 60 ms and 285 / 293 of the way to 100 ms.
    for (le, per_minute) in [("60", 0), ("100", 293), ("1000", 300), ("+Inf", 300)] {
        let labels = format!(r#"{labels},le="{le}""#);
        counter("istio_request_duration_milliseconds_bucket", &labels, per_minute);
    }
    for minute in 0..=minutes {
        text.push_str(&format!("queue {} {}\n", if minute % 2 == 0 { 10 } else { 30 }, at(minute)));
    }
    text.push_str("# EOF\n");
    text
}

/// One that leads keeps it itself.
async fn nothing_is_recorded_past_a_daemon_that_runs(world: World) -> anyhow::Result<()> {
    let stage = Stage::set_with(&world, Traffic::healthy(200.0).latency(100.0)).await?;
    let lease = json!({"lease": {"namespace": world.namespace, "name": "ripcord"}, "lease_duration": "3s"});
    let config = config(&world, &stage)?
        .set("state", json!({"config_map": {"namespace": world.namespace, "name": "ripcord-state"}}))
        .set("leader_election", lease);
    let mut daemon = stage.start(&config)?;
    daemon.wait_ready().await?;
    enough(&stage).await?;
    let ended = alone(&world, &stage, &config, &["record", "--yes"]).await?;
    ensure!(ended.code() == 1 && ended.stderr.contains("a Ripcord runs and leads"), "{ended:?}");
    ensure!(daemon.status().await?["leads"] == true, "it was not disturbed");
    blind(&daemon).await?;

    // A standby shows what the leader has, and takes nothing itself.
    let mut standby = stage.start(&config)?;
    standby.wait_ready().await?;
    let ended = asking(&world, &daemon, &config, &["record", "--yes"]).await?;
    ensure!(ended.code() == 0, "{ended:?}");
    eventually(LONG, "the standby compares with what the leader has", async || {
        let t = trigger(&standby, "latency").await.map_err(|e| e.to_string())?;
        if t["recorded"]["in_use"] == 1 && t["verdict"] == "clear" { Ok(()) } else { Err(t.to_string()) }
    })
    .await?;
    let ended = asking(&world, &standby, &config, &["record", "--yes"]).await?;
    ensure!(ended.code() == 1 && ended.stderr.contains("this replica stands by"), "{ended:?}");

    // The next leader has it too.
    daemon.signal(Signal::KILL)?;
    daemon.wait_exit(LONG).await?;
    eventually(LONG, "the standby leads", async || standby.status().await.is_ok_and(|s| s["leads"] == true)).await?;
    stage.all_clear(&standby).await?;
    stage.workload().set(Traffic::healthy(200.0).latency(900.0));
    stage.told("rollback.started").await?;
    Ok(())
}

/// A page says so once, and preflight too.
async fn too_old_is_told_until_it_is_recorded_anew(world: World) -> anyhow::Result<()> {
    let stage = Stage::set_with(&world, Traffic::healthy(200.0).latency(100.0)).await?;
    let config = config(&world, &stage)?;
    enough(&stage).await?;
    let preflight = async |config: &Config| -> anyhow::Result<Value> {
        let file = written(&world, config)?.to_string_lossy().into_owned();
        let args = ["preflight", "--config", &file, "--output", "json"];
        let report = parsed(&run_to_end(&world, Some(&stage.kubeconfig), &args).await?)?;
        let checks = report.as_array().cloned().unwrap_or_default();
        let what = format!("{GUARD}: baseline of latency");
        checks.into_iter().find(|check| check["check"] == what.as_str()).with_context(|| report.to_string())
    };
    let missing = preflight(&config).await?;
    ensure!(missing["result"] == "fail" && missing.to_string().contains("ripcord baseline record"), "{missing}");
    let ended = alone(&world, &stage, &config, &["record", "--yes"]).await?;
    ensure!(ended.code() == 0, "{ended:?}");
    ensure!(preflight(&config).await?["result"] == "ok");

    let old = config.clone().set("defaults.triggers.latency.baseline.recorded.max_age", "1s");
    eventually(LONG, "preflight says that it is too old", async || {
        let check = preflight(&old).await.map_err(|e| e.to_string())?;
        if check["result"] == "warn" { Ok(()) } else { Err(check.to_string()) }
    })
    .await?;
    let mut daemon = stage.start(&old)?;
    let told = stage.told("watchdog.not_ready").await?;
    let said = told.body["summary"].as_str().unwrap_or_default();
    ensure!(told.body["severity"] == "warning" && said.contains("the baseline of latency P95 is "), "{}", told.body);
    // It is compared with all the same, and the rollback would work.
    stage.all_clear(&daemon).await?;
    stage.ready(&daemon).await?;
    let listed = asking(&world, &daemon, &old, &["list"]).await?;
    ensure!(listed.stdout.contains("TOO OLD"), "{listed:?}");
    // Young for longer than the story lasts.
    daemon.write_config(&config.to_string())?;
    daemon.signal(Signal::HUP)?;
    let ended = asking(&world, &daemon, &config, &["record", "--yes"]).await?;
    ensure!(ended.code() == 0 && ended.stdout.contains("version 1, "), "{ended:?}");
    stage.told("watchdog.ready").await?;
    ensure!(stage.hook.accepted().iter().filter(|c| c.event() == "watchdog.not_ready").count() == 1, "told once");
    Ok(())
}
