//! What Ripcord needs is gone for long, and Ripcord itself ends meanwhile. The times are shorter than at night; what is told and done is
//! the same.

use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::stage::{COMPONENT, GUARD, LONG, Stage, each_once, until_state};
use crate::deploy;
use crate::stories;
use crate::support::controller::{Mover, Rollout};
use crate::support::fixtures::{self, Config};
use crate::support::hook::{Behaviour, Hook};
use crate::support::mailbox::{Mailbox, Security};
use crate::support::mesh::Traffic;
use crate::support::ripcord::{Ripcord, run_to_end};
use crate::support::{Story, World, eventually, never};

pub fn trials() -> Vec<Story> {
    stories![
        a_rollback_outlives_the_api_server_and_a_crash,
        a_leader_that_is_cut_off_stops_and_catches_up,
        one_that_can_never_lead_is_told,
        what_its_receivers_missed_outlives_a_crash,
        one_page_that_is_never_accepted_holds_up_no_other,
        a_refusal_for_good_is_told_to_the_others,
        a_reload_keeps_what_did_not_change,
    ]
}

/// Another component that `deploy/overlays/sealos` permits to move.
const OTHER: &str = "db-adminer-controller";

/// Its guard.
const OTHER_GUARD: &str = "adminer";

/// What is told of a rollback that helps, in order.
const HELPED: [&str; 3] = ["rollback.started", "rollback.succeeded", "rollback.verified"];

/// A page that waits for nothing but its turn comes within this time: the first backoffs are a second and two.
const SOON: Duration = Duration::from_secs(12);

/// Another component with traffic, which gets well once its share is 0.
async fn another(stage: &Stage<'_>, component: &str) -> anyhow::Result<Mover> {
    let workload = stage.mesh.workload(component);
    workload.set(Traffic::healthy(200.0));
    fixtures::create_deployment(stage.world, component).await?;
    fixtures::create_config_map(stage.world, component).await?;
    Ok(Mover::start(stage.world, component, Duration::ZERO, move |share| {
        if share == 0 {
            workload.set(Traffic::healthy(200.0));
        }
    }))
}

fn fails(stage: &Stage, component: &str) {
    stage.mesh.workload(component).set(Traffic::healthy(200.0).errors(0.3));
}

async fn guard(ripcord: &Ripcord, name: &str) -> anyhow::Result<Value> {
    let status = ripcord.status().await?;
    let found = status["guards"].as_array().into_iter().flatten().find(|g| g["guard"] == name).cloned();
    found.with_context(|| format!("no guard {name} in {status}"))
}

async fn until_guard(ripcord: &Ripcord, name: &str, state: &str) -> anyhow::Result<Value> {
    eventually(LONG, &format!("{name} is {state}"), async || match guard(ripcord, name).await {
        Ok(guard) if guard["state"] == state => Ok(guard),
        Ok(guard) => Err(guard["state"].to_string()),
        Err(e) => Err(e.to_string()),
    })
    .await
}

/// What was accepted of one guard's rollback, in the order of arrival.
fn of_guard(hook: &Hook, name: &str) -> Vec<String> {
    let accepted = hook.accepted().into_iter().filter(|c| c.body["guard"] == name);
    accepted.map(|c| c.event().to_owned()).filter(|event| event.starts_with("rollback.")).collect()
}

fn accepted(hook: &Hook, event: &str) -> usize {
    hook.accepted().iter().filter(|c| c.event() == event).count()
}

