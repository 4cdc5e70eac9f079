//! What is measured: other metric names, other baselines, and how few queries it takes.

use anyhow::ensure;
use serde_json::json;

use super::stage::{COMPONENT, LONG, Stage, trigger, triggers};
use crate::stories;
use crate::support::fixtures;
use crate::support::mesh::Traffic;
use crate::support::proxy::PromProxy;
use crate::support::{Story, World, eventually};

pub fn trials() -> Vec<Story> {
    stories![
        an_ingress_controller_is_guarded_by_its_own_names,
        latency_is_compared_with_the_ingress_at_the_same_time,
        a_drop_of_the_throughput_rolls_back,
        broken_routes_page_though_nothing_fails,
        an_error_budget_that_burns_too_fast_pages,
        more_guards_are_not_more_queries,
        several_files_and_the_environment_make_one_configuration,
    ]
}

async fn an_ingress_controller_is_guarded_by_its_own_names(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let ingress = stage.mesh.ingress("terminal");
    ingress.set(Traffic::healthy(200.0));
    let config = stage
        .config()
        .set("defaults.metrics", "ingress_nginx")
        .set("guards.terminal.match", json!({"ingress": "terminal"}))
        .unset("guards.terminal.caller_match");
    let _ripcord = stage.watch(&config).await?;
    ingress.set(Traffic::healthy(200.0).errors(0.1));
    stage.told("rollback.started").await?;
    ensure!(stage.told("rollback.succeeded").await?.body["rollback"]["to_percentage"] == 0);
    Ok(())
}

/// Both sides get slower together: that is no degradation. Then only Istio's does.
async fn latency_is_compared_with_the_ingress_at_the_same_time(world: World) -> anyhow::Result<()> {
    let stage = Stage::set_with(&world, Traffic::healthy(200.0).latency(100.0)).await?;
    let ingress = stage.mesh.ingress("terminal");
    ingress.set(Traffic::healthy(200.0).latency(100.0));
    let config = stage.config().set(
        "defaults.triggers.latency.baseline",
        json!({"control": {"metrics": "ingress_nginx", "match": {"ingress": "terminal"}}}),
    );
    let ripcord = stage.watch(&config).await?;
    ingress.set(Traffic::healthy(200.0).latency(300.0));
    stage.workload().set(Traffic::healthy(200.0).latency(300.0));
    eventually(LONG, "both are slow, which is no degradation", async || {
        let t = trigger(&ripcord, "latency").await.map_err(|e| e.to_string())?;
        let slow = t["baseline"].as_f64().is_some_and(|b| b > 0.25);
        if slow && t["verdict"] == "clear" { Ok(()) } else { Err(t.to_string()) }
    })
    .await?;
    stage.workload().set(Traffic::healthy(200.0).latency(900.0));
    let started = stage.told("rollback.started").await?;
    ensure!(started.body["trigger"]["name"] == "latency", "{}", started.body);
    Ok(())
}

async fn a_drop_of_the_throughput_rolls_back(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let config = stage.config().set(
        "defaults.triggers.throughput",
        json!({"signal": "throughput", "below": "100/s", "clear_above": "150/s", "window": "10s", "for": "5s", "action": "rollback"}),
    );
    let _ripcord = stage.watch(&config).await?;
    stage.workload().set(Traffic::healthy(20.0));
    let started = stage.told("rollback.started").await?;
    ensure!(started.body["trigger"]["name"] == "throughput", "{}", started.body);
    Ok(())
}

/// The queries of a tick grow with signals and windows, not with guards.
/// 404s are no failures, and as many of the Ingress' are no news. Then only Istio's routes break.
async fn broken_routes_page_though_nothing_fails(world: World) -> anyhow::Result<()> {
    let refused = |share| Traffic { error_code: 404, ..Traffic::healthy(200.0).errors(share) };
    let stage = Stage::set_with(&world, refused(0.1)).await?;
    let ingress = stage.mesh.ingress("terminal");
    ingress.set(refused(0.1));
    let config = stage.config().set(
        "defaults.triggers.broken_routes",
        json!({
            "signal": "client_error_rate", "rises_by": "5%", "clear_below": "2%", "window": "10s", "confirm_window": "4s", "for": "3s",
            "baseline": {"control": {"metrics": "ingress_nginx", "match": {"ingress": "terminal"}}},
        }),
    );
    let ripcord = stage.watch(&config).await?;
    let calm = trigger(&ripcord, "broken_routes").await?;
    ensure!(calm["baseline"].as_f64().is_some_and(|base| (base - 0.1).abs() < 0.03), "{calm}");
    stage.workload().set(refused(0.4));
    let page = stage.told("page.firing").await?;
    ensure!(page.body["trigger"]["name"] == "broken_routes", "{}", page.body);
    let summary = page.body["summary"].as_str().unwrap_or_default();
    ensure!(summary.contains(" points (") && summary.contains("limit +5 points"), "{summary}");
    ensure!(trigger(&ripcord, "error_rate").await?["verdict"] == "clear", "a 404 is no failure of the service");
    stage.workload().set(refused(0.1));
    stage.told("page.resolved").await?;
    ensure!(stage.patches() == 0, "client errors roll nothing back");
    Ok(())
}

