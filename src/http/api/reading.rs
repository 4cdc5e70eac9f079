//! What anybody may see.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::engine::{GuardStatus, Incident};
use crate::http::ask::Denied;
use crate::http::problem::Problem;
use crate::http::{Server, Snapshot};

/// The largest `limit`. Who wants more wants all, and leaves it out.
const LARGEST_LIMIT: usize = 1000;

/// Which incidents are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Which {
    /// Only those of this guard.
    guard: Option<String>,
    /// Only those that go on, or that are over.
    state: Option<IncidentState>,
    /// So many at most, the newest.
    limit: Option<usize>,
}

/// Whether an incident goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum IncidentState {
    Open,
    Closed,
}

/// `GET /api/v1/status`.
pub async fn status(State(server): State<Server>) -> Json<Snapshot> {
    Json(server.snapshots.borrow().clone())
}

/// `GET /api/v1/incidents`.
pub async fn incidents(State(server): State<Server>, Query(which): Query<Which>) -> Response {
    if which.limit.is_some_and(|limit| !(1..=LARGEST_LIMIT).contains(&limit)) {
        let detail = format!("limit goes from 1 to {LARGEST_LIMIT}; without it, all are shown");
        return Problem::bad_request(detail).into_response();
    }
    let snapshot = server.snapshots.borrow().clone();
    // A guard that was taken out of the configuration may still have incidents.
    let known = |name: &str| {
        snapshot.guards.iter().any(|g| g.guard == name) || snapshot.incidents.iter().any(|i| i.guard == name)
    };
    if let Some(guard) = which.guard.as_deref().filter(|guard| !known(guard)) {
        return Problem::from(Denied::NoGuard(guard.to_owned())).into_response();
    }
    let is_meant = |incident: &&Incident| {
        let state = if incident.closed_at.is_none() { IncidentState::Open } else { IncidentState::Closed };
        which.guard.as_ref().is_none_or(|guard| *guard == incident.guard) && which.state.is_none_or(|s| s == state)
    };
    let most = which.limit.unwrap_or(usize::MAX);
    let found: Vec<&Incident> = snapshot.incidents.iter().filter(is_meant).take(most).collect();
    Json(found).into_response()
}

/// `GET /api/v1/incidents/{id}`.
pub async fn incident(State(server): State<Server>, Path(id): Path<String>) -> Result<Json<Incident>, Problem> {
    let found = server.snapshots.borrow().incidents.iter().find(|incident| incident.id == id).cloned();
    found.map(Json).ok_or_else(|| Problem::no_incident(&id))
}

/// `GET /api/v1/guards/{guard}`.
pub async fn guard(State(server): State<Server>, Path(guard): Path<String>) -> Result<Json<GuardStatus>, Problem> {
    let found = server.snapshots.borrow().guards.iter().find(|status| status.guard == guard).cloned();
    found.map(Json).ok_or_else(|| Denied::NoGuard(guard).into())
}
