//! What would have happened: `ripcord replay` over days that a real Prometheus has stored, or that are in a file.

use std::fmt::Write as _;

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::stage::COMPONENT;
use crate::stories;
use crate::support::fixtures::{Config, LISTEN};
use crate::support::prometheus::Prometheus;
use crate::support::proxy::{Fault, PromProxy};
use crate::support::ripcord::{Ended, run_to_end};
use crate::support::{Story, World};

pub fn trials() -> Vec<Story> {
    stories![
        a_known_incident_is_found_when_it_was,
        a_page_for_the_browser_stands_alone,
        a_file_tells_the_same,
        a_prometheus_that_goes_away_is_said,
        what_is_typed_wrong_is_said_at_once,
    ]
}

const GUARD: &str = "terminal";

/// The time between two scrapes, in seconds.
const SCRAPE: i64 = 15;

/// Scrapes of the past: two days.
const SCRAPES: i64 = 2 * 24 * 60 * 60 / SCRAPE;

/// Requests between two scrapes.
const REQUESTS: i64 = 300;

/// The scrapes at which every twentieth request fails: for ten minutes, and for four and a quarter. For five more minutes nothing is scraped.
const INCIDENT: std::ops::Range<i64> = 3000..3040;
const NEARLY: std::ops::Range<i64> = 5000..5017;
const GAP: std::ops::Range<i64> = 7000..7020;

/// When it all begins. Blocks of the past must not be younger than about three hours.
pub(super) fn start() -> i64 {
    let start = Timestamp::now().as_second() - (SCRAPES * SCRAPE + 4 * 60 * 60);
    start - start % SCRAPE
}

/// Samples of two days.
pub(super) fn past(start: i64) -> String {
    let labels = format!(
        "reporter=\"destination\",destination_workload=\"{COMPONENT}\",response_flags=\"-\",grpc_response_status=\"\""
    );
    let (mut fine, mut failed, mut share) = (String::new(), String::new(), String::new());
    let (mut good, mut bad) = (0, 0);
    for n in 0..SCRAPES {
        let failing = if INCIDENT.contains(&n) || NEARLY.contains(&n) { REQUESTS / 20 } else { 0 };
        bad += failing;
        good += REQUESTS - failing;
        if GAP.contains(&n) {
            continue;
        }
        let at = start + n * SCRAPE;
        let _ = writeln!(fine, "istio_requests_total{{{labels},response_code=\"200\"}} {good} {at}");
        let _ = writeln!(failed, "istio_requests_total{{{labels},response_code=\"503\"}} {bad} {at}");
        let _ = writeln!(share, "ripcord_traffic_percentage{{guard=\"{GUARD}\"}} 25 {at}");
    }
    format!("# TYPE istio_requests counter\n{fine}{failed}# TYPE ripcord_traffic_percentage gauge\n{share}# EOF\n")
}

/// The same as a table.
fn table(start: i64) -> String {
    let rows = (0..SCRAPES).filter(|n| !GAP.contains(n)).map(|n| {
        let failed = if INCIDENT.contains(&n) || NEARLY.contains(&n) { REQUESTS / 20 } else { 0 };
        format!("{},{REQUESTS},{failed},25\n", start + n * SCRAPE)
    });
    format!("time,requests,failed,share\n{}", rows.collect::<String>())
}

/// The configuration: error rate over the windows of the strategy, and a query whose text is hostile.
pub(super) fn config(world: &World, url: &str) -> Config {
    let error_rate = json!({
        "signal": "error_rate", "above": "1%", "clear_below": "0.5%", "window": "5m", "confirm_window": "1m", "for": "5m",
    });
    let hostile = json!({
        "promql": "max(up{job=~\"<img src=x onerror=alert(1)>(\"})",
        "above": 1, "for": "5m", "action": "page",
    });
    Config::new(world, url)
        .set("evaluation", json!({"interval": "15s", "blind_after": "2m"}))
        .set("defaults.triggers", json!({"error_rate": error_rate, "hostile": hostile}))
        .set("defaults.rollback.verify.within", "10m")
        .set("receivers.people", json!({"webhook": {"url": "http://127.0.0.1:9/", "format": "generic"}}))
        .guard(GUARD, COMPONENT)
}

pub(super) async fn replay(world: &World, config: &Config, more: &[&str]) -> anyhow::Result<Ended> {
    let file = world.new_dir("replay")?.join("ripcord.yaml");
    std::fs::write(&file, config.to_string().replace(LISTEN, "127.0.0.1:0"))?;
    let file = file.display().to_string();
    let args: Vec<&str> = ["replay", "--config", &file].into_iter().chain(more.iter().copied()).collect();
    run_to_end(world, None, &args).await
}

