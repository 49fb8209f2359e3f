//! The files of an attempt: an empty directory to work in, and beside it what Relay puts there and takes away.
//!
//! To make them, to rename them and to remove them costs a file system more than anything else that a short attempt
//! needs. So those of an attempt that left them as they were made serve another one (`spare.rs`).

use std::{
    fs, io,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{AtFlags, Mode, OFlags, Statx, StatxFlags, statx};

use crate::clock::Clock;
use crate::model::job::{Job, Program};

/// What is in the directory.
const WORK: &str = "work";
const INPUT: &str = "input.json";
/// What outputs are read from.
pub(super) const OUTPUT: &str = "output";
const SCRIPT: &str = "script";
/// How often the removal of the directory is tried: a process that was just killed may still write to it.
const REMOVALS: u32 = 20;
/// The wait between two removals.
const REMOVAL_WAIT: Duration = Duration::from_millis(10);

/// A change that comes so long after another one has another time, on a file system that tells parts of a second: they come from
/// a clock that goes on a hundred times a second at least.
const TICK: Duration = Duration::from_millis(100);
/// And on one that tells seconds, or every other one.
const LONG_TICK: Duration = Duration::from_secs(2);

/// The directory of one attempt, which is removed with it.
#[derive(Debug)]
pub(super) struct Scratch {
    place: Place,
    /// The directory itself, whatever the task does to its name.
    handle: OwnedFd,
}

/// A directory below the root, with nothing of it open: whatever is costs each process that is started meanwhile. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// What Relay made, as it made it: the directory, then what is in it but the script.
    made: [Mark; 4],
    /// When that was done.
    made_at: Duration,
    /// It was still so more than a tick later: whatever changes from then on has another time.
    telling: bool,
    /// There is a script.
    script: bool,
}

/// By what a file is known to be as it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mark {
    inode: u64,
    mode: u16,
    owner: (u32, u32),
    links: u32,
    /// Bytes, and when it changed last; of a directory that is also when something was last made or removed in it.
    changed: Option<(u64, i64, u32)>,
}

impl Mark {
    /// Of what has this name in the directory; a link is itself.
    fn of(directory: BorrowedFd<'_>, name: &str) -> io::Result<Mark> {
        let stat = statx(directory, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS)?;
        Ok(Mark::from(&stat))
    }

    /// Of the directory itself.
    fn itself(directory: BorrowedFd<'_>) -> io::Result<Mark> {
        Ok(Mark::from(&statx(directory, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?))
    }

    /// The same of a file that Relay itself changes.
    fn whenever(self) -> Mark {
        Mark { changed: None, ..self }
    }
}

impl From<&Statx> for Mark {
    fn from(stat: &Statx) -> Mark {
        let changed = Some((stat.stx_size, stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec));
        let owner = (stat.stx_uid, stat.stx_gid);
        Mark { inode: stat.stx_ino, mode: stat.stx_mode, owner, links: stat.stx_nlink, changed }
    }
}

impl Scratch {
    /// Makes the directory below `root`, with the job's input and script.
    pub(super) fn new(root: &Path, job: &Job, clock: &Clock) -> io::Result<Scratch> {
        let path = match made_in(root) {
            // The first one, or one after somebody cleared away.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(root)?;
                made_in(root)?
            }
            other => other?,
        };
        let place =
            Place { path, made: Default::default(), made_at: Duration::ZERO, telling: false, script: false };
        let mut scratch = Scratch { handle: place.open()?, place };
        fs::create_dir(scratch.work())?;
        write(&scratch.input(), 0o600, &job.input_file()?)?;
        write(&scratch.output(), 0o600, b"")?;
        (scratch.place.made, _) = marks(scratch.handle.as_fd())?;
        scratch.place.made_at = clock.running();
        scratch.put_script(job, clock)?;
        Ok(scratch)
    }

    /// Takes away what Relay put there for the attempt alone. Was nothing else left or changed?
    pub(super) fn is_spare(&mut self, clock: &Clock) -> io::Result<bool> {
        let handle = self.handle.as_fd();
        if self.place.as_made(handle, clock)?.is_none() {
            return Ok(false);
        }
        if self.place.script {
            rustix::fs::unlinkat(handle, SCRIPT, AtFlags::empty())?;
            self.place.script = false;
            self.place.changed(handle, clock)?;
        }
        Ok(true)
    }

    fn put_script(&mut self, job: &Job, clock: &Clock) -> io::Result<()> {
        if let Program::Script(script) = &job.program {
            write(&self.script(), 0o700, script.as_bytes())?;
            self.place.script = true;
            self.place.changed(self.handle.as_fd(), clock)?;
        }
        Ok(())
    }

    /// The whole of it.
    pub(super) fn place(&self) -> &Path {
        &self.place.path
    }

    /// Where the task starts: `$RELAY_DIR`.
    pub(super) fn work(&self) -> PathBuf {
        self.place.path.join(WORK)
    }

