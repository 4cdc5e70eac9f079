//! A reverse proxy that misbehaves on request. It is the one fake of the test bed, because real servers cannot be told to fail.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Response};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::World;
use super::log::Log;
use super::server::{HttpServer, Reply};

/// Headers that belong to one connection, not to the request.
const HOP_BY_HOP: [&str; 5] = ["host", "connection", "transfer-encoding", "content-length", "keep-alive"];

/// What stands behind the proxy.
pub struct Upstream {
    pub url: String,
    pub client: reqwest::Client,
}

/// A request as the proxy saw it.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub method: String,
    /// Without the query.
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub at: SystemTime,
    /// The status and the time of the answer, once there is one. A request that hung, was cut or lost its answer has none.
    pub answered: Option<(u16, SystemTime)>,
}

impl Recorded {
    /// Whether it has this method and its path holds this text.
    pub fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path.contains(path)
    }

    /// Its body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Whether the server is asked to try it only.
    pub fn is_dry_run(&self) -> bool {
        self.query.contains("dryRun=All")
    }
}

/// What else happens while a request is under way.
type Meanwhile = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// What happens to a request.
#[derive(Clone)]
pub enum Fault {
    /// It goes through, as without a rule: for exceptions from a wider rule.
    Pass,
    /// It is answered with this and never arrives.
    Answer { status: u16, headers: Vec<(&'static str, String)>, body: String },
    /// It never arrives and is never answered.
    Hang,
    /// It never arrives and the connection is closed.
    Close,
    /// It goes through this much later.
    Delay(Duration),
    /// It arrives, and the connection is closed instead of the answer: the client cannot know that it worked.
    LoseAnswer,
    /// It goes through and the JSON of the answer is changed.
    Edit(Arc<dyn Fn(&mut Value) + Send + Sync>),
    /// Something else happens first: see `Fault::before`.
    Before(Meanwhile),
    /// Something else happens before the answer goes back: see `Fault::after`.
    After(Meanwhile),
}

impl Fault {
    /// An answer with any text.
    pub fn answer(status: u16, body: &str) -> Self {
        Self::Answer { status, headers: Vec::new(), body: body.to_owned() }
    }

    /// An answer as the API server gives it: a `Status` object with the reason that goes with the status.
    pub fn kubernetes(status: u16) -> Self {
        let reason = match status {
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "NotFound",
            409 => "Conflict",
            422 => "Invalid",
            429 => "TooManyRequests",
            500 => "InternalError",
            503 => "ServiceUnavailable",
            504 => "Timeout",
            _ => "Unknown",
        };
        Self::kubernetes_with(status, reason, &format!("the fault proxy says {reason}"))
    }

    /// An answer as the API server gives it, with a reason and a message.
    pub fn kubernetes_with(status: u16, reason: &str, message: &str) -> Self {
        let body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": status,
        });
        Self::Answer { status, headers: vec![("content-type", "application/json".to_owned())], body: body.to_string() }
    }

    /// A successful answer that is no JSON.
    pub fn garbage() -> Self {
        Self::answer(200, "{\"status\":\"succ")
    }

    /// It goes through once something else has happened.
    pub fn before<F>(happens: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::Before(Arc::new(move || happens().boxed()))
    }

    /// It goes through, and the answer comes back once something else has happened.
    pub fn after<F>(happens: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::After(Arc::new(move || happens().boxed()))
    }

    /// Something else happens, and it never arrives.
    pub fn instead(happens: impl Fn() + Send + Sync + 'static) -> Self {
        Self::before(move || {
            happens();
            std::future::pending()
        })
    }

    /// It goes through and is never answered.
    pub fn keep_answer() -> Self {
        Self::after(std::future::pending)
    }

    /// The JSON of the answer is changed.
    pub fn edit(edit: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        Self::Edit(Arc::new(edit))
    }

