//! What is asked for on the page.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::json;

use super::super::stage::{GUARD, LONG, Stage, state, until_state};
use super::{TOKEN, at, config, open, sign_in};
use crate::stories;
use crate::support::browser::{Browser, ENTER, TAB};
use crate::support::mesh::Traffic;
use crate::support::{Story, World};

pub fn trials() -> Vec<Story> {
    stories![
        a_rollback_by_hand_without_javascript,
        the_keyboard_alone_acknowledges,
        a_page_without_an_incident_is_acknowledged_on_a_phone,
        what_has_changed_since_is_asked_again,
        what_is_refused_is_said_and_what_is_missing_is_asked_for,
    ]
}

/// axe-core needs scripts; the page's own were not run when it was opened, and are not run later.
async fn judge(browser: &Browser, name: &str, own: &str) -> anyhow::Result<()> {
    browser.javascript(true).await?;
    browser.judge(name, own).await?;
    browser.javascript(false).await
}

/// From the sign-in to the result, with nothing but links and forms.
async fn a_rollback_by_hand_without_javascript(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let ripcord = stage.watch(&config(&world, &stage)?).await?;
    stage.ready(&ripcord).await?;
    let browser = Browser::start(&world).await?;
    browser.javascript(false).await?;
    open(&browser, &ripcord, "The guard is well").await?;
    ensure!(browser.count(".reload").await? == 1 && browser.text(".reload").await? == "Reload", "a link to see more");
    ensure!(browser.run("return document.getElementById('auto').hidden").await? == true, "no button that does nothing");
    judge(&browser, "without-javascript", &ripcord.url()).await?;

    browser.click(".signing a").await?;
    browser.type_into("#token", "wrong").await?;
    browser.click("button[type=submit]").await?;
    browser.until_text(".wrong", "not the token", LONG).await?;
    browser.console().await?;
    judge(&browser, "sign-in", &ripcord.url()).await?;
    browser.type_into("#token", TOKEN).await?;
    browser.click("button[type=submit]").await?;
    browser.until_text(".signing", "Signed in", LONG).await?;
    judge(&browser, "signed-in", &ripcord.url()).await?;
    browser.click(&format!(".guard a[href='/guards/{GUARD}/rollback']")).await?;
    let asked = browser.text("main").await?;
    for part in ["Roll back terminal?", "from 25 % to 0 %", "deployment_env", "config_map"] {
        ensure!(asked.contains(part), "{part} is not in {asked}");
    }
    ensure!(stage.patches() == 0, "nothing is done before it is confirmed");
    judge(&browser, "confirm", &ripcord.url()).await?;
    browser.type_into("#reason", "users complain").await?;
    browser.click("button.danger").await?;
    browser.until_text(".said", "the rollback has begun", LONG).await?;
    let told = stage.told("rollback.started").await?;
    ensure!(told.body["summary"].as_str().is_some_and(|s| s.contains("users complain")), "{}", told.body);
    until_state(&ripcord, "rolled_back").await?;
    ensure!(stage.env("ISTIO_PERCENTAGE").await?.as_deref() == Some("0"));
    browser.click(".reload").await?;
    browser.until_text("h1", "rolled back 25 % → 0 %", LONG).await?;
    ensure!(browser.text(".incident").await?.contains("users complain"));

    browser.click(&format!(".guard a[href='/guards/{GUARD}/rearm']")).await?;
    browser.click("button.go").await?;
    browser.until_text(".said", "watching again", LONG).await?;
    browser.click(&format!(".guard a[href='/guards/{GUARD}/pause']")).await?;
    judge(&browser, "pause", &ripcord.url()).await?;
    browser.click("button.go").await?;
    browser.until_text(".said", "paused for 30m0s", LONG).await?;
    judge(&browser, "said", &ripcord.url()).await?;
    browser.click(&format!(".guard a[href='/guards/{GUARD}/resume']")).await?;
    browser.click("button.go").await?;
    browser.until_text(".said", "no longer paused", LONG).await?;
    ensure!(state(&ripcord).await? == "watching");

    browser.click(".signing button").await?;
    browser.until_text(".signing", "Sign in", LONG).await?;
    ensure!(browser.count(".guard .button").await? == 0);
    Ok(())
}

