//! What a machine cannot do: the bed leaves it out and says why, and on a build server that is a failure.

use std::fs::{Permissions, set_permissions, write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::{Finished, Program, repository};

const LIMIT: Duration = Duration::from_secs(120);
/// Somebody who has no rights here.
const NOBODY: &str = "65534";

/// A folder that everybody may pass through.
fn folder() -> TempDir {
    tempfile::Builder::new().permissions(Permissions::from_mode(0o711)).tempdir().expect("a temporary folder")
}

fn well(command: &mut Command) {
    let told = Program::start(command).finish(LIMIT);
    assert!(told.status.success(), "{command:?}: {}", told.errors);
}

/// The bed, by somebody who is not root: its scripts, and a folder for it.
struct Plain {
    _folder: TempDir,
    scripts: PathBuf,
    home: PathBuf,
}

impl Plain {
    fn new() -> Plain {
        let folder = folder();
        let (scripts, home) = (folder.path().join("bed"), folder.path().join("home"));
        // The clone may be where nobody else comes.
        well(Command::new("cp").arg("-r").arg(repository("tests/bed")).arg(&scripts));
        well(Command::new("chmod").arg("-R").arg("go+rX").arg(&scripts));
        std::fs::create_dir(&home).expect("a folder");
        if is_root() {
            well(Command::new("chown").arg(format!("{NOBODY}:{NOBODY}")).arg(&home));
        }
        Plain { _folder: folder, scripts, home }
    }

    fn bed(&self, ci: bool, script: &str) -> Finished {
        let mut command = if is_root() {
            let mut other = Command::new("setpriv");
            let (user, group) = (format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"));
            other.args([&user, &group, "--clear-groups", "--"]).arg(self.scripts.join("run"));
            other
        } else {
            Command::new(self.scripts.join("run"))
        };
        command.args(["bash", "-c", script]).current_dir(&self.home);
        command.env("TMPDIR", &self.home).env("HOME", &self.home).env_remove("CI");
        if ci {
            command.env("CI", "true");
        }
        Program::start(&mut command).finish(LIMIT)
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn without_root_kubernetes_is_left_out_with_the_reason_and_the_rest_runs() {
    let plain = Plain::new();
    let told = plain.bed(
        false,
        r#"echo "$RELAY_TEST_WITHOUT_KUBERNETES"; psql -tAc 'select 40 + 2' "$RELAY_TEST_POSTGRES_URL"
           redis-cli -u "$RELAY_TEST_REDIS_URL" --no-auth-warning ping"#,
    );
    assert!(told.status.success(), "{}", told.errors);
    assert_eq!(told.output, "it needs root\n42\nPONG\n", "{}", told.errors);
    assert!(told.errors.contains("bed: without kubernetes: it needs root"), "{}", told.errors);
    let left: Vec<_> = plain.home.read_dir().expect("a folder").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn on_a_build_server_nothing_is_left_out() {
    let told = Plain::new().bed(true, "echo it runs");
    assert_eq!((told.status.code(), told.output.as_str()), (Some(1), ""), "{}", told.errors);
    assert!(told.errors.contains("kubernetes cannot run here: it needs root"), "{}", told.errors);
    let script = crate::support::read(".ci/run");
    assert!(script.contains("export CI=true"), "the build server says that it is one: {script}");
}

/// A program that says this.
fn says(at: &Path, name: &str, text: &str) {
    let path = at.join(name);
    write(&path, format!("#!/bin/sh\n{text}\n")).expect("written");
    set_permissions(path, Permissions::from_mode(0o755)).expect("to be run");
}

/// `make` of another system: its name is another, and cargo only says what it was asked for.
fn elsewhere(at: &Path, program: &str, arguments: &[&str], ci: bool) -> Finished {
    says(at, "uname", "echo Darwin");
    says(at, "cargo", r#"echo "cargo $*""#);
    let path = std::env::var("PATH").expect("PATH");
    let mut command = Command::new(program);
    command.args(arguments).current_dir(repository("")).env("PATH", format!("{}:{path}", at.display()));
    for name in ["CI", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"] {
        command.env_remove(name);
    }
    if ci {
        command.env("CI", "true");
    }
    Program::start(&mut command).finish(LIMIT)
}

#[test]
fn on_another_system_what_needs_no_servers_runs_and_the_rest_is_named() {
    let folder = folder();
    let told = elsewhere(folder.path(), "make", &["test"], false);
    assert!(told.status.success(), "{}{}", told.output, told.errors);
    assert!(told.output.contains("--test core --test tidy"), "{}", told.output);
    assert!(!told.output.contains("--all-targets"), "{}", told.output);
    let words = "Left out: lints, documentation, and the tests of tests/it, which need servers. There are none here: \
                 it needs Linux.";
    assert!(told.output.contains(words), "{}", told.output);

    let told = elsewhere(folder.path(), "make", &["test"], true);
    assert!(!told.status.success(), "{}", told.output);
    assert!(told.errors.contains("there can be no bed here: it needs Linux"), "{}", told.errors);
    let bed = repository("tests/bed/run");
    let told = elsewhere(folder.path(), bed.to_str().expect("text"), &["true"], false);
    assert_eq!(told.status.code(), Some(1), "servers that were asked for are not left out: {}", told.errors);
}

#[test]
fn without_go_it_is_asked_for_before_anything_is_installed() {
    let folder = folder();
    let mut command = Command::new(repository("tests/bed/tools"));
    says(folder.path(), "go", "echo go1.19.8");
    let path = std::env::var("PATH").expect("PATH");
    command.args(["--asks", "kubernetes"]).env("RELAY_CACHE", folder.path().join("cache"));
    command.env("PATH", format!("{}:{path}", folder.path().display()));
    let told = Program::start(&mut command).finish(LIMIT);
    assert!(told.status.success(), "{}", told.errors);
    for words in ["Go 1.26", "in PATH is: go1.19.8", "go.dev/doc/install"] {
        assert!(told.output.contains(words), "{words}: {}", told.output);
    }
}
