//! The simulated Kubernetes API: what Ripcord uses of it.
//!
//! - `objects`: the objects, their versions, and what the controllers would make of a change
//! - `merge`: the two kinds of patches
//!
//! An object is kept under the path of its address.

mod merge;
mod objects;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use serde_json::{Value, json};

pub use objects::{Objects, deployment_path, share};

use merge::Kind;

/// Why a request was not carried out, as the API server says it.
#[derive(Debug, Clone, PartialEq)]
struct Refusal {
    code: StatusCode,
    reason: &'static str,
    message: String,
}

/// The server.
pub fn app(objects: Arc<Objects>) -> Router {
    Router::new().fallback(handle).with_state(objects)
}

async fn handle(
    State(objects): State<Arc<Objects>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let path = uri.path();
    let result = match method.as_str() {
        "GET" => objects.get(path).map(|object| {
            if header(header::ACCEPT).contains("as=PartialObjectMetadata") { metadata_only(&object) } else { object }
        }),
        "PATCH" => {
            let dry_run = uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "dryRun=All"));
            patch(&objects, path, header(header::CONTENT_TYPE), &body, dry_run)
        }
        "POST" if path.starts_with("/apis/events.k8s.io/v1/") && path.ends_with("/events") => parsed(&body),
        _ => Err(Refusal {
            code: StatusCode::METHOD_NOT_ALLOWED,
            reason: "MethodNotAllowed",
            message: format!("the simulated cluster knows no {method} {path}"),
        }),
    };
    match result {
        Ok(object) if method == Method::POST => (StatusCode::CREATED, Json(object)).into_response(),
        Ok(object) => Json(object).into_response(),
        Err(Refusal { code, reason, message }) => {
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": message, "reason": reason, "code": code.as_u16(),
            });
            (code, Json(status)).into_response()
        }
    }
}

fn patch(objects: &Objects, path: &str, media_type: &str, body: &str, dry_run: bool) -> Result<Value, Refusal> {
    let kind = match media_type {
        "application/strategic-merge-patch+json" => Kind::Strategic,
        "application/merge-patch+json" => Kind::Json,
        other => {
            return Err(Refusal {
                code: StatusCode::UNSUPPORTED_MEDIA_TYPE,
                reason: "UnsupportedMediaType",
                message: format!("the simulated cluster knows no patch of type {other:?}"),
            });
        }
    };
    objects.patch(path, kind, &parsed(body)?, dry_run)
}

fn parsed(body: &str) -> Result<Value, Refusal> {
    serde_json::from_str(body).map_err(|error| Refusal {
        code: StatusCode::BAD_REQUEST,
        reason: "BadRequest",
        message: format!("the body is no JSON: {error}"),
    })
}

fn metadata_only(object: &Value) -> Value {
    json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": object["metadata"]})
}
