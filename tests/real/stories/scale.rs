//! A thousand components at once: as many queries as for a few, and the one that is bad is found.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures::FutureExt as _;
use ripcord::config::{self, LoadOptions};
use ripcord::prometheus::Plan;
use serde_json::{Value, json};

use super::stage::LONG;
use crate::stories;
use crate::support::apiserver::ApiProxy;
use crate::support::fixtures::{self, Config};
use crate::support::hook::Hook;
use crate::support::prometheus::Prometheus;
use crate::support::ripcord::{Ripcord, metric_in};
use crate::support::server::{HttpServer, Reply};
use crate::support::{Story, World, eventually};

pub fn trials() -> Vec<Story> {
    stories![one_of_a_thousand_is_found_and_it_alone]
}

const GUARDS: usize = 1000;

/// The component that fails.
const BAD: usize = 617;

/// Requests per second of each.
const RATE: f64 = 100.0;

/// Three built-in triggers over two windows each are twelve numbers; more queries than twice the limit allows are none for a few.
const FEW_QUERIES: usize = 40;

/// Ticks that are counted.
const TICKS: f64 = 3.0;

fn name(n: usize) -> String {
    format!("component-{n:04}-controller")
}

/// An exporter with no more than the built-in signals need: with all of Istio's labels and buckets the page would be twenty times as
/// large.
struct Exporter {
    begun: Instant,
    /// Since when the bad component fails.
    bad_since: Mutex<Option<Instant>>,
}

impl Exporter {
    fn page(&self) -> String {
        let total = (self.begun.elapsed().as_secs_f64() * RATE).floor();
        let bad_since = *self.bad_since.lock().expect("no holder panics");
        let failed = bad_since.map_or(0.0, |since| (since.elapsed().as_secs_f64() * RATE / 2.0).floor());
        let mut families = [String::new(), String::new(), String::new()];
        for n in 0..GUARDS {
            let name = name(n);
            let failed = if n == BAD { failed } else { 0.0 };
            for (code, count) in [(200, total - failed), (503, failed)] {
                for reporter in ["source", "destination"] {
                    let _ = writeln!(
                        families[0],
                        "istio_requests_total{{reporter=\"{reporter}\",source_workload=\"istio-ingressgateway\",destination_workload=\"{name}\",destination_service_name=\"{name}\",response_code=\"{code}\",response_flags=\"-\"}} {count}"
                    );
                }
            }
            let labels = format!("reporter=\"destination\",destination_workload=\"{name}\",response_flags=\"-\"");
            for (le, part) in [("50", 0.5), ("100", 1.0), ("+Inf", 1.0)] {
                let within = (total * part).floor();
                let _ = writeln!(
                    families[1],
                    "istio_request_duration_milliseconds_bucket{{{labels},le=\"{le}\"}} {within}"
                );
            }
            let _ = writeln!(families[2], "istio_request_duration_milliseconds_count{{{labels}}} {total}");
        }
        families.concat()
    }
}

fn guards(status: &Value) -> impl Iterator<Item = &Value> {
    status["guards"].as_array().into_iter().flatten()
}

/// The triggers of a guard that are not clear.
fn not_clear(guard: &Value) -> Vec<String> {
    let triggers = guard["triggers"].as_array().into_iter().flatten().filter(|t| t["verdict"] != "clear");
    triggers.map(|t| format!("{} {} {}: {}", guard["guard"], t["trigger"], t["verdict"], t["reason"])).collect()
}

/// A dry run that decides and tells. Only the component that will fail has a Deployment; the ConfigMaps of the others may be missing.
fn configuration(world: &World, prometheus: &Prometheus<'_>, hook: &Hook) -> Config {
    let config_map = json!([{"config_map": {
        "namespace": world.namespace, "name": "${deployment}-config", "optional": true, "data": {"share": "${percentage}"},
    }}]);
    let mut config = Config::new(world, &prometheus.url())
        .webhook("oncall", hook)
        .set("evaluation.interval", "4s")
        .set("prometheus.timeout", "10s")
        .set("readiness.interval", "6h");
    for trigger in ["error_rate", "latency", "availability"] {
        for (key, time) in [("window", "20s"), ("confirm_window", "8s"), ("for", "8s")] {
            config = config.set(&format!("defaults.triggers.{trigger}.{key}"), time);
        }
    }
    for n in 0..GUARDS {
        config = config.guard(&name(n), &name(n));
        if n != BAD {
            config = config.set(&format!("guards.{}.traffic", name(n)), config_map.clone());
        }
    }
    config
}

