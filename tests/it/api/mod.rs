//! The operator's HTTP side, over real connections on loopback.

mod backlog;
mod logs;
mod probes;
mod reader;
mod which;

use std::{net::SocketAddr, time::Duration};

use axum::Router;
use relay::api::serve::{Bounds, serve};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// Longest wait for anything here.
const SOON: Duration = Duration::from_secs(20);

/// A server that goes with the value.
struct Served {
    address: SocketAddr,
    stop: CancellationToken,
    work: JoinSet<()>,
}

impl Served {
    async fn new(routes: Router, bounds: Bounds) -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let stop = CancellationToken::new();
        let mut work = JoinSet::new();
        work.spawn(serve(listener, routes, bounds, stop.clone()));
        Served { address, stop, work }
    }

    /// A connection that has sent this.
    async fn sends(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.expect("it accepts");
        stream.write_all(text.as_bytes()).await.expect("sent");
        stream
    }

    /// The status and the body of an answer.
    async fn asks(&self, method: &str, path: &str) -> (u16, String) {
        let text = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        let answer = all(&mut self.sends(&text).await).await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        (status, body.to_owned())
    }

    async fn gets(&self, path: &str) -> (u16, String) {
        self.asks("GET", path).await
    }

    /// Tells it to end, and waits for that.
    async fn ends(mut self) {
        self.stop.cancel();
        soon(self.work.join_next()).await.expect("it was there").expect("it ended well");
    }
}

/// All that comes until the other side closes.
async fn all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    soon(stream.read_to_end(&mut bytes)).await.expect("read");
    String::from_utf8(bytes).expect("text")
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, what).await.expect("it comes soon")
}

#[tokio::test]
async fn a_connection_that_never_asks_is_closed() {
    let bounds = Bounds { head: Duration::from_millis(50), ..Bounds::default() };
    let served = Served::new(Router::new(), bounds).await;
    let mut stream = served.sends("GET / HT").await;
    all(&mut stream).await;
    served.ends().await;
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_for_their_turn() {
    let served = Served::new(Router::new(), Bounds { connections: 1, ..Bounds::default() }).await;
    let first = served.sends("GET / HT").await;
    let mut second = Box::pin(served.gets("/"));
    // The first one holds the only place until it goes.
    let early = tokio::time::timeout(Duration::from_millis(100), second.as_mut()).await;
    assert!(early.is_err(), "it was answered: {early:?}");
    drop(first);
    assert_eq!(soon(second.as_mut()).await.0, 404);
    drop(second);
    served.ends().await;
}
