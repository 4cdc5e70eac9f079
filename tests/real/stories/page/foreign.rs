//! What others send in the reader's name.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::FutureExt as _;
use reqwest::StatusCode;
use reqwest::header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE};

use super::super::stage::{GUARD, LONG, Stage, state};
use super::{TOKEN, at, config, sign_in};
use crate::stories;
use crate::support::browser::Browser;
use crate::support::ripcord::Ripcord;
use crate::support::server::{HttpServer, Reply};
use crate::support::{Story, World, eventually, never};

pub fn trials() -> Vec<Story> {
    stories![
        a_form_of_another_site_changes_nothing,
        a_request_without_the_right_signs_changes_nothing,
        who_guesses_is_slow,
        no_other_site_can_frame_or_read_it,
    ]
}

/// A client that shows redirections instead of following them.
fn client() -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?)
}

/// Signs in as a browser would; the cookie.
async fn cookie(ripcord: &Ripcord, token: &str) -> anyhow::Result<String> {
    let answer = client()?.post(format!("{}/sign-in", ripcord.url())).form(&[("token", token)]).send().await?;
    ensure!(answer.status() == StatusCode::SEE_OTHER, "{}", answer.status());
    let cookie = answer.headers()[SET_COOKIE].to_str()?.to_owned();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=28800"] {
        ensure!(cookie.contains(part), "{part} is not in {cookie}");
    }
    ensure!(!cookie.contains("Secure"), "it came by http: {cookie}");
    ensure!(!cookie.contains(token), "the token is in the cookie");
    Ok(cookie.split(';').next().unwrap_or_default().to_owned())
}

/// The sign that the form of an action carries.
async fn sign(ripcord: &Ripcord, cookie: &str, action: &str) -> anyhow::Result<String> {
    let page = client()?.get(at(ripcord, action)).header(COOKIE, cookie).send().await?.text().await?;
    let (_, rest) = page.split_once("name=\"form\" value=\"").with_context(|| format!("no form: {page}"))?;
    Ok(rest.split('"').next().unwrap_or_default().to_owned())
}

/// The reader has signed in; the other page is at another port of the same name, to which the browser sends the cookie too, and at
/// another name.
async fn a_form_of_another_site_changes_nothing(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let ripcord = stage.watch(&config(&world, &stage)?).await?;
    let target = at(&ripcord, "pause");
    let page = format!(
        "<!DOCTYPE html><title>x</title><form method=post action='{target}'><input name=minutes value=30><input name=form value=x></form>\
         <script>document.forms[0].submit()</script>"
    );
    let other = HttpServer::start(move |_, _| {
        let page = page.clone();
        async move { Reply::html(page) }.boxed()
    })
    .await?;
    let browser = Browser::start(&world).await?;
    sign_in(&browser, &ripcord).await?;
    for host in ["127.0.0.1", "localhost"] {
        browser.go(&format!("http://{host}:{}/", other.address().port())).await?;
        browser.until_text("main", "nothing was done", LONG).await?;
    }
    never(Duration::from_secs(2), "the guard is paused", async || state(&ripcord).await.is_ok_and(|s| s == "paused"))
        .await?;
    ensure!(stage.story().is_empty(), "{:?}", stage.story());
    // The reader's own still works.
    browser.go(&target).await?;
    browser.click("button.go").await?;
    browser.until_text(".said", "paused", LONG).await
}

