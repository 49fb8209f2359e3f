//! However a bed with Kubernetes ends: no process of it stays, in pods neither, no mount, interface, cgroup or folder, and
//! no setting of the machine is another. These beds run beside the one of the tests, as two clones on one machine would.

use crate::support::{Program, from_bed, repository};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use std::collections::BTreeSet;
use std::fs::{Permissions, read_to_string};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(180);

/// A pod runs; then where the bed is and what its interface is called; then it stays.
const STAY: &str = r#"
    export KUBECONFIG="$RELAY_TEST_KUBECONFIG"
    "$RELAY_TEST_KUBECTL" run sleeper --image=busybox:1.36 --restart=Never -- sleep 600 >&2
    "$RELAY_TEST_KUBECTL" wait --for=condition=Ready pod/sleeper --timeout=90s >&2
    echo "$RELAY_BED"; cat "$RELAY_BED/kubernetes/link"
    exec sleep 600
"#;

/// What the kubelet would set for the whole machine.
const SETTINGS: [&str; 6] = [
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
];

fn settings() -> Vec<String> {
    let read = |name| read_to_string(Path::new("/proc/sys").join(name)).expect("a setting");
    SETTINGS.into_iter().map(read).collect()
}

fn folder() -> TempDir {
    tempfile::Builder::new().permissions(Permissions::from_mode(0o711)).tempdir().expect("a temporary folder")
}

fn bed(within: &Path, arguments: &[&str]) -> Program {
    Program::start(Command::new(repository("tests/bed/run")).args(arguments).env("TMPDIR", within))
}

/// All that must be gone.
struct Traces {
    folder: PathBuf,
    interface: PathBuf,
    cgroup: String,
    processes: BTreeSet<String>,
    settings: Vec<String>,
}

impl Traces {
    /// Of a bed that is up.
    fn of(program: &Program, settings: Vec<String>) -> Traces {
        let folder = PathBuf::from(program.line(LIMIT));
        let interface = Path::new("/sys/class/net").join(program.line(LIMIT));
        let name = folder.extension().expect("a name with a dot").to_str().expect("plain");
        let cgroup = format!("relay-bed-{name}");
        let processes: BTreeSet<String> = cgroups(&cgroup).iter().flat_map(|path| members(path)).collect();
        let traces = Traces { folder, interface, cgroup, processes, settings };
        let names: Vec<String> = traces.processes.iter().map(|pid| name_of(pid)).collect();
        for expected in ["etcd", "kubelet", "containerd-shim", "pause", "sleep"] {
            assert!(names.iter().any(|name| name == expected), "no {expected} in {names:?}");
        }
        assert!(traces.interface.exists() && traces.folder.exists() && !cgroups(&traces.cgroup).is_empty());
        traces
    }

    fn running(&self) -> Vec<String> {
        self.processes.iter().filter(|pid| runs(pid)).map(|pid| name_of(pid)).collect()
    }

    /// What of it is still there.
    fn left(&self) -> Vec<String> {
        let mut left = self.running();
        let folder = self.folder.display().to_string();
        let mounts = read_to_string("/proc/self/mountinfo").expect("mounts");
        left.extend(mounts.lines().filter(|line| line.contains(&folder)).map(str::to_owned));
        left.extend(cgroups(&self.cgroup).iter().map(|path| path.display().to_string()));
        let paths = [&self.folder, &self.interface];
        left.extend(paths.iter().filter(|path| path.exists()).map(|path| path.display().to_string()));
        if settings() != self.settings {
            left.push(format!("settings: {:?}", settings()));
        }
        left
    }
}

/// The cgroup's folders, one a hierarchy.
fn cgroups(name: &str) -> Vec<PathBuf> {
    let mounts = read_to_string("/proc/self/mountinfo").expect("mounts");
    let of_cgroups = mounts.lines().filter(|line| line.contains(" - cgroup"));
    let places = of_cgroups.map(|line| Path::new(line.split(' ').nth(4).expect("a mount point")).join(name));
    places.filter(|path| path.exists()).collect()
}

/// The processes in a cgroup and below it.
fn members(cgroup: &Path) -> Vec<String> {
    let read = |path: &Path| read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    let mut found: Vec<String> = read(cgroup).lines().map(str::to_owned).collect();
    for entry in cgroup.read_dir().expect("a cgroup").map_while(Result::ok) {
        if entry.path().is_dir() {
            found.extend(members(&entry.path()));
        }
    }
    found
}

