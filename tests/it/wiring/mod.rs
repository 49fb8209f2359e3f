//! `relay operator` as a process: what it refuses, what it waits for, who leads. Its cluster tells its id here at most;
//! with a whole one, tests/it/cluster has it.

mod cluster;
mod fenced;
mod leaders;
mod parts;
mod stage;
mod start;

use std::process::Command;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Program, free_port, relay};
use cluster::Cluster;

/// Longest wait for anything here.
const SOON: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// An operator that may be started, with ports and a kubeconfig of its own.
struct Desk {
    folder: tempfile::TempDir,
    probes: u16,
    api: u16,
}

impl Desk {
    /// For a cluster that does not answer.
    fn new() -> Desk {
        Desk::at_server("127.0.0.1:9")
    }

    fn of(cluster: &Cluster) -> Desk {
        Desk::at_server(&cluster.address.to_string())
    }

    fn at_server(address: &str) -> Desk {
        let folder = tempfile::tempdir().expect("a folder");
        let config = format!(
            "{{apiVersion: v1, kind: Config, current-context: c, users: [{{name: u, user: {{}}}}], \
             clusters: [{{name: c, cluster: {{server: 'http://{address}'}}}}], \
             contexts: [{{name: c, context: {{cluster: c, user: u}}}}]}}"
        );
        std::fs::write(folder.path().join("kubeconfig"), config).expect("written");
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

    /// What a probe is told now, or who asks on loopback; none when nobody answers.
    async fn told(&self, port: u16, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        let ask = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        stream.write_all(ask.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        Some((status, answer))
    }

    /// Waits until a probe is told this.
    async fn until(&self, path: &str, words: &str) -> (u16, String) {
        self.until_at(self.probes, path, words).await
    }

    /// Waits until it gives this as the reason for the state of a check; gives what a probe is told then.
    async fn until_why(&self, words: &str) -> (u16, String) {
        self.until_at(self.api, "/health", words).await;
        self.told(self.probes, "/readyz").await.expect("probes are answered")
    }

    async fn until_at(&self, port: u16, path: &str, words: &str) -> (u16, String) {
        let mut last = None;
        let asked = async {
            let mut looks = tokio::time::interval(LOOK);
            loop {
                looks.tick().await;
                last = self.told(port, path).await;
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
