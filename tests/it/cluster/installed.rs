//! Relay as a user installs it: by its chart, from its image, with the chart's rights alone. One for all tests, for it
//! serves the whole cluster; each test has a namespace of its own.

use std::process::Command;
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::kubectl::{kubectl, well};
use super::servers::Servers;
use crate::support::from_bed;

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

/// As the README says it, with this cluster's addresses and image.
fn install() -> Installed {
    let servers = Servers::start();
    let image = from_bed("RELAY_TEST_IMAGE");
    let (repository, tag) = image.rsplit_once(':').expect("an image with a tag");
    let of_here = [
        ("postgres://user:password@host/relay", servers.postgres_url()),
        ("redis://:password@host", servers.redis_url()),
        ("REGISTRY/relay", format!("{repository} --set image.tag={tag} --set image.pullPolicy=Never")),
    ];
    for command in &readme()[..3] {
        assert!(of_here.iter().filter(|(theirs, _)| command.contains(theirs)).count() <= 2, "{command}");
        let command = of_here.iter().fold(command.clone(), |text, (theirs, ours)| text.replace(theirs, ours));
        let output = shell(&command, &from_bed("RELAY_TEST_KUBECONFIG"));
        if !output.status.success() {
            panic!("{command}: {}\n{}", String::from_utf8_lossy(&output.stderr), logs());
        }
        // Stricter than the README: nothing in the chart may need more.
        let strict =
            ["label", "--overwrite", "namespace", SYSTEM, "pod-security.kubernetes.io/enforce=restricted"];
        well(kubectl().args(strict).output().expect("kubectl starts"));
    }
    Installed { servers }
}

/// The five commands of the README that lead from nothing to a finished Run.
pub fn readme() -> Vec<String> {
    let text = crate::support::read("README.md");
    let section = text.split("\n## In a cluster\n").nth(1).expect("the README has a section for clusters");
    let block =
        section.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("its commands");
    let commands: Vec<String> = block.lines().map(str::to_owned).collect();
    assert_eq!(commands.len(), 5, "{commands:#?}");
    assert!(commands[4].contains("kubectl wait run/release-1 --for=condition=Finished"), "{commands:#?}");
    commands
}

/// A command line as a person types it, with kubectl and helm at hand.
pub fn shell(command: &str, kubeconfig: &str) -> std::process::Output {
    let folder = |name: &str| {
        let program = std::path::PathBuf::from(from_bed(name));
        program.parent().expect("a folder").display().to_string()
    };
    let path = std::env::var("PATH").expect("PATH");
    let path = format!("{}:{}:{path}", folder("RELAY_TEST_KUBECTL"), folder("RELAY_TEST_HELM"));
    let mut sh = Command::new("sh");
    sh.args(["-euc", command]).current_dir(env!("CARGO_MANIFEST_DIR"));
    sh.env("PATH", path).env("KUBECONFIG", kubeconfig).output().expect("sh starts")
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
