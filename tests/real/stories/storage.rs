//! The place where the state lives fails: it is said, nothing is lost that can be kept, and no rollback waits for it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::stage::{COMPONENT, GUARD, LONG, Stage, each_once, state, until_held, until_leads, until_state};
use crate::deploy;
use crate::stories;
use crate::support::apiserver::rule;
use crate::support::controller::Rollout;
use crate::support::disk::SmallDisk;
use crate::support::fixtures::{self, Config};
use crate::support::hook::Call;
use crate::support::mesh::Traffic;
use crate::support::ripcord::{Ripcord, run_to_end};
use crate::support::{Story, World, eventually, never};

pub fn trials() -> Vec<Story> {
    stories![
        a_full_disk_delays_nothing_and_is_told,
        a_folder_that_only_reads_is_said,
        a_file_that_cannot_be_used_is_set_aside,
        a_config_map_that_cannot_be_used_is_set_aside,
        a_deleted_config_map_is_made_anew,
        a_document_that_is_too_large_is_written_smaller,
        a_state_that_may_not_be_read_stops_acting,
    ]
}

/// A notification is late when it comes this long after its own time, which is cut to the second. It is less than the two seconds for
/// which a rollback waits for a place that does not answer: one that refuses is not waited for.
const LATE: Duration = Duration::from_secs(2);

/// The minute for which Ripcord is patient with the place, and what a busy machine adds.
const PATIENCE: Duration = Duration::from_secs(90);

/// The ConfigMap that `deploy/overlays/sealos` permits.
const STATE: &str = "ripcord-state";

/// The key of the document in it.
const KEY: &str = "state.json";

/// The most that the document may have there.
const LIMIT: usize = 800 * 1024;

/// What people ask with.
const TOKEN: &str = "open-sesame";

const RESTORED: [&str; 3] = ["rollback.started", "rollback.succeeded", "rollback.verified"];

fn with_token(world: &World, config: Config) -> anyhow::Result<Config> {
    Ok(config.set("http.token_file", json!(world.write("token", TOKEN)?)))
}

fn in_config_map(stage: &Stage) -> Config {
    let place = json!({"namespace": stage.world.namespace, "name": STATE});
    stage.config().unset("state.file").set("state.config_map", place)
}

/// A person asks for something.
async fn ask(ripcord: &Ripcord, command: &str, body: Value) -> anyhow::Result<()> {
    let (status, text) = ripcord.post(&format!("/api/v1/guards/{GUARD}/{command}"), Some(TOKEN), &body).await?;
    ensure!(status == 200, "{command}: {status}: {text}");
    Ok(())
}

/// The incident that is open.
async fn incident(ripcord: &Ripcord) -> anyhow::Result<String> {
    let status = ripcord.status().await?;
    Ok(status["guards"][0]["incident"]["id"].as_str().with_context(|| format!("no incident in {status}"))?.to_owned())
}

async fn started(stage: &Stage<'_>, config: &Config) -> anyhow::Result<Ripcord> {
    let mut ripcord = stage.start(config)?;
    ripcord.wait_ready().await?;
    Ok(ripcord)
}

/// Until the status says that the state cannot be kept, with these words.
async fn until_error(ripcord: &Ripcord, words: &str) -> anyhow::Result<String> {
    eventually(LONG, &format!("the status says {words:?}"), async || {
        let status = ripcord.status().await.map_err(|e| e.to_string())?;
        let error = status["state_error"].as_str().unwrap_or_default().to_owned();
        if error.contains(words) { Ok(error) } else { Err(format!("state_error {error:?}")) }
    })
    .await
}

/// Until the state is kept.
async fn until_saved(ripcord: &Ripcord) -> anyhow::Result<()> {
    eventually(LONG, "the state is saved", async || {
        let status = ripcord.status().await.map_err(|e| e.to_string())?;
        let saved = status["state_saved_at"].is_string() && status["state_error"].is_null();
        if saved { Ok(()) } else { Err(format!("{} {}", status["state_saved_at"], status["state_error"])) }
    })
    .await
}

/// A page came when it was decided, not later.
fn in_time(call: &Call) -> anyhow::Result<()> {
    let decided: jiff::Timestamp = call.body["time"].as_str().context("a time")?.parse()?;
    let arrived = jiff::Timestamp::try_from(call.at)?;
    let late = Duration::try_from(arrived.duration_since(decided)).unwrap_or_default();
    ensure!(late < LATE, "{} came {late:?} after it was decided", call.event());
    Ok(())
}

