//! The status page.

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;

use super::super::{Server, Snapshot};
use super::concerns::Tone;
use super::layout::{self, sign};
use super::selection::Selection;
use super::session::{Outcome, Said, Visitor};
use super::{guard, incident, queue, sign_in, words};

/// Guards up to which there is nothing to look for: one sees all of them.
const SEEN_AT_ONCE: usize = 12;

/// What the address says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    /// Only guards whose names hold this.
    guard: Option<String>,
    /// What came of a request, signed.
    said: Option<String>,
}

/// `GET /`.
pub(super) async fn page(State(server): State<Server>, headers: HeaderMap, Query(asked): Query<Asked>) -> Response {
    let now = (server.now)();
    let visitor = Visitor::of(&server, &headers);
    let filter = asked.guard.as_deref().map(str::trim).filter(|part| !part.is_empty());
    let selection = {
        let snapshot = server.snapshots.borrow();
        Selection::of(&snapshot, &server.curves, filter, now)
    };
    let said = match &visitor {
        Visitor::SignedIn(key, _) => asked.said.as_deref().and_then(|said| key.said(said, now)),
        _ => None,
    };
    let (headline, tone) = headline(&selection);
    let keys: Vec<&str> = selection.concerns.iter().map(|concern| concern.key.as_str()).collect();
    let body = html! {
        a.skip href="#guards" { "Skip to the guards" }
        // Empty until the script has something to say.
        p #told role="status" {}
        div #page data-assets=(*layout::ASSETS) data-key=(keys.join("; ")) {
            header.top {
                p.brand { a href="/" { "Ripcord" } " " span.soft { (selection.snapshot.version) } }
                p.fresh {
                    span { "As of " (words::time(now, now)) " UTC" }
                    a.reload href=(address(filter)) { "Reload" }
                    button #auto .quiet type="button" data-own hidden { "Stop updating" }
                }
                (signing(&visitor))
            }
            main {
                @if let Some(said) = &said { (told(said)) }
                div.headline.(tone.class()) {
                    h1 { (sign(tone)) (words::tied(&headline)) }
                    @if selection.snapshot.dry_run { p.badge { "Dry run: it decides and tells, and changes nothing." } }
                    (others(&selection))
                }
                (itself(&selection.snapshot, &visitor, now))
                (guards(&selection, &visitor, filter, now))
                (incident::all(&selection.incidents, selection.more_incidents, now))
                (queue::all(&selection.receivers, &selection.lost, selection.snapshot.leads, now))
            }
            (links(&selection.snapshot))
        }
    };
    layout::document(&format!("Ripcord: {headline}"), &body, true).into_response()
}

fn address(filter: Option<&str>) -> String {
    match filter {
        Some(filter) => format!("/?{}", as_query(filter)),
        None => "/".to_owned(),
    }
}

/// `guard=…`, as a form would send it.
fn as_query(filter: &str) -> String {
    let kept = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let encoded = filter.bytes().map(|b| if kept(b) { char::from(b).to_string() } else { format!("%{b:02X}") });
    format!("guard={}", encoded.collect::<String>())
}

/// How things are, in one line.
fn headline(selection: &Selection) -> (String, Tone) {
    match selection.concerns.first() {
        Some(concern) => (concern.text.clone(), concern.tone),
        None if selection.guards == 0 => ("No guard is configured".to_owned(), Tone::Note),
        None if selection.guards == 1 => ("The guard is well".to_owned(), Tone::Good),
        None => (format!("All {} guards are well", selection.guards), Tone::Good),
    }
}

/// What else is not as it should be.
fn others(selection: &Selection) -> Markup {
    html! {
        @if selection.concerns.len() > 1 {
            ul.concerns {
                @for concern in selection.concerns.iter().skip(1) {
                    li {
                        (sign(concern.tone))
                        @match &concern.guard {
                            Some(guard) if selection.whole.iter().any(|whole| whole.status.guard == *guard) => {
                                a href={ "#guard-" (guard) } { (words::tied(&concern.text)) }
                            }
                            _ => { span { (words::tied(&concern.text)) } }
                        }
                    }
                }
                @if selection.more_concerns > 0 { li { span { "and " (selection.more_concerns) " more" } } }
            }
        }
    }
}

fn told(said: &Said) -> Markup {
    let (tone, prefix) = match said.outcome {
        Outcome::Done => (Tone::Good, None),
        Outcome::NotDone => (Tone::Bad, Some("Not done: ")),
        Outcome::NotKnown => (Tone::Unknown, Some("Not known whether it is done: ")),
    };
    html! {
        p.said.(tone.class()) #said role="status" tabindex="-1" autofocus {
            (sign(tone)) @if let Some(prefix) = prefix { b { (prefix) } } (said.text)
        }
    }
}