/// Decided, refused, killed, started without a cluster, and done when it is back: one story, each change once.
async fn a_rollback_outlives_the_api_server_and_a_crash(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let config = stage.config();
    let ripcord = stage.watch(&config).await?;
    stage.api.gone();
    fails(&stage, COMPONENT);
    let failed = stage.told("rollback.failed").await?;
    let attempts = async |ripcord: &Ripcord| guard(ripcord, GUARD).await.map(|g| g["incident"]["attempt"].as_u64());
    eventually(LONG, "it tries again and again", async || attempts(&ripcord).await.is_ok_and(|n| n >= Some(3))).await?;

    stage.nothing_waits(&config).await?;
    let ripcord = stage.crash(ripcord, &config, Duration::ZERO).await?;
    let found = until_guard(&ripcord, GUARD, "rolling_back").await?;
    ensure!(found["incident"]["id"] == failed.body["incident"], "{found}");
    ensure!(found["incident"]["attempt"].as_u64() >= Some(3), "{found}");
    let tried = attempts(&ripcord).await?;
    eventually(LONG, "it goes on trying", async || attempts(&ripcord).await.is_ok_and(|n| n > tried)).await?;
    stage.api.back().await?;
    stage.told("rollback.verified").await?;
    until_state(&ripcord, "rolled_back").await?;
    let story: Vec<&str> = [&HELPED[..1], &["rollback.failed"], &HELPED[1..]].concat();
    ensure!(stage.story() == story, "{:?}", stage.story());
    each_once(&stage.hook.accepted())?;
    ensure!(stage.accepted_patches() == 2, "{} patches were accepted", stage.accepted_patches());
    ensure!(stage.deployment().await?.metadata.generation == Some(2), "changed more than once");
    Ok(())
}

fn elected(stage: &Stage) -> Config {
    let namespace = &stage.world.namespace;
    stage
        .config()
        .unset("state.file")
        .set("state.config_map", json!({"namespace": namespace, "name": "ripcord-state"}))
        .set("leader_election", json!({"lease": {"namespace": namespace, "name": "ripcord"}, "lease_duration": "3s"}))
}

/// It decides nothing while nobody can know who leads; what was measured meanwhile counts when it leads again.
async fn a_leader_that_is_cut_off_stops_and_catches_up(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let night = Hook::start(&world).await?;
    let ripcord = stage.watch(&elected(&stage).webhook("night", &night)).await?;
    let leads = async |ripcord: &Ripcord| ripcord.metric("ripcord_leader", &[]).await.is_ok_and(|n| n == Some(1.0));
    eventually(LONG, "it leads", async || leads(&ripcord).await).await?;
    stage.told("watchdog.started").await?;
    let replayed = async || ripcord.metric("ripcord_replayed_ticks_total", &[]).await.map(Option::unwrap_or_default);
    let before = replayed().await?;

    stage.api.gone();
    night.gone();
    eventually(Duration::from_secs(6), "it does not lead", async || !leads(&ripcord).await).await?;
    fails(&stage, COMPONENT);
    let page = stage.told("watchdog.not_ready").await?;
    let summary = page.body["summary"].as_str().unwrap_or_default();
    ensure!(page.body["severity"] == "critical" && summary.starts_with("Ripcord cannot lead"), "{}", page.body);
    let (status, answer) = ripcord.get("/readyz").await?;
    ensure!(status == 200, "{status} {answer}");
    // Longer than the trigger's hold.
    never(Duration::from_secs(12), "a decision", async || leads(&ripcord).await || !stage.story().is_empty()).await?;

    stage.api.back().await?;
    eventually(LONG, "it leads again", async || leads(&ripcord).await).await?;
    let again = std::time::SystemTime::now();
    let over = stage.told("watchdog.ready").await?;
    ensure!(over.body["incident"] == page.body["incident"], "{}", over.body);
    let started = stage.told("rollback.started").await?;
    let waited = started.at.duration_since(again).unwrap_or_default();
    ensure!(waited < Duration::from_secs(5), "what was missed counts: it waited {waited:?} for a hold of 5 s");
    ensure!(replayed().await? >= before + 10.0, "{} ticks were fetched, {before} before", replayed().await?);
    stage.told("rollback.verified").await?;
    until_state(&ripcord, "rolled_back").await?;
    ensure!(stage.story() == HELPED, "{:?}", stage.story());
    ensure!(accepted(&stage.hook, "watchdog.not_ready") == 1, "it was told more than once");
    ensure!(stage.accepted_patches() == 2, "{} patches were accepted", stage.accepted_patches());
    each_once(&stage.hook.accepted())?;

    // What a receiver did not get meanwhile is not forgotten with the change of roles.
    night.back().await?;
    eventually(LONG, "the other receiver has it all", async || {
        let of_itself = ["watchdog.not_ready", "watchdog.ready"].iter().all(|event| accepted(&night, event) == 1);
        of_itself && of_guard(&night, GUARD) == HELPED
    })
    .await?;
    each_once(&night.accepted())
}

