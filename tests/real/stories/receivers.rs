//! Who is told, how and when: Alertmanager, a second receiver, a receiver that is left alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use jiff::{SignedDuration, Timestamp};
use ripcord::config::{self, LoadOptions};
use ripcord::engine::Notification;
use ripcord::notify::{Addresses, Outbox};
use serde_json::{Value, json};

use super::stage::{GUARD, LONG, Stage};
use crate::stories;
use crate::support::alertmanager::Alertmanager;
use crate::support::fixtures::Config;
use crate::support::hook::{Call, Hook};
use crate::support::mesh::Traffic;
use crate::support::ripcord::run_to_end;
use crate::support::{Story, World, eventually, never};

pub fn trials() -> Vec<Story> {
    stories![
        an_alertmanager_has_it_firing_and_then_resolved,
        an_alert_ends_however_it_was_opened,
        the_second_is_told_when_nobody_acknowledges,
        the_second_sleeps_when_somebody_has_acknowledged,
        what_is_held_outlives_a_restart,
        a_bad_template_is_said_by_check,
    ]
}

const TOKEN: &str = "open-sesame";

fn bad() -> Traffic {
    Traffic::healthy(200.0).errors(0.3)
}

/// The calls of one receiver of the hook.
fn told(stage: &Stage<'_>, path: &str) -> Vec<Call> {
    stage.hook.accepted().into_iter().filter(|call| call.path == path).collect()
}

fn events(stage: &Stage<'_>, path: &str) -> Vec<String> {
    let calls = told(stage, path);
    calls.iter().map(|c| c.event().to_owned()).filter(|e| !e.starts_with("watchdog.st")).collect()
}

/// The keys of an object and the kinds of their values, less what a map of texts holds.
fn shape(value: &Value) -> BTreeMap<String, String> {
    let kind = |value: &Value| match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "map",
    };
    value.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), kind(value).to_owned())).collect()
}

async fn an_alertmanager_has_it_firing_and_then_resolved(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let alertmanager = Alertmanager::start(
        &world,
        &json!({
            "route": {"receiver": "hook", "group_by": ["alertname"], "group_wait": "0s", "group_interval": "1s"},
            "receivers": [{"name": "hook", "webhook_configs": [{"url": stage.hook.url("/real"), "send_resolved": true}]}],
        }),
    )
    .await?;
    let config = stage
        .config()
        .set("receivers.api", json!({"webhook": {"url": alertmanager.url(), "format": "alertmanager_api"}}))
        .set("receivers.v4", json!({"webhook": {"url": stage.hook.url("/v4"), "format": "alertmanager"}}))
        .set("links.status", "https://ripcord.example/");
    let _daemon = stage.watch(&config).await?;
    stage.workload().set(bad());
    let firing = eventually(LONG, "it fires", async || {
        let alerts = alertmanager.alerts().await?;
        alerts.into_iter().find(|a| a["labels"]["alertname"] == "RipcordIncident").context("not there yet")
    })
    .await?;
    ensure!(
        (&firing["labels"]["guard"], &firing["labels"]["severity"]) == (&json!(GUARD), &json!("critical")),
        "{firing}"
    );
    stage.told("rollback.verified").await?;
    eventually(LONG, "it is resolved", async || {
        let alerts = alertmanager.alerts().await?;
        let open: Vec<_> =
            alerts.iter().filter(|a| a["labels"]["guard"] == GUARD).map(|a| a["labels"].to_string()).collect();
        ensure!(open.is_empty(), "{open:?}");
        anyhow::Ok(())
    })
    .await?;

    // What a real Alertmanager sends of these alerts is what Ripcord sends of them itself.
    let of = |path: &str, status: &str| {
        let is =
            |call: &Call| call.body["status"] == status && call.body["commonLabels"]["alertname"] == "RipcordIncident";
        told(&stage, path).into_iter().find(is).map(|call| call.body)
    };
    for status in ["firing", "resolved"] {
        let (real, own) = eventually(LONG, "both have told it", async || {
            of("/real", status).zip(of("/v4", status)).with_context(|| format!("{status} is missing"))
        })
        .await?;
        ensure!(shape(&real) == shape(&own), "{real}\n{own}");
        let (real_alert, own_alert) = (&real["alerts"][0], &own["alerts"][0]);
        ensure!(shape(real_alert) == shape(own_alert), "{real_alert}\n{own_alert}");
        for key in ["status", "labels", "generatorURL"] {
            ensure!(real_alert[key] == own_alert[key], "{key}: {real_alert}\n{own_alert}");
        }
        ensure!(real["version"] == own["version"], "{}", real["version"]);
        if status == "firing" {
            ensure!(real_alert["endsAt"] == own_alert["endsAt"], "{real_alert}\n{own_alert}");
        }
    }
    Ok(())
}

