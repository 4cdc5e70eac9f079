//! `/api/v1`.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config;
use crate::engine::{Command, Incident, NewBaseline};

use super::Server;
use super::alertmanager::Webhook;
use super::ask::{self, Denied};

/// The longest pause: a guard that is paused for longer is one that somebody forgot.
const LONGEST_PAUSE: Duration = Duration::from_secs(7 * 24 * 3600);

/// The body of a request. Which fields count depends on the command.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Body {
    /// `rollback`, `shift`: why.
    reason: Option<String>,
    /// `rollback`, `shift`: to which share, in percent; of a rollback the guard's own target when absent.
    percentage: Option<u8>,
    /// `shift`: up even where not all is well.
    force: bool,
    /// `pause`: for how long, like `30m`.
    #[serde(rename = "for")]
    duration: Option<String>,
    /// `baselines`: those to compare with from now on.
    baselines: Vec<NewBaseline>,
    /// `baselines`: the trigger that goes back to a version before.
    trigger: Option<String>,
    /// `baselines`: which version.
    version: Option<u32>,
}

/// The body of an answer to a request.
#[derive(Debug, Serialize)]
struct Answer {
    done: bool,
    /// The incident that tells what comes of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    incident: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// `GET /api/v1/status`.
pub async fn status(State(server): State<Server>) -> Response {
    let snapshot = server.snapshots.borrow().clone();
    Json(snapshot).into_response()
}

/// `GET /api/v1/incidents`.
pub async fn incidents(State(server): State<Server>) -> Json<Vec<Incident>> {
    Json(server.snapshots.borrow().incidents.clone())
}

/// `POST /api/v1/guards/{guard}/{command}`.
pub async fn command(
    State(server): State<Server>,
    Path((guard, command)): Path<(String, String)>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let given =
        headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("Bearer "));
    if let Err(denied) = ask::check_token(&server, given) {
        return deny(&denied);
    }
    let alerts = Webhook::parse(&body).filter(|_| command == "rollback");
    let by_alertmanager = alerts.is_some();
    let command = match alerts {
        Some(alerts) => match alerts.reason() {
            Some(reason) => Command::Rollback { reason, percentage: None, once: true },
            None => return not_needed("the alerts are over: nothing is moved for that".to_owned()),
        },
        None => match parse(&body).and_then(|body| understand(&command, body, (server.now)())) {
            Ok(command) => command,
            Err((status, error)) => return refuse(status, error),
        },
    };
    match ask::ask(&server, guard, command).await {
        Ok(incident) => Json(Answer { done: true, incident, error: None }).into_response(),
        // It sends the same alert again and again, and takes a refusal for a failure of its own.
        Err(Denied::Ignored(reason)) if by_alertmanager => not_needed(reason),
        Err(denied) => deny(&denied),
    }
}

fn parse(body: &str) -> Result<Body, (StatusCode, String)> {
    match body.trim() {
        "" => Ok(Body::default()),
        text => {
            serde_json::from_str(text).map_err(|e| (StatusCode::BAD_REQUEST, format!("the body is no request: {e}")))
        }
    }
}

fn understand(command: &str, body: Body, now: Timestamp) -> Result<Command, (StatusCode, String)> {
    let bad = |error: String| Err((StatusCode::BAD_REQUEST, error));
    match command {
        "rollback" => match body.reason.filter(|r| !r.trim().is_empty()) {
            None => bad("a rollback needs a reason: {\"reason\": \"…\"}".to_owned()),
            Some(_) if body.percentage.is_some_and(|p| p > 100) => bad("percentage goes from 0 to 100".to_owned()),
            Some(reason) => Ok(Command::Rollback { reason, percentage: body.percentage, once: false }),
        },
        "shift" => match (body.reason.filter(|r| !r.trim().is_empty()), body.percentage) {
            (None, _) => bad("a shift needs a reason: {\"reason\": \"…\", \"percentage\": 25}".to_owned()),
            (_, None) => bad("a shift needs a percentage: {\"reason\": \"…\", \"percentage\": 25}".to_owned()),
            (_, Some(percentage)) if percentage > 100 => bad("percentage goes from 0 to 100".to_owned()),
            (Some(reason), Some(percentage)) => Ok(Command::Shift { reason, percentage, force: body.force }),
        },
        "rearm" => Ok(Command::Rearm),
        "resume" => Ok(Command::Resume),
        "ack" => Ok(Command::Acknowledge),
        "baselines" => match (body.baselines, body.trigger, body.version) {
            (baselines, None, None) if !baselines.is_empty() => Ok(Command::RecordBaselines { baselines }),
            (baselines, Some(trigger), Some(version)) if baselines.is_empty() => {
                Ok(Command::UseBaseline { trigger, version })
            }
            _ => bad("this needs what to compare with: {\"baselines\": [{\"trigger\": \"…\", …}]}, as ripcord baseline record \
                      sends it, or {\"trigger\": \"…\", \"version\": 2}"
                .to_owned()),
        },
        "pause" => {
            let Some(text) = body.duration else {
                return bad("a pause needs a length: {\"for\": \"30m\"}".to_owned());
            };
            match config::parse_duration(&text) {
                Ok(length) if length > LONGEST_PAUSE => bad("a pause lasts at most 7d".to_owned()),
                Ok(length) => Ok(Command::Pause { until: now.checked_add(length).unwrap_or(Timestamp::MAX) }),
                Err(e) => bad(format!("for: {e}")),
            }
        }
        other => Err((
            StatusCode::NOT_FOUND,
            format!("there is no command {other:?}: rollback, shift, rearm, pause, resume, ack or baselines"),
        )),
    }
}

fn deny(denied: &Denied) -> Response {
    let mut response = refuse(denied.status(), denied.text());
    let extra = match denied {
        Denied::Unauthorized => Some((header::WWW_AUTHENTICATE, "Bearer")),
        // The next try over a connection of its own may reach the leader.
        Denied::NotLeading { .. } => Some((header::CONNECTION, "close")),
        _ => None,
    };
    if let Some((name, value)) = extra {
        response.headers_mut().insert(name, header::HeaderValue::from_static(value));
    }
    response
}

fn refuse(status: StatusCode, error: String) -> Response {
    (status, Json(Answer { done: false, incident: None, error: Some(error) })).into_response()
}

/// It was understood, and there is nothing to do.
fn not_needed(why: String) -> Response {
    refuse(StatusCode::OK, why)
}
