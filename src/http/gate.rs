//! What every request passes on its way in and out: how often, for how long, and that what goes wrong in the API is told as a problem.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;

use super::connections::Client;
use super::limits::Limits;
use super::problem::{self, Problem};
use super::rate::Limit;
use super::{Server, ask, page};

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
    /// Wrong tokens of requests.
    failures: Limit,
    /// Wrong tokens that were typed: a script with an old one must not keep a person from signing in.
    sign_ins: Limit,
}

/// What a request wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wants {
    /// To see something.
    Read,
    /// To change something.
    Write,
    /// A session of the page.
    SignIn,
}

impl Counts {
    /// Where wrong tokens are counted.
    fn wrong(&mut self, wants: Wants) -> &mut Limit {
        if wants == Wants::SignIn { &mut self.sign_ins } else { &mut self.failures }
    }
}

/// Why a request is not let in.
enum Refused {
    /// So many came.
    TooMany(Problem),
    /// Wrong tokens came from there: who shows in another way that they have the right one is let in all the same.
    WrongTokens(Problem),
}

impl Gate {
    /// Nobody has asked anything yet.
    pub fn new(limits: &Limits) -> Self {
        let limit = |[each, all]: [_; 2]| Limit::new(each, all);
        let counts = Counts {
            reads: limit(limits.reads),
            writes: limit(limits.writes),
            failures: limit(limits.failures),
            sign_ins: limit(limits.failures),
        };
        Self { counts: Arc::new(Mutex::new(counts)), request_within: limits.request_within }
    }

    /// The lock is held for a few additions; one that a panic left behind is as good as before.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request is let in. `proven`: whether it is known to come from who has the token.
    fn enter(&self, client: Client, wants: Wants, proven: bool) -> Result<(), Refused> {
        let now = Instant::now();
        let counts = &mut *self.counts();
        let reads = wants == Wants::Read;
        let limit = if reads { &mut counts.reads } else { &mut counts.writes };
        if let Some(wait) = limit.wait_of(client, now) {
            return Err(Refused::TooMany(Problem::too_many("this address asks too often".to_owned(), wait)));
        }
        if let Some(wait) = limit.wait_of_all(now) {
            return Err(Refused::TooMany(Problem::too_many("all together ask too often".to_owned(), wait)));
        }
        if !reads && !proven {
            let failures = counts.wrong(wants);
            let of_all = failures.wait_of_all(now).filter(|_| failures.knows(client, now));
            if let Some(wait) = failures.wait_of(client, now).or(of_all) {
                let detail = "too many wrong tokens came from this address".to_owned();
                return Err(Refused::WrongTokens(Problem::too_many(detail, wait)));
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
    fn leave(&self, client: Client, wants: Wants, came: Came) {
        let now = Instant::now();
        let mut counts = self.counts();
        match came {
            Came::WrongToken => {
                counts.wrong(wants).take_of(client, now);
                counts.wrong(wants).take_of_all(now);
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
    wants: Wants,
    over: bool,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.wants == Wants::SignIn && !self.over {
            self.gate.leave(self.client, self.wants, Came::WrongToken);
        }
    }
}

/// Whether a request comes from who has the token, whatever others at its address have tried. The sign of a session is made of the token, so
/// that it proves something only where the token itself cannot be guessed.
fn is_proven(server: &Server, headers: &HeaderMap) -> bool {
    ask::is_beyond_guessing(server)
        && (page::is_signed_in(server, headers) || ask::check_token(server, ask::bearer(headers)).is_ok())
}

/// A problem as its reader takes it: people get a page.
async fn refuse(problem: Problem, of_page: bool) -> Response {
    if !of_page {
        return problem.into_response();
    }
    let (status, text) = (problem.status(), problem.in_words());
    let mut page = page::instead(status, &text).await;
    let (of_problem, _) = problem.into_response().into_parts();
    for name in [header::RETRY_AFTER, header::CONNECTION] {
        if let Some(value) = of_problem.headers.get(&name) {
            page.headers_mut().insert(name, value.clone());
        }
    }
    page
}

/// Lets a request in, and its answer out.
pub(super) async fn pass(State((gate, server)): State<(Gate, Server)>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let of_api = path == "/api" || path.starts_with("/api/");
    let limited = !NEVER_LIMITED.contains(&path);
    let of_page = limited && !of_api;
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let wants = match path {
        _ if reads => Wants::Read,
        "/sign-in" => Wants::SignIn,
        _ => Wants::Write,
    };
    let client = request.extensions().get::<Client>().copied();
    if let Some(client) = client.filter(|_| limited) {
        let entered = match gate.enter(client, wants, false) {
            Err(Refused::WrongTokens(_)) if wants == Wants::Write && is_proven(&server, request.headers()) => {
                gate.enter(client, wants, true)
            }
            entered => entered,
        };
        if let Err(Refused::TooMany(problem) | Refused::WrongTokens(problem)) = entered {
            return refuse(problem, of_page).await;
        }
    }
    let sign = path == "/sign-in" || path == "/sign-out";
    let with_token = request.headers().contains_key(header::AUTHORIZATION);
    let mut under_way =
        client.filter(|_| limited && !reads).map(|client| UnderWay { gate: gate.clone(), client, wants, over: false });
    let response = match tokio::time::timeout(gate.request_within, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = "the request took too long to arrive".to_owned();
            let mut late = refuse(Problem::plain(StatusCode::REQUEST_TIMEOUT, detail), of_page).await;
            late.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            late
        }
    };
    if let Some(under_way) = &mut under_way {
        under_way.over = true;
        gate.leave(under_way.client, wants, Came::of(response.status(), sign, with_token));
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
