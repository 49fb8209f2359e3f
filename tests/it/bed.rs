//! The test bed itself: however it ends, no process, no port and no folder of it stays.

use crate::support::{Finished, Program, repository};
use rustix::process::Signal;
use std::fs::{Permissions, read_to_string};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);

/// Prints where the bed is, one process that only the bed's mark can find, the servers' addresses; then stays.
const STAY: &str = r#"
    setsid sleep 600 &
    echo "$RELAY_BED"; echo $!; cut -d' ' -f2 "$RELAY_BED/servers" | xargs
    echo "$RELAY_TEST_POSTGRES_URL"; echo "$RELAY_TEST_REDIS_URL"
    exec sleep 600
"#;

/// A bed in a temporary folder of its own, so that beds of other tests are out of its sight. What its Kubernetes leaves is
/// looked at in `cluster::leftovers`.
fn bed(within: &Path, arguments: &[&str]) -> Command {
    // Whoever runs these tests in the background may have them begin with signals ignored, and a shell cannot undo that.
    let mut command = Command::new("env");
    command.arg("--default-signal=INT,HUP,TERM").arg(repository("tests/bed/run"));
    command.args(["--without", "kubernetes"]).args(arguments).env("TMPDIR", within);
    command
}

/// A temporary folder that Postgres' own user may pass through, as it may through /tmp.
fn folder() -> TempDir {
    tempfile::Builder::new().permissions(Permissions::from_mode(0o711)).tempdir().expect("a temporary folder")
}

/// A bed that is up, and all that must be gone afterwards.
struct Up {
    program: Program,
    folder: PathBuf,
    processes: Vec<u32>,
    ports: Vec<String>,
}

impl Up {
    fn start(within: &Path) -> Up {
        let program = Program::start(&mut bed(within, &["bash", "-c", STAY]));
        let folder = PathBuf::from(program.line(LIMIT));
        let mut processes = vec![program.line(LIMIT).parse().expect("a pid")];
        processes.extend(program.line(LIMIT).split(' ').map(|pid| pid.parse::<u32>().expect("a pid")));
        let ports = [program.line(LIMIT), program.line(LIMIT)].map(|url| address(&url)).to_vec();
        let up = Up { program, folder, processes, ports };
        assert_eq!(up.processes.len(), 3, "the stray process, Postgres and Redis");
        assert_eq!(up.left(), up.everything(), "all of it is up");
        up
    }

    fn everything(&self) -> Vec<String> {
        let mut all: Vec<String> = self.processes.iter().map(u32::to_string).collect();
        all.extend(self.ports.iter().cloned());
        all.push(self.folder.display().to_string());
        all
    }

    /// What of it is still there.
    fn left(&self) -> Vec<String> {
        still_there(&self.processes, &self.ports, &self.folder)
    }

    fn finish(self) -> (Finished, Vec<String>) {
        let (processes, ports, folder) = (self.processes, self.ports, self.folder);
        let finished = self.program.finish(LIMIT);
        (finished, still_there(&processes, &ports, &folder))
    }
}

fn still_there(processes: &[u32], ports: &[String], folder: &Path) -> Vec<String> {
    let mut left: Vec<String> = processes.iter().filter(|pid| runs(**pid)).map(u32::to_string).collect();
    left.extend(ports.iter().filter(|port| TcpStream::connect(port).is_ok()).cloned());
    if folder.exists() {
        left.push(folder.display().to_string());
    }
    left
}

/// A zombie does not run: it has ended, and waits for its parent to notice.
fn runs(pid: u32) -> bool {
    let Ok(stat) = read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let state = stat.rsplit_once(") ").expect("a name in parentheses").1;
    !state.starts_with('Z') && !state.starts_with('X')
}

/// Host and port of a URL.
fn address(url: &str) -> String {
    let rest = url.rsplit_once('@').expect("user and host").1;
    rest.split_once('/').expect("a path").0.to_owned()
}

fn an_interrupt_leaves_nothing(signal: Signal) {
    let within = folder();
    let up = Up::start(within.path());
    up.program.signal(signal);
    let (finished, left) = up.finish();
    assert_eq!(left, Vec::<String>::new(), "{}", finished.errors);
    assert_eq!(
        finished.status.signal(),
        Some(signal.as_raw()),
        "its caller sees an interrupt: {}",
        finished.errors
    );
}

#[test]
fn interrupted_by_int_it_leaves_nothing() {
    an_interrupt_leaves_nothing(Signal::INT);
}

#[test]
fn interrupted_by_term_it_leaves_nothing() {
    an_interrupt_leaves_nothing(Signal::TERM);
}

#[test]
fn interrupted_by_hup_it_leaves_nothing() {
    an_interrupt_leaves_nothing(Signal::HUP);
}

#[test]
fn what_a_killed_bed_left_is_cleared_away_by_the_next() {
    let within = folder();
    let alive = Up::start(within.path());
    let killed = Up::start(within.path());
    killed.program.signal(Signal::KILL);
    let (processes, ports, folder) = (killed.processes.clone(), killed.ports.clone(), killed.folder.clone());
    assert!(folder.exists(), "nobody could clear it away yet");
    // Its end is not waited for: what it started still holds its output open.
    let next = Program::start(&mut bed(within.path(), &["true"])).finish(LIMIT);
    assert!(next.status.success(), "{}", next.errors);
    assert_eq!(still_there(&processes, &ports, &folder), Vec::<String>::new(), "{}", next.errors);
    assert_eq!(alive.left(), alive.everything(), "a bed in use is left alone: {}", next.errors);

    alive.program.signal(Signal::TERM);
    let (finished, left) = alive.finish();
    assert_eq!(left, Vec::<String>::new(), "{}", finished.errors);
    let rest: Vec<_> = within.path().read_dir().expect("a folder").collect();
    assert!(rest.is_empty(), "{rest:?}");
}

#[test]
fn its_status_is_the_commands_and_a_foreign_folder_is_not_its_own() {
    let within = folder();
    // Unsigned and young: another bed may be about to sign it.
    let young = within.path().join("relay-bed.AAAAAAAA");
    std::fs::create_dir(&young).expect("makes a folder");
    let failed = Program::start(&mut bed(within.path(), &["bash", "-c", "echo said; exit 7"])).finish(LIMIT);
    assert_eq!(failed.status.code(), Some(7), "{}", failed.errors);
    assert_eq!(failed.output, "said\n");
    let left: Vec<_> =
        within.path().read_dir().expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    assert_eq!(left, [young]);
}