async fn a_request_without_the_right_signs_changes_nothing(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let ripcord = stage.watch(&config(&world, &stage)?).await?;
    let http = client()?;
    let cookie = cookie(&ripcord, TOKEN).await?;
    let (pause, ack) = (sign(&ripcord, &cookie, "pause").await?, sign(&ripcord, &cookie, "ack").await?);
    let post = |cookie: &str, form: &str| {
        let fields = [("minutes".to_owned(), "30".to_owned()), ("form".to_owned(), form.to_owned())];
        http.post(at(&ripcord, "pause")).header(COOKIE, cookie.to_owned()).form(&fields)
    };
    for (what, request) in [
        ("no cookie", http.post(at(&ripcord, "pause")).form(&[("minutes", "30"), ("form", &pause)])),
        ("no form", http.post(at(&ripcord, "pause")).header(COOKIE, &cookie).form(&[("minutes", "30")])),
        ("the form of another action", post(&cookie, &ack)),
        ("a foreign origin", post(&cookie, &pause).header(ORIGIN, "http://evil.example")),
        ("an opaque origin", post(&cookie, &pause).header(ORIGIN, "null")),
        ("another site", post(&cookie, &pause).header("sec-fetch-site", "cross-site")),
        ("another port", post(&cookie, &pause).header("sec-fetch-site", "same-site")),
        ("a cookie that was changed", post(&cookie.replacen("=1", "=2", 1), &pause)),
    ] {
        let status = request.send().await?.status();
        ensure!(status == StatusCode::FORBIDDEN || status == StatusCode::UNAUTHORIZED, "{what}: {status}");
    }
    let foreign =
        http.post(format!("{}/sign-in", ripcord.url())).header(ORIGIN, "http://evil.example").form(&[("token", TOKEN)]);
    let answer = foreign.send().await?;
    ensure!(
        answer.status() == StatusCode::FORBIDDEN && !answer.headers().contains_key(SET_COOKIE),
        "signed in from elsewhere"
    );
    // A body that is too large is not read: the connection may be closed while it is being written.
    let large = http.post(format!("{}/sign-in", ripcord.url())).form(&[("token", "x".repeat(100_000))]).send().await;
    ensure!(large.as_ref().map_or(true, |answer| answer.status() == StatusCode::PAYLOAD_TOO_LARGE), "{large:?}");
    let secure =
        http.post(format!("{}/sign-in", ripcord.url())).header("x-forwarded-proto", "https").form(&[("token", TOKEN)]);
    ensure!(secure.send().await?.headers()[SET_COOKIE].to_str()?.contains("; Secure"));
    // Where to go after the sign-in is never elsewhere.
    for (guard, action) in [("//evil.example", "rollback"), ("terminal", "//evil.example"), ("../..", "pause")] {
        let fields = [("token", TOKEN), ("guard", guard), ("action", action)];
        let answer = http.post(format!("{}/sign-in", ripcord.url())).form(&fields).send().await?;
        ensure!(answer.headers()[LOCATION] == "/", "{:?}", answer.headers()[LOCATION]);
    }

    // A new token ends every session.
    world.write("token", "another\n")?;
    let answer = post(&cookie, &pause).send().await?;
    ensure!(answer.status() == StatusCode::UNAUTHORIZED, "an old session: {}", answer.status());
    ensure!(state(&ripcord).await? == "watching" && stage.story().is_empty(), "{:?}", stage.story());
    let cookie = self::cookie(&ripcord, "another").await?;
    let pause = sign(&ripcord, &cookie, "pause").await?;
    let answer = post(&cookie, &pause).send().await?;
    ensure!(answer.status() == StatusCode::SEE_OTHER, "{}", answer.status());
    ensure!(state(&ripcord).await? == "paused", "the right one is obeyed");
    let said = answer.headers()[LOCATION].to_str()?.to_owned();
    ensure!(said.starts_with("/?said="), "{said}");
    let secrets = [TOKEN, "another\"", &cookie, &pause];
    let log = ripcord.stderr().join("\n");
    ensure!(!secrets.iter().any(|secret| log.contains(secret)), "a secret is in the log");
    Ok(())
}

async fn who_guesses_is_slow(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let ripcord = stage.watch(&config(&world, &stage)?).await?;
    let http = client()?;
    let guess = |token: String| http.post(format!("{}/sign-in", ripcord.url())).form(&[("token", token)]).send();
    let answers = futures::future::join_all((0..12).map(|n| guess(format!("guess-{n}")))).await;
    let count = |wanted| answers.iter().filter(|a| a.as_ref().is_ok_and(|a| a.status() == wanted)).count();
    let (wrong, too_many) = (count(StatusCode::UNAUTHORIZED), count(StatusCode::TOO_MANY_REQUESTS));
    ensure!(wrong + too_many == 12 && too_many >= 1, "{wrong} wrong, {too_many} too many");
    // Who has the token gets in once the address may try again.
    eventually(LONG, "the right token is let in", async || cookie(&ripcord, TOKEN).await).await?;
    Ok(())
}

/// What the page forbids a browser, seen from another page and in the headers.
async fn no_other_site_can_frame_or_read_it(world: World) -> anyhow::Result<()> {
    let stage = Stage::set(&world).await?;
    let ripcord = stage.watch(&config(&world, &stage)?).await?;
    for path in ["/", "/page.css", "/page.js", "/sign-in", &format!("/guards/{GUARD}/pause"), "/guards/nobody/pause"] {
        let answer = client()?.get(format!("{}{path}", ripcord.url())).send().await?;
        let header =
            |name: &str| answer.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let policy = header("content-security-policy");
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "frame-ancestors 'none'",
            "form-action 'self'",
            "base-uri 'none'",
        ] {
            ensure!(policy.contains(part), "{path}: {part} is not in {policy:?}");
        }
        ensure!(!policy.contains("unsafe"), "{path}: {policy}");
        ensure!(
            header("x-content-type-options") == "nosniff" && header("cross-origin-opener-policy") == "same-origin",
            "{path}"
        );
        ensure!(
            header("cache-control") == if path.starts_with("/page.") { "max-age=86400" } else { "no-store" },
            "{path}"
        );
    }
    let page = format!("<!DOCTYPE html><title>x</title><iframe src='{}'></iframe>", ripcord.url());
    let other = HttpServer::start(move |_, _| {
        let page = page.clone();
        async move { Reply::html(page) }.boxed()
    })
    .await?;
    let browser = Browser::start(&world).await?;
    browser.go(&format!("http://localhost:{}/", other.address().port())).await?;
    let said = browser.console().await?.join("\n");
    ensure!(said.contains("frame-ancestors"), "{said}");
    Ok(())
}
