//! A real HTTP receiver for webhooks and heartbeats.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::body::Bytes;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use futures::FutureExt;
use serde_json::Value;

use super::log::Log;
use super::server::{HttpServer, Reply};
use super::{World, eventually};

/// What it does with a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Behaviour {
    /// 200.
    Accept,
    /// This status, with `Retry-After` in seconds if one is given.
    Status(u16, Option<u64>),
    /// The call is taken and never answered.
    Hang,
    /// The call is taken and the connection closed: the sender cannot know.
    Close,
}

/// A call as it arrived, whatever became of it.
#[derive(Debug, Clone)]
pub struct Call {
    pub method: String,
    pub path: String,
    pub headers: HeaderMap,
    pub raw: Bytes,
    /// The body as JSON; null when it is none.
    pub body: Value,
    pub at: SystemTime,
    /// The status that it got; none when it hung or was cut.
    pub status: Option<u16>,
}

impl Call {
    /// A header's value, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// `event` of the generic format.
    pub fn event(&self) -> &str {
        self.body["event"].as_str().unwrap_or_default()
    }
}

/// Which calls are special, and what happens to them.
type Special = (Box<dyn Fn(&Value) -> bool + Send>, Behaviour);

struct State {
    behaviour: Behaviour,
    /// Behaviours of the next calls, which come before the lasting one.
    next: Vec<Behaviour>,
    /// What happens to calls with such a body, which comes before everything else.
    special: Option<Special>,
    calls: Vec<Call>,
    probes: Vec<Call>,
}

/// The receiver. It accepts until told otherwise.
pub struct Hook {
    state: Arc<Mutex<State>>,
    server: HttpServer,
}

impl Hook {
    /// Starts it.
    pub async fn start(world: &World) -> anyhow::Result<Self> {
        let log = world.log("hook")?;
        let state = Arc::new(Mutex::new(State {
            behaviour: Behaviour::Accept,
            next: Vec::new(),
            special: None,
            calls: Vec::new(),
            probes: Vec::new(),
        }));
        let shared = state.clone();
        let server = HttpServer::start(move |parts, body| {
            let reply = take(&shared, &log, parts, body);
            async move { reply }.boxed()
        })
        .await?;
        Ok(Self { state, server })
    }

    /// Its address with a path: `hook.url("/pages")`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// From now on.
    pub fn set(&self, behaviour: Behaviour) {
        self.lock().behaviour = behaviour;
    }

    /// For the next calls, one each; then as set.
    pub fn set_next(&self, behaviours: &[Behaviour]) {
        self.lock().next = behaviours.to_vec();
    }

    /// From now on, for calls with such a body; all others go on as set.
    pub fn set_for(&self, is: impl Fn(&Value) -> bool + Send + 'static, behaviour: Behaviour) {
        self.lock().special = Some((Box::new(is), behaviour));
    }

    /// All calls are alike again.
    pub fn set_for_none(&self) {
        self.lock().special = None;
    }

    /// The probes so far: requests that ask whether it is there and deliver nothing.
    pub fn probes(&self) -> Vec<Call> {
        self.lock().probes.clone()
    }

    /// All calls so far that deliver something.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// The calls so far that were accepted.
    pub fn accepted(&self) -> Vec<Call> {
        self.calls().into_iter().filter(|c| c.status == Some(200)).collect()
    }

    /// Waits until the calls so far satisfy a condition: `hook.wait_for(|calls| calls.iter().find(|c| c.event() == "page.firing").cloned(), …)`.
    pub async fn wait_for<T>(&self, find: impl Fn(&[Call]) -> Option<T>, timeout: Duration) -> anyhow::Result<T> {
        eventually(timeout, "the receiver has the calls", async || {
            let calls = self.calls();
            find(&calls).ok_or_else(|| {
                let seen: Vec<_> = calls.iter().map(|c| format!("{} {} {:?}", c.path, c.event(), c.status)).collect();
                format!("{} calls: {seen:?}", calls.len())
            })
        })
        .await
    }

    /// Waits for a call that was accepted and carries this event of the generic format.
    pub async fn wait_event(&self, event: &str, timeout: Duration) -> anyhow::Result<Call> {
        let is = |c: &&Call| c.status == Some(200) && c.event() == event;
        self.wait_for(|calls| calls.iter().find(is).cloned(), timeout).await
    }

    /// Stops listening and cuts all connections.
    pub fn gone(&self) {
        self.server.gone();
    }

    /// Listens again on the same port.
    pub async fn back(&self) -> anyhow::Result<()> {
        self.server.back().await
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }
}

fn take(state: &Mutex<State>, log: &Log, parts: Parts, raw: Bytes) -> Reply {
    let mut state = state.lock().expect("no holder panics");
    let body: Value = serde_json::from_slice(&raw).unwrap_or_default();
    let behaviour = match &state.special {
        Some((is, behaviour)) if is(&body) => behaviour.clone(),
        // A probe is no delivery: it takes away nothing that is meant for the next one.
        _ if state.next.is_empty() || parts.method == Method::OPTIONS => state.behaviour.clone(),
        _ => state.next.remove(0),
    };
    let (reply, status) = match behaviour {
        Behaviour::Accept => (Reply::text(200, "ok"), Some(200)),
        Behaviour::Status(status, retry_after) => {
            let mut reply = Reply::text(status, "as told by the story");
            if let (Reply::Answer(response), Some(seconds)) = (&mut reply, retry_after) {
                response.headers_mut().insert("retry-after", seconds.into());
            }
            (reply, Some(status))
        }
        Behaviour::Hang => (Reply::Hang, None),
        Behaviour::Close => (Reply::Close, None),
    };
    log.line(format!("{} {} -> {status:?} {}", parts.method, parts.uri.path(), String::from_utf8_lossy(&raw)));
    let is_probe = parts.method == Method::OPTIONS;
    let call = Call {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        headers: parts.headers,
        body,
        raw,
        at: SystemTime::now(),
        status,
    };
    if is_probe {
        state.probes.push(call);
    } else {
        state.calls.push(call);
    }
    reply
}
