//! `GET /api/v1/openapi.json`: the description of the API, as OpenAPI 3.1. It is written by hand in `openapi.yaml`; tests hold it against the
//! server and its answers.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::IntoResponse;

/// The document, as people read it.
const YAML: &str = include_str!("openapi.yaml");

/// The same for programs.
static JSON: LazyLock<String> = LazyLock::new(|| {
    let mut document: serde_json::Value = serde_saphyr::from_str(YAML).expect("a test reads it");
    document["info"]["version"] = crate::VERSION.into();
    document.to_string()
});

/// The document.
pub async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], JSON.as_str())
}
