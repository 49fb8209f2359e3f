//! `relay operator` as a process: what it refuses, what it waits for, who leads. Its cluster does not answer here; with
//! one, tests/it/cluster has it.

mod fenced;
mod leaders;
mod start;

use std::process::Command;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Program, relay};

/// Longest wait for anything here.
const SOON: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// A cluster that nobody answers for.
const KUBECONFIG: &str = "
apiVersion: v1
kind: Config
clusters: [{name: none, cluster: {server: 'http://127.0.0.1:9'}}]
users: [{name: nobody, user: {}}]
contexts: [{name: none, context: {cluster: none, user: nobody}}]
current-context: none
";

/// An operator that may be started, with ports and a kubeconfig of its own.
struct Desk {
    folder: tempfile::TempDir,
    probes: u16,
    api: u16,
}

impl Desk {
    fn new() -> Desk {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("kubeconfig"), KUBECONFIG).expect("written");
        Desk { folder, probes: free_port(), api: free_port() }
    }

    /// `relay operator` but for its database.
    fn operator(&self) -> Command {
        let mut command = relay();
        command.env("KUBECONFIG", self.folder.path().join("kubeconfig"));
        command.args(["operator", "--image", "relay:test", "--log-format", "text"]);
        command.arg(format!("--listen=127.0.0.1:{}", self.probes));
        command.arg(format!("--api-listen=127.0.0.1:{}", self.api));
        command
    }

    /// With a database and a Redis.
    fn at(&self, database: &str, redis: &str) -> Program {
        Program::start(self.operator().args(["--database-url", database, "--redis-url", redis]))
    }

    /// What a probe is told now; none when nobody answers.
    async fn told(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.probes)).await.ok()?;
        let ask = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        stream.write_all(ask.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        Some((status, answer))
    }

    /// Waits until a probe is told this.
    async fn until(&self, path: &str, words: &str) -> (u16, String) {
        let mut last = None;
        let asked = async {
            let mut looks = tokio::time::interval(LOOK);
            loop {
                looks.tick().await;
                last = self.told(path).await;
                if let Some((_, text)) = &last
                    && text.contains(words)
                {
                    return;
                }
            }
        };
        let in_time = tokio::time::timeout(SOON, asked).await;
        assert!(in_time.is_ok(), "{path} does not tell {words:?} within {SOON:?} but {last:?}");
        last.expect("it was told")
    }
}

/// A port that is free now.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}
