//! The simulated receiver of pages: it accepts every one and hands it to the story.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

/// Where the pages go.
pub const PATH: &str = "/oncall";

/// A page as it arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The header `Idempotency-Key`.
    pub key: String,
    /// The body, byte for byte.
    pub body: String,
}

impl Page {
    /// What it is about, like `rollback.started`.
    pub fn event(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).unwrap_or_default();
        body["event"].as_str().unwrap_or_default().to_owned()
    }
}

/// The server.
pub fn app(pages: UnboundedSender<Page>) -> Router {
    Router::new().route(PATH, post(accept)).with_state(pages)
}

async fn accept(State(pages): State<UnboundedSender<Page>>, headers: HeaderMap, body: String) -> StatusCode {
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).unwrap_or_default().to_owned();
    // Nobody listens any more only when the demo ends.
    let _ = pages.send(Page { key, body });
    StatusCode::ACCEPTED
}
