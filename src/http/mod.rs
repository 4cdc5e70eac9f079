//! The HTTP server: metrics, health, the API.
//!
//! What reads is open; what writes wants the bearer token of `http.token_file` and is refused where none is configured.
//!
//! - `connections`, `limits`, `rate`, `gate`: what keeps one client from being in the way of the others, and of Ripcord
//! - `api`: the API; `problem`: how it says what went wrong
//! - `ask`: a request's way to the event loop
//! - `snapshot`: what the daemon shows of itself; `curves`: the last hour
//! - `scrape`: the metrics; `page`: the status page

mod api;
mod ask;
mod connections;
mod curves;
mod gate;
mod limits;
mod page;
mod problem;
mod rate;
mod scrape;
mod snapshot;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Extension, Router};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::telemetry::Metrics;

use gate::Gate;
use limits::Limits;
use scrape::Scrapes;

pub use curves::{Band, Curve, CurvePoint, Curves, reach};
pub use snapshot::{Configured, ConfiguredGuard, Lost, Queue, Refusal, Request, Snapshot};

/// Ticks that may be missing before `/healthz` fails: enough for a slow Prometheus, too few for a loop that stands still.
const HEALTHY_INTERVALS: u32 = 6;

/// And this long besides: queries may take their whole time-out.
const HEALTHY_BESIDES: Duration = Duration::from_secs(30);

/// What the handlers need.
#[derive(Clone)]
pub struct Server {
    /// The state of the daemon.
    pub snapshots: watch::Receiver<Snapshot>,
    /// The last hour.
    pub curves: Curves,
    /// The metrics.
    pub metrics: Metrics,
    /// Where requests go.
    pub requests: mpsc::Sender<Request>,
    /// The time.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

/// Serves for ever.
pub async fn serve(listener: TcpListener, server: Server) {
    serve_within(listener, server, Limits::default()).await;
}

async fn serve_within(listener: TcpListener, server: Server, limits: Limits) {
    let mut app = Router::new()
        .route("/metrics", get(metrics).layer(Extension(Scrapes::default())))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz));
    for (path, methods) in api::routes() {
        app = app.route(path, methods);
    }
    let app = app
        .merge(page::routes())
        .layer(DefaultBodyLimit::max(limits.body_bytes))
        // What no route answers passes it too.
        .layer(middleware::from_fn_with_state((Gate::new(&limits), server.clone()), gate::pass))
        .with_state(server);
    connections::serve(listener, app, limits).await;
}

async fn metrics(State(server): State<Server>, Extension(scrapes): Extension<Scrapes>) -> impl IntoResponse {
    let text = scrapes.text(|| server.metrics.render()).await;
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

/// Fails when ticks stop.
async fn healthz(State(server): State<Server>) -> (StatusCode, String) {
    let (last, interval) = {
        let snapshot = server.snapshots.borrow();
        (snapshot.last_tick.unwrap_or(snapshot.started_at), snapshot.interval)
    };
    let age = Duration::try_from((server.now)().duration_since(last)).unwrap_or_default();
    if age > interval * HEALTHY_INTERVALS + HEALTHY_BESIDES {
        return (StatusCode::SERVICE_UNAVAILABLE, format!("no tick for {} s\n", age.as_secs()));
    }
    (StatusCode::OK, "ok\n".to_owned())
}

/// Ready after the first tick.
async fn readyz(State(server): State<Server>) -> (StatusCode, &'static str) {
    if server.snapshots.borrow().last_tick.is_some() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "no tick yet\n")
    }
}
