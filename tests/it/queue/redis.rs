//! The queue in Redis: what its users may do, how jobs lie in it, and every way in which Redis can go away.

mod access;
mod away;
mod external;
mod fence;
mod fleet;
mod hostile;
mod late;
mod lost;
mod memory;
mod older;
mod slots;
mod stored;
mod telling;
mod tls;
mod two;

use std::{sync::Arc, time::Duration};

use relay::link::RedisSettings;
use relay::model::job::{Job, JobId};
use relay::queue::{
    Census, Claim, Jobs, Orders, Pools, Position, Queue, QueueError, Roster, Told,
    redis::{Limits, RedisJobs, RedisQueue},
};

use crate::support::jobs::{POOL, all_led, second};

/// A conductor's side on these settings, with the usual pool open.
pub async fn conductor(settings: &RedisSettings) -> Arc<RedisQueue> {
    conductor_within(settings, Limits::default()).await
}

/// One with these bounds.
pub async fn conductor_within(settings: &RedisSettings, limits: Limits) -> Arc<RedisQueue> {
    let queue = RedisQueue::new(settings, limits).expect("a queue");
    queue.lead(&all_led(1));
    queue.admit(POOL, "secret").await.expect("a pool");
    Arc::new(queue)
}

/// A worker that is known, and holds nothing.
pub async fn worker(settings: &RedisSettings, name: &str) -> Hand {
    let hand = Hand { jobs: RedisJobs::new(settings, POOL, name).expect("a worker"), name: name.to_owned() };
    hand.beat(&[]).await.expect("a beat");
    hand
}

/// A worker by the name.
pub struct Hand {
    pub jobs: RedisJobs,
    pub name: String,
}

impl Hand {
    pub async fn beat(&self, holding: &[JobId]) -> Result<Orders, QueueError> {
        self.jobs.beat(&self.name, holding, second(0)).await
    }

    pub async fn try_claim(&self, slots: usize, holding: &[JobId]) -> Result<Vec<Job>, QueueError> {
        let claim = Claim {
            worker: self.name.clone(),
            pools: Pools::One(POOL.to_owned()),
            slots,
            holding: holding.to_vec(),
        };
        self.jobs.claim(&claim).await
    }

    /// There is something to claim.
    pub async fn claim(&self, slots: usize) -> Vec<JobId> {
        let claimed = soon(self.try_claim(slots, &[])).await.expect("a claim");
        claimed.into_iter().map(|job| job.id).collect()
    }
}

pub async fn census(queue: &RedisQueue) -> Census {
    queue.census(second(0)).await.expect("a census")
}

/// Pending jobs, leases as job and worker.
pub fn books(census: &Census) -> (Vec<JobId>, Vec<(JobId, &str)>) {
    let leases = census.leases.iter().map(|l| (l.place.job.clone(), l.worker.as_str())).collect();
    (census.pending.iter().map(|placed| placed.job.clone()).collect(), leases)
}

pub async fn reports(queue: &RedisQueue, after: Position) -> Vec<Told> {
    soon(queue.reports(after, 100)).await.expect("reports")
}

/// What comes without anything else having to happen.
pub async fn soon<T>(wanted: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), wanted).await.expect("it should not wait so long")
}

/// It must still wait, also a good moment later.
pub async fn still_waits<T: std::fmt::Debug>(future: impl Future<Output = T>) {
    if let Ok(came) = tokio::time::timeout(Duration::from_secs(1), future).await {
        panic!("it did not wait: {came:?}");
    }
}

/// Asks again and again until the answer will do.
pub async fn until<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    let asking = async {
        loop {
            looks.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    match tokio::time::timeout(Duration::from_secs(60), asking).await {
        Ok(answer) => answer,
        Err(_) => panic!("never seen: {what}"),
    }
}

/// It failed because Redis is away, or lost its content.
pub fn is_unavailable<T: std::fmt::Debug>(answer: Result<T, QueueError>) {
    assert!(matches!(answer, Err(QueueError::Unavailable(_))), "{answer:?}");
}
