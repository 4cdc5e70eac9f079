//! The whole program against servers that answer at once: what a tick costs it, whatever it is made of. The servers run in this process,
//! so that their work is not counted.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::extract::{Form, State};
use axum::http::{Method, Uri, header};
use axum::response::IntoResponse;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::guards;

/// Ticks that are measured, one a second.
const TICKS: u64 = 30;

/// How long everything that is done at the start only may take: the history, the first rehearsals.
const WARM_UP: Duration = Duration::from_secs(20);

/// Kills the program when the bench ends, however it ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The answers by their queries: each is made once.
type Answers = Arc<Mutex<HashMap<String, Arc<str>>>>;

/// Measures it with and without the reads of the shares, which go on beside the ticks.
pub fn measure() -> anyhow::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let prometheus = serve(
            Router::new()
                .route("/api/v1/query", axum::routing::post(query))
                .route("/api/v1/query_range", axum::routing::post(range))
                .with_state(Answers::default()),
        )
        .await?;
        let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
        let clusters = [
            ("no share to be read", silent.local_addr()?),
            ("a share each a second", serve(Router::new().fallback(object)).await?),
        ];
        for (name, kubernetes) in clusters {
            let (cpu, requests) = program(prometheus, kubernetes).await?;
            println!(
                "whole program, {} guards x 4 triggers, {name}: {:.1} ms of CPU per tick ({requests})",
                guards::COUNT,
                cpu * 1e3
            );
        }
        anyhow::Ok(())
    })
}

async fn serve(app: Router) -> anyhow::Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}

async fn program(prometheus: SocketAddr, kubernetes: SocketAddr) -> anyhow::Result<(f64, String)> {
    let dir = tempfile::tempdir()?;
    let kubeconfig = dir.path().join("kubeconfig");
    let cluster = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": format!("http://{kubernetes}")}}],
        "users": [{"name": "u", "user": {"token": "t"}}], "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    });
    std::fs::write(&kubeconfig, cluster.to_string())?;
    let file = dir.path().join("ripcord.yaml");
    let listen = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    std::fs::write(&file, guards::config(&format!("http://{prometheus}"), &listen.to_string(), guards::name))?;
    let child = Command::new(env!("CARGO_BIN_EXE_ripcord"))
        .arg("run")
        .arg("--config")
        .arg(&file)
        .env("KUBECONFIG", &kubeconfig)
        .env("RIPCORD_LOG", "error")
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()?;
    let running = Running(child);
    tokio::time::sleep(WARM_UP).await;
    let before = (cpu_seconds(running.0.id())?, ticks(listen).await?);
    tokio::time::sleep(Duration::from_secs(TICKS)).await;
    let after = (cpu_seconds(running.0.id())?, ticks(listen).await?);
    let counted = after.1 - before.1;
    Ok(((after.0 - before.0) / counted, format!("{counted} ticks")))
}

/// The time that all threads of a process were running.
fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let mut total = 0.0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        total += text.split_whitespace().next().context("schedstat")?.parse::<f64>()? / 1e9;
    }
    Ok(total)
}

/// The ticks that were decided on and knew every trigger.
async fn ticks(listen: SocketAddr) -> anyhow::Result<f64> {
    let metrics = reqwest::Client::builder()
        .no_proxy()
        .build()?
        .get(format!("http://{listen}/metrics"))
        .send()
        .await?
        .text()
        .await?;
    let line = metrics.lines().find(|l| l.starts_with("ripcord_evaluations_total{result=\"ok\"}"));
    let line = line.with_context(|| {
        metrics
            .lines()
            .filter(|l| l.starts_with("ripcord_evaluations") || l.starts_with("ripcord_queries"))
            .collect::<Vec<_>>()
            .join("\n")
    })?;
    Ok(line.rsplit(' ').next().context("a number")?.parse()?)
}

async fn query(State(answers): State<Answers>, Form(parameters): Form<HashMap<String, String>>) -> impl IntoResponse {
    let query = parameters.get("query").cloned().unwrap_or_default();
    let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
    let body = answers.entry(query).or_insert_with_key(|query| guards::answer(query, guards::name, false).into());
    ([(header::CONTENT_TYPE, "application/json")], body.to_string())
}

/// Nothing is known of the past.
async fn range() -> Json<Value> {
    Json(json!({"status": "success", "data": {"resultType": "matrix", "result": []}}))
}

/// Every Deployment is there, and everything is allowed.
async fn object(method: Method, uri: Uri) -> Json<Value> {
    let name = Path::new(uri.path()).file_name().and_then(|n| n.to_str()).unwrap_or_default();
    if method == Method::POST {
        return Json(
            json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {}, "status": {"allowed": true}}),
        );
    }
    Json(json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default", "uid": "1", "resourceVersion": "1", "generation": 1},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "main", "image": "main", "env": [{"name": "ISTIO_PERCENTAGE", "value": "25"}]}]},
        }},
        "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1},
    }))
}
