//! A request of a person on its way to the event loop, from the API or from the page, and why it may be refused.

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use tokio::sync::oneshot;

use crate::engine::Command;

use super::{Refusal, Request, Server};

/// From so many characters on a token cannot be guessed, however often somebody tries: `openssl rand -hex 16` writes as many.
const BEYOND_GUESSING: usize = 32;

/// How long a request may wait for the event loop, which handles one in well under a millisecond.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Why a request is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Denied {
    /// No token is configured, so nobody may write.
    ReadOnly,
    /// The token was not given, or is another.
    Unauthorized,
    /// The token cannot be read, so that nobody can be told from anybody.
    CannotCheck,
    /// There is no guard of this name.
    NoGuard(String),
    /// The guard's state has no room for it.
    Ignored(String),
    /// Another replica leads, or none does yet.
    NotLeading {
        /// Who leads, as far as this replica knows.
        leader: Option<String>,
    },
    /// Ripcord stops, and was not asked any more.
    Stopping,
    /// The event loop was asked and says nothing: it may carry it out still.
    Silent,
}

impl Denied {
    /// The status of the answer.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::ReadOnly => StatusCode::FORBIDDEN,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NoGuard(_) => StatusCode::NOT_FOUND,
            Self::Ignored(_) => StatusCode::CONFLICT,
            Self::CannotCheck | Self::NotLeading { .. } | Self::Stopping | Self::Silent => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// Why, and what to do.
    pub(super) fn text(&self) -> String {
        match self {
            Self::ReadOnly => "no http.token_file is configured: the API only reads".to_owned(),
            Self::Unauthorized => "this needs the bearer token of http.token_file".to_owned(),
            Self::CannotCheck => "the token cannot be checked: see Ripcord's log".to_owned(),
            Self::NoGuard(guard) => format!("there is no guard {guard:?}"),
            Self::Ignored(reason) => reason.clone(),
            Self::NotLeading { leader: Some(leader) } => format!(
                "this replica stands by, and {leader} leads: ask that one (its pod is named by what stands before the last _)"
            ),
            Self::NotLeading { leader: None } => {
                "this replica does not lead, and it knows of none that does: try again in a few seconds".to_owned()
            }
            Self::Stopping => "Ripcord is stopping".to_owned(),
            Self::Silent => {
                "Ripcord did not answer, and may carry it out still: look at the guard before you ask again".to_owned()
            }
        }
    }
}

/// The token of `http.token_file`. The file is read anew each time, so that a rotated one works at once.
pub(super) fn token(server: &Server) -> Result<SecretString, Denied> {
    let Some(file) = server.snapshots.borrow().token_file.clone() else { return Err(Denied::ReadOnly) };
    file.read().map_err(|error| {
        tracing::error!(%error, "Cannot read the token of the API");
        Denied::CannotCheck
    })
}

/// Whether a token is the one of `http.token_file`.
pub(super) fn check_token(server: &Server, given: Option<&str>) -> Result<(), Denied> {
    let expected = token(server)?;
    if given.is_some_and(|given| is_same(given.trim(), expected.expose_secret().trim())) {
        Ok(())
    } else {
        Err(Denied::Unauthorized)
    }
}

/// Whether the token is so long that to tell it from others at once helps nobody to guess it: who has it need not be kept waiting because
/// of the wrong ones of others. With a short one it would.
pub(super) fn is_beyond_guessing(server: &Server) -> bool {
    token(server).is_ok_and(|expected| expected.expose_secret().trim().len() >= BEYOND_GUESSING)
}

/// The token of a request. The scheme's name is written in any case (RFC 9110, 11.1).
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether two secrets are the same, in a time that says nothing about either: their authentication codes are compared, each byte of them.
fn is_same(given: &str, expected: &str) -> bool {
    let code = |text: &str| {
        // Any key will do; HMAC takes keys of every length.
        Hmac::<Sha256>::new_from_slice(b"ripcord").map(|code| code.chain_update(text))
    };
    match (code(given), code(expected)) {
        (Ok(given), Ok(expected)) => given.verify(&expected.finalize().into_bytes()).is_ok(),
        _ => false,
    }
}

/// Asks the event loop, for somebody whose token was checked. The answer is the incident that tells what comes of it, where there is one.
pub(super) async fn ask(server: &Server, guard: String, command: Command) -> Result<Option<String>, Denied> {
    if !server.snapshots.borrow().guards.iter().any(|g| g.guard == guard) {
        return Err(Denied::NoGuard(guard));
    }
    let (answer, answered) = oneshot::channel();
    if server.requests.send(Request { guard, command, answer }).await.is_err() {
        return Err(Denied::Stopping);
    }
    match tokio::time::timeout(ANSWER_WITHIN, answered).await {
        Ok(Ok(Ok(incident))) => Ok(incident),
        Ok(Ok(Err(Refusal::Ignored(reason)))) => Err(Denied::Ignored(reason)),
        Ok(Ok(Err(Refusal::NotLeading { leader }))) => Err(Denied::NotLeading { leader }),
        // Dropped without an answer: it stops.
        Ok(Err(_)) | Err(_) => Err(Denied::Silent),
    }
}
