//! Many guards, a standby, a dry run, no token.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::json;

use super::super::stage::{COMPONENT, GUARD, LONG, Stage};
use super::{TOKEN, config, open, sign_in};
use crate::stories;
use crate::support::browser::Browser;
use crate::support::fixtures::{self, Config};
use crate::support::hook::Behaviour;
use crate::support::mesh::Traffic;
use crate::support::ripcord::Ripcord;
use crate::support::{Story, World, eventually};

pub fn trials() -> Vec<Story> {
    stories![
        of_many_guards_those_come_first_that_are_not_well,
        a_thousand_guards_are_still_a_page,
        a_standby_shows_everything_and_names_the_leader,
        a_dry_run_and_a_missing_token_are_said,
    ]
}

/// Components of the mesh, each with all of Istio's series.
const SOME: usize = 40;

fn name(n: usize) -> String {
    format!("component-{n:02}")
}

/// Guards that only read their share, of nothing that must be there.
fn guarded(mut config: Config, namespace: &str, names: impl Iterator<Item = String>) -> Config {
    let config_map = json!([{"config_map": {
        "namespace": namespace, "name": "${deployment}-config", "optional": true, "data": {"istio_percentage": "${percentage}"},
    }}]);
    for name in names {
        config = config.guard(&name, &name).set(&format!("guards.{name}.traffic"), config_map.clone());
    }
    config
}

async fn of_many_guards_those_come_first_that_are_not_well(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    for n in 0..SOME {
        let bad = if n == 17 { Traffic::healthy(200.0).errors(0.04) } else { Traffic::healthy(200.0) };
        stage.mesh.workload(&name(n)).set(bad);
        fixtures::create_config_map(&world, &name(n)).await?;
    }
    let names: Vec<String> = (0..SOME).map(name).chain([COMPONENT.to_owned()]).collect();
    let identity = super::super::super::deploy::least_identity_for(&world, &names).await?;
    let kubeconfig = stage.api.kubeconfig(&world, &identity)?;
    let mut config = guarded(config(&world, &stage)?, &world.namespace, (0..SOME).map(name));
    for trigger in ["error_rate", "latency", "availability"] {
        config = config.set(&format!("defaults.triggers.{trigger}.for"), "10m");
    }
    let mut ripcord = Ripcord::start(&world, &config.to_string(), &kubeconfig)?;
    ripcord.wait_ready().await?;
    let browser = Browser::start(&world).await?;
    open(&browser, &ripcord, "component-17: ").await?;
    eventually(LONG, "all the others are well", async || {
        browser.count(".line.good").await.is_ok_and(|count| count == u64::try_from(SOME).unwrap_or_default())
    })
    .await?;
    browser.judge("many", &ripcord.url()).await?;
    ensure!(browser.text(".guard h3").await?.contains("component-17"), "the one that is bad comes first");
    ensure!(browser.count(".guard").await? + browser.count(".line").await? == 1 + u64::try_from(SOME)?);

    browser.type_into("#filter", "component-3").await?;
    browser.click(".filter button").await?;
    browser.until_text("#h-guards", "10 of 41", LONG).await?;
    ensure!(browser.count(".guard").await? == 10, "few are shown whole");
    browser.judge("filtered", &ripcord.url()).await?;
    // What is being typed stays while the page updates itself.
    browser.run("document.getElementById('filter').value = 'half-ty'; window.kept = document.querySelector('.fresh time').dateTime").await?;
    eventually(LONG, "the page has updated itself", async || {
        browser
            .run("return document.querySelector('.fresh time').dateTime !== window.kept")
            .await
            .is_ok_and(|v| v == true)
    })
    .await?;
    ensure!(browser.run("return document.getElementById('filter').value").await? == "half-ty");
    Ok(())
}