fn signing(visitor: &Visitor) -> Markup {
    html! {
        div.signing {
            @match visitor {
                Visitor::SignedIn(key, session) => { span { "Signed in" } (sign_in::sign_out(key, session)) }
                Visitor::Somebody => { a.button href="/sign-in" { "Sign in" } }
                Visitor::ReadOnly | Visitor::CannotCheck => {}
            }
        }
    }
}

/// Ripcord itself: who leads, what it goes by, whether it would remember.
fn itself(snapshot: &Snapshot, visitor: &Visitor, now: Timestamp) -> Markup {
    let tick = match snapshot.last_tick {
        Some(at) => html! { (words::ago(at, now)) span.soft { ", every " (words::length(snapshot.interval)) } },
        None => html! { "none yet" },
    };
    html! {
        dl.itself {
            div { dt { "Leads" } dd {
                @match (snapshot.leads, &snapshot.leader) {
                    (true, Some(_)) => { "this replica" span.soft { " of several" } }
                    (true, None) => { "this one, alone" }
                    (false, Some(leader)) => { (leader) }
                    (false, None) => { "nobody known" }
                }
            } }
            div { dt { "Last tick" } dd { (tick) } }
            div { dt { "Configuration" } dd {
                "loaded " (words::time(snapshot.config_loaded_at, now))
                @if !snapshot.config_reload_success { ", " b { "a newer one was refused" } }
            } }
            div { dt { "State" } dd {
                @match (&snapshot.state_error, snapshot.state_saved_at) {
                    (Some(_), Some(at)) => { b { "not kept" } ", last written " (words::ago(at, now)) }
                    (Some(_), None) => { b { "not kept" } }
                    (None, Some(at)) => { "written " (words::ago(at, now)) }
                    (None, None) if !snapshot.leads => { "written by who leads" }
                    (None, None) => { "not written yet" }
                }
            } }
            div { dt { "Running" } dd { "for " (words::length(words::between(snapshot.started_at, now))) } }
            div { dt { "Buttons" } dd {
                @match (visitor, snapshot.leads, &snapshot.leader) {
                    (Visitor::ReadOnly, ..) => { "none: no http.token_file is configured" }
                    (Visitor::CannotCheck, ..) => { "none: the token cannot be read, see the log" }
                    (_, false, Some(leader)) => { "on the page of " (leader) }
                    (_, false, None) => { "none: nobody leads" }
                    (Visitor::Somebody, true, _) => { "after you " a href="/sign-in" { "sign in" } }
                    (Visitor::SignedIn(..), true, _) => { "at each guard" }
                }
            } }
        }
    }
}

fn guards(selection: &Selection, visitor: &Visitor, filter: Option<&str>, now: Timestamp) -> Markup {
    let acts = selection.snapshot.leads && matches!(visitor, Visitor::SignedIn(..));
    let shown = selection.whole.len() + selection.lines.len() + selection.left_out;
    html! {
        section #guards tabindex="-1" aria-labelledby="h-guards" {
            div.heading {
                h2 #h-guards {
                    "Guards"
                    @if filter.is_some() { span.soft { " " (shown) " of " (selection.guards) } }
                }
                @if selection.guards > SEEN_AT_ONCE || filter.is_some() {
                    form.filter method="get" action="/" role="search" {
                        label for="filter" { "Name holds" }
                        input #filter type="search" name="guard" value=[filter] autocomplete="off" spellcheck="false";
                        button type="submit" { "Show" }
                        @if filter.is_some() { a href="/" { "Show all" } }
                    }
                }
            }
            @if shown == 0 { p.soft { "There is none." } }
            @for whole in &selection.whole { (guard::whole(whole, selection.snapshot.leads, acts, now)) }
            @if !selection.lines.is_empty() { (guard::lines(&selection.lines)) }
            @if selection.left_out > 0 {
                p.soft { "And " (words::count(selection.left_out, "more guard", "more guards")) ". Say a part of a name to see others." }
            }
        }
    }
}

fn links(snapshot: &Snapshot) -> Markup {
    html! {
        footer {
            nav aria-label="More" {
                @if let Some(runbook) = &snapshot.configured.links.runbook { a href=(runbook) rel="noreferrer" { "Runbook" } }
                a href="/api/v1/status" { "Status as JSON" }
                a href="/api/v1/incidents" { "Incidents as JSON" }
                a href="/metrics" { "Metrics" }
            }
            p.soft { "All times are UTC. A point of a chart is the worst of half a minute." }
        }
    }
}
