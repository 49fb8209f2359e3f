//! Which pool a job is in. The queue's verbs name jobs alone; what this process offered, and what it saw in the books,
//! tells it where to look.

use std::{collections::BTreeMap, sync::Arc};

use crate::model::job::JobId;

/// Pools by job.
#[derive(Debug, Default)]
pub(super) struct Places {
    of: BTreeMap<JobId, Place>,
    /// Counts the looks at the books.
    look: u64,
}

#[derive(Debug)]
struct Place {
    pool: Arc<str>,
    /// It was offered here, or seen in the books, since this look began.
    look: u64,
    /// It was offered here: no worker's word.
    sure: bool,
}

impl Places {
    /// The pool of a job.
    pub(super) fn of(&self, job: &JobId) -> Option<Arc<str>> {
        self.of.get(job).map(|place| place.pool.clone())
    }

    /// It was offered in this pool.
    pub(super) fn offered(&mut self, job: &JobId, pool: &Arc<str>) {
        self.of.insert(job.clone(), Place { pool: pool.clone(), look: self.look, sure: true });
    }

    /// A look at the books begins.
    pub(super) fn begin(&mut self) {
        self.look += 1;
    }

    /// The books of a pool name it. False when it belongs to another pool: what workers wrote there is not believed.
    pub(super) fn seen(&mut self, job: &JobId, pool: &Arc<str>) -> bool {
        let look = self.look;
        match self.of.get_mut(job) {
            Some(place) if place.sure && place.pool != *pool => false,
            Some(place) => {
                *place = Place { pool: pool.clone(), look, sure: place.sure };
                true
            }
            None => {
                self.of.insert(job.clone(), Place { pool: pool.clone(), look, sure: false });
                true
            }
        }
    }

    /// The look is over: what was neither seen nor offered since it began is nowhere.
    pub(super) fn end(&mut self) {
        let look = self.look;
        self.of.retain(|_, place| place.look >= look);
    }

    /// It is nowhere.
    pub(super) fn forget(&mut self, job: &JobId) {
        self.of.remove(job);
    }
}