    /// The answer of Prometheus with warnings added.
    pub fn warnings(warnings: &[&str]) -> Self {
        let warnings = json!(warnings);
        Self::edit(move |answer| answer["warnings"] = warnings.clone())
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => f.write_str("pass"),
            Self::Answer { status, .. } => write!(f, "answer {status}"),
            Self::Hang => f.write_str("hang"),
            Self::Close => f.write_str("close"),
            Self::Delay(time) => write!(f, "delay {time:?}"),
            Self::LoseAnswer => f.write_str("lose the answer"),
            Self::Edit(_) => f.write_str("edit the answer"),
            Self::Before(_) => f.write_str("after something else"),
            Self::After(_) => f.write_str("something else before the answer"),
        }
    }
}

struct Rule {
    applies: Box<dyn Fn(&Recorded) -> bool + Send + Sync>,
    fault: Fault,
    /// How often it still applies; `None`: always.
    left: Option<usize>,
}

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    requests: Vec<Recorded>,
    forgets: bool,
}

/// The proxy. Without rules everything passes.
pub struct FaultProxy {
    state: Arc<Mutex<State>>,
    server: HttpServer,
}

impl FaultProxy {
    /// Starts it on a port of its own, in plain HTTP.
    pub async fn start(upstream: Upstream, log: Log) -> anyhow::Result<Self> {
        let state = Arc::new(Mutex::new(State::default()));
        let upstream = Arc::new(upstream);
        let server = {
            let state = state.clone();
            HttpServer::start(move |parts, body| {
                let (state, upstream, log) = (state.clone(), upstream.clone(), log.clone());
                async move { handle(&state, &upstream, &log, parts, body).await }.boxed()
            })
            .await?
        };
        Ok(Self { state, server })
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// From now on, this happens to such requests. Of several rules that apply the latest counts.
    pub fn rule(&self, applies: impl Fn(&Recorded) -> bool + Send + Sync + 'static, fault: Fault) {
        self.add(Rule { applies: Box::new(applies), fault, left: None });
    }

    /// The same for the next `times` such requests only.
    pub fn rule_times(&self, times: usize, applies: impl Fn(&Recorded) -> bool + Send + Sync + 'static, fault: Fault) {
        self.add(Rule { applies: Box::new(applies), fault, left: Some(times) });
    }

    /// From now on, this happens to every request.
    pub fn all(&self, fault: Fault) {
        self.rule(|_| true, fault);
    }

    /// Everything passes again. What hangs already goes on hanging.
    pub fn clear(&self) {
        self.state.lock().expect("no holder panics").rules.clear();
    }

    fn add(&self, rule: Rule) {
        self.state.lock().expect("no holder panics").rules.push(rule);
    }

    /// Keeps no requests from now on: for hours of them.
    pub fn forget_requests(&self) {
        let mut state = self.state.lock().expect("no holder panics");
        state.forgets = true;
        state.requests.clear();
    }

    /// All requests so far, in the order of their arrival.
    pub fn requests(&self) -> Vec<Recorded> {
        self.state.lock().expect("no holder panics").requests.clone()
    }

    /// How many requests so far were such.
    pub fn count(&self, is: impl Fn(&Recorded) -> bool) -> usize {
        self.state.lock().expect("no holder panics").requests.iter().filter(|r| is(r)).count()
    }

    /// Stops listening and cuts all connections, as when the server is gone.
    pub fn gone(&self) {
        self.server.gone();
    }

    /// Listens again on the same port.
    pub async fn back(&self) -> anyhow::Result<()> {
        self.server.back().await
    }
}

async fn handle(state: &Mutex<State>, upstream: &Upstream, log: &Log, parts: Parts, body: Bytes) -> Reply {
    let request = Recorded {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers.clone(),
        body: body.clone(),
        at: SystemTime::now(),
        answered: None,
    };
    let (number, fault) = {
        let mut state = state.lock().expect("no holder panics");
        let fault = take_fault(&mut state.rules, &request);
        let number = state.requests.len();
        if !state.forgets {
            state.requests.push(request.clone());
        }
        (number, fault)
    };
    let reply = match &fault {
        Fault::Answer { status, headers, body } => {
            let mut reply = Reply::text(*status, body.clone());
            if let Reply::Answer(response) = &mut reply {
                for (name, value) in headers {
                    response.headers_mut().insert(*name, value.parse().expect("a valid header"));
                }
            }
            reply
        }
        Fault::Hang => Reply::Hang,
        Fault::Close => Reply::Close,
        Fault::Delay(time) => {
            tokio::time::sleep(*time).await;
            forward(upstream, parts, body).await
        }
        Fault::Pass => forward(upstream, parts, body).await,
        Fault::LoseAnswer => {
            forward(upstream, parts, body).await;
            Reply::Close
        }
        Fault::Before(happens) => {
            happens().await;
            forward(upstream, parts, body).await
        }
        Fault::After(happens) => {
            let reply = forward(upstream, parts, body).await;
            happens().await;
            reply
        }
        Fault::Edit(edit) => edited(forward(upstream, parts, body).await, edit.as_ref()).await,
    };
    let status = match &reply {
        Reply::Answer(response) => Some(response.status().as_u16()),
        Reply::Close | Reply::Hang => None,
    };
    if let Some(recorded) = state.lock().expect("no holder panics").requests.get_mut(number) {
        recorded.answered = status.map(|s| (s, SystemTime::now()));
    }
    log.line(format!(
        "{} {}?{} -> {} ({fault:?})",
        request.method,
        request.path,
        request.query,
        status.map_or("no answer".to_owned(), |s| s.to_string())
    ));
    reply
}

fn take_fault(rules: &mut [Rule], request: &Recorded) -> Fault {
    for rule in rules.iter_mut().rev() {
        if rule.left != Some(0) && (rule.applies)(request) {
            if let Some(left) = &mut rule.left {
                *left -= 1;
            }
            return rule.fault.clone();
        }
    }
    Fault::Pass
}

async fn forward(upstream: &Upstream, parts: Parts, body: Bytes) -> Reply {
    let target = parts.uri.path_and_query().map_or("/", |p| p.as_str());
    let mut headers = parts.headers;
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    let sent = upstream
        .client
        .request(parts.method, format!("{}{target}", upstream.url))
        .headers(headers)
        .body(body)
        .send()
        .await;
    match sent {
        Ok(answer) => {
            let (mut parts, body) = axum::http::Response::<reqwest::Body>::from(answer).into_parts();
            for name in HOP_BY_HOP {
                parts.headers.remove(name);
            }
            // The connection to the client is HTTP/1.1 whatever the one behind is.
            parts.version = axum::http::Version::HTTP_11;
            Reply::Answer(Response::from_parts(parts, Body::new(body)))
        }
        // What stands behind is down: so does the proxy seem to be.
        Err(_) => Reply::Close,
    }
}

async fn edited(reply: Reply, edit: &(dyn Fn(&mut Value) + Send + Sync)) -> Reply {
    let Reply::Answer(response) = reply else { return reply };
    let (parts, body) = response.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, usize::MAX).await else {
        return Reply::Close;
    };
    let Ok(mut value) = serde_json::from_slice(&bytes) else {
        return Reply::Answer(Response::from_parts(parts, Body::from(bytes)));
    };
    edit(&mut value);
    Reply::Answer(Response::from_parts(parts, Body::from(value.to_string())))
}

/// A fault proxy in front of a Prometheus.
pub struct PromProxy {
    proxy: FaultProxy,
}

impl PromProxy {
    /// Starts it in front of the Prometheus at this address.
    pub async fn start(world: &World, url: &str) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let upstream = Upstream { url: url.trim_end_matches('/').to_owned(), client };
        Ok(Self { proxy: FaultProxy::start(upstream, world.log("prometheus-proxy")?).await? })
    }
}

impl std::ops::Deref for PromProxy {
    type Target = FaultProxy;
    fn deref(&self) -> &FaultProxy {
        &self.proxy
    }
}
