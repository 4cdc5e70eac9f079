//! The commands that talk to a running daemon: `status`, `ack`, `rearm`, `pause`, `resume`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use reqwest::{RequestBuilder, Response, StatusCode, Url, header};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::cli::{self, Configured, OneGuard, Output};
use crate::config::{self, SecretFile, Settings};
use crate::engine::{RecordedBaselines, duration_in_words, period_in_words};

use super::{Failure, UNKNOWN_NAMESPACE, load_apart, print, runtime};

/// How long the daemon may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How often a request is sent again that the daemon had no room for. It is a matter of a second each time.
const ASK_AGAIN: usize = 5;

/// A longer wait than this is for a person to decide on.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Shows what the daemon sees and does.
pub fn status(options: &cli::Status) -> Result<(), Failure> {
    let status = runtime()?.block_on(call(&options.daemon, &["api", "v1", "status"], None))?;
    match options.output {
        Output::Json => print(&format!("{status:#}\n")),
        Output::Text => print(&table(&status, Timestamp::now())),
    }
}

/// Asks the daemon for something on a guard.
pub fn ask(options: &OneGuard, command: &str, length: Option<Duration>) -> Result<(), Failure> {
    let guard = options.guard.as_str();
    if options.daemon.token_file.is_none() {
        let text = format!("ripcord {command} changes something: it needs --token-file with the API's token");
        return Err(Failure::BadInput(text));
    }
    if length.is_some_and(|length| length.is_zero()) {
        return Err(Failure::BadInput("--for 0s is no pause; write at least 1s".to_owned()));
    }
    let body = match length {
        Some(length) => json!({"for": duration_in_words(length)}),
        None => json!({}),
    };
    runtime()?.block_on(call(&options.daemon, &["api", "v1", "guards", guard, command], Some(body)))?;
    let done = match (command, length) {
        ("pause", Some(length)) => {
            format!("paused for {}; ripcord resume {guard} ends it sooner", duration_in_words(length))
        }
        ("ack", _) => "acknowledged; a rollback that fails is not tried again".to_owned(),
        ("rearm", _) => "watching again".to_owned(),
        ("resume", _) => "no longer paused".to_owned(),
        _ => "done".to_owned(),
    };
    print(&format!("{guard}: {done}\n"))
}

/// The file of the daemon's token: as it is given, or as the configuration names it.
pub(super) fn token_file(given: Option<&Path>, configured: &Configured) -> Result<Option<PathBuf>, Failure> {
    if let Some(given) = given {
        return Ok(Some(given.to_owned()));
    }
    let needed =
        "--url needs --token-file with the API's token, or a configuration (--config) that has http.token_file";
    match load_apart(configured) {
        Ok(Settings { http: config::Http { token_file: Some(file), .. }, .. }) => Ok(Some(file.0)),
        Ok(_) => Err(Failure::BadInput(needed.to_owned())),
        Err(Failure::BadInput(why)) => {
            Err(Failure::BadInput(format!("{needed}. The configuration says nothing:\n{why}")))
        }
        Err(other) => Err(other),
    }
}

/// One request. `path` holds the path's parts, which are escaped.
pub(super) async fn call(daemon: &cli::Daemon, path: &[&str], body: Option<Value>) -> Result<Value, Failure> {
    let wrong =
        |why: &str| Failure::BadInput(format!("--url {}: {why}; write it like http://127.0.0.1:8080", daemon.url));
    let mut url = Url::parse(&daemon.url).map_err(|e| wrong(&e.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("it has no http:// or https:// in front"));
    }
    url.path_segments_mut().map_err(|()| wrong("it is no base address"))?.pop_if_empty().extend(path);
    let mut client = reqwest::Client::builder().user_agent(crate::USER_AGENT).timeout(ANSWER_WITHIN);
    if config::is_loopback(&url) {
        client = client.no_proxy();
    }
    let client = client.build().context("cannot make an HTTP client")?;
    let mut request = match body {
        Some(body) => client.post(url.clone()).json(&body),
        None => client.get(url.clone()),
    };
    if let Some(file) = &daemon.token_file {
        let token = SecretFile(file.clone()).read().map_err(|e| Failure::BadInput(format!("--token-file: {e}")))?;
        request = request.bearer_auth(token.expose_secret());
    }
    let response = send(request).await.map_err(|e| {
        if e.is_connect() {
            anyhow!(
                "nothing answers at {} (--url): does Ripcord run there? In a cluster, open a way to it first:\n  \
                 kubectl -n {UNKNOWN_NAMESPACE} port-forward deploy/ripcord 8080",
                daemon.url
            )
        } else {
            anyhow!("{} (--url) did not answer: {}", daemon.url, e.without_url())
        }
    })?;
    let status = response.status();
    let answer: Value = response.json().await.map_err(|_| {
        anyhow!("{} answered {status}, and not as Ripcord does: is it another program's address?", daemon.url)
    })?;
    if !status.is_success() {
        let reason = answer["detail"].as_str().or(answer["title"].as_str()).unwrap_or("no reason given");
        if answer["type"].as_str().is_some_and(|problem| problem.ends_with(NO_ANSWER)) {
            return Err(anyhow!("{NOT_KNOWN}: {reason}").into());
        }
        return Err(anyhow!("Ripcord refused: {reason}").into());
    }
    Ok(answer)
}

