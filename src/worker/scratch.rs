//! The files of an attempt: an empty directory to work in, and beside it what Relay puts there and takes away.
//!
//! To make them and to remove them costs a file system more than anything else that a short attempt needs. So those of
//! an attempt that left them as they were made serve another one (`spare.rs`), under another name.

use std::{
    fs, io,
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{Mode, OFlags};

use crate::model::job::{Job, Program};

/// How often the removal of the directory is tried: a process that was just killed may still write to it.
const REMOVALS: u32 = 20;
/// The wait between two removals.
const REMOVAL_WAIT: Duration = Duration::from_millis(10);

/// The directory of one attempt. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Scratch {
    place: PathBuf,
    /// The directory itself, whatever the task does to its name.
    handle: OwnedFd,
    /// What Relay made, as it made it: the directory, then what is in it but the script.
    made: [Mark; 4],
}

/// By what a file is known to be as it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mark {
    inode: u64,
    mode: u32,
    owner: (u32, u32),
    links: u64,
    /// When it changed last; of a directory that is also when something was last made or removed in it.
    changed: Option<(i64, i64)>,
}

impl Mark {
    /// Of what is at this path; a link is itself.
    fn of(path: &Path) -> io::Result<Mark> {
        let data = fs::symlink_metadata(path)?;
        let (owner, changed) = ((data.uid(), data.gid()), Some((data.ctime(), data.ctime_nsec())));
        Ok(Mark { inode: data.ino(), mode: data.mode(), owner, links: data.nlink(), changed })
    }

    /// The same of a file that Relay itself changes.
    fn whenever(self) -> Mark {
        Mark { changed: None, ..self }
    }
}

impl Scratch {
    /// Makes the directory below `root`, with the job's input and script.
    pub(super) fn new(root: &Path, job: &Job) -> io::Result<Scratch> {
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
            Ok(handle) => Scratch { place, handle, made: Default::default() },
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
        scratch.put_script(job)?;
        Ok(scratch)
    }

    /// The same for another job, under the name that it has by now; None if it is not as it was made. Only when nobody is
    /// left who had it open.
    pub(super) fn again(self, job: &Job) -> io::Result<Option<Scratch>> {
        if !self.is_as_made()? {
            return Ok(None);
        }
        let content = job.input_file()?;
        // Not cut to nothing first: some file systems bring what replaces a file to the disk at once.
        let file = fs::OpenOptions::new().write(true).open(self.input())?;
        file.write_all_at(&content, 0)?;
        if file.metadata()?.len() != content.len() as u64 {
            file.set_len(content.len() as u64)?;
        }
        self.put_script(job)?;
        Ok(Some(self))
    }

    /// Takes the attempt's name away, which whoever outlives it is known by, and what Relay put there. Was nothing else
    /// left or changed?
    pub(super) fn is_spare(&mut self) -> io::Result<bool> {
        let next = self.place.with_file_name(name());
        fs::rename(&self.place, &next)?;
        self.place = next;
        match fs::remove_file(self.script()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.is_as_made()
    }

    fn is_as_made(&self) -> io::Result<bool> {
        // By their times nothing was there meanwhile; where clocks are coarse, nothing is there now.
        let entries = |path: &Path| fs::read_dir(path).map(Iterator::count);
        Ok(self.marks()? == self.made && entries(&self.work())? == 0 && entries(&self.place)? == 3)
    }

    fn marks(&self) -> io::Result<[Mark; 4]> {
        let (place, input) = (Mark::of(&self.place)?.whenever(), Mark::of(&self.input())?.whenever());
        Ok([place, input, Mark::of(&self.output())?, Mark::of(&self.work())?])
    }

    fn put_script(&self, job: &Job) -> io::Result<()> {
        match &job.program {
            Program::Script(script) => write(&self.script(), 0o700, script.as_bytes()),
            _ => Ok(()),
        }
    }

    /// Where the task starts: `$RELAY_DIR`.
    pub(super) fn work(&self) -> PathBuf {
        self.place.join("work")
    }

    /// `$RELAY_INPUT`.
    pub(super) fn input(&self) -> PathBuf {
        self.place.join("input.json")
    }

    /// `$RELAY_OUTPUT`.
    pub(super) fn output(&self) -> PathBuf {
        self.place.join("output")
    }

    /// The script, if the job has one.
    pub(super) fn script(&self) -> PathBuf {
        self.place.join("script")
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
