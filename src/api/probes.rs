//! What a kubelet and a monitor ask: `/livez`, `/readyz`, `/health`, `/metrics`. They are told states; the reasons are told on loopback.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};

use crate::api::{answer, health::Health, metrics};

/// The routes of the probe listener.
pub fn router(health: Arc<Health>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/health", get(summary))
        .route("/metrics", get(metrics::of))
        .fallback(answer::no_such_path)
        .method_not_allowed_fallback(answer::only_get)
        .with_state(health)
}

pub(super) fn status(good: bool) -> StatusCode {
    if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

async fn livez(State(health): State<Arc<Health>>) -> Response {
    let lives = health.lives();
    (status(lives), if lives { "ok\n" } else { "the event loop stands still\n" }).into_response()
}

async fn readyz(State(health): State<Arc<Health>>) -> Response {
    let (ready, text) = health.readiness();
    (status(ready), text).into_response()
}

async fn summary(State(health): State<Arc<Health>>) -> Response {
    let summary = health.summary();
    (status(summary.is_well()), Json(summary)).into_response()
}
