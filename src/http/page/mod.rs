//! The status page at `/`: what a reader needs at night, without a click and without JavaScript; and the buttons for who has the token.
//!
//! - here: the routes; `headers`: what a browser may do with the answers
//! - `selection`: which guards are shown whole, and which in a line; `concerns`: what is not as it should be, in words
//! - `layout`: what every page has; `status`: the status page, made of `guard`, `trigger`, `chart`, `incident` and `queue`; `words`: times
//! - `session`: who has signed in, and the signs that forms carry; `origin`: whether a form comes from this page; `sign_in`: the way in
//! - `action`: what can be asked for, and when; `consequences`: what would come of it; `confirm`: that it is meant, and then it happens
//!
//! Markup is made by maud only, which escapes everything that is not markup itself.

mod action;
mod chart;
mod concerns;
mod confirm;
mod consequences;
mod guard;
mod headers;
mod incident;
mod layout;
mod origin;
mod queue;
mod selection;
mod session;
mod sign_in;
mod status;
#[cfg(test)]
mod tests;
mod trigger;
mod words;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};

use super::Server;

/// The largest form that is read: a token, or a reason that a person types.
const MAX_FORM_BYTES: usize = 16 * 1024;

/// A page in the place of another one, which was not made: for what is refused on the way.
pub(super) async fn instead(status: StatusCode, why: &str) -> Response {
    headers::add(layout::refused(status, why)).await
}

/// Whether a request comes from somebody who has signed in.
pub(super) fn is_signed_in(server: &Server, headers: &HeaderMap) -> bool {
    matches!(session::Visitor::of(server, headers), session::Visitor::SignedIn(..))
}

/// The page and everything under it.
pub(super) fn routes() -> Router<Server> {
    Router::new()
        .route("/", get(status::page))
        .route("/page.css", get(layout::style))
        .route("/page.js", get(layout::script))
        .route("/sign-in", get(sign_in::form).post(sign_in::enter))
        .route("/sign-out", post(sign_in::leave))
        .route("/guards/{guard}/{action}", get(confirm::ask).post(confirm::carry_out))
        .layer(Extension(Arc::new(sign_in::Turn::default())))
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
        .layer(middleware::map_response(headers::add))
}
