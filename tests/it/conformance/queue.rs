//! The queue's two sides, over every queue.

mod claims;
mod fence;
mod orders;
mod reports;
mod roster;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use jiff::Timestamp;
use relay::clock::Clock;

use relay::model::job::{Job, JobId};
use relay::queue::{
    Claim, Jobs, Pools, Queue, Roster,
    memory::MemoryQueue,
    postgres::{PostgresQueue, PostgresSettings},
    redis::{Limits, RedisQueue},
};
use relay::store::postgres::migrate;

use crate::support::{
    TestDb,
    jobs::{POOL, all_led, second},
    redis::{Crew, settings},
};

/// All sides of one empty queue.
pub struct Ends {
    pub queue: Arc<dyn Queue>,
    pub jobs: Arc<dyn Jobs>,
    pub roster: Arc<dyn Roster>,
    /// Another process' side of the same queue; it leads nothing yet.
    pub other: Arc<dyn Queue>,
    clock: Clock,
    /// Goes last.
    _database: Option<TestDb>,
}

/// Runs a check over each implementation, as a test of its own. `brief`: workers soon count as silent, where time is
/// real.
macro_rules! over_every_queue {
    ($($check:ident),+ $(; brief $($brief:ident),+)? $(,)?) => {
        mod memory {
            $(#[tokio::test(start_paused = true)]
            async fn $check() {
                super::$check(crate::conformance::queue::in_memory()).await;
            })+
            $($(#[tokio::test(start_paused = true)]
            async fn $brief() {
                super::$brief(crate::conformance::queue::in_memory()).await;
            })+)?
        }
        mod redis {
            $(#[tokio::test]
            async fn $check() {
                let presence = std::time::Duration::from_secs(60);
                super::$check(crate::conformance::queue::in_redis(presence).await).await;
            })+
            $($(#[tokio::test]
            async fn $brief() {
                let presence = std::time::Duration::from_secs(1);
                super::$brief(crate::conformance::queue::in_redis(presence).await).await;
            })+)?
        }
        mod postgres {
            $(#[tokio::test]
            async fn $check() {
                let presence = std::time::Duration::from_secs(60);
                super::$check(crate::conformance::queue::in_postgres(presence).await).await;
            })+
            $($(#[tokio::test]
            async fn $brief() {
                let presence = std::time::Duration::from_secs(1);
                super::$brief(crate::conformance::queue::in_postgres(presence).await).await;
            })+)?
        }
    };
}
use over_every_queue;

pub fn in_memory() -> Ends {
    let both = Arc::new(MemoryQueue::default());
    both.lead(&all_led(1));
    let other = Arc::new(both.beside());
    Ends {
        queue: both.clone(),
        jobs: both.clone(),
        roster: both,
        other,
        clock: Clock::manual(second(0)),
        _database: None,
    }
}

/// On the bed's Redis, with keys of its own. Workers speak to pools that the conductor's side has prepared.
pub async fn in_redis(presence: Duration) -> Ends {
    let settings = settings(presence);
    let queue = Arc::new(RedisQueue::new(&settings, Limits::default()).expect("a queue"));
    queue.lead(&all_led(1));
    let other = Arc::new(RedisQueue::new(&settings, Limits::default()).expect("a queue"));
    for pool in [POOL, "data/gpu", "data/other"] {
        queue.admit(pool, "secret").await.expect("a pool");
    }
    let jobs = Arc::new(Crew::new(&settings));
    Ends {
        queue: queue.clone(),
        jobs,
        roster: queue,
        other,
        clock: Clock::manual(second(0)),
        _database: None,
    }
}

/// In a database of its own; workers of any name and pool share a process.
pub async fn in_postgres(presence: Duration) -> Ends {
    let db = TestDb::new();
    migrate::up(db.url(), None).await.expect("migrated");
    // Nobody looks by himself: who is not woken waits too long.
    let look = Duration::from_secs(600);
    let settings = PostgresSettings { presence, look, ..PostgresSettings::new(db.url()) };
    let queue = Arc::new(PostgresQueue::connect(&settings).await.expect("a queue"));
    queue.lead(&all_led(1));
    let other = Arc::new(PostgresQueue::connect(&settings).await.expect("a queue"));
    let jobs = Arc::new(queue.jobs());
    let clock = Clock::manual(second(0));
    Ends { queue: queue.clone(), jobs, roster: queue, other, clock, _database: Some(db) }
}

impl Ends {
    /// Claims for a worker that holds nothing it knows of; there is something, so it need not wait.
    pub async fn claim(&self, worker: &str, slots: usize) -> Vec<Job> {
        soon(self.jobs.claim(&claim(worker, slots))).await.expect("a claim")
    }

    /// The pending jobs and the leases, as the census tells them.
    pub async fn books(&self) -> (Vec<JobId>, Vec<(JobId, String)>) {
        let census = self.queue.census(self.now()).await.expect("a census");
        let leases = census.leases.into_iter().map(|l| (l.place.job, l.worker)).collect();
        (census.pending.into_iter().map(|placed| placed.job).collect(), leases)
    }

    /// Now. Where time is paused, it passes while the test waits.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
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
    tokio::time::timeout(Duration::from_secs(60), wanted).await.expect("it should not wait")
}

/// It must still wait, also a moment later.
pub async fn still_waits<T: std::fmt::Debug>(future: &mut Pin<Box<impl Future<Output = T> + ?Sized>>) {
    if let Ok(came) = tokio::time::timeout(Duration::from_millis(100), future.as_mut()).await {
        panic!("it did not wait: {came:?}");
    }
}
