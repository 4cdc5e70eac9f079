//! An HTTP server whose handler can also refuse to be one: close the connection, or never answer.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use anyhow::Context;
use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{Request, Response, StatusCode};
use futures::future::BoxFuture;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::ports;

/// What a handler does with a request.
pub enum Reply {
    Answer(Response<Body>),
    /// Close the connection without a word.
    Close,
    /// Say nothing for as long as the client keeps the connection.
    Hang,
}

impl Reply {
    /// An answer with a text. The version is that of Prometheus' text format and means nothing to others.
    pub fn text(status: u16, body: impl Into<Body>) -> Self {
        Self::with_type(status, "text/plain; version=0.0.4; charset=utf-8", body)
    }

    /// An answer with JSON.
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::with_type(status, "application/json", body.to_string())
    }

    /// An answer with a page for a browser.
    pub fn html(body: impl Into<Body>) -> Self {
        Self::with_type(200, "text/html; charset=utf-8", body)
    }

    fn with_type(status: u16, content_type: &str, body: impl Into<Body>) -> Self {
        let mut response = Response::new(body.into());
        *response.status_mut() = StatusCode::from_u16(status).expect("a status a test made up is one");
        response.headers_mut().insert("content-type", content_type.parse().expect("a valid header"));
        Self::Answer(response)
    }
}

type Handler = dyn Fn(Parts, Bytes) -> BoxFuture<'static, Reply> + Send + Sync;

/// A server on a port of its own. Dropping it closes the port and all connections.
pub struct HttpServer {
    address: SocketAddr,
    handler: Arc<Handler>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl HttpServer {
    /// Starts it.
    pub async fn start(
        handler: impl Fn(Parts, Bytes) -> BoxFuture<'static, Reply> + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
        let server = Self { address, handler: Arc::new(handler), task: Mutex::new(None) };
        server.back().await?;
        Ok(server)
    }

    /// Where it listens, also while it is gone.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening and cuts all connections.
    pub fn gone(&self) {
        if let Some(task) = self.task.lock().expect("no holder panics").take() {
            task.abort();
        }
    }

    /// Listens again on the same port.
    pub async fn back(&self) -> anyhow::Result<()> {
        self.gone();
        // An aborted task lets go of its port at its next turn, which may be a moment later.
        let listener = super::eventually(std::time::Duration::from_secs(5), "the port is free", async || {
            TcpListener::bind(self.address).await
        })
        .await
        .with_context(|| format!("Listening on {}", self.address))?;
        let task = tokio::spawn(accept(listener, self.handler.clone()));
        *self.task.lock().expect("no holder panics") = Some(task);
        Ok(())
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.gone();
    }
}

async fn accept(listener: TcpListener, handler: Arc<Handler>) {
    // Dropped with the task, and the connections with it.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if let Ok((stream, _)) = listener.accept().await {
            connections.spawn(serve(stream, handler.clone()));
        }
    }
}

async fn serve(stream: TcpStream, handler: Arc<Handler>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let handler = handler.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(Body::new(body), usize::MAX).await.map_err(|_| Cut)?;
            match handler(parts, body).await {
                Reply::Answer(response) => Ok::<_, Cut>(response),
                Reply::Close => Err(Cut),
                Reply::Hang => match std::future::pending::<Infallible>().await {},
            }
        }
    });
    // An error here is a connection that was cut, on purpose or by the client.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// Makes hyper drop the connection.
#[derive(Debug, thiserror::Error)]
#[error("the connection is to be cut")]
struct Cut;
