//! etcd and an API server alone, for an operator that runs in the test: where Relay is installed as well, two operators
//! would have the same objects.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{
    Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::cluster::kubectl::{well, with_input};
use crate::cluster::servers::{spawn, until};
use crate::support::{free_port, from_bed, relay};

/// The servers. They end with the value; those that tests share end with the bed, which finds them by its mark in
/// their environment.
pub struct Control {
    folder: tempfile::TempDir,
    keeper: Child,
    /// Where etcd and the API server listen.
    etcd: String,
    port: u16,
    /// Further arguments of the API server.
    more: &'static [&'static str],
    server: Mutex<Option<Child>>,
    /// One operator at a time.
    turn: Mutex<()>,
}

/// Those that tests share, and take in turn: a test has one for itself, and mostly waits.
static CONTROLS: [OnceLock<Control>; 4] = [const { OnceLock::new() }; 4];
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// A control plane, for oneself, without any object of Relay's.
pub fn control() -> (&'static Control, MutexGuard<'static, ()>) {
    let next = NEXT.fetch_add(1, Ordering::Relaxed) % CONTROLS.len();
    let control = CONTROLS[next].get_or_init(Control::start);
    let turn = control.turn.lock().unwrap_or_else(PoisonError::into_inner);
    for kind in ["runs", "workflows", "workerpools"] {
        let mut delete = control.kubectl();
        delete.args(["delete", kind, "--all", "--all-namespaces", "--wait=false"]);
        well(delete.output().expect("kubectl starts"));
    }
    (control, turn)
}

impl Control {
    /// One of the caller's own.
    pub fn start() -> Control {
        Control::start_with(&[])
    }

    /// The same, with these arguments of the API server among its own.
    pub fn start_with(more: &'static [&'static str]) -> Control {
        let folder = tempfile::Builder::new().prefix("control").tempdir().expect("a folder");
        let (etcd, peers, port) = (free_port(), free_port(), free_port());
        let (etcd, peers) = (format!("http://127.0.0.1:{etcd}"), format!("http://127.0.0.1:{peers}"));
        let at = folder.path();
        let mut command = tool("etcd");
        command.args(["--unsafe-no-fsync", "--log-level=warn", "--data-dir=etcd"]).current_dir(at);
        command.arg(format!("--listen-client-urls={etcd}")).arg(format!("--advertise-client-urls={etcd}"));
        command.arg(format!("--listen-peer-urls={peers}"));
        let keeper = spawn(&mut command, &at.join("etcd.log"));
        let (server, turn) = (Mutex::new(None), Mutex::new(()));
        let control = Control { folder, keeper, etcd, port, more, server, turn };
        let at = control.folder.path();

        let key = Command::new("openssl")
            .args(["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "key"])
            .current_dir(at)
            .stderr(Stdio::null())
            .status();
        assert!(key.expect("openssl starts").success(), "a key for service accounts");
        std::fs::write(at.join("tokens.csv"), "of-the-test,admin,admin,system:masters\n").expect("a file");
        let config = format!(
            "{{apiVersion: v1, kind: Config, current-context: c, \
             clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:{port}', insecure-skip-tls-verify: true}}}}], \
             users: [{{name: u, user: {{token: of-the-test}}}}], \
             contexts: [{{name: c, context: {{cluster: c, user: u}}}}]}}"
        );
        std::fs::write(control.kubeconfig(), config).expect("a file");
        control.start_server();
        control.define();
        control
    }

    /// Starts the API server, and waits until it serves.
    pub fn start_server(&self) {
        let (at, etcd, port) = (self.folder.path(), &self.etcd, self.port);
        let mut command = tool("kube-apiserver");
        command.current_dir(at).arg(format!("--etcd-servers={etcd}")).arg(format!("--secure-port={port}"));
        command.args(["--bind-address=127.0.0.1", "--cert-dir=certs", "--token-auth-file=tokens.csv"]);
        command.args(["--authorization-mode=RBAC", "--service-cluster-ip-range=10.0.0.0/24"]);
        command.args([
            "--service-account-issuer=https://localhost",
            "--disable-admission-plugins=ServiceAccount",
        ]);
        command.args(["--service-account-key-file=key", "--service-account-signing-key-file=key"]);
        command.args(self.more);
        *self.server() = Some(spawn(&mut command, &at.join("apiserver.log")));
        until("the API server is ready", || {
            let mut ask = self.kubectl();
            ask.args(["get", "namespace", "kube-system"]).output().is_ok_and(|o| o.status.success())
        });
    }

    /// Ends the API server at once.
    pub fn kill_server(&self) {
        if let Some(mut server) = self.server().take() {
            server.kill().expect("it runs");
            server.wait().expect("it ended");
        }
    }

    /// It answers nothing, and its connections stay; or it goes on.
    pub fn signal_server(&self, signal: Signal) {
        let server = self.server();
        let server = server.as_ref().expect("it runs");
        kill_process(Pid::from_child(server), signal).expect("it is there");
    }

    fn server(&self) -> MutexGuard<'_, Option<Child>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many calls of this verb the API server took for this resource (`runs/status`, `events`).
    pub fn calls(&self, verb: &str, resource: &str) -> u64 {
        let (resource, sub) = resource.split_once('/').unwrap_or((resource, ""));
        let metrics =
            well(self.kubectl().args(["get", "--raw", "/metrics"]).output().expect("kubectl starts"));
        let wanted = [
            format!("resource=\"{resource}\""),
            format!("subresource=\"{sub}\""),
            format!("verb=\"{verb}\""),
        ];
        let counts = metrics.lines().filter(|line| line.starts_with("apiserver_request_total{"));
        let counts = counts.filter(|line| wanted.iter().all(|label| line.contains(label)));
        counts.map(|line| line.rsplit(' ').next().and_then(|n| n.parse::<u64>().ok()).expect("a count")).sum()
    }

    /// The kinds that this relay goes with.
    fn define(&self) {
        let printed = relay().arg("crds").output().expect("relay starts");
        let text = well(printed);
        well(with_input(self.kubectl().args(["apply", "--server-side", "-f", "-"]), &text));
        let mut wait = self.kubectl();
        wait.args(["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]);
        well(wait.output().expect("kubectl starts"));
    }

    /// Where the kubeconfig is.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// kubectl as its administrator.
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(from_bed("RELAY_TEST_KUBECTL"));
        command.env("KUBECONFIG", self.kubeconfig()).arg("--request-timeout=30s");
        command
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.kill_server();
        // It may have ended by itself.
        drop(self.keeper.kill());
        drop(self.keeper.wait());
    }
}

/// A program of the bed's Kubernetes.
fn tool(name: &str) -> Command {
    let kubectl = from_bed("RELAY_TEST_KUBECTL");
    Command::new(Path::new(&kubectl).with_file_name(name))
}