/// A rollback from beginning to end, of an incident that is another than the one before.
async fn rolls_back(stage: &Stage<'_>, ripcord: &Ripcord, before: Option<&str>) -> anyhow::Result<String> {
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    eventually(LONG, "it is rolled back", async || {
        let status = ripcord.status().await.map_err(|e| e.to_string())?;
        let guard = &status["guards"][0];
        match guard["incident"]["id"].as_str() {
            Some(id) if guard["state"] == "rolled_back" && before != Some(id) => Ok(id.to_owned()),
            id => Err(format!("{}, incident {id:?}, share {}", guard["state"], guard["percentage"])),
        }
    })
    .await
}

/// Somebody moves traffic to Istio again.
async fn share_is_moved_up(world: &World) -> anyhow::Result<()> {
    let api = world.api();
    eventually(LONG, "the share is set", async || fixtures::set_share(&api, COMPONENT, "25").await.map(drop)).await
}

async fn a_full_disk_delays_nothing_and_is_told(world: World) -> anyhow::Result<()> {
    let disk = SmallDisk::mount(&world, 64).await?;
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let config = with_token(&world, stage.config().set("state.file", json!(disk.path().join("state.json"))))?;
    let ripcord = stage.watch(&config).await?;
    disk.fill()?;
    ask(&ripcord, "pause", json!({"for": "30m"})).await?;
    ask(&ripcord, "resume", json!({})).await?;
    let error = until_error(&ripcord, "No space left on device").await?;
    ensure!(error.contains("state.json") && error.contains("check the disk's room"), "{error}");

    let id = rolls_back(&stage, &ripcord, None).await?;
    stage.told("rollback.verified").await?;
    ensure!(stage.env("ISTIO_PERCENTAGE").await?.as_deref() == Some("0"));
    for event in RESTORED {
        in_time(&stage.told(event).await?)?;
    }
    let shown = run_to_end(&world, None, &["status", "--url", &ripcord.url()]).await?;
    ensure!(shown.stdout.contains("THE STATE IS NOT SAVED: cannot write the state file"), "{shown:?}");
    let failed = ripcord.metric("ripcord_journal_writes_total", &[("result", "failed")]).await?;
    ensure!(failed.is_some_and(|n| n >= 1.0), "{failed:?} writes failed");

    let page = stage.hook.wait_event("watchdog.not_ready", PATIENCE).await?;
    let summary = page.body["summary"].as_str().unwrap_or_default();
    ensure!(page.body["severity"] == "warning" && summary.contains("No space left on device"), "{}", page.body);
    disk.make_room()?;
    until_saved(&ripcord).await?;
    let over = stage.told("watchdog.ready").await?;
    ensure!(over.body["incident"] == page.body["incident"], "{}", over.body);

    stage.nothing_waits(&config).await?;
    let ripcord = stage.crash(ripcord, &config, Duration::ZERO).await?;
    ensure!(state(&ripcord).await? == "rolled_back" && incident(&ripcord).await? == id);
    stage.hook.wait_for(|c| (events(c, "watchdog.started").len() == 2).then_some(()), LONG).await?;
    each_once(&stage.hook.accepted())?;
    ensure!(RESTORED.iter().all(|event| events(&stage.hook.accepted(), event).len() == 1), "{:?}", stage.story());
    Ok(())
}

fn events<'a>(calls: &'a [Call], event: &str) -> Vec<&'a Call> {
    calls.iter().filter(|c| c.status == Some(200) && c.event() == event).collect()
}

async fn a_folder_that_only_reads_is_said(world: World) -> anyhow::Result<()> {
    let disk = SmallDisk::mount(&world, 256).await?;
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let config = with_token(&world, stage.config().set("state.file", json!(disk.path().join("state.json"))))?;
    let mut ripcord = stage.watch(&config).await?;
    let first = rolls_back(&stage, &ripcord, None).await?;
    stage.told("rollback.verified").await?;
    stage.nothing_waits(&config).await?;
    ripcord.kill();
    disk.read_only(true)?;

    let ripcord = started(&stage, &config).await?;
    until_leads(&ripcord).await?;
    ensure!(state(&ripcord).await? == "rolled_back", "what was there before is read");
    ensure!(incident(&ripcord).await? == first);
    until_error(&ripcord, "Read-only file system").await?;
    ensure!(ripcord.stderr().join("\n").contains("The state file cannot be locked"), "it says so");
    // It watches and acts as ever.
    ask(&ripcord, "rearm", json!({})).await?;
    share_is_moved_up(&world).await?;
    rolls_back(&stage, &ripcord, Some(&first)).await?;
    ensure!(stage.env("ISTIO_PERCENTAGE").await?.as_deref() == Some("0"));
    stage.hook.wait_for(|c| (events(c, "rollback.verified").len() == 2).then_some(()), LONG).await?;

    // A folder where nobody can make a file.
    let nowhere = started(&stage, &config.set("state.file", "/proc/self/ripcord/state.json")).await?;
    until_error(&nowhere, "/proc/self/ripcord/state.json").await?;
    stage.all_clear(&nowhere).await
}