/// The queries of a tick, as planned.
fn planned(world: &World, config: &Config) -> anyhow::Result<usize> {
    let file = world.write("planned.yaml", &config.clone().set("http.listen", "127.0.0.1:0").to_string())?;
    let settings = config::load(&[file], [], LoadOptions::default())
        .map_err(|f| anyhow::anyhow!("{}", f.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
    Ok(Plan::new(&settings.guards).queries().len())
}

/// Ticks that knew every trigger, and queries that were answered, so far.
async fn counts(ripcord: &Ripcord) -> anyhow::Result<(f64, f64)> {
    let page = ripcord.metrics().await?;
    let count = |name| metric_in(&page, name, &[("result", "ok")]).map(Option::unwrap_or_default);
    Ok((count("ripcord_evaluations_total")?, count("ripcord_queries_total")?))
}

async fn one_of_a_thousand_is_found_and_it_alone(world: World) -> anyhow::Result<()> {
    let exporter = Arc::new(Exporter { begun: Instant::now(), bad_since: Mutex::new(None) });
    let scraped = exporter.clone();
    let server = HttpServer::start(move |_, _| {
        let page = scraped.page();
        async move { Reply::text(200, page) }.boxed()
    })
    .await?;
    let prometheus =
        Prometheus::builder(&world).target("mesh", server.address()).interval(Duration::from_secs(2)).start().await?;
    fixtures::create_deployment(&world, &name(BAD)).await?;
    let hook = Hook::start(&world).await?;
    let api = ApiProxy::start(&world).await?;
    let kubeconfig = api.kubeconfig(&world, world.apiserver.admin_identity())?;
    let config = configuration(&world, &prometheus, &hook);
    let planned = planned(&world, &config)?;
    ensure!(planned < FEW_QUERIES, "{planned} queries a tick");

    let mut ripcord = Ripcord::builder(&world, &config.to_string()).kubeconfig(&kubeconfig).arg("--dry-run").start()?;
    ripcord.wait_ready().await?;
    eventually(LONG, "every trigger is clear", async || {
        let status = ripcord.status().await.map_err(|e| e.to_string())?;
        let left: Vec<String> = guards(&status).flat_map(not_clear).collect();
        ensure_none(guards(&status).count(), &left)
    })
    .await?;

    let before = counts(&ripcord).await?;
    let after = eventually(LONG, "some ticks", async || {
        let now = counts(&ripcord).await.map_err(|e| e.to_string())?;
        if now.0 >= before.0 + TICKS { Ok(now) } else { Err(format!("{now:?}")) }
    })
    .await?;
    let (ticks, queries) = (after.0 - before.0, after.1 - before.1);
    #[allow(clippy::cast_precision_loss)]
    let wanted = ticks * planned as f64;
    ensure!((queries - wanted).abs() < 0.5, "{queries} queries for {ticks} ticks of {planned}");

    *exporter.bad_since.lock().expect("no holder panics") = Some(Instant::now());
    let call = hook.wait_event("rollback.started", LONG).await?;
    ensure!(call.body["guard"] == json!(name(BAD)), "{}", call.body);
    let status = ripcord.status().await?;
    let bad: BTreeSet<&str> =
        guards(&status).filter(|g| !not_clear(g).is_empty()).filter_map(|g| g["guard"].as_str()).collect();
    ensure!(bad == [name(BAD).as_str()].into(), "{bad:?}");
    let moved: Vec<_> =
        hook.accepted().iter().filter(|c| c.event() == "rollback.started").map(|c| c.event().to_owned()).collect();
    ensure!(moved.len() == 1, "{moved:?}");
    let found = guards(&status).find(|g| g["guard"] == name(BAD).as_str()).context("the guard")?;
    ensure!(found["percentage"] == 25, "{found}");
    Ok(())
}

fn ensure_none(guards: usize, left: &[String]) -> Result<(), String> {
    match left {
        [] if guards == GUARDS => Ok(()),
        [first, ..] => Err(format!("{} are not, like {first}", left.len())),
        [] => Err(format!("{guards} guards")),
    }
}