/// The rights to the Lease are missing, as after a first installation by hand: nobody leads, and that is told.
async fn one_that_can_never_lead_is_told(world: World) -> anyhow::Result<()> {
    let mut stage = Stage::set(&world).await?;
    let user = world.apiserver.new_user();
    let mut rules = deploy::least_rules()?;
    let (lease, others): (Vec<_>, Vec<_>) =
        rules.drain(..).partition(|r| r.resources.iter().flatten().any(|r| r == "leases"));
    world.allow(&user, &others).await?;
    stage.kubeconfig = stage.api.kubeconfig(&world, &user)?;
    let ripcord = stage.watch(&elected(&stage)).await?;
    let page = stage.told("watchdog.not_ready").await?;
    let summary = page.body["summary"].as_str().unwrap_or_default();
    ensure!(page.body["severity"] == "critical" && summary.starts_with("Ripcord cannot lead"), "{}", page.body);
    ensure!(summary.contains("forbidden") && summary.contains("Lease"), "{summary}");
    ensure!(ripcord.metric("ripcord_leader", &[]).await? == Some(0.0));
    world.allow(&user, &lease).await?;
    let over = stage.told("watchdog.ready").await?;
    ensure!(over.body["incident"] == page.body["incident"], "{}", over.body);
    stage.told("watchdog.started").await?;
    ensure!(ripcord.metric("ripcord_leader", &[]).await? == Some(1.0));
    Ok(())
}

/// Two incidents, a webhook and a mailbox that are gone, and a crash.
async fn what_its_receivers_missed_outlives_a_crash(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _movers = (stage.recovers_at_zero(), another(&stage, OTHER).await?);
    let mailbox = Mailbox::start(&world, Security::Plain, false).await?;
    let to = ["a@sealos.test", "b@sealos.test"];
    let config =
        stage.config().guard(OTHER_GUARD, OTHER).email(&world, "mail", &mailbox, Security::Plain, false, &to)?;
    let ripcord = stage.watch(&config).await?;
    stage.told("watchdog.started").await?;
    mailbox.wait_for(|m| (m.len() == 2).then_some(()), LONG).await?;
    stage.nothing_waits(&config).await?;
    stage.hook.gone();
    mailbox.gone();
    fails(&stage, COMPONENT);
    fails(&stage, OTHER);
    for name in [GUARD, OTHER_GUARD] {
        until_guard(&ripcord, name, "rolled_back").await?;
    }
    let waiting = async |ripcord: &Ripcord, receiver| {
        ripcord.metric("ripcord_notification_queue", &[("receiver", receiver)]).await.ok().flatten()
    };
    eventually(LONG, "all of it waits", async || {
        let (oncall, mail) = (waiting(&ripcord, "oncall").await, waiting(&ripcord, "mail").await);
        if (oncall, mail) == (Some(6.0), Some(12.0)) { Ok(()) } else { Err(format!("{oncall:?} and {mail:?} wait")) }
    })
    .await?;

    let ripcord = stage.crash(ripcord, &config, Duration::ZERO).await?;
    eventually(LONG, "what waited waits again, and the new start", async || {
        waiting(&ripcord, "oncall").await == Some(7.0) && waiting(&ripcord, "mail").await == Some(14.0)
    })
    .await?;
    never(Duration::from_secs(2), "something is lost", async || {
        waiting(&ripcord, "oncall").await.is_some_and(|n| n < 7.0)
    })
    .await?;
    stage.hook.back().await?;
    mailbox.back().await?;
    eventually(LONG, "nothing waits", async || {
        waiting(&ripcord, "oncall").await == Some(0.0) && waiting(&ripcord, "mail").await == Some(0.0)
    })
    .await?;
    each_once(&stage.hook.accepted())?;
    for name in [GUARD, OTHER_GUARD] {
        ensure!(of_guard(&stage.hook, name) == HELPED, "{name}: {:?}", of_guard(&stage.hook, name));
        for to in to {
            let subjects: Vec<String> = mailbox
                .messages()
                .iter()
                .filter(|m| m.to == [to] && m.header("subject").contains(&format!("{name}: ")))
                .map(|m| m.header("message-id").to_owned())
                .collect();
            ensure!(subjects.len() == 3, "{to} got {subjects:?} of {name}");
            ensure!(subjects.is_sorted() && subjects.windows(2).all(|w| w[0] != w[1]), "{to}, {name}: {subjects:?}");
        }
    }
    Ok(())
}

