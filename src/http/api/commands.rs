//! What a person with the token may ask for: `POST /api/v1/guards/{guard}/…`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::{HeaderMap, request};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::engine::Command;
use crate::http::Server;
use crate::http::ask::{self, Denied};
use crate::http::problem::Problem;

use super::alertmanager::Webhook;
use super::body::{self, Baselines, Nothing, Pause, Rollback, Shift};

/// The body of an answer to a request that was understood.
#[derive(Debug, Serialize)]
struct Answer {
    /// Whether it is carried out. It is not where there is nothing to do for an alert.
    done: bool,
    /// The incident that tells what comes of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    incident: Option<String>,
    /// Why there is nothing to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// A request with the token, for a guard. The token is looked at before the body is read: who has none takes up no memory.
pub struct Permitted {
    server: Server,
    guard: String,
    headers: HeaderMap,
}

impl FromRequestParts<Server> for Permitted {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut request::Parts, server: &Server) -> Result<Self, Response> {
        let denied = |denied: Denied| Problem::from(denied).into_response();
        ask::check_token(server, ask::bearer(&parts.headers)).map_err(denied)?;
        let guard = Path::<String>::from_request_parts(parts, server).await;
        let Path(guard) = guard.map_err(IntoResponse::into_response)?;
        Ok(Self { server: server.clone(), guard, headers: parts.headers.clone() })
    }
}

impl Permitted {
    async fn ask(self, command: Command) -> Result<Response, Problem> {
        let Self { server, guard, .. } = self;
        match ask::ask(&server, guard.clone(), command).await {
            Ok(incident) => Ok(Json(Answer { done: true, incident, reason: None }).into_response()),
            Err(denied @ Denied::Ignored(_)) => Err(Problem::from(denied).about(open_incident(&server, &guard))),
            Err(denied) => Err(denied.into()),
        }
    }
}

/// The incident that a guard is at, which mostly is the reason why something else is not possible.
fn open_incident(server: &Server, guard: &str) -> Option<String> {
    let snapshot = server.snapshots.borrow();
    let status = snapshot.guards.iter().find(|status| status.guard == guard)?;
    status.incident.as_ref().or(status.shift.as_ref()).map(|incident| incident.id.clone())
}

/// `rollback`, from a person or from Alertmanager.
pub async fn rollback(permitted: Permitted, body: Bytes) -> Result<Response, Problem> {
    let text = body::text(&permitted.headers, &body)?;
    let Some(alerts) = Webhook::parse(&text) else {
        let command = body::parse::<Rollback>(&text)?.command()?;
        return permitted.ask(command).await;
    };
    let Some(reason) = alerts.reason() else {
        return Ok(not_needed("the alerts are over: nothing is moved for that".to_owned()));
    };
    let Permitted { server, guard, .. } = permitted;
    match ask::ask(&server, guard, Command::Rollback { reason, percentage: None, once: true }).await {
        Ok(incident) => Ok(Json(Answer { done: true, incident, reason: None }).into_response()),
        // It sends the same alert again and again, and takes a refusal for a failure of its own.
        Err(Denied::Ignored(reason)) => Ok(not_needed(reason)),
        Err(denied) => Err(denied.into()),
    }
}

/// `shift`.
pub async fn shift(permitted: Permitted, body: Bytes) -> Result<Response, Problem> {
    let command = body::parse::<Shift>(&body::text(&permitted.headers, &body)?)?.command()?;
    permitted.ask(command).await
}

/// `pause`.
pub async fn pause(State(server): State<Server>, permitted: Permitted, body: Bytes) -> Result<Response, Problem> {
    let command = body::parse::<Pause>(&body::text(&permitted.headers, &body)?)?.command((server.now)())?;
    permitted.ask(command).await
}

/// `rearm`.
pub async fn rearm(permitted: Permitted, body: Bytes) -> Result<Response, Problem> {
    nothing_more(permitted, &body, Command::Rearm).await
}

/// `resume`.
pub async fn resume(permitted: Permitted, body: Bytes) -> Result<Response, Problem> {
    nothing_more(permitted, &body, Command::Resume).await
}

/// `ack`.
pub async fn acknowledge(permitted: Permitted, body: Bytes) -> Result<Response, Problem> {
    nothing_more(permitted, &body, Command::Acknowledge).await
}

/// `baselines`.
pub async fn baselines(permitted: Permitted, body: Bytes) -> Result<Response, Problem> {
    let command = body::parse::<Baselines>(&body::text(&permitted.headers, &body)?)?.command()?;
    permitted.ask(command).await
}

async fn nothing_more(permitted: Permitted, body: &Bytes, command: Command) -> Result<Response, Problem> {
    body::parse::<Nothing>(&body::text(&permitted.headers, body)?)?;
    permitted.ask(command).await
}

/// It was understood, and there is nothing to do.
fn not_needed(reason: String) -> Response {
    Json(Answer { done: false, incident: None, reason: Some(reason) }).into_response()
}
