//! The operator's HTTP side: probes for the kubelet, and the logs of runs for people.
//!
//! Two listeners. The probes answer to everybody and tell nothing but states. The API listens on loopback alone and asks
//! nobody who they are: whoever may forward a port to the operator's pod may read logs, and why a check fails, and nobody
//! else comes there.
//!
//! Everything has a bound: connections, readers, bytes in memory for a reader, the wait for one that does not read.
//! The store is the truth for a reader of logs; the feed is only the bell that says when to look again. So nothing is
//! missed and nothing told twice, whatever the feed drops, and a process that does not lead gives the same answers.

pub mod answer;
pub mod health;
pub mod logs;
mod metrics;
pub mod probes;
pub mod serve;
pub mod shapes;

use std::sync::{Arc, OnceLock};

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::api::health::Health;
use crate::clock::Clock;
use crate::feed::Feed;
use crate::store::Store;

/// What the API is made of.
#[derive(Clone)]
pub struct Params {
    /// Runs and their logs.
    pub store: Arc<dyn Store>,
    /// Says when there is something new.
    pub feed: Arc<dyn Feed>,
    /// The time.
    pub clock: Clock,
    /// Says when lines that were written are in the store.
    pub settled: logs::Settled,
    /// Bounds.
    pub limits: logs::Limits,
    /// Ends what is under way.
    pub stop: CancellationToken,
    /// What is under way; whoever ends the API waits for it.
    pub tasks: TaskTracker,
}

/// What the API listener answers. It is there before the store is.
pub struct Api {
    health: Arc<Health>,
    desk: OnceLock<logs::Desk>,
}

impl Api {
    /// It tells how the operator is, and nothing of runs yet.
    pub fn new(health: Arc<Health>) -> Api {
        Api { health, desk: OnceLock::new() }
    }

    /// From now on logs are answered as well. Said again, it changes nothing.
    pub fn open(&self, params: Params) {
        self.desk.get_or_init(|| logs::Desk::new(params));
    }
}

/// The routes of the API listener.
pub fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/api/v1/namespaces/{namespace}/runs/{name}/logs", get(logs::of_run))
        .route("/health", get(report))
        .fallback(answer::no_such_path)
        .method_not_allowed_fallback(answer::only_get)
        .with_state(api)
}

async fn report(State(api): State<Arc<Api>>) -> Response {
    let report = api.health.report();
    (probes::status(report.summary.is_well()), Json(report)).into_response()
}
