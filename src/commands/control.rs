//! The commands that talk to a running daemon: `status`, `ack`, `rearm`, `pause`, `resume`.

use std::time::Duration;

use anyhow::{Context as _, bail};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::cli::{self, OneGuard, Output};
use crate::config::{self, SecretFile};
use crate::engine::duration_in_words;

use super::{Failure, runtime};

/// How long the daemon may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Shows what the daemon sees and does.
pub fn status(options: &cli::Status) -> Result<(), Failure> {
    let status = runtime()?.block_on(call(&options.daemon, "api/v1/status", None))?;
    match options.output {
        Output::Json => println!("{status:#}"),
        Output::Text => print!("{}", table(&status)),
    }
    Ok(())
}

/// Asks the daemon for something on a guard.
pub fn ask(options: &OneGuard, command: &str, length: Option<Duration>) -> Result<(), Failure> {
    if options.daemon.token_file.is_none() {
        let text = format!("ripcord {command} changes something: it needs --token-file with the API's token");
        return Err(Failure::BadInput(text));
    }
    let body = match length {
        Some(length) => json!({"for": duration_in_words(length)}),
        None => json!({}),
    };
    let path = format!("api/v1/guards/{}/{command}", options.guard);
    runtime()?.block_on(call(&options.daemon, &path, Some(body)))?;
    println!("{command} {}: done", options.guard);
    Ok(())
}

async fn call(daemon: &cli::Daemon, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
    let mut client = reqwest::Client::builder().user_agent(crate::USER_AGENT).timeout(ANSWER_WITHIN);
    if reqwest::Url::parse(&daemon.url).is_ok_and(|url| config::is_loopback(&url)) {
        client = client.no_proxy();
    }
    let client = client.build().context("cannot make an HTTP client")?;
    let url = format!("{}/{path}", daemon.url.trim_end_matches('/'));
    let mut request = match body {
        Some(body) => client.post(&url).json(&body),
        None => client.get(&url),
    };
    if let Some(file) = &daemon.token_file {
        request = request.bearer_auth(SecretFile(file.clone()).read()?.expose_secret());
    }
    let response = request
        .send()
        .await
        .with_context(|| format!("cannot reach Ripcord at {} (--url): does it run there?", daemon.url))?;
    let status = response.status();
    let answer: Value =
        response.json().await.with_context(|| format!("{url} answered {status} with what is no Ripcord answer"))?;
    if !status.is_success() {
        bail!("Ripcord refused ({status}): {}", answer["error"].as_str().unwrap_or("no reason given"));
    }
    Ok(answer)
}

/// The status as a person reads it: a line for each guard, a line for each trigger.
fn table(status: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let mut out = String::new();
    let mut line = |s: String| {
        out.push_str(s.trim_end());
        out.push('\n');
    };
    let dry = if status["dry_run"] == true { ", dry run: changes nothing" } else { "" };
    line(format!("ripcord {}, last tick {}{dry}", text(&status["version"]), text(&status["last_tick"])));
    for guard in status["guards"].as_array().into_iter().flatten() {
        let share = guard["percentage"].as_u64().map_or("unknown".to_owned(), |p| format!("{p} %"));
        let incident = guard["incident"]["id"].as_str().map_or(String::new(), |id| format!(", incident {id}"));
        line(format!("\n{}: {}, share {share}{incident}", text(&guard["guard"]), text(&guard["state"])));
        for trigger in guard["triggers"].as_array().into_iter().flatten() {
            let seconds = |key: &str| {
                duration_in_words(Duration::try_from_secs_f64(trigger[key].as_f64().unwrap_or(0.0)).unwrap_or_default())
            };
            line(format!(
                "  {:<16} {:<8} held {} of {}  limit {}  {}",
                text(&trigger["trigger"]),
                text(&trigger["verdict"]),
                seconds("held_seconds"),
                seconds("for_seconds"),
                text(&trigger["threshold_text"]),
                text(&trigger["text"]),
            ));
        }
    }
    for queue in status["receivers"].as_array().into_iter().flatten() {
        let waiting = queue["waiting"].as_u64().unwrap_or(0);
        if waiting > 0 {
            line(format!("\n{}: {waiting} notifications wait", text(&queue["receiver"])));
        }
    }
    out
}
