//! A Postgres and a Redis of the cluster's own, where pods can reach them: the tests here restart and empty them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::postgres::Postgres;
use crate::support::from_bed;

const PASSWORD: &str = "of-the-test-bed";

/// Both servers. They end with the bed, which finds them by its mark in their environment.
pub struct Servers {
    home: tempfile::TempDir,
    host: String,
    postgres: Postgres,
    redis_port: u16,
}

impl Servers {
    pub fn start() -> Servers {
        let home = tempfile::Builder::new().prefix("cluster").tempdir().expect("a folder");
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o711)).expect("to be entered");
        let host = pod_side_host();
        let postgres = Postgres::start(&host);
        let servers = Servers { postgres, host, redis_port: free_port(), home };
        servers.start_redis();
        servers
    }

    pub fn postgres_url(&self) -> String {
        self.postgres.url()
    }

    pub fn redis_url(&self) -> String {
        format!("redis://default:{PASSWORD}@{}:{}/0", self.host, self.redis_port)
    }

    pub fn redis(&self, arguments: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-h", &self.host, "-p", &self.redis_port.to_string(), "--no-auth-warning", "-a", PASSWORD])
            .args(arguments)
            .output()
            .expect("redis-cli starts");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn start_redis(&self) {
        let folder = self.folder("redis");
        let port = self.redis_port.to_string();
        let mut command = Command::new("redis-server");
        command.args(["--bind", &self.host, "--port", &port, "--requirepass", PASSWORD, "--save", ""]);
        command.args(["--appendonly", "no", "--maxmemory-policy", "noeviction"]);
        launch(command.current_dir(&folder), &folder.join("log"));
        until("Redis answers", || self.redis(&["ping"]) == "PONG");
    }

    /// Ends Postgres at once, without a checkpoint, and starts it again.
    pub fn restart_postgres(&self) {
        self.postgres.restart();
    }

    fn folder(&self, name: &str) -> PathBuf {
        let folder = self.home.path().join(name);
        std::fs::create_dir(&folder).expect("a folder");
        folder
    }
}

/// The address of this machine that pods reach: the bed's own servers are there as well.
fn pod_side_host() -> String {
    let url = from_bed("RELAY_TEST_POD_REDIS_URL");
    let after = url.rsplit_once('@').map_or(url.as_str(), |(_, rest)| rest);
    after.rsplit_once(':').map_or(after, |(host, _)| host).to_owned()
}

pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}

/// Starts a server that ends with the bed.
pub fn launch(command: &mut Command, log: &Path) {
    let mut child = spawn(command, log);
    std::thread::spawn(move || child.wait());
}

/// Starts a program whose output goes to the end of a file.
pub fn spawn(command: &mut Command, log: &Path) -> Child {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(log).expect("a log");
    let errors = log.try_clone().expect("the same log");
    let child = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn();
    child.unwrap_or_else(|e| panic!("{command:?}: {e}"))
}

pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !so() {
        assert!(Instant::now() < end, "not within 30 s: {what}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}
