//! Prometheus, what it scrapes, and the fault proxy before it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};

use crate::stories;
use crate::support::mesh::{Mesh, Traffic};
use crate::support::prometheus::Prometheus;
use crate::support::proxy::{Fault, PromProxy};
use crate::support::{Story, World, eventually};

const SOON: Duration = Duration::from_secs(30);

pub fn trials() -> Vec<Story> {
    stories![
        prometheus_measures_what_the_mesh_says,
        traffic_changes_while_it_is_scraped,
        kinds_of_failures_are_told_apart,
        prometheus_halts_dies_and_comes_back,
        prometheus_proxy_injects_faults,
        prometheus_has_a_past,
    ]
}

/// Whether a number is within this part of what it should be.
fn near(is: f64, should: f64, part: f64) -> Result<(), String> {
    if (is - should).abs() <= part * should.abs() { Ok(()) } else { Err(format!("{is} instead of {should}")) }
}

/// Waits until a query gives this number.
async fn measures(prometheus: &Prometheus<'_>, promql: &str, should: f64, part: f64) -> anyhow::Result<()> {
    eventually(SOON, &format!("{promql} is near {should}"), async || {
        near(prometheus.query(promql).await.map_err(|e| e.to_string())?, should, part)
    })
    .await
}

fn p95(metric: &str, labels: &str) -> String {
    format!("histogram_quantile(0.95, sum by (le) (rate({metric}_bucket{{{labels}}}[6s])))")
}

async fn prometheus_measures_what_the_mesh_says(world: World) -> anyhow::Result<()> {
    let mesh = Mesh::start(&world).await?;
    mesh.workload("terminal-controller").set(Traffic::healthy(200.0).errors(0.05).latency(180.0));
    mesh.workload("quiet").set(Traffic::healthy(20.0).latency(97.0));
    mesh.ingress("terminal").set(Traffic::healthy(100.0).errors(0.02).latency(120.0));
    let memory = [("container", "istio-proxy"), ("pod", "terminal-controller-1")];
    mesh.gauge("container_memory_working_set_bytes", &memory, 1.5e8);
    let prometheus = Prometheus::start(&world, mesh.address()).await?;

    let all = "istio_requests_total{destination_workload=\"terminal-controller\",reporter=\"destination\"}";
    let failed = "istio_requests_total{destination_workload=\"terminal-controller\",reporter=\"destination\",response_code=\"503\"}";
    measures(&prometheus, &format!("sum(rate({all}[6s]))"), 200.0, 0.03).await?;
    measures(&prometheus, &format!("sum(rate({failed}[6s])) / sum(rate({all}[6s]))"), 0.05, 0.1).await?;
    let durations = "istio_request_duration_milliseconds";
    let workload = |name: &str| format!("destination_workload=\"{name}\",reporter=\"destination\"");
    measures(&prometheus, &p95(durations, &workload("terminal-controller")), 180.0, 0.02).await?;
    // Near the upper bound of its bucket, where some requests have to lie above it.
    measures(&prometheus, &p95(durations, &workload("quiet")), 97.0, 0.1).await?;

    measures(&prometheus, "sum(rate(nginx_ingress_controller_requests{ingress=\"terminal\"}[6s]))", 100.0, 0.03)
        .await?;
    let share = "sum(rate(nginx_ingress_controller_requests{status=\"503\"}[6s])) / sum(rate(nginx_ingress_controller_requests[6s]))";
    measures(&prometheus, share, 0.02, 0.1).await?;
    let seconds = p95("nginx_ingress_controller_request_duration_seconds", "ingress=\"terminal\"");
    measures(&prometheus, &seconds, 0.12, 0.02).await?;

    let working_set =
        "max(container_memory_working_set_bytes{container=\"istio-proxy\",pod=~\"terminal-controller-.*\"})";
    ensure!(prometheus.query(working_set).await? == 1.5e8);
    let namespaces = format!("count(istio_requests_total{{destination_workload_namespace=\"{}\"}})", world.namespace);
    ensure!(prometheus.query(&namespaces).await? > 0.0);
    // Both sides count the same.
    let source = all.replace("destination\"}", "source\"}");
    ensure!(prometheus.query(&format!("sum({all}) - sum({source})")).await? == 0.0);
    Ok(())
}

async fn traffic_changes_while_it_is_scraped(world: World) -> anyhow::Result<()> {
    let mesh = Mesh::start(&world).await?;
    let workload = mesh.workload("terminal-controller");
    workload.set(Traffic::healthy(50.0));
    let prometheus = Prometheus::start(&world, mesh.address()).await?;
    let failed = "sum(rate(istio_requests_total{reporter=\"destination\",response_code=\"503\"}[4s]))";
    ensure!(prometheus.query_opt(failed).await?.is_none(), "no series before the first error");
    workload.set(workload.traffic().errors(0.5));
    measures(&prometheus, failed, 25.0, 0.1).await?;
    workload.set(Traffic::healthy(50.0));
    measures(&prometheus, failed, 0.0, 0.0).await?;
    measures(&prometheus, "sum(rate(istio_requests_total{reporter=\"destination\"}[4s]))", 50.0, 0.1).await?;

    // A new pod counts from zero.
    let total = "sum(istio_requests_total{reporter=\"destination\"})";
    let before = prometheus.query(total).await?;
    workload.reset();
    eventually(SOON, "the counters start again", async || prometheus.query(total).await.is_ok_and(|now| now < before))
        .await?;

    mesh.down();
    measures(&prometheus, "up", 0.0, 0.0).await?;
    ensure!(prometheus.query_opt(total).await?.is_none(), "a failed scrape ends the series");
    mesh.up();
    eventually(SOON, "the series are back", async || prometheus.query(total).await).await?;
    workload.remove();
    eventually(SOON, "the series are gone", async || prometheus.query_opt(total).await.is_ok_and(|v| v.is_none())).await
}

