//! What every page has: the document around it, its style, its script, its signs.

use std::sync::LazyLock;

use axum::extract::RawQuery;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};
use sha2::{Digest as _, Sha256};

use super::concerns::Tone;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// How long a browser may keep the style and the script: another version of them has another address.
const KEEP: &str = "max-age=86400";

/// What is said to a form that does not come from this page.
pub(super) const FOREIGN: &str = "This form does not come from this page, or from another session of it: nothing was done. Open the page anew and try again.";

/// Tells one version of the style and the script from another.
pub(super) static ASSETS: LazyLock<String> = LazyLock::new(|| {
    let digest = Sha256::digest([STYLE, SCRIPT].concat());
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
});

/// `GET /page.css`.
pub(super) async fn style(RawQuery(query): RawQuery) -> Response {
    asset("text/css; charset=utf-8", STYLE, query.as_deref())
}

/// `GET /page.js`.
pub(super) async fn script(RawQuery(query): RawQuery) -> Response {
    asset("text/javascript; charset=utf-8", SCRIPT, query.as_deref())
}

/// While a new version is rolled out its page may ask the old one for the script: that is not to be kept under the new one's address.
fn asset(kind: &'static str, text: &'static str, query: Option<&str>) -> Response {
    let asked = query.and_then(|query| query.strip_prefix("v="));
    let keep = if asked.is_none_or(|version| version == *ASSETS) { KEEP } else { "no-store" };
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, keep)], text).into_response()
}

/// A whole document. `updates`: whether it does so by itself.
pub(super) fn document(title: &str, body: &Markup, updates: bool) -> Html<String> {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                // Nothing is asked for that is not there.
                link rel="icon" href="data:,";
                link rel="stylesheet" href={ "/page.css?v=" (*ASSETS) };
                @if updates { script src={ "/page.js?v=" (*ASSETS) } defer {} }
            }
            body { (signs()) (body) }
        }
    };
    Html(page.into_string())
}

/// A page with little on it: a form, or why not.
pub(super) fn small(title: &str, body: &Markup) -> Html<String> {
    let body = html! {
        header.top { p.brand { a href="/" { "Ripcord" } } }
        main.small { (body) }
    };
    document(&format!("Ripcord: {title}"), &body, false)
}

/// A page that says why not.
pub(super) fn refused(status: StatusCode, why: &str) -> Response {
    let body = html! {
        h1 { "Not done" }
        p { (why) }
        p.buttons { a.button href="/" { "Back to the status" } }
    };
    (status, small("Not done", &body)).into_response()
}

/// Goes on to another page.
pub(super) fn see_other(path: &str) -> Response {
    let location = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}

/// A sign that is told from the others by its shape. What it says stands beside it in words.
pub(super) fn sign(tone: Tone) -> Markup {
    html! {
        svg.sign.(tone.class()) viewBox="0 0 16 16" aria-hidden="true" { use href={ "#sign-" (tone.class()) } {} }
    }
}

/// The shapes, once for all.
fn signs() -> Markup {
    html! {
        svg.defs aria-hidden="true" {
            symbol id="sign-good" viewBox="0 0 16 16" { circle.fill cx="8" cy="8" r="6.5" {} path.mark d="M5 8.2l2.1 2.1L11 6.2" {} }
            symbol id="sign-note" viewBox="0 0 16 16" { rect.fill x="2" y="2" width="12" height="12" rx="2" {} path.mark d="M8 7.2v4M8 4.6v.4" {} }
            symbol id="sign-warn" viewBox="0 0 16 16" { path.fill d="M8 .8L15.2 8L8 15.2L.8 8z" {} path.mark d="M8 4.8v3.8M8 11v.3" {} }
            symbol id="sign-unknown" viewBox="0 0 16 16" { circle.ring cx="8" cy="8" r="6.3" {} path.stroke d="M6.2 6.6a1.9 1.9 0 1 1 2.6 1.8c-.6.2-.8.5-.8 1.1M8 11.4v.3" {} }
            symbol id="sign-bad" viewBox="0 0 16 16" { path.fill d="M8 1L15.6 14.6H.4z" {} path.mark d="M8 6v4M8 12.2v.3" {} }
            defs {
                pattern id="unseen" width="6" height="6" patternUnits="userSpaceOnUse" { path d="M-1 7L7 -1M-1 1L1 -1M5 7L7 5" {} }
            }
        }
    }
}
