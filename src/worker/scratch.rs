//! The files of an attempt: an empty directory to work in, and beside it what Relay puts there and takes away.

use std::{
    fs, io,
    os::{
        fd::OwnedFd,
        unix::fs::{OpenOptionsExt, PermissionsExt},
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
}

impl Scratch {
    /// Makes the directory below `root`, with the job's input and script.
    pub(super) fn new(root: &Path, job: &Job) -> io::Result<Scratch> {
        fs::create_dir_all(root)?;
        let private = fs::Permissions::from_mode(0o700);
        let place = tempfile::Builder::new().prefix("task-").permissions(private).tempdir_in(root)?.keep();
        let handle =
            rustix::fs::open(&place, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let scratch = match handle {
            Ok(handle) => Scratch { place, handle },
            Err(error) => {
                // Nothing is in it yet, and the error that matters is the first.
                let _ = fs::remove_dir(&place);
                return Err(error.into());
            }
        };
        fs::create_dir(scratch.work())?;
        write(&scratch.input(), 0o600, &job.input_file()?)?;
        write(&scratch.output(), 0o600, b"")?;
        if let Program::Script(script) = &job.program {
            write(&scratch.script(), 0o700, script.as_bytes())?;
        }
        Ok(scratch)
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
