//! What a real daemon answers is what its own document says, in many states.

use anyhow::{Context, ensure};
use jsonschema::Validator;
use serde_json::{Value, json};

use super::stage::{GUARD, LONG, Stage, until_state};
use crate::stories;
use crate::support::controller::Rollout;
use crate::support::hook::Behaviour;
use crate::support::mesh::Traffic;
use crate::support::proxy::Fault;
use crate::support::ripcord::Ripcord;
use crate::support::{Story, World, eventually};

pub fn trials() -> Vec<Story> {
    stories![its_document_describes_what_it_answers, a_token_is_rotated_and_never_told]
}

const TOKEN: &str = "open-sesame-7f3a";

/// What a daemon's own document says of its answers. Fields that it does not name are errors here.
struct Document {
    document: Value,
    checked: usize,
}

impl Document {
    async fn of(ripcord: &Ripcord) -> anyhow::Result<Self> {
        let (status, text) = ripcord.get("/api/v1/openapi.json").await?;
        ensure!(status == 200, "{status}: {text}");
        let mut document: Value = serde_json::from_str(&text)?;
        close(&mut document["components"]["schemas"]);
        Ok(Self { document, checked: 0 })
    }

    fn validator(&self, path: &str, method: &str, status: u16) -> anyhow::Result<Validator> {
        let responses = &self.document["paths"][path][method]["responses"];
        let mut response = &responses[status.to_string()];
        ensure!(response.is_object(), "{method} {path} says nothing of {status}");
        if let Some(name) = response["$ref"].as_str().and_then(|r| r.strip_prefix("#/components/responses/")) {
            response = &self.document["components"]["responses"][name];
        }
        let kind = if status < 400 { "application/json" } else { "application/problem+json" };
        let mut schema = response["content"][kind]["schema"].clone();
        ensure!(schema.is_object(), "{method} {path}: no schema for {status} {kind}");
        schema["components"] = self.document["components"].clone();
        jsonschema::draft202012::options().should_validate_formats(true).build(&schema).context("a schema")
    }

    /// Holds one answer against it.
    fn check(&mut self, path: &str, method: &str, (status, text): &(u16, String)) -> anyhow::Result<Value> {
        let answer: Value = serde_json::from_str(text).with_context(|| format!("{path}: {text}"))?;
        let validator = self.validator(path, method, *status)?;
        let wrong: Vec<String> =
            validator.iter_errors(&answer).map(|e| format!("{}: {e}", e.instance_path())).collect();
        ensure!(wrong.is_empty(), "{method} {path} {status}: {wrong:?} in {answer}");
        self.checked += 1;
        Ok(answer)
    }

    /// Holds everything that can be read against it.
    async fn check_all(&mut self, ripcord: &Ripcord) -> anyhow::Result<Value> {
        let incidents = self.check("/api/v1/incidents", "get", &ripcord.get("/api/v1/incidents").await?)?;
        for id in incidents.as_array().into_iter().flatten().filter_map(|i| i["id"].as_str()) {
            let one = ripcord.get(&format!("/api/v1/incidents/{id}")).await?;
            self.check("/api/v1/incidents/{id}", "get", &one)?;
        }
        let guard = ripcord.get(&format!("/api/v1/guards/{GUARD}")).await?;
        self.check("/api/v1/guards/{guard}", "get", &guard)?;
        self.check("/api/v1/status", "get", &ripcord.get("/api/v1/status").await?)
    }

    /// Asks for something with the token, and holds the answer against it.
    async fn ask(&mut self, ripcord: &Ripcord, command: &str, body: Value, wanted: u16) -> anyhow::Result<Value> {
        let answer = ripcord.post(&format!("/api/v1/guards/{GUARD}/{command}"), Some(TOKEN), &body).await?;
        ensure!(answer.0 == wanted, "{command}: {answer:?}");
        self.check(&format!("/api/v1/guards/{{guard}}/{command}"), "post", &answer)
    }
}