async fn kinds_of_failures_are_told_apart(world: World) -> anyhow::Result<()> {
    let mesh = Mesh::start(&world).await?;
    let mut traffic = Traffic::healthy(200.0).no_response(0.1).client_left(0.2).grpc_errors(0.05);
    traffic.grpc = true;
    traffic.error_series_from_start = true;
    mesh.workload("terminal-controller").set(traffic);
    let prometheus = Prometheus::start(&world, mesh.address()).await?;
    let rate = |labels: &str| format!("sum(rate(istio_requests_total{{{labels}}}[6s]))");
    let lost = "reporter=\"source\",destination_workload=\"unknown\",destination_service_name=\"terminal-controller\",response_code=\"0\"";
    measures(&prometheus, &rate(lost), 20.0, 0.05).await?;
    measures(&prometheus, &rate("reporter=\"source\",source_workload=\"istio-ingressgateway\""), 200.0, 0.05).await?;
    measures(&prometheus, &rate("reporter=\"destination\""), 180.0, 0.05).await?;
    measures(&prometheus, &rate("reporter=\"destination\",response_flags=\"DC\",response_code=\"0\""), 40.0, 0.05)
        .await?;
    let grpc = "reporter=\"destination\",response_code=\"200\",request_protocol=\"grpc\",grpc_response_status=\"14\"";
    measures(&prometheus, &rate(grpc), 10.0, 0.1).await?;
    ensure!(prometheus.query(&rate("reporter=\"destination\",response_code=\"503\"")).await? == 0.0);
    Ok(())
}

async fn prometheus_halts_dies_and_comes_back(world: World) -> anyhow::Result<()> {
    let mesh = Mesh::start(&world).await?;
    mesh.workload("terminal-controller").set(Traffic::healthy(50.0));
    let mut prometheus = Prometheus::start(&world, mesh.address()).await?;
    prometheus.pause().await?;
    let asked = tokio::time::timeout(Duration::from_millis(500), prometheus.query("vector(1)")).await;
    ensure!(asked.is_err(), "{asked:?}");
    prometheus.resume()?;
    ensure!(prometheus.query("vector(1)").await? == 1.0);

    let url = prometheus.url();
    let samples = "count_over_time(up[5m])";
    let before = prometheus.query(samples).await?;
    prometheus.stop();
    ensure!(prometheus.query("vector(1)").await.is_err());
    prometheus.restart().await?;
    ensure!(prometheus.url() == url);
    ensure!(prometheus.query(samples).await? >= before, "its data are still there");
    prometheus.wait_scraped().await
}

async fn prometheus_proxy_injects_faults(world: World) -> anyhow::Result<()> {
    let prometheus = Prometheus::builder(&world).start().await?;
    let proxy = PromProxy::start(&world, &prometheus.url()).await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("{}/api/v1/query?query=vector(1)", proxy.url());
    let get = async || anyhow::Ok(http.get(&url).send().await?);

    let answer: serde_json::Value = get().await?.json().await?;
    ensure!(answer["data"]["result"][0]["value"][1] == "1" && answer["warnings"].is_null(), "{answer}");
    for status in [500, 503] {
        proxy.rule_times(1, |_| true, Fault::answer(status, "no"));
        ensure!(get().await?.status() == status);
    }
    proxy.rule_times(1, |_| true, Fault::garbage());
    let answer = get().await?;
    ensure!(answer.status() == 200);
    ensure!(answer.json::<serde_json::Value>().await.is_err());
    proxy.rule_times(1, |_| true, Fault::warnings(&["a store is missing"]));
    let answer: serde_json::Value = get().await?.json().await?;
    ensure!(answer["warnings"][0] == "a store is missing" && answer["status"] == "success", "{answer}");
    let start = Instant::now();
    proxy.rule_times(1, |_| true, Fault::Delay(Duration::from_millis(400)));
    get().await?;
    ensure!(start.elapsed() >= Duration::from_millis(400));
    proxy.all(Fault::Hang);
    ensure!(tokio::time::timeout(Duration::from_millis(300), get()).await.is_err());
    proxy.clear();
    ensure!(get().await?.status() == 200);
    ensure!(proxy.count(|r| r.path == "/api/v1/query") == 8, "{}", proxy.requests().len());
    Ok(())
}

async fn prometheus_has_a_past(world: World) -> anyhow::Result<()> {
    let day = 24 * 60 * 60;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mut text = "# TYPE past gauge\n".to_owned();
    for minute in 0..60 {
        text.push_str(&format!("past{{kind=\"test\"}} {minute} {}\n", now - day + minute * 60));
    }
    text.push_str("# EOF\n");
    let prometheus = Prometheus::builder(&world).history(&text).start().await?;
    let most = prometheus.query("max_over_time(past{kind=\"test\"}[2d])").await.context("the past")?;
    ensure!(most == 59.0, "{most}");
    Ok(())
}
