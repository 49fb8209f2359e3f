//! What Prometheus is told: how the operator is. All labels are of closed lists.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::api::health::Health;

/// As OpenMetrics asks for.
const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a check is known by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    check: &'static str,
}

/// And the state that it is in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct In {
    check: &'static str,
    state: &'static str,
}

/// `GET /metrics`
pub(super) async fn of(State(health): State<Arc<Health>>) -> Response {
    let (good, state) = (Family::<Of, Gauge>::default(), Family::<In, Gauge>::default());
    for (check, now) in health.states() {
        let check = check.name();
        good.get_or_create(&Of { check }).set(i64::from(now.good));
        let word = if now.good { "good" } else { now.label.unwrap_or("bad") };
        state.get_or_create(&In { check, state: word }).set(1);
    }
    let mut registry = Registry::with_prefix("relay");
    registry.register("check_good", "1 when all is well with it, 0 otherwise", good);
    registry.register(
        "check_state",
        "1 for the state in which it is: good, bad, or a word for what is wrong",
        state,
    );
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => ([(header::CONTENT_TYPE, TYPE)], text).into_response(),
        // Writing to a String cannot fail.
        Err(std::fmt::Error) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