/// A notification as the engine makes it.
fn notification(event: &str, severity: &str, incident: &str, more: &Value) -> anyhow::Result<Notification> {
    let now = Timestamp::now();
    let mut notification = json!({
        "id": format!("{incident}-{event}-{severity}-{more}"), "event": event, "severity": severity, "time": now - SignedDuration::from_hours(9),
        "guard": GUARD, "incident": incident, "summary": "a summary", "advice": "", "trigger": null, "rollback": null,
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        notification[key] = value.clone();
    }
    Ok(serde_json::from_value(notification)?)
}

/// Between what opens an alert and what ends it a reload may switch the dry run or change a severity; and both may come hours late.
async fn an_alert_ends_however_it_was_opened(world: World) -> anyhow::Result<()> {
    let hook = Hook::start(&world).await?;
    let alertmanager = Alertmanager::start(
        &world,
        &json!({
            "route": {"receiver": "hook", "group_by": ["incident"], "group_wait": "0s", "group_interval": "1s"},
            "receivers": [{"name": "hook", "webhook_configs": [{"url": hook.url("/real"), "send_resolved": true}]}],
        }),
    )
    .await?;
    let config = Config::new(&world, "http://127.0.0.1:9")
        .guard(GUARD, "terminal-controller")
        .set("http.listen", "127.0.0.1:0")
        .set("receivers.api", json!({"webhook": {"url": alertmanager.url(), "format": "alertmanager_api"}}));
    let file = world.write("outbox.yaml", &config.to_string())?;
    let settings = config::load(&[file], [], LoadOptions::default())
        .map_err(|f| anyhow::anyhow!("{}", f.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
    let receivers: Vec<_> = settings.receivers.into_iter().filter(|receiver| receiver.name == "api").collect();
    let (report, _events) = tokio::sync::mpsc::unbounded_channel();
    let outbox = Outbox::start(&receivers, Addresses::default(), report, Arc::new(|| true))
        .map_err(|findings| anyhow::anyhow!("{findings:?}"))?;
    let tell = |notification: Notification| {
        outbox.put(&notification, 0);
        outbox.open(0);
    };
    let dry = json!({"dry_run": true});
    let none = json!({"guard": null});
    let opening = |severity: &str| json!({"opening": {"severity": severity, "summary": "a summary"}});
    // What opens it, its severity and what else; what ends it, its severity and what else.
    let stories: [(&str, &str, Value, &str, &str, Value); 7] = [
        ("rollback.started", "critical", json!({}), "rollback.verified", "critical", opening("critical")),
        ("rollback.started", "critical", json!({}), "rollback.verified", "warning", dry.clone()),
        ("rollback.started", "warning", dry.clone(), "guard.rearmed", "info", dry.clone()),
        ("rollback.failed", "critical", json!({}), "guard.rearmed", "info", json!({})),
        ("page.firing", "info", json!({}), "page.resolved", "critical", opening("info")),
        ("page.firing", "warning", dry.clone(), "page.resolved", "critical", opening("warning")),
        ("watchdog.blind", "critical", json!({}), "watchdog.sees", "critical", none),
    ];
    let incident = |n: usize| format!("story-{n}-20260102T030405Z");
    for (n, (opens, severity, more, ..)) in stories.iter().enumerate() {
        tell(notification(opens, severity, &incident(n), more)?);
    }
    let open = async || -> anyhow::Result<Vec<String>> {
        let alerts = alertmanager.alerts().await?;
        let mut open: Vec<_> = alerts.iter().map(|a| a["labels"]["incident"].to_string()).collect();
        open.sort();
        Ok(open)
    };
    eventually(LONG, "all of them fire, though they come nine hours late", async || {
        let open = open().await?;
        ensure!(open.len() == stories.len(), "{open:?}");
        anyhow::Ok(())
    })
    .await?;
    let told = |status: &str| -> Vec<Value> {
        hook.accepted().into_iter().map(|call| call.body).filter(|body| body["status"] == status).collect()
    };
    eventually(LONG, "people are told of each", async || {
        ensure!(told("firing").len() >= stories.len(), "{}", told("firing").len());
        anyhow::Ok(())
    })
    .await?;
    // One of whose beginning Alertmanager knows nothing.
    tell(notification("rollback.verified", "critical", "unknown-20260102T030405Z", &json!({}))?);
    for (n, (.., ends, severity, more)) in stories.iter().enumerate() {
        tell(notification(ends, severity, &incident(n), more)?);
    }
    eventually(LONG, "none fires any more", async || {
        let open = open().await?;
        ensure!(open.is_empty(), "{open:?}");
        anyhow::Ok(())
    })
    .await?;
    eventually(LONG, "people are told that each is over", async || {
        let told = told("resolved");
        ensure!(told.len() >= stories.len(), "{told:#?}");
        anyhow::Ok(())
    })
    .await?;
    for body in told("resolved") {
        ensure!(body["alerts"].as_array().is_some_and(|alerts| alerts.len() == 1), "ends that nobody knows: {body:#}");
        ensure!(body["commonLabels"]["incident"] != "unknown-20260102T030405Z", "{body:#}");
    }
    Ok(())
}

async fn the_second_is_told_when_nobody_acknowledges(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let config = stage.config().webhook("second", &stage.hook).set("receivers.second.escalate_after", "4s");
    let daemon = stage.watch(&config).await?;
    stage.workload().set(bad());
    let first = stage.told("rollback.started").await?;
    ensure!(first.path == "/oncall", "{}", first.path);
    let second =
        eventually(LONG, "the second is told", async || told(&stage, "/second").into_iter().next().context("not yet"))
            .await?;
    ensure!(second.body["id"] == first.body["id"], "{}\n{}", second.body, first.body);
    let waited = second.at.duration_since(first.at)?;
    ensure!(waited >= Duration::from_secs(3), "told after {waited:?}");
    ensure!(
        daemon.metric("ripcord_notifications_total", &[("receiver", "second"), ("result", "escalated")]).await?
            == Some(1.0)
    );
    // And all that follows, in order.
    stage.told("rollback.not_recovered").await?;
    eventually(LONG, "both know the same", async || {
        let (oncall, second) = (events(&stage, "/oncall"), events(&stage, "/second"));
        ensure!(oncall == second, "{oncall:?} {second:?}");
        anyhow::Ok(())
    })
    .await
}

async fn the_second_sleeps_when_somebody_has_acknowledged(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let token = world.write("token", TOKEN)?;
    let config = stage
        .config()
        .webhook("second", &stage.hook)
        .set("receivers.second.escalate_after", "5s")
        .set("http.token_file", json!(token));
    let daemon = stage.watch(&config).await?;
    stage.workload().set(bad());
    stage.told("rollback.started").await?;
    let (status, body) = daemon.post(&format!("/api/v1/guards/{GUARD}/ack"), Some(TOKEN), &json!({})).await?;
    ensure!(status == 200, "{status}: {body}");
    stage.told("guard.acknowledged").await?;
    stage.told("rollback.verified").await?;
    never(Duration::from_secs(7), "the second is woken", async || !told(&stage, "/second").is_empty()).await?;
    let withdrawn = [("receiver", "second"), ("result", "withdrawn")];
    ensure!(daemon.metric("ripcord_notifications_total", &withdrawn).await?.is_some_and(|n| n >= 1.0));
    Ok(())
}

async fn what_is_held_outlives_a_restart(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let config = stage.config().webhook("second", &stage.hook).set("receivers.second.escalate_after", "8s");
    let daemon = stage.watch(&config).await?;
    stage.workload().set(bad());
    stage.told("rollback.started").await?;
    drop(daemon);
    let daemon = stage.start(&config)?;
    eventually(LONG, "the second is told by the next process", async || {
        let events = events(&stage, "/second");
        ensure!(events.first().is_some_and(|event| event == "rollback.started"), "{events:?}");
        anyhow::Ok(())
    })
    .await?;
    drop(daemon);
    Ok(())
}

async fn a_bad_template_is_said_by_check(world: World) -> anyhow::Result<()> {
    let file = world.write("body.json", "{\n  \"text\": {{ sumary | tojson }}\n}\n")?;
    let config = Config::new(&world, "http://127.0.0.1:9")
        .guard(GUARD, "terminal-controller")
        .set("http.listen", "127.0.0.1:0")
        .set(
            "receivers.own",
            json!({"webhook": {"url": "https://example.org/", "format": "template", "template_file": file}}),
        );
    let written = world.write("ripcord.yaml", &config.to_string())?.display().to_string();
    let ended = run_to_end(&world, None, &["check", &written]).await?;
    ensure!(ended.code() == 2, "{ended:?}");
    ensure!(ended.stderr.contains("receivers.own.webhook.template: line 2: undefined value"), "{ended:?}");
    world.write("body.json", "{\n  \"text\": {{ summary | tojson }}\n}\n")?;
    let ended = run_to_end(&world, None, &["check", &written]).await?;
    ensure!(ended.code() == 0, "{ended:?}");
    Ok(())
}