    /// `$RELAY_INPUT`.
    pub(super) fn input(&self) -> PathBuf {
        self.place.path.join(INPUT)
    }

    /// `$RELAY_OUTPUT`.
    pub(super) fn output(&self) -> PathBuf {
        self.place.path.join(OUTPUT)
    }

    /// The script, if the job has one.
    pub(super) fn script(&self) -> PathBuf {
        self.place.path.join(SCRIPT)
    }

    /// The directory in which `output` is.
    pub(super) fn handle(&self) -> &OwnedFd {
        &self.handle
    }

    /// Nobody needs what is in it any more.
    pub(super) fn into_place(self) -> Place {
        self.place
    }
}

/// And how many bytes the input has.
fn marks(directory: BorrowedFd<'_>) -> io::Result<([Mark; 4], u64)> {
    let within = |name| Mark::of(directory, name);
    let input = within(INPUT)?;
    let bytes = input.changed.map_or(0, |(bytes, ..)| bytes);
    Ok(([Mark::itself(directory)?, input.whenever(), within(OUTPUT)?, within(WORK)?], bytes))
}

impl Place {
    /// Its directory for another job; None if it is not as it was made. Only when nobody is left who had it open.
    pub(super) fn again(mut self, job: &Job, clock: &Clock) -> io::Result<Option<Scratch>> {
        // By its path: so it is still there, too.
        let handle = self.open()?;
        let Some(bytes) = self.as_made(handle.as_fd(), clock)? else { return Ok(None) };
        let content = job.input_file()?;
        // Not cut to nothing first: some file systems bring what replaces a file to the disk at once.
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::File::from(rustix::fs::openat(&handle, INPUT, flags, Mode::empty())?);
        file.write_all_at(&content, 0)?;
        if bytes != content.len() as u64 {
            file.set_len(content.len() as u64)?;
        }
        let mut scratch = Scratch { place: self, handle };
        scratch.put_script(job, clock)?;
        Ok(Some(scratch))
    }

    fn open(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::open(&self.path, flags, Mode::empty())?)
    }

    /// How many bytes the input has, if by their times nothing was there meanwhile. Where these may not tell, nothing is there now.
    fn as_made(&mut self, directory: BorrowedFd<'_>, clock: &Clock) -> io::Result<Option<u64>> {
        let now = clock.running();
        let (marks, bytes) = marks(directory)?;
        if marks != self.made {
            return Ok(None);
        }
        if self.telling {
            return Ok(Some(bytes));
        }
        let entries = |path: &Path| fs::read_dir(path).map(Iterator::count);
        let own = if self.script { 4 } else { 3 };
        let empty = entries(&self.path.join(WORK))? == 0 && entries(&self.path)? == own;
        self.telling = empty && now.saturating_sub(self.made_at) > self.tick();
        Ok(empty.then_some(bytes))
    }

    fn tick(&self) -> Duration {
        let tells_parts = |mark: &Mark| mark.changed.is_some_and(|(_, _, nanoseconds)| nanoseconds != 0);
        if self.made.iter().any(tells_parts) { TICK } else { LONG_TICK }
    }

    /// Something came or went by Relay's own hand.
    fn changed(&mut self, directory: BorrowedFd<'_>, clock: &Clock) -> io::Result<()> {
        self.made[0] = Mark::itself(directory)?;
        (self.made_at, self.telling) = (clock.running(), false);
        Ok(())
    }

    /// Removes everything; waits a little for what is still written. For a thread that may block.
    pub(super) fn remove(self) {
        for _ in 1..REMOVALS {
            if self.try_remove().is_ok() {
                return;
            }
            std::thread::sleep(REMOVAL_WAIT);
        }
        // The last try is that of `drop`.
    }

    fn try_remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            // Package managers leave directories that even their owner may not write to.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                unlock(&self.path);
                fs::remove_dir_all(&self.path)
            }
            other => other,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = self.try_remove() {
            tracing::warn!(path = %self.path.display(), "A task's directory stays behind: {error}");
        }
    }
}

/// A new directory below `root` that is its owner's alone.
fn made_in(root: &Path) -> io::Result<PathBuf> {
    let place = root.join(name());
    fs::DirBuilder::new().mode(0o700).create(&place)?;
    Ok(place)
}

/// A name that no attempt has had.
fn name() -> String {
    format!("task-{}", uuid::Uuid::now_v7().simple())
}

fn write(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    io::Write::write_all(&mut file, content)
}

/// Gives the owner back the right to write to every directory below; what cannot be changed stays.
fn unlock(top: &Path) {
    let mut open = vec![top.to_owned()];
    while let Some(directory) = open.pop() {
        let _ = fs::set_permissions(&directory, fs::Permissions::from_mode(0o700));
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        // Symbolic links are not followed: `file_type` tells of the entry itself.
        open.extend(entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()));
    }
}