async fn one_page_that_is_never_accepted_holds_up_no_other(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _movers = (stage.recovers_at_zero(), another(&stage, OTHER).await?);
    let ripcord = stage.watch(&stage.config().guard(OTHER_GUARD, OTHER)).await?;
    stage.hook.set_for(|body| body["guard"] == OTHER_GUARD, Behaviour::Status(500, None));
    fails(&stage, OTHER);
    fails(&stage, COMPONENT);
    until_guard(&ripcord, OTHER_GUARD, "rolled_back").await?;
    stage.told("rollback.verified").await?;
    ensure!(of_guard(&stage.hook, GUARD) == HELPED, "{:?}", of_guard(&stage.hook, GUARD));
    ensure!(of_guard(&stage.hook, OTHER_GUARD).is_empty());
    let poison = stage.hook.calls().into_iter().filter(|c| c.body["guard"] == OTHER_GUARD);
    let poison: Vec<String> = poison.map(|c| c.event().to_owned()).collect();
    ensure!(poison.len() >= 2 && poison.iter().all(|e| e == HELPED[0]), "the first is tried first: {poison:?}");
    for call in stage.hook.accepted() {
        let decided: jiff::Timestamp = call.body["time"].as_str().context("a time")?.parse()?;
        let late = jiff::Timestamp::try_from(call.at)?.duration_since(decided);
        ensure!(Duration::try_from(late).unwrap_or_default() < SOON, "{} came {late:?} late", call.event());
    }
    stage.hook.set_for_none();
    eventually(LONG, "the other story is told too", async || of_guard(&stage.hook, OTHER_GUARD).len() == 3).await?;
    ensure!(of_guard(&stage.hook, OTHER_GUARD) == HELPED, "{:?}", of_guard(&stage.hook, OTHER_GUARD));
    each_once(&stage.hook.accepted())
}

async fn a_refusal_for_good_is_told_to_the_others(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let locked = Hook::start(&world).await?;
    locked.set(Behaviour::Status(401, None));
    let config = stage.config().webhook("sre", &locked);
    let ripcord = stage.watch(&config).await?;
    fails(&stage, COMPONENT);
    let told = stage.told("notification.lost").await?;
    let summary = told.body["summary"].as_str().unwrap_or_default();
    ensure!(summary.starts_with("sre did not get") && summary.contains("401"), "{summary}");
    ensure!(told.body["severity"] == "critical" && told.body["guard"] == GUARD, "{}", told.body);
    stage.told("rollback.verified").await?;
    until_state(&ripcord, "rolled_back").await?;
    let lost = async |ripcord: &Ripcord| {
        let status = ripcord.status().await?;
        let all = status["lost"].as_array().cloned().unwrap_or_default();
        anyhow::Ok(all.into_iter().filter(|l| l["receiver"] == "sre").collect::<Vec<_>>())
    };
    let rollback = |lost: &[Value]| -> Vec<String> {
        let events = lost.iter().filter_map(|l| l["event"].as_str()).filter(|e| e.starts_with("rollback."));
        events.map(str::to_owned).collect()
    };
    eventually(LONG, "all of it is shown as lost", async || {
        lost(&ripcord).await.is_ok_and(|all| rollback(&all) == HELPED)
    })
    .await?;
    let all = lost(&ripcord).await?;
    ensure!(all.iter().all(|l| l["reason"].as_str().is_some_and(|r| r.contains("401"))), "{all:?}");
    let counted = ripcord.metric("ripcord_notifications_total", &[("receiver", "sre"), ("result", "lost")]).await?;
    ensure!(counted == Some(all.len() as f64), "{counted:?} of {}", all.len());
    ensure!(locked.calls().len() == all.len(), "tried once each: {} calls, {} lost", locked.calls().len(), all.len());
    let shown = run_to_end(&world, None, &["status", "--url", &ripcord.url()]).await?;
    ensure!(shown.stdout.contains("sre did not get"), "{shown:?}");
    let again = stage.crash(ripcord, &config, Duration::ZERO).await?;
    ensure!(rollback(&lost(&again).await?) == HELPED, "what was lost is known after a restart");
    Ok(())
}

