//! The folder of a worker: where its tasks have HOME, TMPDIR and their own directories.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use rustix::fs::{FlockOperation, flock};

/// A folder that is this worker's alone.
pub struct Desk {
    folder: PathBuf,
    _lock: File,
    /// Goes with the worker, if nobody named one.
    _temporary: Option<tempfile::TempDir>,
}

impl Desk {
    /// Takes the folder, or makes a temporary one. What tasks of a worker before it left there goes.
    pub fn open(folder: Option<&Path>) -> anyhow::Result<Desk> {
        let temporary = match folder {
            Some(_) => None,
            None => Some(tempfile::Builder::new().prefix("relay-worker-").tempdir()?),
        };
        let folder = folder.or(temporary.as_ref().map(tempfile::TempDir::path)).unwrap_or(Path::new("."));
        let folder = std::path::absolute(folder)?;
        let prepared = || -> anyhow::Result<File> {
            fs::create_dir_all(&folder)?;
            let lock = File::create(folder.join("lock"))?;
            flock(&lock, FlockOperation::NonBlockingLockExclusive)
                .map_err(|_| anyhow!("another worker uses it; give each its own --dir"))?;
            for name in ["tasks", "tmp"] {
                emptied(&folder.join(name))?;
            }
            fs::create_dir_all(folder.join("home"))?;
            Ok(lock)
        };
        let lock = prepared().with_context(|| format!("the folder {} cannot be used", folder.display()))?;
        Ok(Desk { folder, _lock: lock, _temporary: temporary })
    }

    /// Below it each attempt has a directory.
    pub fn tasks(&self) -> PathBuf {
        self.folder.join("tasks")
    }

    /// What tasks see of the worker's environment: all but Relay's own, with a HOME and a TMPDIR that they may write to.
    pub fn environment(&self, own: impl Iterator<Item = (OsString, OsString)>) -> Vec<(String, String)> {
        let text = |(name, value): (OsString, OsString)| match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => Some((name, value)),
            (name, _) => {
                tracing::warn!("The variable {name:?} is no valid UTF-8: tasks do not see it");
                None
            }
        };
        let kept = |(name, _): &(String, String)| {
            !name.starts_with("RELAY_") && !["HOME", "TMPDIR"].contains(&name.as_str())
        };
        let mut all: Vec<(String, String)> = own.filter_map(text).filter(kept).collect();
        for (name, folder) in [("HOME", "home"), ("TMPDIR", "tmp")] {
            all.push((name.to_owned(), self.folder.join(folder).to_string_lossy().into_owned()));
        }
        all
    }
}

/// An empty folder, whatever was there.
fn emptied(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::create_dir(folder)
}
