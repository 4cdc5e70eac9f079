//! What goes wrong with a request, as `application/problem+json` (RFC 9457).

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::ask::Denied;

/// The media type of a problem.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// The type of a problem that says no more than its status does.
const PLAIN: &str = "about:blank";

/// A problem: the body of every answer of the API whose status is 400 or above. In a box, because it is the rare end of many a function.
#[derive(Debug, Clone)]
pub(super) struct Problem(Box<Content>);

#[derive(Debug, Clone, Serialize)]
struct Content {
    /// Which problem, as a reference that stays the same; docs/api.md lists them.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The same for a person.
    title: &'static str,
    #[serde(serialize_with = "number")]
    status: StatusCode,
    /// What is wrong with this request, and what to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
    /// The incident that it is about, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    /// Who leads, where another replica does.
    #[serde(skip_serializing_if = "Option::is_none")]
    leader: Option<String>,
    /// After how many seconds to try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u64>,
}

fn number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    fn new(kind: &'static str, title: &'static str, status: StatusCode, detail: String) -> Self {
        Self(Box::new(Content { kind, title, status, detail, instance: None, leader: None, retry_after_seconds: None }))
    }

    /// One that HTTP has a name for already.
    pub fn plain(status: StatusCode, detail: String) -> Self {
        Self::new(PLAIN, status.canonical_reason().unwrap_or("Error"), status, detail)
    }

    /// The request says something that does not make sense.
    pub fn bad_request(detail: String) -> Self {
        Self::new("/problems/bad-request", "The request is not understood", StatusCode::BAD_REQUEST, detail)
    }

    /// There is no incident of this name, or it is not kept any more.
    pub fn no_incident(id: &str) -> Self {
        let detail = format!("there is no incident {id:?}, or it is not kept any more");
        Self::new("/problems/no-such-incident", "There is no such incident", StatusCode::NOT_FOUND, detail)
    }

    /// Somebody asks too often.
    pub fn too_many(detail: String, wait: Duration) -> Self {
        let status = StatusCode::TOO_MANY_REQUESTS;
        // Whole seconds, and never too early.
        let seconds = wait.as_secs() + 1;
        let mut problem = Self::new("/problems/too-many-requests", "Too many requests", status, detail);
        problem.0.retry_after_seconds = Some(seconds);
        problem
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// What is wrong, for a page.
    pub fn in_words(&self) -> String {
        let detail = &self.0.detail;
        match self.0.retry_after_seconds {
            Some(seconds) => format!("Nothing was done: {detail}. Try again in {seconds} s."),
            None => format!("No answer: {detail}. Look at the status before you try again."),
        }
    }

    /// The incident that it is about.
    pub fn about(mut self, incident: Option<String>) -> Self {
        self.0.instance = incident.map(|id| format!("/api/v1/incidents/{id}"));
        self
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        let (kind, title) = match &denied {
            Denied::ReadOnly => ("/problems/read-only", "Nobody may change anything here"),
            Denied::Unauthorized => ("/problems/unauthorized", "The token is missing or another"),
            Denied::CannotCheck => ("/problems/cannot-check-token", "The token cannot be checked"),
            Denied::NoGuard(_) => ("/problems/no-such-guard", "There is no such guard"),
            Denied::Ignored(_) => ("/problems/not-possible-now", "The guard's state has no room for this"),
            Denied::NotLeading { .. } => ("/problems/not-leading", "Another replica leads"),
            Denied::Stopping => ("/problems/stopping", "Ripcord is stopping"),
            Denied::Silent => ("/problems/no-answer", "Ripcord did not answer"),
        };
        let mut problem = Self::new(kind, title, denied.status(), denied.text());
        if let Denied::NotLeading { leader } = denied {
            problem.0.leader = leader;
        }
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_string(&self.0).expect("a problem is texts and numbers");
        let mut response = (self.0.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(seconds) = self.0.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        match self.0.kind {
            "/problems/unauthorized" => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            // The next try over a connection of its own may reach the leader.
            "/problems/not-leading" => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}