/// Goes from one thing to the next until the focus is on what a selector finds.
async fn tab_to(browser: &Browser, selector: &str) -> anyhow::Result<()> {
    let is_there = format!("const a = document.activeElement; return !!a && a.matches({})", json!(selector));
    for _ in 0..60 {
        if browser.run(&is_there).await? == true {
            // Who goes by keyboard must see where they are.
            let seen = "const s = getComputedStyle(document.activeElement); return s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2";
            ensure!(browser.run(seen).await? == true, "the focus on {selector} is not seen");
            return Ok(());
        }
        browser.press(TAB).await?;
    }
    let last = browser.run("return document.activeElement.outerHTML").await?;
    anyhow::bail!("the keyboard does not get to {selector}; it is at {last}")
}

async fn the_keyboard_alone_acknowledges(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let _mover = stage.recovers_at_zero();
    let ripcord = stage.watch(&config(&world, &stage)?).await?;
    stage.workload().set(Traffic::healthy(200.0).errors(0.3));
    until_state(&ripcord, "rolled_back").await?;
    let browser = Browser::start(&world).await?;
    open(&browser, &ripcord, "rolled back").await?;
    browser.press(TAB).await?;
    ensure!(
        browser.run("return document.activeElement.className").await? == "skip",
        "first comes the way past the head"
    );
    tab_to(&browser, ".signing a").await?;
    browser.press(ENTER).await?;
    browser.until_text("h1", "Sign in", LONG).await?;
    tab_to(&browser, "#token").await?;
    browser.press(TOKEN).await?;
    browser.press(ENTER).await?;
    browser.until_text(".signing", "Signed in", LONG).await?;
    tab_to(&browser, &format!(".guard a[href='/guards/{GUARD}/ack']")).await?;
    browser.press(ENTER).await?;
    browser.until_text("h1", "Acknowledge terminal?", LONG).await?;
    tab_to(&browser, "button.go").await?;
    browser.press(ENTER).await?;
    browser.until_text(".said", "acknowledged", LONG).await?;
    ensure!(browser.run("return document.activeElement.id").await? == "said", "what came of it has the focus");
    let incidents = ripcord.incidents().await?;
    ensure!(incidents[0]["acknowledged_at"].is_string(), "{incidents}");
    stage.told("guard.acknowledged").await?;
    // What can be hit with a finger is large enough for one.
    browser.width(360).await?;
    let small = "return [...document.querySelectorAll('.button, button')].map(b => b.getBoundingClientRect()) \
                 .filter(r => r.width > 0 && (r.width < 44 || r.height < 44)).length";
    ensure!(browser.run(small).await? == 0, "a button is too small");
    Ok(())
}

async fn a_page_without_an_incident_is_acknowledged_on_a_phone(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let busy = json!({"promql": "vector(200)", "above": 128, "for": "2s", "action": "page"});
    let mut ripcord = stage.start(&config(&world, &stage)?.set("defaults.triggers.busy", busy))?;
    ripcord.wait_ready().await?;
    stage.told("page.firing").await?;
    let browser = Browser::start(&world).await?;
    browser.width(360).await?;
    open(&browser, &ripcord, "busy 200, limit 128, paged").await?;
    ensure!(ripcord.incidents().await?.as_array().is_some_and(Vec::is_empty), "there is no incident");
    sign_in(&browser, &ripcord).await?;
    browser.judge("paged", &ripcord.url()).await?;
    browser.width(360).await?;
    browser.click(&format!(".guard a[href='/guards/{GUARD}/ack']")).await?;
    browser.until_text("main", "the page of busy 200, limit 128", LONG).await?;
    browser.judge("acknowledge", &ripcord.url()).await?;
    browser.width(360).await?;
    browser.click("button.go").await?;
    browser.until_text(".said", "terminal: acknowledged: the page of busy", LONG).await?;
    stage.told("guard.acknowledged").await?;
    browser.until_text(".headline", "paged and acknowledged", LONG).await?;
    ensure!(browser.text("#t-terminal\\.busy").await?.contains("acknowledged at"));
    ensure!(browser.count(&format!("a[href='/guards/{GUARD}/ack']")).await? == 0, "once is enough");
    let status = ripcord.status().await?;
    let triggers = status["guards"][0]["triggers"].as_array().context("triggers")?;
    let busy = triggers.iter().find(|t| t["trigger"] == "busy").context("busy")?;
    ensure!(busy["firing"] == true && busy["acknowledged_at"].is_string(), "{busy}");
    Ok(())
}

