//! What every request passes on its way in and out: how often, for how long, and that what goes wrong in the API is told as a problem.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;

use super::connections::Client;
use super::limits::Limits;
use super::problem::{self, Problem};
use super::rate::Limit;

/// What is never limited: Kubernetes would restart Ripcord, and Prometheus take it for gone, because somebody else asks too often.
const NEVER_LIMITED: [&str; 3] = ["/metrics", "/healthz", "/readyz"];

/// The most of an error's text that is taken over into a problem. Those of the libraries are a line.
const DETAIL_BYTES: usize = 4096;

/// How often everybody may ask, and what they have asked.
#[derive(Clone)]
pub(super) struct Gate {
    counts: Arc<Mutex<Counts>>,
    request_within: Duration,
}

struct Counts {
    reads: Limit,
    writes: Limit,
    failures: Limit,
}

impl Gate {
    /// Nobody has asked anything yet.
    pub fn new(limits: &Limits) -> Self {
        let limit = |[each, all]: [_; 2]| Limit::new(each, all);
        let counts =
            Counts { reads: limit(limits.reads), writes: limit(limits.writes), failures: limit(limits.failures) };
        Self { counts: Arc::new(Mutex::new(counts)), request_within: limits.request_within }
    }

    /// The lock is held for a few additions; one that a panic left behind is as good as before.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request is let in.
    fn enter(&self, client: Client, reads: bool) -> Result<(), Problem> {
        let now = Instant::now();
        let counts = &mut *self.counts();
        let limit = if reads { &mut counts.reads } else { &mut counts.writes };
        if let Some(wait) = limit.wait_of(client, now) {
            return Err(Problem::too_many("this address asks too often".to_owned(), wait));
        }
        if let Some(wait) = limit.wait_of_all(now) {
            return Err(Problem::too_many("all together ask too often".to_owned(), wait));
        }
        if !reads {
            let failures = &counts.failures;
            let of_all = failures.wait_of_all(now).filter(|_| failures.knows(client, now));
            if let Some(wait) = failures.wait_of(client, now).or(of_all) {
                return Err(Problem::too_many("too many wrong tokens came from this address".to_owned(), wait));
            }
        }
        let limit = if reads { &mut counts.reads } else { &mut counts.writes };
        limit.take_of(client, now);
        if reads {
            limit.take_of_all(now);
        }
        Ok(())
    }

    /// What came of a request that writes. One without the token must not use up what those with it have in common.
    fn leave(&self, client: Client, came: Came) {
        let now = Instant::now();
        let mut counts = self.counts();
        match came {
            Came::WrongToken => {
                counts.failures.take_of(client, now);
                counts.failures.take_of_all(now);
            }
            Came::Carried => counts.writes.take_of_all(now),
            Came::Nothing => {}
        }
    }
}

/// What came of a request that writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    /// Somebody gave a token that is not the one.
    WrongToken,
    /// It got as far as the event loop, as only those with the token do.
    Carried,
    /// It was refused before, or asked for nothing.
    Nothing,
}

impl Came {
    /// By the answer to it. Without a token there was none to guess: another site can have a browser send that.
    fn of(status: StatusCode, signs_in: bool, with_token: bool) -> Self {
        match status {
            StatusCode::UNAUTHORIZED if signs_in || with_token => Self::WrongToken,
            StatusCode::CONFLICT | StatusCode::SERVICE_UNAVAILABLE => Self::Carried,
            status if status.is_success() || (status.is_redirection() && !signs_in) => Self::Carried,
            _ => Self::Nothing,
        }
    }
}

/// A request that writes, on its way. Who goes away without waiting for the answer has tried a token all the same.
struct UnderWay {
    gate: Gate,
    client: Client,
    signs_in: bool,
    over: bool,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.signs_in && !self.over {
            self.gate.leave(self.client, Came::WrongToken);
        }
    }
}

/// Lets a request in, and its answer out.
pub(super) async fn pass(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let of_api = path == "/api" || path.starts_with("/api/");
    let limited = !NEVER_LIMITED.contains(&path);
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let client = request.extensions().get::<Client>().copied();
    if let Some(client) = client
        && limited
        && let Err(problem) = gate.enter(client, reads)
    {
        return problem.into_response();
    }
    let sign = path == "/sign-in" || path == "/sign-out";
    let with_token = request.headers().contains_key(header::AUTHORIZATION);
    let mut under_way = client.filter(|_| limited && !reads).map(|client| UnderWay {
        gate: gate.clone(),
        client,
        signs_in: path == "/sign-in",
        over: false,
    });
    let response = match tokio::time::timeout(gate.request_within, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let mut late =
                Problem::plain(StatusCode::REQUEST_TIMEOUT, "the request took too long to arrive".to_owned())
                    .into_response();
            late.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            late
        }
    };
    if let Some(under_way) = &mut under_way {
        under_way.over = true;
        gate.leave(under_way.client, Came::of(response.status(), sign, with_token));
    }
    if of_api { as_problem(response).await } else { response }
}

/// An error that the libraries answer with a line of text, as a problem. Its headers stay.
async fn as_problem(response: Response) -> Response {
    let status = response.status();
    let is_problem = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == problem::MEDIA_TYPE);
    if is_problem || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let said = axum::body::to_bytes(body, DETAIL_BYTES).await.unwrap_or_default();
    let detail = match status {
        StatusCode::NOT_FOUND if said.is_empty() => {
            "there is nothing of this name; /api/v1/openapi.json lists all".to_owned()
        }
        // The router adds that header later.
        StatusCode::METHOD_NOT_ALLOWED if said.is_empty() => {
            "this path takes the methods of the header Allow".to_owned()
        }
        _ => String::from_utf8_lossy(&said).into_owned(),
    };
    let problem = match status {
        StatusCode::BAD_REQUEST => Problem::bad_request(detail),
        status => Problem::plain(status, detail),
    };
    let (of_problem, body) = problem.into_response().into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::CONTENT_TYPE);
    parts.headers.extend(of_problem.headers);
    Response::from_parts(parts, Body::new(body))
}