/// What is found at a start and is of no use: half a document, one of a later version, no text at all.
fn unusable(document: &[u8]) -> [(&'static str, Vec<u8>); 3] {
    let newer = br#"{"version": 7, "writer": "tomorrow", "engine": "of another kind"}"#.to_vec();
    [("damaged", document[..document.len() / 2].to_vec()), ("newer", newer), ("damaged", vec![0xff, 0, b'{'])]
}

async fn until_set_aside(stage: &Stage<'_>, times: usize) -> anyhow::Result<String> {
    let page =
        stage.hook.wait_for(|c| events(c, "watchdog.not_ready").get(times - 1).map(|c| (*c).clone()), LONG).await?;
    ensure!(page.body["severity"] == "critical", "{}", page.body);
    Ok(page.body["summary"].as_str().unwrap_or_default().to_owned())
}

/// The latch is forgotten, and that is told; Ripcord itself goes on, however often it is started.
async fn a_file_that_cannot_be_used_is_set_aside(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let file = world.dir.join("state").join("ripcord.json");
    let config = stage.config().set("state.file", json!(file));
    let mut ripcord = stage.watch(&config).await?;
    until_saved(&ripcord).await?;
    let document = fs::read(&file)?;
    for (n, (word, text)) in unusable(&document).into_iter().enumerate() {
        ripcord.kill();
        fs::write(&file, &text)?;
        ripcord = started(&stage, &config).await?;
        let summary = until_set_aside(&stage, n + 1).await?;
        let aside = summary.split("is kept in ").nth(1).context(summary.clone())?;
        ensure!(aside.contains(&format!("ripcord.json.{word}-")), "{summary}");
        ensure!(fs::read(PathBuf::from(aside))? == text, "{aside} is not what was there");
        until_saved(&ripcord).await?;
        stage.all_clear(&ripcord).await?;
        stage.nothing_waits(&config).await?;
    }
    let ripcord = stage.crash(ripcord, &config, Duration::ZERO).await?;
    stage.all_clear(&ripcord).await?;
    ensure!(events(&stage.hook.accepted(), "watchdog.not_ready").len() == 3, "a good document is used");
    Ok(())
}

async fn data(world: &World) -> anyhow::Result<std::collections::BTreeMap<String, String>> {
    Ok(world.api::<ConfigMap>().get(STATE).await?.data.unwrap_or_default())
}

/// The document, once what it says of the guard is so.
async fn until_document(world: &World, what: &str, is: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
    eventually(LONG, &format!("the document says that {what}"), async || {
        let document: Value = serde_json::from_str(&data(world).await.ok()?.remove(KEY)?).ok()?;
        is(&document["engine"]["guards"][GUARD]).then_some(document)
    })
    .await
}

/// Somebody writes the document.
async fn put(world: &World, text: &str) -> anyhow::Result<()> {
    let patch = Patch::Merge(json!({"data": {KEY: text}}));
    world.api::<ConfigMap>().patch(STATE, &PatchParams::default(), &patch).await?;
    Ok(())
}

async fn a_config_map_that_cannot_be_used_is_set_aside(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let config = in_config_map(&stage);
    let mut ripcord = stage.watch(&config).await?;
    until_saved(&ripcord).await?;
    let document = data(&world).await?.remove(KEY).context("a document")?;
    for (n, (word, text)) in unusable(document.as_bytes()).into_iter().enumerate() {
        let text = String::from_utf8_lossy(&text).into_owned();
        ripcord.kill();
        put(&world, &text).await?;
        ripcord = started(&stage, &config).await?;
        let summary = until_set_aside(&stage, n + 1).await?;
        let aside = summary.split_once("/ripcord-state-").map(|(_, rest)| format!("ripcord-state-{rest}"));
        let aside = aside.with_context(|| format!("no place in {summary}"))?;
        ensure!(aside.starts_with(&format!("ripcord-state-{word}-")), "{summary}");
        let kept = world.api::<ConfigMap>().get(&aside).await?.data.unwrap_or_default().remove(KEY);
        ensure!(kept.as_deref() == Some(text.as_str()), "{aside} is not what was there");
        until_saved(&ripcord).await?;
        stage.all_clear(&ripcord).await?;
        stage.nothing_waits(&config).await?;
    }
    let ripcord = stage.crash(ripcord, &config, Duration::ZERO).await?;
    stage.all_clear(&ripcord).await?;
    ensure!(events(&stage.hook.accepted(), "watchdog.not_ready").len() == 3, "a good document is used");
    Ok(())
}

/// In the middle of a rollback, too.
async fn a_deleted_config_map_is_made_anew(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    stage.controller.set(Rollout::Never);
    let config = in_config_map(&stage);
    let ripcord = stage.watch(&config).await?;
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    stage.told("rollback.started").await?;
    eventually(LONG, "both steps are done", async || stage.accepted_patches() >= 2).await?;
    let id = incident(&ripcord).await?;
    world.api::<ConfigMap>().delete(STATE, &DeleteParams::default()).await?;
    stage.controller.set(Rollout::Finish(Duration::from_millis(100)));
    // A page goes out when what it says is saved.
    stage.told("rollback.succeeded").await?;
    ensure!(data(&world).await?.contains_key(KEY), "it is made anew");
    stage.nothing_waits(&config).await?;
    let ripcord = stage.crash(ripcord, &config, Duration::ZERO).await?;
    stage.told("rollback.verified").await?;
    until_state(&ripcord, "rolled_back").await?;
    ensure!(incident(&ripcord).await? == id);

    world.api::<ConfigMap>().delete(STATE, &DeleteParams::default()).await?;
    let config = with_token(&world, config)?;
    ripcord.write_config(&config.to_string())?;
    let mut ripcord = ripcord;
    ripcord.signal(rustix::process::Signal::HUP)?;
    eventually(LONG, "it is made anew", async || data(&world).await.is_ok_and(|d| d.contains_key(KEY))).await?;
    stage.nothing_waits(&config).await?;
    let ripcord = stage.crash(ripcord, &config, Duration::ZERO).await?;
    ensure!(state(&ripcord).await? == "rolled_back" && incident(&ripcord).await? == id);
    each_once(&stage.hook.accepted())?;
    ensure!(stage.story() == RESTORED, "{:?}", stage.story());
    Ok(())
}

/// A document of almost a megabyte is read, and what is written is within the limit: what is over goes first, what is critical stays.
async fn a_document_that_is_too_large_is_written_smaller(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let config = with_token(&world, in_config_map(&stage))?;
    let mut ripcord = stage.watch(&config).await?;
    stage.told("watchdog.started").await?;
    stage.nothing_waits(&config).await?;
    stage.hook.gone();
    let id = rolls_back(&stage, &ripcord, None).await?;
    ask(&ripcord, "rearm", json!({})).await?;
    let mut document = until_document(&world, "the incident is over", |guard| guard["closed"][0]["id"] == id).await?;
    ripcord.kill();
    crowd(&mut document, 950 * 1024)?;
    let text = document.to_string();
    ensure!(text.len() > LIMIT, "{} bytes are no problem", text.len());
    put(&world, &text).await?;
    let before = stage.api.requests().len();

    let mut ripcord = started(&stage, &config).await?;
    until_saved(&ripcord).await?;
    share_is_moved_up(&world).await?;
    let latest = rolls_back(&stage, &ripcord, Some(&id)).await?;
    let is_latched = |guard: &Value| guard["state"] == "rolled_back" && guard["incident"]["id"] == latest;
    let kept = until_document(&world, "the second rollback is over", is_latched).await?;
    ripcord.kill();
    let writes: Vec<_> = stage.api.requests().split_off(before);
    let writes: Vec<_> = writes.iter().filter(|r| r.is("PATCH", STATE)).collect();
    ensure!(writes.len() >= 3, "{} writes", writes.len());
    for write in writes {
        let size = write.json()["data"][KEY].as_str().context("a document")?.len();
        ensure!(size <= LIMIT, "{size} bytes were sent");
        ensure!(size > LIMIT - 8 * 1024, "{size} bytes were sent: more was left out than it takes");
        ensure!(write.answered.is_some_and(|(status, _)| status == 200), "refused: {:?}", write.answered);
    }

    // What was kept is what matters: the story that goes on and its pages, before all that is over.
    let guard = &kept["engine"]["guards"][GUARD];
    ensure!(guard["closed"].as_array().is_none_or(Vec::is_empty), "what is over goes first");
    let notifications = kept["outbox"]["notifications"].as_object().context("notifications")?;
    let of = |prefix: &str| notifications.keys().filter(|k| k.starts_with(prefix)).count();
    let [old, new, long] = [of(&id), of(&latest), of(LONG_ONE)];
    ensure!(old == 4 && new == 3, "{old} pages of the first incident and its re-arming, {new} of the second");
    ensure!(long > 0 && long < CROWD, "{long} of {CROWD} long ones are kept");

    // And it is read again.
    let ripcord = started(&stage, &config).await?;
    until_leads(&ripcord).await?;
    ensure!(state(&ripcord).await? == "rolled_back" && incident(&ripcord).await? == latest);
    stage.hook.back().await?;
    stage.hook.wait_for(|c| (events(c, "rollback.verified").len() == 2).then_some(()), LONG).await
}

/// Long pages of little worth that wait.
const CROWD: usize = 600;

/// How their ids begin.
const LONG_ONE: &str = "long-";

/// Makes a document this large: closed incidents of before, and long pages that wait for a receiver that is gone.
fn crowd(document: &mut Value, bytes: usize) -> anyhow::Result<()> {
    let closed = &mut document["engine"]["guards"][GUARD]["closed"];
    let one = closed[0].clone();
    let closed = closed.as_array_mut().context("closed incidents")?;
    for n in 0..15 {
        let mut older = one.clone();
        older["id"] = json!(format!("{GUARD}-2020010{}T000000Z", n % 10));
        older["reason"] = json!("errors ".repeat(500));
        closed.insert(0, older);
    }
    let outbox = &document["outbox"];
    let entry = outbox["entries"][0].clone();
    let id = entry["notification"].as_str().context("an entry")?;
    let notification = outbox["notifications"][id].clone();
    let room = bytes.saturating_sub(document.to_string().len()) / CROWD;
    for n in 0..CROWD {
        let (mut notification, mut entry) = (notification.clone(), entry.clone());
        let id = format!("{LONG_ONE}{n:04}");
        notification["id"] = json!(id);
        notification["incident"] = json!(id);
        notification["severity"] = json!("info");
        entry["notification"] = json!(id);
        let rest = room.saturating_sub(notification.to_string().len() + entry.to_string().len() + id.len() + 8);
        let advice = notification["advice"].as_str().unwrap_or_default().to_owned();
        notification["advice"] = json!(advice + &"x".repeat(rest));
        document["outbox"]["notifications"][&id] = notification;
        document["outbox"]["entries"].as_array_mut().context("entries")?.insert(0, entry);
    }
    Ok(())
}

async fn a_state_that_may_not_be_read_stops_acting(world: World) -> anyhow::Result<()> {
    let mut stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let user = world.apiserver.new_user();
    let mut rules = deploy::least_rules()?;
    rules.retain(|r| r.resource_names.iter().flatten().all(|name| name != STATE));
    world.allow(&user, &rules).await?;
    stage.kubeconfig = stage.api.kubeconfig(&world, &user)?;
    let config = in_config_map(&stage);
    let ripcord = started(&stage, &config).await?;
    let error = until_error(&ripcord, "forbidden").await?;
    ensure!(error.contains(STATE), "{error}");
    ripcord
        .wait_log("why", |l| l["message"].as_str().is_some_and(|m| m.starts_with("Could not read the state")), LONG)
        .await?;
    ensure!(ripcord.status().await?["leads"] == false);
    stage.all_clear(&ripcord).await?;

    // It measures, and does nothing: it does not know what was latched.
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    until_held(&ripcord, "error_rate", 5.0).await?;
    never(Duration::from_secs(4), "a change or a page", async || stage.patches() > 0 || !stage.hook.calls().is_empty())
        .await?;

    let may = rule("", &["configmaps"], &["get", "patch"]);
    let may = k8s_openapi::api::rbac::v1::PolicyRule { resource_names: Some(vec![STATE.to_owned()]), ..may };
    world.allow(&user, &[may]).await?;
    stage.told("rollback.verified").await?;
    until_state(&ripcord, "rolled_back").await?;
    until_saved(&ripcord).await?;
    ensure!(stage.story() == RESTORED, "{:?}", stage.story());
    each_once(&stage.hook.accepted())
}
