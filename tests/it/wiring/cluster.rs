//! As much of an API server as an operator needs to lead: it tells the cluster's id, and nothing else.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use axum::{Json, Router, http::StatusCode, routing::get};
use serde_json::json;
use tokio::{net::TcpListener, runtime, sync::oneshot};

/// It ends with the value.
pub(super) struct Cluster {
    pub(super) address: SocketAddr,
    id: Arc<Mutex<Option<String>>>,
    stop: Option<oneshot::Sender<()>>,
    /// A thread of its own: tests wait for processes without giving way.
    thread: Option<JoinHandle<()>>,
}

impl Cluster {
    /// One of this id; without, it does not tell any yet.
    pub(super) fn new(id: Option<&str>) -> Cluster {
        let id = Arc::new(Mutex::new(id.map(str::to_owned)));
        let (stop, stopped) = oneshot::channel();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("set");
        let address = listener.local_addr().expect("bound");
        let told = id.clone();
        let namespace = move || async move {
            match &*told.lock().expect("whole") {
                Some(uid) => {
                    let metadata = json!({"name": "kube-system", "uid": uid});
                    Ok(Json(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})))
                }
                None => Err(StatusCode::SERVICE_UNAVAILABLE),
            }
        };
        let routes = Router::new()
            .route("/api/v1/namespaces/kube-system", get(namespace))
            .fallback(async || StatusCode::SERVICE_UNAVAILABLE);
        let thread = std::thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("the same port");
                tokio::select! {
                    served = axum::serve(listener, routes).into_future() => served.expect("it serves"),
                    _ = stopped => {}
                }
            });
        });
        Cluster { address, id, stop: Some(stop), thread: Some(thread) }
    }

    /// From now on it tells this id.
    pub(super) fn tells(&self, id: &str) {
        *self.id.lock().expect("whole") = Some(id.to_owned());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
