//! An HTTP/1.1 server with bounds: so many connections, so long for a request's head, and an end in order.

use std::{io, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// Bounds of a server.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections at a time; further ones wait to be accepted.
    pub connections: usize,
    /// Longest wait for the head of a request, also on a connection that is kept open.
    pub head: Duration,
    /// When it is told to end: how long requests under way may still take.
    pub farewell: Duration,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { connections: 256, head: Duration::from_secs(10), farewell: Duration::from_secs(2) }
    }
}

/// Wait after an accept that failed for want of file descriptors or memory.
const BREATH: Duration = Duration::from_millis(200);

/// Answers until `stop`. Every connection is over when it returns.
pub async fn serve(listener: TcpListener, app: Router, bounds: Bounds, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        let room = connections.len() < bounds.connections;
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if room => match accepted {
                Ok((stream, _)) => drop(connections.spawn(connection(stream, app.clone(), bounds, stop.clone()))),
                Err(e) => rest_after(&e).await,
            },
        }
    }
    drop(listener);
    let end = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(bounds.farewell, end).await.is_err() {
        connections.shutdown().await;
    }
}

/// A client that gave up between its knock and the door is no trouble; other errors would come again at once.
async fn rest_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::warn!(%error, "A connection could not be accepted");
        tokio::time::sleep(BREATH).await;
    }
}

async fn connection(stream: TcpStream, app: Router, bounds: Bounds, stop: CancellationToken) {
    // Lines of a log are small and should not wait for each other. It works without, only slower.
    let _ = stream.set_nodelay(true);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    let mut served = std::pin::pin!(served);
    let ended = tokio::select! {
        biased;
        ended = served.as_mut() => ended,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "A connection broke");
    }
}