/// 30 % of failures use up a budget of 1 % thirty times as fast: one of the two burn rates sees it.
async fn an_error_budget_that_burns_too_fast_pages(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let burn_rates = json!([
        {"above": 14.4, "window": "12s", "confirm_window": "4s"},
        {"above": 60, "window": "30s", "confirm_window": "4s"},
    ]);
    let mut config = stage.config().set(
        "defaults.triggers.budget",
        json!({"signal": "availability", "slo": {"objective": "99%", "burn_rates": burn_rates}, "for": "3s", "clear_for": "2s"}),
    );
    for name in ["error_rate", "latency", "availability"] {
        config = config.set(&format!("defaults.triggers.{name}.enabled"), false);
    }
    let ripcord = stage.watch(&config).await?;
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    let page = stage.told("page.firing").await?;
    ensure!(page.body["trigger"]["name"] == "budget" && page.body["trigger"]["threshold"] == 14.4, "{}", page.body);
    let summary = page.body["summary"].as_str().unwrap_or_default();
    ensure!(summary.contains("x over 12s (") && summary.contains("limit 14.4x"), "{summary}");
    let queries = trigger(&ripcord, "budget").await?;
    ensure!(queries["threshold_text"] == "14.4x", "{queries}");
    stage.workload().set(Traffic::healthy(200.0));
    stage.told("page.resolved").await?;
    ensure!(stage.patches() == 0, "a burn rate rolls nothing back");
    Ok(())
}

async fn more_guards_are_not_more_queries(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let proxy = PromProxy::start(&world, &stage.prometheus.url()).await?;
    let mut config = stage.config().set("prometheus.url", proxy.url());
    let per_tick = async |config: &fixtures::Config, guards: usize| -> anyhow::Result<f64> {
        let mut ripcord = stage.start(config)?;
        ripcord.wait_ready().await?;
        eventually(LONG, "every guard is clear", async || {
            let status = ripcord.status().await.map_err(|e| e.to_string())?;
            let clear = triggers(&status).filter(|t| t["verdict"] == "clear").count();
            if clear == guards * 3 { Ok(()) } else { Err(format!("{clear} triggers are clear")) }
        })
        .await?;
        let of = |page: &str, name: &str| -> anyhow::Result<f64> {
            Ok(page
                .lines()
                .filter(|l| l.starts_with(name))
                .filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok())
                .sum())
        };
        let page = ripcord.metrics().await?;
        Ok(of(&page, "ripcord_queries_total")? / of(&page, "ripcord_evaluation_duration_seconds_count")?)
    };
    let one = per_tick(&config, 1).await?;
    for name in ["db-adminer-controller", "resources-controller", "webhook-admission"] {
        stage.mesh.workload(name).set(Traffic::healthy(200.0));
        fixtures::create_deployment(&world, name).await?;
        fixtures::create_config_map(&world, name).await?;
        config = config.guard(name, name);
    }
    let four = per_tick(&config, 4).await?;
    ensure!(
        (one - 12.0).abs() < 1e-9 && (four - one).abs() < 1e-9,
        "one guard takes {one} queries a tick, four take {four}"
    );
    let merged = proxy.requests().iter().any(|r| {
        let body = String::from_utf8_lossy(&r.body).into_owned();
        body.contains("webhook-admission") && body.contains(COMPONENT)
    });
    ensure!(merged, "no query asked for several guards at once");
    Ok(())
}

async fn several_files_and_the_environment_make_one_configuration(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let first =
        stage.config().set("prometheus.url", "http://127.0.0.1:9").set("defaults.triggers.error_rate.for", "50s");
    let second = world.write("second.yaml", "defaults: {triggers: {error_rate: {for: 40s, above: 3%}}}\n")?;
    let mut ripcord = crate::support::ripcord::Ripcord::builder(&world, &first.to_string())
        .kubeconfig(&stage.kubeconfig)
        .arg("--config")
        .arg(&second.display().to_string())
        .env("RIPCORD__PROMETHEUS__URL", &stage.prometheus.url())
        .env("RIPCORD__DEFAULTS__TRIGGERS__ERROR_RATE__FOR", "30s")
        .start()?;
    ripcord.wait_ready().await?;
    stage.all_clear(&ripcord).await?;
    let seen = trigger(&ripcord, "error_rate").await?;
    ensure!(seen["for_seconds"] == 30.0, "the environment comes last: {seen}");
    ensure!(seen["threshold"] == 0.03, "the second file comes after the first: {seen}");
    Ok(())
}
