//! A Postgres of a test's own, to be restarted, made a standby, reached by TLS.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;

use super::free_port;

const PASSWORD: &str = "the-servers-own";

/// A Postgres on loopback and a free port, with a folder of its own. It ends with the value.
pub struct PostgresServer {
    home: TempDir,
    options: Vec<String>,
    port: u16,
    child: Option<Child>,
}

impl PostgresServer {
    /// With these settings. `prepare` changes what is in its folder, whose `data` is the cluster, before it starts.
    pub async fn start(options: &[&str], prepare: impl FnOnce(&Path)) -> PostgresServer {
        let home = tempfile::Builder::new().prefix("postgres").tempdir().expect("a folder");
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o711)).expect("to be entered");
        let folder = home.path().join("own");
        std::fs::create_dir(&folder).expect("a folder");
        std::fs::write(folder.join("password"), PASSWORD).expect("a password file");
        own(&folder);
        let mut init = postgres_program(&folder, "initdb");
        init.args(["--pgdata=data", "--username=postgres", "--pwfile=password", "--auth=scram-sha-256"]);
        let init = init.args(["--encoding=UTF8", "--locale=C", "--no-sync"]).output().expect("initdb starts");
        assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
        prepare(&folder);
        own(&folder);
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut server = PostgresServer { home, options, port: 0, child: None };
        for _ in 0..5 {
            server.port = free_port();
            if server.launch().await {
                return server;
            }
        }
        panic!("Postgres does not start: {}", server.log());
    }

    /// Ends it at once, without a checkpoint, and starts it again on the same port.
    pub async fn restart(&mut self) {
        self.stop(Signal::QUIT);
        assert!(self.launch().await, "Postgres does not start again: {}", self.log());
    }

    /// Another one, which follows this one over the network as long as that is left to it.
    pub async fn standby(&self) -> PostgresServer {
        let home = tempfile::Builder::new().prefix("postgres").tempdir().expect("a folder");
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o711)).expect("to be entered");
        let folder = home.path().join("own");
        std::fs::create_dir(&folder).expect("a folder");
        own(&folder);
        let mut copy = postgres_program(&folder, "pg_basebackup");
        copy.args(["--pgdata=data", "--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--dbname"]);
        let copied = copy.arg(self.url("")).output().expect("pg_basebackup starts");
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        let mut server =
            PostgresServer { home, options: self.options.clone(), port: free_port(), child: None };
        assert!(server.launch().await, "the standby does not start: {}", server.log());
        server
    }

    /// The other one ends at once, and this one, its standby, is promoted and found where the other one was.
    pub async fn takes_the_place_of(&mut self, other: &mut PostgresServer) {
        other.stop(Signal::QUIT);
        let mut connection = PgConnection::connect(&self.url("")).await.expect("the standby answers");
        let promoted: bool =
            sqlx::query_scalar("select pg_promote()").fetch_one(&mut connection).await.expect("promoted");
        assert!(promoted, "the standby is promoted in time: {}", self.log());
        connection.close().await.expect("closed");
        self.stop(Signal::INT);
        self.port = other.port;
        assert!(self.launch().await, "Postgres does not start again: {}", self.log());
    }

    /// Ends it in order, and starts it again on the same port as a standby, which takes no writes until it is promoted.
    pub async fn becomes_a_standby(&mut self) {
        self.stop(Signal::INT);
        std::fs::write(self.folder().join("data/standby.signal"), "").expect("a mark");
        own(&self.folder());
        assert!(self.launch().await, "Postgres does not start again: {}", self.log());
    }

    /// Its URL, as a superuser, with what comes after the database's name.
    pub fn url(&self, parameters: &str) -> String {
        self.url_at("127.0.0.1", parameters)
    }

    /// The same by another name of this machine.
    pub fn url_at(&self, host: &str, parameters: &str) -> String {
        format!("postgres://postgres:{PASSWORD}@{host}:{}/postgres{parameters}", self.port)
    }

    /// What no message may tell.
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// A file of its folder.
    pub fn file(&self, name: &str) -> String {
        self.folder().join(name).display().to_string()
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("own")
    }

    async fn launch(&mut self) -> bool {
        let folder = self.folder();
        let log = std::fs::File::options().create(true).append(true).open(self.home.path().join("log"));
        let log = log.expect("a log");
        let mut command = postgres_program(&folder, "postgres");
        command.args(["-D", "data", "-c", "unix_socket_directories=", "-c", "listen_addresses=127.0.0.1"]);
        command.args(["-c", "fsync=off", "-c", "dynamic_shared_memory_type=mmap", "-c"]);
        command.arg(format!("port={}", self.port));
        for option in &self.options {
            command.args(["-c", option]);
        }
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log).spawn();
        self.child = Some(child.expect("Postgres starts"));
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        for _ in 0..6_000 {
            looks.tick().await;
            if self.child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|ended| ended.is_some())) {
                return false;
            }
            if let Ok(connection) = PgConnection::connect(&self.url("")).await {
                return connection.close().await.is_ok();
            }
        }
        false
    }

    fn stop(&mut self, how: Signal) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = kill_process(Pid::from_child(&child), how);
            let _ = child.wait();
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // At once, with all its sessions.
        self.stop(Signal::QUIT);
    }
}

/// A program of Postgres. As root it runs as the user that its package made, for Postgres refuses to be root.
pub fn postgres_program(folder: &Path, program: &str) -> Command {
    // The bed puts the folder of its Postgres into PATH.
    let path = std::env::var_os("PATH").expect("PATH");
    let bin = std::env::split_paths(&path).find(|dir| dir.join("initdb").is_file());
    let program = bin.expect("initdb is in PATH").join(program);
    let mut command = match geteuid().is_root() {
        true => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]).arg(program);
            command
        }
        false => Command::new(program),
    };
    command.current_dir(folder);
    command
}

/// Gives a folder to the user as whom Postgres runs.
pub fn own(folder: &Path) {
    if geteuid().is_root() {
        let status = Command::new("chown").args(["-R", "postgres:postgres"]).arg(folder).status();
        assert!(status.expect("chown starts").success());
    }
}
