//! The server over real sockets, with an event loop that is played.
//!
//! - `answers`: what is answered, and how problems look
//! - `document`: the OpenAPI document against the server
//! - `limited`: what there is too much of
//! - `page`: the status page, without a browser

mod answers;
mod document;
mod limited;
mod page;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};

use super::limits::Limits;
use super::{Refusal, Request, Server, Snapshot};
use crate::config::{self, LoadOptions, SecretFile};
use crate::engine::{Command, Engine, Input, Settings};
use crate::telemetry::Metrics;

/// The token of every bench.
const TOKEN: &str = "open-sesame";

/// There can be one in a process.
fn metrics() -> Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(|| Metrics::start().expect("nothing else starts them in this process")).clone()
}

/// A server, its snapshot, and an event loop that answers as it is told.
struct Bench {
    address: SocketAddr,
    snapshot: watch::Sender<Snapshot>,
    token: PathBuf,
    http: Client,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn start(limits: Limits) -> Self {
        Self::start_with(limits, |_| Ok(Some("terminal-20260102T030405Z".to_owned()))).await
    }

    async fn start_with(
        limits: Limits,
        decide: impl Fn(&Command) -> Result<Option<String>, Refusal> + Send + 'static,
    ) -> Self {
        Self::start_asked(limits, move |Request { command, answer, .. }| {
            // Who asked may be gone.
            let _ = answer.send(decide(&command));
        })
        .await
    }

    async fn start_asked(limits: Limits, take: impl Fn(Request) + Send + 'static) -> Self {
        // There can be one in a process, and another test may have come first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, TOKEN).unwrap();
        let (snapshot, snapshots) = watch::channel(shown(&token));
        let (requests, mut asked) = mpsc::channel::<Request>(8);
        tokio::spawn(async move {
            while let Some(request) = asked.recv().await {
                take(request);
            }
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (curves, now) = (super::Curves::default(), Arc::new(jiff::Timestamp::now));
        let server = Server { snapshots, curves, metrics: metrics(), requests, now };
        tokio::spawn(super::serve_within(listener, server, limits));
        let http = Client::builder().no_proxy().build().unwrap();
        Self { address, snapshot, token, http, _folder: folder }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A request of the API, without the token.
    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.url(path))
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.ask(Method::GET, path)
    }

    /// A request with the token.
    fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.ask(Method::POST, path).bearer_auth(TOKEN).json(body)
    }

    /// A connection, from an address of the loopback network.
    async fn connect(&self, from: Ipv4Addr) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(IpAddr::V4(from), 0)).unwrap();
        socket.connect(self.address).await.unwrap()
    }
}

/// The state of a daemon with the guards of the preset; the first of them is being rolled back, the second was.
fn shown(token: &std::path::Path) -> Snapshot {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/ripcord.yaml");
    let settings = config::load(&[file], Vec::new(), LoadOptions { syntax_only: true }).expect("the preset");
    let guards = settings.guards.into_iter().map(|guard| guard.engine).collect();
    let (interval, blind_after) = (Duration::from_secs(10), Duration::from_secs(120));
    let mut engine =
        Engine::new(Settings { interval, blind_after, live_for: interval, dry_run: false, guards, chinese: false });
    let now: jiff::Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    for guard in ["db-adminer", "resources"] {
        let command = Command::Rollback { reason: "users complain".to_owned(), percentage: None, once: false };
        engine.handle(Input::Command { guard: guard.to_owned(), command }, now);
    }
    Snapshot {
        version: crate::VERSION,
        leads: true,
        last_tick: Some(jiff::Timestamp::now()),
        token_file: Some(SecretFile(token.to_owned())),
        guards: engine.status(),
        incidents: engine.incidents(),
        interval,
        ..Snapshot::default()
    }
}

/// What is sent back on a connection until it is closed; an error that it ends with is as good as an end.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Sends as much as is taken.
async fn send(stream: &mut TcpStream, text: &str) {
    let _ = stream.write_all(text.as_bytes()).await;
}