/// A latched guard, a clock that runs, a queue that waits; a guard that goes in the middle of its rollback, a receiver that goes with its queue.
async fn a_reload_keeps_what_did_not_change(world: World) -> anyhow::Result<()> {
    const SLOW: &str = "resources-controller";
    const SLOW_GUARD: &str = "resources";
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let _others = (another(&stage, OTHER).await?, another(&stage, SLOW).await?);
    let (down, leaving) = (Hook::start(&world).await?, Hook::start(&world).await?);
    down.gone();
    leaving.gone();
    let kept = stage
        .config()
        .guard(SLOW_GUARD, SLOW)
        .set(&format!("guards.{SLOW_GUARD}.triggers.error_rate.for"), "120s")
        .set(&format!("guards.{SLOW_GUARD}.triggers.availability.for"), "120s")
        .webhook("night", &down);
    let before = kept.clone().guard(OTHER_GUARD, OTHER).webhook("leaving", &leaving);
    let mut ripcord = stage.watch(&before).await?;
    fails(&stage, COMPONENT);
    fails(&stage, SLOW);
    stage.told("rollback.verified").await?;
    let latched = until_guard(&ripcord, GUARD, "rolled_back").await?;
    stage.controller.set(Rollout::Never);
    fails(&stage, OTHER);
    eventually(LONG, "the other one rolls back", async || of_guard(&stage.hook, OTHER_GUARD) == HELPED[..1]).await?;
    until_guard(&ripcord, OTHER_GUARD, "rolling_back").await?;
    let held = async |ripcord: &Ripcord| {
        let guard = guard(ripcord, SLOW_GUARD).await?;
        let triggers = guard["triggers"].as_array().context("triggers")?;
        let one = triggers.iter().find(|t| t["trigger"] == "error_rate").context("error_rate")?;
        one["held_seconds"].as_f64().context("held_seconds")
    };
    let waiting = async |ripcord: &Ripcord| {
        ripcord.metric("ripcord_notification_queue", &[("receiver", "night")]).await.ok().flatten()
    };
    let (was_held, was_waiting) = (held(&ripcord).await?, waiting(&ripcord).await);
    ensure!(was_held > 5.0 && was_waiting >= Some(4.0), "{was_held} s, {was_waiting:?} wait");

    ripcord.write_config(&kept.to_string())?;
    ripcord.signal(Signal::HUP)?;
    eventually(LONG, "the guard that goes in the middle is told", async || {
        of_guard(&stage.hook, OTHER_GUARD) == [HELPED[0], "rollback.failed"]
    })
    .await?;
    let page = stage.told("rollback.failed").await?;
    let summary = page.body["summary"].as_str().unwrap_or_default();
    ensure!(page.body["severity"] == "critical" && summary.contains("no longer configured"), "{}", page.body);
    ensure!(guard(&ripcord, OTHER_GUARD).await.is_err(), "it is not watched any more");
    let dropped =
        |l: &Value| l["receiver"] == "leaving" && l["reason"] == "the receiver is no longer in the configuration";
    ripcord.wait_log("what the receiver that is gone does not get", dropped, LONG).await?;
    let after = guard(&ripcord, GUARD).await?;
    ensure!(after["state"] == "rolled_back" && after["incident"]["id"] == latched["incident"]["id"], "{after}");
    let now_held = held(&ripcord).await?;
    ensure!(now_held >= was_held, "the clock went from {was_held} s to {now_held} s");
    ensure!(waiting(&ripcord).await > was_waiting, "{:?} wait, {was_waiting:?} before", waiting(&ripcord).await);
    down.back().await?;
    // A reload tries everything at once.
    ripcord.signal(Signal::HUP)?;
    eventually(LONG, "what waited is told", async || {
        of_guard(&down, GUARD) == HELPED && of_guard(&down, OTHER_GUARD) == [HELPED[0], "rollback.failed"]
    })
    .await?;
    each_once(&down.accepted())?;
    ensure!(stage.api.count(|r| r.is("PATCH", SLOW) && !r.is_dry_run()) == 0, "its clock is not complete");
    Ok(())
}
