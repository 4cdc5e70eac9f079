//! Every state that the page shows, judged in both colours and at both widths.

use std::time::Duration;

use anyhow::ensure;
use serde_json::json;

use super::super::stage::{COMPONENT, GUARD, LONG, Stage, until_held, until_state};
use super::{HOSTILE, TOKEN, at, config, open, sign_in};
use crate::stories;
use crate::support::browser::Browser;
use crate::support::controller::Rollout;
use crate::support::fixtures;
use crate::support::hook::Behaviour;
use crate::support::mesh::Traffic;
use crate::support::proxy::{Fault, PromProxy};
use crate::support::{Story, World, eventually};

pub fn trials() -> Vec<Story> {
    stories![
        a_rollback_is_seen_from_its_breach_to_its_end,
        what_is_not_seen_and_not_ready_is_shown,
        a_pause_and_lost_notifications_are_shown,
        it_says_when_it_is_not_updated_any_more,
        hostile_texts_are_texts,
    ]
}

/// The page is opened once and updates itself through the whole story; nothing that its reader has done is undone.
async fn a_rollback_is_seen_from_its_breach_to_its_end(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let mut config = config(&world, &stage)?
        .set("links.runbook", "https://runbooks.example/ripcord")
        .set(&format!("guards.{GUARD}.runbook"), "https://runbooks.example/terminal");
    for trigger in ["error_rate", "availability"] {
        config = config.set(&format!("defaults.triggers.{trigger}.for"), "40s");
    }
    let ripcord = stage.watch(&config).await?;
    stage.ready(&ripcord).await?;
    let browser = Browser::start(&world).await?;
    open(&browser, &ripcord, "The guard is well").await?;
    browser.judge("well", &ripcord.url()).await?;
    ensure!(browser.text(".guard .share").await?.contains("25 % on the new path"));
    ensure!(browser.text(".guard .next").await?.contains("25 % → 0 %"));
    ensure!(browser.count(".guard .button").await? == 0, "who has not signed in sees no buttons");
    ensure!(browser.count(".trigger svg[role=img]").await? == 3, "each trigger has a chart");

    sign_in(&browser, &ripcord).await?;
    // The reader opens and closes nothing yet, has the focus on a link, and marks the document, which a reload would lose.
    browser.run("document.querySelector('.guard .button').focus(); window.kept = true").await?;
    let focus = browser.run("return document.activeElement.getAttribute('href')").await?;
    stage.controller.set(Rollout::Never);
    stage.workload().set(Traffic::healthy(200.0).errors(0.031));
    until_held(&ripcord, "error_rate", 4.0).await?;
    browser.until_text(".headline", "error rate 3", LONG).await?;
    browser.until_text(".trigger.bad .hold", " of 40s", LONG).await?;
    browser.judge("breach", &ripcord.url()).await?;
    ensure!(browser.text(".guard").await?.contains("limit 1 %"));
    ensure!(browser.text(".guard .next").await?.contains("at the earliest in"));

    browser.until_text("h1", "rolling back 25 % → 0 %", LONG).await?;
    browser.until_text(".incident[open] summary", "under way", LONG).await?;
    ensure!(browser.run("return window.kept").await? == true, "the page was loaded anew");
    ensure!(
        browser.run("return document.activeElement.getAttribute('href')").await? == focus,
        "the focus is elsewhere"
    );
    browser.judge("rolling-back", &ripcord.url()).await?;

    // What the reader closes stays closed.
    browser.run("document.querySelector('.incident').open = false").await?;
    stage.controller.set(Rollout::Finish(Duration::from_millis(100)));
    browser.until_text("h1", "rolled back 25 % → 0 %, and it helped", LONG).await?;
    ensure!(browser.run("return document.querySelector('.incident').open").await? == false, "it was opened again");
    browser.run("document.querySelector('.incident').open = true").await?;
    browser.judge("rolled-back", &ripcord.url()).await?;
    let story = browser.text(".incident").await?;
    for part in ["it helped", "changed", "deployment_env", "Saved before the change", COMPONENT] {
        ensure!(story.contains(part), "{part} is not in {story}");
    }
    ensure!(
        browser.text("title").await.is_ok()
            && browser.run("return document.title").await?.as_str().is_some_and(|t| t.contains("rolled back"))
    );
    Ok(())
}

async fn what_is_not_seen_and_not_ready_is_shown(world: World) -> anyhow::Result<()> {
    let mut stage = Stage::set(&world).await?;
    let ripcord = stage.watch(&config(&world, &stage)?.set("readiness.interval", "2s")).await?;
    let browser = Browser::start(&world).await?;
    stage.prometheus.stop();
    open(&browser, &ripcord, "Does not see: terminal").await?;
    browser.until_text(".trigger.unknown .reason", "query failed", LONG).await?;
    browser.judge("blind", &ripcord.url()).await?;

    stage.prometheus.restart().await?;
    stage.api.rule(|r| r.is_dry_run(), Fault::kubernetes_with(403, "Forbidden", "denied by an admission webhook"));
    browser.until_text("h1", "A rollback would FAIL now: terminal", LONG).await?;
    browser.until_text(".readiness", "denied by an admission webhook", LONG).await?;
    browser.judge("not-ready", &ripcord.url()).await?;
    Ok(())
}

