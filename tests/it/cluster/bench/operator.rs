//! The operator's process: its start, its end in order, and what the kernel says of it.

use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::cluster::servers::spawn;
use crate::support::free_port;

/// The kernel counts processor time in hundredths of a second for whoever reads it.
const TICK: f64 = 0.01;
/// Between two looks at a probe.
const LOOK: Duration = Duration::from_millis(5);
/// How long it may take to be ready.
const SOON: Duration = Duration::from_secs(120);

/// The process, which is killed with the value.
pub struct Operator {
    command: Command,
    log: PathBuf,
    probes: u16,
    child: Child,
}

impl Operator {
    /// By this command, but for where its probes are answered.
    pub fn start(mut command: Command, log: PathBuf) -> Operator {
        let probes = free_port();
        command.arg(format!("--listen=127.0.0.1:{probes}"));
        let child = spawn(&mut command, &log);
        Operator { command, log, probes, child }
    }

    /// Ends it in order.
    pub fn end(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it is there");
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "it ends in order: {status}");
    }

    /// Starts it once more.
    pub fn start_again(&mut self) {
        self.child = spawn(&mut self.command, &self.log);
    }

    /// Waits until it says that it is ready.
    pub async fn ready(&self) {
        let asking = async {
            let mut looks = tokio::time::interval(LOOK);
            loop {
                looks.tick().await;
                if self.is_ready().await == Some(true) {
                    return;
                }
            }
        };
        tokio::time::timeout(SOON, asking).await.expect("it is ready in time");
    }

    /// None when it does not answer.
    async fn is_ready(&self) -> Option<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.probes)).await.ok()?;
        let ask = b"GET /readyz HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n";
        stream.write_all(ask).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer.split(' ').nth(1)? == "200")
    }

    /// Its memory now, and the most that it ever was, in megabytes.
    pub fn memory(&self) -> (f64, f64) {
        let status = self.look("status");
        let megabytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
            kilobytes.expect("the kernel tells it") * 1_024.0 / 1e6
        };
        (megabytes("VmRSS:"), megabytes("VmHWM:"))
    }

    /// The processor time that it has taken, of all its threads.
    pub fn worked(&self) -> Duration {
        let stat = self.look("stat");
        // Its name may hold anything, and ends with the last parenthesis; user and system time are the 14th and 15th word.
        let words: Vec<&str> = stat.rsplit(')').next().expect("words").split_whitespace().collect();
        let ticks = |place: usize| words[place].parse::<f64>().expect("a count");
        Duration::from_secs_f64((ticks(11) + ticks(12)) * TICK)
    }

    fn look(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).expect("it runs")
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // It may have ended by itself, and a panic may be under way.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
