//! A Postgres of a test's own, to be restarted, cut off, left without connections.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::servers::{free_port, launch, until};

const PASSWORD: &str = "of-the-test-bed";

/// The server. It ends with the value, or with the bed.
pub struct Postgres {
    home: tempfile::TempDir,
    host: String,
    port: u16,
}

impl Postgres {
    /// At this address of the machine.
    pub fn start(host: &str) -> Postgres {
        let home = tempfile::Builder::new().prefix("postgres").tempdir().expect("a folder");
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o711)).expect("to be entered");
        let server = Postgres { home, host: host.to_owned(), port: free_port() };
        server.init();
        server.launch();
        server
    }

    /// Its URL, as a superuser.
    pub fn url(&self) -> String {
        format!("postgres://postgres:{PASSWORD}@{}:{}/postgres", self.host, self.port)
    }

    /// Ends it at once, without a checkpoint, and starts it again.
    pub fn restart(&self) {
        assert!(self.stop(), "it was running");
        self.launch();
    }

    fn stop(&self) -> bool {
        let mut stop = as_postgres(&self.folder(), "pg_ctl");
        let stop = stop.args(["stop", "-D", "data", "-m", "immediate"]).stdout(Stdio::null());
        stop.status().expect("pg_ctl starts").success()
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("postgres")
    }

    fn init(&self) {
        let folder = self.folder();
        std::fs::create_dir(&folder).expect("a folder");
        std::fs::write(folder.join("password"), PASSWORD).expect("a password file");
        let mut own = Command::new("chown");
        assert!(own.args(["-R", "postgres:postgres"]).arg(&folder).status().expect("chown").success());
        let mut init = as_postgres(&folder, "initdb");
        init.args(["--pgdata=data", "--username=postgres", "--pwfile=password", "--auth=scram-sha-256"]);
        init.args(["--encoding=UTF8", "--locale=C", "--no-sync"]);
        let output = init.output().expect("initdb starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // Pods come by addresses of their own.
        let open = "host all all 0.0.0.0/0 scram-sha-256\n";
        std::fs::write(folder.join("data/pg_hba.conf"), open).expect("who may come");
    }

    fn launch(&self) {
        let folder = self.folder();
        let mut command = as_postgres(&folder, "postgres");
        command.args(["-D", "data", "-c", "unix_socket_directories=", "-c", "max_connections=200"]);
        command.arg("-c").arg(format!("listen_addresses={}", self.host));
        command.arg("-c").arg(format!("port={}", self.port));
        command.args(["-c", "dynamic_shared_memory_type=mmap", "-c", "timezone=UTC"]);
        launch(&mut command, &folder.join("log"));
        let (host, port) = (self.host.clone(), self.port.to_string());
        let ready = || {
            let mut ask = Command::new(postgres_bin().join("pg_isready"));
            ask.args(["-q", "-h", &host, "-p", &port]).status().is_ok_and(|s| s.success())
        };
        until("Postgres answers", ready);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

fn postgres_bin() -> PathBuf {
    // The bed puts the folder of its Postgres into PATH.
    let path = std::env::var_os("PATH").expect("PATH");
    let folder = std::env::split_paths(&path).find(|dir| dir.join("initdb").is_file());
    folder.expect("initdb is in PATH")
}

/// Postgres refuses to run as root.
fn as_postgres(folder: &Path, program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]);
    command.arg(postgres_bin().join(program)).current_dir(folder);
    command
}
