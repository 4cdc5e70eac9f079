//! What stands between Ripcord and the API server: it passes everything on, and does to it what a real server cannot be
//! made to do.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use axum::http::{Method, Response};
use futures::future::BoxFuture;
use kube::{Client, Config};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What is done to one request.
pub enum Fate {
    Pass,
    /// It is answered never.
    Hang,
    /// It is answered without asking the API server.
    Answer(u16, String),
    /// It is passed on, and before the answer goes back something else happens.
    PassThen(BoxFuture<'static, ()>),
}

/// Decides on a request by its method and how many of that method came before it.
type Judge = dyn Fn(Method, usize) -> BoxFuture<'static, Fate> + Send + Sync;

struct Shared {
    api: Client,
    judge: Box<Judge>,
    patches: AtomicUsize,
    others: AtomicUsize,
}

/// A front whose requests meet the fate that `judge` finds for them. It talks to the API server as the user of `api`.
pub async fn front<F>(api: &Client, judge: F) -> Config
where
    F: Fn(Method, usize) -> BoxFuture<'static, Fate> + Send + Sync + 'static,
{
    let (patches, others) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let shared = Arc::new(Shared { api: api.clone(), judge: Box::new(judge), patches, others });
    let app = Router::new().fallback(pass).with_state(shared);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let config = config_of(listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    config
}

pub fn config_of(address: SocketAddr) -> Config {
    Config::new(format!("http://{address}").parse().expect("an address"))
}

async fn pass(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let counter = if request.method() == Method::PATCH { &shared.patches } else { &shared.others };
    let count = counter.fetch_add(1, Ordering::SeqCst);
    let then = match (shared.judge)(request.method().clone(), count).await {
        Fate::Pass => None,
        Fate::Hang => std::future::pending().await,
        Fate::Answer(status, text) => {
            return Response::builder().status(status).body(Body::from(text)).expect("a response");
        }
        Fate::PassThen(then) => Some(then),
    };
    let (mut parts, body) = request.into_parts();
    parts.headers.remove(HOST);
    let body = to_bytes(body, usize::MAX).await.expect("a whole request").to_vec();
    let answer = shared.api.send(Request::from_parts(parts, body.into())).await.expect("an answer of the API server");
    if let Some(then) = then {
        then.await;
    }
    let (mut parts, body) = answer.into_parts();
    parts.headers.remove(CONNECTION);
    parts.headers.remove(TRANSFER_ENCODING);
    Response::from_parts(parts, Body::new(body))
}

/// A way to a server whose connections can go dead: they stay open and carry nothing more. New ones work.
pub struct Wire {
    pub address: SocketAddr,
    dead: watch::Sender<u64>,
    opened: Arc<Mutex<u64>>,
}

impl Wire {
    pub async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (dead, watched) = watch::channel(0u64);
        let opened = Arc::new(Mutex::new(0));
        let count = opened.clone();
        tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let number = {
                    let mut count = count.lock().expect("the count");
                    *count += 1;
                    *count
                };
                let (server, mut watched) = (server.clone(), watched.clone());
                tokio::spawn(async move {
                    let mut to = TcpStream::connect(server).await.expect("the server");
                    let until_cut = async { drop(watched.wait_for(|dead| *dead >= number).await) };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut from, &mut to) => {}
                        () = until_cut => std::future::pending().await,
                    }
                });
            }
        });
        Self { address, dead, opened }
    }

    /// Lets every connection so far go dead, and says how many there were.
    pub fn cut(&self) -> u64 {
        let opened = *self.opened.lock().expect("the count");
        self.dead.send_replace(opened);
        opened
    }
}
