//! What would happen, said before it does; and then it happens.

use std::time::Duration;

use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use maud::html;
use serde::Deserialize;

use crate::engine::{Command, GuardStatus, duration_in_words};

use super::super::ask::{self, Denied};
use super::super::{ConfiguredGuard, Server};
use super::action::Action;
use super::session::{Key, Outcome, Said, Session, Visitor};
use super::{consequences, guard as shown_guard, layout, origin};

/// The longest reason: a sentence or two. It is told in every page of its incident.
const LONGEST_REASON: usize = 500;

/// How long a pause can be, in minutes, and the one that is offered first. The longest is that of the API.
const PAUSES: [(u64, &str); 8] = [
    (15, "15 minutes"),
    (30, "30 minutes"),
    (60, "1 hour"),
    (120, "2 hours"),
    (240, "4 hours"),
    (480, "8 hours"),
    (1440, "1 day"),
    (10_080, "7 days"),
];
const USUAL_PAUSE: u64 = 30;

/// What is sent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Confirmed {
    form: String,
    reason: String,
    minutes: Option<u64>,
}

/// What is known of what is asked for.
pub(super) struct Asked {
    /// What is asked.
    pub action: Action,
    /// The guard, as it is now.
    pub status: GuardStatus,
    /// What is configured for it.
    pub configured: Option<ConfiguredGuard>,
    leads: bool,
    leader: Option<String>,
    /// Whether nothing is really changed.
    pub dry_run: bool,
}

/// Why a confirmation is shown once more.
#[derive(Clone, Copy)]
enum Again {
    /// Something is missing.
    Lacks(&'static str),
    /// The guard is not any more what its reader was shown.
    HasChanged,
}

/// Who asks for a confirmation, and what they have typed so far.
struct Asking<'a> {
    key: &'a Key,
    session: &'a Session,
    typed: &'a Confirmed,
    again: Option<Again>,
}

impl Asked {
    /// Of an address; `None` where there is no such guard or action.
    fn of(server: &Server, guard: &str, action: &str) -> Option<Self> {
        let action = Action::parse(action)?;
        let snapshot = server.snapshots.borrow();
        let status = snapshot.guards.iter().find(|g| g.guard == guard)?.clone();
        Some(Self {
            action,
            status,
            configured: snapshot.configured.guards.get(guard).cloned(),
            leads: snapshot.leads,
            leader: snapshot.leader.clone(),
            dry_run: snapshot.dry_run,
        })
    }
}

/// `GET /guards/{guard}/{action}`.
pub(super) async fn ask(
    State(server): State<Server>,
    Path((guard, action)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let Some(asked) = Asked::of(&server, &guard, &action) else { return nothing_here() };
    match Visitor::of(&server, &headers) {
        Visitor::ReadOnly => layout::refused(StatusCode::FORBIDDEN, &Denied::ReadOnly.text()),
        Visitor::CannotCheck => layout::refused(StatusCode::SERVICE_UNAVAILABLE, &Denied::CannotCheck.text()),
        Visitor::Somebody => {
            layout::see_other(&format!("/sign-in?guard={}&action={}", asked.status.guard, asked.action.as_str()))
        }
        Visitor::SignedIn(..) if !asked.leads => {
            let denied = Denied::NotLeading { leader: asked.leader };
            layout::refused(denied.status(), &denied.text())
        }
        Visitor::SignedIn(key, session) => {
            let (key, session) = (&key, &session);
            page(&asked, &Asking { key, session, typed: &Confirmed::default(), again: None }, (server.now)())
        }
    }
}

/// `POST /guards/{guard}/{action}`.
pub(super) async fn carry_out(
    State(server): State<Server>,
    Path((guard, action)): Path<(String, String)>,
    headers: HeaderMap,
    Form(confirmed): Form<Confirmed>,
) -> Response {
    let Some(asked) = Asked::of(&server, &guard, &action) else { return nothing_here() };
    if !origin::is_own(&headers) {
        return layout::refused(StatusCode::FORBIDDEN, layout::FOREIGN);
    }
    let (key, session) = match Visitor::of(&server, &headers) {
        Visitor::SignedIn(key, session) => (key, session),
        Visitor::ReadOnly => return layout::refused(StatusCode::FORBIDDEN, &Denied::ReadOnly.text()),
        Visitor::CannotCheck => return layout::refused(StatusCode::SERVICE_UNAVAILABLE, &Denied::CannotCheck.text()),
        Visitor::Somebody => {
            let over = "You are not signed in, or not any more: nothing was done. Sign in and try again.";
            return layout::refused(StatusCode::UNAUTHORIZED, over);
        }
    };
    let word = asked.action.as_str();
    let Some(shown) = key.shown(&session, &asked.status.guard, word, &confirmed.form) else {
        return layout::refused(StatusCode::FORBIDDEN, layout::FOREIGN);
    };
    let now = (server.now)();
    let again = |why| page(&asked, &Asking { key: &key, session: &session, typed: &confirmed, again: Some(why) }, now);
    if shown != consequences::shown(&asked) {
        return again(Again::HasChanged);
    }
    let command = match command(asked.action, &confirmed, now) {
        Ok(command) => command,
        Err(lacks) => return again(Again::Lacks(lacks)),
    };
    tracing::info!(guard, action = word, "Somebody who has signed in asks on the page");
    let (outcome, text) = match ask::ask(&server, guard.clone(), command).await {
        Ok(_) => (Outcome::Done, done(&asked, &confirmed)),
        Err(denied @ Denied::Silent) => (Outcome::NotKnown, denied.text()),
        Err(denied) => (Outcome::NotDone, denied.text()),
    };
    let said = Said { outcome, text: format!("{guard}: {}", cut(&text)) };
    layout::see_other(&format!("/?said={}", key.say(&said, now)))
}

fn nothing_here() -> Response {
    layout::refused(StatusCode::NOT_FOUND, "There is no such guard, or nothing of that name can be asked of it.")
}

/// An address has no room for the longest refusals.
fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST_REASON) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text.to_owned(),
    }
}

