//! Jobs that are made at most once: which of them this worker has begun, and the wait for the word that it may.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Mutex, PoisonError},
};

use tokio::time::timeout;

use crate::model::job::{Job, JobId, News};
use crate::queue::PRESENCE_TTL;
use crate::worker::shift::{Orderly, Shift};

/// So many are remembered. A job whose end is not committed yet could come again, and a worker keeps no more such ends.
const MOST: usize = 10_000;

/// Jobs that were begun.
#[derive(Debug, Default)]
pub(super) struct Once(Mutex<Begun>);

#[derive(Debug, Default)]
struct Begun {
    jobs: BTreeSet<JobId>,
    /// Oldest first.
    order: VecDeque<JobId>,
}

impl Once {
    /// Is it begun for the first time here?
    fn begin(&self, job: &JobId) -> bool {
        let mut begun = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !begun.jobs.insert(job.clone()) {
            return false;
        }
        begun.order.push_back(job.clone());
        if begun.order.len() > MOST
            && let Some(oldest) = begun.order.pop_front()
        {
            begun.jobs.remove(&oldest);
        }
        true
    }

    fn has_begun(&self, job: &JobId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).jobs.contains(job)
    }
}

/// What became of the wait.
pub(super) enum Word {
    /// It may begin.
    Go,
    /// It is not to begin, and that is to be told.
    Stop,
    /// It was made here before, and the conductor knows how it ended.
    Over,
}

impl Shift {
    /// Tells that the job would start until its conductor, which commits that first, says that it may. The word may get
    /// lost, and so may what was told.
    pub(super) async fn word(&self, job: &Job, orders: &Orderly) -> Word {
        if self.once.has_begun(&job.id) {
            // Out of books that forgot how it ended. They hear that again from where such ends are kept; if it is nowhere,
            // nobody is to wait for it for ever.
            let heard = timeout(PRESENCE_TTL, orders.abandoned.cancelled()).await;
            return if heard.is_ok() { Word::Over } else { Word::Stop };
        }
        let asking = async {
            loop {
                self.tell(vec![self.report(&job.id, News::Started)], orders).await;
                self.links.clock.sleep(self.params.limits.beat).await;
            }
        };
        let word = tokio::select! {
            biased;
            () = orders.cancel.cancelled() => Word::Stop,
            () = orders.go.cancelled() => Word::Go,
            () = asking => Word::Stop,
        };
        match word {
            Word::Go if !self.once.begin(&job.id) => Word::Over,
            word => word,
        }
    }
}
