//! Relay as a user installs it: by its chart, from its image, with the chart's rights alone. One for all tests, for it
//! serves the whole cluster; each test has a namespace of its own.

use std::process::Command;
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::kubectl::{from_bed, kubectl, well, with_input};
use super::servers::Servers;

/// Where it is installed.
pub const SYSTEM: &str = "relay-system";

/// The installation.
pub struct Installed {
    /// Its servers.
    pub servers: Servers,
}

static INSTALLED: OnceLock<Installed> = OnceLock::new();
/// Whoever kills or empties something has the installation for itself; all others share it.
static TURN: RwLock<()> = RwLock::new(());

/// The installation, shared with others who disturb nothing.
#[track_caller]
pub fn shared() -> (&'static Installed, RwLockReadGuard<'static, ()>) {
    (INSTALLED.get_or_init(install), TURN.read().unwrap_or_else(PoisonError::into_inner))
}

/// The installation, for oneself.
#[track_caller]
pub fn alone() -> (&'static Installed, RwLockWriteGuard<'static, ()>) {
    (INSTALLED.get_or_init(install), TURN.write().unwrap_or_else(PoisonError::into_inner))
}

fn install() -> Installed {
    let servers = Servers::start();
    let objects = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {SYSTEM}, labels: \
         {{pod-security.kubernetes.io/enforce: restricted}}}}\n---\n\
         apiVersion: v1\nkind: Secret\nmetadata: {{name: relay-postgres, namespace: {SYSTEM}}}\n\
         stringData: {{url: \"{}\"}}\n---\n\
         apiVersion: v1\nkind: Secret\nmetadata: {{name: relay-redis, namespace: {SYSTEM}}}\n\
         stringData: {{url: \"{}\"}}\n",
        servers.postgres_url(),
        servers.redis_url()
    );
    well(with_input(kubectl().args(["apply", "-f", "-"]), &objects));
    let image = from_bed("RELAY_TEST_IMAGE");
    let (repository, tag) = image.rsplit_once(':').expect("an image with a tag");
    let mut helm = Command::new(from_bed("RELAY_TEST_HELM"));
    helm.env("KUBECONFIG", from_bed("RELAY_TEST_KUBECONFIG")).current_dir(env!("CARGO_MANIFEST_DIR"));
    helm.args(["install", "relay", "charts/relay", "--namespace", SYSTEM, "--wait", "--timeout", "180s"]);
    let image = [("repository", repository), ("tag", tag), ("pullPolicy", "Never")];
    let secrets = [("postgres", "relay-postgres"), ("redis", "relay-redis")];
    helm.args(image.iter().flat_map(|(key, value)| ["--set".to_owned(), format!("image.{key}={value}")]));
    helm.args(secrets.iter().flat_map(|(key, name)| {
        let set = format!("{key}.existingSecret.name={name},{key}.existingSecret.key=url");
        ["--set".to_owned(), set]
    }));
    let output = helm.output().expect("helm starts");
    if !output.status.success() {
        panic!("{}\n{}", String::from_utf8_lossy(&output.stderr), logs());
    }
    Installed { servers }
}

/// What the operator wrote, and why its pod may not run.
pub fn logs() -> String {
    let ask = |arguments: &[&str]| {
        let output = kubectl().args(["-n", SYSTEM]).args(arguments).output().expect("kubectl starts");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let pods = ask(&["describe", "pods"]);
    let written = ask(&["logs", "-l", "app.kubernetes.io/name=relay", "--tail=200", "--prefix"]);
    let before = ask(&["logs", "-l", "app.kubernetes.io/name=relay", "--tail=50", "--previous"]);
    format!("{pods}\n{written}\nbefore:\n{before}")
}