/// Nothing of them is measured: every one is a guard that is not well.
async fn a_thousand_guards_are_still_a_page(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let names = (0..1000).map(|n| format!("component-{n:04}-controller"));
    let config = guarded(config(&world, &stage)?, &world.namespace, names)
        .set("evaluation.interval", "3s")
        .set("readiness.interval", "6h")
        .set("prometheus.url", "http://127.0.0.1:9");
    let ripcord =
        Ripcord::builder(&world, &config.to_string()).kubeconfig(&stage.kubeconfig).arg("--dry-run").start()?;
    // A thousand guards and a busy machine: that takes longer than others are given.
    eventually(LONG, "the first tick is done", async || {
        ripcord.get("/readyz").await.is_ok_and(|(status, _)| status == 200)
    })
    .await?;
    let (status, page) = ripcord.get("/").await?;
    ensure!(status == 200 && page.len() < 500_000, "{} bytes", page.len());
    let browser = Browser::start(&world).await?;
    open(&browser, &ripcord, "Does not see: ").await?;
    ensure!(browser.text("#guards").await?.contains("And 789 more guards."), "what is left out is said");
    browser.width(360).await?;
    ensure!(browser.overflow().await? <= 0);
    browser.go(&format!("{}/?guard=component-0999-controller", ripcord.url())).await?;
    ensure!(browser.count(".guard").await? == 1);
    browser.judge("one-of-a-thousand", &ripcord.url()).await
}

async fn a_standby_shows_everything_and_names_the_leader(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let object = |name: &str| json!({"namespace": world.namespace, "name": name});
    let config = config(&world, &stage)?
        .set("state", json!({"config_map": object("ripcord-state")}))
        .set("leader_election", json!({"lease": object("ripcord"), "lease_duration": "15s"}));
    let leader = stage.watch(&config).await?;
    let mut standby =
        Ripcord::builder(&world, &config.to_string()).called("standby").kubeconfig(&stage.kubeconfig).start()?;
    standby.wait_ready().await?;
    let status = eventually(LONG, "the standby knows who leads", async || {
        let status = standby.status().await.ok()?;
        (status["leads"] == false && status["leader"].is_string()).then_some(status)
    })
    .await?;
    let name = status["leader"].as_str().context("a name")?.to_owned();
    let browser = Browser::start(&world).await?;
    open(&browser, &standby, &format!("Stands by: {name} leads")).await?;
    // The cookie of a name counts for all its ports: who has signed in at one has at both.
    sign_in(&browser, &leader).await?;
    ensure!(browser.count(".guard .button").await? > 0, "the leader has buttons");
    browser.go(&standby.url()).await?;
    browser.until_text(".signing", "Signed in", Duration::from_secs(10)).await?;
    ensure!(browser.count(".guard .button").await? == 0, "a standby has none");
    ensure!(browser.text(".itself").await?.contains(&format!("on the page of {name}")));
    ensure!(browser.count(".trigger").await? == 3, "it shows everything");
    // What the leader could not tell is seen here too; what waits for it still is not, and that is said.
    stage.hook.set(Behaviour::Status(400, None));
    let (status, answer) =
        leader.post(&format!("/api/v1/guards/{GUARD}/pause"), Some(TOKEN), &json!({"for": "30m"})).await?;
    ensure!(status == 200, "{status}: {answer}");
    browser.until_text(".lost", "guard.paused", LONG).await?;
    ensure!(browser.text(".receivers").await?.contains("what waits is known by who leads"));
    browser.requests().await?;
    browser.judge("standby", &standby.url()).await?;
    browser.go(&super::at(&standby, "rollback")).await?;
    ensure!(browser.text("main").await?.contains(&name), "it says whom to ask");
    ensure!(browser.count("form").await? == 0);
    Ok(())
}

async fn a_dry_run_and_a_missing_token_are_said(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let mut ripcord =
        Ripcord::builder(&world, &stage.config().to_string()).kubeconfig(&stage.kubeconfig).arg("--dry-run").start()?;
    ripcord.wait_ready().await?;
    stage.all_clear(&ripcord).await?;
    let browser = Browser::start(&world).await?;
    open(&browser, &ripcord, "The guard is well").await?;
    browser.judge("dry-run", &ripcord.url()).await?;
    ensure!(browser.text(".headline").await?.contains("Dry run"));
    ensure!(browser.text(".itself").await?.contains("no http.token_file is configured"));
    ensure!(browser.count(".button, form").await? == 0, "nothing to sign in with");
    for path in ["/sign-in", &format!("/guards/{GUARD}/rollback")] {
        let (status, text) = ripcord.get(path).await?;
        ensure!(status == 403 && text.contains("token_file"), "{path}: {status}");
    }
    ensure!(ripcord.post("/sign-in", None, &json!({"token": TOKEN})).await?.0 != 200);
    ensure!(stage.mesh.workload(COMPONENT).traffic().rps > 0.0);
    Ok(())
}
