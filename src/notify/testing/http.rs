//! A real HTTP server that answers as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;

/// One answer.
pub(in crate::notify) enum Answer {
    /// A status, headers and a body.
    Say(u16, Vec<(&'static str, String)>, String),
    /// None, ever.
    Hang,
}

impl Answer {
    pub(in crate::notify) fn status(status: u16) -> Self {
        Self::Say(status, vec![], String::new())
    }
}

/// A request that came in.
#[derive(Clone)]
pub(in crate::notify) struct Request {
    pub(in crate::notify) method: Method,
    pub(in crate::notify) uri: Uri,
    pub(in crate::notify) headers: HeaderMap,
    pub(in crate::notify) body: Bytes,
}

impl Request {
    pub(in crate::notify) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

#[derive(Clone, Default)]
struct Shared {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    requests: Arc<Mutex<Vec<Request>>>,
}

/// A server on a free port. It gives the answers in their order, and 200 after the last.
pub(in crate::notify) struct Server {
    pub(in crate::notify) port: u16,
    shared: Shared,
}

impl Server {
    pub(in crate::notify) async fn start(answers: Vec<Answer>) -> Self {
        Self::start_after(answers, 0).await
    }

    /// One that closes so many connections before it answers any.
    pub(in crate::notify) async fn start_after(answers: Vec<Answer>, closed: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Shared { answers: Arc::new(Mutex::new(answers.into())), ..Shared::default() };
        let app = Router::new().fallback(answer).with_state(shared.clone());
        tokio::spawn(async move {
            for _ in 0..closed {
                drop(listener.accept().await.unwrap());
            }
            axum::serve(listener, app).await.unwrap();
        });
        Self { port, shared }
    }

    pub(in crate::notify) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }
}

async fn answer(State(shared): State<Shared>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    shared.requests.lock().unwrap().push(Request { method, uri, headers, body });
    let answer = shared.answers.lock().unwrap().pop_front();
    match answer {
        None => StatusCode::OK.into_response(),
        Some(Answer::Hang) => std::future::pending().await,
        Some(Answer::Say(status, headers, body)) => {
            let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
    }
}
