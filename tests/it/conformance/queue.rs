//! The queue's two sides, over every queue.

mod claims;
mod orders;
mod reports;
mod roster;

use std::{future::Future, pin::Pin, sync::Arc, task::Poll, time::Duration};

use relay::model::job::{Job, JobId};
use relay::queue::{Claim, Jobs, Pools, Queue, Roster, memory::MemoryQueue};

use crate::support::jobs::POOL;

/// All sides of one empty queue.
pub struct Ends {
    pub queue: Arc<dyn Queue>,
    pub jobs: Arc<dyn Jobs>,
    pub roster: Arc<dyn Roster>,
}

/// Runs a check over each implementation, as a test of its own.
macro_rules! over_every_queue {
    ($($check:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test(start_paused = true)]
            async fn $check() {
                super::$check(crate::conformance::queue::in_memory()).await;
            })+
        }
    };
}
use over_every_queue;

pub fn in_memory() -> Ends {
    let both = Arc::new(MemoryQueue::default());
    Ends { queue: both.clone(), jobs: both.clone(), roster: both }
}

impl Ends {
    /// Claims for a worker that holds nothing it knows of; there is something, so it need not wait.
    pub async fn claim(&self, worker: &str, slots: usize) -> Vec<Job> {
        soon(self.jobs.claim(&claim(worker, slots))).await.expect("a claim")
    }

    /// The pending jobs and the leases, as the census tells them.
    pub async fn books(&self) -> (Vec<JobId>, Vec<(JobId, String)>) {
        let census = self.queue.census(crate::support::jobs::second(0)).await.expect("a census");
        let leases = census.leases.into_iter().map(|l| (l.job, l.worker)).collect();
        (census.pending, leases)
    }
}

pub fn claim(worker: &str, slots: usize) -> Claim {
    Claim { worker: worker.to_owned(), pools: Pools::One(POOL.to_owned()), slots, holding: Vec::new() }
}

pub fn numbers(jobs: &[Job]) -> Vec<u32> {
    jobs.iter().map(|j| j.id.task_run.key.task).collect()
}

/// What comes without anything else having to happen.
pub async fn soon<T>(wanted: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), wanted).await.expect("it should not wait")
}

/// Looks at a future once: it must still wait.
pub async fn still_waits<T: std::fmt::Debug>(future: &mut Pin<Box<impl Future<Output = T> + ?Sized>>) {
    if let Poll::Ready(came) = futures::poll!(future.as_mut()) {
        panic!("it did not wait: {came:?}");
    }
}