fn facts(ended: &Ended) -> anyhow::Result<Value> {
    ensure!(ended.code() == 0, "{ended:?}");
    serde_json::from_str(&ended.stdout).with_context(|| format!("{ended:?}"))
}

fn time(value: &Value) -> anyhow::Result<i64> {
    Ok(value.as_str().with_context(|| format!("{value} is no time"))?.parse::<Timestamp>()?.as_second())
}

/// What must be found, wherever the history is from.
fn check(report: &Value, start: i64) -> anyhow::Result<()> {
    let guard = &report["replays"][0]["guards"][0];
    ensure!(guard["trips"].as_array().is_some_and(|trips| trips.len() == 1), "{guard:#}");
    let trip = &guard["trips"][0];
    ensure!(trip["kind"] == "rollback" && trip["from_percentage"] == 25 && trip["to_percentage"] == 0, "{trip:#}");
    ensure!(trip["pages"][0]["event"] == "rollback.started" && trip["pages"][0]["severity"] == "critical", "{trip:#}");
    // One request in a hundred has failed after a minute; from then on it must hold for five.
    let begun = start + INCIDENT.start * SCRAPE;
    let (breach, tripped) = (time(&trip["first_breach"])? - begun, time(&trip["time"])? - begun);
    ensure!((45..=105).contains(&breach), "the breach begins {breach} s after the first failure");
    ensure!(tripped - breach == 300, "it trips {tripped} s after the first failure, {breach} s in breach");
    let near = &guard["triggers"][0]["near_misses"];
    ensure!(near.as_array().is_some_and(|near| near.len() == 1), "{near:#}");
    let nearly = time(&near[0]["from"])? - (start + NEARLY.start * SCRAPE);
    ensure!((45..=105).contains(&nearly), "the near miss begins {nearly} s after the first failure");
    ensure!(near[0]["why_not"][0].as_str().is_some_and(|why| why.contains("over by now")), "{near:#}");
    let unknown = guard["triggers"][0]["time"]["unknown"].as_array().context("a list")?;
    ensure!(unknown.iter().any(|u| u["reason"] == "no_series"), "the gap is unknown: {unknown:#?}");
    Ok(())
}

async fn a_known_incident_is_found_when_it_was(world: World) -> anyhow::Result<()> {
    let start = start();
    let prometheus = Prometheus::builder(&world).history(&past(start)).start().await?;
    let config = config(&world, &prometheus.url());
    let ended = replay(&world, &config, &["--from", "-60h", "--format", "json"]).await?;
    let report = facts(&ended)?;
    ensure!(report["version"] == "1");
    check(&report, start)?;
    let hostile = &report["replays"][0]["guards"][0]["triggers"][1];
    ensure!(hostile["time"]["unknown"][0]["reason"] == "query_failed", "{hostile:#}");

    let for_two = format!("guards.{GUARD}.triggers.error_rate.for=2m");
    let args = ["--from", "-60h", "--format", "json", "--against", &for_two];
    let report = facts(&replay(&world, &config, &args).await?)?;
    let guard = &report["comparison"]["guards"][0];
    ensure!(guard["a"]["rollbacks"] == 1 && guard["b"]["rollbacks"] == 2, "{guard:#}");
    ensure!(guard["both"][0]["b_later_seconds"] == -180.0, "{guard:#}");
    ensure!(guard["only_b"].as_array().is_some_and(|only| only.len() == 1), "{guard:#}");
    ensure!(report["replays"][1]["overrides"] == json!([for_two]), "{report:#}");

    let text = replay(&world, &config, &["--from", "-60h", "--set", &for_two]).await?;
    ensure!(text.code() == 0 && text.stdout.contains("terminal: 2 rollbacks"), "{text:?}");
    ensure!(text.stdout.contains("roll back 25 % -> 0 %"), "{text:?}");

    // Where nothing was recorded of the share it can be said.
    let said = facts(&replay(&world, &config, &["--from", "-60h", "--format", "json", "--share", "0"]).await?)?;
    ensure!(said["replays"][0]["guards"][0]["trips"][0]["kind"] == "at_target", "{said:#}");
    Ok(())
}

async fn a_page_for_the_browser_stands_alone(world: World) -> anyhow::Result<()> {
    let prometheus = Prometheus::builder(&world).history(&past(start())).start().await?;
    let out = world.dir.join("night.html");
    let file = out.display().to_string();
    let args = ["--from", "-60h", "--format", "html", "--out", &file];
    let ended = replay(&world, &config(&world, &prometheus.url()), &args).await?;
    ensure!(ended.code() == 0 && ended.stdout.is_empty(), "{ended:?}");
    let page = std::fs::read_to_string(&out)?;
    // Prometheus' own address is shown as text, and nothing else is an address.
    let page = page.replace(&prometheus.url(), "");
    for outside in ["http:", "https:", "url(h", "@import", "<link", "<script", "<img"] {
        ensure!(!page.contains(outside), "{outside} is in the page");
    }
    ensure!(page.contains("&lt;img src=x onerror=alert(1)&gt;"), "the reason of the query that failed is not there");
    ensure!(page.contains("<svg viewBox") && page.contains("Around the trip"), "no charts");
    ensure!(page.len() < 1_000_000, "{} bytes", page.len());
    Ok(())
}

