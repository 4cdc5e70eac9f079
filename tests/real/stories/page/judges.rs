//! That what judges the page can fail, and a page of another part that is judged by the same.

use anyhow::ensure;
use futures::FutureExt as _;

use super::super::history;
use crate::stories;
use crate::support::browser::Browser;
use crate::support::server::{HttpServer, Reply};
use crate::support::{Story, World};

pub fn trials() -> Vec<Story> {
    stories![what_is_wrong_is_found, the_report_of_a_replay_stands_the_same_judgement]
}

/// Everything is wrong with it: a picture without words, pale text, too wide, an error, a request to elsewhere.
const BAD: &str = "<!DOCTYPE html><html lang=en><title>Bad</title><main><h1>Bad</h1><p style='color:#ccc;background:#fff'>pale</p>\
                   <img src='http://elsewhere.test/a.png' width=20 height=20><div style='width:2000px'>wide</div></main>\
                   <script>console.error('planted')</script></html>";

const GOOD: &str =
    "<!DOCTYPE html><html lang=en><title>Good</title><link rel=icon href='data:,'><main><h1>Good</h1></main></html>";

async fn what_is_wrong_is_found(world: World) -> anyhow::Result<()> {
    let server = HttpServer::start(|parts, _| {
        let page = if parts.uri.path() == "/bad" { BAD } else { GOOD };
        async move { Reply::html(page) }.boxed()
    })
    .await?;
    let own = format!("http://{}", server.address());
    let browser = Browser::start(&world).await?;
    browser.go(&format!("{own}/good")).await?;
    browser.judge("good", &own).await?;
    browser.go(&format!("{own}/bad")).await?;
    let found = browser.judge("bad", &own).await.err().map(|e| e.to_string()).unwrap_or_default();
    for wanted in ["image-alt", "color-contrast", "px too wide", "planted", "asks for http://elsewhere.test/a.png"] {
        ensure!(found.contains(wanted), "{wanted} is not in {found}");
    }
    Ok(())
}

/// Two days with a rollback, a near miss, a gap and a query whose text is hostile; one setting beside another.
async fn the_report_of_a_replay_stands_the_same_judgement(world: World) -> anyhow::Result<()> {
    // Nobody answers there: the samples are in a file.
    let config = history::config(&world, "http://127.0.0.1:9/");
    let samples = world.write("night.prom", &history::past(history::start()))?.display().to_string();
    let out = world.dir.join("night.html");
    let file = out.display().to_string();
    for more in [[].as_slice(), &["--against", "guards.terminal.triggers.error_rate.for=2m"]] {
        let args = [&["--input", &samples, "--format", "html", "--out", &file][..], more].concat();
        let ended = history::replay(&world, &config, &args).await?;
        ensure!(ended.code() == 0, "{ended:?}");
        let browser = Browser::start(&world).await?;
        let url = format!("file://{file}");
        browser.go(&url).await?;
        ensure!(browser.text("h1").await?.contains("What Ripcord would have done"));
        ensure!(browser.count("svg[role=group]").await? >= 3 && browser.count("img, script").await? == 0);
        browser.judge(if more.is_empty() { "replay" } else { "replay-against" }, &url).await?;
    }
    Ok(())
}