/// What the engine is asked, or what is missing.
fn command(action: Action, confirmed: &Confirmed, now: Timestamp) -> Result<Command, &'static str> {
    Ok(match action {
        Action::Rollback => {
            let reason = confirmed.reason.trim();
            if reason.is_empty() {
                return Err("A rollback needs a reason: who reads the page at night will want to know.");
            }
            Command::Rollback { reason: cut(reason), percentage: None, once: false }
        }
        Action::Pause => {
            let minutes = confirmed.minutes.filter(|minutes| PAUSES.iter().any(|(known, _)| known == minutes));
            let Some(minutes) = minutes else { return Err("A pause needs one of the lengths below.") };
            let until = now.checked_add(Duration::from_secs(60 * minutes)).unwrap_or(Timestamp::MAX);
            Command::Pause { until }
        }
        Action::Resume => Command::Resume,
        Action::Rearm => Command::Rearm,
        Action::Acknowledge => Command::Acknowledge,
    })
}

fn done(asked: &Asked, confirmed: &Confirmed) -> String {
    match asked.action {
        Action::Rollback => "the rollback has begun".to_owned(),
        Action::Pause => {
            let length = Duration::from_secs(60 * confirmed.minutes.unwrap_or_default());
            format!("paused for {}", duration_in_words(length))
        }
        Action::Resume => "no longer paused".to_owned(),
        Action::Rearm => "watching again".to_owned(),
        Action::Acknowledge => {
            let all: Vec<String> =
                consequences::to_acknowledge(&asked.status).into_iter().map(|what| what.brief).collect();
            format!("acknowledged: {}", all.join(", "))
        }
    }
}

fn page(asked: &Asked, asking: &Asking<'_>, now: Timestamp) -> Response {
    let Asked { action, status: guard, .. } = asked;
    let Asking { key, session, typed, again } = asking;
    let (title, name) = (format!("{} {}", action.label(), guard.guard), &guard.guard);
    let form = key.form(session, name, action.as_str(), &consequences::shown(asked));
    let status = match again {
        None => StatusCode::OK,
        Some(Again::Lacks(_)) => StatusCode::BAD_REQUEST,
        Some(Again::HasChanged) => StatusCode::CONFLICT,
    };
    let lacks = match again {
        Some(Again::Lacks(lacks)) => Some(*lacks),
        _ => None,
    };
    let minutes = typed.minutes.unwrap_or(USUAL_PAUSE);
    let body = html! {
        h1 { (title) "?" }
        @if let Some(Again::HasChanged) = again {
            p.wrong role="alert" { (name) " has changed since you were asked: nothing was done. This is how it is now." }
        }
        p {
            b { (name) } " is now: " (shown_guard::state_in_words(guard.state)) ", "
            @match guard.percentage {
                Some(share) => { (share) " % on the new path." }
                None => { "its share is not known." }
            }
        }
        (consequences::in_words(asked, now))
        @if asked.dry_run { p.badge { "Dry run: nothing is really changed." } }
        @if let Some(lacks) = lacks { p.wrong #wrong role="alert" { (lacks) } }
        form.stacked method="post" action=(action.path(name)) {
            input type="hidden" name="form" value=(form);
            @match action {
                Action::Rollback => {
                    label for="reason" { "Why" }
                    input #reason name="reason" value=(typed.reason) required maxlength=(LONGEST_REASON) autocomplete="off" autofocus
                        aria-invalid=[lacks.map(|_| "true")] aria-describedby=[lacks.map(|_| "wrong")];
                }
                Action::Pause => {
                    label for="minutes" { "For how long" }
                    select #minutes name="minutes" autofocus {
                        @for (value, text) in PAUSES { option value=(value) selected[value == minutes] { (text) } }
                    }
                }
                Action::Resume | Action::Rearm | Action::Acknowledge => {}
            }
            p.buttons {
                button.(if *action == Action::Rollback { "danger" } else { "go" }) type="submit" { (title) }
                a.button href="/" { "Cancel" }
            }
        }
    };
    (status, layout::small(&title, &body)).into_response()
}
