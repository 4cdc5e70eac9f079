//! The way in: the token, once, for a session. And out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Extension;
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;
use tokio::sync::{Mutex, oneshot};

use super::super::Server;
use super::super::ask::{self, Denied};
use super::action::Action;
use super::layout;
use super::origin;
use super::session::{self, Key, Visitor};

/// How long a wrong token holds up the next try, of anybody. Who types one wrong waits a moment; who guesses has one guess a second, with
/// which a token of eight random letters lasts for thousands of years.
const WRONG_TAKES: Duration = Duration::from_secs(1);

/// Tries that may wait for their turn. More at once are not people.
const MOST_WAITING: usize = 8;

/// The form that the way out carries is of no guard.
const SIGN_OUT: &str = "sign-out";

/// One try at a time.
#[derive(Default)]
pub(super) struct Turn {
    turn: Mutex<()>,
    waiting: AtomicUsize,
}

/// Where to go after it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Next {
    guard: Option<String>,
    action: Option<String>,
}

/// What is typed.
#[derive(Deserialize)]
pub(super) struct Entered {
    token: String,
    guard: Option<String>,
    action: Option<String>,
}

/// The form of the way out.
#[derive(Debug, Deserialize)]
pub(super) struct Leaving {
    #[serde(default)]
    form: String,
}

/// The form.
pub(super) async fn form(State(server): State<Server>, headers: HeaderMap, Query(next): Query<Next>) -> Response {
    match Visitor::of(&server, &headers) {
        Visitor::SignedIn(..) => layout::see_other(&way_on(&server, next.guard, next.action)),
        Visitor::ReadOnly => layout::refused(StatusCode::FORBIDDEN, &Denied::ReadOnly.text()),
        Visitor::CannotCheck => layout::refused(StatusCode::SERVICE_UNAVAILABLE, &Denied::CannotCheck.text()),
        Visitor::Somebody => page(StatusCode::OK, next.guard.as_deref(), next.action.as_deref(), None),
    }
}

/// Whoever has the token is let in.
pub(super) async fn enter(
    State(server): State<Server>,
    Extension(turn): Extension<Arc<Turn>>,
    headers: HeaderMap,
    Form(entered): Form<Entered>,
) -> Response {
    let Entered { token, guard, action } = entered;
    if !origin::is_own(&headers) {
        return layout::refused(StatusCode::FORBIDDEN, layout::FOREIGN);
    }
    let again = |status, why: &str| page(status, guard.as_deref(), action.as_deref(), Some(why));
    let checked = match turn.take(server.clone(), token).await {
        Some(checked) => checked,
        None => return again(StatusCode::TOO_MANY_REQUESTS, "Too many try to sign in at once. Try again in a minute."),
    };
    match checked.and_then(|()| Key::read(&server)) {
        Ok(key) => {
            let cookie = key.begin((server.now)(), session::is_secure(&headers));
            with_cookie(layout::see_other(&way_on(&server, guard, action)), &cookie)
        }
        Err(Denied::Unauthorized) => again(StatusCode::UNAUTHORIZED, "This is not the token of http.token_file."),
        Err(denied) => layout::refused(denied.status(), &denied.text()),
    }
}

/// Ends the session in this browser.
pub(super) async fn leave(State(server): State<Server>, headers: HeaderMap, Form(leaving): Form<Leaving>) -> Response {
    match Visitor::of(&server, &headers) {
        _ if !origin::is_own(&headers) => layout::refused(StatusCode::FORBIDDEN, layout::FOREIGN),
        Visitor::SignedIn(key, session) if key.shown(&session, "", SIGN_OUT, &leaving.form).is_none() => {
            layout::refused(StatusCode::FORBIDDEN, layout::FOREIGN)
        }
        _ => with_cookie(layout::see_other("/"), &session::end(session::is_secure(&headers))),
    }
}

/// The button of the way out.
pub(super) fn sign_out(key: &Key, session: &session::Session) -> Markup {
    html! {
        form method="post" action="/sign-out" {
            input type="hidden" name="form" value=(key.form(session, "", SIGN_OUT, ""));
            button.quiet type="submit" { "Sign out" }
        }
    }
}

impl Turn {
    /// Checks a token when it is its turn; `None` where too many wait.
    async fn take(self: Arc<Self>, server: Server, token: String) -> Option<Result<(), Denied>> {
        if self.waiting.fetch_add(1, Ordering::SeqCst) >= MOST_WAITING {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            return None;
        }
        let (answer, answered) = oneshot::channel();
        // A task of its own: whoever guesses and goes away without the answer holds up the next guess all the same.
        tokio::spawn(async move {
            let turn = self.turn.lock().await;
            let checked = ask::check_token(&server, Some(&token));
            if checked == Err(Denied::Unauthorized) {
                tracing::warn!("Somebody tried to sign in with a wrong token");
                tokio::time::sleep(WRONG_TAKES).await;
            }
            drop(turn);
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            // Whoever asked may have gone.
            let _ = answer.send(checked);
        });
        // Where the task died nobody is told from anybody.
        Some(answered.await.unwrap_or(Err(Denied::CannotCheck)))
    }
}

/// To what was asked for before signing in, where that makes sense; else to the page.
fn way_on(server: &Server, guard: Option<String>, action: Option<String>) -> String {
    let known = |guard: &String| server.snapshots.borrow().guards.iter().any(|g| g.guard == *guard);
    match (guard.filter(known), action.as_deref().and_then(Action::parse)) {
        (Some(guard), Some(action)) => action.path(&guard),
        _ => "/".to_owned(),
    }
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

fn page(status: StatusCode, guard: Option<&str>, action: Option<&str>, wrong: Option<&str>) -> Response {
    let body = html! {
        h1 { "Sign in" }
        p { "With the token of " code { "http.token_file" } ". It is good for eight hours in this browser, or until the token is another." }
        @if let Some(wrong) = wrong {
            p.wrong #wrong role="alert" { (wrong) }
        }
        form.stacked method="post" action="/sign-in" {
            @if let Some(guard) = guard { input type="hidden" name="guard" value=(guard); }
            @if let Some(action) = action { input type="hidden" name="action" value=(action); }
            label for="token" { "Token" }
            input #token type="password" name="token" required autocomplete="current-password" autofocus
                aria-invalid=[wrong.map(|_| "true")] aria-describedby=[wrong.map(|_| "wrong")];
            p.buttons {
                button type="submit" { "Sign in" }
                a href="/" { "Back" }
            }
        }
    };
    (status, layout::small("Sign in", &body)).into_response()
}
