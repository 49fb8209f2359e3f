//! A Postgres and a Redis of the cluster's own, where pods can reach them: the tests here restart and empty them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{free_port, from_bed, own, postgres_program};

/// How long a server may take to be there, on a machine that others use as well.
const SOON: Duration = Duration::from_secs(120);

const PASSWORD: &str = "of-the-test-bed";

/// Both servers. They end with the bed, which finds them by its mark in their environment.
pub struct Servers {
    home: tempfile::TempDir,
    host: String,
    postgres_port: u16,
    redis_port: u16,
}

impl Servers {
    pub fn start() -> Servers {
        let home = tempfile::Builder::new().prefix("cluster").tempdir().expect("a folder");
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o711)).expect("to be entered");
        let servers =
            Servers { host: pod_side_host(), postgres_port: free_port(), redis_port: free_port(), home };
        servers.start_redis();
        servers.init_postgres();
        servers.start_postgres();
        servers
    }

    pub fn postgres_url(&self) -> String {
        format!("postgres://postgres:{PASSWORD}@{}:{}/postgres", self.host, self.postgres_port)
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

    fn init_postgres(&self) {
        let folder = self.folder("postgres");
        std::fs::write(folder.join("password"), PASSWORD).expect("a password file");
        own(&folder);
        let mut init = postgres_program(&folder, "initdb");
        init.args(["--pgdata=data", "--username=postgres", "--pwfile=password", "--auth=scram-sha-256"]);
        init.args(["--encoding=UTF8", "--locale=C", "--no-sync"]);
        let output = init.output().expect("initdb starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // Pods come by addresses of their own.
        let open = "host all all 0.0.0.0/0 scram-sha-256\n";
        std::fs::write(folder.join("data/pg_hba.conf"), open).expect("who may come");
    }

    fn start_postgres(&self) {
        let folder = self.home.path().join("postgres");
        let mut command = postgres_program(&folder, "postgres");
        command.args(["-D", "data", "-c", "unix_socket_directories=", "-c", "max_connections=200"]);
        command.arg("-c").arg(format!("listen_addresses={}", self.host));
        command.arg("-c").arg(format!("port={}", self.postgres_port));
        command.args(["-c", "dynamic_shared_memory_type=mmap", "-c", "timezone=UTC"]);
        launch(&mut command, &folder.join("log"));
        let (host, port) = (self.host.clone(), self.postgres_port.to_string());
        let ready = || {
            let mut ask = postgres_program(&folder, "pg_isready");
            ask.args(["-q", "-h", &host, "-p", &port]).status().is_ok_and(|s| s.success())
        };
        until("Postgres answers", ready);
    }

    /// Ends Postgres at once, without a checkpoint, and starts it again.
    pub fn restart_postgres(&self) {
        let folder = self.home.path().join("postgres");
        let mut stop = postgres_program(&folder, "pg_ctl");
        let status = stop.args(["stop", "-D", "data", "-m", "immediate"]).stdout(Stdio::null()).status();
        assert!(status.expect("pg_ctl starts").success());
        self.start_postgres();
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

/// Waits until a server is so.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !so() {
        assert!(Instant::now() < end, "not within {SOON:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}