/// Clients must take fields that come later; here one that is not written down would not be seen.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.get("properties").is_some_and(Value::is_object) && map.get("type").is_some_and(|t| t == "object") {
                map.entry("additionalProperties").or_insert(json!(false));
            }
            map.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

async fn its_document_describes_what_it_answers(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let token = world.write("token", TOKEN)?;
    let config = stage
        .config()
        .set("http.token_file", json!(token))
        .set("readiness.interval", "1s")
        .set(
            "defaults.triggers.compared",
            json!({
                "signal": "latency", "quantile": 0.95, "degraded_by": "50%", "clear_below": "25%", "window": "10s", "confirm_window": "4s",
                "for": "5s", "baseline": {"recorded": {}}, "action": "page",
            }),
        )
        .set("state", json!({"config_map": {"namespace": world.namespace, "name": "ripcord-state"}}))
        .set(
            "leader_election",
            json!({"lease": {"namespace": world.namespace, "name": "ripcord"}, "lease_duration": "8s"}),
        );
    let mut daemon = stage.start(&config)?;
    daemon.wait_ready().await?;
    let mut document = Document::of(&daemon).await?;
    document.check_all(&daemon).await?;
    stage.ready(&daemon).await?;
    let first = document.check_all(&daemon).await?;
    ensure!(first["guards"][0]["triggers"].to_string().contains("no baseline is recorded yet"), "{first}");

    // A standby shows the same, and names the leader.
    let mut standby =
        Ripcord::builder(&world, &config.to_string()).kubeconfig(&stage.kubeconfig).called("standby").start()?;
    standby.wait_ready().await?;
    eventually(LONG, "the standby knows who leads", async || {
        standby.status().await.is_ok_and(|status| status["leader"].is_string())
    })
    .await?;
    document.check_all(&standby).await?;
    let problem = document.ask(&standby, "pause", json!({"for": "1m"}), 503).await?;
    ensure!(problem["type"] == "/problems/not-leading" && problem["leader"].is_string(), "{problem}");
    drop(standby);

    // Problems of every kind.
    for (command, body, status, kind) in [
        ("rearm", json!({}), 409, "not-possible-now"),
        ("rollback", json!({}), 400, "bad-request"),
        ("rollback", json!({"reason": "x", "percentage": 60}), 409, "not-possible-now"),
        ("shift", json!({"reason": "x", "percentage": 101}), 400, "bad-request"),
        ("pause", json!({"for": "soon"}), 400, "bad-request"),
        ("baselines", json!({"trigger": "compared", "version": 9}), 409, "not-possible-now"),
    ] {
        let problem = document.ask(&daemon, command, body, status).await?;
        ensure!(problem["type"] == format!("/problems/{kind}"), "{command}: {problem}");
    }
    let over = json!({"version": "4", "groupKey": "x", "status": "resolved", "alerts": []});
    ensure!(document.ask(&daemon, "rollback", over, 200).await?["done"] == false, "the alerts are over");
    let measured = json!({"baselines": [{
        "trigger": "compared", "value": 0.1, "count": 5000, "counted": "requests", "covered": 1, "from": "2026-01-01T00:00:00Z",
        "to": "2026-01-02T00:00:00Z", "of": "something else",
    }]});
    document.ask(&daemon, "baselines", measured, 409).await?;
    let nobody = daemon.post("/api/v1/guards/nobody/ack", Some(TOKEN), &json!({})).await?;
    document.check("/api/v1/guards/{guard}/ack", "post", &nobody)?;
    let wrong = daemon.post(&format!("/api/v1/guards/{GUARD}/ack"), Some("wrong"), &json!({})).await?;
    document.check("/api/v1/guards/{guard}/ack", "post", &wrong)?;

    // A pause, a shift, a rollback that fails, hangs, and is done.
    document.ask(&daemon, "pause", json!({"for": "30m"}), 200).await?;
    until_state(&daemon, "paused").await?;
    document.check_all(&daemon).await?;
    document.ask(&daemon, "resume", json!({}), 200).await?;
    stage.controller.set(Rollout::Never);
    let shift = document.ask(&daemon, "shift", json!({"reason": "down", "percentage": 20}), 200).await?;
    let id = shift["incident"].as_str().context("the shift's incident")?.to_owned();
    eventually(LONG, "the shift is under way", async || {
        stage.env("ISTIO_PERCENTAGE").await.is_ok_and(|s| s.as_deref() == Some("20"))
    })
    .await?;
    document.check_all(&daemon).await?;
    stage
        .api
        .rule(|r| r.method == "PATCH" && !r.is_dry_run() && r.path.contains("/deployments/"), Fault::kubernetes(500));
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    stage.told("rollback.failed").await?;
    let failing = document.check_all(&daemon).await?;
    ensure!(failing["guards"][0]["state"] == "rolling_back", "{failing}");
    stage.api.clear();
    stage.controller.set(Rollout::Finish(std::time::Duration::from_millis(100)));
    stage.workload().set(Traffic::healthy(200.0));
    stage.told("rollback.verified").await?;
    until_state(&daemon, "rolled_back").await?;
    document.check_all(&daemon).await?;
    let refused = document.ask(&daemon, "shift", json!({"reason": "up", "percentage": 5, "force": true}), 409).await?;
    let instance = refused["instance"].as_str().context("the incident that is at issue")?;
    ensure!(daemon.get(instance).await?.0 == 200, "{refused}");
    document.ask(&daemon, "rearm", json!({}), 200).await?;
    document.check_all(&daemon).await?;
    let of = |query: &str| format!("/api/v1/incidents?guard={GUARD}&{query}");
    let (closed, open) = (daemon.get(&of("state=closed")).await?, daemon.get(&of("state=open")).await?);
    ensure!(closed.1.contains(&id) && open.1 == "[]", "{closed:?} {open:?}");
    let newest = document.check("/api/v1/incidents", "get", &daemon.get(&of("limit=1")).await?)?;
    ensure!(newest.as_array().map(Vec::len) == Some(1), "{newest}");

    // Prometheus and a receiver are gone.
    stage.hook.set(Behaviour::Status(500, None));
    document.ask(&daemon, "pause", json!({"for": "1s"}), 200).await?;
    eventually(LONG, "a page waits", async || {
        daemon.status().await.is_ok_and(|status| status["receivers"][0]["waiting"].as_u64() > Some(0))
    })
    .await?;
    document.check_all(&daemon).await?;
    ensure!(document.checked > 45, "only {} answers were checked", document.checked);
    Ok(())
}

async fn a_token_is_rotated_and_never_told(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let token = world.write("token", TOKEN)?;
    let daemon = Ripcord::builder(&world, &stage.config().set("http.token_file", json!(token)).to_string())
        .kubeconfig(&stage.kubeconfig)
        .env("RIPCORD_LOG", "trace")
        .start()?;
    let mut daemon = daemon;
    daemon.wait_ready().await?;
    let pause = async |token: &str| -> anyhow::Result<u16> {
        Ok(daemon.post(&format!("/api/v1/guards/{GUARD}/pause"), Some(token), &json!({"for": "1s"})).await?.0)
    };
    ensure!(pause(TOKEN).await? == 200 && pause("second-9b1c").await? == 401);
    world.write("token", "second-9b1c\n")?;
    ensure!(pause("second-9b1c").await? == 200 && pause(TOKEN).await? == 401, "without a reload");
    let said = daemon.stderr().join("\n");
    ensure!(said.contains("Ignored") || said.contains("paused") || said.len() > 1000, "the log is there: {said}");
    ensure!(!said.contains(TOKEN) && !said.contains("second-9b1c"), "the token is in the log");
    Ok(())
}