async fn a_pause_and_lost_notifications_are_shown(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let ripcord = stage.watch(&config(&world, &stage)?).await?;
    stage.hook.set(Behaviour::Status(400, None));
    let path = format!("/api/v1/guards/{GUARD}/pause");
    let (status, answer) = ripcord.post(&path, Some(TOKEN), &json!({"for": "30m"})).await?;
    ensure!(status == 200, "{status}: {answer}");
    let browser = Browser::start(&world).await?;
    open(&browser, &ripcord, "").await?;
    browser.until_text(".lost", "guard.paused", LONG).await?;
    browser.until_text(".headline", "Paused: terminal", LONG).await?;
    browser.until_text(".headline", "was lost", LONG).await?;
    ensure!(browser.text(".guard .state").await?.contains("Paused until"));
    browser.judge("paused-and-lost", &ripcord.url()).await?;

    // A receiver that takes nothing for now.
    stage.hook.set(Behaviour::Status(503, None));
    let (status, answer) = ripcord.post(&format!("/api/v1/guards/{GUARD}/resume"), Some(TOKEN), &json!({})).await?;
    ensure!(status == 200, "{status}: {answer}");
    let (status, answer) = ripcord.post(&path, Some(TOKEN), &json!({"for": "30m"})).await?;
    ensure!(status == 200, "{status}: {answer}");
    browser.until_text(".receivers", "waiting, the oldest for", LONG).await
}

async fn it_says_when_it_is_not_updated_any_more(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let mut ripcord = stage.watch(&config(&world, &stage)?).await?;
    let browser = Browser::start(&world).await?;
    open(&browser, &ripcord, "The guard is well").await?;
    ensure!(browser.run("return document.getElementById('told').textContent").await? == "", "nothing is said");
    ripcord.kill();
    browser.until_text("#told", "Not updated since", LONG).await?;
    ensure!(browser.run("return document.getElementById('told').getAttribute('role')").await? == "status");
    // It is said once: a screen reader would say each change.
    browser
        .run("window.changes = 0; new MutationObserver(() => window.changes++).observe(document.getElementById('told'), {childList: true, characterData: true, subtree: true})")
        .await?;
    tokio::time::sleep(Duration::from_secs(12)).await;
    ensure!(browser.run("return window.changes").await? == 0, "it is said again and again");
    browser.picture("lost-connection").await?;
    let said = browser.console().await?;
    ensure!(said.iter().all(|line| line.contains("ERR_CONNECTION_REFUSED")), "{said:?}");
    Ok(())
}

/// Everything that may come from outside: what Prometheus and the API server answer, what people write, what a receiver says.
async fn hostile_texts_are_texts(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let front = PromProxy::start(&world, &stage.prometheus.url()).await?;
    let config = config(&world, &stage)?
        .set("prometheus.url", front.url())
        .set("readiness.interval", "2s")
        .set("defaults.triggers.odd", json!({
            "promql": "max(up{job=~\"<img src=x onerror=document.title='caught'>(\"})", "above": 1, "for": "5m", "action": "page",
        }));
    let mut ripcord = stage.start(&config)?;
    ripcord.wait_ready().await?;
    stage.ready(&ripcord).await?;
    stage.api.rule(|r| r.is_dry_run(), Fault::kubernetes_with(403, "Forbidden", HOSTILE));
    let label = json!({"metadata": {"labels": {"argocd.argoproj.io/instance": "sealos-apps"}}});
    let deployments: kube::Api<k8s_openapi::api::apps::v1::Deployment> = world.api();
    deployments.patch(COMPONENT, &kube::api::PatchParams::default(), &kube::api::Patch::Merge(label)).await?;
    let (status, answer) =
        ripcord.post(&format!("/api/v1/guards/{GUARD}/rollback"), Some(TOKEN), &json!({"reason": HOSTILE})).await?;
    ensure!(status == 200, "{status}: {answer}");
    until_state(&ripcord, "rolled_back").await?;
    let browser = Browser::start(&world).await?;
    open(&browser, &ripcord, "").await?;
    eventually(LONG, "the error of the API server is shown", async || {
        browser.text(".readiness").await.is_ok_and(|text| text.contains(HOSTILE))
    })
    .await?;
    sign_in(&browser, &ripcord).await?;
    let page = browser.text("main").await?;
    ensure!(
        browser.text(".incident .story").await?.contains(HOSTILE),
        "the reason is not there as it was written: {page}"
    );
    ensure!(page.contains("<img src=x onerror=document.title='caught'>("), "{page}");
    // A form shows it too.
    browser.go(&at(&ripcord, "rollback")).await?;
    ensure!(browser.text("main").await?.contains(HOSTILE));
    for (path, what) in
        [(format!("/?guard={}", "%22%3E%3Cimg%20src%3Dx%20onerror%3Ddocument.title%3D'caught'%3E"), "img")]
    {
        browser.go(&format!("{}{path}", ripcord.url())).await?;
        ensure!(browser.count(what).await? == 0 && browser.count("#filter").await? == 1);
    }
    browser.go(&ripcord.url()).await?;
    ensure!(browser.count("img, main script, iframe").await? == 0, "a text became an element");
    ensure!(browser.run("return document.title").await? != "caught");
    browser.judge("hostile", &ripcord.url()).await?;
    ensure!(fixtures::env_value(&stage.deployment().await?, "controller", "ISTIO_PERCENTAGE").as_deref() == Some("0"));
    Ok(())
}
