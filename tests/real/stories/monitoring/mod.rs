//! What `ripcord render` writes for Prometheus and Grafana: every alert by Prometheus' own rule engine, then rules and dashboards in a real
//! Prometheus that scrapes a real Ripcord.
//!
//! - `alerts`: when each alert fires, as a table
//! - `panels`: every query of every panel

mod alerts;
mod panels;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::stage::{LONG, Stage};
use crate::stories;
use crate::support::fixtures::Config;
use crate::support::hook::Behaviour;
use crate::support::prometheus::Prometheus;
use crate::support::proxy::Fault;
use crate::support::ripcord::{Ripcord, run_to_end};
use crate::support::{Story, World, eventually};
use alerts::{each_fires_when_it_should_and_not_otherwise, panels_show_what_they_say};
use panels::every_query_of_every_panel_answers;

pub fn trials() -> Vec<Story> {
    stories![
        each_fires_when_it_should_and_not_otherwise,
        panels_show_what_they_say,
        alerts_fire_when_ripcord_is_in_trouble,
        every_query_of_every_panel_answers,
    ]
}

/// What the program renders.
async fn render(world: &World, args: &[&str], configs: &[&Path]) -> anyhow::Result<String> {
    let configs: Vec<String> = configs.iter().map(|file| file.display().to_string()).collect();
    let mut all = vec!["render"];
    all.extend(args);
    configs.iter().for_each(|file| all.extend(["--config", file]));
    let ended = run_to_end(world, None, &all).await?;
    ensure!(ended.code() == 0, "{ended:?}");
    Ok(ended.stdout)
}

/// The rules of a daemon's own configuration.
async fn rules(world: &World, daemon: &Ripcord) -> anyhow::Result<Value> {
    let text = render(world, &["rules"], &[daemon.config_file()]).await?;
    serde_saphyr::from_str(&text).context("the rules are YAML")
}

/// A second Prometheus beside the one that Ripcord asks, which goes on when that one does not.
async fn watching<'a>(stage: &Stage<'a>, daemon: &Ripcord, rules: Value) -> anyhow::Result<Prometheus<'a>> {
    let address: SocketAddr = daemon.url().trim_start_matches("http://").parse()?;
    Prometheus::builder(stage.world)
        .target("mesh", stage.mesh.address())
        .target("ripcord", address)
        .rules(rules)
        .start()
        .await
}

/// The alerts that fire.
async fn firing(prometheus: &Prometheus<'_>) -> anyhow::Result<BTreeSet<String>> {
    let data = prometheus.query_raw("count by (alertname) (ALERTS{alertstate=\"firing\"})").await?;
    let found = data["result"].as_array().into_iter().flatten().filter_map(|row| row["metric"]["alertname"].as_str());
    Ok(found.map(str::to_owned).collect())
}

async fn until_firing(prometheus: &Prometheus<'_>, wanted: &[&str]) -> anyhow::Result<()> {
    eventually(LONG, &format!("{wanted:?} fire"), async || match firing(prometheus).await {
        Ok(found) if wanted.iter().all(|name| found.contains(*name)) => Ok(()),
        Ok(found) => Err(format!("{found:?}")),
        Err(error) => Err(error.to_string()),
    })
    .await
}

/// Real trouble, one kind after the other. What is minutes in the rules is a second here; nothing else is changed.
async fn alerts_fire_when_ripcord_is_in_trouble(world: World) -> anyhow::Result<()> {
    let mut stage = Stage::set(&world).await?;
    let config: Config =
        stage.config().set("readiness.interval", "1s").set("links.runbook", "https://wiki.test/ripcord");
    let mut daemon = stage.watch(&config).await?;
    stage.ready(&daemon).await?;
    let mut rules = rules(&world, &daemon).await?;
    for group in rules["groups"].as_array_mut().context("groups")? {
        for rule in group["rules"].as_array_mut().context("rules")?.iter_mut().filter(|rule| rule["for"].is_string()) {
            rule["for"] = json!("1s");
            let shorter = rule["expr"].as_str().context("a query")?.replace("> 300", "> 3");
            rule["expr"] = json!(shorter);
        }
    }
    let prometheus = watching(&stage, &daemon, rules).await?;
    eventually(LONG, "the rules have been evaluated", async || {
        prometheus.query_opt("count(guard_trigger:request_success:ratio)").await.is_ok_and(|n| n > Some(0.0))
    })
    .await?;
    let quiet = firing(&prometheus).await?;
    ensure!(quiet.is_empty(), "nothing is wrong yet: {quiet:?}");

    // A rollback would fail, and the receiver that should be told is down.
    stage.hook.set(Behaviour::Status(500, None));
    stage.api.rule(|r| r.method == "PATCH" && r.path.contains("/deployments/"), Fault::kubernetes(403));
    until_firing(&prometheus, &["RipcordNotReady", "RipcordNotificationsStuck"]).await?;
    // It is blind.
    stage.prometheus.stop();
    until_firing(&prometheus, &["RipcordBlind", "RipcordQueriesFail"]).await?;
    // Its new configuration is refused.
    daemon.write_config("nonsense: true\nhttp: {listen: LISTEN_ADDRESS}\n")?;
    daemon.signal(rustix::process::Signal::HUP)?;
    until_firing(&prometheus, &["RipcordConfigReloadFailed"]).await?;
    let told = prometheus.query_raw("ALERTS{alertname=\"RipcordNotReady\",alertstate=\"firing\"}").await?;
    let labels = &told["result"][0]["metric"];
    ensure!(labels["guard"] == super::stage::GUARD && labels["severity"] == "critical", "{told}");
    // It is gone.
    daemon.kill();
    until_firing(&prometheus, &["RipcordGone"]).await?;
    eventually(Duration::from_secs(60), "what a dead one said last is no alert any more", async || {
        firing(&prometheus).await.is_ok_and(|found| !found.contains("RipcordNotReady"))
    })
    .await
}