/// The type of the problem that a request may still be carried out.
const NO_ANSWER: &str = "/no-answer";

/// How the error of a request begins that may still be carried out.
pub(super) const NOT_KNOWN: &str = "it is not known whether it is done";

/// Sends it, and again where the daemon says that it is asked too often.
async fn send(request: RequestBuilder) -> Result<Response, reqwest::Error> {
    for _ in 0..ASK_AGAIN {
        let Some(this_time) = request.try_clone() else { break };
        let response = this_time.send().await?;
        let wait = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        match wait.map(Duration::from_secs).filter(|wait| *wait <= LONGEST_WAIT) {
            Some(wait) if response.status() == StatusCode::TOO_MANY_REQUESTS => tokio::time::sleep(wait).await,
            _ => return Ok(response),
        }
    }
    request.send().await
}

/// The status as a person reads it: a block for each guard, what matters first.
fn table(status: &Value, now: Timestamp) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let mut line = |text: String| {
        let _ = writeln!(out, "{}", text.trim_end());
    };
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let ago = |value: &Value| match value.as_str().and_then(|t| t.parse::<Timestamp>().ok()) {
        Some(time) => format!("{} ago", duration_in_words(seconds(now.duration_since(time).as_secs_f64()))),
        None => "none yet".to_owned(),
    };
    line(format!("ripcord {}, last tick {}", text(&status["version"]), ago(&status["last_tick"])));
    if status["dry_run"] == true {
        line("DRY RUN: it decides and tells, and changes nothing".to_owned());
    }
    if status["leads"] == false {
        match status["leader"].as_str() {
            Some(leader) => line(format!("STANDS BY: {leader} leads")),
            None => line("STANDS BY: it knows of no replica that leads".to_owned()),
        }
    }
    if let Some(error) = status["state_error"].as_str() {
        line(format!("THE STATE IS NOT SAVED: {error}"));
    }
    if status["config_reload_success"] == false {
        line("THE LAST CONFIGURATION WAS REFUSED: the one before is in use; its log says why".to_owned());
    }
    for guard in status["guards"].as_array().into_iter().flatten() {
        let share = match guard["percentage"].as_u64() {
            Some(share) => format!("share {share} %"),
            None => format!("share unknown: {}", text(&guard["percentage_unknown"])),
        };
        let mut head = format!("\n{}: {}", text(&guard["guard"]), text(&guard["state"]));
        if let Some(until) = guard["paused_until"].as_str() {
            head.push_str(&format!(" until {}", in_seconds(until)));
        }
        line(format!("{head}, {share}"));
        for problem in guard["problems"].as_array().into_iter().flatten() {
            line(format!("  A ROLLBACK WOULD FAIL: {}: {}", text(&problem["step"]), text(&problem["error"])));
        }
        if guard["ready"].is_null() && status["leads"] != false {
            line("  whether a rollback would work has not been tried yet".to_owned());
        }
        for warning in guard["warnings"].as_array().into_iter().flatten() {
            line(format!("  worth a look: {}", text(warning)));
        }
        if let Some(id) = guard["shift"]["id"].as_str() {
            line(format!("  shift {id}: going to {} %", guard["shift"]["to_percentage"]));
        }
        incident(&guard["incident"], guard, &mut line);
        for trigger in guard["triggers"].as_array().into_iter().flatten() {
            let held = |key: &str| duration_in_words(seconds(trigger[key].as_f64().unwrap_or(0.0)));
            line(format!(
                "  {:<16} {:<8} held {} of {}{}  limit {}  {}",
                text(&trigger["trigger"]),
                text(&trigger["verdict"]),
                held("held_seconds"),
                held("for_seconds"),
                why_not_fired(guard, trigger),
                text(&trigger["threshold_text"]),
                text(&trigger["text"]),
            ));
            if let Some(source) = trigger["baseline_source"].as_str() {
                line(format!("  {:<16} baseline {source}{}", "", age(&trigger["recorded"], now)));
            }
        }
    }
    for queue in status["receivers"].as_array().into_iter().flatten() {
        let waiting = queue["waiting"].as_u64().unwrap_or(0);
        if waiting > 0 {
            let oldest = duration_in_words(seconds(queue["oldest_seconds"].as_f64().unwrap_or(0.0)));
            line(format!("\n{}: {waiting} waiting to be delivered, the oldest for {oldest}", text(&queue["receiver"])));
        }
    }
    for lost in status["lost"].as_array().into_iter().flatten() {
        let (receiver, when) = (text(&lost["receiver"]), ago(&lost["time"]));
        line(format!("\nLOST, {when}: {receiver} did not get {:?}", text(&lost["summary"])));
        line(format!("  {}", text(&lost["reason"])));
    }
    out
}

