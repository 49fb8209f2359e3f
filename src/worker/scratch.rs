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

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, statx};

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

/// A change that comes so long after another one has another time, whatever the file system.
const TICK: Duration = Duration::from_secs(2);

/// The directory of one attempt. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Scratch {
    place: PathBuf,
    /// The directory itself, whatever the task does to its name.
    handle: OwnedFd,
    /// What Relay made, as it made it: the directory, then what is in it but the script.
    made: [Mark; 4],
    /// When that was, by the clock of `Spares`.
    made_at: Duration,
    /// It was still so more than a `TICK` later: whatever changes from then on has another time.
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
    /// Of what has this name; a link is itself.
    fn of<P: rustix::path::Arg>(directory: BorrowedFd<'_>, name: P) -> io::Result<Mark> {
        let stat = statx(directory, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS)?;
        let changed = Some((stat.stx_size, stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec));
        let owner = (stat.stx_uid, stat.stx_gid);
        Ok(Mark { inode: stat.stx_ino, mode: stat.stx_mode, owner, links: stat.stx_nlink, changed })
    }

    /// The same of a file that Relay itself changes.
    fn whenever(self) -> Mark {
        Mark { changed: None, ..self }
    }
}

impl Scratch {
    /// Makes the directory below `root`, with the job's input and script.
    pub(super) fn new(root: &Path, job: &Job, now: Duration) -> io::Result<Scratch> {
        let place = match made_in(root) {
            // The first one, or one after somebody cleared away.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(root)?;
                made_in(root)?
            }
            other => other?,
        };
        let handle =
            rustix::fs::open(&place, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let mut scratch = match handle {
            Ok(handle) => Scratch {
                place,
                handle,
                made: Default::default(),
                made_at: now,
                telling: false,
                script: false,
            },
            Err(error) => {
                // Nothing is in it yet, and the error that matters is the first.
                let _ = fs::remove_dir(&place);
                return Err(error.into());
            }
        };
        fs::create_dir(scratch.work())?;
        write(&scratch.input(), 0o600, &job.input_file()?)?;
        write(&scratch.output(), 0o600, b"")?;
        scratch.made = scratch.marks()?;
        scratch.put_script(job, now)?;
        Ok(scratch)
    }

    /// The same for another job; None if it is not as it was made. Only when nobody is left who had it open.
    pub(super) fn again(mut self, job: &Job, now: Duration) -> io::Result<Option<Scratch>> {
        if !self.is_as_made(now)? {
            return Ok(None);
        }
        let content = job.input_file()?;
        // Not cut to nothing first: some file systems bring what replaces a file to the disk at once.
        let file = rustix::fs::openat(
            &self.handle,
            INPUT,
            OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let file = fs::File::from(file);
        file.write_all_at(&content, 0)?;
        if file.metadata()?.len() != content.len() as u64 {
            file.set_len(content.len() as u64)?;
        }
        self.put_script(job, now)?;
        Ok(Some(self))
    }

    /// Takes away what Relay put there for the attempt alone. Was nothing else left or changed?
    pub(super) fn is_spare(&mut self, now: Duration) -> io::Result<bool> {
        if !self.is_as_made(now)? {
            return Ok(false);
        }
        if self.script {
            fs::remove_file(self.script())?;
            self.script = false;
            self.place_changed(now)?;
        }
        Ok(true)
    }

    /// By their times nothing was there meanwhile. Where these may not tell, nothing is there now.
    fn is_as_made(&mut self, now: Duration) -> io::Result<bool> {
        if self.marks()? != self.made {
            return Ok(false);
        }
        if self.telling {
            return Ok(true);
        }
        let entries = |path: &Path| fs::read_dir(path).map(Iterator::count);
        let empty = entries(&self.work())? == 0 && entries(&self.place)? == if self.script { 4 } else { 3 };
        self.telling = empty && now.saturating_sub(self.made_at) > TICK;
        Ok(empty)
    }

    /// Something came or went by Relay's own hand.
    fn place_changed(&mut self, now: Duration) -> io::Result<()> {
        self.made[0] = Mark::of(CWD, &self.place)?;
        (self.made_at, self.telling) = (now, false);
        Ok(())
    }

    fn marks(&self) -> io::Result<[Mark; 4]> {
        let within = |name| Mark::of(self.handle.as_fd(), name);
        // By its path: so it is still there, too.
        Ok([Mark::of(CWD, &self.place)?, within(INPUT)?.whenever(), within(OUTPUT)?, within(WORK)?])
    }

    fn put_script(&mut self, job: &Job, now: Duration) -> io::Result<()> {
        if let Program::Script(script) = &job.program {
            write(&self.script(), 0o700, script.as_bytes())?;
            self.script = true;
            self.place_changed(now)?;
        }
        Ok(())
    }

    /// The whole of it.
    pub(super) fn place(&self) -> &Path {
        &self.place
    }

    /// Where the task starts: `$RELAY_DIR`.
    pub(super) fn work(&self) -> PathBuf {
        self.place.join(WORK)
    }

    /// `$RELAY_INPUT`.
    pub(super) fn input(&self) -> PathBuf {
        self.place.join(INPUT)
    }

    /// `$RELAY_OUTPUT`.
    pub(super) fn output(&self) -> PathBuf {
        self.place.join(OUTPUT)
    }

    /// The script, if the job has one.
    pub(super) fn script(&self) -> PathBuf {
        self.place.join(SCRIPT)
    }

    /// The directory in which `output` is.
    pub(super) fn handle(&self) -> &OwnedFd {
        &self.handle
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
        match fs::remove_dir_all(&self.place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            // Package managers leave directories that even their owner may not write to.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                unlock(&self.place);
                fs::remove_dir_all(&self.place)
            }
            other => other,
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = self.try_remove() {
            tracing::warn!(path = %self.place.display(), "A task's directory stays behind: {error}");
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
