//! Every query of every panel, asked of a Prometheus that scrapes a Ripcord with a story behind it.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::super::stage::{COMPONENT, GUARD, LONG, Stage, until_state};
use super::{render, rules, watching};
use crate::support::prometheus::Prometheus;
use crate::support::{World, eventually};

const TOKEN: &str = "open-sesame";

pub async fn every_query_of_every_panel_answers(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    // What the kubelet of a real cluster would say.
    let sidecar = format!("{COMPONENT}-6d5f-x2x");
    let pods =
        [(world.namespace.as_str(), sidecar.as_str(), "istio-proxy"), ("istio-system", "istiod-7c9-abc", "discovery")];
    for (namespace, pod, container) in pods {
        let labels = [("namespace", namespace), ("pod", pod), ("container", container)];
        stage.mesh.gauge("container_memory_working_set_bytes", &labels, 6e7);
        stage.mesh.gauge("container_cpu_usage_seconds_total", &labels, 12.5);
    }
    let token = world.write("token", TOKEN)?;
    let config = stage
        .config()
        .set("http.token_file", json!(token))
        .set("readiness.interval", "1s")
        .set("heartbeat", json!({"url": stage.hook.url("/heartbeat"), "interval": "1s"}))
        .set(
            "defaults.triggers.proxy_memory",
            json!({
                "promql": "max(container_memory_working_set_bytes{container=\"istio-proxy\",pod=~\"${deployment}-.*\"})", "above": "128Mi",
                "for": "5s", "action": "page",
            }),
        );
    let daemon = stage.watch(&config).await?;
    stage.ready(&daemon).await?;
    let prometheus = watching(&stage, &daemon, rules(&world, &daemon).await?).await?;

    // A step down, and a rollback.
    for (command, body) in
        [("shift", json!({"reason": "down", "percentage": 20})), ("rollback", json!({"reason": "users complain"}))]
    {
        let (status, text) = daemon.post(&format!("/api/v1/guards/{GUARD}/{command}"), Some(TOKEN), &body).await?;
        ensure!(status == 200, "{command}: {text}");
        let share = if command == "shift" { "20" } else { "0" };
        eventually(LONG, "the share is set", async || {
            stage.env("ISTIO_PERCENTAGE").await.is_ok_and(|found| found.as_deref() == Some(share))
        })
        .await?;
        eventually(LONG, "the incident is done", async || {
            daemon
                .incidents()
                .await
                .is_ok_and(|all| all[0]["completed_at"].is_string() || all[1]["completed_at"].is_string())
        })
        .await?;
    }
    stage.told("rollback.verified").await?;
    until_state(&daemon, "rolled_back").await?;

    let mut asked = 0;
    for which in ["migration", "ripcord"] {
        let text = render(&world, &["dashboard", which], &[daemon.config_file()]).await?;
        let dashboard: Value = serde_json::from_str(&text)?;
        for panel in dashboard["panels"].as_array().context("panels")? {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let what = format!("{which}: {}: {}", panel["title"], target["refId"]);
                for guard in [".+", GUARD] {
                    let query = target["expr"].as_str().context("a query")?.replace("$guard", guard);
                    let legend = target["legendFormat"].as_str().context("a legend")?;
                    eventually(LONG, &what, async || answers(&prometheus, &query, legend).await).await?;
                    asked += 1;
                }
            }
        }
        let rollbacks =
            dashboard["annotations"]["list"][1]["expr"].as_str().context("a query")?.replace("$guard", ".+");
        let over = format!("max_over_time(({rollbacks})[5m:1s])");
        eventually(LONG, "the rollback is marked", async || {
            let marked = prometheus.query_opt(&over).await?;
            ensure!(marked == Some(1.0), "{marked:?}: {rollbacks}");
            Ok(())
        })
        .await?;
    }
    ensure!(asked > 80, "only {asked} queries were asked");

    // What is recorded is what the engine sees, once both have the same data.
    eventually(LONG, "what is recorded is what the engine sees", async || {
        let seen = daemon.status().await?["guards"][0]["triggers"].clone();
        let latency = seen.as_array().into_iter().flatten().find(|t| t["trigger"] == "latency").context("latency")?;
        let degraded = latency["value"].as_f64().context("a value")?;
        let recorded = prometheus
            .query("max(guard_trigger:request_duration_seconds:quantile{trigger=\"latency\",window=\"10s\"})")
            .await?;
        ensure!((recorded / 0.12 - 1.0 - degraded).abs() < 0.05, "{recorded} s, and {degraded} against 120 ms");
        Ok(())
    })
    .await?;
    Ok(())
}

/// Whether a query has data, with every label that its legend names.
async fn answers(prometheus: &Prometheus<'_>, query: &str, legend: &str) -> anyhow::Result<()> {
    let data = tokio::time::timeout(Duration::from_secs(10), prometheus.query_raw(query)).await??;
    let rows = data["result"].as_array().context("rows")?;
    let known = |row: &&Value| row["value"][1].as_str().is_some_and(|value| value != "NaN");
    ensure!(rows.iter().any(|row| known(&row)), "nothing answers {query}: {data}");
    for label in legend.split("{{").skip(1).filter_map(|part| part.split("}}").next()) {
        ensure!(
            rows.iter().all(|row| row["metric"][label].is_string()),
            "{label} is in the legend only: {query}: {data}"
        );
    }
    Ok(())
}