/// A time without the parts of its second.
fn in_seconds(time: &str) -> String {
    time.parse::<Timestamp>().map_or_else(|_| time.to_owned(), |time| format!("{time:.0}"))
}

/// Why a trigger of a guard that watches is held long enough and has not fired: only a tick that is itself in breach fires.
fn why_not_fired(guard: &Value, trigger: &Value) -> &'static str {
    let seconds = |key: &str| trigger[key].as_f64().unwrap_or(0.0);
    let (held, hold) = (seconds("held_seconds"), seconds("for_seconds"));
    let held_enough = held > 0.0 && held >= hold;
    match guard["state"] == "watching" && held_enough && trigger["firing"] != true && trigger["verdict"] != "breach" {
        true => " (fires when it is in breach again)",
        false => "",
    }
}

/// How old a recorded baseline is.
fn age(recorded: &Value, now: Timestamp) -> String {
    let Ok(recorded) = serde_json::from_value::<RecordedBaselines>(recorded.clone()) else { return String::new() };
    let Some(current) = recorded.current() else { return String::new() };
    let too_old = if recorded.is_too_old(now) { ", TOO OLD: ripcord baseline record" } else { "" };
    format!(", {} old{too_old}", period_in_words(current.age(now)))
}

/// What is going on with a guard, and what a person can do about it.
fn incident(incident: &Value, guard: &Value, line: &mut impl FnMut(String)) {
    let (Some(id), name) = (incident["id"].as_str(), guard["guard"].as_str().unwrap_or_default()) else { return };
    line(format!("  incident {id}: {}", incident["reason"].as_str().unwrap_or_default()));
    let state = guard["state"].as_str().unwrap_or_default();
    match state {
        "rolling_back" => {
            let to = &incident["to_percentage"];
            line(format!("  going to {to} %, attempt {}", incident["attempt"]));
        }
        "rolled_back" | "not_recovered" => {
            line(format!("  latched: nothing is rolled back until `ripcord rearm {name}`"));
        }
        _ => {}
    }
    if let Some(error) = incident["error"].as_str() {
        line(format!("  FAILS: {error}"));
        line(format!("  it is tried again until it works; `ripcord ack {name}` stops that"));
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(state: &str, held: f64, verdict: &str, firing: bool) -> String {
        let trigger = json!({
            "trigger": "error_rate", "verdict": verdict, "held_seconds": held, "for_seconds": 60.0, "firing": firing,
            "threshold_text": "1 %", "text": "0.80 %",
        });
        let guard = json!({
            "guard": "shop", "state": state, "paused_until": "2026-01-02T03:04:05.100207814Z", "percentage": 25, "ready": true,
            "triggers": [trigger],
        });
        table(&json!({"version": "1", "guards": [guard]}), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn what_is_held_long_enough_and_has_not_fired_says_why() {
        let why = "held 1m20s of 1m0s (fires when it is in breach again)  limit";
        let text = shown("watching", 80.0, "band", false);
        assert!(text.contains(why), "{text}");
        for (state, held, verdict, firing) in [
            ("watching", 80.0, "breach", false),
            ("watching", 80.0, "band", true),
            ("watching", 20.0, "band", false),
            // It does not fire then either.
            ("rolled_back", 80.0, "band", false),
            ("paused", 80.0, "band", false),
        ] {
            let text = shown(state, held, verdict, firing);
            assert!(!text.contains("again"), "{text}");
        }
    }

    #[test]
    fn a_pause_ends_at_a_second() {
        let text = shown("paused", 0.0, "clear", false);
        assert!(text.contains("shop: paused until 2026-01-02T03:04:05Z, share 25 %"), "{text}");
    }
}