async fn a_file_tells_the_same(world: World) -> anyhow::Result<()> {
    let start = start();
    let samples = world.write("night.prom", &past(start))?.display().to_string();
    // Nobody answers there.
    let config = config(&world, "http://127.0.0.1:9/");
    check(&facts(&replay(&world, &config, &["--input", &samples, "--format", "json"]).await?)?, start)?;
    let table = world.write("night.csv", &table(start))?.display().to_string();
    let report = facts(&replay(&world, &config, &["--input", &table, "--format", "json"]).await?)?;
    let trips = &report["replays"][0]["guards"][0]["trips"];
    ensure!(trips.as_array().is_some_and(|trips| trips.len() == 1) && trips[0]["from_percentage"] == 25, "{trips:#}");
    let tripped = time(&trips[0]["time"])? - (start + INCIDENT.start * SCRAPE);
    ensure!((315..=405).contains(&tripped), "it trips {tripped} s after the first failure");
    let broken = world.write("broken.prom", "istio_requests_total{a=\"b\" 1\nup one 1700000000\n")?;
    let ended = replay(&world, &config, &["--input", &broken.display().to_string()]).await?;
    ensure!(ended.code() == 2 && ended.stdout.is_empty(), "{ended:?}");
    ensure!(ended.stderr.contains("broken.prom:1:") && ended.stderr.contains("broken.prom:2:"), "{ended:?}");
    Ok(())
}

async fn a_prometheus_that_goes_away_is_said(world: World) -> anyhow::Result<()> {
    let prometheus = Prometheus::builder(&world).history(&past(start())).start().await?;
    let proxy = PromProxy::start(&world, &prometheus.url()).await?;
    let config = config(&world, &proxy.url());
    // A moment without answers is lived through.
    proxy.rule_times(2, |r| r.path == "/api/v1/query_range", Fault::Close);
    let ended = replay(&world, &config, &["--from", "-60h", "--format", "json"]).await?;
    ensure!(ended.code() == 0 && ended.stderr.contains("trying again"), "{ended:?}");
    // The first chunks are answered, and then none.
    let before = proxy.requests().iter().filter(|r| r.path == "/api/v1/query_range").count();
    ensure!(before > 20, "{before} requests");
    let seen = std::sync::atomic::AtomicUsize::new(0);
    let later = move |r: &crate::support::proxy::Recorded| {
        r.path == "/api/v1/query_range" && seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= 20
    };
    proxy.rule(later, Fault::Close);
    let ended = replay(&world, &config, &["--from", "-60h"]).await?;
    ensure!(ended.code() == 1 && ended.stdout.is_empty(), "{ended:?}");
    ensure!(ended.stderr.contains("was not answered in 4 attempts"), "{ended:?}");
    Ok(())
}

async fn what_is_typed_wrong_is_said_at_once(world: World) -> anyhow::Result<()> {
    let config = config(&world, "http://127.0.0.1:9/");
    let args = [
        "--from",
        "-1h",
        "--to",
        "-2h",
        "--step",
        "0s",
        "--set",
        "guards.terminal.triggers.error_rate.for=2",
        "--set",
        "guards.termnal.triggers.error_rate.for=2m",
        "--against",
        "evaluation.intervall=10s",
    ];
    let ended = replay(&world, &config, &args).await?;
    ensure!(ended.code() == 2 && ended.stdout.is_empty(), "{ended:?}");
    for said in [
        "--set guards.terminal.triggers.error_rate.for: 2 is no duration",
        "--set guards.termnal.triggers.error_rate.for: there is no guard \"termnal\"; did you mean \"terminal\"?",
        "--against evaluation.intervall: unknown key",
        "--step 0s",
        "is not before --to",
    ] {
        ensure!(ended.stderr.contains(said), "{said} is not said: {}", ended.stderr);
    }
    let ended = replay(&world, &config, &["--from", "-1h", "--guard", "nobody"]).await?;
    ensure!(
        ended.code() == 2 && ended.stderr.contains("--guard nobody: there is no such guard; there are: terminal"),
        "{ended:?}"
    );
    let ended = replay(&world, &config, &["--from", "yesterday"]).await?;
    ensure!(ended.code() == 2, "{ended:?}");
    Ok(())
}
