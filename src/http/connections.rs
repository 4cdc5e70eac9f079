//! The connections: how many there may be, and how long each may take for what.
//!
//! `axum::serve` has no time-outs and no bound, so the connections are handed to hyper here. A new connection is never refused: where there
//! are too many, the oldest one of the client with the most of them is closed. So nobody can take up all the room, and a probe of the kubelet
//! or a scrape of Prometheus always gets in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, Id, JoinSet};

use super::limits::Limits;

/// How long to wait after a failed accept: the process has no file descriptor left, say, and trying at once would only burn a core.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// The address that a request comes from. Behind a proxy it is the proxy's: what a header says of addresses, anybody can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Client(pub IpAddr);

impl Client {
    /// What counts as one client: an address, or a network of IPv6 (/64), of which one machine has all addresses.
    pub fn key(self) -> IpAddr {
        match self.0.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
            v4 @ IpAddr::V4(_) => v4,
        }
    }
}

/// A connection that is open.
struct Open {
    id: Id,
    client: IpAddr,
    task: AbortHandle,
}

/// Serves for ever.
pub(super) async fn serve(listener: TcpListener, app: Router, limits: Limits) {
    let mut tasks = JoinSet::new();
    // The oldest first.
    let mut open: Vec<Open> = Vec::new();
    loop {
        tokio::select! {
            Some(ended) = tasks.join_next_with_id() => {
                let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                open.retain(|connection| connection.id != id);
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    let client = Client(from.ip());
                    let task = tasks.spawn(connection(stream, client, app.clone(), limits));
                    open.push(Open { id: task.id(), client: client.key(), task });
                    if open.len() > limits.connections {
                        open.remove(oldest_of_the_greediest(&open)).task.abort();
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "Cannot accept a connection");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }
}

/// Which connection to close.
fn oldest_of_the_greediest(open: &[Open]) -> usize {
    let mut counts: HashMap<IpAddr, usize> = HashMap::new();
    for connection in open {
        *counts.entry(connection.client).or_default() += 1;
    }
    let most = counts.values().copied().max().unwrap_or_default();
    open.iter().position(|connection| counts[&connection.client] == most).unwrap_or_default()
}

/// One connection, from its first request to its last.
async fn connection(stream: TcpStream, client: Client, app: Router, limits: Limits) {
    // Answers are small; they need not wait for more to be sent with them. Where that cannot be set, they are a little later.
    let _ = stream.set_nodelay(true);
    let app = TowerToHyperService::new(app);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(client);
        app.call(request)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        // It runs from the end of the answer before, too: an idle connection ends then.
        .header_read_timeout(limits.head_within)
        .max_buf_size(limits.head_bytes)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    // An error is the client's: it went away, was too slow, or wrote what is not HTTP.
    if tokio::time::timeout(limits.connection_ends_after, serving.as_mut()).await.is_err() {
        serving.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(limits.last_answer_within, serving).await;
    }
}