fn name_of(pid: &str) -> String {
    read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

/// A zombie does not run, and a process without a name has ended.
fn runs(pid: &str) -> bool {
    let stat = read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Waits for a process' end.
fn ends(pid: &str) {
    let raw = Pid::from_raw(pid.parse().expect("a pid")).expect("not zero");
    // Gone already, when there is none to open.
    let Ok(process) = pidfd_open(raw, PidfdFlags::empty()) else { return };
    let limit = Timespec { tv_sec: 30, tv_nsec: 0 };
    let ended = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&limit)).expect("it is waited for");
    assert_eq!(ended, 1, "{} stays", name_of(pid));
}

/// The Kubernetes of the tests' own bed answers.
fn others_are_well() {
    let mut ask = Command::new(from_bed("RELAY_TEST_KUBECTL"));
    ask.env("KUBECONFIG", from_bed("RELAY_TEST_KUBECONFIG")).args(["get", "--raw=/readyz"]);
    assert_eq!(Program::start(&mut ask).finish(LIMIT).output.trim(), "ok");
}

#[test]
fn an_interrupt_leaves_nothing_of_kubernetes() {
    let (within, before) = (folder(), settings());
    let program = bed(within.path(), &["bash", "-c", STAY]);
    let traces = Traces::of(&program, before);
    program.signal(Signal::TERM);
    let finished = program.finish(LIMIT);
    assert_eq!(traces.left(), Vec::<String>::new(), "{}", finished.errors);
    others_are_well();
}

#[test]
fn with_a_killed_bed_its_kubernetes_ends_and_the_next_bed_clears_the_rest() {
    let (within, before) = (folder(), settings());
    let program = bed(within.path(), &["bash", "-c", STAY]);
    let traces = Traces::of(&program, before);
    program.signal(Signal::KILL);
    // Nobody is there to end them: the kernel does it.
    traces.processes.iter().for_each(|pid| ends(pid));
    let next = bed(within.path(), &["--sweep"]).finish(LIMIT);
    assert!(next.status.success(), "{}", next.errors);
    assert_eq!(traces.left(), Vec::<String>::new(), "{}", next.errors);
    others_are_well();
}

/// The cgroups by which a process of this name space would try whether it may make cgroups.
fn trial(pid: &str, start: &str) -> Vec<PathBuf> {
    let space = std::fs::read_link("/proc/self/ns/pid").expect("a name space").display().to_string();
    let space: String = space.chars().filter(char::is_ascii_digit).collect();
    let name = format!("relay-bed-try.{space}.{pid}.{start}");
    let mounts = read_to_string("/proc/self/mountinfo").expect("mounts");
    let of_cgroups = mounts.lines().filter(|line| line.contains(" - cgroup"));
    of_cgroups.map(|line| Path::new(line.split(' ').nth(4).expect("a mount point")).join(&name)).collect()
}

#[test]
fn what_a_bed_that_was_killed_within_its_trial_left_is_cleared_away_by_the_next() {
    let mut short = Command::new("true").spawn().expect("true starts");
    let gone = short.id().to_string();
    short.wait().expect("it ends");
    let ours = std::process::id().to_string();
    let stat = read_to_string("/proc/self/stat").expect("a process");
    let start =
        stat.rsplit_once(") ").expect("a name").1.split(' ').nth(19).expect("a start time").to_owned();
    let (left, alive) = (trial(&gone, "1"), trial(&ours, &start));
    assert!(!left.is_empty(), "cgroups are mounted");
    for path in left.iter().chain(&alive) {
        std::fs::create_dir(path).expect("a cgroup");
    }
    let swept = bed(folder().path(), &["--sweep"]).finish(LIMIT);
    let still: Vec<bool> = alive.iter().map(|path| path.exists()).collect();
    alive.iter().for_each(|path| std::fs::remove_dir(path).expect("it is empty"));
    assert!(swept.status.success(), "{}", swept.errors);
    assert!(left.iter().all(|path| !path.exists()), "{}", swept.errors);
    assert!(still.iter().all(|still| *still), "a trial that goes on is left alone: {}", swept.errors);
}