/// A tab that was left open: what it asks about is not what there is now.
async fn what_has_changed_since_is_asked_again(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let ripcord = stage.watch(&config(&world, &stage)?).await?;
    let pause = async |length: &str| {
        let path = format!("/api/v1/guards/{GUARD}/pause");
        let (status, answer) = ripcord.post(&path, Some(TOKEN), &json!({"for": length})).await?;
        ensure!(status == 200, "{status}: {answer}");
        anyhow::Ok(())
    };
    let browser = Browser::start(&world).await?;
    sign_in(&browser, &ripcord).await?;
    pause("30m").await?;
    browser.go(&at(&ripcord, "resume")).await?;
    // Somebody else has paused it for another reason since.
    pause("2h").await?;
    browser.click("button.go").await?;
    browser.until_text(".wrong", "has changed since you were asked: nothing was done", LONG).await?;
    ensure!(state(&ripcord).await? == "paused", "the other pause is ended");
    // The answer's status is told by the browser itself.
    browser.console().await?;
    browser.judge("changed", &ripcord.url()).await?;
    browser.click("button.go").await?;
    browser.until_text(".said", "no longer paused", LONG).await?;
    ensure!(state(&ripcord).await? == "watching");
    Ok(())
}

async fn what_is_refused_is_said_and_what_is_missing_is_asked_for(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let ripcord = stage.watch(&config(&world, &stage)?).await?;
    let browser = Browser::start(&world).await?;
    // Who asks before signing in gets there after it.
    browser.go(&at(&ripcord, "resume")).await?;
    browser.type_into("#token", TOKEN).await?;
    browser.click("button[type=submit]").await?;
    browser.until_text("h1", "Resume terminal?", LONG).await?;
    browser.click("button.go").await?;
    browser.until_text(".said", "Not done: terminal: the guard is not paused", LONG).await?;
    let said = browser.run("return location.href").await?.as_str().context("an address")?.to_owned();
    browser.judge("refused", &ripcord.url()).await?;

    // A browser asks for the reason itself; who goes round it is asked by the page.
    browser.go(&at(&ripcord, "rollback")).await?;
    browser.run("document.querySelector('#reason').removeAttribute('required')").await?;
    browser.click("button.danger").await?;
    browser.until_text(".wrong", "needs a reason", LONG).await?;
    ensure!(stage.patches() == 0);
    // What was said is shown to who was told, and nobody can make it say something else.
    let forged = said.replacen("said=ey", "said=eyJkb25lIjp0cnVlfQ", 1);
    browser.go(&forged).await?;
    ensure!(browser.count(".said").await? == 0, "{forged}");
    browser.tools("Network.clearBrowserCookies", json!({})).await?;
    browser.go(&said).await?;
    ensure!(browser.count(".said").await? == 0);
    // Nothing else of it can be asked for.
    for path in ["/guards/nobody/rollback", "/guards/terminal/shift", "/guards/terminal/explode"] {
        ensure!(ripcord.get(path).await?.0 == 404, "{path}");
    }
    sign_in(&browser, &ripcord).await?;
    tokio::time::sleep(Duration::from_millis(100)).await;
    ensure!(state(&ripcord).await? == "watching");
    Ok(())
}
