//! What tasks leave behind: in a pod nobody else clears it away.
//!
//! A process whose parent ended becomes a child of this one, once `adopt` was called (and always in a container, whose
//! first process this is). It is reaped soon after its end. If it left its task's process group and outlives its attempt, it
//! is killed: an attempt's directory stands in the environment of each of its processes, and it is no running attempt's
//! when this one has ended, for it serves another one only when nobody is left. (Whoever leaves the group and wipes its
//! environment is not found.)

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs,
    io::{self, Read},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process, set_child_subreaper, waitid,
};
use tokio::process::{Child, Command};
use tokio::sync::Notify;

use crate::clock::Clock;

/// Between two looks at least.
const PAUSE: Duration = Duration::from_millis(200);
/// Between two looks at most, while tasks run or processes without a parent live.
const SOON: Duration = Duration::from_secs(2);
/// And otherwise.
const LATER: Duration = Duration::from_secs(60);
/// Bytes of a list of children that are read at once: some hundreds.
const LIST: usize = 4 << 10;
/// Bytes of a process' environment that are looked at.
const ENVIRONMENT: usize = 4 << 20;

/// The children that the runtime waits for, and the directories of their attempts. The kernel's table is one a process, so this
/// is one as well.
static AWAITED: Mutex<BTreeMap<i32, PathBuf>> = Mutex::new(BTreeMap::new());

/// A task began or ended, or somebody was killed: there may be more to see. (Not by SIGCHLD, which would interrupt this process for each
/// end of a task once more than it is told of it anyway.)
static CHANGED: Notify = Notify::const_new();

/// Was `adopt` called?
static ADOPTS: AtomicBool = AtomicBool::new(false);

/// While it lives the reaper leaves a child alone, and whoever has its directory in the environment.
#[derive(Debug)]
pub(super) struct Awaited(Option<i32>);

impl Drop for Awaited {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            awaited().remove(&pid);
            CHANGED.notify_one();
        }
    }
}

/// Starts a child that the runtime waits for, whose attempt has this directory.
pub(super) fn spawn(command: &mut Command, place: &Path) -> io::Result<(Child, Awaited)> {
    // Held until its number is noted: a child that ends at once must not look like somebody else's.
    let mut awaited = awaited();
    let child = command.spawn()?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    awaited.extend(pid.map(|pid| (pid, place.to_owned())));
    CHANGED.notify_one();
    Ok((child, Awaited(pid)))
}

fn awaited() -> MutexGuard<'static, BTreeMap<i32, PathBuf>> {
    // A map of numbers is whole at every point.
    AWAITED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes processes whose parents end children of this process, instead of the machine's first one.
pub fn adopt() -> io::Result<()> {
    // Any process stands for "yes" here.
    set_child_subreaper(Some(getpid()))?;
    ADOPTS.store(true, Ordering::Release);
    Ok(())
}

/// Was `adopt` called?
pub(super) fn adopts() -> bool {
    ADOPTS.load(Ordering::Acquire)
}

/// Is every child of this process one that the runtime waits for? Then nobody is left of the attempts that have ended.
/// Where that cannot be told it says no.
pub(super) fn alone() -> bool {
    // Held so that nobody starts meanwhile. (A child that is reaped while the kernel lists them could hide another one.
    // A worker is one future, and so none of its attempts comes to its end meanwhile.)
    let awaited = awaited();
    adopts() && listed().is_ok_and(|all| all.iter().all(|pid| awaited.contains_key(pid)))
}

/// Reaps and kills what was left behind, for ever. `root` is where attempts have their directories.
pub async fn reap(root: PathBuf, clock: Clock) -> Infallible {
    loop {
        let busy = look(&root) || !awaited().is_empty();
        tokio::select! {
            biased;
            () = CHANGED.notified() => {}
            () = clock.sleep(if busy { SOON } else { LATER }) => {}
        }
        clock.sleep(PAUSE).await;
    }
}

/// Clears away once; tells whether there are processes without a parent that live on.
fn look(root: &Path) -> bool {
    let mut living = false;
    for (pid, ended) in strangers() {
        if ended {
            bury(pid);
            continue;
        }
        living = true;
        if outlived(pid, root) && kill_process(pid, Signal::KILL).is_ok() {
            // Its end is to be taken, and its children come here.
            CHANGED.notify_one();
            tracing::info!(pid = pid.as_raw_nonzero().get(), "A process that its task left behind is killed");
        }
    }
    living
}

/// The children of this process that nobody waits for, and which of them have ended.
fn strangers() -> Vec<(Pid, bool)> {
    let me = getpid().as_raw_nonzero().get().to_string();
    let stranger = |pid: i32| {
        let stranger = Pid::from_raw(pid).filter(|_| !awaited().contains_key(&pid))?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // pid (name) state parent: the name may have any character, so count from its end.
        let mut fields = stat.rsplit(") ").next()?.split(' ');
        let (state, parent) = (fields.next()?, fields.next()?);
        (parent == me).then_some((stranger, state == "Z"))
    };
    listed().unwrap_or_else(|_| every()).into_iter().filter_map(stranger).collect()
}

/// The children of this process as the kernel lists them; not every kernel does.
fn listed() -> io::Result<Vec<i32>> {
    let mut all = Vec::new();
    for thread in fs::read_dir("/proc/self/task")? {
        // Room for all of it at once, or the kernel begins anew with each piece.
        let mut list = String::with_capacity(LIST);
        fs::File::open(thread?.path().join("children"))?.read_to_string(&mut list)?;
        for pid in list.split_ascii_whitespace() {
            all.push(pid.parse().map_err(io::Error::other)?);
        }
    }
    Ok(all)
}

/// Every process of the machine.
fn every() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Takes the end of a child that nobody waits for.
fn bury(pid: Pid) {
    let awaited = awaited();
    if !awaited.contains_key(&pid.as_raw_nonzero().get()) {
        // It may be gone already, and then there is nothing to take.
        let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
    }
}

/// Does it come from an attempt that has ended? What cannot be read is somebody else's.
fn outlived(pid: Pid, root: &Path) -> bool {
    let path = format!("/proc/{}/environ", pid.as_raw_nonzero());
    let Ok(file) = fs::File::open(path) else { return false };
    let mut environment = Vec::new();
    if file.take(ENVIRONMENT as u64).read_to_end(&mut environment).is_err() {
        return false;
    }
    let mut variables = environment.split(|byte| *byte == 0);
    let directory = variables.find_map(|variable| variable.strip_prefix(b"RELAY_DIR="));
    let directory = directory.map(|bytes| Path::new(std::ffi::OsStr::from_bytes(bytes)));
    directory.is_some_and(|directory| {
        directory.starts_with(root) && !awaited().values().any(|place| directory.starts_with(place))
    })
}
