//! Directories of attempts that left them as they were made, for attempts to come.
//!
//! One of them is given to another attempt only when nobody can be left who has it open: once every child of this
//! process is a task that still runs. Whoever outlives its attempt becomes a child (`reaper.rs`).

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::model::job::Job;
use crate::worker::{
    reaper,
    scratch::{Place, Scratch},
};

/// Makes the directories of attempts.
#[derive(Debug)]
pub(super) struct Spares {
    root: PathBuf,
    /// So many are kept.
    most: usize,
    clock: Clock,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Known to be nobody's.
    free: Vec<Place>,
    /// Somebody who outlived their attempts may have them open.
    used: Vec<Place>,
}

impl Spares {
    /// Keeps so many below `root`.
    pub(super) fn new(root: &Path, most: usize, clock: &Clock) -> Spares {
        Spares { root: root.to_owned(), most, clock: clock.clone(), kept: Mutex::default() }
    }

    /// A directory for this job.
    pub(super) fn take(&self, job: &Job) -> io::Result<Scratch> {
        let (spare, gone) = self.pick();
        if !gone.is_empty() {
            // Nobody waits for it, and there are never more than are kept.
            drop(removed(gone));
        }
        // One that cannot be prepared is as good as one that was changed: it goes.
        match spare.map(|spare| spare.again(job, &self.clock)) {
            Some(Ok(Some(again))) => Ok(again),
            _ => Scratch::new(&self.root, job, &self.clock),
        }
    }

    /// Takes the directory of an attempt that has ended.
    pub(super) async fn give_back(&self, mut scratch: Scratch) {
        let spare =
            self.most > 0 && reaper::adopts() && scratch.is_spare(&self.clock).is_ok_and(|spare| spare);
        let place = scratch.into_place();
        let gone = if spare { self.keep(place) } else { Some(place) };
        if let Some(place) = gone {
            // That its thread panicked was told by it.
            let _ = removed(vec![place]).await;
        }
    }

    /// Gives it back if there are enough.
    fn keep(&self, place: Place) -> Option<Place> {
        let mut kept = self.kept();
        if kept.free.len() + kept.used.len() >= self.most {
            return Some(place);
        }
        kept.used.push(place);
        None
    }

    /// One that is nobody's, and those that somebody may still have.
    fn pick(&self) -> (Option<Place>, Vec<Place>) {
        let mut kept = self.kept();
        let mut gone = Vec::new();
        if kept.free.is_empty() && !kept.used.is_empty() {
            let used = std::mem::take(&mut kept.used);
            if reaper::alone() { kept.free = used } else { gone = used }
        }
        (kept.free.pop(), gone)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Directories that are there or not: whole at every point.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes them where it does no harm to wait: large trees take their time. A runtime that ends before it comes to this
/// drops them, which removes as well.
fn removed(all: Vec<Place>) -> JoinHandle<()> {
    tokio::task::spawn_blocking(move || all.into_iter().for_each(Place::remove))
}
