//! `/api/v1`.
//!
//! - `reading`: what anybody may see
//! - `commands`: what a person with the token may ask for
//! - `body`: what stands in the body of such a request
//! - `alertmanager`: and what Alertmanager sends in its place
//! - `openapi`: the document that describes all of it

mod alertmanager;
mod body;
mod commands;
mod openapi;
mod reading;

use axum::routing::{MethodRouter, get, post};

use super::Server;

/// Each path, and what answers there. `openapi.yaml` has the same ones; a test holds them together.
pub(super) fn routes() -> Vec<(&'static str, MethodRouter<Server>)> {
    vec![
        ("/api/v1/status", get(reading::status)),
        ("/api/v1/incidents", get(reading::incidents)),
        ("/api/v1/incidents/{id}", get(reading::incident)),
        ("/api/v1/guards/{guard}", get(reading::guard)),
        ("/api/v1/guards/{guard}/rollback", post(commands::rollback)),
        ("/api/v1/guards/{guard}/shift", post(commands::shift)),
        ("/api/v1/guards/{guard}/rearm", post(commands::rearm)),
        ("/api/v1/guards/{guard}/pause", post(commands::pause)),
        ("/api/v1/guards/{guard}/resume", post(commands::resume)),
        ("/api/v1/guards/{guard}/ack", post(commands::acknowledge)),
        ("/api/v1/guards/{guard}/baselines", post(commands::baselines)),
        ("/api/v1/openapi.json", get(openapi::document)),
    ]
}
